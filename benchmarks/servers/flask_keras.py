"""The chapter's way: Flask and gunicorn around pandas, scikit-learn and `model.predict`."""

from __future__ import annotations

import os
from pathlib import Path

import flask

from benchmarks.servers.chapter import Chapter


def create() -> flask.Flask:
    """The application of one gunicorn worker."""
    app = flask.Flask(__name__)
    chapter = Chapter(Path(os.environ["SM_MODEL_DIR"]))

    @app.get("/ping")
    def ping() -> dict[str, str]:
        return {}

    @app.post("/invocations")
    def invocations() -> flask.Response:
        body = chapter(flask.request.get_data(), flask.request.mimetype)
        return flask.Response(body, mimetype="application/json")

    return app
