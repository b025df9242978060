"""Clients that keep their connections and go on asking, each in a thread of its own."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

SECONDS = 30


def request(body: bytes, content_type: str = "application/json") -> bytes:
    """A whole POST /invocations."""
    head = (
        f"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass
class Answer:
    """What came back; status 0: the connection ended before.

    `first` says that nothing had come over this connection before.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    first: bool = False

    @property
    def worker(self) -> int:
        """The process that answered, which new request ids tell."""
        return int(self.headers["x-amzn-requestid"].split("-")[1], 16)

    def json(self) -> Any:
        return json.loads(self.body)


def read(connection: socket.socket) -> Answer:
    """One answer with a Content-Length."""
    got = b""
    while b"\r\n\r\n" not in got:
        part = connection.recv(1 << 16)
        if not part:
            return Answer(0)
        got += part
    while len((answer := parse(got)).body) < int(answer.headers.get("content-length", "0")):
        part = connection.recv(1 << 16)
        if not part:
            return Answer(0)
        got += part
    return answer


def parse(got: bytes) -> Answer:
    """The answer in `got`, as much of its body as is there."""
    head, _, body = got.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return Answer(int(first.split()[1]), headers, body)


class Client:
    """Asks one thing again and again over one connection, until told to stop.

    Attributes:
        answers: all of them, in order.
        refused: it could not connect: nobody listened.
    """

    def __init__(self, port: int, data: bytes) -> None:
        self.answers: list[Answer] = []
        self.refused = False
        self._port = port
        self._data = data
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Wait for the last answer."""
        self._stopped.set()
        self._thread.join(SECONDS)

    def _run(self) -> None:
        deadline = time.monotonic() + SECONDS
        while not self._stopped.is_set() and time.monotonic() < deadline:
            try:
                connection = socket.create_connection(("127.0.0.1", self._port), SECONDS)
            except OSError:
                self.refused = True
                return
            with connection:
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        first = True
        while not self._stopped.is_set():
            try:
                connection.sendall(self._data)
                answer = read(connection)
            except OSError:
                answer = Answer(0)
            answer.first, first = first, False
            self.answers.append(answer)
            if answer.status == 0 or answer.headers.get("connection") == "close":
                return


@contextmanager
def asking(port: int, data: bytes, count: int) -> Iterator[list[Client]]:
    """`count` clients that go on asking for `data`."""
    clients = [Client(port, data) for _ in range(count)]
    try:
        yield clients
    finally:
        for client in clients:
            client.stop()
