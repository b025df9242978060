"""Small requests that wait at the same moment are answered together.

Nobody waits for company: the first request of a batch lets the event loop go round once, and what
has arrived by then is answered with one call. Alone, a request is answered at once. Bytes do not
tell the difference: see network.py.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from inference import codecs, handler
from inference.codecs.request import Records
from shared.predictions import Predictions

ROWS = 64
"""Rows of a batch: enough to share the cost of a call, few enough to keep its requests quick."""

ROWS_EACH = 16
"""Rows of a request that may be one of several; a larger one gains little."""


class _Waiting(NamedTuple):
    model: handler.Model
    rows: list[dict[str, object]]
    answer: asyncio.Future[handler.Answer]


class Batcher:
    """Answers requests in batches; everything runs on the event loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[_Waiting] = deque()

    async def predict(self, request: codecs.Request, model: handler.Model) -> handler.Answer:
        """What `handler.predict_fn` answers; the stages' times are those of the whole batch.

        Of a batch, the first answer alone carries the `parts`, all of them.

        Raises:
            InputError: a mistake of this very request.
        """
        rows = _rows(request, len(model.schema.columns))
        if rows is None:
            return handler.predict_fn(request, model)
        answer = self._loop.create_future()
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(_Waiting(model, rows, answer))
        found: handler.Answer = await answer
        return found

    def _flush(self) -> None:
        """Answer one batch; what is left over has its turn after what has arrived meanwhile."""
        batch: list[_Waiting] = []
        rows: list[dict[str, object]] = []
        model = self._waiting[0].model
        while self._waiting:
            following = self._waiting[0]
            if following.model is not model or len(rows) + len(following.rows) > ROWS:
                break
            batch.append(self._waiting.popleft())
            rows += following.rows
        if self._waiting:
            self._loop.call_soon(self._flush)
        try:
            together = handler.predict_fn(Records(rows), model)
        except Exception:  # one mistake must not be told to all: each alone
            for each in batch:
                _alone(each)
            return
        parts = together.parts
        start = 0
        for each in batch:
            end = start + len(each.rows)
            each.answer.set_result(
                handler.Answer(
                    _cut(together.predictions, start, end),
                    together.version,
                    together.nanoseconds,
                    parts,
                )
            )
            start, parts = end, ()


def _alone(waiting: _Waiting) -> None:
    try:
        waiting.answer.set_result(handler.predict_fn(Records(waiting.rows), waiting.model))
    except Exception as error:
        waiting.answer.set_exception(error)


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


def _cut(found: Predictions, start: int, end: int) -> Predictions:
    return Predictions(
        found.target, found.values[start:end], found.choice[start:end], found.scores[start:end]
    )
