"""What a model is told and what it answers: columns, target, task; and requests against them.

Here: Column, Target, Schema, reading rows or columns of a request into canonical columns, JSON
Schema. Not here: inferring a schema from a table (inferring.py), tables (tables.py), which text or
number a kind accepts (values.py, arrays.py), all that is wrong with a request that failed
(mistakes.py), fitted numbers (transforms.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, KeysView, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain, repeat
from operator import eq
from typing import Any, Literal, NoReturn

import numpy as np

from shared import documents, mistakes, values
from shared.cells import FEW, Cells, picker
from shared.errors import InputError, KitError, ProjectError, nearest
from shared.mistakes import Convert
from shared.values import Array, Columns, Kind, Mistake

ReadCells = Callable[[Kind, Sequence[Any]], list[Any]]
Group = tuple[Kind, tuple[str, ...], Sequence[Sequence[Any]]]
Task = Literal["binary", "multiclass", "regression"]
MAX_NAMES = 20
PARTS = ("minute_of_day", "hour", "weekday", "day", "dayofyear", "month")


@dataclass(frozen=True)
class Column:
    """One column of the data, and how it becomes an input of the network.

    Args:
        name: as the data has it; a source's columns are called ``source.column``.
        kind: numeric, category, boolean or datetime.
        feature: False for a column that is only a key, a time or a split, not an input.
        nullable: False refuses a request in which it is null.
        impute: numeric: what stands for a missing value.
        clip: numeric: values are clipped to these quantiles of the training data; None: not at all.
        scale: numeric: (x - mean) / standard deviation, (x - median) / interquartile range, or the
            rank among the training data.
        log: numeric: take the logarithm before scaling; "auto" where the data is skewed.
        max_levels: category: how many levels are kept, the most frequent first.
        min_count: category: a level seen less often than this is rare.
        parts: datetime: what is taken from it, each as a point on a circle.
        timezone: datetime: the IANA zone in which the parts are taken; None: as it is (UTC).

    Raises:
        ProjectError: an option is not what it may be.
    """

    name: str
    kind: Kind
    feature: bool = True
    nullable: bool = True
    impute: Literal["median", "mean", "zero"] = "median"
    clip: tuple[float, float] | None = (0.001, 0.999)
    scale: Literal["standard", "robust", "quantile"] = "standard"
    log: Literal["auto"] | bool = "auto"
    max_levels: int = 200
    min_count: int = 5
    parts: tuple[str, ...] = ("hour", "weekday")
    timezone: str | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ProjectError("a column needs a name")
        if self.clip is not None and not 0 <= self.clip[0] < self.clip[1] <= 1:
            self._refuse("clip", self.clip, "two quantiles, such as [0.001, 0.999]")
        if self.max_levels < 1:
            self._refuse("max_levels", self.max_levels, "1 or more")
        if self.min_count < 1:
            self._refuse("min_count", self.min_count, "1 or more")
        if self.log is True and self.scale == "quantile":
            self._refuse(
                "log", True, 'false or "auto" with scale = "quantile": ranks stay the same'
            )
        for part in self.parts:
            if part not in PARTS:
                self._refuse("parts", part, f"of {', '.join(PARTS)}. {nearest(part, PARTS)}")
        if not self.parts or len(set(self.parts)) < len(self.parts):
            self._refuse("parts", self.parts, f"one or more different ones of {', '.join(PARTS)}")

    def _refuse(self, option: str, value: object, allowed: str) -> None:
        raise ProjectError(
            f"{documents.show(value)} is not allowed; it must be {allowed}",
            where=f"column {self.name!r}, {option}",
        )


@dataclass(frozen=True)
class Target:
    """What is predicted.

    Args:
        name: the target's column in the training data; a request does not bring it.
        task: binary, multiclass or regression.
        classes: the labels as the data types them, sorted; binary: the second is the positive one.
            Empty for regression, and where they are still to be found in the training data.
        threshold: binary: from this probability on, the answer is the positive class.

    Raises:
        ProjectError: the classes do not fit the task, or the threshold is no probability.
    """

    name: str
    task: Task
    classes: tuple[bool | int | str, ...] = ()
    threshold: float = 0.5

    def __post_init__(self) -> None:
        where = f"target {self.name!r}"
        if not 0 <= self.threshold <= 1:
            raise ProjectError(
                f"the threshold {self.threshold} is not between 0 and 1", where=where
            )
        count = len(self.classes)
        if len({(type(label), label) for label in self.classes}) < count:
            raise ProjectError("a class is listed twice", where=where)
        if self.task == "binary" and count not in (0, 2):
            raise ProjectError(f"a binary target has 2 classes, not {count}", where=where)
        if self.task == "multiclass" and count == 1:
            raise ProjectError("a multiclass target has 2 classes or more, not 1", where=where)
        if self.task == "regression" and count:
            raise ProjectError("a regression target has no classes", where=where)

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The classes as text."""
        return tuple(map(values.text_of, self.classes))


@dataclass(frozen=True)
class Schema:
    """The contract between a model and its clients.

    Args:
        columns: what a request must bring.
        source_columns: what the sources add, named ``source.column``; a request may bring them.
        target: what is answered.
        made_columns: what features.py makes of both; a request never brings them.

    Raises:
        ProjectError: there are no own columns, two have one name, or the target is among them.
    """

    columns: tuple[Column, ...]
    source_columns: tuple[Column, ...]
    target: Target
    made_columns: tuple[Column, ...] = ()

    def __post_init__(self) -> None:
        if not self.columns:
            raise ProjectError("one column or more is needed", where="columns")
        seen: set[str] = set()
        for column in self.all_columns:
            if column.name in seen:
                raise ProjectError("two columns have this name", where=f"column {column.name!r}")
            if column.name == self.target.name:
                raise ProjectError("the target cannot be an input", where=f"column {column.name!r}")
            seen.add(column.name)

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """Own columns first, then the sources', then those made of them."""
        return self.columns + self.source_columns + self.made_columns

    @cached_property
    def features(self) -> tuple[Column, ...]:
        """The network's inputs, in the order of `all_columns`."""
        return tuple(column for column in self.all_columns if column.feature)

    @cached_property
    def _cuts(self) -> dict[int, Callable[[Any], tuple[Any, ...]]]:
        return {}

    @property
    def names(self) -> KeysView[str]:
        """Of all columns that a request may bring."""
        return self._by_name.keys()

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns + self.source_columns}

    @cached_property
    def _own(self) -> frozenset[str]:
        return frozenset(self._own_names)

    @cached_property
    def _own_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @cached_property
    def _kinds(self) -> tuple[tuple[Kind, tuple[str, ...], slice], ...]:
        """Kind and names of the own columns of one kind, and their place in `_own_cells`."""
        kinds: dict[Kind, list[str]] = {}
        for column in self.columns:
            kinds.setdefault(column.kind, []).append(column.name)
        ends = list(accumulate(map(len, kinds.values())))
        return tuple(
            (kind, tuple(names), slice(end - len(names), end))
            for (kind, names), end in zip(kinds.items(), ends, strict=True)
        )

    @cached_property
    def _own_kinds(self) -> dict[str, Kind]:
        return {name: kind for kind, names, _ in self._kinds for name in names}

    @cached_property
    def _own_cells(self) -> Callable[[Mapping[str, object]], tuple[object, ...]]:
        """A record's own cells, those of one kind together."""
        return picker([name for _, names, _ in self._kinds for name in names])

    @cached_property
    def _required(self) -> tuple[str, ...]:
        return tuple(name for name, column in self._by_name.items() if not column.nullable)

    def from_records(self, records: Sequence[Mapping[str, object]]) -> Columns:
        """JSON objects, one a row → the own columns, and the source columns that any row brings.

        Args:
            records: each has every own column; null stands for a missing value. Source columns may
                be there in all rows, in some or in none.

        Returns:
            Canonical arrays of len(records) by column name.

        Raises:
            InputError: no_rows, not_an_object, unknown_column, missing_column, null, or what the
                kind of a column says (wrong_type, not_finite, bad_date), with row and column.
        """
        if not records:
            raise InputError("no_rows", "the request has no rows")
        if len(records) <= FEW and (few := self._few(records)) is not None:
            return few
        brought: list[Column] = []
        alike = set(map(type, records)) == {dict}
        if not (alike and all(map(eq, map(dict.keys, records), repeat(self._own)))):  # type: ignore[arg-type]
            names = self._check_keys(records)
            brought = [column for column in self.source_columns if column.name in names]
        own = list(zip(*map(self._own_cells, records), strict=True))
        groups: list[Group] = [(kind, names, own[place]) for kind, names, place in self._kinds]
        for column in brought:
            cells = [record.get(column.name) for record in records]
            groups.append((column.kind, (column.name,), [cells]))
        return self._columns(groups, len(records), values.from_values)

    def from_columns(
        self, names: Sequence[str] | None, columns: Sequence[Any], convert: Convert
    ) -> Columns:
        """A table → the own columns, and the source columns that it has.

        Args:
            names: of the columns; None: the own columns in the schema's order.
            columns: one or more of one length: lists of cells, or arrays of any kind.
            convert: values.from_values or from_texts for lists, arrays.from_array for numpy arrays,
                tables.array for Arrow's.

        Returns:
            Canonical arrays by column name.

        Raises:
            InputError: no_rows, wrong_cells, unknown_column, duplicate_column, missing_column,
                null, or what the kind of a column says (wrong_type, not_finite, out_of_range,
                bad_date), with row and column.
        """
        if names is None:
            names = self._own_names
            if len(columns) != len(names):
                raise self.wrong_cells(len(columns))
        elif self._own != set(names) or len(names) != len(self._own):
            self._check_names(names)
        rows = len(columns[0])
        if not rows:
            raise InputError("no_rows", "the request has no rows")
        cells = dict(zip(names, columns, strict=True))
        if rows <= FEW and len(cells) == len(self._own) and convert in _READ_CELLS:
            own = tuple(chain.from_iterable(cells[name] for name in self._own_kinds))
            few = self._cells(own, rows, _READ_CELLS[convert])
            if few is not None:
                return few
        groups: list[Group] = [
            (kind, names, [cells[name] for name in names]) for kind, names, _ in self._kinds
        ]
        groups += [
            (column.kind, (column.name,), [cells[column.name]])
            for column in self.source_columns
            if column.name in cells
        ]
        if isinstance(columns[0], list):
            return self._columns(groups, rows, convert)
        return self._arrays(groups, convert)

    def wrong_cells(self, count: int, row: int | None = None) -> InputError:
        """A row in the schema's order has another number of cells than there are columns."""
        names = self._own_names
        shown = ", ".join(names[:MAX_NAMES]) + (", …" if len(names) > MAX_NAMES else "")
        return InputError(
            "wrong_cells",
            f"{len(names)} cells are needed, not {count}",
            row=row,
            cure=f"The order is {shown}",
        )

    def _check_keys(self, records: Sequence[Any]) -> set[str]:
        """Every name that any record brings."""
        known, names = self.names, set[str]()
        for record in records:
            if not (isinstance(record, Mapping) and self._own <= record.keys() <= known):
                raise mistakes.first_of(mistakes.of_keys(records, self._own_names, known))
            names.update(record)
        return names

    def _check_names(self, names: Sequence[str]) -> None:
        found = mistakes.of_names(names, self._own_names, self.names)
        if found:
            raise mistakes.first_of(found)

    def _few(self, records: Sequence[Mapping[str, Any]]) -> Cells | None:
        """Few rows, if each has the own columns and no other, and all is well."""
        rows = len(records)
        try:
            if rows == 1:
                cells = self._own_cells(records[0])
            else:
                columns = zip(*map(self._own_cells, records), strict=True)
                cells = tuple(chain.from_iterable(columns))
            if set(map(len, records)) != {len(self._own)}:
                return None
        except (KeyError, TypeError):  # which one it is, the long way finds out
            return None
        return self._cells(cells, rows, values.cells_of_values)

    def _cells(self, cells: Sequence[Any], rows: int, read: ReadCells) -> Cells | None:
        """Few rows of own cells, column after column as in `_own_kinds`, if all is well."""
        found: list[Any] = []
        try:
            for kind, _, place in self._kinds:
                found += read(kind, cells[place.start * rows : place.stop * rows])
        except Mistake:
            return None
        columns: dict[str, Sequence[Any]] = dict(
            zip(self._own_kinds, zip(found) if rows == 1 else self._cut(rows)(found), strict=True)
        )
        for name in self._required:
            if name in columns and any(map(values.is_missing_cell, columns[name])):
                return None
        return Cells(self._own_kinds, columns, rows)

    def _cut(self, rows: int) -> Callable[[Any], tuple[Any, ...]]:
        """What parts the cells of so many rows, column after column, into columns."""
        cut = self._cuts.get(rows)
        if cut is None:
            starts = range(0, len(self._own) * rows, rows)
            cut = self._cuts[rows] = picker([slice(start, start + rows) for start in starts])
        return cut

    def _columns(self, groups: Sequence[Group], rows: int, convert: Convert) -> Columns:
        """Convert all columns of a kind at once: small requests have many of them."""
        result: dict[str, Array] = {}
        try:
            for kind, names, cells in groups:
                array = convert(kind, list(chain.from_iterable(cells)))
                result.update(zip(names, array.reshape(len(names), rows), strict=True))
        except Mistake:
            self._refuse(groups, convert)
        return self._complete(result)

    def _arrays(self, groups: Sequence[Group], convert: Convert) -> Columns:
        """Convert column by column."""
        result: dict[str, Array] = {}
        try:
            for kind, name, cells in _singly(groups):
                result[name] = convert(kind, cells)
        except Mistake:
            self._refuse(groups, convert)
        return self._complete(result)

    def _refuse(self, groups: Sequence[Group], convert: Convert) -> NoReturn:
        found = mistakes.of_values(_singly(groups), self._required, convert)
        raise mistakes.first_of(found) from None

    def _complete(self, columns: Columns) -> Columns:
        """`columns`, if no value is missing where one must be."""
        for name in self._required:
            if name in columns and values.is_missing(columns[name]).any():
                found = [
                    mistake
                    for other in self._required
                    if other in columns
                    for mistake in mistakes.of_nulls(other, columns[other])
                ]
                raise mistakes.first_of(found)
        return columns

    def to_json(self) -> str:
        """The schema as JSON text."""
        return documents.dumps(self, indent=1)

    @classmethod
    def from_json(
        cls, text: str | bytes, where: str = "schema.json", error: type[KitError] = ProjectError
    ) -> Schema:
        """Read what `to_json` wrote.

        Raises:
            error: the text is not a schema.
        """
        return documents.decode(cls, documents.loads(text, where, error), where, error)

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema (draft 2020-12) of one row of a request."""
        properties = {
            column.name: _property(column) for column in self.columns + self.source_columns
        }
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": f"One row to predict {self.target.name!r}",
            "type": "object",
            "properties": properties,
            "required": [column.name for column in self.columns],
            "additionalProperties": False,
        }


_READ_CELLS: Mapping[Convert, ReadCells] = {
    values.from_values: values.cells_of_values,
    values.from_texts: values.cells_of_texts,
}


def _singly(groups: Sequence[Group]) -> Iterator[tuple[Kind, str, Sequence[Any]]]:
    for kind, names, cells in groups:
        for name, one in zip(names, cells, strict=True):
            yield kind, name, one


_JSON_TYPES: dict[Kind, list[str]] = {
    "numeric": ["number"],
    "boolean": ["boolean"],
    "category": ["string", "number", "boolean"],
    "datetime": ["string"],
}


def _property(column: Column) -> dict[str, Any]:
    types = _JSON_TYPES[column.kind] + (["null"] if column.nullable else [])
    described: dict[str, Any] = {"type": types if len(types) > 1 else types[0]}
    if column.kind == "datetime":
        described["pattern"] = "^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}.*)?$"
        described["description"] = "ISO 8601; without an offset it is taken as UTC"
    if column.kind == "numeric":
        limit = np.finfo(np.float64).max
        described |= {"minimum": -float(limit), "maximum": float(limit)}
    return described
