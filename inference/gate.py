"""How much one worker takes on at once: beyond it a request is refused before it costs anything.

Here: counting requests and bytes in flight, refusing, giving up bodies that do not arrive. Not
here: reading a body (http1.py). Everything runs on the event loop's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, NoReturn, TypeVar

from inference import limits
from inference.errors import UnavailableError
from shared.errors import InputError


class OverloadedError(UnavailableError):
    """The server takes no more requests now.

    Args:
        pause: seconds until the client is told so; its body stays with it meanwhile, so that the
            wait costs nothing.
    """

    def __init__(self, pause: float) -> None:
        super().__init__(
            "overloaded",
            "The server has as many requests as it can answer in time",
            cure="Try again in a second; if this goes on, add instances",
        )
        self.pause = pause


class Place:
    """What one request takes up.

    Attributes:
        large: it counts among the large ones.
        held: bytes of its body that are counted.
    """

    __slots__ = ("held", "large")

    def __init__(self) -> None:
        self.large = False
        self.held = 0


P = TypeVar("P", bound=Place)


class Gate(Generic[P]):
    """Counts what is in flight.

    Args:
        loop: the event loop.
        longest: bytes that a single body may have.
        give_up: called with the place of a request whose body takes too long, before it leaves.

    Attributes:
        all, large: requests begun and not answered, and the large ones of them.
        bytes: of the bodies held, announced or read.
        unsent: bytes of answers that clients have not taken.
        refused: requests refused since the start.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, longest: int, give_up: Callable[[P], None]
    ) -> None:
        self._loop = loop
        self._give_up = give_up
        self.longest = longest
        self.all = self.large = self.bytes = self.refused = self.unsent = 0
        self._reading: dict[P, int] = {}
        self._slow: dict[P, int] = {}
        self._seconds = 0
        self._sweeping = False

    def enter(self, place: P, size: int, *, large: bool) -> None:
        """Let a request in; whoever is in leaves later.

        Args:
            place: of the request.
            size: bytes of its body; -1 when it is not announced.
            large: whether it is known to be large.

        Raises:
            InputError: 413, the body is too large.
            OverloadedError: there are enough requests, or large ones, or bytes.
        """
        if size > self.longest:
            raise limits.too_large(self.longest)
        if self.all >= limits.IN_FLIGHT:
            self._refuse(limits.REFUSAL_SECONDS)
        if large:
            self.enlarge(place)
        self.all += 1
        if size > limits.DENSE_BODY_BYTES:
            try:
                self.hold(place, size)
            except OverloadedError:
                self.leave(place)
                raise

    def enlarge(self, place: P) -> None:
        """Count a request among the large ones.

        Raises:
            OverloadedError: there are enough of them, or of their answers.
        """
        if self.large >= limits.LARGE_IN_FLIGHT or self.unsent > limits.UNSENT_BYTES:
            self._refuse(limits.LARGE_REFUSAL_SECONDS)
        self.large += 1
        place.large = True

    def hold(self, place: P, size: int) -> None:
        """Count `size` more bytes of its body.

        Raises:
            InputError: 413, they are too many for one body.
            OverloadedError: they are too many.
        """
        if place.held + size > self.longest:
            raise limits.too_large(self.longest)
        if self.bytes > place.held and self.bytes + size > limits.BYTES_IN_FLIGHT:
            self._refuse(limits.LARGE_REFUSAL_SECONDS)
        self.bytes += size
        place.held += size

    def leave(self, place: P) -> None:
        """The request is answered."""
        if self._reading or self._slow:
            self.arrived(place)
        self.all -= 1
        self.large -= place.large
        self.bytes -= place.held

    def waits(self, place: P) -> None:
        """Its body is still to come; it is given up when that takes too long."""
        self._reading[place] = self._seconds
        if not self._sweeping:
            self._sweeping = True
            self._loop.call_later(1.0, self._sweep)

    def arrived(self, place: P) -> None:
        """The body has come, if it was waited for."""
        if place in self._slow:
            del self._slow[place]
            self.all += 1
            self.large += place.large
        elif self._reading:
            self._reading.pop(place, None)

    def _refuse(self, pause: float) -> NoReturn:
        self.refused += 1
        raise OverloadedError(pause)

    def _sweep(self) -> None:
        """Once a second while bodies arrive: slow ones no longer count, the slowest are ended."""
        self._seconds += 1
        for place, began in list(self._reading.items()):
            if self._seconds - began > limits.SLOW_SECONDS:
                self._slow[place] = self._reading.pop(place)
                self.all -= 1
                self.large -= place.large
        late = len(self._slow) - limits.SLOW_BODIES
        for place, began in list(self._slow.items()):
            if late > 0 or self._seconds - began > limits.BODY_SECONDS:
                self._give_up(place)
                late -= 1
        self._sweeping = bool(self._reading or self._slow)
        if self._sweeping:
            self._loop.call_later(1.0, self._sweep)


def late() -> InputError:
    """A body that was given up."""
    return InputError(
        "timeout",
        f"The body did not arrive within {limits.BODY_SECONDS} seconds",
        status=408,
        cure="Send it faster, or fewer rows in one request",
    )
