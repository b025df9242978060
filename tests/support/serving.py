"""The real server as a child process on 127.0.0.1, for tests that talk HTTP to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
START_SECONDS = 60


def free_port() -> int:
    """Below those that the system gives out; Multi Model Server takes none above 49151."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def start(
    model_dir: Path,
    port: int,
    *,
    workers: int = 1,
    stderr: Path,
    variables: Mapping[str, str] = {},
) -> subprocess.Popen[bytes]:
    """`python -m inference.server` as a container would start it, with nothing on its stdin."""
    environment = {
        **os.environ,
        "SM_MODEL_DIR": str(model_dir),
        "SERVER_ADDRESS": "127.0.0.1",
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "MODEL_SERVER_WORKERS": str(workers),
        **variables,
    }
    with stderr.open("ab") as sink:
        return subprocess.Popen(
            [sys.executable, "-m", "inference.server"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
        )


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Server:
    """A server that answers /ping."""

    port: int
    process: subprocess.Popen[bytes]
    stderr: Path

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        over: http.client.HTTPConnection | None = None,
    ) -> Reply:
        """One request, on a connection of its own unless one is given."""
        client = over or self.connect()
        try:
            client.request(method, path, body, dict(headers or {}))
            answer = client.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, names, answer.read())
        finally:
            if over is None:
                client.close()

    def invoke(self, body: Any, content_type: str = "application/json", **headers: str) -> Reply:
        """POST /invocations; what is not bytes or text is sent as JSON."""
        data = body if isinstance(body, bytes | str) else json.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("POST", "/invocations", data, {"Content-Type": content_type, **named})

    def log(self) -> list[dict[str, Any]]:
        """The server's events, without the lines for CloudWatch."""
        lines = (json.loads(line) for line in self.stderr.read_text().splitlines())
        return [line for line in lines if "event" in line]

    def metrics(self) -> list[dict[str, Any]]:
        """The lines for CloudWatch."""
        lines = (json.loads(line) for line in self.stderr.read_text().splitlines())
        return [line for line in lines if "_aws" in line]


@contextmanager
def serve(
    model_dir: Path, stderr: Path, *, workers: int = 1, variables: Mapping[str, str] = {}
) -> Iterator[Server]:
    """A running server; ended on leaving, if it still runs."""
    port = free_port()
    process = start(model_dir, port, workers=workers, stderr=stderr, variables=variables)
    server = Server(port, process, stderr)
    try:
        wait_until_ready(server)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def running(
    command: Sequence[str | Path], log: Path, *, cwd: Path, variables: Mapping[str, str] = {}
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that may start others; all of them are ended on leaving."""
    with log.open("ab") as sink:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        # Some of them are no longer its children, but all are of its session.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until_ready(server: Server, path: str = "/ping", seconds: float = START_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        try:
            if server.request("GET", path).status == 200:
                return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"the server did not start:\n{server.stderr.read_text()}")
