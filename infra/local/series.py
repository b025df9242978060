"""Metrics over time, as CloudWatch keeps them: what was told each second, by name and dimensions.

Values are kept with how often each occurred, which is what percentiles need. After three hours the
seconds of a minute become one, as in CloudWatch.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

FINE_SECONDS = 3 * 3600
MINUTE = 60
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?|100(?:\.0+)?)")
SIMPLE = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")


@dataclass(frozen=True)
class Metric:
    """Which metric: what CloudWatch knows it by."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, namespace: str, name: str, dimensions: Mapping[str, str]) -> Metric:
        """The metric with these dimensions."""
        return cls(namespace, name, frozenset(dimensions.items()))


@dataclass
class Bucket:
    """What was told of a metric in one stretch of time.

    Attributes:
        values: how often each occurred, to four digits; None where only a summary was told, and so
            no percentile is known.
    """

    count: float = 0.0
    total: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    values: dict[float, float] | None = field(default_factory=dict)

    def add(self, value: float, count: float = 1.0) -> None:
        """Take in a value that occurred `count` times."""
        self.count += count
        self.total += value * count
        self.low = min(self.low, value)
        self.high = max(self.high, value)
        if self.values is not None:
            key = float(f"{value:.4g}")
            self.values[key] = self.values.get(key, 0.0) + count

    def merge(self, other: Bucket) -> None:
        """Take in another bucket."""
        self.count += other.count
        self.total += other.total
        self.low = min(self.low, other.low)
        self.high = max(self.high, other.high)
        if self.values is None or other.values is None:
            self.values = None
            return
        for value, count in other.values.items():
            self.values[value] = self.values.get(value, 0.0) + count

    def statistic(self, name: str) -> float | None:
        """One of CloudWatch's statistics; None where it cannot be told."""
        if not self.count:
            return None
        simple = {
            "SampleCount": self.count,
            "Sum": self.total,
            "Average": self.total / self.count,
            "Minimum": self.low,
            "Maximum": self.high,
        }
        return simple[name] if name in simple else self._percentile(float(name[1:]) / 100)

    def _percentile(self, part: float) -> float | None:
        if self.low == self.high:
            return self.low
        if self.values is None:
            return None
        wanted = part * self.count
        passed = 0.0
        for value in sorted(self.values):
            passed += self.values[value]
            if passed >= wanted and passed > 0:
                return min(max(value, self.low), self.high)
        return self.high


def is_percentile(name: str) -> bool:
    """Whether this is a percentile's name, such as p99 or p99.9."""
    return _PERCENTILE.fullmatch(name) is not None


class Store:
    """Every metric of this cloud."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._series: dict[Metric, dict[str, dict[int, Bucket]]] = {}

    def add(
        self,
        metrics: Iterable[tuple[Metric, float, str]],
        moment: float | None = None,
        count: float = 1.0,
    ) -> None:
        """Take in values of one moment: each a metric, its value and its unit."""
        second = int(time.time() if moment is None else moment)
        with self._lock:
            for metric, value, unit in metrics:
                self._bucket(metric, unit, second).add(value, count)

    def merge(self, metric: Metric, bucket: Bucket, unit: str, moment: float) -> None:
        """Take in what was gathered elsewhere."""
        with self._lock:
            self._bucket(metric, unit, int(moment)).merge(bucket)

    def _bucket(self, metric: Metric, unit: str, second: int) -> Bucket:
        buckets = self._series.setdefault(metric, {}).setdefault(unit, {})
        return buckets.setdefault(second, Bucket())

    def periods(
        self, metric: Metric, start: int, end: int, period: int, unit: str | None = None
    ) -> list[tuple[int, Bucket]]:
        """What was told from `start` to before `end`, by periods that begin at multiples of one.

        Periods without data are left out.
        """
        found: dict[int, Bucket] = {}
        with self._lock:
            for each, buckets in self._series.get(metric, {}).items():
                if unit is None or each == unit:
                    for second in _between(buckets, start, end):
                        begin = second - second % period
                        found.setdefault(begin, Bucket()).merge(buckets[second])
        return sorted(found.items())

    def unit(self, metric: Metric) -> str:
        """In what a metric is told."""
        with self._lock:
            return next(iter(self._series.get(metric, {})), "None")

    def metrics(self) -> list[Metric]:
        """Everything that was ever told."""
        with self._lock:
            return list(self._series)

    def compact(self, now: float) -> None:
        """Make minutes of the seconds that are older than three hours."""
        horizon = int(now) - FINE_SECONDS
        with self._lock:
            for units in self._series.values():
                for buckets in units.values():
                    for second in [each for each in buckets if each < horizon and each % MINUTE]:
                        minute = buckets.setdefault(second - second % MINUTE, Bucket())
                        minute.merge(buckets.pop(second))


def _between(buckets: Mapping[int, Bucket], start: int, end: int) -> Iterator[int]:
    if end - start < len(buckets):
        yield from (second for second in range(start, end) if second in buckets)
    else:
        yield from (second for second in buckets if start <= second < end)
