"""The kit's own core behind inference-server (J.P. Morgan's for SageMaker) and gunicorn."""

from __future__ import annotations

from typing import Any

import inference_server
from inference_server import _plugin

from inference import codecs, environment, handler


class Plugin:
    """inference-server's hooks, which are SageMaker's four functions."""

    @staticmethod
    @inference_server.plugin_hook
    def model_fn() -> handler.Model:
        """The bundle; the server's own directory is fixed to /opt/ml/model."""
        return handler.model_fn(environment.read().model_dir)

    @staticmethod
    @inference_server.plugin_hook
    def input_fn(input_data: bytes, content_type: str) -> codecs.Request:
        """Rows of a body."""
        return handler.input_fn(input_data, content_type)

    @staticmethod
    @inference_server.plugin_hook
    def predict_fn(data: codecs.Request, model: handler.Model) -> handler.Answer:
        """Predictions."""
        return handler.predict_fn(data, model)

    @staticmethod
    @inference_server.plugin_hook
    def output_fn(prediction: handler.Answer) -> tuple[bytes, str]:
        """JSON."""
        return handler.output_fn(prediction, codecs.JSON)


def create() -> Any:
    """The application of one gunicorn worker."""
    _plugin.manager().register(Plugin)
    inference_server.warmup()
    return inference_server.create_app()
