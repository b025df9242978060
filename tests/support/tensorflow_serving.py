"""A stand-in for TensorFlow Serving's REST interface that runs the SavedModel in TensorFlow.

After tensorflow_serving/util/json_tensor.cc: what a `predict` request in columns must be, that
numbers come back with all their digits, and which status an error has. gRPC, `classify`,
`regress` and requests in rows are not in it.

    python -m tests.support.tensorflow_serving JOB PORT

First it runs the training job whose tree is JOB, in the same process, since importing TensorFlow
takes long; then it serves what is in JOB/model/1.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support import mms, serving
from tests.support.serving import ROOT, Server

NAME = "model"
PATH = re.compile(r"/v1/models/(?P<name>[^/:]+)(/versions/(?P<version>\d+))?(:(?P<method>\w+))?")


class RefusedError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def predict(function: Any, request: object) -> bytes:
    """The answer to a `predict` request in columns."""
    import tensorflow as tf

    inputs = request.get("inputs") if isinstance(request, dict) else None
    if inputs is None:
        raise RefusedError(400, "Missing 'inputs' or 'instances' key")
    given = {}
    for name, wanted in function.structured_input_signature[1].items():
        if name not in inputs:
            raise RefusedError(400, f"Missing named input: {name} in 'inputs' object.")
        numbers = [number for row in inputs[name] for number in row]
        kinds = (int,) if wanted.dtype.is_integer else (int, float)
        if not all(type(number) in kinds for number in numbers):
            raise RefusedError(400, f"JSON Value is not of expected type: {wanted.dtype.name}")
        given[name] = tf.constant(inputs[name], wanted.dtype)
    outputs = function(**given)["output"].numpy()
    rows = ",".join(f"[{','.join(f'{value:.9g}' for value in row)}]" for row in outputs)
    return f'{{"outputs":[{rows}]}}'.encode()


class Rest(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    function: Any

    def do_GET(self) -> None:
        self._served()
        state = {"version": "1", "state": "AVAILABLE"}
        self._answer(200, json.dumps({"model_version_status": [state]}).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            method = self._served()
            if method != "predict":
                raise RefusedError(400, f"When method is {method}, key 'examples' is expected")
            self._answer(200, predict(self.function, json.loads(body)))
        except RefusedError as error:
            self._answer(error.status, json.dumps({"error": str(error)}).encode())

    def _served(self) -> str:
        found = PATH.fullmatch(self.path)
        if not found:
            raise RefusedError(404, f"Malformed request: {self.command} {self.path}")
        if found["name"] != NAME or found["version"] not in (None, "1"):
            raise RefusedError(404, f"Servable not found for request: Latest({found['name']})")
        return found["method"] or ""

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def run(job: Path, port: int) -> None:
    from training import train

    train.main(["--base", str(job)])
    import tensorflow as tf

    loaded = tf.saved_model.load(str(job / "model" / "1"))
    Rest.function = loaded.signatures["serving_default"]
    ThreadingHTTPServer(("127.0.0.1", port), Rest).serve_forever()


@contextmanager
def trained(job: Path, log: Path) -> Iterator[Server]:
    """Runs a training job; then TensorFlow Serving predicts with the network of its bundle."""
    port = serving.free_port()
    command = [sys.executable, "-m", __name__, job, str(port)]
    with serving.running(command, log, cwd=ROOT) as process:
        server = Server(port, process, log)
        serving.wait_until_ready(server, f"/v1/models/{NAME}", seconds=200)
        yield server


@contextmanager
def python_service(model_dir: Path, rest_port: int, log: Path) -> Iterator[Server]:
    """The image's Python service with a bundle, in front of TensorFlow Serving."""
    port = serving.free_port()
    script = Path(__file__).with_name("python_service.py")
    command = [mms.environment() / "python", "-P", script, str(port), model_dir, str(rest_port)]
    code = model_dir / "code"
    variables = {
        "PYTHONPATH": f"{code}:{code / 'lib'}",
        "PYTHONDONTWRITEBYTECODE": "",
        "SM_MODEL_DIR": str(model_dir),
        "TFS_REST_PORTS": str(rest_port),
        "TFS_GRPC_PORTS": "9000",
        "TFS_DEFAULT_MODEL_NAME": NAME,
    }
    with serving.running(command, log, cwd=model_dir.parent, variables=variables) as process:
        server = Server(port, process, log)
        serving.wait_until_ready(server)
        yield server


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]))
