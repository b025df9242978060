"""Durations, shares and sizes as people write them."""

from __future__ import annotations

import pytest

from infra.units import rounded, seconds, share, short_size, short_time


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500ms", 0.5),
        ("45s", 45),
        ("10m", 600),
        ("1h", 3600),
        ("1h30m", 5400),
        ("2 d", 172_800),
        ("1.5H", 5400),
    ],
)
def test_a_duration_is_read(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "10", "ten minutes", "1h x", "h", "-1h", 600, None])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        seconds(text)


@pytest.mark.parametrize(
    ("value", "expected"), [(0.1, 0.1), ("10%", 0.1), ("2.5 %", 0.025), (1, 1)]
)
def test_a_share_is_read(value: object, expected: float) -> None:
    assert share(value) == expected


@pytest.mark.parametrize("value", ["0.1", "101%", 2, -0.1, True, None])
def test_what_is_no_share_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="share"):
        share(value)


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (0.012, "12 ms"),
        (1.44, "1.4 s"),
        (59.6, "1 min"),
        (185, "3 min 5 s"),
        (7800, "2 h 10 min"),
        (7200, "2 h"),
    ],
)
def test_a_time_is_written_for_a_person(duration: float, expected: str) -> None:
    assert short_time(duration) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [(10, "10 B"), (2048, "2.0 KiB"), (5 << 20, "5.0 MiB"), (3 << 30, "3.0 GiB")],
)
def test_a_size_is_written_for_a_person(size: int, expected: str) -> None:
    assert short_size(size) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.15712345, 0.15712), (1234567.8, 1234568.0), (-0.0000123456, -0.000012346), (0.0, 0.0)],
)
def test_a_number_is_rounded_to_significant_digits(value: float, expected: float) -> None:
    assert rounded(value, 5) == expected
