"""How much one worker takes on at once: beyond it a request is refused before it costs anything.

Here: counting requests and bytes in flight, refusing with a pause, giving up bodies that do not
arrive. Not here: reading a body (bodies.py). Everything runs on the event loop's thread.
"""

from __future__ import annotations

import asyncio
from typing import NoReturn, Protocol

from inference import limits
from inference.errors import UnavailableError


class Cancellable(Protocol):
    """What waits for a body and can be told to give up."""

    def cancel(self) -> object:
        """Raise CancelledError in what waits."""


class Gate:
    """Counts what is in flight.

    Attributes:
        all, large: requests begun and not answered, and the large ones of them.
        bytes: of the bodies held, announced or read.
        refused: requests refused since the start.
        discarding: held while a body is read that nobody wants, one at a time.
        longest: bytes that a single body may have.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, longest: int) -> None:
        self._loop = loop
        self.longest = longest
        self.all = self.large = self.bytes = self.refused = 0
        self.discarding = asyncio.Lock()
        self._reading: dict[Cancellable, tuple[int, bool]] = {}
        self._slow: dict[Cancellable, tuple[int, bool]] = {}
        self._seconds = 0
        self._sweeping = False

    async def hold(self, size: int) -> None:
        """Count `size` more bytes as held; whoever adds them subtracts them from `bytes` later.

        Raises:
            UnavailableError: there would be too many.
        """
        if self.bytes and self.bytes + size > limits.BYTES_IN_FLIGHT:
            await self.refuse(limits.LARGE_REFUSAL_SECONDS)
        self.bytes += size

    async def refuse(self, pause: float = limits.REFUSAL_SECONDS) -> NoReturn:
        """Wait a moment, then refuse. The wait costs nothing: the body stays with its sender.

        Args:
            pause: seconds.

        Raises:
            UnavailableError: always.
        """
        self.refused += 1
        await asyncio.sleep(pause)
        raise UnavailableError(
            "overloaded",
            "The server has as many requests as it can answer in time",
            cure="Try again in a second; if this goes on, add instances",
        )

    def begins(self, reader: Cancellable, *, large: bool = False) -> None:
        """A body begins to be read; it is given up when it takes too long.

        Args:
            reader: what waits for it.
            large: whether the request counts among the large ones.
        """
        self._reading[reader] = self._seconds, large
        if not self._sweeping:
            self._sweeping = True
            self._loop.call_later(1.0, self._sweep)

    def ends(self, reader: Cancellable) -> None:
        """The body is read, or was given up."""
        if self._reading.pop(reader, None) is None:
            _, large = self._slow.pop(reader)
            self.all += 1
            self.large += large

    def _sweep(self) -> None:
        """Once a second while bodies arrive: slow ones no longer count, the slowest are ended."""
        self._seconds += 1
        for reader, (began, large) in list(self._reading.items()):
            if self._seconds - began > limits.SLOW_SECONDS:
                self._slow[reader] = self._reading.pop(reader)
                self.all -= 1
                self.large -= large
        late = len(self._slow) - limits.SLOW_BODIES
        for reader, (began, _) in list(self._slow.items()):
            if late > 0 or self._seconds - began > limits.BODY_SECONDS:
                reader.cancel()
                late -= 1
        self._sweeping = bool(self._reading or self._slow)
        if self._sweeping:
            self._loop.call_later(1.0, self._sweep)
