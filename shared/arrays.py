"""One column that came as a numpy array, made into its canonical array.

Here: which dtypes each kind accepts. Not here: JSON values and text (values.py), Arrow's columns
(tables.py, which makes numbers and times of them with what stands here).
"""

from __future__ import annotations

import numpy as np

from shared import values
from shared.values import Array, ColumnMistake, Kind, Mistake

FIRST, END = np.datetime64("0001-01-01", "us"), np.datetime64("10000-01-01", "us")
"""The times that ISO 8601 text can say, END not among them."""

_FINE = ("us", "ns", "ps", "fs", "as")
_MAX_CHARACTER = 0x10FFFF


def from_array(kind: Kind, array: Array) -> Array:
    """A column of any dtype, byte order and stride → canonical array.

    Text is read as the cells of a CSV file are. A kind takes, besides text:

    - numeric: integers and floats; NaN is missing, infinities are refused;
    - boolean: booleans, and numbers that are 0, 1 or NaN;
    - category: integers, floats, booleans and times, each as its text;
    - datetime: datetime64 of any unit, rounded down to microseconds, from year 1 to 9999.

    Args:
        kind: of the column.
        array: [n].

    Raises:
        Mistake: the dtype, or the first value, is not what the kind accepts.
    """
    code = array.dtype.kind
    if code in "US":
        return values.from_texts(kind, _texts(array))
    if code == "b" and kind == "category":
        return np.where(array, "true", "false").astype(object)
    if code == "b" and kind == "boolean":
        return array.astype(np.float64)
    if code in "iuf" and kind != "datetime":
        return _from_numbers(kind, array)
    if code == "M" and kind in ("datetime", "category"):
        return _from_times(kind, array)
    raise ColumnMistake(f"a {kind} column cannot be made of the numpy type {array.dtype}")


def _texts(array: Array) -> list[str]:
    """The texts of an array of text, or of bytes that are UTF-8."""
    if array.dtype.kind == "S":
        return [_decoded(row, cell) for row, cell in enumerate(array.tolist())]
    width = array.dtype.itemsize // 4
    points = np.ascontiguousarray(array).view(
        np.dtype(np.uint32).newbyteorder(array.dtype.byteorder)
    )
    beyond = np.flatnonzero(points > _MAX_CHARACTER)
    if len(beyond):
        row = int(beyond[0]) // width
        raise Mistake(row, "wrong_charset", "the text has a code that is no character")
    texts: list[str] = array.tolist()
    return texts


def _decoded(row: int, cell: bytes) -> str:
    try:
        return cell.decode()
    except UnicodeDecodeError:
        raise Mistake(row, "wrong_charset", f"{cell[:30]!r} is not UTF-8 text") from None


def _from_numbers(kind: Kind, array: Array) -> Array:
    if kind == "category" and array.dtype.kind != "f":
        return np.array([str(number) for number in array.tolist()], dtype=object)
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = array.astype(np.float64)
    infinite = np.isinf(numbers)
    if infinite.any():
        row = int(np.argmax(infinite))
        raise Mistake(row, "not_finite", f"a finite number is needed, not {float(numbers[row])!r}")
    if kind == "category":
        return values.texts_of(numbers)
    if kind == "boolean":
        odd = ~(np.isnan(numbers) | (numbers == 0) | (numbers == 1))
        if odd.any():
            row = int(np.argmax(odd))
            raise Mistake(row, "wrong_type", f"0 or 1 is needed, not {float(numbers[row])!r}")
    return numbers


def _from_times(kind: Kind, array: Array) -> Array:
    unit, _ = np.datetime_data(array.dtype)
    if unit == "generic":
        raise ColumnMistake("times without a unit cannot be read")
    moments = array.astype(values.TIME)
    wrong = (moments < FIRST) | (moments >= END)
    if unit not in _FINE:
        # A coarse unit reaches further than microseconds do, and numpy wraps around in silence.
        wrong |= (moments.astype(array.dtype) != array) & ~np.isnat(array)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise Mistake(row, "out_of_range", "a time of the years 1 to 9999 is needed")
    if kind == "datetime":
        return moments
    texts = np.datetime_as_string(moments).astype(object)
    texts[np.isnat(moments)] = None
    return texts
