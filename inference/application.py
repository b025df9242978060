"""The RSGI application: what one worker answers to whom.

Here: paths, methods, headers, statuses, and the way of a request through the gate, the handler and
the books. Not here: processes and sockets (server.py), reading bodies (bodies.py), when to refuse
(gate.py), what a request means (handler.py).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, perf_counter_ns
from typing import Any

import orjson

from inference import bodies, codecs, environment, errors, handler, limits, logs, prometheus
from inference.batching import Batcher
from inference.books import Books
from inference.environment import Settings
from inference.errors import UnavailableError
from inference.gate import Gate
from inference.metrics import Done
from inference.quality import Quality
from inference.reload import Shelf
from shared.errors import InputError

ROUTES = {
    "/ping": "GET",
    "/invocations": "POST",
    "/execution-parameters": "GET",
    "/metrics": "GET",
    "/openapi.json": "GET",
}
"""Path → the method it answers; what answers GET answers HEAD, too."""

ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
INFERENCE_ID = "x-amzn-sagemaker-inference-id"
LONGEST_ATTRIBUTES = 1024

FAREWELL = signal.SIGUSR1
"""From the parent: the end is near."""

GARBAGE = 20_000
"""So many new objects, of a few hundred small requests, make Python look for garbage."""

CHECK_SECONDS = 1.0
"""The model is asked at most as often whether it still answers, however often /ping is."""

Asked = tuple[handler.Model, str | None, str | None]
"""Model, Content-Type and Accept of a request."""

log = logging.getLogger("inference")


class Application:
    """Answers HTTP requests with one model, by granian's RSGI protocol (the ``__rsgi…__`` methods).

    Args:
        model: proved and ready. The attribute of this name may be replaced, on the event loop's
            thread, by another such model: a request keeps the one that it found at its start.
        settings: of the server; by default what the environment says.

    Attributes:
        shelf: where later models come from, if there is such a place.
    """

    def __init__(self, model: handler.Model, settings: Settings | None = None) -> None:
        self.model = model
        self.shelf: Shelf | None = None
        self._settings = settings or environment.read()
        self._beside = ThreadPoolExecutor(1)
        self._busy_since: float | None = None
        self._draining = False
        self._checked = ("", 0.0)
        self._verbose = log.isEnabledFor(logging.DEBUG)
        self._gate: Gate
        self._batcher: Batcher
        self._books: Books

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._gate = Gate(loop, self._settings.body_bytes)
        self._batcher = Batcher(loop)
        self._books = Books(loop, self._settings, self._gate, lambda: self.model.version)
        loop.add_signal_handler(FAREWELL, self._drain)
        # What is there now stays: it need not be looked through for garbage again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE, 20, 20)
        logs.event(log, logging.INFO, "ready", model_version=self.model.version)

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._books.close()
        logs.event(log, logging.INFO, "drained")

    def swapped(self) -> None:
        """Another model answers from now on."""
        self._books.leave()

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request. Whatever happens inside, the client gets an answer."""
        begun = perf_counter_ns()
        get = scope.headers.get
        request_id = errors.request_id(scope.headers)
        headers = [("x-amzn-requestid", request_id)]
        try:
            if scope.path == "/invocations" and scope.method == "POST":
                if get(INFERENCE_ID) == request_id:
                    headers.append((INFERENCE_ID, request_id))
                body, content_type = await self._invoke(get, protocol, begun, request_id)
                attributes = get(ATTRIBUTES)
                if attributes and _echoed(attributes):
                    headers.append((ATTRIBUTES, attributes))
            else:
                body, content_type = self._about(scope)
            headers.append(("content-type", content_type))
            status = 200
        except Exception as error:
            status, body = errors.status(error), errors.body(request_id, error)
            headers.append(("content-type", codecs.JSON))
            if status == 503:
                headers.append(("retry-after", "1"))
            elif status == 405:
                headers.append(("allow", _allowed(scope.path)))
            self._report(error, status, request_id)
            # The frames in it hold the error, too, and the model: a circle, which would keep a
            # replaced model, and its folder on the disk, until somebody looks for garbage.
            error.__traceback__ = error.__context__ = None
        if self._draining:
            headers.append(("connection", "close"))
        if scope.method == "OPTIONS" and scope.path in ROUTES:
            protocol.response_empty(204, [*headers[:1], ("allow", _allowed(scope.path))])
        elif scope.method == "HEAD":
            protocol.response_empty(status, headers)
        else:
            protocol.response_bytes(status, headers, body)

    async def _invoke(
        self, get: Any, protocol: Any, begun: int, request_id: str
    ) -> tuple[bytes, str]:
        """Body and content type of a good answer."""
        gate = self._gate
        announced = get("content-length")
        size = int(announced) if announced else -1
        asked = self.model, get("content-type"), get("accept")
        try:
            if size > gate.longest:
                raise limits.too_large(gate.longest)
            if gate.all >= limits.IN_FLIGHT:
                await gate.refuse()
            gate.all += 1
            try:
                if 0 <= size <= limits.DENSE_BODY_BYTES:
                    done = await self._small(asked, protocol, size)
                else:
                    done = await self._larger(asked, protocol, size)
            finally:
                gate.all -= 1
        except (InputError, UnavailableError):
            if size > limits.DENSE_BODY_BYTES and not get("expect"):
                await bodies.discard(protocol, size, gate)
            raise
        ended = perf_counter_ns()
        self._books.recorder.answer(done, begun, ended)
        if self._verbose:
            logs.event(
                log,
                logging.DEBUG,
                "answered",
                status=200,
                request_id=request_id,
                rows=done.rows,
                ms=round((ended - begun) / 1e6, 3),
                model_version=done.answer.version,
            )
        return done.body, done.content_type

    async def _small(self, asked: Asked, protocol: Any, size: int) -> Done:
        """The way of most requests: together with what else is small and waits."""
        model, content_type, accept = asked
        body = await bodies.announced(protocol, self._gate)
        if self._gate.all == 1:
            return _predict(*asked, body)
        read = perf_counter_ns()
        request = handler.input_fn(body, content_type)
        parsed = perf_counter_ns()
        answer = await self._batcher.predict(request, model)
        return _written(model, answer, accept, (read, parsed, perf_counter_ns()))

    async def _larger(self, asked: Asked, protocol: Any, size: int) -> Done:
        """The way of a body that is not small, or of unknown length: its bytes are counted, and a
        large one is answered beside the event loop.
        """
        gate = self._gate
        large = _is_large(size, asked[1])
        if large and gate.large >= limits.LARGE_IN_FLIGHT:
            await gate.refuse(limits.LARGE_REFUSAL_SECONDS)
        gate.large += large
        held = 0
        try:
            if size < 0:
                body = await bodies.chunked(protocol, gate)
                held = len(body)
                if _is_large(held, asked[1]):
                    if gate.large >= limits.LARGE_IN_FLIGHT:
                        await gate.refuse()
                    large = True
                    gate.large += 1
            else:
                await gate.hold(size)
                held = size
                body = await bodies.announced(protocol, gate, large=large)
            if not large:
                return _predict(*asked, body)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._beside, self._predict_beside, asked, body)
        finally:
            gate.large -= large
            gate.bytes -= held

    def _predict_beside(self, asked: Asked, body: bytes) -> Done:
        """Runs in the thread beside the event loop."""
        self._busy_since = monotonic()
        try:
            done = _predict(*asked, body)
            quality = Quality({})
            quality.count([(done.model, done.answer)])
            return done._replace(quality=quality)
        finally:
            self._busy_since = None

    def _about(self, scope: Any) -> tuple[bytes, str]:
        """Body and content type for what is asked about the server itself."""
        method = ROUTES.get(scope.path)
        if method is None:
            known = ", ".join(f"{verb} {path}" for path, verb in ROUTES.items())
            raise InputError(
                "not_found", "There is nothing at this path", status=404, cure=f"Ask {known}"
            )
        if scope.method == "OPTIONS":
            return b"", codecs.JSON
        if scope.method != method and (scope.method, method) != ("HEAD", "GET"):
            raise InputError(
                "method_not_allowed",
                f"{scope.path} does not answer {scope.method:.20}",
                status=405,
                cure=f"Use {method}",
            )
        if scope.path == "/openapi.json":
            if self.model.openapi is None:
                raise InputError("not_found", "The model's bundle has no such file", status=404)
            return self.model.openapi, codecs.JSON
        if scope.path == "/metrics":
            state = self.shelf.read() if self.shelf else None
            return self._books.page(state), prometheus.CONTENT_TYPE
        if scope.path == "/execution-parameters":
            batch = self._settings.batch
            told = {
                "MaxConcurrentTransforms": batch.concurrent,
                "BatchStrategy": batch.strategy,
                "MaxPayloadInMB": batch.payload,
            }
            return orjson.dumps(told), codecs.JSON
        self._ping()
        return b"{}", codecs.JSON

    def _ping(self) -> None:
        """Whether requests are answered.

        Raises:
            UnavailableError: they are not, and why.
        """
        if self._draining:
            raise UnavailableError("draining", "The server is ending")
        now = monotonic()
        since = self._busy_since
        if since is not None and now - since > limits.STUCK_SECONDS:
            raise UnavailableError(
                "stuck", f"One request has been under way for {now - since:.0f} seconds"
            )
        version, checked = self._checked
        if version != self.model.version or now - checked > CHECK_SECONDS:
            try:
                self.model.check()
            except Exception as error:
                raise UnavailableError(
                    "not_ready", f"The model does not answer: {error}"
                ) from error
            self._checked = (self.model.version, now)

    def _drain(self) -> None:
        self._draining = True

    def _report(self, error: Exception, status: int, request_id: str) -> None:
        """One line for an answer that is not 2xx, and a mark in the books.

        Refusals under overload have a line a second for all: a line each would cost more than they.
        """
        code = errors.code(error)
        self._books.recorder.error(status, code)
        fields: dict[str, object] = {"status": status, "request_id": request_id}
        fields["model_version"] = self.model.version
        if isinstance(error, InputError):
            # A column that the model does not have may be a value where a name should be.
            known = any(error.column == column.name for column in self.model.schema.all_columns)
            column = error.column if known else None
            place = {"code": code, "row": error.row, "column": column}
            logs.event(log, logging.WARNING, "refused", **fields, **place)
        elif not isinstance(error, UnavailableError):
            log.error("failed", exc_info=error, extra={"fields": fields})
        elif code != "overloaded":
            logs.event(log, logging.WARNING, "not available", **fields, reason=str(error))


def _predict(
    model: handler.Model, content_type: str | None, accept: str | None, body: bytes
) -> Done:
    read = perf_counter_ns()
    request = handler.input_fn(body, content_type)
    parsed = perf_counter_ns()
    answer = handler.predict_fn(request, model)
    return _written(model, answer, accept, (read, parsed, perf_counter_ns()))


def _written(
    model: handler.Model, answer: handler.Answer, accept: str | None, marks: tuple[int, int, int]
) -> Done:
    payload, content_type = handler.output_fn(answer, accept)
    return Done(payload, content_type, model, answer, (*marks, perf_counter_ns()))


def _is_large(size: int, content_type: str | None) -> bool:
    """Whether a body of `size` bytes is answered beside the event loop."""
    if size <= limits.LARGE_BODY_BYTES:
        return size > limits.DENSE_BODY_BYTES and not codecs.is_text(content_type)
    return True


def _allowed(path: str) -> str:
    method = ROUTES[path]
    return f"{method}, HEAD, OPTIONS" if method == "GET" else f"{method}, OPTIONS"


def _echoed(attributes: str) -> bool:
    """Whether SageMaker takes this header back: 1,024 visible ASCII characters."""
    return (
        len(attributes) <= LONGEST_ATTRIBUTES and attributes.isascii() and attributes.isprintable()
    )
