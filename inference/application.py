"""What one worker answers to whom.

Here: paths, methods, headers, statuses, and the way of a request through the gate, the handler and
the books. Not here: processes and sockets (server.py, connections.py), HTTP's framing (http1.py),
when to refuse (gate.py), what a request means (handler.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, perf_counter_ns

import orjson

from inference import codecs, cores, environment, errors, gate, handler, limits, logs, prometheus
from inference.batching import Batcher
from inference.books import Books
from inference.environment import Settings
from inference.errors import UnavailableError
from inference.exchange import Answerer, Exchange
from inference.gate import Gate, OverloadedError
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

CHECK_SECONDS = 1.0
"""The model is asked at most as often whether it still answers, however often /ping is."""

log = logging.getLogger("inference")


class _Asked(gate.Place):
    """One request for predictions, which keeps the model that it found at its start."""

    __slots__ = ("accept", "content_type", "exchange", "model", "parsed", "read", "request_id")

    def __init__(self, exchange: Exchange, request_id: str, model: handler.Model) -> None:
        self.large = False
        self.held = 0
        get = exchange.headers.get
        self.exchange = exchange
        self.request_id = request_id
        self.model = model
        self.content_type = get("content-type")
        self.accept = get("accept")
        self.read = self.parsed = 0


class Application(Answerer):
    """Answers HTTP requests with one model.

    Args:
        model: proved and ready. The attribute of this name may be replaced, on the event loop's
            thread, by another such model.
        settings: of the server; by default what the environment says.

    Attributes:
        shelf: where later models come from, if there is such a place.
    """

    def __init__(self, model: handler.Model, settings: Settings | None = None) -> None:
        self.model = model
        self.shelf: Shelf | None = None
        self._settings = settings or environment.read()
        self._beside = ThreadPoolExecutor(1, initializer=cores.roam)
        self._busy_since: float | None = None
        self._checked = ("", 0.0)
        self._verbose = log.isEnabledFor(logging.DEBUG)
        self._loop: asyncio.AbstractEventLoop
        self._gate: Gate[_Asked]
        self._batcher: Batcher[_Asked]
        self._books: Books

    def start(self) -> None:
        """See Answerer."""
        loop = self._loop = asyncio.get_running_loop()
        self._gate = Gate(loop, self._settings.body_bytes, self._give_up)
        self._batcher = Batcher(loop, self._answered, self._failed)
        self._books = Books(loop, self._settings, self._gate, lambda: self.model.version)
        logs.event(log, logging.INFO, "ready", model_version=self.model.version)

    def close(self) -> None:
        """See Answerer."""
        self._books.close()
        logs.event(log, logging.INFO, "drained")

    def swapped(self) -> None:
        """Another model answers from now on."""
        self._books.leave()

    # What the connection tells; see Answerer.

    def begins(self, exchange: Exchange) -> None:
        """See Answerer: whether the request is let in."""
        request_id = errors.request_id(exchange.headers)
        if exchange.path == "/invocations" and exchange.method == "POST":
            asked = _Asked(exchange, request_id, self.model)
            size = exchange.size
            large = size > limits.DENSE_BODY_BYTES and _is_large(size, asked.content_type)
            try:
                self._gate.enter(asked, size, large=large)
            except Exception as error:
                self._refuse(exchange, request_id, error)
            else:
                exchange.state = asked
            return
        headers = [("x-amzn-requestid", request_id)]
        try:
            body, content_type = self._about(exchange)
        except Exception as error:
            self._refuse(exchange, request_id, error)
            return
        if exchange.method == "OPTIONS":
            exchange.answer(204, [*headers, ("allow", _allowed(exchange.path))])
        else:
            exchange.answer(200, [*headers, ("content-type", content_type)], body)

    def waits(self, exchange: Exchange) -> None:
        """See Answerer."""
        self._gate.waits(exchange.state)

    def grows(self, exchange: Exchange, size: int) -> None:
        """See Answerer: whether the body has become too large."""
        asked: _Asked = exchange.state
        try:
            self._gate.hold(asked, size)
        except (InputError, UnavailableError) as error:
            self._failed(asked, error)

    def keeps(self, size: int) -> None:
        """See Answerer."""
        self._gate.unsent += size

    def ends(self, exchange: Exchange) -> None:
        """See Answerer: the way of a request for predictions."""
        asked: _Asked = exchange.state
        self._gate.arrived(asked)
        try:
            size = len(exchange.body)
            if exchange.size < 0 and _is_large(size, asked.content_type):
                self._gate.enlarge(asked)
            if asked.large:
                beside = self._loop.run_in_executor(self._beside, self._predict_beside, asked)
                beside.add_done_callback(lambda done: self._answered_beside(asked, done))
                return
            asked.read = perf_counter_ns()
            request = handler.input_fn(exchange.body, asked.content_type)
            asked.parsed = perf_counter_ns()
            self._batcher.predict(asked, request, asked.model)
        except Exception as error:
            self._failed(asked, error)

    def breaks(self, exchange: Exchange, error: InputError) -> None:
        """See Answerer."""
        if exchange.state is None:
            self._refuse(exchange, errors.request_id(exchange.headers), error)
        else:
            self._failed(exchange.state, error)

    # What becomes of it.

    def _answered(
        self, askers: Sequence[_Asked], answer: handler.Answer, parts: Sequence[slice]
    ) -> None:
        """The batcher has an answer."""
        if len({asked.accept for asked in askers}) > 1:
            for asked, rows in zip(askers, parts, strict=True):
                self._answered([asked], answer, [rows])
                # The values of all rows are looked at once.
                answer = answer._replace(parts=())
            return
        try:
            done, bodies, content_type = _written(askers, answer, parts)
        except Exception as error:
            for asked in askers:
                self._failed(asked, error)
        else:
            self._finish(askers, done, bodies, content_type)

    def _predict_beside(self, asked: _Asked) -> _Written:
        """Runs in the thread beside the event loop."""
        self._busy_since = monotonic()
        try:
            asked.read = perf_counter_ns()
            request = handler.input_fn(asked.exchange.body, asked.content_type)
            asked.parsed = perf_counter_ns()
            answer = handler.predict_fn(request, asked.model)
            rows = slice(0, len(answer.predictions))
            done, bodies, content_type = _written([asked], answer, [rows])
            quality = Quality({})
            quality.count([(done.model, done.answer)])
            return done._replace(quality=quality), bodies, content_type
        finally:
            self._busy_since = None

    def _answered_beside(self, asked: _Asked, future: asyncio.Future[_Written]) -> None:
        error = future.exception()
        if error is None:
            self._finish([asked], *future.result())
        else:
            assert isinstance(error, Exception)
            self._failed(asked, error)

    def _finish(
        self, askers: Sequence[_Asked], done: Done, bodies: Sequence[bytes], content_type: str
    ) -> None:
        """Good answers."""
        self._books.recorder.answers(done)
        for asked, body in zip(askers, bodies, strict=True):
            self._leave(asked)
            headers = [("x-amzn-requestid", asked.request_id), ("content-type", content_type)]
            get = asked.exchange.headers.get
            if get(INFERENCE_ID) == asked.request_id:
                headers.append((INFERENCE_ID, asked.request_id))
            attributes = get(ATTRIBUTES)
            if attributes and _echoed(attributes):
                headers.append((ATTRIBUTES, attributes))
            asked.exchange.answer(200, headers, body)
        if self._verbose:
            for asked, rows, begun in zip(askers, done.each[::4], done.each[1::4], strict=True):
                logs.event(
                    log,
                    logging.DEBUG,
                    "answered",
                    status=200,
                    request_id=asked.request_id,
                    rows=rows,
                    ms=round((done.written - begun) / 1e6, 3),
                    model_version=done.answer.version,
                )

    def _leave(self, asked: _Asked) -> None:
        self._gate.leave(asked)
        # Else they hold each other, and a replaced model with them, until garbage is looked for.
        asked.exchange.state = None

    def _failed(self, asked: _Asked, error: Exception) -> None:
        """An error after the request was let in."""
        self._leave(asked)
        self._refuse(asked.exchange, asked.request_id, error)

    def _give_up(self, asked: _Asked) -> None:
        self._failed(asked, gate.late())

    def _refuse(self, exchange: Exchange, request_id: str, error: Exception) -> None:
        """Answer with an error: at once, or after the pause that it asks for."""
        status, body = errors.status(error), errors.body(request_id, error)
        headers = [("x-amzn-requestid", request_id), ("content-type", codecs.JSON)]
        if exchange.path == "/invocations" and exchange.headers.get(INFERENCE_ID) == request_id:
            headers.append((INFERENCE_ID, request_id))
        if status == 503:
            headers.append(("retry-after", "1"))
        elif status == 405:
            headers.append(("allow", _allowed(exchange.path)))
        self._report(error, status, request_id)
        # The frames in it hold the error, too, and the model: a circle, which would keep a
        # replaced model, and its folder on the disk, until somebody looks for garbage.
        error.__traceback__ = error.__context__ = None
        if isinstance(error, OverloadedError):
            exchange.discard(later=True)
            self._loop.call_later(error.pause, exchange.answer, status, headers, body)
        else:
            exchange.answer(status, headers, body)

    def _about(self, exchange: Exchange) -> tuple[bytes, str]:
        """Body and content type for what is asked about the server itself."""
        method = ROUTES.get(exchange.path)
        if method is None:
            known = ", ".join(f"{verb} {path}" for path, verb in ROUTES.items())
            raise InputError(
                "not_found", "There is nothing at this path", status=404, cure=f"Ask {known}"
            )
        if exchange.method == "OPTIONS":
            return b"", codecs.JSON
        if exchange.method != method and (exchange.method, method) != ("HEAD", "GET"):
            raise InputError(
                "method_not_allowed",
                f"{exchange.path} does not answer {exchange.method:.20}",
                status=405,
                cure=f"Use {method}",
            )
        if exchange.path == "/openapi.json":
            if self.model.openapi is None:
                raise InputError("not_found", "The model's bundle has no such file", status=404)
            return self.model.openapi, codecs.JSON
        if exchange.path == "/metrics":
            state = self.shelf.read() if self.shelf else None
            return self._books.page(state), prometheus.CONTENT_TYPE
        if exchange.path == "/execution-parameters":
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
        if self.draining:
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


_Written = tuple[Done, list[bytes], str]
"""What is counted, the bodies of the answers, and their content type."""


def _written(askers: Sequence[_Asked], answer: handler.Answer, parts: Sequence[slice]) -> _Written:
    """The answer to all of `askers`, who accept the same."""
    scored = perf_counter_ns()
    bodies, content_type = handler.output_each(answer, parts, askers[0].accept)
    written = perf_counter_ns()
    each: list[int] = []
    for asked, rows in zip(askers, parts, strict=True):
        each += rows.stop - rows.start, asked.exchange.begun, asked.read, asked.parsed
    return Done(askers[0].model, answer, each, scored, written), bodies, content_type


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
