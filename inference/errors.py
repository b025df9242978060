"""What a client is told when a request was not answered: one JSON body, whatever the container.

Not here: what can be wrong with a request (shared.errors.InputError), nor how a container sends it.
"""

from __future__ import annotations

import itertools
import os
import secrets
from typing import Any

import orjson

from shared.errors import MAX_MISTAKES, InputError, KitError

INTERNAL = "The model could not answer; the server's log says why under this request id"

_ORIGIN = secrets.token_hex(8)
_NUMBERS = itertools.count(1)
_own = f"{_ORIGIN}-{os.getpid():x}-"


def _forked() -> None:
    global _own  # noqa: PLW0603 - of the process
    _own = f"{_ORIGIN}-{os.getpid():x}-"


os.register_at_fork(after_in_child=_forked)


class UnavailableError(KitError):
    """The server cannot answer now, and soon may: 503.

    Args:
        code: a short stable word for programs.
    """

    def __init__(self, code: str, message: str, *, cure: str | None = None) -> None:
        super().__init__(message, cure=cure)
        self.code = code


def request_id(headers: Any) -> str:
    """The id that the caller gave, if it is one that can be echoed; else a new one.

    A new one is the server's own random number, the process and a count, which takes a tenth of the
    time of a random number for each request.

    Args:
        headers: whose `get` takes lower-case names.
    """
    given = headers.get("x-amzn-sagemaker-inference-id") or headers.get("x-amzn-requestid")
    if given and len(given) <= 64 and given.isascii() and given.isprintable():
        return str(given)
    return f"{_own}{next(_NUMBERS):x}"


def status(error: Exception) -> int:
    """The HTTP status that says whose fault `error` is: the client's own 4xx, ours 500 or 503."""
    if isinstance(error, InputError):
        return error.status
    return 503 if isinstance(error, UnavailableError) else 500


def code(error: Exception) -> str:
    """The short stable word for what went wrong."""
    return error.code if isinstance(error, InputError | UnavailableError) else "internal_error"


def body(request_id: str, error: Exception) -> bytes:
    """The body of the answer to a request that failed with `error`, UTF-8 JSON.

    ``{"error": {"code", "message", "row", "column", "request_id"}}``, and, where there is more than
    one mistake, ``details``: code, message, row and column of each, the first one included. Of an
    error that is not the client's own nothing is told but that it happened: the log has the rest.
    """
    told: dict[str, Any]
    if isinstance(error, InputError):
        told = {**_told(error), "request_id": request_id}
        if error.others:
            told["details"] = [_told(each) for each in (error, *error.others)[:MAX_MISTAKES]]
    else:
        known = isinstance(error, UnavailableError)
        told = {
            "code": code(error),
            "message": str(error) if known else INTERNAL,
            "row": None,
            "column": None,
            "request_id": request_id,
        }
    return orjson.dumps({"error": told})


def _told(mistake: InputError) -> dict[str, Any]:
    return {
        "code": mistake.code,
        "message": str(mistake),
        "row": mistake.row,
        "column": mistake.column,
    }
