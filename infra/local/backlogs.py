"""What an asynchronous endpoint has to do yet: requests in the order in which they came.

Pure bookkeeping with a clock that is handed in; `async_inference` does the work.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ticket:
    """One request.

    Attributes:
        request: the members of InvokeEndpointAsync.
        body: of an inline request; None when it is at InputLocation.
        config: the endpoint's AsyncInferenceConfig when it came.
        inference_id: given or drawn.
        output: where its answer goes.
        failure: where its failure goes, if anywhere.
        received: when it came, in seconds.
        patience: how many seconds it may wait (RequestTTLSeconds).
    """

    request: Mapping[str, Any]
    body: bytes | None
    config: Mapping[str, Any]
    inference_id: str
    output: str
    failure: str | None
    received: float
    patience: float


class Backlog:
    """The requests that wait, and how many are under way."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._waiting: deque[Ticket] = deque()
        self._under_way = 0

    def add(self, ticket: Ticket) -> None:
        """A request came."""
        with self._lock:
            self._waiting.append(ticket)
            self._lock.notify_all()

    def wait(self, timeout: float) -> bool:
        """Whether anything waits, after at most `timeout` seconds."""
        with self._lock:
            return self._lock.wait_for(lambda: bool(self._waiting), timeout)

    def take(self) -> Ticket | None:
        """The oldest request, under way from now on."""
        with self._lock:
            if not self._waiting:
                return None
            self._under_way += 1
            return self._waiting.popleft()

    def done(self) -> None:
        """A request that was taken has an answer or a failure."""
        with self._lock:
            self._under_way -= 1

    def give_back(self, ticket: Ticket) -> None:
        """A request that was taken, and no server has seen, is the first again."""
        with self._lock:
            self._under_way -= 1
            self._waiting.appendleft(ticket)

    def expired(self, moment: float) -> list[Ticket]:
        """Those that have waited too long, which wait no longer."""
        with self._lock:
            late = [each for each in self._waiting if moment - each.received > each.patience]
            self._waiting = deque(each for each in self._waiting if each not in late)
        return late

    @property
    def size(self) -> int:
        """ApproximateBacklogSize: those that wait and those under way."""
        with self._lock:
            return len(self._waiting) + self._under_way

    def age(self, moment: float) -> float:
        """Seconds since the oldest of those that wait came."""
        with self._lock:
            return moment - self._waiting[0].received if self._waiting else 0.0
