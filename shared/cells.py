"""A few rows as Python's values: what a small request is held in.

An array of few elements costs more to make than everything that is done with it. So the columns of
a small request stay lists of cells until someone reads one as an array; `sources.enrich` and
`Transforms.encode` take them as they are. Which cell each kind has is in `values`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from shared import values
from shared.values import Array, Kind

if TYPE_CHECKING:
    from shared.sources import SourceTable

FEW = 64
"""Up to so many rows are held as cells."""

ALONE = 48
"""Up to so many cells are computed one at a time: from there on arrays are faster."""

Cell = float | int | str | None
Places = Sequence[int] | npt.NDArray[np.int64]


class Cells(Mapping[str, Array]):
    """Columns of a few rows; each becomes its canonical array when it is read.

    Args:
        kinds: of each of the rows' own columns.
        columns: their cells, `rows` of them in each column.
        rows: how many rows there are.
        tables: the sources that were asked about them.
        found: for each table its row for each of the rows, -1 where it has none.
    """

    __slots__ = ("columns", "found", "kinds", "rows", "tables")

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        columns: Mapping[str, Sequence[Cell]],
        rows: int,
        tables: tuple[SourceTable, ...] = (),
        found: Sequence[Places] = (),
    ) -> None:
        self.kinds = kinds
        self.columns = columns
        self.rows = rows
        self.tables = tables
        self.found = found

    def __getitem__(self, name: str) -> Array:
        if name in self.kinds:
            return values.array_of(self.kinds[name], self.columns[name])
        for table, found in zip(self.tables, self.found, strict=True):
            if name in table.columns:
                return table.columns[name].take(found)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        yield from self.kinds
        for table in self.tables:
            yield from table.columns

    def __len__(self) -> int:
        return len(self.kinds) + sum(len(table.columns) for table in self.tables)


def picker(places: Sequence[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """A function that picks what lies at these places of a sequence or a mapping."""
    if len(places) > 1:
        return itemgetter(*places)
    if not places:
        return lambda _: ()
    (only,) = places
    return lambda given: (given[only],)
