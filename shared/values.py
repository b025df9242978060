"""One column's values, as JSON or text has them, made into its canonical array.

======== ============================== ==========================================
kind     array                          missing
======== ============================== ==========================================
numeric  float64                        NaN
boolean  float64 of 0.0 and 1.0         NaN
category object array of str            None
datetime datetime64[us]                 NaT
======== ============================== ==========================================

Here: which values each kind accepts. Not here: plain values by the thousand (many.py), which
columns there must be (schema.py), nor arrays of numpy and Arrow (arrays.py, tables.py); these
report a `Mistake` with their own words for the place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import repeat
from operator import is_
from types import NoneType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from shared import many
from shared.documents import show

Kind = Literal["numeric", "category", "boolean", "datetime"]
Array = npt.NDArray[Any]
Columns = Mapping[str, Array]

TIME, MISSING_TEXTS = many.TIME, many.MISSING_TEXTS
NAT = int(np.iinfo(np.int64).min)
"""The microseconds of a missing time in an array."""
LONGEST_TEXT = 10_000
"""Characters of one text of a request."""
_NUMBERS = frozenset({int, float, NoneType})
_BOOLEANS = frozenset({bool, NoneType})
_TEXTS = frozenset({str, NoneType})
# Tuples, since each "int | float" would be made anew.
_TRUTHS, _INTEGERS, _FLOATS = (bool, np.bool_), (int, np.integer), (float, np.floating)
_ISO = re.compile(
    r"((?!0000)\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)?)"
    r"(Z|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)?",
    re.ASCII,
)
_DATE = len("2013-07-01")
_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_from_iso = datetime.fromisoformat
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


class ColumnMistake(Mistake):
    """A column as a whole is of a type that its kind cannot be made of."""

    def __init__(self, message: str) -> None:
        super().__init__(0, "wrong_type", message)


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


def array_of(kind: Kind, cells: Sequence[Any]) -> Array:
    """Cells → their canonical array.

    A cell is a float, a str or the microseconds since 1970; a missing one is NaN or None.
    """
    if kind == "category":
        array = np.empty(len(cells), dtype=object)
        array[:] = cells
        return array
    if kind == "datetime":
        return moments(cells).view(TIME)
    return np.array(cells, dtype=np.float64)


def moments(cells: Sequence[int | None]) -> npt.NDArray[np.int64]:
    """Cells of a datetime column → microseconds since 1970, NAT = missing."""
    return np.array([NAT if cell is None else cell for cell in cells], np.int64)


def is_missing_cell(cell: Any) -> bool:
    """Whether a cell of any kind has no value."""
    return cell is None or cell != cell  # noqa: PLR0124 - a missing number is NaN


def from_values(kind: Kind, values: Sequence[object]) -> Array:
    """JSON values (None = missing) → array [n]; accepts and raises what `cells_of_values` does."""
    together = _MANY_VALUES.get(kind)
    array = together(values) if together else None
    return array_of(kind, _FROM_VALUES[kind](values)) if array is None else array


def from_texts(kind: Kind, texts: Sequence[str]) -> Array:
    """Text cells → array [n]; accepts and raises what `cells_of_texts` does."""
    together = _MANY_TEXTS.get(kind)
    array = together(texts) if together else None
    return array_of(kind, _FROM_TEXTS[kind](texts)) if array is None else array


def cells_of_values(kind: Kind, values: Sequence[object]) -> list[Any]:
    """JSON values (None = missing) → cells, as `array_of` takes them.

    numeric takes finite numbers, boolean true and false, category text, numbers and booleans (see
    `text_of`; "" is missing, as it is in CSV), datetime ISO 8601 text.

    Raises:
        Mistake: the first value that its kind does not accept.
    """
    return _FROM_VALUES[kind](values)


def cells_of_texts(kind: Kind, texts: Sequence[str]) -> list[Any]:
    """Texts → cells; "" is missing, and all MISSING_TEXTS are but in a category.

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
    if isinstance(value, _TRUTHS):
        return "true" if value else "false"
    try:
        if isinstance(value, _INTEGERS):
            return str(int(value))
        if isinstance(value, _FLOATS):
            number = float(value)
            return str(int(number)) if number.is_integer() else _finite_text(number)
    except ValueError:
        raise OverflowError(show(value)) from None
    raise TypeError(show(value))


def text_of_cell(cell: Any) -> str | None:
    """A cell of category or numeric kind as category text, None = missing."""
    if cell is None or type(cell) is str:
        return cell
    return None if math.isnan(cell) else text_of(cell)


def texts_of(array: Array) -> Array:
    """A canonical column of category or numeric kind as category text, None = missing."""
    if array.dtype == object:
        return array
    unique, inverse = np.unique(array, return_inverse=True)
    levels = np.empty(len(unique), dtype=object)
    levels[:] = [text_of_cell(value) for value in unique.tolist()]
    # numpy 2.0 alone shapes the inverse like the array; all others give one dimension.
    rows: npt.NDArray[np.intp] = inverse.reshape(-1)
    return levels[rows]


def _finite_text(number: float) -> str:
    if not math.isfinite(number):
        raise OverflowError(show(number))
    return repr(number)


def _numbers(values: Sequence[object]) -> list[float]:
    if _NUMBERS.issuperset(map(type, values)):
        try:
            cells = [math.nan if value is None else float(value) for value in values]  # type: ignore[arg-type]
        except OverflowError:
            pass
        else:
            odd = len(cells) - sum(map(math.isfinite, cells))
            if not odd or odd == values.count(None):
                return cells
    return [_number(row, value) for row, value in enumerate(values)]


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


def _booleans(values: Sequence[object]) -> list[float]:
    if not _BOOLEANS.issuperset(map(type, values)):
        for row, value in enumerate(values):
            if value is not None and not isinstance(value, bool | np.bool_):
                raise Mistake(
                    row, "wrong_type", f"true or false is needed, not {_described(value)}"
                )
    return [math.nan if value is None else float(value) for value in values]  # type: ignore[arg-type]


def _categories(values: Sequence[object]) -> list[str | None]:
    if _TEXTS.issuperset(map(type, values)):
        return [value or None for value in values]  # type: ignore[misc]
    return [
        value or None if type(value) is str else _category(row, value)
        for row, value in enumerate(values)
    ]


def _category(row: int, value: object) -> str | None:
    if value is None:
        return None
    try:
        return text_of(value) or None
    except TypeError:
        wanted = "text, a number or a boolean is needed"
        raise Mistake(row, "wrong_type", f"{wanted}, not {_described(value)}") from None
    except OverflowError:
        raise Mistake(row, "not_finite", f"{show(value)} cannot be a category") from None


def _datetimes(values: Sequence[object]) -> list[int | None]:
    if not _TEXTS.issuperset(map(type, values)):
        for row, value in enumerate(values):
            if value is not None and not isinstance(value, str):
                wanted = "a date and time as ISO 8601 text is needed"
                raise Mistake(row, "wrong_type", f"{wanted}, not {_described(value)}")
    moments: dict[object, int | None] = {None: None}
    for value in dict.fromkeys(values):  # many rows have few times: each is read once
        if value is not None:
            try:
                moments[value] = _moment(str(value))
            except ValueError as exception:
                raise Mistake(values.index(value), "bad_date", str(exception)) from None
    return [moments[value] for value in values]


def _moment(text: str) -> int:
    """ISO 8601 text → UTC; without an offset it is taken as it is."""
    match = _ISO.fullmatch(text)
    if match is None:
        wanted = "a date and time such as 2013-07-01T15:30:00Z"
        raise ValueError(f"{wanted} is needed, not {show(text)}")
    offset = match.lastindex == 2
    if offset and match.end(1) == _DATE:  # which Python does not read
        text = f"{text[:_DATE]}T00:00{text[_DATE:]}"
    try:
        moment = _from_iso(text)
    except ValueError as exception:
        raise ValueError(f"{show(text)} is no date: {exception}") from None
    since = moment - (_EPOCH_UTC if offset else _EPOCH)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _number_texts(texts: Sequence[str]) -> list[float]:
    cells = _plain_numbers(texts)
    if cells is None and not MISSING_TEXTS.isdisjoint(texts):
        texts = ["" if text in MISSING_TEXTS else text for text in texts]
        cells = _plain_numbers(texts)
    if cells is not None:
        return cells
    return [_number_text(row, text) for row, text in enumerate(texts)]


def _plain_numbers(texts: Sequence[str]) -> list[float] | None:
    """The numbers where every text is a finite one or ""; else None."""
    joined = "".join(texts)
    if not joined.isascii() or "_" in joined:
        return None
    try:
        cells = [float(text) if text else math.nan for text in texts]
    except ValueError:
        return None
    odd = len(cells) - sum(map(math.isfinite, cells))
    return cells if odd == 0 or odd == texts.count("") else None


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


def _boolean_texts(texts: Sequence[str]) -> list[float]:
    try:
        return [math.nan if text in MISSING_TEXTS else _TRUTH[text.lower()] for text in texts]
    except KeyError:
        row = next(
            row
            for row, text in enumerate(texts)
            if text not in MISSING_TEXTS and text.lower() not in _TRUTH
        )
        wanted = "true or false (or yes, no, 1, 0) is needed"
        raise Mistake(row, "wrong_type", f"{wanted}, not {show(texts[row])}") from None


def _datetime_texts(texts: Sequence[str]) -> list[int | None]:
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


_FROM_VALUES: dict[Kind, Callable[[Sequence[object]], list[Any]]] = {
    "numeric": _numbers,
    "boolean": _booleans,
    "category": _categories,
    "datetime": _datetimes,
}
_FROM_TEXTS: dict[Kind, Callable[[Sequence[str]], list[Any]]] = {
    "numeric": _number_texts,
    "boolean": _boolean_texts,
    "category": _categories,
    "datetime": _datetime_texts,
}
_MANY_VALUES: dict[Kind, Callable[[Sequence[Any]], Array | None]] = {
    "numeric": many.numbers,
    "datetime": many.times,
}
_MANY_TEXTS: dict[Kind, Callable[[Sequence[str]], Array | None]] = {
    "numeric": many.number_texts,
    "datetime": many.time_texts,
}
