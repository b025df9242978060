"""The queue of small requests: those that wait at the same moment are answered together.

Nobody waits for company: the first request of a batch lets the event loop go round once, and what
has been read by then, all that could be read at that moment, is answered with one call. Bytes do
not tell the difference: see network.py.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from inference import codecs, handler
from inference.codecs.request import Records

ROWS = 64
"""Rows of a batch: enough to share the cost of a call, few enough to keep its requests quick."""

ROWS_EACH = 16
"""Rows of a request that may be one of several; a larger one gains little."""

T = TypeVar("T")

Told = Callable[[T, handler.Answer | Exception], None]
"""Takes whose request it was, and the answer, or why there is none."""


class _Waiting(NamedTuple, Generic[T]):
    asker: T
    model: handler.Model
    request: codecs.Request
    rows: list[dict[str, object]] | None


class Batcher(Generic[T]):
    """Answers requests in batches; everything runs on the event loop's thread.

    Args:
        loop: the event loop.
        tell: is told each answer. It is what `handler.predict_fn` answers; the stages' times are
            those of the whole batch, and of a batch the first answer alone carries the `parts`,
            all of them.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, tell: Told[T]) -> None:
        self._loop = loop
        self._tell = tell
        self._waiting: deque[_Waiting[T]] = deque()

    def predict(self, asker: T, request: codecs.Request, model: handler.Model) -> None:
        """Answer `request` of `asker` with `model`, soon."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
        rows = _rows(request, len(model.schema.columns))
        self._waiting.append(_Waiting(asker, model, request, rows))

    def _flush(self) -> None:
        """Answer one batch; what is left over has its turn after what has arrived meanwhile."""
        waiting = self._waiting
        first = waiting.popleft()
        batch, rows, model = [first], first.rows, first.model
        if rows is not None and waiting:
            rows = [*rows]
            while waiting:
                following = waiting[0]
                if following.rows is None or following.model is not model:
                    break
                if len(rows) + len(following.rows) > ROWS:
                    break
                batch.append(waiting.popleft())
                rows += following.rows
        if waiting:
            self._loop.call_soon(self._flush)
        if rows is None or len(batch) == 1:
            self._alone(first)
            return
        try:
            together = handler.predict_fn(Records(rows), model)
        except Exception as mistake:
            # Its frames hold it, and the model: a circle.
            mistake.__traceback__ = mistake.__context__ = None
            together = None
        if together is None:  # one mistake must not be told to all: each alone
            for each in batch:
                self._alone(each)
            return
        found, version, times, parts = together
        pieces = found.pieces([len(each.rows or ()) for each in batch])
        for each, piece in zip(batch, pieces, strict=True):
            self._tell(each.asker, handler.Answer(piece, version, times, parts))
            parts = ()

    def _alone(self, waiting: _Waiting[T]) -> None:
        try:
            answer = handler.predict_fn(waiting.request, waiting.model)
        except Exception as error:
            self._tell(waiting.asker, error)
        else:
            self._tell(waiting.asker, answer)


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
