"""Datetime columns → points on circles: the hour of the day, the day of the week, and so on.

Here: what is fitted for one column (Fitting, Clock) and how all of a chunk's are encoded (Clocks).
Sines and cosines are computed once, when fitted, and only looked up afterwards; so are the offsets
of a time zone, so that serving needs no time zone database.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

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

# As arrays: numpy takes longer to make one of a number than to divide a few by it.
_MINUTE: Ints = np.array(MINUTE)
_HOUR: Ints = np.array(HOUR)
_DAY: Ints = np.array(DAY)
_THURSDAY: Ints = np.array(3)
_WEEK: Ints = np.array(7)


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
    """Encodes the datetime columns of a chunk of rows.

    Outputs come in the order of `names`: sine and cosine of each part of each column, 0 and 0 where
    the time is missing, then missing indicators.
    """

    def __init__(
        self, clocks: Sequence[Clock], circles: Mapping[str, Sequence[Sequence[float]]]
    ) -> None:
        self.columns = [clock.name for clock in clocks]
        self.names = [
            f"{clock.name}.{part}.{axis}"
            for clock in clocks
            for part in clock.parts
            for axis in ("sin", "cos")
        ]
        flagged = [i for i, clock in enumerate(clocks) if clock.indicator]
        self.names += [f"{clocks[i].name}.missing" for i in flagged]
        self._flagged = np.array(flagged, dtype=np.intp)
        self._zones = [
            (
                i,
                np.array(clock.transitions, dtype=np.int64),
                np.array(clock.offsets, dtype=np.int64),
            )
            for i, clock in enumerate(clocks)
            if clock.transitions or clock.offsets != (0,)
        ]
        parts = [(i, part) for i, clock in enumerate(clocks) for part in clock.parts]
        used = sorted({part for _, part in parts})
        rows = [(0.0, 0.0)]
        self._parts = []
        for part in used:
            where = [row for row, (_, other) in enumerate(parts) if other == part]
            owners = [parts[row][0] for row in where]
            whole = owners == list(range(len(clocks)))
            self._parts.append(
                (part, np.array(where), None if whole else np.array(owners), np.array(len(rows)))
            )
            rows += [(float(sine), float(cosine)) for sine, cosine in circles[part]]
        self._owners = np.array([i for i, _ in parts], dtype=np.intp)
        self._circles = np.array(rows, dtype=np.float32)

    def __call__(self, chunk: Sequence[Array]) -> npt.NDArray[np.float32]:
        """Encode rows.

        Args:
            chunk: datetime64[us] [n], one for each of `columns`.

        Returns:
            float32 [n, len(names)].
        """
        rows = len(chunk[0])
        times = np.concatenate(chunk).view(np.int64).reshape(len(chunk), rows)
        missing = times == _NAT
        for i, transitions, offsets in self._zones:
            times[i] += offsets[np.searchsorted(transitions, times[i], side="right")]
        days = times // _DAY
        within = times - days * _DAY
        at = np.empty((len(self._owners), rows), dtype=np.int64)
        for part, where, owners, start in self._parts:
            if owners is None:
                at[where] = _part(part, days, within) + start
            else:
                at[where] = _part(part, days.take(owners, 0), within.take(owners, 0)) + start
        if np.count_nonzero(missing):
            at[missing.take(self._owners, 0)] = 0
        points = self._circles.take(at.T, 0).reshape(rows, 2 * len(self._owners))
        if not self._flagged.size:
            return points
        return np.concatenate([points, missing[self._flagged].T.astype(np.float32)], axis=1)


def _part(part: str, days: Ints, within: Ints) -> Ints:
    """The part's value, counted from 0; anything where the time is missing."""
    if part == "minute_of_day":
        return within // _MINUTE
    if part == "hour":
        return within // _HOUR
    if part == "weekday":
        return (days + _THURSDAY) % _WEEK
    dates = days.astype("datetime64[D]")
    if part == "day":
        return _since(dates, "datetime64[M]")
    if part == "dayofyear":
        return _since(dates, "datetime64[Y]")
    return dates.astype("datetime64[M]").astype(np.int64) % 12


def _since(dates: Array, unit: str) -> Ints:
    """Days since the month or the year began."""
    begun = dates.astype(unit).astype("datetime64[D]")
    days: Ints = (dates - begun).astype(np.int64)
    return days
