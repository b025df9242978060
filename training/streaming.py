"""Data larger than memory: read block by block, as often as needed, always from the first row on.

The data is read three times. First only the target and what the split needs, which decides what
each row is for: this is data.py's, the same as for data in memory. Then, here, all columns: the
transforms are fitted on the training rows, and of each split up to HELD rows are kept, chosen at
random, as they are. Scores stand on these; where a split has more, what is not kept is not used.
Last, preparation.py encodes the training rows and writes them to the disk (store.py).

By row a byte of its use and its target stay in memory, 5 to 13 bytes together; while the rows are
split it is about 40.

Here: when to stream, and the second and third reading. Not here: how a file is read in blocks
(shared/tables.py), nor how transforms are fitted to them (shared/transforms.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shared import purity, tables
from shared.features import Features, complete_table
from shared.schema import Column, Schema
from shared.sources import SourceTable
from shared.table_files import Location
from shared.transforms import Fitting, Transforms
from shared.values import Columns

HELD = 100_000
# Bytes that a cell takes in memory, from the table that is read to the rows that are encoded; and
# what TensorFlow, a network and the windows of an epoch take besides.
CELL = 48
BESIDE = 1 << 30
LEARN = 1
KEEP = {"training": 2, "validation": 4, "test": 8}

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Stream:
    """Where the rows come from, and what each of them is for.

    Args:
        location: of the data.
        columns: its own columns that are needed.
        tables: the sources to join.
        uses: of each row [n] of the data, labelled or not: LEARN, and the KEEP of its split.
        answers: the training rows' target, in the data's order: int64 class numbers, or float64.
        rows: how many rows each split has.
        features: what makes more columns of these, if the project has it.
    """

    location: Location
    columns: Sequence[Column]
    tables: Sequence[SourceTable]
    uses: npt.NDArray[np.uint8]
    answers: npt.NDArray[Any]
    rows: Mapping[str, int]
    features: Features | None = None

    def training(self) -> Iterator[Columns]:
        """All columns of the training rows, block by block.

        Raises:
            DataError: a value is not what its column accepts; it names file, row and column.
            ProjectError: features.py fails.
        """
        for columns, uses, _ in self._blocks():
            yield _taken(columns, uses & LEARN)

    def survey(self, schema: Schema) -> tuple[Transforms, Mapping[str, Columns]]:
        """Fit the transforms on the training rows, and keep the rows of each split to be kept.

        Raises:
            DataError: as `training`, or a column cannot be fitted.
            ProjectError: as `training`, or features.py is not pure.
        """
        fitting = Fitting(schema.features)
        unproved = self.features
        kept: dict[str, list[Columns]] = {split: [] for split in KEEP}
        for columns, uses, rows in self._blocks():
            if unproved is not None and len(rows):
                purity.prove(unproved, columns, schema, rows)
                unproved = None
            fitting.add(_taken(columns, uses & LEARN))
            for split, mark in KEEP.items():
                kept[split].append(_taken(columns, uses & mark))
        return fitting.done(), {split: _joined(blocks) for split, blocks in kept.items()}

    def _blocks(self) -> Iterator[tuple[Columns, npt.NDArray[np.uint8], Places]]:
        """Columns, uses and numbers of the rows that are used."""
        start = 0
        for table in tables.blocks(self.location):
            own = tables.to_columns(table, self.columns, "train")
            end = start + table.num_rows
            used = np.flatnonzero(self.uses[start:end])
            columns = complete_table(
                {name: array[used] for name, array in own.items()},
                self.tables,
                self.features,
                rows=used + start,
                where="train",
            )
            yield columns, self.uses[start:end][used], used + start
            start = end


def wanted(cells: int, memory: int) -> bool:
    """Whether data of so many cells (rows times columns) is too large for so much memory, bytes."""
    return cells * CELL + BESIDE > memory


def held(rows: Places, seed: int) -> Places:
    """Of the rows of a split those that are kept: at most HELD; ascending."""
    if len(rows) > HELD:
        generator = np.random.Generator(np.random.Philox(key=seed))
        rows = generator.choice(rows, HELD, replace=False)
    return np.sort(rows)


def _taken(columns: Columns, marks: npt.NDArray[Any]) -> Columns:
    places = np.flatnonzero(marks)
    return {name: array[places] for name, array in columns.items()}


def _joined(blocks: Sequence[Columns]) -> Columns:
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
