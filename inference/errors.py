"""What a client is told when a request was not answered: one JSON body, whatever the container.

Not here: what can be wrong with a request (shared.errors.InputError), nor how a container sends it.
"""

from __future__ import annotations

import uuid
from typing import Any

import orjson

from shared.errors import InputError

INTERNAL = "The model could not answer; the server's log says why under this request id"


def request_id(headers: Any) -> str:
    """The id that the caller gave, if it is one that can be echoed; else a new one.

    Args:
        headers: whose `get` takes lower-case names.
    """
    given = headers.get("x-amzn-sagemaker-inference-id") or headers.get("x-amzn-requestid")
    if given and len(given) <= 64 and given.isascii() and given.isprintable():
        return str(given)
    return str(uuid.uuid4())


def status(error: Exception) -> int:
    """The HTTP status that says whose fault `error` is: the client's own, 4xx, or ours, 500."""
    return error.status if isinstance(error, InputError) else 500


def body(request_id: str, error: Exception) -> bytes:
    """The body of the answer to a request that failed with `error`, UTF-8 JSON.

    ``{"error": {"code", "message", "row", "column", "request_id"}}``. Of an error that is not the
    client's own nothing is told but that it happened: the log has the rest.
    """
    known = error if isinstance(error, InputError) else None
    told = {
        "code": known.code if known else "internal_error",
        "message": str(known) if known else INTERNAL,
        "row": known.row if known else None,
        "column": known.column if known else None,
        "request_id": request_id,
    }
    return orjson.dumps({"error": told})
