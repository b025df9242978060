"""Durations, shares and sizes between what people write ("1h30m", "10%") and numbers; rounding."""

from __future__ import annotations

import math
import re

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[smhdw])")


def seconds(text: object) -> float:
    """Seconds in a duration such as "500ms", "45s", "10m", "1h30m", "2 d".

    Raises:
        ValueError: it is not written like one.
    """
    compact = text.strip().lower() if isinstance(text, str) else ""
    parts = _PART.findall(compact)
    if not parts or _PART.sub("", compact).strip():
        raise ValueError("is not a duration")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def share(value: object) -> float:
    """A share between 0 and 1, from 0.1 or "10%".

    Raises:
        ValueError: it is neither, or outside 0 … 1.
    """
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", value)
        if not match:
            raise ValueError("is not a share")
        value = float(match.group(1)) / 100
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError("is not a share")
    return float(value)


def rounded(value: float, digits: int) -> float:
    """A number to so many significant digits; what stands before the point is kept whole."""
    if value == 0 or not math.isfinite(value):
        return value
    return round(value, max(0, digits - 1 - math.floor(math.log10(abs(value)))))


def short_time(duration: float) -> str:
    """A duration in seconds for a person: 40 ms, 1.4 s, 12 s, 3 min 5 s, 2 h 10 min."""
    if duration < 0.1:
        return f"{duration * 1000:.0f} ms"
    if duration < 10:
        return f"{duration:.1f} s"
    whole = round(duration)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def short_size(size: float) -> str:
    """A number of bytes for a person, in powers of 1024: 415 B, 2.1 MiB."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
