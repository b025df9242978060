"""A few rows as Python's values: what a small request is held in.

An array of one element costs more to make than everything that is done with it. So the columns of a
small request stay cells until someone reads one as an array; `sources.enrich` and
`Transforms.encode` take them as they are. Which cell each kind has is in `values`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from shared import values
from shared.values import Array, Kind

if TYPE_CHECKING:
    from shared.sources import SourceTable

FEW = 4
"""Up to so many rows are held as cells: from there on arrays are faster."""

Cell = float | int | str | None
Row = Mapping[str, Cell]


class Cells(Mapping[str, Array]):
    """Columns of a few rows; each becomes its canonical array when it is read.

    Args:
        kinds: of each of the rows' own columns.
        rows: their cells by column name.
        tables: the sources that were asked about them.
        found: for each row and table the table's row, -1 where it has none.
    """

    __slots__ = ("found", "kinds", "rows", "tables")

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        rows: Sequence[Row],
        tables: tuple[SourceTable, ...] = (),
        found: Sequence[Sequence[int]] = (),
    ) -> None:
        self.kinds = kinds
        self.rows = rows
        self.tables = tables
        self.found = found

    def __getitem__(self, name: str) -> Array:
        if name in self.kinds:
            return values.array_of(self.kinds[name], [row[name] for row in self.rows])
        for place, table in enumerate(self.tables):
            if name in table.columns:
                found: Array = table.columns[name][[rows[place] for rows in self.found]]
                return found
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        yield from self.kinds
        for table in self.tables:
            yield from table.columns

    def __len__(self) -> int:
        return len(self.kinds) + sum(len(table.columns) for table in self.tables)


def picker(places: Sequence[Hashable]) -> Callable[[Any], tuple[Any, ...]]:
    """A function that picks what lies at these places of a sequence or a mapping."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda given: tuple([given[place] for place in places])
