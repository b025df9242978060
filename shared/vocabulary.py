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
    """Looks up the codes of all category columns of a chunk of rows."""

    def __init__(self, vocabularies: Sequence[Vocabulary]) -> None:
        self.columns = [fitted.name for fitted in vocabularies]
        self._codes = [fitted.codes.get for fitted in vocabularies]

    def __call__(self, chunk: Sequence[Array]) -> npt.NDArray[np.int32]:
        """Object arrays [n] of str and None, one for each of `columns` → int32 [columns, n]."""
        unknown = repeat(UNKNOWN)
        found = [
            map(code, data.tolist(), unknown) for code, data in zip(self._codes, chunk, strict=True)
        ]
        rows = len(chunk[0])
        flat = np.fromiter(chain.from_iterable(found), np.int32, len(chunk) * rows)
        return flat.reshape(len(chunk), rows)


def fit(column: Column, data: Array) -> Vocabulary:
    """Fit one column on training rows.

    Args:
        column: of kind category.
        data: object array [n] of str, None = missing.

    Raises:
        DataError: all values are missing.
    """
    counts = Counter(data.tolist())
    counts.pop(None, None)
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
