"""Load for a server on 127.0.0.1: as much as it takes (wrk), or at a rate (`paced`).

`paced` is our own because what Debian, npm and PyPI have does not hold a rate evenly: wrk has none,
autocannon sends a second's requests in one burst, h2load and hey count a late request from when it
was sent. One thread, no coroutines. It is open-loop: requests have fixed due times. One that finds
every connection busy is counted from when it was due, so a server that stalls is charged for all
that waited (no coordinated omission). How late the generator itself was is measured and told, and
is not counted as the server's.
"""

from __future__ import annotations

import contextlib
import gc
import json
import math
import select
import shutil
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_suffix(".lua")
THREADS = 2
ANSWER_SECONDS = 5.0
"""How long after the last due time answers are waited for."""


class LoadError(Exception):
    """What was to make the load failed; the message says how."""


@dataclass(frozen=True)
class Capacity:
    """What came back in a closed loop.

    Args:
        good: answers of 2xx and 3xx a second.
        answers: all of them.
        refused: share of answers with another status.
        broken: connections that failed or timed out.
    """

    good: float
    answers: int
    refused: float
    broken: int


@dataclass(frozen=True)
class Latency:
    """What came back at a rate. Seconds.

    Args:
        p50, p99: from when a request was due to its answer's last byte.
        failed: requests without a 200.
        late: the generator's own lateness, 99 % quantile.
        sent: requests.
    """

    p50: float
    p99: float
    failed: int
    late: float
    sent: int


def wrk() -> str:
    """The path of wrk; says how to get it where it is missing."""
    found = shutil.which("wrk")
    if found is None:
        sys.exit("wrk is needed: apt-get install wrk (Debian, Ubuntu), brew install wrk (macOS)")
    return found


def capacity(
    port: int,
    bodies: Path,
    content_type: str = "application/json",
    *,
    connections: int = 16,
    seconds: float,
) -> Capacity:
    """As many requests as the server answers, each connection sending when it has its answer.

    Args:
        port: of the server.
        bodies: a file with a NUL between two bodies, which are sent in turn.
        content_type: theirs.
        connections: all kept alive.
        seconds: how long; wrk takes whole ones.

    Raises:
        LoadError: wrk fails.
    """
    whole = max(1, math.ceil(seconds))
    words = [wrk(), f"-t{THREADS}", f"-c{max(connections, THREADS)}", f"-d{whole}s"]
    words += ["--timeout", "10s", "-s", str(SCRIPT), f"http://127.0.0.1:{port}"]
    words += ["--", str(bodies), content_type]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=whole + 60)
    for line in done.stdout.splitlines():
        if line.startswith("[result]"):
            said = json.loads(line.removeprefix("[result]"))
            answers = said["requests"]
            good = (answers - said["refused"]) / said["seconds"]
            return Capacity(good, answers, said["refused"] / max(answers, 1), said["broken"])
    raise LoadError(f"wrk failed:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")


def request(body: bytes, content_type: str = "application/json") -> bytes:
    """A whole HTTP request."""
    head = (
        f"POST /invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Connection:
    """One connection, kept alive as long as the server wants, opened when it is needed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._got = b""
        self._length = -1
        self.status = 0
        self.began = 0.0
        self.free_since = 0.0

    def fileno(self) -> int:
        """For `select`."""
        assert self._socket is not None
        return self._socket.fileno()

    def send(self, data: bytes) -> None:
        """Send a request."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), ANSWER_SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._got, self._length, self.status = b"", -1, 0
        self._socket.sendall(data)

    def receive(self) -> bool:
        """Take what came; whether the answer is whole. A broken connection ends with status 0."""
        assert self._socket is not None
        try:
            part = self._socket.recv(1 << 16)
        except OSError:
            part = b""
        self._got += part
        if self._length < 0:
            end = self._got.find(b"\r\n\r\n")
            if end >= 0:
                head = self._got[:end].lower()
                at = head.find(b"content-length:")
                if at >= 0:
                    self._length = end + 4 + int(head[at + 15 :].split(b"\r\n", 1)[0])
        whole = 0 <= self._length <= len(self._got)
        if whole:
            self.status = int(self._got[9:12])
        if not part or (whole and b"\r\nconnection: close" in self._got[:512].lower()):
            self.close()
            return True
        return whole

    @property
    def body(self) -> bytes:
        """The answer's body."""
        return self._got[self._got.find(b"\r\n\r\n") + 4 :]

    def close(self) -> None:
        """Close; the next request opens it anew."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def ask(port: int, body: bytes, content_type: str = "application/json") -> tuple[int, bytes]:
    """Status and body of one answer."""
    connection = Connection(port)
    try:
        connection.send(request(body, content_type))
        while not connection.receive():
            pass
        return connection.status, connection.body
    finally:
        connection.close()


def paced(
    port: int, requests: Sequence[bytes], *, rate: float, seconds: float, connections: int = 32
) -> Latency:
    """Send `requests` in turn, `rate` a second, evenly spaced.

    Args:
        port: of the server.
        requests: whole HTTP requests.
        rate: a second.
        seconds: how long.
        connections: at most so many are open.
    """
    count = max(1, round(rate * seconds))
    idle = deque(Connection(port) for _ in range(connections))
    busy: set[Connection] = set()
    latencies: list[float] = []
    late: list[float] = []
    sent = failed = 0
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter() + 0.005
        end = start + count / rate + ANSWER_SECONDS
        while sent < count or busy:
            now = time.perf_counter()
            if now > end:
                break
            while sent < count and idle and start + sent / rate <= now:
                due = start + sent / rate
                connection = idle.popleft()
                if connection.free_since <= due:
                    late.append(now - due)
                    connection.began = now
                else:
                    connection.began = due
                try:
                    connection.send(requests[sent % len(requests)])
                    busy.add(connection)
                except OSError:  # never answered, and so it counts as failed
                    connection.close()
                    idle.append(connection)
                sent += 1
                now = time.perf_counter()
            wait = start + sent / rate - now if sent < count and idle else 0.1
            for connection in select.select(list(busy), (), (), max(wait, 0.0))[0]:
                if connection.receive():
                    connection.free_since = time.perf_counter()
                    latencies.append(connection.free_since - connection.began)
                    failed += connection.status != 200
                    busy.remove(connection)
                    idle.append(connection)
    finally:
        gc.enable()
        for connection in (*idle, *busy):
            with contextlib.suppress(OSError):
                connection.close()
    return Latency(
        quantile(latencies, 0.5),
        quantile(latencies, 0.99),
        failed + count - len(latencies),
        quantile(late, 0.99),
        sent,
    )


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed; infinite where there is none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.inf
