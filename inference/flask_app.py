"""The small application: predict, tailor, measure and log, behind an API, with a page to try it.

    python -m inference.flask_app

For a proof of concept, in one process: the handler is the endpoint's own, and its answers and
errors are those of the server to the byte, but overload, metrics of several workers and hot swap
are not dealt with here. `create_app` serves any WSGI server. Flask is needed for this alone.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import logging
import logging.config
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from inference import codecs, environment, errors, handler, limits, logs, page
from inference.measures import Measures, rows_of
from shared import bundle as bundles
from shared.errors import InputError, KitError

if TYPE_CHECKING:
    from flask import Flask, Response
    from werkzeug.exceptions import HTTPException

MEASURE_SECONDS = 60
"""Between two lines of the log that say how it goes."""

TAILORED_ROWS = 1_000
"""Rows that are shown as the network sees them."""

ROUTES = "GET /, GET /ping, POST /invocations, POST /tailored, POST /outcomes or GET /measures"

log = logging.getLogger("inference")


class Application:
    """What the routes do, apart from HTTP.

    Args:
        bundle: a loaded bundle.
    """

    def __init__(self, bundle: bundles.Bundle) -> None:
        self.bundle = bundle
        self.model = handler.Model(bundle)
        self.measures = Measures()
        self._measured = time.monotonic()
        self._lock = threading.Lock()

    def predict(self, body: bytes, content_type: str | None, request_id: str) -> handler.Answer:
        """Answer the rows in `body`, count it, and now and then say how it goes.

        Raises:
            InputError: naming row and column.
        """
        answer = handler.predict_fn(handler.input_fn(body, content_type), self.model)
        self.measures.answered(request_id, answer)
        logs.event(log, logging.DEBUG, "answered", request_id=request_id)
        with self._lock:
            due = time.monotonic() - self._measured > MEASURE_SECONDS
            if due:
                self._measured = time.monotonic()
        if due:
            logs.event(log, logging.INFO, "measured", **self.measures.report())
        return answer

    def tailored(self, body: bytes, content_type: str | None) -> bytes:
        """The rows in `body` as the network sees them, as JSON.

        Of each its columns, those that were looked up or made included, and the network's inputs.

        Raises:
            InputError: naming row and column; 413 for more than TAILORED_ROWS rows.
        """
        answer = handler.predict_fn(handler.input_fn(body, content_type), self.model)
        if rows_of(answer) > TAILORED_ROWS:
            raise InputError(
                "too_many_rows",
                f"More than {TAILORED_ROWS} rows",
                status=413,
                cure="Send fewer to see what becomes of them",
            )
        transforms = self.bundle.transforms
        categories = [name for name, _ in transforms.categories]
        rows = []
        for columns, encoded in answer.parts:
            cells = {name: _plain(array) for name, array in columns.items()}
            for row in range(len(encoded.codes)):
                numbers = zip(transforms.numeric_names, encoded.numeric[row].tolist(), strict=True)
                codes = zip(categories, encoded.codes[row].tolist(), strict=True)
                rows.append(
                    {
                        "columns": {name: values[row] for name, values in cells.items()},
                        "numeric": dict(numbers),
                        "codes": dict(codes),
                    }
                )
        return orjson.dumps({"rows": rows, "model_version": answer.version})

    def outcomes(self, body: bytes) -> bytes:
        """Count what came true of earlier predictions; how many were counted, as JSON.

        Raises:
            InputError: the body is no such object, or its request id is not known.
        """
        try:
            told = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise InputError("invalid_json", f"The body is not JSON: {error}") from None
        if not (
            isinstance(told, dict)
            and set(told) == {"request_id", "outcomes"}
            and isinstance(told["request_id"], str)
            and isinstance(told["outcomes"], list)
        ):
            raise InputError(
                "wrong_shape",
                "The body says no outcomes",
                cure='Send {"request_id": "…", "outcomes": […]}',
            )
        counted = self.measures.outcomes(told["request_id"], told["outcomes"])
        return orjson.dumps({"counted": counted})

    def from_form(self, form: Mapping[str, str], request_id: str) -> dict[str, Any]:
        """The prediction for the row that the page's form holds.

        Raises:
            InputError: naming the column.
        """
        names = [column.name for column in self.bundle.schema.columns]
        text = io.StringIO()
        csv.writer(text).writerows([names, [form.get(name, "") for name in names]])
        answer = self.predict(text.getvalue().encode(), codecs.CSV, request_id)
        return answer.predictions.to_records()[0]


def create_app(model_dir: str | Path) -> Flask:
    """The application for any WSGI server.

    Args:
        model_dir: directory of the bundle.

    Raises:
        BundleError: see `inference.handler.model_fn`.
        KitError: Flask is not installed.
    """
    try:
        from flask import Flask, Response, render_template_string, request
        from werkzeug.exceptions import HTTPException
    except ImportError as error:
        raise KitError("Flask is not installed", cure="pip install flask") from error

    app = Flask(__name__, static_folder=None)
    ours = Application(bundles.load(Path(model_dir)))

    def request_id() -> str:
        """Of this request; the same however often it is asked for."""
        if "request_id" not in request.environ:
            request.environ["request_id"] = errors.request_id(request.headers)
        return str(request.environ["request_id"])

    def body() -> bytes:
        with _reading():
            found = request.stream.read(limits.BODY_BYTES + 1)
        if len(found) > limits.BODY_BYTES:
            raise limits.too_large()
        return found

    def answer(data: bytes, status: int = 200, content_type: str = codecs.JSON) -> Response:
        return Response(data, status, {"x-amzn-requestid": request_id()}, content_type=content_type)

    def show(status: int, values: Mapping[str, str], **told: Any) -> Response:
        text = render_template_string(
            page.TEMPLATE,
            project=ours.bundle.manifest.project,
            version=ours.model.version,
            target=ours.bundle.schema.target.name,
            style=page.STYLE,
            fields=page.fields(ours.bundle, values),
            **told,
        )
        shown = answer(text.encode(), status, "text/html; charset=utf-8")
        shown.headers.extend(page.HEADERS)
        return shown

    def report(error: Exception) -> None:
        status, code = errors.status(error), errors.code(error)
        ours.measures.refused(code)
        fields = {"status": status, "request_id": request_id(), "code": code}
        if status == 500:
            log.error("failed", exc_info=error, extra={"fields": fields})
        else:
            logs.event(log, logging.WARNING, "refused", **fields)

    @app.get("/ping")
    def ping() -> Response:
        try:
            ours.model.check()
        except Exception as error:
            message = f"The model does not answer: {error}"
            raise errors.UnavailableError("not_ready", message) from error
        return answer(b"{}")

    @app.post("/invocations")
    def invocations() -> Response:
        found = ours.predict(body(), request.headers.get("content-type"), request_id())
        data, content_type = handler.output_fn(found, request.headers.get("accept"))
        return answer(data, content_type=content_type)

    @app.post("/tailored")
    def tailored() -> Response:
        return answer(ours.tailored(body(), request.headers.get("content-type")))

    @app.post("/outcomes")
    def outcomes() -> Response:
        return answer(ours.outcomes(body()))

    @app.get("/measures")
    def measures() -> Response:
        return answer(orjson.dumps(ours.measures.report()))

    @app.route("/", methods=["GET", "POST"], endpoint="page")
    def try_it() -> Response:
        if request.method != "POST":
            return show(200, page.example(ours.bundle))
        with _reading():
            form = request.form
        try:
            prediction = ours.from_form(form, request_id())
        except InputError as mistake:
            report(mistake)
            return show(mistake.status, form, mistake=str(mistake), column=mistake.column)
        return show(200, form, prediction=prediction)

    @app.errorhandler(Exception)
    def wrong(error: Exception) -> Response:
        headers = []
        if isinstance(error, HTTPException):
            headers = [pair for pair in error.get_headers() if pair[0] == "Allow"]
            error = _of_http(error)
        report(error)
        reply = answer(errors.body(request_id(), error), errors.status(error))
        reply.headers.extend(headers)
        return reply

    return app


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """What goes wrong while a body is read is its sender's doing."""
    try:
        yield
    except OSError as error:
        message = f"The body cannot be read: {error}"
        raise InputError("bad_request", message, cure="Send it as RFC 9112 says") from error


def _of_http(error: HTTPException) -> Exception:
    """Flask's own refusals in the words of the server."""
    known = {404: ("not_found", "There is nothing at this path"), 413: ("too_large", "Too much")}
    status = error.code or 500
    if status == 405:
        return InputError(
            "method_not_allowed",
            "This path does not answer this method",
            status=405,
            cure=f"Ask {ROUTES}",
        )
    if 400 <= status < 500:
        code, message = known.get(status, ("bad_request", "The request is not sound HTTP"))
        return InputError(code, message, status=status, cure=f"Ask {ROUTES}")
    return error


def _plain(array: Any) -> list[Any]:
    """A column's values as JSON has them, missing ones as null."""
    if array.dtype.kind == "M":
        return [None if np.isnat(value) else str(value) for value in array]
    if array.dtype.kind == "f":
        return [None if np.isnan(value) else value for value in array.tolist()]
    return list(array)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m inference.flask_app",
        description="The small application; open its address in a browser.",
        epilog=f"environment variables:\n{environment.USAGE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(arguments)
    logging.config.dictConfig(logs.CONFIG)
    try:
        settings = environment.read()
        app = create_app(settings.model_dir)
    except KitError as error:
        logs.event(log, logging.ERROR, "cannot start", reason=str(error))
        return 1
    # It comes with Flask. Each connection has a thread.
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Handler(WSGIRequestHandler):
        timeout = limits.BODY_SECONDS  # else who says nothing keeps his thread

        def log_request(self, *_: object) -> None:
            """The application's log has what there is to say."""

    server = make_server(
        settings.address, settings.port, app, threaded=True, request_handler=Handler
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    logs.event(log, logging.INFO, "starting", address=settings.address, port=settings.port)
    with server:
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
