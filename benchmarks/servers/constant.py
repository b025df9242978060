"""Reads the body and answers fixed bytes: the kit's own server without the work.

HTTP is read and written by the same code, in workers that are started alike. The bytes are the
kit's answer to one row.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from inference import environment, handler, server
from inference.exchange import Answerer, Exchange


class Constant(Answerer):
    """Answers all requests alike."""

    def __init__(self, *_: object) -> None:
        model = handler.model_fn(environment.read().model_dir)
        body = Path(os.environ["BENCHMARK_REQUEST"]).read_bytes()
        request = handler.input_fn(body, "application/json")
        self._answer, _ = handler.output_fn(handler.predict_fn(request, model), None)
        self._headers = [("content-type", "application/json")]

    def ends(self, exchange: Exchange) -> None:
        """GET /ping and POST /invocations."""
        exchange.answer(200, self._headers, self._answer)


if __name__ == "__main__":
    sys.exit(server.main([], Constant))
