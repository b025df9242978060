"""HTTP/1.1 on one connection (RFC 9110, RFC 9112): bytes → requests, and answers → bytes.

llhttp, the parser of Node.js, reads (httptools); asyncio's transport carries. Requests that come
while others are under way (pipelining) are begun at once and answered in their order. What is not
sound HTTP gets a 4xx and the end of its connection, for nobody can tell where the next request
would begin. Here: framing, limits of the head, keep-alive, back-pressure. Not here: which
connections there are and how long they may take (connections.py), what a request is and
how an answer is written (exchange.py), what is answered (application.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import httptools

from inference import limits
from inference.exchange import REFUSED, Exchange
from shared.errors import InputError

if TYPE_CHECKING:
    from inference.connections import Connections

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

SMALL_PART = 512
"""Parts of a body below so many bytes are put together at once: each by itself, they would take
many times their bytes."""

_CHUNKED = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
_LENGTH = b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n"

log = logging.getLogger("inference")


_FULL = REFUSED << 1
"""Why nothing is read, beside REFUSED: the client does not take its answers."""


class Connection(asyncio.Protocol):
    """One connection.

    Args:
        site: all connections of this worker.

    Attributes:
        since: `site.now` when the state began that limits how long it may last.
        arriving: the request whose body comes, if one does.
    """

    def __init__(self, site: Connections) -> None:
        self.site = site
        self.since = site.now
        self.answerer = site.answerer
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._target = b""
        self._headers: dict[str, str] = {}
        self._begun = 0
        self._in_head = self._fresh = True
        self._beginning = self._another = False
        self._feeding = self._head_bytes = self._head_came_with = self._repeated = 0
        self.arriving: Exchange | None = None
        self._open: deque[Exchange] = deque()
        self._discarded = self._held = self._unsent = self._kept = self._without_body = 0
        self._resumed = b""
        self._sound = True
        self._deaf = self._leaving = self._ended = False

    # What the transport tells.

    def connection_made(self, transport: Any) -> None:
        """See asyncio."""
        self._transport = transport
        self.site.opened(self)

    def connection_lost(self, _: Exception | None) -> None:
        """See asyncio."""
        self._transport = self._parser = None  # the parser holds this object
        self._broken("before all of it was sent")
        self._open.clear()
        self.resume_writing()
        self.site.closed(self)

    def pause_writing(self) -> None:
        """See asyncio."""
        self.hold(_FULL)
        self._kept = self._transport.get_write_buffer_size()
        self.answerer.keeps(self._kept)

    def resume_writing(self) -> None:
        """See asyncio."""
        self._release(_FULL)
        if self._kept:
            self.answerer.keeps(-self._kept)
            self._kept = 0

    def eof_received(self) -> bool:
        """See asyncio; whether there is something left to say."""
        self._leaving = self._ended = True
        if not self._deaf:
            self._deaf = True
            if self._beginning:
                self._wrong("The head of the request is not whole")
            self._broken("before all of it was sent")
        return bool(self._open)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if self._deaf:
            self._throw_away(len(data))
            return
        self._feeding = len(data)
        self._another = False
        if self._beginning:
            self._head_bytes += len(data)
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                # Nobody has to change the protocol because he is asked to (RFC 9110, 7.8).
                data = self._go_on() + data[upgrade.args[0] :]
                if data and not self._deaf:
                    continue
            except httptools.HttpParserCallbackError as error:
                if not isinstance(error.__context__, _StopError):
                    log.error("failed", exc_info=error)
                    self._abort()
            except httptools.HttpParserError as error:
                self._wrong(f"The request is not sound HTTP: {error}")
            break
        arriving = self.arriving
        if arriving is not None:
            if arriving.size < 0 and self._trails_off():
                return
            if not arriving.waits:
                self._begins_to_wait(arriving)
        elif self._beginning and not self._deaf:
            self._check_head()

    # What the parser finds.

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._resumed:
            return
        self._begun = perf_counter_ns()
        self._beginning = True
        self._head_bytes = self._feeding
        self._head_came_with = self._feeding if self._another else 0
        self.since = self.site.now
        self._fresh = False

    def on_url(self, part: bytes) -> None:
        """Some of the target."""
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or after a chunked body a trailer, which means nothing here."""
        if self._in_head:
            key = _NAMES.get(name) or name.lower().decode("latin-1")
            text = value.rstrip(b" \t").decode("latin-1")
            headers = self._headers
            if key in headers:
                text = f"{headers[key]}, {text}"
                self._repeated += len(key) + 2
            headers[key] = text

    def on_headers_complete(self) -> None:
        """The head is there."""
        if self._resumed:
            self._resumed = b""
            return
        headers, parser, version = self._headers, self._parser, "1.1"
        if self._head_bytes > limits.HEAD_BYTES:
            # A body, or other requests, may have come with it.
            size = sum(len(name) + len(headers[name]) + 4 for name in headers)
            if size + len(self._target) + self._repeated > limits.HEAD_BYTES:
                self._stop(_LONG_HEAD, 431)
        self._in_head = self._beginning = False
        length = headers.get("content-length")
        size = int(length) if length else 0
        keep = parser.should_keep_alive()
        if not keep or "connection" in headers:
            version = parser.get_http_version()
            if version != "1.1":
                keep = False
                if version != "1.0":
                    self._stop(f"There is no HTTP/{version} here")
        if "transfer-encoding" in headers:
            if headers["transfer-encoding"].lower() != "chunked" or version == "1.0":
                self._stop("The transfer coding is not chunked alone")
            size = -1
            self._without_body = -self._feeding
        if self._repeated and "," in headers.get("host", ""):
            self._stop("The request names several hosts")
        path = self._target.decode("latin-1")
        if path[:1] != "/" or "?" in path:
            path = _path(path)
        method = parser.get_method().decode("latin-1")
        exchange = Exchange(self, method, path, headers, self._begun, size=size, keep=keep)
        if "expect" in headers and size and headers["expect"].lower() == "100-continue":
            exchange.expects = True
        if size and parser.should_upgrade():
            self._resumed = _CHUNKED if size < 0 else _LENGTH % size
        self.arriving = exchange
        self._open.append(exchange)
        self.answerer.begins(exchange)

    def on_body(self, part: bytes) -> None:
        """Some of the body."""
        exchange = self.arriving
        assert exchange is not None
        if exchange.parts is None:
            self._without_body = -self._feeding
            self._throw_away(len(part))
            return
        parts = exchange.parts
        if parts and len(part) < SMALL_PART > len(parts[-1]):
            parts[-1] += part
        else:
            parts.append(part)
        if exchange.size < 0:
            self._without_body = -self._feeding
            self.answerer.grows(exchange, len(part))

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._resumed:
            return
        exchange, self.arriving = self.arriving, None
        assert exchange is not None
        self._in_head = self._another = True
        self._headers = {}
        self._target = b""
        self._repeated = self._discarded = 0
        self.since = self.site.now
        parts, exchange.parts = exchange.parts, None
        if parts is not None:
            exchange.body = parts[0] if len(parts) == 1 else b"".join(parts)
            self.answerer.ends(exchange)
        if not exchange.keep:
            self._deaf = True
            if not self._open:
                self._close()
            raise _StopError
        if len(self._open) > limits.PIPELINED:
            exchange.keep = self._sound = False
            self._deaf = True
            raise _StopError

    # Answers.

    def send(self, exchange: Exchange, data: bytes) -> None:
        """Send the answer of `exchange` in its turn."""
        if self._transport is None:
            return
        exchange.ready = data
        self._release(REFUSED)
        waiting = self._open
        while waiting and waiting[0].ready is not None:
            first = waiting.popleft()
            self._transport.write(first.ready)
            if not first.keep:
                waiting.clear()
                self._finish()
                return
        if not waiting:
            self.since = self.site.now
            if self._leaving:
                self._close()

    def hold(self, reason: int) -> None:
        """Read nothing for a while."""
        if not self._held and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
        self._held |= reason

    def _release(self, reason: int) -> None:
        if self._held:
            self._held &= ~reason
            transport = self._transport
            if not self._held and transport is not None and not transport.is_closing():
                transport.resume_reading()

    # The end.

    @property
    def spare(self) -> bool:
        """Nothing is under way but perhaps a head, or a body that is not wanted."""
        arriving = self.arriving
        if self._open or (arriving is not None and arriving.parts is not None):
            return False
        return self._transport is not None and not self._transport.is_closing()

    def last_is(self, exchange: Exchange) -> bool:
        """Whether no other request came after this one, and its answer has somewhere to go."""
        return bool(self._open) and self._open[-1] is exchange

    def check(self) -> None:
        """Called once a second: end what takes too long.

        Bodies that are wanted are not meant, nor answers that are being made.
        """
        transport, now = self._transport, self.site.now
        if transport is None:
            return
        lasted = now - self.since
        unsent, before = transport.get_write_buffer_size(), self._unsent
        self._unsent = unsent
        if unsent:
            if unsent != before:
                self.since = now
            elif lasted > limits.BODY_SECONDS:
                self._abort()
        elif self._open:
            pass
        elif self._deaf:
            if lasted > limits.SLOW_SECONDS:
                self._abort()
        elif lasted > limits.BODY_SECONDS:
            if self.arriving is not None:
                self._abort()
            elif self._beginning:
                self._wrong("The head did not arrive in time", 408)
            elif self._fresh:
                self._close()

    def leave(self) -> None:
        """Close, if no request is under way; half a head is none."""
        if not self._open and self.arriving is None:
            self._close()

    def give_way(self) -> None:
        """Close for the sake of another connection."""
        self._close()

    def _go_on(self) -> bytes:
        """After a request to change the protocol the parser stops; what a new one reads first.

        The body is still to come if there is one, so that its framing has to be told once more.
        """
        self._parser = httptools.HttpRequestParser(self)
        return self._resumed

    def _check_head(self) -> None:
        """Refuse a head that is too long already."""
        # What came with its beginning may have been the end of another request.
        if self._head_bytes - self._head_came_with > limits.HEAD_BYTES:
            self._wrong(_LONG_HEAD, 431)

    def _trails_off(self) -> bool:
        """Refuse what has chunks' extensions and trailers without end in place of a body."""
        # The parser keeps a trailer until it is whole.
        self._without_body += self._feeding
        if self._without_body <= limits.HEAD_BYTES:
            return False
        self._wrong(_LONG_TRAILERS, 431)
        return True

    def _begins_to_wait(self, exchange: Exchange) -> None:
        exchange.waits = True
        if exchange.parts is None:
            return
        if exchange.expects:
            exchange.expects = False
            if len(self._open) == 1 and self._transport is not None:
                self._transport.write(CONTINUE)
        self.answerer.waits(exchange)

    def _throw_away(self, size: int) -> None:
        self._discarded += size
        if self._discarded > limits.DISCARD_BYTES:
            self._abort()

    def _broken(self, where: str) -> None:
        """The client has stopped; what it was sending is not whole."""
        exchange, self.arriving = self.arriving, None
        if exchange is not None and exchange.parts is not None:
            exchange.parts = None
            exchange.keep = False
            error = InputError("incomplete_body", f"The body ended {where}", cure="Send all of it")
            self.answerer.breaks(exchange, error)

    def _wrong(self, message: str, status: int = 400) -> None:
        """Refuse what is not HTTP, and read no more."""
        self._deaf = True
        self._sound = self._beginning = False
        error = InputError("bad_request", message, status=status, cure="Send it as RFC 9112 says")
        exchange, self.arriving = self.arriving, None
        if exchange is not None and exchange.parts is None:
            # It was answered, or is going to be.
            exchange.keep = False
            if exchange not in self._open:
                self._finish()
            return
        if exchange is None:
            exchange = Exchange(self, "?", "?", self._headers, self._begun, size=0, keep=False)
            self._open.append(exchange)
        exchange.keep = False
        exchange.parts = None
        self.answerer.breaks(exchange, error)

    def _stop(self, message: str, status: int = 400) -> None:
        self._wrong(message, status)
        raise _StopError

    def _finish(self) -> None:
        """Close after the last answer.

        Its reader may still be sending. That is read and thrown away for a while, for a closed door
        would take the answer away from it (RFC 9112, section 9.6).
        """
        self._deaf = self._leaving = True
        if self._transport is None:
            return
        if self._ended or (self._sound and self.arriving is None):
            self._close()
        else:
            self.since = self.site.now
            self._transport.write_eof()

    def _close(self) -> None:
        self._deaf = True
        if self._transport is not None:
            self._transport.close()

    def _abort(self) -> None:
        self._deaf = True
        if self._transport is not None:
            self._transport.abort()


class _StopError(Exception):
    """Raised through the parser to read nothing more."""


_LONG_HEAD = f"The head of the request has more than {limits.HEAD_BYTES} bytes"
_LONG_TRAILERS = f"More than {limits.HEAD_BYTES} bytes came between parts of the body or after it"

_NAMES = {
    spelling.encode(): name
    for name in (
        "host", "user-agent", "accept", "accept-encoding", "connection", "content-length",
        "content-type",
    )
    for spelling in (name, name.title())
}  # fmt: skip


def _path(target: str) -> str:
    """The path of a target of any form (RFC 9112, section 3.2)."""
    scheme, mark, rest = target.partition("://")
    if mark and scheme.lower() in ("http", "https"):
        target = "/" + rest.partition("/")[2]
    return target.partition("?")[0]
