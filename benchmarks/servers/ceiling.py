"""Parses JSON and calls ONNX Runtime, and nothing between: no validation, look-up or transforms.

The network reads the same matrices every time, those of one row. Like constant.py it is started by
the kit's own entry.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import onnxruntime
import orjson

from inference import environment, server
from inference.exchange import Answerer, Exchange
from shared import bundle as bundles


class Ceiling(Answerer):
    """Answers with what the network says to fixed matrices."""

    def __init__(self, *_: object) -> None:
        bundle = bundles.load(environment.read().model_dir)
        row = orjson.loads(Path(os.environ["BENCHMARK_REQUEST"]).read_bytes())["instances"]
        encoded = bundle.encode(bundle.schema.from_records(row))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            bundle.path / bundles.MODEL, options, providers=["CPUExecutionProvider"]
        )
        self._feed = {
            given.name: getattr(encoded, given.name) for given in self._session.get_inputs()
        }
        self._target = bundle.schema.target
        self._version = bundle.manifest.digest[:12]
        self._headers = [("content-type", "application/json")]

    def ends(self, exchange: Exchange) -> None:
        """GET /ping and POST /invocations."""
        if exchange.path == "/ping":
            exchange.answer(200, ())
            return
        orjson.loads(exchange.body)
        score = self._session.run(["output"], self._feed)[0].item()
        label = self._target.classes[score >= self._target.threshold]
        prediction = {
            "label": label,
            "score": score,
            "scores": {"false": 1 - score, "true": score},
        }
        answer = {"predictions": [prediction], "model_version": self._version}
        exchange.answer(200, self._headers, orjson.dumps(answer))


if __name__ == "__main__":
    sys.exit(server.main([], Ceiling))
