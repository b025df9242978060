"""Counts what the values of requests look like: missing, never seen in training, out of range.

What a monitor wants to know of the data is told by these counts over `rows`; no value is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.handler import Answer, Model
from shared.cells import Cells
from shared.transforms import Encoded, Transforms
from shared.values import Columns
from shared.vocabulary import MISSING, UNKNOWN

COLUMNS = 200
"""Columns that are counted apart; those beyond count as OTHER."""

OTHER = "(other)"

Parts = Sequence[tuple[Columns, Encoded]]


class Quality:
    """Counts by column.

    Attributes:
        rows: looked at.
        missing: values that were absent.
        unknown: levels of a category that training never saw.
        outside: numbers beyond the bounds that training fitted, to which they are clipped.

    Args:
        found: a snapshot to go on from.
    """

    def __init__(self, found: Mapping[str, Any]) -> None:
        self.rows: int = found.get("rows", 0)
        self.missing: Counter[str] = Counter(found.get("missing", {}))
        self.unknown: Counter[str] = Counter(found.get("unknown", {}))
        self.outside: Counter[str] = Counter(found.get("outside", {}))

    def count(self, answers: Iterable[tuple[Model, Answer]]) -> None:
        """Look at the rows of `answers`."""
        for _ in self.steps(answers):
            pass

    def steps(self, answers: Iterable[tuple[Model, Answer]]) -> Iterator[None]:
        """What `count` does, in short steps."""
        of: dict[Model, list[tuple[Columns, Encoded]]] = {}
        for model, answer in answers:
            of.setdefault(model, []).extend(answer.parts)
        for model, parts in of.items():
            if not parts:
                continue
            self.rows += sum(len(encoded.numeric) for _, encoded in parts)
            self._categories(model.transforms, parts)
            yield
            self._numbers(model.transforms, parts)
            yield
            self._times(model.transforms, parts)
            yield

    def add(self, other: Quality) -> None:
        """Add the counts of `other`."""
        self.rows += other.rows
        for to, counts in (
            (self.missing, other.missing),
            (self.unknown, other.unknown),
            (self.outside, other.outside),
        ):
            for name, count in counts.items():
                _add(to, name, count)

    def _categories(self, transforms: Transforms, parts: Parts) -> None:
        names = [name for name, _ in transforms.categories]
        codes = np.concatenate([encoded.codes for _, encoded in parts])
        _add_all(self.missing, names, np.count_nonzero(codes == MISSING, axis=0))
        _add_all(self.unknown, names, np.count_nonzero(codes == UNKNOWN, axis=0))

    def _numbers(self, transforms: Transforms, parts: Parts) -> None:
        bounds = {fitted.name: (fitted.low, fitted.high) for fitted in transforms.scalings}
        for names, block in _blocks(parts, list(bounds), "f8"):
            low, high = np.array([bounds[name] for name in names]).T[:, :, None]
            _add_all(self.missing, names, np.count_nonzero(np.isnan(block), axis=1))
            _add_all(self.outside, names, np.count_nonzero((block < low) | (block > high), axis=1))

    def _times(self, transforms: Transforms, parts: Parts) -> None:
        # That they lie beyond the time of training is the rule and says nothing.
        clocks = [fitted.name for fitted in transforms.clocks]
        for names, block in _blocks(parts, clocks, "M8[us]"):
            _add_all(self.missing, names, np.count_nonzero(np.isnat(block), axis=1))

    def snapshot(self) -> dict[str, Any]:
        """The counts as JSON has them."""
        return {
            "rows": self.rows,
            "missing": dict(self.missing),
            "unknown": dict(self.unknown),
            "outside": dict(self.outside),
        }


def _blocks(
    parts: Parts, names: Sequence[str], dtype: str
) -> Iterator[tuple[Sequence[str], npt.NDArray[Any]]]:
    """The columns `names` of all rows, as a few matrices [columns, n] and which columns they hold.

    Small requests, nearly all of them, are laid together first: it takes longer to begin an
    operation on a few numbers than to carry it out.
    """
    small = [columns for columns, _ in parts if isinstance(columns, Cells)]
    if not names:
        return
    for columns, _ in parts:
        if not isinstance(columns, Cells):
            yield names, np.stack([columns[name] for name in names])
    if not small:
        return
    own = [name for name in names if name in small[0].kinds]
    if own:
        lists = [[cells.columns[name] for cells in small] for name in own]
        yield own, np.array([[*chain.from_iterable(each)] for each in lists], dtype)
    for place, table in enumerate(small[0].tables):
        found = np.concatenate([cells.found[place] for cells in small])
        from_table = [name for name in names if name not in own and name in table.columns]
        if from_table:
            yield from_table, np.stack([table.columns[name][found] for name in from_table])


def _add_all(to: Counter[str], names: Sequence[str], counts: npt.NDArray[Any]) -> None:
    for place in np.flatnonzero(counts).tolist():
        _add(to, names[place], int(counts[place]))


def _add(to: Counter[str], name: str, count: int) -> None:
    to[name if name in to or len(to) < COLUMNS else OTHER] += count
