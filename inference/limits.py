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

HEADER_BYTES = 10_000
"""The header of an .npy file; numpy's own limit."""

_FEWER = "Send fewer rows in one request, or use a batch transform job"


def too_large() -> InputError:
    """A body of more than BODY_BYTES."""
    return _too_much("too_large", f"The body has more than {BODY_BYTES} bytes", _FEWER)


def unpacks_too_large() -> InputError:
    """A body that unpacks to more than UNPACKED_BYTES."""
    return _too_much("too_large", f"The body unpacks to more than {UNPACKED_BYTES} bytes", _FEWER)


def check_rows(count: int) -> None:
    """Refuse more than ROWS rows.

    Raises:
        InputError: too_many_rows.
    """
    if count > ROWS:
        raise _too_much("too_many_rows", f"The body has more than {ROWS} rows", _FEWER)


def check_columns(count: int) -> None:
    """Refuse more than COLUMNS columns.

    Raises:
        InputError: too_many_columns.
    """
    if count > COLUMNS:
        message = f"The body has more than {COLUMNS} columns"
        raise _too_much("too_many_columns", message, "Send the columns of the model only")


def text_too_long(row: int | None = None, column: str | None = None) -> InputError:
    """A text of more than TEXT_LENGTH characters."""
    message = f"the text has more than {TEXT_LENGTH} characters"
    return InputError("text_too_long", message, row=row, column=column)


def _too_much(code: str, message: str, cure: str) -> InputError:
    return InputError(code, message, status=413, cure=cure)
