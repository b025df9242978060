"""The queue of small requests: those that wait at the same moment are answered together.

The first request of a batch lets the event loop go round once, and what has been read by then, all
that could be read at that moment, is answered with one call. Only a worker that is busy waits for
company, and only for a moment: one request costs several times what each of a few costs, and a
worker without a pause between requests has no time left to catch up when something stops it. Bytes
do not tell the difference: see network.py.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeAlias, TypeVar

from inference import codecs, handler, network
from inference.codecs.request import Records

ROWS = 64
"""Rows of a batch: enough to share the cost of a call, few enough to keep its requests quick."""

ROWS_EACH = 16
"""Rows of a request that may be one of several; a larger one gains little."""

COMPANY = network.ALIGNED
"""Requests that are company enough: the network computes so many rows even for one."""

MOMENT_SECONDS = 1e-6
"""A busy worker sleeps for so long, which the system makes the shortest that it can: on Linux its
timer slack, 50 µs (prctl(2), PR_SET_TIMERSLACK). The event loop's timers know milliseconds only."""

BUSY_NANOSECONDS = 50_000
"""A request that is read so soon after an answer has come while the worker was busy."""

T = TypeVar("T")

Told = Callable[[Sequence[T], handler.Answer, Sequence[slice]], None]
"""Takes whose requests were answered together, the answer, and which of its rows are each one's."""

Failed = Callable[[T, Exception], None]
"""Takes whose request it was, and why there is no answer."""


_Waiting: TypeAlias = tuple[T, handler.Model, codecs.Request, list[dict[str, object]] | None]
"""Who asked which model what, and the rows of it, if it can be answered among others."""


class Batcher(Generic[T]):
    """Answers requests in batches; everything runs on the event loop's thread.

    Args:
        loop: the event loop.
        tell: is told each answer. It is what `handler.predict_fn` answers to all of the batch.
        fail: is told each mistake.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, tell: Told[T], fail: Failed[T]) -> None:
        self._loop = loop
        self._tell = tell
        self._fail = fail
        self._waiting: deque[_Waiting[T]] = deque()
        self._last = self._ended = 0

    def predict(self, asker: T, request: codecs.Request, model: handler.Model) -> None:
        """Answer `request` of `asker` with `model`, soon."""
        if not self._waiting:
            # Who asks alone, again and again, has had no company before and is not kept waiting.
            busy = self._last > 1 and time.perf_counter_ns() - self._ended < BUSY_NANOSECONDS
            self._loop.call_soon(self._linger if busy else self._flush)
        rows = _rows(request, len(model.schema.columns))
        self._waiting.append((asker, model, request, rows))

    def _linger(self) -> None:
        """Let company come, unless it is there."""
        if len(self._waiting) < COMPANY:
            time.sleep(MOMENT_SECONDS)
        self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Answer one batch; what is left over has its turn after what has arrived meanwhile."""
        batch = self._batch()
        if self._waiting:
            self._loop.call_soon(self._flush)
        if len(batch) == 1 or not self._together(batch):
            for asker, model, request, _ in batch:
                self._alone(asker, model, request)
        self._last, self._ended = len(batch), time.perf_counter_ns()

    def _batch(self) -> list[_Waiting[T]]:
        """The first of those that wait, and who can be answered with it."""
        waiting = self._waiting
        batch = [waiting.popleft()]
        _, model, _, rows = batch[0]
        if rows is None:
            return batch
        room = ROWS - len(rows)
        while waiting:
            _, other, _, rows = waiting[0]
            if rows is None or other is not model:
                break
            room -= len(rows)
            if room < 0:
                break
            batch.append(waiting.popleft())
        return batch

    def _together(self, batch: Sequence[_Waiting[T]]) -> bool:
        """Answer all of them at once; False where somebody made a mistake."""
        together: list[dict[str, object]] = []
        askers, parts = [], []
        for asker, _, _, rows in batch:
            start = len(together)
            together += rows or ()
            askers.append(asker)
            parts.append(slice(start, len(together)))
        _, model, _, _ = batch[0]
        try:
            answer = handler.predict_fn(Records(together), model)
        except Exception as mistake:
            # Its frames hold it, and the model: a circle.
            mistake.__traceback__ = mistake.__context__ = None
            return False
        self._tell(askers, answer, parts)
        return True

    def _alone(self, asker: T, model: handler.Model, request: codecs.Request) -> None:
        try:
            answer = handler.predict_fn(request, model)
        except Exception as error:
            self._fail(asker, error)
        else:
            self._tell([asker], answer, [slice(0, len(answer.predictions))])


def _rows(request: codecs.Request, width: int) -> list[dict[str, object]] | None:
    """The rows of a request that can be answered among others, or None.

    Those can that are objects with the model's own columns and no others: which source columns are
    brought is then the same for all.
    """
    if not isinstance(request, Records) or not request.short:
        return None
    rows = request.rows
    if not isinstance(rows, list) or not 0 < len(rows) <= ROWS_EACH:
        return None
    for row in rows:
        if type(row) is not dict or len(row) != width:
            return None
    return rows
