"""What one worker counts: requests, rows, times of the stages, quality of the data.

The hot path appends numbers to an array; a quarter of a second later, and off that path, they are
counted with numpy. Here: recording and counting. Not here: where the counts of all workers come
together (counts.py), how they are written (prometheus.py, emf.py), what is counted about the values
of rows (quality.py).
"""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from inference import handler
from inference.quality import Quality

STAGES = ("read", "parse", "validate", "transform", "predict", "encode", "total")
"""Of one answer: its body arrives, becomes rows, which are checked, looked up and encoded, scored,
written down; total is all of it and what lies between."""

BOUNDS = np.array(
    [
        round(step * 10.0**power, 8)
        for power in range(-5, 2)
        for step in (1, 1.25, 1.6, 2, 2.5, 3.15, 4, 5, 6.3, 8)
    ]
    + [100.0]
)
"""Seconds, upper bounds of the classes that times are counted in; one more has no bound."""

FLUSH_SECONDS = 0.25

SAMPLE = 64
"""Requests between two flushes whose values are looked at; where there are more, a sample."""

CODES = 100
"""Different codes of errors that are counted apart; any more count as one."""

_WIDTH = len(STAGES) + 1
_NANOSECONDS = (BOUNDS * 1e9).astype(np.int64)
_CLASSES = len(BOUNDS) + 1
_OFFSETS = np.arange(len(STAGES)) * _CLASSES


class Done(NamedTuple):
    """A request that was answered.

    Args:
        body, content_type: of the answer.
        model: which gave it.
        answer: as it gave it.
        marks: `perf_counter_ns` when the body was read, when it was parsed, when it was scored,
            when the answer was written.
        quality: of the rows, where they were looked at already.
    """

    body: bytes
    content_type: str
    model: handler.Model
    answer: handler.Answer
    marks: tuple[int, int, int, int]
    quality: Quality | None = None

    @property
    def rows(self) -> int:
        """Rows of the request."""
        return len(self.answer.predictions)


class Recorder:
    """Counts what this worker answers.

    Args:
        loop: the event loop, on whose thread everything here runs.
        flushed: called after each flush.
        found: a snapshot to go on from; None: from nothing.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        flushed: Callable[[], None],
        found: Mapping[str, Any] | None,
    ) -> None:
        self._loop = loop
        self._flushed = flushed
        self._marks = array("q")
        self._answers: list[tuple[handler.Model, handler.Answer]] = []
        self._waiting = False
        found = found or {}
        self.answered, self.rows = found.get("answered", 0), found.get("rows", 0)
        self.errors: Counter[tuple[int, str]] = Counter(
            {(status, code): count for status, code, count in found.get("errors", ())}
        )
        nothing = np.zeros((len(STAGES), _CLASSES), np.int64)
        self.times: npt.NDArray[np.int64] = np.array(found.get("times", nothing), np.int64)
        self.sums: npt.NDArray[np.float64] = np.array(found.get("sums", nothing[:, 0]), float)
        self.quality = Quality(found.get("quality", {}))

    def answer(self, done: Done, begun: int, ended: int) -> None:
        """Count one good answer.

        Args:
            done: what was answered.
            begun: `perf_counter_ns` when the request came.
            ended: when its answer was ready.
        """
        read, parsed, predicted, encoded = done.marks
        stages = done.answer.nanoseconds
        self._marks.extend(
            (done.rows, read - begun, parsed - read, *stages, encoded - predicted, ended - begun)
        )
        if done.quality:
            self.quality.add(done.quality)
        elif len(self._answers) < SAMPLE:
            self._answers.append((done.model, done.answer))
        if not self._waiting:
            self._wait()

    def error(self, status: int, code: str) -> None:
        """Count one answer that was not 2xx."""
        key = (status, code)
        if key not in self.errors and len(self.errors) >= CODES:
            key = (status, "other")
        self.errors[key] += 1
        if not self._waiting:
            self._wait()

    def _wait(self) -> None:
        self._waiting = True
        self._loop.call_later(FLUSH_SECONDS, self._tick)

    def _tick(self) -> None:
        self._waiting = False
        self.flush()
        self._flushed()

    def flush(self) -> None:
        """Count what was recorded since the last time."""
        marks, self._marks = self._marks, array("q")
        answers, self._answers = self._answers, []
        if not marks:
            return
        table = np.frombuffer(marks, np.int64).reshape(-1, _WIDTH)
        times = table[:, 1:]
        found = np.searchsorted(_NANOSECONDS, times) + _OFFSETS
        counted = np.bincount(found.ravel(), minlength=self.times.size)
        self.times += counted.reshape(self.times.shape)
        self.sums += times.sum(axis=0) * 1e-9
        self.answered += len(table)
        self.rows += int(table[:, 0].sum())
        self.quality.count(answers)

    def snapshot(self) -> dict[str, Any]:
        """Everything counted so far, as JSON has it."""
        return {
            "answered": self.answered,
            "rows": self.rows,
            "errors": [[*key, count] for key, count in self.errors.items()],
            "times": self.times.tolist(),
            "sums": self.sums.tolist(),
            "quality": self.quality.snapshot(),
        }
