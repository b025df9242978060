"""All that is wrong with one request, found by a second look once the first has failed.

A good request is read whole columns at a time, and the first mistake ends that. Here: which further
mistakes there are, so that a client can mend all of them at once. Not here: what a mistake is
(values.py, schema.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np

from shared import documents, values
from shared.errors import MAX_MISTAKES, InputError, nearest
from shared.values import Array, ColumnMistake, Kind, Mistake

MAX_SHOWN = 100
"""Characters of a client's column name that a message repeats."""

PER_COLUMN = 5
"""So many wrong values of one column are told, to leave room for those of others."""

Convert = Callable[[Kind, Any], Array]


def first_of(mistakes: Iterable[InputError]) -> InputError:
    """One error for one or more mistakes: that of the first row, the others with it."""
    found = sorted(mistakes, key=lambda mistake: -1 if mistake.row is None else mistake.row)
    first, *others = found[:MAX_MISTAKES]
    first.others = tuple(others)
    return first


def of_keys(
    records: Sequence[object], own: Collection[str], known: Collection[str]
) -> list[InputError]:
    """Rows that are no objects; columns that are unknown or missing, each in its first such row."""
    found: dict[object, InputError] = {}
    for number, record in enumerate(records):
        if not isinstance(record, Mapping):
            message = f"a row must be an object of columns, not {documents.show(record)}"
            found[number] = InputError("not_an_object", message, row=number)
            continue
        strangers = (
            name for name in record if name not in known and ("unknown", name) not in found
        )
        # A row may have a million of them, and the nearest name takes its time to find.
        for name in islice(strangers, MAX_MISTAKES):
            found["unknown", name] = unknown(name, known, row=number)
        for name in own:
            if name not in record and ("missing", name) not in found:
                found["missing", name] = missing(name, row=number)
        if len(found) >= MAX_MISTAKES:
            break
    return list(found.values())


def of_names(
    names: Sequence[str], own: Collection[str], known: Collection[str]
) -> list[InputError]:
    """Names of columns that are unknown, given twice or missing."""
    counts = Counter(names)
    strangers = (unknown(name, known) for name in counts if name not in known)
    twice = (
        InputError("duplicate_column", "the column is there twice", column=name)
        for name, count in counts.items()
        if count > 1 and name in known
    )
    absent = (missing(name) for name in own if name not in counts)
    return list(islice(chain(strangers, twice, absent), MAX_MISTAKES))


def unknown(name: str, known: Collection[str], row: int | None = None) -> InputError:
    """The model has no column `name`; the nearest is named."""
    # A lone surrogate could not be written into the answer.
    shown = str(name)[:MAX_SHOWN].encode("utf-8", "backslashreplace").decode()
    return InputError(
        "unknown_column",
        "the model has no such column",
        row=row,
        column=shown,
        cure=nearest(shown, known),
    )


def missing(name: str, row: int | None = None) -> InputError:
    """The column `name` is not there."""
    message = "the column is missing; send null for an unknown value"
    if row is None:
        message = "the column is missing"
    return InputError("missing_column", message, row=row, column=name)


def of_values(
    columns: Iterable[tuple[Kind, str, Any]], required: Collection[str], convert: Convert
) -> list[InputError]:
    """Values that their columns do not accept, PER_COLUMN of each column.

    Args:
        columns: kind, name and cells of each.
        required: names of those in which no value may be missing.
        convert: kind and cells → canonical array, or a Mistake.
    """
    found: list[InputError] = []
    for kind, name, cells in columns:
        found += _of_column(kind, name, cells, convert, name in required)
        if len(found) >= MAX_MISTAKES:
            break
    return found


def _of_column(
    kind: Kind, name: str, cells: Any, convert: Convert, required: bool
) -> list[InputError]:
    found: list[InputError] = []
    start = 0
    while len(found) < PER_COLUMN:
        try:
            array = convert(kind, cells[start:])
        except Mistake as mistake:
            row = None if isinstance(mistake, ColumnMistake) else start + mistake.row
            found.append(InputError(mistake.code, mistake.message, row=row, column=name))
            if row is None or row + 1 == len(cells):
                break
            start = row + 1
        else:
            if required and not start:
                found += of_nulls(name, array)
            break
    return found


def of_nulls(name: str, array: Array) -> list[InputError]:
    """Values that are missing in a column that must have them."""
    return [
        InputError("null", "a value is needed, not null", row=row, column=name)
        for row in np.flatnonzero(values.is_missing(array))[:PER_COLUMN].tolist()
    ]
