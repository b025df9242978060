"""The RSGI application: one worker's answers to GET /ping and POST /invocations.

Here: paths, methods, bodies, headers, statuses. Not here: processes and sockets (server.py), nor
what a request means (handler.py).
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from granian.rsgi import ProtocolClosed

from inference import codecs, errors, handler, limits, logs
from shared.errors import InputError

ROUTES = {"/ping": "GET", "/invocations": "POST"}
"""Path → the method it answers."""

DISCARD_BYTES = 64 * 1024 * 1024
"""So much of a too large body is read and thrown away, so that its sender comes to read the answer
and can go on with the connection; of a still larger one the connection is closed."""

LARGE_BODY_BYTES = 128 * 1024
"""A body larger than this, thousands of rows, is answered beside the event loop, which goes on to
answer /ping and small requests meanwhile."""

log = logging.getLogger("inference")


class Application:
    """Answers HTTP requests with one model, by granian's RSGI protocol (the ``__rsgi…__`` methods).

    Args:
        model: proved and ready. The attribute of this name may be replaced, on the event loop's
            thread, by another such model: a request keeps the one that it found at its start.
    """

    def __init__(self, model: handler.Model) -> None:
        self.model = model
        self._beside = ThreadPoolExecutor(1)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        logs.event(log, logging.INFO, "ready", model_version=self.model.version)

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        logs.event(log, logging.INFO, "drained")

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request. Whatever happens inside, the client gets an answer."""
        request_id = errors.request_id(scope.headers)
        headers = [("x-amzn-requestid", request_id)]
        try:
            content_type, body = await self._answer(scope, protocol)
            status = 200
        except InputError as mistake:
            status, content_type = errors.status(mistake), codecs.JSON
            body = errors.body(request_id, mistake)
            if status == 405:
                headers.append(("allow", ROUTES[scope.path]))
            fields = {"code": mistake.code, "row": mistake.row, "column": mistake.column}
            logs.event(log, logging.INFO, "refused", status=status, request_id=request_id, **fields)
        except Exception as error:
            status, content_type = errors.status(error), codecs.JSON
            body = errors.body(request_id, error)
            log.exception("failed", extra={"fields": {"status": 500, "request_id": request_id}})
        headers.append(("content-type", content_type))
        protocol.response_bytes(status, headers, body)

    async def _answer(self, scope: Any, protocol: Any) -> tuple[str, bytes]:
        """Content type and body of a good answer."""
        method = ROUTES.get(scope.path)
        if method is None:
            known = " or ".join(f"{verb} {path}" for path, verb in ROUTES.items())
            raise InputError(
                "not_found", "There is nothing at this path", status=404, cure=f"Ask {known}"
            )
        if scope.method != method:
            raise InputError(
                "method_not_allowed",
                f"{scope.path} does not answer {scope.method:.20}",
                status=405,
                cure=f"Use {method}",
            )
        if scope.path == "/ping":
            return codecs.JSON, b"{}"
        model, headers = self.model, scope.headers
        body = await _read(headers, protocol)
        asked = (model, body, headers.get("content-type"), headers.get("accept"))
        if len(body) <= LARGE_BODY_BYTES:
            return _predict(*asked)
        return await asyncio.get_running_loop().run_in_executor(self._beside, _predict, *asked)


def _predict(
    model: handler.Model, body: bytes, content_type: str | None, accept: str | None
) -> tuple[str, bytes]:
    request = handler.input_fn(body, content_type)
    payload, answered = handler.output_fn(handler.predict_fn(request, model), accept)
    return answered, payload


async def _read(headers: Any, protocol: Any) -> bytes:
    """The request's body.

    Raises:
        InputError: 413 for more than limits.BODY_BYTES; 400 when the client stops half way.
    """
    announced = int(headers.get("content-length", -1))
    if announced > DISCARD_BYTES or (announced > limits.BODY_BYTES and headers.get("expect")):
        raise limits.too_large()
    try:
        if 0 <= announced <= limits.BODY_BYTES:
            body: bytes = await protocol()
            return body
        parts: list[bytes] = []
        size = 0
        async for part in protocol:
            size += len(part)
            if size > DISCARD_BYTES:
                break
            if size <= limits.BODY_BYTES:
                parts.append(part)
            else:
                parts.clear()
    except ProtocolClosed:
        raise InputError("incomplete_body", "The body ended before its announced length") from None
    if size > limits.BODY_BYTES:
        raise limits.too_large()
    return b"".join(parts)
