"""HTTP/1.1 by hand: requests as bytes, however wrong; answers read as strictly as can be."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Mapping
from typing import NamedTuple

from tests.fuzz.bodies import Body

PATIENCE = 60.0
"""Seconds after which a server that says nothing hangs."""
GLANCE = 0.02
"""Seconds to wait for what a half request is answered with, if it is answered at all."""


class Answer(NamedTuple):
    """One answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Broken(Exception):  # noqa: N818 - what is told, not what went wrong here
    """The other side closed, or what it sent is no answer."""


class Connection:
    """One connection to the server."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""

    def send(self, data: bytes) -> None:
        """Send all of it, unless the other side has closed."""
        with contextlib.suppress(OSError):
            self._socket.sendall(data)

    def half_close(self) -> None:
        """Nothing more will be sent."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def answer(self, patience: float = PATIENCE) -> Answer:
        """The next answer; interim ones (1xx) are passed over.

        Raises:
            Broken: there is none.
            TimeoutError: nothing came.
        """
        self._socket.settimeout(patience)
        while True:
            head = self._until(b"\r\n\r\n").decode("latin1")
            first, *lines = head.split("\r\n")
            version, _, rest = first.partition(" ")
            if version not in ("HTTP/1.1", "HTTP/1.0") or not rest[:3].isdigit():
                raise Broken(f"no answer: {first!r:.100}")
            pairs = (line.partition(":") for line in lines)
            headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
            status = int(rest[:3])
            if status < 200:
                continue
            if headers.get("transfer-encoding") == "chunked":
                return Answer(status, headers, self._chunks())
            return Answer(status, headers, self._take(int(headers.get("content-length", 0))))

    def rest(self, patience: float) -> bytes:
        """Whatever comes until the other side closes or falls silent."""
        self._socket.settimeout(patience)
        with contextlib.suppress(OSError):
            while data := self._socket.recv(65_536):
                self._read += data
        return self._read

    def close(self, *, abruptly: bool = False) -> None:
        """Close, with a reset where that is wanted."""
        if abruptly:
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._socket.close()

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._read:
            self._more()
        found, self._read = self._read.split(mark, 1)
        return found

    def _take(self, size: int) -> bytes:
        while len(self._read) < size:
            self._more()
        found, self._read = self._read[:size], self._read[size:]
        return found

    def _chunks(self) -> bytes:
        found = b""
        while size := int(self._until(b"\r\n"), 16):
            found += self._take(size + 2)[:-2]
        self._until(b"\r\n")
        return found

    def _more(self) -> None:
        try:
            data = self._socket.recv(65_536)
        except TimeoutError:
            raise
        except OSError as error:
            raise Broken(str(error)) from None
        if not data:
            raise Broken("closed")
        self._read += data


def request(body: Body, request_id: str, accept: str = "*/*", *, chunked: bool = False) -> bytes:
    """A POST as it should be."""
    head = (
        f"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Type: {body.content_type}\r\n"
        f"Accept: {accept}\r\nX-Amzn-SageMaker-Inference-Id: {request_id}\r\n"
    )
    if chunked:
        middle = len(body.data) // 2
        pieces = [piece for piece in (body.data[:middle], body.data[middle:]) if piece]
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
        return head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    return f"{head}Content-Length: {len(body.data)}\r\n\r\n".encode("latin1") + body.data


def malformed(chance: random.Random, body: Body, request_id: str) -> bytes:
    """A request whose head, framing or path is wrong, or at least unusual."""
    good = request(body, request_id)
    head, _, data = good.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    length = b"Content-Length: %d" % len(data)
    smuggled = b"0\r\n\r\nGET /ping HTTP/1.1\r\nHost: a\r\n\r\n"
    heads = (
        [length, length],
        [length, b"Content-Length: 1"],
        [b"Content-Length: %d, %d" % (len(data), len(data))],
        [b"Content-Length: +%d" % len(data)],
        [b"Content-Length: -1"],
        [b"Content-Length: 0x10"],
        [b"Content-Length: " + b"9" * chance.choice((15, 19, 20, 40))],
        [b"Content-Length: "],
        [length, b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked, chunked"],
        [b"Transfer-Encoding: gzip, chunked"],
        [b"Transfer-Encoding: identity"],
        [b"Transfer-Encoding : chunked"],
        [b"Transfer-Encoding: \x0bchunked"],
        [b"Transfer-Encoding: xchunked", length],
        [b" Content-Length: 5"],
        [length, b"Expect: 100-continue"],
        [length, b"Expect: something-else"],
        [length, b"Connection: close"],
        [length, b"Connection: upgrade", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"],
        [length, b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: eA=="],
        [length, b"X-Long: " + b"a" * chance.choice((1000, 70_000, 500_000))],
        [length, *[b"X-Many: 1"] * chance.choice((50, 99, 101, 5000))],
        [length, b"X-Binary: \x80\xff\x01"],
        [length, b"X-Nul: a\x00b"],
        [length, b"X-Fold: a\r\n b"],
        [length, b"no colon at all"],
        [length, b": no name"],
        [length, b"X-Amzn-SageMaker-Custom-Attributes: " + b"a" * 3000],
        [length, b"X-Amzn-SageMaker-Inference-Id: \xe9\x80"],
        [length, b"Accept: " + b"text/csv;q=0.1," * chance.choice((1, 500))],
        [length, b"Accept: text/csv;q=nan, */*;q=-1, ;;;,,,=,q="],
        [
            length,
            b"Content-Type: text/csv; charset=" + chance.choice((b"utf-7", b"rot13", b"\xff")),
        ],
        [length, b"Content-Encoding: gzip"],
    )
    rest = [line for line in lines if not line.startswith(b"Content-Length")]
    draw = chance.randrange(10)
    if draw < 6:
        chosen = chance.choice(heads)
        if any(line.startswith(b"Transfer-Encoding") for line in chosen):
            data = chance.choice(
                (smuggled, b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data), *_chunks(data))
            )
        return b"\r\n".join([*rest, *chosen]) + b"\r\n\r\n" + data
    if draw == 6:
        methods = (b"GET", b"HEAD", b"OPTIONS", b"PUT", b"post", b"TRACE", b"CONNECT", b"A" * 300)
        paths = (
            b"/ping", b"/invocations?x=%00", b"/invocations/../ping", b"//invocations", b"*", b"",
            b"http://a/invocations", b"/\xff\xfe", b"/%ff%fe", b"/" + b"a" * 70_000, b"/metrics",
            b"/execution-parameters", b"/invocations#x", b"/invocations\x00", b"/openapi.json",
        )  # fmt: skip
        versions = (
            b"HTTP/1.1",
            b"HTTP/1.0",
            b"HTTP/2.0",
            b"HTTP/1.2",
            b"HTTP/0.9",
            b"http/1.1",
            b"",
        )
        rest[0] = b" ".join((chance.choice(methods), chance.choice(paths), chance.choice(versions)))
        return b"\r\n".join([*rest, length]) + b"\r\n\r\n" + data
    if draw == 7:  # cut short
        return good[: chance.randrange(len(good))]
    if draw == 8:  # other line ends, or none
        return good.replace(b"\r\n", chance.choice((b"\n", b"\r", b"\r\n\r\n", b"")), 3)
    spoilt = bytearray(good)
    for _ in range(chance.randint(1, 8)):
        spoilt[chance.randrange(min(len(spoilt), len(head)))] = chance.randrange(256)
    return bytes(spoilt)


def _chunks(data: bytes) -> list[bytes]:
    """Chunks that are none."""
    return [
        b"ffffffffffffffff\r\n" + data,
        b"-1\r\n" + data,
        b"zz\r\n" + data,
        b"5;" + b"x" * 20_000 + b"\r\nabcde\r\n0\r\n\r\n",
        b"5\r\nabc",
        b"0\r\nTrailer: x\r\n" * 200 + b"\r\n",
        b"1\r\na\r\n" * 5000 + b"0\r\n\r\n",
        b"00000000000000000000000000000005\r\nabcde\r\n0\r\n\r\n",
        b"\r\n\r\n",
    ]
