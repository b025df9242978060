"""Feature sources: tables whose columns are joined to each row by key, and by time if need be.

One implementation serves the offline join of a million training rows and the online look-up of one
request. Here: Source (the declaration), SourceTable (its data as plain arrays), enrich. Not here:
where a source's table comes from (tables.py, storage.py).
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from shared import files, values
from shared.cells import Cells, Places
from shared.elementary import MANY, ONE, Number, Ops
from shared.errors import BundleError, DataError, ProjectError
from shared.numpy_files import from_npz
from shared.schema import Column
from shared.values import Array, Columns

if TYPE_CHECKING:
    import pyarrow

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,49}")
_MICROSECONDS = 1_000_000
_NONE = repeat(-1)

ALONE = 16
"""Up to so many rows are looked up one at a time: from there on arrays are faster."""
MAX_TABLE_BYTES = 4 << 30


@dataclass(frozen=True)
class Source:
    """A table to look things up in.

    Args:
        name: letters, digits, - and _; its columns are known as ``name.column``.
        keys: our column → its column; all must be equal for a row to be found.
        as_of: (our time column, its time column): the latest of its rows at or before our time.
        tolerance: seconds; with as_of: an older row is not used. None: however old.
        columns: what is looked up, under the source's own names.
        online: where it is looked up in production; "bundle": it travels with the model.

    Raises:
        ProjectError: the declaration does not make sense.
    """

    name: str
    keys: Mapping[str, str]
    columns: tuple[Column, ...]
    as_of: tuple[str, str] | None = None
    tolerance: float | None = None
    online: Literal["bundle"] = "bundle"

    def __post_init__(self) -> None:
        where = f"source {self.name!r}"
        if not _NAME.fullmatch(self.name):
            raise ProjectError(
                "a source's name begins with a letter and holds only letters, digits, - and _",
                where=where,
            )
        if not self.keys:
            raise ProjectError("one key or more is needed", where=where)
        if not self.columns:
            raise ProjectError("one column or more is needed", where=where)
        if self.tolerance is not None and (self.as_of is None or not self.tolerance >= 0):
            raise ProjectError("a tolerance is 0 or more seconds, and needs as_of", where=where)

    @cached_property
    def named_columns(self) -> tuple[Column, ...]:
        """The columns as the model knows them."""
        return tuple(
            dataclasses.replace(column, name=f"{self.name}.{column.name}")
            for column in self.columns
        )


class _Index(NamedTuple):
    """Where a table's rows are: arrays for many look-ups, the same memory as views for one.

    Args:
        groups: each combination of key codes that occurs, as one number, rising.
        times: each time that occurs, rising; microseconds.
        positions: of each row its group and its time's rank as one number, rising.
        moments: each row's time.
    """

    groups: Sequence[int] | npt.NDArray[np.int64]
    times: Sequence[int] | npt.NDArray[np.int64]
    positions: Sequence[int] | npt.NDArray[np.int64]
    moments: Sequence[int] | npt.NDArray[np.int64]


class SourceTable:
    """A source's rows, sorted for look-up; made by `build` or `load`.

    A row whose key or time is missing can never be found and is left out. Of several rows with the
    same keys and the same time the last one counts.
    """

    def __init__(self, source: Source, arrays: Mapping[str, Array]) -> None:
        self.source = source
        self._arrays = dict(arrays)
        self._levels = [
            dict(zip(_unpack(arrays, f"key{i}"), range(len(arrays[f"key{i}.ends"])), strict=True))
            for i in range(len(source.keys))
        ]
        self._sizes = [len(levels) for levels in self._levels]
        self._codes: list[tuple[str, Callable[..., int]]] = [
            (ours, levels.get) for ours, levels in zip(source.keys, self._levels, strict=True)
        ]
        times, positions = arrays["times"], arrays["positions"]
        self._rows = len(positions)
        moments = times[positions % (len(times) + 1) - 1]
        self._together = _Index(arrays["groups"], times, positions, moments)
        self._alone = _Index(*(memoryview(np.ascontiguousarray(a).data) for a in self._together))
        self._oldest = None if source.tolerance is None else round(source.tolerance * _MICROSECONDS)
        self.columns: Mapping[str, Array] = {
            name: _with_missing(column, arrays, f"column{i}")
            for i, (name, column) in enumerate(
                (column.name, column) for column in source.named_columns
            )
        }

    def __len__(self) -> int:
        return self._rows

    @classmethod
    def build(cls, source: Source, table: pyarrow.Table) -> SourceTable:
        """Read a source's table.

        Raises:
            DataError: a column is not there or holds what it must not; or, without as_of, two rows
                have the same keys.
        """
        from shared import tables

        where = f"source {source.name!r}"
        keys = [Column(name=its, kind="category") for its in source.keys.values()]
        time = [Column(name=source.as_of[1], kind="datetime")] if source.as_of else []
        return cls.from_columns(
            source,
            tables.to_columns(table, keys, where),
            tables.to_columns(table, time, where),
            tables.to_columns(table, source.columns, where),
        )

    @classmethod
    def from_columns(
        cls, source: Source, keys: Columns, time: Columns, data: Columns
    ) -> SourceTable:
        """Sort a source's rows, given as canonical arrays under the source's own names.

        Args:
            source: the declaration.
            keys: its key columns, all of category kind.
            time: with as_of its time column; else empty.
            data: its other columns.

        Raises:
            DataError: without as_of, two rows have the same keys; or the keys have too many levels.
        """
        where = f"source {source.name!r}"
        names = list(source.keys.values())
        usable = np.ones(len(keys[names[0]]), dtype=bool)
        for array in [*keys.values(), *time.values()]:
            usable &= ~values.is_missing(array)
        rows = np.flatnonzero(usable)
        arrays: dict[str, Array] = {}
        codes, sizes = [], []
        for i, name in enumerate(names):
            levels, code = np.unique(keys[name][rows], return_inverse=True)
            _pack(arrays, f"key{i}", levels.tolist())
            codes.append(code.reshape(-1).astype(np.int64))
            sizes.append(len(levels))
        if math.prod(sizes) >= 1 << 63:
            raise DataError("the keys have too many different values", where=where)
        arrays["groups"], group = _distinct(_mixed(codes, sizes))
        moments = time[source.as_of[1]][rows] if source.as_of else np.zeros(len(rows))
        arrays["times"], rank = _distinct(moments.astype(np.int64))
        position = group * (len(arrays["times"]) + 1) + rank + 1
        order = np.argsort(position, kind="stable")
        position = position[order]
        last = np.append(position[1:] != position[:-1], True)[: len(rows)]
        if not source.as_of and not last.all():
            first, second = rows[order[np.flatnonzero(~last)[0] :][:2]].tolist()
            key = ", ".join(f"{name} = {keys[name][first]!r}" for name in names)
            raise DataError(
                f"rows {first} and {second} have the same key, {key}",
                where=where,
                cure="Keep one row a key, or give as_of if the rows differ in time",
            )
        arrays["positions"] = position[last]
        kept = rows[order[last]]
        for i, column in enumerate(source.columns):
            _store(arrays, f"column{i}", column, data[column.name][kept])
        return cls(source, arrays)

    def lookup(self, columns: Columns) -> Columns:
        """What the source knows of each row.

        Args:
            columns: at least our key columns (category or numeric) and, with as_of, our time.

        Returns:
            Canonical arrays of the same length by name ``source.column``; missing where no row of
            the source has the keys, or none at or before the time and within the tolerance.

        Raises:
            DataError: a key or time column is not there.
        """
        codes, moments = [], None
        for ours, find in self._codes:
            texts = values.texts_of(self._column(columns, ours)).tolist()
            codes.append(np.fromiter(map(find, texts, _NONE), np.int64, len(texts)))
        if self.source.as_of is not None:
            moments = self._column(columns, self.source.as_of[0]).astype(np.int64)
        row = self._places(codes, moments)
        return {name: data[row] for name, data in self.columns.items()}

    def find(self, cells: Cells) -> Places:
        """What `lookup` finds for each of few rows: a place in each of `columns`, or -1.

        Raises:
            DataError: a key or time column is not there.
        """
        as_of = self.source.as_of
        try:
            codes = []
            for ours, find in self._codes:
                texts = cells.columns[ours]
                if cells.kinds[ours] != "category":
                    texts = [*map(values.text_of_cell, texts)]
                codes.append([*map(find, texts, _NONE)])
            times: Any = None if as_of is None else cells.columns[as_of[0]]
        except KeyError as missing:
            raise self._needed(missing.args[0]) from None
        if times is None and len(codes) == 1:
            return codes[0]  # there is a row for each key, in the same order
        if cells.rows > ALONE:
            moments = None if times is None else values.moments(times)
            return self._places([np.array(code) for code in codes], moments)
        keys = zip(*codes, strict=True)
        return [*map(self._place, keys, repeat(0) if times is None else times)]

    def _places(
        self, codes: Sequence[npt.NDArray[np.int64]], moments: npt.NDArray[np.int64] | None
    ) -> npt.NDArray[np.int64]:
        if not self._rows:
            return np.full(len(codes[0]), -1)
        row, known = self._row(codes, moments, self._together, MANY)
        if moments is not None:
            known = known & (moments != values.NAT)
        found: npt.NDArray[np.int64] = np.where(known, row, -1)
        return found

    def _place(self, codes: tuple[int, ...], moment: int | None) -> int:
        if moment is None or not self._rows:
            return -1
        row, known = self._row(codes, moment, self._alone, ONE)
        return int(row) if known else -1

    def _row(
        self, codes: Sequence[Number], moment: Number, index: _Index, ops: Ops
    ) -> tuple[Number, Any]:
        """The row with these keys, and whether there is one; for one request or arrays of them."""
        known = codes[0] >= 0
        group = codes[0]
        if len(codes) > 1:
            for code in codes[1:]:
                known = known & (code >= 0)
            mixed = _mixed(codes, self._sizes)
            group = ops.rank(index.groups, mixed) - 1
            known = known & (index.groups[group] == mixed)
        if self.source.as_of is None:
            return group, known  # which has one row
        _, times, positions, moments = index
        base = group * (len(times) + 1)
        row = ops.rank(positions, base + ops.rank(times, moment)) - 1
        known = known & (row >= 0) & (positions[row] > base)
        if self._oldest is not None:
            known = known & (moment - moments[row] <= self._oldest)
        return row, known

    def _column(self, columns: Columns, name: str) -> Array:
        if name not in columns:
            raise self._needed(name)
        return columns[name]

    def _needed(self, name: str) -> DataError:
        return DataError(
            "the column is needed to look things up, but is not there",
            where=f"source {self.source.name!r}, column {name!r}",
        )

    def sample(self, rows: Sequence[int]) -> list[tuple[list[str], int | None]]:
        """Keys, and the time in microseconds if any, of rows counted modulo the table's size."""
        if not self._rows:
            return []
        texts = [list(levels) for levels in self._levels]
        result = []
        for row in rows:
            position = self._alone.positions[row % self._rows]
            group, rank = divmod(position, len(self._alone.times) + 1)
            mixed = self._alone.groups[group]
            key = []
            for levels in reversed(texts):
                mixed, code = divmod(mixed, len(levels))
                key.append(levels[code])
            moment = self._alone.times[rank - 1] if self.source.as_of else None
            result.append((key[::-1], moment))
        return result

    def save(self, path: Path) -> None:
        """Write the arrays to one .npz file: atomic, the same bytes for the same table, no objects.

        Raises:
            StorageError: the disk refuses.
        """
        with files.atomic(path) as file:
            np.savez_compressed(file, **self._arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path, source: Source) -> SourceTable:
        """Read what `save` wrote.

        Raises:
            BundleError: the file is not such a table.
        """
        try:
            arrays = from_npz(path, MAX_TABLE_BYTES)
            _check(source, arrays)
            return cls(source, arrays)
        except (OSError, ValueError, KeyError, IndexError) as exception:
            raise BundleError(f"not a source table: {exception}", where=str(path)) from exception


def enrich(columns: Columns, tables: Sequence[SourceTable]) -> Columns:
    """The row's own columns and the sources'; a value that the row brings wins over the look-up.

    Raises:
        DataError: a key or time column is not there.
    """
    if isinstance(columns, Cells):
        found = [table.find(columns) for table in tables]
        return Cells(columns.kinds, columns.columns, columns.rows, tuple(tables), found)
    result = dict(columns)
    for table in tables:
        for name, data in table.lookup(columns).items():
            brought = columns.get(name)
            if brought is not None:
                data = np.where(values.is_missing(brought), data, brought)
            result[name] = data
    return result


def _mixed(codes: Sequence[Number], sizes: Sequence[int]) -> Number:
    """Several codes as one number."""
    mixed = codes[0]
    for code, size in zip(codes[1:], sizes[1:], strict=True):
        mixed = mixed * size + code
    return mixed


def _distinct(array: Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    unique, inverse = np.unique(array, return_inverse=True)
    return unique.astype(np.int64), inverse.reshape(-1).astype(np.int64)


def _pack(arrays: dict[str, Array], name: str, texts: Sequence[str]) -> None:
    """Texts as bytes and where each ends; numpy's own text arrays drop trailing NULs."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    arrays[f"{name}.bytes"] = np.frombuffer(b"".join(encoded), dtype=np.uint8)
    arrays[f"{name}.ends"] = np.cumsum([len(text) for text in encoded], dtype=np.int64)


def _unpack(arrays: Mapping[str, Array], name: str) -> list[str]:
    data, ends = arrays[f"{name}.bytes"].tobytes(), arrays[f"{name}.ends"].tolist()
    starts = [0, *ends[:-1]]
    return [
        data[start:end].decode("utf-8", "surrogatepass")
        for start, end in zip(starts, ends, strict=False)
    ]


def _store(arrays: dict[str, Array], name: str, column: Column, data: Array) -> None:
    if column.kind != "category":
        arrays[f"{name}.values"] = data
        return
    present = ~values.is_missing(data)
    levels, codes = np.unique(data[present], return_inverse=True)
    _pack(arrays, name, levels.tolist())
    arrays[f"{name}.values"] = np.full(len(data), -1, dtype=np.int32)
    arrays[f"{name}.values"][present] = codes.reshape(-1)


def _check(source: Source, arrays: Mapping[str, Array]) -> None:
    """Refuse arrays that would be found out only when a row is looked up.

    Raises:
        ValueError, KeyError: they are not what `from_columns` makes.
    """
    groups, times, positions = (arrays[name] for name in ("groups", "times", "positions"))
    rising = [groups, times, positions]
    for i in range(len(source.keys)):
        rising.append(arrays[f"key{i}.ends"])
    for i, column in enumerate(source.columns):
        data = arrays[f"column{i}.values"]
        if column.kind == "category":
            ends = arrays[f"column{i}.ends"]
            rising.append(ends)
            if data.dtype != np.int32 or not _within(data, -1, len(ends) - 1):
                raise ValueError(f"column {column.name!r} has levels that are not there")
        elif data.dtype != values.dtype(column.kind):
            raise ValueError(f"column {column.name!r} is {data.dtype}")
        if data.shape != positions.shape:
            raise ValueError(f"column {column.name!r} has another length than the keys")
    for name, array in arrays.items():
        if name.endswith(".bytes") and (array.dtype != np.uint8 or array.ndim != 1):
            raise ValueError("texts are not bytes")
    for array in rising:
        if array.dtype != np.int64 or array.ndim != 1 or (array[1:] < array[:-1]).any():
            raise ValueError("what must be sorted is not")
    levels = math.prod(len(arrays[f"key{i}.ends"]) for i in range(len(source.keys)))
    if not _within(groups, 0, levels - 1):
        raise ValueError("there are groups of keys that are not there")
    width = len(times) + 1
    if len(groups) * width >= 1 << 63 or not _within(positions, 1, len(groups) * width - 1):
        raise ValueError("there are rows of groups that are not there")
    if (positions % width == 0).any():
        raise ValueError("there are rows without a time")


def _within(array: Array, low: int, high: int) -> bool:
    return not array.size or bool(array.min() >= low and array.max() <= high)


def _with_missing(column: Column, arrays: Mapping[str, Array], name: str) -> Array:
    """The column with one missing value appended, which is what row -1 finds."""
    data = arrays[f"{name}.values"]
    if column.kind == "category":
        levels = np.array([*_unpack(arrays, name), None], dtype=object)
        data = levels[data]
    end = np.array([values.missing(column.kind)], dtype=values.dtype(column.kind))
    return np.concatenate([data, end])
