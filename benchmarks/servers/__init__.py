"""The servers that are compared: all answer POST /invocations and GET /ping, with one bundle.

One module a server. Each is told by the environment variables of `inference.environment` what to
load, where to listen and how many workers to have. Here: how each is started. Not here: starting
them (benchmarks/running.py).
"""

from __future__ import annotations

from dataclasses import dataclass

_GUNICORN = (
    "-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "{workers}", "--timeout", "0",
    "--log-level", "warning",
)  # fmt: skip
_THREADS = ("--worker-class", "gthread", "--threads", "8", "--keep-alive", "75")
"""Faster than gunicorn's default where an answer takes less than a millisecond; TensorFlow has more
use for one thread a worker."""


@dataclass(frozen=True)
class Server:
    """One way to serve.

    Args:
        name: as it is printed.
        command: arguments of Python; {port} and {workers} are filled in.
        kit: it runs in the kit's own environment; else in that of requirements.txt.
        every_row: its answers fit every row; else only the first one's.
        program: what it needs beside Python.
    """

    name: str
    command: tuple[str, ...]
    kit: bool = False
    every_row: bool = True
    program: str | None = None


SERVERS = {
    "ours": Server("this kit", ("-m", "inference.server"), kit=True),
    "constant": Server(
        "the same settings, fixed bytes",
        ("-m", "benchmarks.servers.constant"),
        kit=True,
        every_row=False,
    ),
    "ceiling": Server(
        "JSON + ONNX Runtime, nothing else",
        ("-m", "benchmarks.servers.ceiling"),
        kit=True,
        every_row=False,
    ),
    "flask_keras": Server(
        "Flask + gunicorn, pandas + model.predict",
        (*_GUNICORN, "benchmarks.servers.flask_keras:create()"),
    ),
    "flask_onnx": Server(
        "Flask + gunicorn, the kit's core",
        (*_GUNICORN, *_THREADS, "benchmarks.servers.flask_onnx:create()"),
    ),
    "litserve": Server("LitServe, the kit's core", ("-m", "benchmarks.servers.litserve")),
    "inference_server": Server(
        "inference-server, the kit's core",
        (*_GUNICORN, *_THREADS, "benchmarks.servers.inference_server:create()"),
    ),
    "mms": Server(
        "MMS + sagemaker-inference, the kit's core",
        ("-m", "benchmarks.servers.mms"),
        program="java",
    ),
}
