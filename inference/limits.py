"""How much one request may hold. Beyond it the answer is a 4xx that names the limit."""

from __future__ import annotations

from shared.errors import InputError
from shared.values import LONGEST_TEXT

BODY_BYTES = 6_291_456
"""The body of a request; SageMaker's own limit for InvokeEndpoint."""

ROWS = 100_000
"""Rows of a request; what serves a batch transform job sets it higher, see environment.py."""

COLUMNS = 10_000
"""Columns that a request may name, known or not."""

TEXT_LENGTH = LONGEST_TEXT
"""Characters of one text."""

UNPACKED_BYTES = 134_217_728
"""What a compressed body may unpack to."""

BATCH_BODY_BYTES = 104_857_600
"""The body of a request of a batch transform job; SageMaker's own limit."""

LARGE_BODY_BYTES = 131_072
"""A body larger than this, thousands of rows, is answered beside the event loop, which goes on to
answer /ping and small requests meanwhile."""

DENSE_BODY_BYTES = 8192
"""The same for a body that is no text: in Parquet, few bytes may hold many rows."""

IN_FLIGHT = 64
"""Requests that one worker has begun and not answered, bodies under way included; one more is a
503. At 0.1 ms each, the last of them waits for 6 ms."""

LARGE_IN_FLIGHT = 3
"""Of these the large ones: one is answered, and the bodies of the next are there by then."""

BYTES_IN_FLIGHT = 67_108_864
"""Bytes of all bodies that one worker holds; a single one, however large, is always taken."""

UNSENT_BYTES = 268_435_456
"""Bytes of answers that wait in one worker for clients that do not take them: beyond it large
requests, whose answers are large, are a 503."""

BODY_SECONDS = 30
"""How long a body may take to arrive; then the answer is a 408. The head has as long, and a client
to take the next part of its answer."""

HEAD_BYTES = 32_768
"""The head of a request, target and headers."""

PIPELINED = 64
"""Requests that one connection may send without waiting for answers; the rest is not read."""

DISCARD_BYTES = 67_108_864
"""So much of a body that is not wanted is read and thrown away, so that its sender comes to read
the answer and can go on with the connection; of a longer one the connection is closed."""

CONNECTIONS = 1024
"""Connections that one worker holds open, and as many more that may wait to be accepted: far more
than requests in flight, so that a client too many is told so and does not wait unheard."""

SLOW_SECONDS = 2
"""After so long a body that still arrives does not count as in flight any more: slow senders must
not keep the others out."""

SLOW_BODIES = 256
"""Such slow bodies at once; for one more, the slowest is given up."""

REFUSAL_SECONDS = 0.25
"""How long a refused request waits for its 503: clients that try again at once would otherwise take
the time that answers need."""

LARGE_REFUSAL_SECONDS = 1.0
"""The same for a large one, whose body has to be thrown away then."""

STUCK_SECONDS = 120
"""When one large request takes longer, /ping says so: no client waits that long."""

_FEWER = "Send fewer rows in one request, or use a batch transform job"


def too_large(longest: int = BODY_BYTES) -> InputError:
    """A body of more than `longest` bytes."""
    return _too_much("too_large", f"The body has more than {longest} bytes", _FEWER)


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
