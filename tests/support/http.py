"""A connection of the server without a network: bytes go in, answers come out."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any, NamedTuple

from inference.exchange import Answerer
from inference.http1 import Connection


class Answer(NamedTuple):
    """One answer as a client would read it; of an interim one there is but the status."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """In place of asyncio's transport.

    Attributes:
        written: all bytes so far.
        reading: whether the connection wants more.
        closed: closed, or aborted, by the connection.
        finished: nothing more will be written.
        unsent: so many bytes have not left yet.
    """

    def __init__(self) -> None:
        self.written = b""
        self.reading = True
        self.closed = self.aborted = self.finished = False
        self.unsent = 0

    def write(self, data: bytes) -> None:
        assert not self.closed
        assert not self.finished
        self.written += data

    def write_eof(self) -> None:
        self.finished = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True


class Client:
    """The other side of one connection."""

    def __init__(self, answerer: Answerer) -> None:
        self.site: Any = SimpleNamespace(
            now=0, answerer=answerer, opened=lambda _: None, closed=lambda _: None
        )
        self.wire = Wire()
        self.connection = Connection(self.site)
        self.connection.connection_made(self.wire)

    def send(self, data: bytes, piece: int = 65_536) -> None:
        """Send as long as the connection is open."""
        for start in range(0, len(data), piece):
            if not self.wire.closed:
                self.connection.data_received(data[start : start + piece])

    def half_close(self) -> None:
        """Nothing more will be sent."""
        if not self.connection.eof_received():
            self.wire.close()

    def wait(self, seconds: int) -> None:
        """Let so many seconds pass."""
        for _ in range(seconds):
            self.site.now += 1
            self.connection.check()

    def close(self) -> None:
        """The connection is gone."""
        self.connection.connection_lost(None)

    def read(self) -> list[Answer]:
        """All answers so far; each must be whole."""
        found = []
        rest = self.wire.written
        while rest:
            head, mark, rest = rest.partition(b"\r\n\r\n")
            assert mark
            first, *lines = head.decode().split("\r\n")
            headers = {
                name.lower(): value for name, value in (line.split(": ", 1) for line in lines)
            }
            size = int(headers.get("content-length", 0))
            assert len(rest) >= size
            found.append(Answer(int(first.split()[1]), headers, rest[:size]))
            rest = rest[size:]
        return found

    async def answers(self, count: int) -> list[Answer]:
        """The first `count` answers, once they are there."""
        async with asyncio.timeout(30):
            while len(self.read()) < count:
                await asyncio.sleep(0.001)
        return self.read()


def connect(answerer: Answerer) -> Client:
    """A new connection."""
    return Client(answerer)
