"""One worker's books: what it has counted, where the others find it, and what CloudWatch is told.

A moment after an answer the counts are brought up to date and written into the server's folder;
once a period a line about them goes to standard output.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

from inference import logs, prometheus
from inference.counts import Place
from inference.emf import Periods
from inference.environment import Settings
from inference.gate import Gate
from inference.metrics import Recorder
from inference.reload import State

REFUSALS_SECONDS = 1.0
"""What was refused in so long is one line of the log."""

log = logging.getLogger("inference")


class Books:
    """Keeps the books of one worker.

    Args:
        loop: the event loop, on whose thread everything here runs.
        settings: of the server.
        gate: whose counts are told, too.
        version: tells the version of the model that answers now.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: Settings,
        gate: Gate[Any],
        version: Callable[[], str],
    ) -> None:
        self._loop = loop
        self._gate = gate
        self._version = version
        self._settings = settings
        self._place = Place(settings.counts, settings.workers) if settings.counts else None
        found = self._place.found() if self._place else None
        self.recorder = Recorder(loop, self._write, found)
        self._periods = Periods(
            settings.endpoint,
            settings.variant,
            self.snapshot(),
            settings.config,
            settings.metrics_seconds,
        )
        self._refused = 0
        self._telling = False
        self.leave()
        if settings.metrics_seconds:
            loop.call_later(settings.metrics_seconds, self._period)

    def snapshot(self) -> dict[str, Any]:
        """Everything counted in this worker's place, as JSON has it."""
        gate = self._gate
        return {
            **self.recorder.snapshot(),
            "version": self._version(),
            "in_flight": {"small": gate.all - gate.large, "large": gate.large},
            "bytes": gate.bytes,
        }

    def page(self, state: State | None) -> bytes:
        """What all workers have counted, and what became of the pointer, for Prometheus."""
        self.recorder.flush()
        others = self._place.others() if self._place else []
        return prometheus.text([self.snapshot(), *others], state)

    def leave(self) -> None:
        """Leave the counts where the other workers find them."""
        if self._place:
            self._place.write(self.snapshot())

    def close(self) -> None:
        """Write what is left."""
        self.recorder.flush()
        self.leave()
        self._overloaded()
        if self._settings.metrics_seconds:
            self._tell()

    def _write(self) -> None:
        """Called after the counts were brought up to date, while there is something to count."""
        self.leave()
        if self._gate.refused > self._refused and not self._telling:
            self._telling = True
            self._loop.call_later(REFUSALS_SECONDS, self._overloaded)

    def _overloaded(self) -> None:
        """A line for all requests refused since the last one."""
        self._telling = False
        fresh, self._refused = self._gate.refused - self._refused, self._gate.refused
        if fresh:
            logs.event(log, logging.WARNING, "overloaded", status=503, requests=fresh)

    def _period(self) -> None:
        self.recorder.flush()
        self._tell()
        self._loop.call_later(self._settings.metrics_seconds, self._period)

    def _tell(self) -> None:
        line = self._periods.line(self.snapshot(), int(time.time() * 1000))
        if line:
            # A closed or broken standard output costs the line and nothing else.
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.buffer.write(line + b"\n")
                sys.stdout.buffer.flush()
