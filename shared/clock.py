"""Datetime columns → points on circles: the hour of the day, the day of the week, and so on.

Here: what is fitted for one column (Fitting, Clock) and how all of a chunk's are encoded (Clocks).
Sines and cosines are computed once, when fitted, and only looked up afterwards; so are the offsets
of a time zone, so that serving needs no time zone database.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.elementary import MANY, ONE, Number, Ops
from shared.errors import DataError
from shared.schema import Column
from shared.values import Array

Ints = npt.NDArray[np.int64]

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
PERIODS = {
    "minute_of_day": 1440,
    "hour": 24,
    "weekday": 7,
    "day": 31,
    "dayofyear": 366,
    "month": 12,
}
ZONE_YEARS = (1900, 2100)
_NAT, _LATEST = int(np.iinfo(np.int64).min), int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class Clock:
    """What was fitted for one datetime column. Times are microseconds since 1970.

    Args:
        name: the column.
        indicator: an output says where the value was missing.
        parts: what is taken from the time.
        transitions, offsets: from each of the transitions (UTC, rising) on, the offset that is
            added to get local time; the first offset holds before the first transition, so there
            is one more of them.
        first, last: the earliest and the latest training row.
    """

    name: str
    indicator: bool
    parts: tuple[str, ...]
    transitions: tuple[int, ...]
    offsets: tuple[int, ...]
    first: int
    last: int


class Fitting:
    """Fits one column to training rows that come block by block.

    Args:
        column: of kind datetime.
    """

    def __init__(self, column: Column) -> None:
        self._column = column
        self._indicator = False
        self._first, self._last = _LATEST, _NAT

    def add(self, data: Array) -> None:
        """More training rows: datetime64[us] [n], NaT = missing."""
        missing = np.isnat(data)
        known = data[~missing].astype(np.int64)
        self._indicator |= len(known) < len(data)
        if known.size:
            self._first = min(self._first, int(known.min()))
            self._last = max(self._last, int(known.max()))

    def done(self) -> Clock:
        """What was fitted.

        Raises:
            DataError: all values are missing, or the time zone is not known.
        """
        column = self._column
        if self._first > self._last:
            raise DataError(
                "every value is missing in the training rows",
                where=f"column {column.name!r}",
                cure="Remove the column, or set feature = false",
            )
        transitions, offsets = zone(column.timezone, column.name)
        return Clock(
            column.name,
            self._indicator,
            column.parts,
            transitions,
            offsets,
            self._first,
            self._last,
        )


@functools.lru_cache(maxsize=16)
def zone(name: str | None, column: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Transitions and offsets of an IANA time zone from 1900 to 2100, in microseconds.

    Raises:
        DataError: there is no such zone.
    """
    if name is None:
        return (), (0,)
    from zoneinfo import ZoneInfo

    try:
        info = ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise DataError(
            f"the time zone {name!r} is not known",
            where=f"column {column!r}, timezone",
            cure="Use an IANA name such as America/New_York; pip install tzdata if none is known",
        ) from None

    def offset(moment: datetime) -> int:
        return round(
            (moment.astimezone(info).utcoffset() or timedelta()) / timedelta(microseconds=1)
        )

    moment, end = (datetime(year, 1, 1, tzinfo=UTC) for year in ZONE_YEARS)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    transitions, offsets = [], [offset(moment)]
    while moment < end:
        following = moment + timedelta(days=1)
        if offset(following) != offsets[-1]:
            before, after = moment, following
            while after - before > timedelta(seconds=1):
                middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
                before, after = (
                    (before, middle) if offset(middle) != offsets[-1] else (middle, after)
                )
            transitions.append(round((after - epoch) / timedelta(microseconds=1)))
            offsets.append(offset(following))
        moment = following
    return tuple(transitions), tuple(offsets)


def circle(part: str) -> tuple[tuple[float, float], ...]:
    """Sine and cosine of each value of a part, rounded to float32."""
    period = PERIODS[part]
    angles = [2 * math.pi * value / period for value in range(period)]
    return tuple((float(np.float32(math.sin(a))), float(np.float32(math.cos(a)))) for a in angles)


class Clocks:
    """Encodes the datetime columns of rows.

    Outputs come in the order of `keys`: sine and cosine of each part of each column, 0 and 0 where
    the time is missing, then missing indicators.
    """

    def __init__(
        self, clocks: Sequence[Clock], circles: Mapping[str, Sequence[Sequence[float]]]
    ) -> None:
        self.columns = [clock.name for clock in clocks]
        self.keys = [
            (clock.name, f".{part}.{axis}")
            for clock in clocks
            for part in clock.parts
            for axis in ("sin", "cos")
        ]
        self._flagged = [i for i, clock in enumerate(clocks) if clock.indicator]
        self.keys += [(clocks[i].name, ".missing") for i in self._flagged]
        # Where in `_points` a part's circle begins; before them lies the point of a missing time.
        starts, self._points = {}, [(0.0, 0.0)]
        for part, circle in circles.items():
            starts[part] = len(self._points)
            self._points += [(float(sine), float(cosine)) for sine, cosine in circle]
        self._alone = [
            _Dial(clock.transitions, clock.offsets, [(_PARTS[p], starts[p]) for p in clock.parts])
            for clock in clocks
        ]
        self._together = [
            dial._replace(
                transitions=np.array(dial.transitions, dtype=np.int64),
                offsets=np.array(dial.offsets, dtype=np.int64),
            )
            for dial in self._alone
        ]
        self._count = sum(len(clock.parts) for clock in clocks)
        self._table = np.array(self._points, dtype=np.float32)

    def __call__(self, chunk: Sequence[Ints]) -> npt.NDArray[np.float32]:
        """Encode rows.

        Args:
            chunk: microseconds or NaT as int64 [n], for each of `columns`.

        Returns:
            float32 [n, len(keys)].
        """
        rows, end = len(chunk[0]), 0
        at = np.empty((self._count, rows), dtype=np.int64)
        absent = []
        for moments, dial in zip(chunk, self._together, strict=True):
            missing = moments == _NAT
            begin = end
            days, within = _local(moments, dial, MANY)
            for part, start in dial.parts:
                np.add(part(days, within), start, out=at[end])
                end += 1
            if np.count_nonzero(missing):
                at[begin:end, missing] = 0
            absent.append(missing)
        points = self._table.take(at.T, 0).reshape(rows, 2 * self._count)
        if not self._flagged:
            return points
        flags = np.array([absent[i] for i in self._flagged], dtype=np.float32)
        return np.concatenate([points, flags.T], axis=1)

    def singly(self, chunk: Sequence[Sequence[int | None]]) -> list[float]:
        """Encode few rows, time by time.

        Args:
            chunk: n times in microseconds or None, for each of `columns`.

        Returns:
            n numbers for each of `keys`, one after the other.
        """
        result: list[float] = []
        points = self._points
        for moments, dial in zip(chunk, self._alone, strict=True):
            found: list[tuple[float, ...]] = []
            for moment in moments:
                if moment is None:
                    found.append(points[0] * len(dial.parts))
                    continue
                days, within = _local(moment, dial, ONE)
                point: tuple[float, ...] = ()
                for part, start in dial.parts:
                    point += points[start + part(days, within)]
                found.append(point)
            result += chain.from_iterable(zip(*found, strict=True))
        if self._flagged:
            result += [float(moment is None) for i in self._flagged for moment in chunk[i]]
        return result


class _Dial(NamedTuple):
    """One clock's time zone; the formula of each of its parts, and where its circle begins."""

    transitions: Sequence[int] | Ints
    offsets: Sequence[int] | Ints
    parts: Sequence[tuple[Callable[[Number, Number], Number], int]]


def _local(moment: Number, dial: _Dial, ops: Ops) -> tuple[Number, Number]:
    """What a part's formula is given: days since 1970 and the microseconds within the day.

    A part's value is counted from 0, and for a missing time it is any in its range.
    """
    local = moment
    if len(dial.offsets) > 1:
        local = moment + dial.offsets[ops.rank(dial.transitions, moment)]
    elif dial.offsets[0]:
        local = moment + dial.offsets[0]
    days = local // DAY
    return days, local - days * DAY


# Formulas of one number or an array: days since 1970 and microseconds within the day → a part's
# value, counted from 0. The calendar's are Howard Hinnant's (chrono-compatible date algorithms):
# years that begin in March end with the leap day.


def _march(days: Number) -> tuple[Number, Number, Number]:
    """Year and day of the year, both as of 1 March; and the month, March being 0."""
    since = days + 719_468
    era = since // 146_097
    day = since - era * 146_097
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day = day - (365 * year + year // 4 - year // 100)
    return year + era * 400, day, (5 * day + 2) // 153


def _day(days: Number, _: Number) -> Number:
    _, day, month = _march(days)
    return day - (153 * month + 2) // 5


def _day_of_year(days: Number, _: Number) -> Number:
    year, _, month = _march(days)
    before = year - 1 + (month >= 10)
    return days + 719_162 - (365 * before + before // 4 - before // 100 + before // 400)


def _month(days: Number, _: Number) -> Number:
    return (_march(days)[2] + 2) % 12


_PARTS: Mapping[str, Callable[[Number, Number], Number]] = {
    "minute_of_day": lambda _, within: within // MINUTE,
    "hour": lambda _, within: within // HOUR,
    "weekday": lambda days, _: (days + 3) % 7,
    "day": _day,
    "dayofyear": _day_of_year,
    "month": _month,
}
