"""The connections of one worker: accepting them, how many there may be, and their end.

All workers accept from one listening socket. That alone would not share connections out: whoever
looks first takes all that wait. So each worker writes down how many it holds where the others can
read it, and one that has more than another lets a millisecond pass before it takes the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import MutableSequence
from typing import Any

from inference import limits
from inference.exchange import Answerer
from inference.http1 import Connection

ABSENT = 1 << 40
"""The load of a worker that accepts nothing: nobody waits for it."""

YIELD_SECONDS = 0.001
FULL_SECONDS = 0.05
"""How long a worker that has no room for another connection does not look for one."""

AT_ONCE = 64
"""Connections accepted before anything else has its turn."""

SHARE = 8
"""One worker may be ahead of another by this part of its connections: a few must be shared out
evenly, many must be taken quickly."""

FAREWELL_SECONDS = 1.0
"""Before its end a worker goes on for so long, and asks clients to leave with every answer: a
client that has just sent its next request over a kept connection would otherwise find it closed."""


class Connections:
    """Accepts connections and holds them; everything runs on the event loop's thread.

    Args:
        listener: listens, and is shared with the other workers.
        answerer: answers the requests.
        loads: how many connections each worker holds, in memory that they share.
        place: of this worker in it.

    Attributes:
        now: seconds since the start, counted while there are connections.
    """

    def __init__(
        self,
        listener: socket.socket,
        answerer: Answerer,
        loads: MutableSequence[int],
        place: int,
    ) -> None:
        self.answerer = answerer
        self.now = 0
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._loads = loads
        self._place = place
        self._all: dict[Connection, None] = {}
        self._opening: set[asyncio.Task[Any]] = set()
        self._gave_way = self._sweeping = self._shut = False
        self._empty = asyncio.Event()

    def open(self) -> None:
        """Begin to accept."""
        self._listener.setblocking(False)
        self._listener.listen(limits.CONNECTIONS)
        self._count()
        self._loop.add_reader(self._listener.fileno(), self._accept)

    async def drain(self) -> None:
        """Say goodbye, accept no more, and wait until what is under way is answered."""
        self.answerer.draining = True
        await asyncio.sleep(FAREWELL_SECONDS)
        self._shut = True
        self._loop.remove_reader(self._listener.fileno())
        # Who is connected already has been accepted, as far as he knows.
        while self._take():
            pass
        self._listener.close()
        self._count()
        if self._opening:
            await asyncio.wait(self._opening)
        while self._all:
            for connection in list(self._all):
                connection.leave()
            self._empty.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), 0.05)

    def opened(self, connection: Connection) -> None:
        """It is there."""
        self._all[connection] = None
        if not self._sweeping:
            self._sweeping = True
            self._loop.call_later(1.0, self._sweep)

    def closed(self, connection: Connection) -> None:
        """It is gone."""
        del self._all[connection]
        self._count()
        if not self._all:
            self._empty.set()

    def _count(self) -> None:
        self._loads[self._place] = ABSENT if self._shut else len(self._all) + len(self._opening)

    def _accept(self) -> None:
        """Called while connections wait."""
        for _ in range(AT_ONCE):
            held = len(self._all) + len(self._opening)
            leaves = self._most_spare() if held >= limits.CONNECTIONS else None
            if held >= limits.CONNECTIONS and leaves is None:
                self._look_away(FULL_SECONDS)
                return
            least = min(self._loads)
            if held > least + least // SHARE and not self._gave_way:
                self._gave_way = True
                self._look_away(YIELD_SECONDS)
                return
            self._gave_way = False
            if not self._take():
                return
            if leaves is not None:
                leaves.give_way()

    def _take(self) -> bool:
        """Accept one connection, if one waits."""
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionError):
            return False
        except OSError:  # no more files may be opened
            leaves = self._most_spare()
            if leaves is not None:
                leaves.give_way()
            self._look_away(FULL_SECONDS if leaves is None else YIELD_SECONDS)
            return False
        opening = self._loop.connect_accepted_socket(lambda: Connection(self), client)
        task = self._loop.create_task(opening)
        self._opening.add(task)
        task.add_done_callback(self._taken)
        self._count()
        return True

    def _taken(self, task: asyncio.Task[Any]) -> None:
        self._opening.discard(task)
        self._count()
        # A client may be gone again before it was looked at.
        if not task.cancelled():
            task.exception()

    def _look_away(self, seconds: float) -> None:
        if not self._shut:
            self._loop.remove_reader(self._listener.fileno())
            self._loop.call_later(seconds, self._look_again)

    def _look_again(self) -> None:
        if not self._shut:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _most_spare(self) -> Connection | None:
        """The connection that makes room where there is none: long idle, or as good as that.

        One that was opened or answered just now may have its next request on the way.
        """
        before = self.now - limits.SLOW_SECONDS
        spare = [each for each in self._all if each.since < before and each.spare]
        return min(spare, key=lambda connection: connection.since, default=None)

    def _sweep(self) -> None:
        """Once a second while there are connections."""
        self.now += 1
        for connection in list(self._all):
            connection.check()
        self._sweeping = bool(self._all)
        if self._sweeping:
            self._loop.call_later(1.0, self._sweep)
