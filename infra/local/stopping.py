"""When a tuning job stops one of its training jobs before it has ended by itself.

Both rules look at the values of the objective metric in the order of the log, one for each epoch,
which is all that the service sees of a training job.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Protocol

FEWEST = 3
REDUCTION = 3


class Rule(Protocol):
    """Decides for one job at a time."""

    def stops(self, number: int, values: Sequence[float]) -> bool:
        """Whether the job of this number, which has printed these values, is to stop now."""

    def ended(self, number: int, values: Sequence[float]) -> None:
        """A job has ended, by itself or not."""


class Never:
    """Early stopping is off."""

    def stops(self, number: int, values: Sequence[float]) -> bool:
        """No."""
        return False

    def ended(self, number: int, values: Sequence[float]) -> None:
        """Nothing to remember."""


class Median:
    """AMT's rule: worse at an epoch than the median of the earlier jobs' running averages there.

    Nothing stops before as many as `FEWEST` earlier jobs have come that far.
    """

    def __init__(self, *, maximize: bool) -> None:
        self._maximize = maximize
        self._averages: list[list[float]] = []

    def stops(self, number: int, values: Sequence[float]) -> bool:
        """Compare the newest value."""
        epoch = len(values)
        reached = [each[epoch - 1] for each in self._averages if epoch <= len(each)]
        if not values or len(reached) < FEWEST:
            return False
        median = statistics.median(reached)
        return values[-1] < median if self._maximize else values[-1] > median

    def ended(self, number: int, values: Sequence[float]) -> None:
        """Keep the job's running averages."""
        self._averages.append([math.fsum(values[:end]) / end for end in range(1, len(values) + 1)])


class Hyperband:
    """Successive halving without waiting (ASHA), in several brackets as Hyperband has them.

    A job that comes to a rung goes on only if it is among the best third of those that came there
    before it. The brackets differ in where the first rung is, at `least` epochs or three times as
    far and so on; jobs are dealt out to them in turn, as many to each as it costs least.

    Args:
        least: the epochs that every job gets (MinResource).
        most: the epochs at which even the best are stopped (MaxResource).
        maximize: whether more is better.
    """

    def __init__(self, least: int, most: int, *, maximize: bool) -> None:
        self._most = most
        self._sign = 1.0 if maximize else -1.0
        self._ladders: list[list[int]] = []
        first = least
        while first < most:
            self._ladders.append(_rungs(first, most))
            first *= REDUCTION
        self._deal = _deal(len(self._ladders))
        self._seen: dict[tuple[int, int], list[float]] = {}
        self._climbed: dict[int, int] = {}

    def stops(self, number: int, values: Sequence[float]) -> bool:
        """Look at the rungs that the job has newly come to."""
        if len(values) >= self._most:
            return True
        if not self._ladders:
            return False
        bracket = self._deal[number % len(self._deal)]
        for rung in self._ladders[bracket]:
            if self._climbed.get(number, 0) < rung <= len(values):
                self._climbed[number] = rung
                value = self._sign * values[rung - 1]
                seen = self._seen.setdefault((bracket, rung), [])
                seen.append(value)
                best = sorted(seen, reverse=True)[: max(1, len(seen) // REDUCTION)]
                if value < best[-1]:
                    return True
        return False

    def ended(self, number: int, values: Sequence[float]) -> None:
        """What it came to at each rung is known already."""


def _rungs(first: int, most: int) -> list[int]:
    found = []
    while first < most:
        found.append(first)
        first *= REDUCTION
    return found


def _deal(brackets: int) -> list[int]:
    """Bracket numbers in the order in which jobs get them: the first three times as often."""
    if brackets == 0:
        return []
    return [
        bracket for bracket in range(brackets) for _ in range(REDUCTION ** (brackets - 1 - bracket))
    ]
