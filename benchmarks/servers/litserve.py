"""The kit's own core behind LitServe: as many inference workers, and as many HTTP servers.

Annotations are no text here (no `from __future__ import annotations`): LitServe reads one.
"""

import litserve
import orjson
from fastapi import Request, Response

from inference import codecs, environment, handler


class Api(litserve.LitAPI):
    """LitServe's steps. It parses JSON itself, in another process than the worker's."""

    def setup(self, device: str) -> None:
        """Load the bundle in the worker."""
        self.model = handler.model_fn(environment.read().model_dir)

    def decode_request(self, request: Request) -> codecs.Request:
        """Rows of a body."""
        return handler.input_fn(orjson.dumps(request), codecs.JSON)

    def predict(self, x: codecs.Request) -> handler.Answer:
        """Predictions."""
        return handler.predict_fn(x, self.model)

    def encode_response(self, output: handler.Answer) -> Response:
        """JSON."""
        body, kind = handler.output_fn(output, codecs.JSON)
        return Response(body, media_type=kind)


if __name__ == "__main__":
    settings = environment.read()
    litserve.LitServer(
        Api(api_path="/invocations"),
        accelerator="cpu",
        workers_per_device=settings.workers,
        healthcheck_path="/ping",
        timeout=False,
    ).run(
        host=settings.address,
        port=settings.port,
        num_api_servers=settings.workers,
        generate_client_file=False,
        log_level="warning",
    )
