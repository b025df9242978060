"""Reads the body and answers fixed bytes: the kit's own server without the work.

It is started by the kit's own entry, so that every setting of granian is the same. The bytes are
the kit's answer to one row.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from inference import environment, handler, server


class Constant:
    """Answers all requests alike."""

    def __init__(self, *_: object) -> None:
        model = handler.model_fn(environment.read().model_dir)
        body = Path(os.environ["BENCHMARK_REQUEST"]).read_bytes()
        request = handler.input_fn(body, "application/json")
        self._answer, _ = handler.output_fn(handler.predict_fn(request, model), None)
        self._headers = [("content-type", "application/json")]

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """GET /ping and POST /invocations."""
        await protocol()
        protocol.response_bytes(200, self._headers, self._answer)


if __name__ == "__main__":
    server.application = Constant  # type: ignore[assignment]
    sys.exit(server.main([]))
