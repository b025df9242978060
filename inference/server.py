"""The HTTP server of the endpoint: GET /ping and POST /invocations, on granian (RSGI).

    python -m inference.server

The parent reads the settings, proves the bundle and checks that the port is free; then granian
starts the workers, and each proves the bundle once more before it listens, so an open port always
answers. A dead worker is replaced; when one dies again within seconds the server ends, for the
platform to start it anew. SIGTERM finishes the requests under way and exits 0.

What a request means is not known here: that is `inference.handler`.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import logging.config
import os
import signal
import socket
import sys
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import connection, parent_process
from typing import Any

import orjson
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.rsgi import ProtocolClosed

from inference import codecs, environment, handler, logs
from inference.environment import Settings
from shared.errors import InputError, KitError

ROUTES = {"/ping": "GET", "/invocations": "POST"}
"""Path → the method it answers."""

MAX_BODY_BYTES = 6_291_456
"""SageMaker's own limit on the body of InvokeEndpoint."""

DISCARD_BYTES = 64 * 1024 * 1024
"""So much of a too large body is read and thrown away, so that its sender comes to read the answer
and can go on with the connection; of a still larger one the connection is closed."""

DRAIN_SECONDS = 20
"""How long requests under way may take after SIGTERM; SageMaker kills after 30."""

LARGE_BODY_BYTES = 128 * 1024
"""A body larger than this, thousands of rows, is answered beside the event loop, which goes on to
answer /ping and small requests meanwhile."""

CONNECTIONS = 1024
"""Connections that may wait to be accepted, and that all workers together hold open."""

log = logging.getLogger("inference")


class Application:
    """Answers HTTP requests with one model, by granian's RSGI protocol (the ``__rsgi…__`` methods).

    Args:
        model: proved and ready.
    """

    def __init__(self, model: handler.Model) -> None:
        self._model = model
        self._beside = ThreadPoolExecutor(1)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        logs.event(log, logging.INFO, "ready", model_version=self._model.version)

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        logs.event(log, logging.INFO, "drained")

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request. Whatever happens inside, the client gets an answer."""
        request_id = _request_id(scope.headers)
        headers = [("x-amzn-requestid", request_id)]
        try:
            content_type, body = await self._answer(scope, protocol)
            status = 200
        except InputError as mistake:
            status, content_type = mistake.status, codecs.JSON
            body = _error_body(request_id, mistake)
            if status == 405:
                headers.append(("allow", ROUTES[scope.path]))
            fields = {"code": mistake.code, "row": mistake.row, "column": mistake.column}
            logs.event(log, logging.INFO, "refused", status=status, request_id=request_id, **fields)
        except Exception:
            status, content_type = 500, codecs.JSON
            body = _error_body(request_id)
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
        headers = scope.headers
        body = await _read(headers, protocol)
        asked = (body, headers.get("content-type"), headers.get("accept"))
        if len(body) <= LARGE_BODY_BYTES:
            return self._predict(*asked)
        return await asyncio.get_running_loop().run_in_executor(self._beside, self._predict, *asked)

    def _predict(
        self, body: bytes, content_type: str | None, accept: str | None
    ) -> tuple[str, bytes]:
        request = handler.input_fn(body, content_type)
        payload, answered = handler.output_fn(handler.predict_fn(request, self._model), accept)
        return answered, payload


async def _read(headers: Any, protocol: Any) -> bytes:
    """The request's body.

    Raises:
        InputError: 413 when it is larger than MAX_BODY_BYTES, 400 when the client stops half way.
    """
    announced = int(headers.get("content-length", -1))
    too_large = InputError(
        "too_large",
        f"The body has more than {MAX_BODY_BYTES} bytes",
        status=413,
        cure="Send fewer rows in one request, or use a batch transform job",
    )
    if announced > DISCARD_BYTES or (announced > MAX_BODY_BYTES and headers.get("expect")):
        raise too_large
    try:
        if 0 <= announced <= MAX_BODY_BYTES:
            body: bytes = await protocol()
            return body
        parts: list[bytes] = []
        size = 0
        async for part in protocol:
            size += len(part)
            if size > DISCARD_BYTES:
                break
            if size <= MAX_BODY_BYTES:
                parts.append(part)
            else:
                parts.clear()
    except ProtocolClosed:
        raise InputError("incomplete_body", "The body ended before its announced length") from None
    if size > MAX_BODY_BYTES:
        raise too_large
    return b"".join(parts)


def _request_id(headers: Any) -> str:
    """The id the caller gave, if it is one that can be echoed; else a new one."""
    given = headers.get("x-amzn-sagemaker-inference-id") or headers.get("x-amzn-requestid")
    if given and len(given) <= 64 and given.isascii() and given.isprintable():
        return str(given)
    return str(uuid.uuid4())


def _error_body(request_id: str, mistake: InputError | None = None) -> bytes:
    """The body of an answer other than 2xx; without a client's `mistake` it is our own fault."""
    error = {
        "code": mistake.code if mistake else "internal_error",
        "message": str(mistake)
        if mistake
        else "The model could not answer; the server's log says why under this request id",
        "row": mistake.row if mistake else None,
        "column": mistake.column if mistake else None,
        "request_id": request_id,
    }
    return orjson.dumps({"error": error})


def application() -> Application:
    """The application of one worker process, its bundle proved once more. Runs in the worker."""
    # A forked worker inherits the parent's handlers, which only wake the parent.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        return Application(handler.model_fn(environment.read().model_dir))
    except KitError as error:
        logs.event(log, logging.ERROR, "worker cannot start", reason=str(error))
        sys.exit(1)


def _end_with_parent() -> None:
    """Drain this worker when its parent is gone, however it went: no worker outlives the server."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


def _claim(settings: Settings) -> None:
    """Fail when the port is taken.

    Granian's own sockets share a port (SO_REUSEPORT), so two servers would silently split requests.
    """
    try:
        found = socket.getaddrinfo(settings.address, settings.port, type=socket.SOCK_STREAM)
        family, kind, _, _, place = found[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        raise KitError(
            f"The server cannot listen: {error.strerror}",
            where=f"{settings.address} port {settings.port}",
            cure="Stop what listens there, or set SERVER_ADDRESS and SAGEMAKER_BIND_TO_PORT",
        ) from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m inference.server",
        description="Answers GET /ping and POST /invocations with the model bundle.",
        epilog=f"environment variables:\n{environment.USAGE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(arguments)
    logging.config.dictConfig(logs.CONFIG)
    try:
        settings = environment.read()
        version = handler.model_fn(settings.model_dir).version
        _claim(settings)
    except KitError as error:
        logs.event(log, logging.ERROR, "cannot start", reason=str(error))
        return 1
    except Exception:
        log.exception("cannot start")
        return 1
    server = Granian(
        "inference.server",
        address=settings.address,
        port=settings.port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=settings.workers,
        backlog=CONNECTIONS,
        backpressure=max(64, CONNECTIONS // settings.workers),
        respawn_failed_workers=True,
        workers_kill_timeout=DRAIN_SECONDS,
        log_level=LogLevels.warning,
        log_dictconfig=logs.CONFIG,
    )
    place = {"address": settings.address, "port": settings.port, "workers": settings.workers}
    logs.event(log, logging.INFO, "starting", model_version=version, **place)
    server.serve(target_loader=application, wrap_loader=False)
    logs.event(log, logging.INFO, "stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
