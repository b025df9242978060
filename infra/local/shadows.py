"""Shadow variants: copies of requests whose answers nobody sees.

A copy is sent beside the request, by threads of its own. When too many copies wait, further ones
are left out, so that a slow shadow neither slows the endpoint nor fills the memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from infra.local.instances import Instance
from infra.local.variants import Variant

THREADS = 4
MOST_WAITING = 64

Send = Callable[[Instance | None, Mapping[str, str], bytes], None]


class Mirror:
    """Sends a share of a production variant's requests to a shadow variant too.

    Args:
        production: whose requests; its weight is the whole.
        shadow: who gets the copies; its weight is the part.
    """

    def __init__(self, production: Variant, shadow: Variant) -> None:
        self._production = production
        self._lock = threading.Lock()
        self._waiting = 0
        self._threads = ThreadPoolExecutor(THREADS, "shadow")
        self.shadow = shadow

    def offer(self, headers: Mapping[str, str], body: bytes, send: Send) -> None:
        """Send a copy if it is this request's turn; returns at once."""
        with self._lock:
            if not self._is_turn() or self._waiting >= MOST_WAITING:
                return
            self._waiting += 1
        try:
            self._threads.submit(self._copy, headers, body, send)
        except RuntimeError:  # the fleet has ended meanwhile
            self._leave()

    def _is_turn(self) -> bool:
        part = self.shadow.weight / self._production.weight if self._production.weight else 0.0
        self.shadow.credit += min(part, 1.0)
        if self.shadow.credit < 1 - 1e-9:
            return False
        self.shadow.credit -= 1
        return True

    def _copy(self, headers: Mapping[str, str], body: bytes, send: Send) -> None:
        try:
            up = self.shadow.up()
            instance = min(up, key=lambda each: (each.busy, each.served)) if up else None
            send(instance if instance and instance.take() else None, headers, body)
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._waiting -= 1

    def stop(self) -> None:
        """Send no more copies."""
        self._threads.shutdown(wait=True, cancel_futures=True)
