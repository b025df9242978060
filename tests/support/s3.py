"""S3 of moto's on this machine, and bad days of it: faults injected below boto3."""

from __future__ import annotations

import contextlib
import io
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse

from shared import storage

BUCKET = "bucket"


@contextlib.contextmanager
def server() -> Iterator[str]:
    """An S3 server in a thread, on 127.0.0.1; its address."""
    from moto.server import ThreadedMotoServer

    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    try:
        yield f"http://127.0.0.1:{running.get_host_and_port()[1]}"
    finally:
        running.stop()


def begin(address: str, patch: pytest.MonkeyPatch) -> None:
    """An empty bucket at that server, which boto3 now speaks to; its attempts follow at once."""
    urllib.request.urlopen(f"{address}/moto-api/reset", data=b"").close()
    patch.delenv("AWS_PROFILE", raising=False)
    for name, value in {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        patch.setenv(name, value)
    pause = time.sleep
    # Not none at all: a thread that another test left, and which polls, would take a whole core.
    patch.setattr("time.sleep", lambda _: pause(0.001))
    boto3.client("s3").create_bucket(Bucket=BUCKET)


class Raw:
    """The body of an answer as urllib3 has it."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        """All of it, at once."""
        yield self._file.read()

    def read(self, *_: Any, **__: Any) -> bytes:
        """What is left of it."""
        return self._file.read()


Fault = Callable[[Any], AWSResponse]


def refused(status: int, code: str) -> Fault:
    """An answer of S3's that refuses."""
    text = f"<Error><Code>{code}</Code><Message>as S3 says</Message></Error>"
    return lambda request: AWSResponse(request.url, status, {}, Raw(text.encode()))


def raising(error: Exception) -> Fault:
    """No answer: the network fails."""

    def answer(_: Any) -> AWSResponse:
        raise error

    return answer


SLOW_DOWN = refused(503, "SlowDown")
DENIED = refused(403, "AccessDenied")


class Day:
    """An S3 client, what goes wrong with it, and how often each operation was called.

    Args:
        fault: the answer in place of S3's own, which then does nothing.
        times: how many calls of one operation get it.
        only: the operation concerned; all, if None.
    """

    def __init__(self, fault: Fault, times: int, only: str | None = None) -> None:
        self.calls: dict[str, int] = {}
        self.client = storage.client()
        self._lock = threading.Lock()
        self._fault, self._times, self._only = fault, times, only
        self.client.meta.events.register("before-send.s3", self._send)

    def _send(self, request: Any, event_name: str, **_: Any) -> AWSResponse | None:
        operation = event_name.rsplit(".", 1)[-1]
        with self._lock:
            self.calls[operation] = self.calls.get(operation, 0) + 1
            meant = self._only in (None, operation) and self.calls[operation] <= self._times
        return self._fault(request) if meant else None
