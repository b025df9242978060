"""One column's values, as JSON or text has them, made into its canonical array.

======== ============================== ==========================================
kind     array                          missing
======== ============================== ==========================================
numeric  float64                        NaN
boolean  float64 of 0.0 and 1.0         NaN
category object array of str            None
datetime datetime64[us]                 NaT
======== ============================== ==========================================

Here: which values each kind accepts. Not here: which columns there must be (schema.py), nor Arrow
tables (tables.py); both report a `Mistake` with their own words for the place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import repeat
from operator import is_
from types import NoneType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from shared.documents import show

Kind = Literal["numeric", "category", "boolean", "datetime"]
Array = npt.NDArray[Any]
Columns = Mapping[str, Array]

TIME = np.dtype("datetime64[us]")
# As text of a numeric, boolean or datetime column these stand for a missing value.
MISSING_TEXTS = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?"})
_NUMBERS = frozenset({int, float, NoneType})
_BOOLEANS = frozenset({bool, NoneType})
_TEXTS = frozenset({str, NoneType})
_ISO = re.compile(
    r"((?!0000)\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)?)"
    r"(Z|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)?",
    re.ASCII,
)
_TRUTH = {
    "true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "yes": 1.0, "no": 0.0,
}  # fmt: skip


class Mistake(ValueError):  # noqa: N818 - it is a finding, reported as an error elsewhere
    """One value that its kind does not accept.

    Args:
        row: the value's place in the list that was given.
        code: a short stable word for programs: wrong_type, not_finite, out_of_range or bad_date.
        message: a sentence without a full stop, the value included.
    """

    def __init__(self, row: int, code: str, message: str) -> None:
        super().__init__(message)
        self.row = row
        self.code = code
        self.message = message


def missing(kind: Kind) -> object:
    """What stands for a missing value in an array of this kind."""
    return {
        "numeric": np.nan,
        "boolean": np.nan,
        "category": None,
        "datetime": np.datetime64("NaT"),
    }[kind]


def dtype(kind: Kind) -> np.dtype[Any]:
    """The dtype of an array of this kind."""
    return {"category": np.dtype(object), "datetime": TIME}.get(kind, np.dtype(np.float64))


def is_missing(array: Array) -> npt.NDArray[np.bool_]:
    """Where a canonical array of any kind has no value."""
    if array.dtype == object:
        return np.fromiter(map(is_, array.tolist(), repeat(None)), np.bool_, len(array))
    return np.isnat(array) if array.dtype.kind == "M" else np.isnan(array)


def from_values(kind: Kind, values: Sequence[object]) -> Array:
    """JSON values (None = missing) → array [n].

    numeric takes finite numbers, boolean true and false, category text, numbers and booleans (see
    `text_of`; "" is missing, as it is in CSV), datetime ISO 8601 text.

    Raises:
        Mistake: the first value that its kind does not accept.
    """
    return _FROM_VALUES[kind](values)


def from_texts(kind: Kind, texts: Sequence[str]) -> Array:
    """Text cells → array [n]; "" is missing, and all MISSING_TEXTS are but in a category.

    numeric takes decimal numbers, boolean true/false/yes/no/1/0 in any case, datetime ISO 8601.

    Raises:
        Mistake: the first cell that its kind does not accept.
    """
    return _FROM_TEXTS[kind](texts)


def text_of(value: object) -> str:
    """A category's canonical text: numbers in their shortest form (5.0 is "5"), true, false.

    Raises:
        TypeError: the value is no text, number or boolean.
        OverflowError: the number is not finite, or too long to write.
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    try:
        if isinstance(value, int | np.integer):
            return str(int(value))
        if isinstance(value, float | np.floating):
            number = float(value)
            return str(int(number)) if number.is_integer() else _finite_text(number)
    except ValueError:
        raise OverflowError(show(value)) from None
    raise TypeError(show(value))


def texts_of(array: Array) -> Array:
    """A canonical column of category or numeric kind as category text, None = missing."""
    if array.dtype == object:
        return array
    unique, inverse = np.unique(array, return_inverse=True)
    levels = np.empty(len(unique), dtype=object)
    levels[:] = [None if math.isnan(value) else text_of(value) for value in unique.tolist()]
    # numpy 2.0 alone shapes the inverse like the array; all others give one dimension.
    rows: npt.NDArray[np.intp] = inverse.reshape(-1)
    return levels[rows]


def _finite_text(number: float) -> str:
    if not math.isfinite(number):
        raise OverflowError(show(number))
    return repr(number)


def _numbers(values: Sequence[object]) -> Array:
    if _NUMBERS.issuperset(map(type, values)):
        try:
            array = np.array(values, dtype=np.float64)
        except OverflowError:
            pass
        else:
            odd = array.size - np.count_nonzero(np.isfinite(array))
            if not odd or odd == values.count(None):
                return array
    return np.array([_number(row, value) for row, value in enumerate(values)], dtype=np.float64)


def _number(row: int, value: object) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool | np.bool_) or not isinstance(
        value, int | float | np.integer | np.floating
    ):
        raise Mistake(row, "wrong_type", f"a number is needed, not {_described(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf if value > 0 else -math.inf
    if math.isfinite(number):
        return number
    raise Mistake(row, "not_finite", f"a finite number is needed, not {_described(value)}")


def _booleans(values: Sequence[object]) -> Array:
    if not _BOOLEANS.issuperset(map(type, values)):
        for row, value in enumerate(values):
            if value is not None and not isinstance(value, bool | np.bool_):
                raise Mistake(
                    row, "wrong_type", f"true or false is needed, not {_described(value)}"
                )
    return np.array(values, dtype=np.float64)


def _categories(values: Sequence[object]) -> Array:
    if not _TEXTS.issuperset(map(type, values)):
        values = [_category(row, value) for row, value in enumerate(values)]
    array = np.empty(len(values), dtype=object)
    array[:] = [value or None for value in values] if "" in values else values
    return array


def _category(row: int, value: object) -> str | None:
    if value is None:
        return None
    try:
        return text_of(value)
    except TypeError:
        wanted = "text, a number or a boolean is needed"
        raise Mistake(row, "wrong_type", f"{wanted}, not {_described(value)}") from None
    except OverflowError:
        raise Mistake(row, "not_finite", f"{show(value)} cannot be a category") from None


def _datetimes(values: Sequence[object]) -> Array:
    if not _TEXTS.issuperset(map(type, values)):
        for row, value in enumerate(values):
            if value is not None and not isinstance(value, str):
                wanted = "a date and time as ISO 8601 text is needed"
                raise Mistake(row, "wrong_type", f"{wanted}, not {_described(value)}")
    array = np.full(len(values), np.datetime64("NaT"), dtype=TIME)
    rows = [row for row, value in enumerate(values) if value is not None]
    if rows:
        array[rows] = _times(rows, [str(values[row]) for row in rows])
    return array


def _times(rows: Sequence[int], texts: Sequence[str]) -> Array:
    """ISO 8601 texts → UTC; those without an offset are taken as they are."""
    parts = [match.groups() for match in map(_ISO.fullmatch, texts) if match]
    try:
        if len(parts) < len(texts):
            raise ValueError
        times = np.array([local for local, _ in parts], dtype=TIME)
    except ValueError:
        for row, text in zip(rows, texts, strict=True):
            _check_time(row, text)
        raise Mistake(rows[0], "bad_date", f"a date like {show(texts[0])} is not read") from None
    if any(offset for _, offset in parts):
        times -= np.array([_minutes(offset) for _, offset in parts], dtype="timedelta64[m]")
    return times


def _minutes(offset: str | None) -> int:
    """An offset from UTC, such as +02:00, +0200, -03 or Z, in minutes."""
    if offset is None or offset == "Z":
        return 0
    minutes = 60 * int(offset[1:3]) + int(offset[3:].removeprefix(":") or 0)
    return -minutes if offset[0] == "-" else minutes


def _check_time(row: int, text: str) -> None:
    wanted = "a date and time such as 2013-07-01T15:30:00Z"
    if not _ISO.fullmatch(text):
        raise Mistake(row, "bad_date", f"{wanted} is needed, not {show(text)}")
    try:
        datetime.fromisoformat(text)
    except ValueError as exception:
        raise Mistake(row, "bad_date", f"{show(text)} is no date: {exception}") from None


def _number_texts(texts: Sequence[str]) -> Array:
    array = _plain_numbers(texts)
    if array is None and not MISSING_TEXTS.isdisjoint(texts):
        texts = ["" if text in MISSING_TEXTS else text for text in texts]
        array = _plain_numbers(texts)
    if array is not None:
        return array
    return np.array([_number_text(row, text) for row, text in enumerate(texts)], dtype=np.float64)


def _plain_numbers(texts: Sequence[str]) -> Array | None:
    """The numbers where every text is a finite one or ""; else None."""
    joined = "".join(texts)
    if not joined.isascii() or "_" in joined:
        return None
    try:
        array = np.array([float(text) if text else math.nan for text in texts], dtype=np.float64)
    except ValueError:
        return None
    odd = array.size - np.count_nonzero(np.isfinite(array))
    return array if odd == 0 or odd == texts.count("") else None


def _number_text(row: int, text: str) -> float:
    if not text:
        return math.nan
    try:
        number = float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        number = None
    if number is None:
        raise Mistake(row, "wrong_type", f"a number is needed, not {show(text)}")
    if not math.isfinite(number):
        raise Mistake(row, "not_finite", f"a finite number is needed, not {show(text)}")
    return number


def _boolean_texts(texts: Sequence[str]) -> Array:
    try:
        return np.array(
            [math.nan if text in MISSING_TEXTS else _TRUTH[text.lower()] for text in texts],
            dtype=np.float64,
        )
    except KeyError:
        row = next(
            row
            for row, text in enumerate(texts)
            if text not in MISSING_TEXTS and text.lower() not in _TRUTH
        )
        wanted = "true or false (or yes, no, 1, 0) is needed"
        raise Mistake(row, "wrong_type", f"{wanted}, not {show(texts[row])}") from None


def _datetime_texts(texts: Sequence[str]) -> Array:
    return _datetimes([None if text in MISSING_TEXTS else text for text in texts])


def _described(value: object) -> str:
    """The value, with its JSON type where its look alone would mislead."""
    if value is None:
        return "null"
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {show(value)}"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    return show(value)


_FROM_VALUES: dict[Kind, Callable[[Sequence[object]], Array]] = {
    "numeric": _numbers,
    "boolean": _booleans,
    "category": _categories,
    "datetime": _datetimes,
}
_FROM_TEXTS: dict[Kind, Callable[[Sequence[str]], Array]] = {
    "numeric": _number_texts,
    "boolean": _boolean_texts,
    "category": _categories,
    "datetime": _datetime_texts,
}
