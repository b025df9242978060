"""Labelled rows for a model that exists already: its columns, its classes, and no others.

Here: reading and refusing them, alike before anything is uploaded and in the job. Not here: the
data of a project, whose classes are only just found (training/data.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from shared import tables, values
from shared.errors import DataError, nearest
from shared.schema import Column, Schema, Target
from shared.values import Columns

if TYPE_CHECKING:
    import pyarrow

ANEW = "run `make deploy`, which trains anew"


@dataclass(frozen=True)
class Arrivals:
    """Rows that have a target.

    Args:
        table: all their columns, as read.
        columns: the model's own columns, canonical arrays of one length n.
        target: [n] int64 class numbers, or float64 in the target's unit.
        dropped: how many more rows there were, without a target.
    """

    table: pyarrow.Table
    columns: Columns
    target: npt.NDArray[Any]
    dropped: int

    def __len__(self) -> int:
        return len(self.target)


def read(location: str | Path | Sequence[str | Path], schema: Schema, where: str) -> Arrivals:
    """Read rows as the model's schema has them.

    Args:
        location: files as `tables.read` takes them.
        schema: the model's.
        where: names the rows in messages.

    Raises:
        DataError: a file cannot be read, a column or the target is not there, a value is not of its
            column's kind, a class is none of the model's, or no row has a target.
    """
    table = tables.read(location)
    require(table.column_names, schema, where)
    # Before rows are dropped, so that a mistake is counted as the file counts it.
    own = tables.to_columns(table, schema.columns, where)
    there, answers = labelled(table, schema.target, where)
    return Arrivals(
        table.filter(there),
        {name: array[there] for name, array in own.items()},
        answers,
        int(np.count_nonzero(~there)),
    )


def require(names: Sequence[str], schema: Schema, where: str) -> None:
    """Refuse rows without a column that the model needs, or without its target.

    Raises:
        DataError: one is not there.
    """
    target = schema.target.name
    for name in [*(column.name for column in schema.columns), target]:
        if name not in names:
            what = "the target" if name == target else "a column that the model needs"
            raise DataError(
                f"{what} is not there",
                where=f"{where}, column {name!r}",
                cure=nearest(name, names),
            )


def labelled(
    table: pyarrow.Table, target: Target, where: str
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[Any]]:
    """Which rows [n] have a target, and the targets of these: classes are the model's own.

    Raises:
        DataError: no row has one, or a class is none of the model's.
    """
    column = Column(name=target.name, kind=tables.target_kind(target))
    try:
        given = tables.to_columns(table, [column], where)
    except DataError as error:
        cure = error.cure if target.task == "regression" else _NEW_CLASS
        raise DataError(error.message, where=error.where, cure=cure) from None
    there: npt.NDArray[np.bool_] = ~values.is_missing(given[target.name])
    if not there.any():
        raise DataError("no row has a target", where=f"{where}, column {target.name!r}")
    known = given[target.name][there]
    if target.task == "regression":
        return there, known
    answers = tables.class_numbers(known, target)
    if (answers < 0).any():
        first = int(np.argmin(answers))
        raise DataError(
            f"{known.item(first)!r} is none of the model's classes, {list(target.classes)}",
            where=f"{where}, row {np.flatnonzero(there)[first]}, column {target.name!r}",
            cure=_NEW_CLASS,
        )
    return there, answers


_NEW_CLASS = (
    "A class that is new cannot be learnt by going on: add the rows to the project's data and "
    f"{ANEW}"
)
