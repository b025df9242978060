"""The kit's own core (ONNX Runtime, its validation and transforms) behind Flask and gunicorn."""

from __future__ import annotations

import flask

from inference import environment, handler


def create() -> flask.Flask:
    """The application of one gunicorn worker."""
    app = flask.Flask(__name__)
    model = handler.model_fn(environment.read().model_dir)

    @app.get("/ping")
    def ping() -> dict[str, str]:
        return {}

    @app.post("/invocations")
    def invocations() -> flask.Response:
        asked = flask.request
        request = handler.input_fn(asked.get_data(), asked.content_type)
        answer = handler.predict_fn(request, model)
        body, kind = handler.output_fn(answer, asked.headers.get("Accept"))
        return flask.Response(body, mimetype=kind)

    return app
