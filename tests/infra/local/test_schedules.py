from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local import schedules
from infra.local.schedules import ScheduleError

START = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)  # a Monday


def next_times(text: str, count: int, zone: str = "UTC") -> list[str]:
    schedule = schedules.parse(text, START, zone)
    found, moment = [], START
    while len(found) < count and (later := schedule.after(moment)):
        found.append(later.astimezone(UTC).strftime("%a %Y-%m-%d %H:%M"))
        moment = later
    return found


@pytest.mark.parametrize(
    ("text", "times"),
    [
        (
            "cron(0 7 ? * MON-FRI *)",
            ["Tue 2026-11-24 07:00", "Wed 2026-11-25 07:00", "Thu 2026-11-26 07:00"],
        ),
        ("cron(30 6 L * ? *)", ["Mon 2026-11-30 06:30", "Thu 2026-12-31 06:30"]),
        ("cron(0/20 15 * * ? *)", ["Mon 2026-11-23 15:20", "Mon 2026-11-23 15:40"]),
        ("cron(0 0 1 JAN,JUL ? 2027-2028)", ["Fri 2027-01-01 00:00", "Thu 2027-07-01 00:00"]),
        ("cron(5 4 ? * 1 *)", ["Sun 2026-11-29 04:05"]),
        ("cron(0 12 29 2 ? *)", ["Tue 2028-02-29 12:00"]),
        ("cron(0 0 1 1 ? 2020)", []),
        ("rate(1 hour)", ["Mon 2026-11-23 16:00", "Mon 2026-11-23 17:00"]),
        ("rate(5 minutes)", ["Mon 2026-11-23 15:05"]),
        ("at(2026-12-24T18:00:00)", ["Thu 2026-12-24 18:00"]),
        ("at(2020-01-01T00:00:00)", []),
    ],
)
def test_the_next_times_are_those_of_the_calendar(text: str, times: list[str]) -> None:
    assert next_times(text, max(1, len(times))) == times


def test_cron_and_at_follow_the_clock_of_their_place_through_the_year() -> None:
    winter = next_times("cron(0 7 24 11 ? *)", 1, "Europe/Berlin")
    summer = next_times("cron(0 7 24 6 ? *)", 1, "Europe/Berlin")
    assert winter == ["Tue 2026-11-24 06:00"]
    assert summer == ["Thu 2027-06-24 05:00"]
    assert next_times("at(2026-11-24T09:00:00)", 1, "Asia/Tokyo") == ["Tue 2026-11-24 00:00"]


@pytest.mark.parametrize(
    "text",
    [
        *("", "daily", "cron(0 7 * * MON *)", "cron(0 7 ? * ? *)", "cron(0 7 ? * MON)"),
        *("cron(60 7 ? * MON *)", "cron(0 7 ? * MON#1 *)", "cron(0 7 15W * ? *)"),
        *("cron(0 9-7 * * ? *)", "cron(0/0 7 * * ? *)", "rate(0 minutes)", "rate(1 hours)"),
        *("rate(2 hour)", "rate(5 weeks)", "at(tomorrow)", "at(2026-13-01T00:00:00)"),
        "cron(0 7 ? * 6L *)",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ScheduleError):
        schedules.parse(text, START)


def test_an_unknown_time_zone_is_refused() -> None:
    for zone in ("Mars/Base", "../etc/passwd"):
        with pytest.raises(ScheduleError, match="not known"):
            schedules.parse("cron(0 7 * * ? *)", START, zone)


@given(st.integers(1, 5000), st.integers(0, 10**6))
def test_a_rate_is_due_at_its_multiples_only(minutes: int, ahead: int) -> None:
    unit = "minute" if minutes == 1 else "minutes"
    schedule = schedules.parse(f"rate({minutes} {unit})", START)
    moment = START + timedelta(seconds=ahead)
    later = schedule.after(moment)
    assert later is not None
    assert moment < later <= moment + timedelta(minutes=minutes)
    assert (later - START) % timedelta(minutes=minutes) == timedelta()


@given(st.text(alphabet="0123456789*?,-/LMONFRI# ", max_size=30))
def test_any_cron_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ScheduleError):
        later = schedules.parse(f"cron({text})", START).after(START)
        assert later is None or later > START
