"""When a scheduled action is due: EventBridge's ``at(…)``, ``rate(…)`` and ``cron(…)``.

Of cron's signs, ``* , - / ?``, the names of months and days and ``L`` for the last day of the month
are read; ``W``, ``#`` and an ``L`` among the days of the week are refused. The day of the month or
the day of the week must be ``?``.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
FARTHEST = 10 * 366
_UNITS = {"minute": 60, "hour": 3600, "day": 86_400}
_CALL = re.compile(r"(at|rate|cron)\((.*)\)")
_RATE = re.compile(r"([1-9]\d*) (minute|hour|day)(s?)")


class ScheduleError(ValueError):
    """An expression that cannot be read."""


class Schedule(Protocol):
    """Tells when."""

    def after(self, moment: datetime) -> datetime | None:
        """The next time later than `moment` (with a time zone); None: never."""


@dataclass(frozen=True)
class At:
    """Once."""

    time: datetime

    def after(self, moment: datetime) -> datetime | None:
        """That time, if it is to come."""
        return self.time if self.time > moment else None


@dataclass(frozen=True)
class Rate:
    """Again and again, from `start` on."""

    start: datetime
    seconds: int

    def after(self, moment: datetime) -> datetime:
        """The next multiple."""
        passed = max(0, (moment - self.start) // timedelta(seconds=self.seconds))
        return self.start + timedelta(seconds=self.seconds * (passed + 1))


@dataclass(frozen=True)
class Cron:
    """At the minutes that fit all fields, on the clock of a place.

    Attributes:
        days: of the month, with 0 for the last one; None for any.
        weekdays: 0 for Sunday; None for any.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int] | None
    months: frozenset[int]
    weekdays: frozenset[int] | None
    years: frozenset[int]
    zone: tzinfo

    def after(self, moment: datetime) -> datetime | None:
        """The next minute that fits, at most ten years away."""
        local = moment.astimezone(self.zone)
        for ahead in range(FARTHEST):
            day = (local + timedelta(days=ahead)).date()
            if not self._fits(day.year, day.month, day.day):
                continue
            for hour in sorted(self.hours):
                for minute in sorted(self.minutes):
                    found = datetime(day.year, day.month, day.day, hour, minute, tzinfo=self.zone)
                    if found > moment:
                        return found
        return None

    def _fits(self, year: int, month: int, day: int) -> bool:
        if year not in self.years or month not in self.months:
            return False
        if self.days is not None:
            last = calendar.monthrange(year, month)[1]
            return day in self.days or (0 in self.days and day == last)
        weekday = (calendar.weekday(year, month, day) + 1) % 7
        return self.weekdays is None or weekday in self.weekdays


def parse(text: str, start: datetime, zone: str = "UTC") -> Schedule:
    """Read an expression.

    Args:
        text: such as ``cron(0 7 ? * MON-FRI *)``.
        start: from which a rate counts.
        zone: an IANA time zone, for ``at`` and ``cron``.

    Raises:
        ScheduleError: it cannot be read, or the time zone is unknown.
    """
    match = _CALL.fullmatch(text)
    if not match:
        raise ScheduleError(f"The schedule {text!r} is not at(…), rate(…) or cron(…).")
    kind, inside = match.groups()
    if kind == "rate":
        return _rate(inside, start)
    try:
        place = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise ScheduleError(f"The time zone {zone!r} is not known.") from None
    if kind == "cron":
        return _cron(inside, place)
    try:
        return At(datetime.strptime(inside, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=place))
    except ValueError:
        raise ScheduleError(f"{inside!r} is not a time such as 2030-01-31T07:00:00.") from None


def _rate(text: str, start: datetime) -> Rate:
    match = _RATE.fullmatch(text)
    if not match or (match[1] == "1") == bool(match[3]):
        raise ScheduleError(f"The rate {text!r} is not one such as '1 hour' or '5 minutes'.")
    return Rate(start.astimezone(UTC), int(match[1]) * _UNITS[match[2]])


def _cron(text: str, zone: tzinfo) -> Cron:
    fields = text.split()
    if len(fields) != 6:
        raise ScheduleError(f"cron({text}) has {len(fields)} fields; six are needed.")
    minutes, hours, days, months, weekdays, years = fields
    if (days == "?") == (weekdays == "?"):
        raise ScheduleError(
            f"Of the day of the month and the day of the week in cron({text}), exactly one is '?'."
        )
    day_numbers = None if days == "?" else set(_field(days.replace("L", "0"), (0, 31)))
    if day_numbers and "*" in days:
        day_numbers.discard(0)
    return Cron(
        frozenset(_field(minutes, (0, 59))),
        frozenset(_field(hours, (0, 23))),
        None if day_numbers is None else frozenset(day_numbers),
        frozenset(_field(months, (1, 12), MONTHS, 1)),
        None
        if weekdays == "?"
        else frozenset(each - 1 for each in _field(weekdays, (1, 7), DAYS, 1)),
        frozenset(_field(years, (1970, 2199))),
        zone,
    )


def _field(
    text: str, bounds: tuple[int, int], names: Sequence[str] = (), first: int = 0
) -> Iterator[int]:
    """Every number that a field stands for."""
    low, high = bounds

    def number(word: str) -> int:
        if word.upper() in names:
            return names.index(word.upper()) + first
        if not word.isdecimal() or not low <= int(word) <= high:
            raise ScheduleError(f"{word!r} in the field {text!r} is not offered.")
        return int(word)

    for part in text.split(","):
        body, slash, step = part.partition("/")
        if slash and (not step.isdecimal() or int(step) < 1):
            raise ScheduleError(f"The step in {part!r} is not a number.")
        start, dash, end = body.partition("-")
        if body == "*":
            reach = range(low, high + 1)
        elif dash:
            reach = range(number(start), number(end) + 1)
        else:
            reach = range(number(start), high + 1 if slash else number(start) + 1)
        if not reach:
            raise ScheduleError(f"The range {body!r} ends before it begins.")
        yield from reach[:: int(step) if slash else 1]
