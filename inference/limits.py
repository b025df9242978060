"""How much one request may hold. Beyond it the answer is a 4xx that names the limit."""

from __future__ import annotations

from shared.errors import InputError

BODY_BYTES = 6_291_456
"""The body of a request; SageMaker's own limit for InvokeEndpoint."""

ROWS = 100_000
"""Rows of a request."""

COLUMNS = 10_000
"""Columns that a request may name, known or not."""

TEXT_LENGTH = 10_000
"""Characters of one text."""

UNPACKED_BYTES = 134_217_728
"""What a compressed body may unpack to."""


def too_large() -> InputError:
    """A body of more than BODY_BYTES."""
    return InputError(
        "too_large",
        f"The body has more than {BODY_BYTES} bytes",
        status=413,
        cure="Send fewer rows in one request, or use a batch transform job",
    )
