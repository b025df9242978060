"""Fit once on the training rows, encode everywhere: columns → the network's two input matrices.

One row takes the same path as a million, and the bits agree: with any batch size or memory layout,
numpy 1.26 and 2, any CPU. Here: Transforms over all features, Fitting them, TargetTransform. Not
here: what is fitted for one column (scaling.py, vocabulary.py, clock.py).
"""

from __future__ import annotations

import dataclasses
import math
import struct
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from shared import clock, documents, scaling, values, vocabulary
from shared.cells import ALONE, Cells, picker
from shared.clock import Clock, Clocks
from shared.elementary import MANY, log1p
from shared.errors import BundleError, DataError, KitError
from shared.sampling import Urn
from shared.scaling import Scaler, Scaling
from shared.schema import Column, Target, Task
from shared.values import Array, Columns
from shared.vocabulary import Coder, Vocabulary

if TYPE_CHECKING:
    from shared.sources import SourceTable

CHUNK = 4096


class Encoded(NamedTuple):
    """What the network reads.

    Args:
        numeric: float32 [n, D].
        codes: int32 [n, K], category codes.
    """

    numeric: npt.NDArray[np.float32]
    codes: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Transforms:
    """All that was fitted, one entry a feature."""

    scalings: tuple[Scaling, ...]
    clocks: tuple[Clock, ...]
    vocabularies: tuple[Vocabulary, ...]
    circles: Mapping[str, tuple[tuple[float, float], ...]]

    @classmethod
    def fit(cls, columns: Columns, features: Sequence[Column]) -> Transforms:
        """Fit on the training rows.

        Args:
            columns: canonical arrays of one length.
            features: the inputs wanted, each one of `columns`.

        Raises:
            DataError: there are no features or no rows, or a column is not there or all missing.
        """
        fitting = Fitting(features)
        fitting.add(columns)
        return fitting.done()

    @cached_property
    def _scaler(self) -> Scaler:
        return Scaler(self.scalings)

    @cached_property
    def _clock(self) -> Clocks:
        return Clocks(self.clocks, self.circles)

    @cached_property
    def _coder(self) -> Coder:
        return Coder(self.vocabularies)

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The columns that are read."""
        return (*self._scaler.columns, *self._clock.columns, *self._coder.columns)

    @cached_property
    def keys(self) -> tuple[tuple[str, str], ...]:
        """Of each of the D columns of `numeric` the feature, and what of it."""
        return (*self._scaler.keys, *self._clock.keys)

    @cached_property
    def numeric_names(self) -> tuple[str, ...]:
        """What each of the D columns of `numeric` is."""
        return tuple(map("".join, self.keys))

    @cached_property
    def categories(self) -> tuple[tuple[str, int], ...]:
        """Name and number of codes of each of the K columns of `codes`."""
        return tuple((fitted.name, fitted.cardinality) for fitted in self.vocabularies)

    def encode(self, columns: Columns) -> Encoded:
        """Columns → matrices.

        Args:
            columns: canonical arrays of one length n, at least the features; n may be 0.

        Raises:
            DataError: a feature is not there.
        """
        if type(columns) is Cells:
            return self._few(columns.tables)(columns)
        numbers = _arrays(columns, self._scaler.columns)
        times = [array.astype(np.int64) for array in _arrays(columns, self._clock.columns)]
        texts = _arrays(columns, self._coder.columns)
        rows = len((numbers or times or texts)[0])
        width = len(self._scaler.keys)
        numeric = np.empty((rows, len(self.keys)), dtype=np.float32)
        codes = np.empty((rows, len(texts)), dtype=np.int32)
        for part in _chunks(rows):
            if numbers:
                numeric[part, :width] = self._scaler(_cut(numbers, part)).T
            if times:
                numeric[part, width:] = self._clock(_cut(times, part))
            if texts:
                codes[part] = self._coder([data.tolist() for data in _cut(texts, part)]).T
        return Encoded(numeric, codes)

    @cached_property
    def _by_tables(self) -> dict[tuple[SourceTable, ...], _Few]:
        return {}

    def _few(self, tables: tuple[SourceTable, ...]) -> _Few:
        found = self._by_tables.get(tables)
        if found is None:
            found = self._by_tables[tables] = _Few(self, tables)
        return found

    def only(self, names: Collection[str]) -> Transforms:
        """Those of the features with these names."""
        return dataclasses.replace(
            self,
            scalings=tuple(s for s in self.scalings if s.name in names),
            clocks=tuple(c for c in self.clocks if c.name in names),
            vocabularies=tuple(v for v in self.vocabularies if v.name in names),
        )

    def of_cells(self, columns: Mapping[str, Sequence[Any]], rows: int) -> Encoded:
        """Few rows, given as cells by column; the matrices may be of any memory layout.

        Raises:
            DataError: a feature is not there.
        """
        numbers, times, texts = self._chosen(columns)
        numeric = np.empty((rows, len(self.keys)), dtype=np.float32)
        width = len(self._scaler.keys)
        if numbers:
            numeric[:, :width] = self._scaler(numbers).T
        if times:
            numeric[:, width:] = self._clock([*map(values.moments, times)])
        return Encoded(numeric, self._coder(texts).T if texts else np.empty((rows, 0), np.int32))

    def singly(self, columns: Mapping[str, Sequence[Any]]) -> list[float]:
        """Few rows, given as cells by column → the columns of `numeric`, then those of `codes`.

        Raises:
            DataError: a feature is not there.
        """
        numbers, times, texts = self._chosen(columns)
        numeric = self._scaler.singly(numbers)
        numeric += self._clock.singly(times)
        return numeric + self._coder.singly(texts)

    def _chosen(self, columns: Mapping[str, Sequence[Any]]) -> list[Sequence[Sequence[Any]]]:
        try:
            return [pick(columns) for pick in self._pickers]
        except KeyError as missing:
            raise _absent(missing) from None

    @cached_property
    def _pickers(self) -> list[Callable[[Any], Sequence[Any]]]:
        return [picker(part.columns) for part in (self._scaler, self._clock, self._coder)]

    def to_json(self) -> str:
        """All that was fitted as JSON text, floats exact."""
        return documents.dumps(self)

    @classmethod
    def from_json(
        cls, text: str | bytes, where: str = "transforms", error: type[KitError] = BundleError
    ) -> Transforms:
        """Read what `to_json` wrote.

        Raises:
            error: the text does not hold fitted transforms.
        """
        return documents.decode(cls, documents.loads(text, where, error), where, error)


class _Known(NamedTuple):
    """What the features of one source were encoded to.

    Args:
        place: of the source among all.
        rows: its rows, the last one for what was not found.
        bits: the same memory.
        width: bytes of a row.
    """

    place: int
    rows: npt.NDArray[np.int32]
    bits: bytes
    width: int


class _Few:
    """Encodes few rows; what comes from a source was encoded once for all of its rows.

    A row's numbers and codes are laid together as their bits, four bytes each, those of the own
    columns first and then those of each source; at last they are put in order.
    """

    def __init__(self, whole: Transforms, tables: Sequence[SourceTable]) -> None:
        known = {name for table in tables for name in table.columns}
        self._own = whole.only([name for name in whole.features if name not in known])
        self._pack = struct.Struct(f"={len(self._own.keys)}f{len(self._own.categories)}i").pack
        self._computed = len(self._own.scalings) + len(self._own.clocks)
        keys: list[Hashable] = [*self._own.keys, *self._own.categories]
        self._tables: list[_Known] = []
        for place, table in enumerate(tables):
            part = whole.only(table.columns)
            if part.features:
                names = [*part.keys, *part.categories]
                keys += names
                bits = _joined(part.encode(table.columns)).tobytes()
                rows = np.frombuffer(bits, np.int32).reshape(-1, len(names))
                self._tables.append(_Known(place, rows, bits, rows.itemsize * len(names)))
        places = {key: place for place, key in enumerate(keys)}
        self._width = len(keys)
        self._numeric = np.array([places[key] for key in whole.keys], dtype=np.intp)
        self._codes = np.array([places[key] for key in whole.categories], dtype=np.intp)

    def __call__(self, cells: Cells) -> Encoded:
        rows = cells.rows
        if rows * self._computed > ALONE:
            joined = self._together(cells)
        else:
            joined = np.ndarray((rows, self._width), np.int32, self._singly(cells))
        return Encoded(joined.take(self._numeric, 1).view(np.float32), joined.take(self._codes, 1))

    def _together(self, cells: Cells) -> Array:
        parts = [known.rows.take(cells.found[known.place], 0) for known in self._tables]
        own = _joined(self._own.of_cells(cells.columns, cells.rows))
        return np.concatenate([own, *parts], axis=1)

    def _singly(self, cells: Cells) -> bytes:
        own, rows = self._own.singly(cells.columns), cells.rows
        parts: list[bytes] = []
        for row in range(rows):
            parts.append(self._pack(*own[row::rows]))
            for place, _, bits, width in self._tables:
                start = cells.found[place][row] * width
                # The last row, which is that of -1, ends where all ends.
                parts.append(bits[start : start + width or None])
        return b"".join(parts)


def _joined(encoded: Encoded) -> Array:
    """Both matrices side by side, the bits of the numbers as integers."""
    return np.concatenate([encoded.numeric.view(np.int32), encoded.codes], axis=1)


class Fitting:
    """Fits transforms to training rows that come block by block; blocks of any size give the same.

    Args:
        features: the inputs wanted.

    Raises:
        DataError: there are none.
    """

    def __init__(self, features: Sequence[Column]) -> None:
        if not features:
            raise DataError("there is no feature to learn from")
        self._names = [column.name for column in features]
        self._urn = Urn()
        self._rows = 0
        self._numbers: dict[str, scaling.Fitting] = {}
        self._times: dict[str, clock.Fitting] = {}
        self._texts: dict[str, vocabulary.Counting] = {}
        for column in features:
            if column.kind == "category":
                self._texts[column.name] = vocabulary.Counting(column)
            elif column.kind == "datetime":
                self._times[column.name] = clock.Fitting(column)
            else:
                self._numbers[column.name] = scaling.Fitting(column)

    def add(self, columns: Columns) -> None:
        """More training rows.

        Args:
            columns: canonical arrays of one length, at least the features.

        Raises:
            DataError: a column is not there, or has too many levels.
        """
        data = dict(zip(self._names, _arrays(columns, self._names), strict=True))
        rows = len(data[self._names[0]])
        lots = self._urn.draw(rows)
        for name, numbers in self._numbers.items():
            numbers.add(data[name], lots)
        for name, times in self._times.items():
            times.add(data[name])
        for name, texts in self._texts.items():
            texts.add(data[name])
        self._rows += rows

    def done(self) -> Transforms:
        """What was fitted.

        Raises:
            DataError: there were no rows, or a column cannot be fitted.
        """
        if not self._rows:
            raise DataError("there are no training rows")
        clocks = tuple(fitting.done() for fitting in self._times.values())
        parts = sorted({part for fitted in clocks for part in fitted.parts})
        return Transforms(
            tuple(fitting.done() for fitting in self._numbers.values()),
            clocks,
            tuple(fitting.done() for fitting in self._texts.values()),
            {part: clock.circle(part) for part in parts},
        )


@dataclass(frozen=True)
class TargetTransform:
    """The target as the network learns it: standardized for regression, as it is for classes.

    Args:
        task: for binary and multiclass nothing is done.
        unit: if not None, y becomes log(1 + y / unit) first.
        centre, spread: then (y - centre) / spread.
    """

    task: Task
    unit: float | None = None
    centre: float = 0.0
    spread: float = 1.0

    @classmethod
    def fit(
        cls, target_values: Array, target: Target, log: Literal["auto"] | bool = False
    ) -> TargetTransform:
        """Fit on the training rows' target, float64 [n] for regression.

        Raises:
            DataError: log is True and a value is negative, or a value is beyond 1e140.
        """
        if target.task != "regression":
            return cls(target.task)
        where = f"target {target.name!r}"
        if np.abs(target_values).max() > scaling.HUGE:
            raise DataError(f"a value is beyond {scaling.HUGE:g}", where=where)
        unit = scaling.log_unit(target_values, log, where)
        if unit is not None:
            target_values = log1p(target_values / unit, MANY)
        centre, spread = scaling.location(target_values, "standard")
        return cls(target.task, unit, centre, spread)

    def encode(self, target_values: Array) -> Array:
        """Regression: float64 [n] → float32 [n]. Classes: the same array."""
        if self.task != "regression":
            return target_values
        if self.unit is not None:
            target_values = log1p(np.maximum(target_values, 0.0) / self.unit, MANY)
        return ((target_values - self.centre) / self.spread).astype(np.float32)

    def decode(self, outputs: Array) -> npt.NDArray[np.float64]:
        """Regression: network outputs [n] or [n, 1] → target values, float64 [n].

        They stay within 1e140, as the target itself does: a network far out of its depth answers
        with a number, and the square of its error is one too.
        """
        scaled: npt.NDArray[np.float64] = np.asarray(outputs, dtype=np.float64).reshape(-1)
        result = scaled * self.spread + self.centre
        if self.unit is not None:
            most = math.log(scaling.HUGE) - math.log(self.unit)
            # math.expm1 row by row: np.expm1 differs in the last bit between batch sizes.
            result = np.fromiter(map(math.expm1, np.minimum(result, most)), np.float64, len(result))
            result *= self.unit
        return np.clip(result, -scaling.HUGE, scaling.HUGE)


_ALL = slice(None)


def _chunks(rows: int) -> Sequence[slice]:
    if rows <= CHUNK:
        return (_ALL,)
    return [slice(start, start + CHUNK) for start in range(0, rows, CHUNK)]


def _cut(arrays: Sequence[Array], part: slice) -> Sequence[Array]:
    return arrays if part is _ALL else [array[part] for array in arrays]


def _arrays(columns: Columns, names: Sequence[str]) -> list[Array]:
    try:
        return [columns[name] for name in names]
    except KeyError as missing:
        raise _absent(missing) from None


def _absent(missing: KeyError) -> DataError:
    where = f"column {missing.args[0]!r}"
    return DataError("the column is needed, but is not there", where=where)
