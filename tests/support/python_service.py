"""A stand-in for the Python service of AWS's TensorFlow Serving image, written from its contract.

After scripts/docker/tensorflow/inference/sagemaker/python_service.py and tfs_utils.py of
aws/deep-learning-containers (TensorFlow Serving 2.20): how ``code/inference.py`` is loaded, what
`handler` is given, what becomes of its result and of its errors, and that /ping says 200 whatever.
Not in it: several models, and nginx in front.

It runs in the toolkit's environment: falcon 3.1, gunicorn and gevent, numpy 1.26. What the image
has not is hidden.

    python python_service.py PORT MODEL_DIR TFS_REST_PORT
"""
# ruff: noqa: E402
# The image patches first, too.

from __future__ import annotations

import gevent.monkey

gevent.monkey.patch_all()

import importlib.util
import json
import logging
import os
import re
import sys
from collections import namedtuple
from typing import Any

ABSENT = (
    "onnxruntime",
    "pyarrow",
    "tensorflow",
    "keras",
    "uvloop",
    "httptools",
    "sagemaker_inference",
)
for name in ABSENT:
    sys.modules[name] = None

import falcon
from gunicorn.app.base import BaseApplication

logging.basicConfig(format="%(process)d %(levelname)s %(message)s", force=True, level=logging.INFO)
log = logging.getLogger("service")
logging.captureWarnings(True)

ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
Context = namedtuple(
    "Context",
    "model_name, model_version, method, rest_uri, grpc_port, channel, custom_attributes, "
    "request_content_type, accept_header, content_length, timeout",
)


class Invocations:
    def __init__(self, script: str, rest_port: str) -> None:
        self._rest_port = rest_port
        spec = importlib.util.spec_from_file_location("inference", script)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self._handler = module.handler

    def on_post(self, req: Any, res: Any) -> None:
        try:
            context = self._context(req)
        except ValueError as error:
            res.status = falcon.HTTP_400
            res.body = json.dumps({"error": str(error)}).encode()
            return
        try:
            res.status = falcon.HTTP_200
            res.body, res.content_type = self._handler(req.stream, context)
        except falcon.HTTPError:
            raise
        except Exception as error:
            log.exception("exception handling request")
            res.status = falcon.HTTP_500
            res.body = json.dumps({"error": str(error)}).encode()

    def _context(self, req: Any) -> Context:
        header = req.get_header(ATTRIBUTES)
        pairs = re.findall(r"(tfs-[a-z\-]+=[^,]+)", header or "")
        asked = dict(pair.split("=", 1) for pair in pairs)
        name, version = asked.get("tfs-model-name"), asked.get("tfs-model-version")
        method = asked.get("tfs-method", "predict")
        if name is not None and not re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]{0,254}", name):
            raise ValueError("invalid tfs-model-name")
        if version is not None and not re.fullmatch(r"\d+", version):
            raise ValueError("invalid tfs-model-version: must be a positive integer")
        if method not in ("predict", "classify", "regress"):
            raise ValueError("invalid tfs-method: must be one of predict|classify|regress")
        served = name or os.environ["TFS_DEFAULT_MODEL_NAME"]
        uri = f"http://localhost:{self._rest_port}/v1/models/{served}"
        uri += f"/versions/{version}" if version else ""
        return Context(
            name,
            version,
            asked.get("tfs-method"),
            f"{uri}:{method}",
            "9000",
            None,
            header,
            req.get_header("Content-Type") or "application/json",
            req.get_header("Accept") or "application/json",
            req.content_length,
            60,
        )


class Ping:
    def on_get(self, req: Any, res: Any) -> None:
        res.status = falcon.HTTP_200


class Service(BaseApplication):
    def __init__(self, application: Any, port: str) -> None:
        self._application, self._port = application, port
        super().__init__()

    def load_config(self) -> None:
        self.cfg.set("bind", f"127.0.0.1:{self._port}")
        self.cfg.set("worker_class", "gevent")

    def load(self) -> Any:
        return self._application


if __name__ == "__main__":
    port, model_dir, rest_port = sys.argv[1:]
    app = falcon.API()
    app.add_route("/ping", Ping())
    app.add_route("/invocations", Invocations(f"{model_dir}/code/inference.py", rest_port))
    Service(app, port).run()
