"""Many plain values of one column at once: what numpy can make of a list without looking at each.

Each function gives the canonical array where every value is plain, and None where any is not: then
values.py, which knows every value and every mistake, takes them one by one. Both give the same
bits. Not here: which values a kind accepts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import NoneType
from typing import Any

import numpy as np
import numpy.typing as npt

TIME = np.dtype("datetime64[us]")
# As text of a numeric, boolean or datetime column these stand for a missing value.
MISSING_TEXTS = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?"})

_NUMBERS = frozenset({int, float, NoneType})
_TEXTS = frozenset({str, NoneType})
_LOCAL_TIMES = re.compile(
    r"(?:(?!0000)\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)?\n)*+", re.ASCII
)
"""Lines of ISO 8601 without offsets; numpy reads these, and much else that it must not."""

Array = npt.NDArray[Any]


def numbers(values: Sequence[Any]) -> Array | None:
    """JSON numbers, None = missing → float64 [n]."""
    if not _NUMBERS.issuperset(map(type, values)):
        return None
    try:
        array = np.array(values, dtype=np.float64)
    except OverflowError:
        return None
    odd = array.size - np.count_nonzero(np.isfinite(array))
    return array if not odd or odd == values.count(None) else None


def number_texts(texts: Sequence[str]) -> Array | None:
    """Decimal numbers as text, MISSING_TEXTS = missing → float64 [n]."""
    if not MISSING_TEXTS.isdisjoint(texts):
        texts = ["nan" if text in MISSING_TEXTS else text for text in texts]
    joined = "".join(texts)
    if not joined.isascii() or "_" in joined:
        return None
    try:
        array = np.fromiter(map(float, texts), np.float64, len(texts))
    except ValueError:
        return None
    odd = array.size - np.count_nonzero(np.isfinite(array))
    return array if not odd or odd == texts.count("nan") else None


def times(texts: Sequence[Any]) -> Array | None:
    """ISO 8601 texts without offsets, None = missing → datetime64[us] [n]."""
    if not _TEXTS.issuperset(map(type, texts)):
        return None
    given = [text for text in texts if text is not None]
    if not _LOCAL_TIMES.fullmatch("\n".join(given) + "\n" * bool(given)):
        return None
    try:
        found = np.array(given, dtype=TIME)
    except ValueError:
        return None
    if len(given) == len(texts):
        return found
    array = np.full(len(texts), np.datetime64("NaT"), dtype=TIME)
    array[[text is not None for text in texts]] = found
    return array


def time_texts(texts: Sequence[str]) -> Array | None:
    """As `times`, MISSING_TEXTS = missing."""
    return times([None if text in MISSING_TEXTS else text for text in texts])
