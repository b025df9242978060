"""One request over HTTP, and who answers it: what a connection and an application share.

Here: the head of an answer. Not here: which bytes make a request, and when which answer is sent
(http1.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from shared.errors import InputError

if TYPE_CHECKING:
    from inference.http1 import Connection

Headers = Iterable[tuple[str, str]]

_STATUS = {each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n" for each in HTTPStatus}

REFUSED = 1
"""Why a connection reads nothing: an answer that refuses is held back."""


class Exchange:
    """One request, and the way to answer it.

    Attributes:
        method: as it was sent.
        path: of the target, without its query.
        headers: lower-case name → value; what came several times is joined by ", ".
        size: bytes of the body; -1 when it is not announced.
        body: whole, once `Answerer.ends` is called.
        begun: `perf_counter_ns` when the request's first byte was read.
        state: whatever who answers wants to keep with it.

    Those that the connection minds:
        keep: the connection goes on after the answer.
        parts: of the body, as far as it is there; None: it is whole, or not wanted.
        expects: the client asks whether to send the body.
        waits: the body did not come together with the head.
        ready: the answer, until its turn comes.
    """

    __slots__ = (
        "_connection", "begun", "body", "expects", "headers", "keep", "method", "parts", "path",
        "ready", "size", "state", "waits",
    )  # fmt: skip

    def __init__(
        self,
        connection: Connection,
        method: str,
        path: str,
        headers: dict[str, str],
        begun: int,
        *,
        size: int,
        keep: bool,
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.begun = begun
        self.size = size
        self.body = b""
        self.state: Any = None
        self._connection = connection
        self.keep = keep
        self.parts: list[bytes] | None = []
        self.ready: bytes | None = None
        self.waits = False
        self.expects = False

    def discard(self, *, later: bool = False) -> None:
        """Throw the body away, what is there and what comes.

        Args:
            later: what has not been read yet stays with the client until the answer is given.
        """
        self.parts = None
        if self.expects:
            # The client asked whether to send the body; what it makes of a no is its own choice.
            self.expects = self.keep = False
        if later:
            self._connection.hold(REFUSED)

    def answer(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """Answer; may be called before the body has come, which is then thrown away."""
        connection = self._connection
        if connection.arriving is self and self.parts is not None:
            self.discard()
            if status == HTTPStatus.REQUEST_TIMEOUT:
                self.keep = False  # nothing is left to wait for (RFC 9110, section 15.5.9)
        if connection.answerer.draining and connection.last_is(self):
            self.keep = False
        told = "".join([f"{name}: {value}\r\n" for name, value in headers])
        if status != 204:
            told = f"{told}content-length: {len(body)}\r\n"
        if not self.keep:
            told += "connection: close\r\n"
        data = f"{_STATUS[status]}{told}date: {_now()}\r\n\r\n".encode("latin-1")
        connection.send(self, data if self.method == "HEAD" else data + body)


class Answerer:
    """Who answers requests. Everything is called on the event loop's thread and must not raise.

    Attributes:
        draining: the end is near: each answer is the last one of its connection.
    """

    draining = False

    def start(self) -> None:
        """The first requests may come."""

    def close(self) -> None:
        """The last answer is given."""

    def begins(self, exchange: Exchange) -> None:
        """The head is there; an answer now is a refusal of the body."""

    def waits(self, exchange: Exchange) -> None:
        """The body did not come together with the head."""

    def grows(self, exchange: Exchange, size: int) -> None:
        """So many more bytes of a body of unannounced length have come."""

    def ends(self, exchange: Exchange) -> None:
        """The request is whole. It is answered now or later."""
        raise NotImplementedError

    def keeps(self, size: int) -> None:
        """So many more bytes of answers wait for clients to take them; fewer, if negative."""

    def breaks(self, exchange: Exchange, error: InputError) -> None:
        """The request is not sound HTTP, or broke off; its connection ends with the answer."""
        exchange.answer(error.status, ())


_date = (0, "")


def _now() -> str:
    """The time as a header has it."""
    global _date  # noqa: PLW0603 - of the process, made once a second
    second = int(time.time())
    if second != _date[0]:
        _date = second, formatdate(second, usegmt=True)
    return _date[1]
