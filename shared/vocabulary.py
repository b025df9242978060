"""Category columns → codes: 0 missing, 1 unknown, 2 rare, then the levels by falling frequency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, repeat

import numpy as np
import numpy.typing as npt

from shared.errors import DataError
from shared.schema import Column
from shared.values import Array

MISSING, UNKNOWN, RARE, FIRST = range(4)
_UNKNOWNS = repeat(UNKNOWN)
# A vocabulary travels in the bundle and lies in memory, the rare levels included.
MOST_LEVELS = 1_000_000


@dataclass(frozen=True)
class Vocabulary:
    """What was fitted for one category column.

    Args:
        name: the column.
        levels: kept levels by falling frequency, equals in text order; they are coded from 3 on.
        rare: levels that were seen, but not kept; they are all coded 2.
    """

    name: str
    levels: tuple[str, ...]
    rare: tuple[str, ...]

    @property
    def cardinality(self) -> int:
        """How many codes there are, the three special ones included."""
        return FIRST + len(self.levels)

    @cached_property
    def codes(self) -> Mapping[str | None, int]:
        """The code of each level that was seen, and of None."""
        codes: dict[str | None, int] = dict.fromkeys(self.rare, RARE)
        codes.update(zip(self.levels, range(FIRST, self.cardinality), strict=True))
        codes[None] = MISSING
        return codes


class Coder:
    """Looks up the codes of all category columns of rows."""

    def __init__(self, vocabularies: Sequence[Vocabulary]) -> None:
        self.columns = [fitted.name for fitted in vocabularies]
        self._codes = [fitted.codes.get for fitted in vocabularies]

    def __call__(self, chunk: Sequence[Sequence[str | None]]) -> npt.NDArray[np.int32]:
        """Texts and None, n for each of `columns` → int32 [columns, n]."""
        found = [map(code, data, _UNKNOWNS) for code, data in zip(self._codes, chunk, strict=True)]
        rows = len(chunk[0])
        flat = np.fromiter(chain.from_iterable(found), np.int32, len(chunk) * rows)
        return flat.reshape(len(chunk), rows)

    def singly(self, chunk: Sequence[Sequence[str | None]]) -> list[int]:
        """The same of few rows: n codes for each of `columns`, one after the other."""
        result: list[int] = []
        for code, data in zip(self._codes, chunk, strict=True):
            result += map(code, data, _UNKNOWNS)
        return result


class Counting:
    """Counts the levels of one column in training rows that come block by block.

    Args:
        column: of kind category.
    """

    def __init__(self, column: Column) -> None:
        self._column = column
        self._counts: Counter[str | None] = Counter()

    def add(self, data: Array) -> None:
        """More training rows: object array [n] of str, None = missing.

        Raises:
            DataError: there are more than MOST_LEVELS different levels.
        """
        self._counts.update(data.tolist())
        if len(self._counts) > MOST_LEVELS:
            raise DataError(
                f"there are more than {MOST_LEVELS:,} different levels in the training rows",
                where=f"column {self._column.name!r}",
                cure="An identifier teaches nothing: set feature = false",
            )

    def done(self) -> Vocabulary:
        """What was fitted.

        Raises:
            DataError: all values are missing.
        """
        column = self._column
        counts = {level: count for level, count in self._counts.items() if level is not None}
        if not counts:
            raise DataError(
                "every value is missing in the training rows",
                where=f"column {column.name!r}",
                cure="Remove the column, or set feature = false",
            )
        ordered = sorted(counts, key=lambda level: (-counts[level], level))
        frequent = [level for level in ordered if counts[level] >= column.min_count]
        kept = frequent[: column.max_levels]
        return Vocabulary(column.name, tuple(kept), tuple(ordered[len(kept) :]))
