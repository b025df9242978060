"""Proof by trial that features.py makes the same values of a row in any company.

One row is asked in serving, a million in training; what a function makes of a row may therefore
depend on nothing but the row: no mean over rows, no order of rows, no chance, no clock, no memory.
Here: real rows and rows that a request may bring besides, asked alone and in different company, and
compared to the bit. Not here: running the function (features.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shared import values
from shared.errors import DataError, InputError, ProjectError
from shared.features import Features, Rows
from shared.schema import Column, Schema
from shared.values import Array, Columns

SAMPLE = 300
UNKNOWN = "a level that was never seen"
_SEED = 0
_CURE = (
    "A row's values may follow from that row alone: no mean, rank or order of rows, no matrix "
    "product (@, dot), no random number, no clock, nothing kept between calls"
)


def prove(
    features: Features,
    columns: Columns,
    schema: Schema,
    rows: Rows,
) -> None:
    """Ask for a sample of rows, and for odd ones, in different company.

    Args:
        features: to be proved.
        columns: canonical arrays of one length, 1 or more: own columns, the sources', and what was
            made of all these rows together.
        schema: of the model.
        rows: what messages call each row.

    Raises:
        ProjectError: the function fails, answers something else than is declared, or makes other
            values of a row when it comes alone, in another order or again; the message names
            column and row.
        DataError: it makes an infinity of a row of the sample.
    """
    places = np.unique(np.linspace(0, len(rows) - 1, SAMPLE).round().astype(np.int64))
    sample = {name: array[places] for name, array in columns.items()}
    try:
        features(sample, [rows[place] for place in places.tolist()])
    except InputError as mistake:
        raise DataError(mistake.message, where=mistake.where) from None
    names = [f"row {rows[place]}" for place in places.tolist()]
    odd, said = _odd_rows(sample, schema)
    try:
        features.made(odd, range(len(said)))
    except ProjectError as error:
        _tell(features, odd, said, error)
        raise
    together = {name: np.concatenate([sample[name], odd[name]]) for name in odd}
    names += [f"a row with {words}" for words in said]
    count = len(names)
    whole = features.made(together)
    order = np.random.default_rng(_SEED).permutation(count)
    back = np.argsort(order)
    shuffled = features.made(_taken(together, order))
    alone = [features.made(_taken(together, np.array([row]))) for row in range(count)]
    others = {
        "asked again": features.made(together),
        "in another order of rows": {name: array[back] for name, array in shuffled.items()},
        "alone": {name: np.concatenate([one[name] for one in alone]) for name in whole},
        "among all rows of the table": {
            name: np.concatenate([columns[name][places], made[len(places) :]])
            for name, made in whole.items()
        },
    }
    for how, other in others.items():
        for name, made in whole.items():
            unlike = _unlike(made, other[name])
            if unlike.any():
                row = int(np.argmax(unlike))
                raise ProjectError(
                    f"of {names[row]} it makes {made[row]!s} among {count} rows, and "
                    f"{other[name][row]!s} {how}",
                    where=f"{features.where}, column {name!r}",
                    cure=_CURE,
                )


def _tell(features: Features, odd: Columns, said: Sequence[str], error: ProjectError) -> None:
    """Name the odd row that fails, if one does by itself.

    Raises:
        ProjectError: the same failure, the row in words.
    """
    for row, words in enumerate(said):
        try:
            features.made(_taken(odd, np.array([row])))
        except ProjectError as alone:
            raise ProjectError(
                f"a request may bring a row with {words}, and for such a row it fails: "
                f"{alone.message}",
                where=(alone.where or features.where).partition(", row")[0],
                cure=alone.cure or error.cure,
            ) from None


def _odd_rows(sample: Columns, schema: Schema) -> tuple[Columns, list[str]]:
    """Rows that differ from the sample's first by one value that a request may bring, and how."""
    columns = schema.columns + schema.source_columns
    own = {column.name for column in schema.columns}
    changes = [
        ({column.name: value}, f"{words} in {column.name!r}")
        for column in columns
        for value, words in _odd_values(column, nullable=column.nullable or column.name not in own)
    ]
    unknown = {
        column.name: values.missing(column.kind)
        for column in columns
        if column.nullable or column.name not in own
    }
    changes.append((unknown, "null in all columns that may be null"))
    odd = {}
    for column in columns:
        array = np.repeat(sample[column.name][:1], len(changes))
        for row, (changed, _) in enumerate(changes):
            if column.name in changed:
                array[row] = changed[column.name]
        odd[column.name] = array
    return odd, [words for _, words in changes]


def _odd_values(column: Column, *, nullable: bool) -> list[tuple[object, str]]:
    numbers = (0.0, -1.0, 1e300, -1e300)
    times = ("0001-01-01", "9999-12-31T23:59:59.999999")
    found: dict[str, list[tuple[object, str]]] = {
        "numeric": [(number, f"{number:g}") for number in numbers],
        "boolean": [(0.0, "false"), (1.0, "true")],
        "category": [(UNKNOWN, "an unknown level")],
        "datetime": [(np.datetime64(time, "us"), time) for time in times],
    }
    missing = [(values.missing(column.kind), "null")] if nullable else []
    return missing + found[column.kind]


def _taken(columns: Columns, rows: Array) -> Columns:
    return {name: array[rows] for name, array in columns.items()}


def _unlike(one: Array, other: Array) -> Array:
    """Where two canonical arrays differ in any bit; a missing value is like any other."""
    if one.dtype == object:
        pairs = zip(one.tolist(), other.tolist(), strict=True)
        return np.array([a != b for a, b in pairs], dtype=np.bool_)
    differ: Array = one.view(np.int64) != other.view(np.int64)
    return differ & ~(values.is_missing(one) & values.is_missing(other))
