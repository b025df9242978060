"""What one worker counts: requests, rows, times of the stages, quality of the data.

The hot path appends numbers to an array; a quarter of a second later, and off that path, they are
counted with numpy, in short steps between which requests have their turn: every request that comes
during a step waits for its end, and a millisecond, four times a second, shows in the 99th
percentile. Here: recording and counting.
Not here: where the counts of all workers come together (counts.py), how they are written
(prometheus.py, emf.py), what is counted about the values of rows (quality.py).
"""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
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

STEP_SECONDS = 0.01
"""Between two steps of counting: what a step kept waiting is answered long before the next."""

SAMPLE = 64
"""Requests between two flushes whose values are looked at; where there are more, a sample."""

CODES = 100
"""Different codes of errors that are counted apart; any more count as one."""

_OWN, _COMMON = 4, 6
"""Numbers kept of each request, and of those that were answered together."""
_NANOSECONDS = (BOUNDS * 1e9).astype(np.int64)
_CLASSES = len(BOUNDS) + 1
_ENDED = object()
_OWN_STAGES, _COMMON_STAGES = (0, 1, 6), (2, 3, 4, 5)


class Done(NamedTuple):
    """Requests that were answered together.

    Args:
        model: which gave the answer.
        answer: to all of them.
        each: of each in turn its rows, and `perf_counter_ns` when it came, when its body was there
            and when that was parsed.
        scored: the same when the answer was there.
        written: when the bodies of the answers were.
        quality: of the rows, where they were looked at already.
    """

    model: handler.Model
    answer: handler.Answer
    each: Sequence[int]
    scored: int
    written: int
    quality: Quality | None = None


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
        self._each, self._common = array("q"), array("q")
        self._sample: list[tuple[handler.Model, handler.Answer]] = []
        self._sampled = 0
        self._waiting = False
        self._round: Iterator[None] = iter(())
        found = found or {}
        self.answered, self.rows = found.get("answered", 0), found.get("rows", 0)
        self.errors: Counter[tuple[int, str]] = Counter(
            {(status, code): count for status, code, count in found.get("errors", ())}
        )
        nothing = np.zeros((len(STAGES), _CLASSES), np.int64)
        self.times: npt.NDArray[np.int64] = np.array(found.get("times", nothing), np.int64)
        self.sums: npt.NDArray[np.float64] = np.array(found.get("sums", nothing[:, 0]), float)
        self.quality = Quality(found.get("quality", {}))

    def answers(self, done: Done) -> None:
        """Count good answers."""
        count = len(done.each) // _OWN
        self._each.extend(done.each)
        stages = done.answer.nanoseconds
        self._common.extend((count, *stages, done.written - done.scored, done.written))
        if done.quality:
            self.quality.add(done.quality)
        elif self._sampled < SAMPLE:
            self._sampled += count
            self._sample.append((done.model, done.answer))
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
        self._loop.call_later(FLUSH_SECONDS, self._begin)

    def _begin(self) -> None:
        """Begin a round of counting, after what is left of the one before."""
        self._waiting = False
        for _ in self._round:
            pass
        self._round = self._count()
        self._step()

    def _step(self) -> None:
        """Go on with the round; at its end the counts are told."""
        if next(self._round, _ENDED) is _ENDED:
            self._flushed()
        else:
            self._loop.call_later(STEP_SECONDS, self._step)

    def flush(self) -> None:
        """Count what was recorded since the last time, and what is left of the round under way."""
        for _ in chain(self._round, self._count()):
            pass

    def _count(self) -> Iterator[None]:
        """Count requests, rows, times and values; between two steps others may have their turn."""
        each, self._each = self._each, array("q")
        common, self._common = self._common, array("q")
        sample, self._sample, self._sampled = self._sample, [], 0
        if each:
            rows, begun, read, parsed = np.frombuffer(each, np.int64).reshape(-1, _OWN).T
            batches = np.frombuffer(common, np.int64).reshape(-1, _COMMON)
            requests, stages, written = batches[:, 0], batches[:, 1:-1], batches[:, -1]
            self.answered += len(rows)
            self.rows += int(rows.sum())
            own = [read - begun, parsed - read, np.repeat(written, requests) - begun]
            yield
            for stage, times in zip(_OWN_STAGES, own, strict=True):
                self._add(stage, times, None)
                yield
            for stage, times in zip(_COMMON_STAGES, stages.T, strict=True):
                self._add(stage, times, requests)
            yield
        yield from self.quality.steps(sample)

    def _add(
        self,
        stage: int,
        times: npt.NDArray[np.int64],
        requests: npt.NDArray[np.int64] | None,
    ) -> None:
        """Count the times of one stage, each of so many requests, or of one."""
        classes = np.searchsorted(_NANOSECONDS, times)
        counted = np.bincount(classes, requests, _CLASSES)
        self.times[stage] += counted.astype(np.int64)
        total = times.sum() if requests is None else times @ requests
        self.sums[stage] += total * 1e-9

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
