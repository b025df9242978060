"""The project's own features: one function of columns, the same code in training and in serving.

`features.py` lies beside project.toml and holds

    def features(columns: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]

It is given the row's own columns and the sources', as values.py has them, and answers new ones. Its
text travels in the training job's code and in the bundle. It is code: whoever can write a bundle
can run code where the bundle is used.

Here: running it, and what it may answer. Not here: what it may hold (feature_rules.py), nor whether
it answers the same in any company of rows (purity.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from shared import values
from shared.cells import Cells
from shared.errors import DataError, InputError, ProjectError, nearest
from shared.feature_rules import DECLARED, FILE, FUNCTION, check
from shared.schema import Column, Schema
from shared.sources import SourceTable, enrich
from shared.values import Array, Columns, Kind, Mistake

Rows = Sequence[int] | npt.NDArray[np.int64]
_DTYPES: dict[Kind, tuple[str, str]] = {
    "numeric": ("fiub", "numbers"),
    "boolean": ("bfiu", "booleans, or of 0.0, 1.0 and NaN"),
    "category": ("OUbiuf", "text and None, or of numbers"),
    "datetime": ("M", "datetime64"),
}
# As far as the times of a request can lie: the years 1 to 9999, and an offset from UTC.
_FIRST, _LAST = np.array(["0000-12-31", "10000-01-02"], dtype=values.TIME)


class Given(Mapping[str, Array]):
    """What the function is given: arrays in the schema's order that cannot be written to."""

    def __init__(self, columns: Columns, names: Sequence[str]) -> None:
        self._columns = columns
        self._names = names
        self._read: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        # Made when it is asked for: of a small request no more columns become arrays than are used.
        array = self._read.get(name)
        if array is None:
            if name not in self._names:
                raise KeyError(name)
            # Contiguous, since numpy may compute other bits for strided arrays.
            array = np.ascontiguousarray(self._columns[name]).view()
            array.flags.writeable = False
            self._read[name] = array
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Features:
    """A features.py, read; it is run when it is first asked for values, not before.

    Args:
        source: its bytes.
        schema: what it is given, the own columns and then the sources', and what it makes.
        where: names it in messages.

    Raises:
        ProjectError: see `check`.
    """

    def __init__(self, source: bytes, schema: Schema, where: str = FILE) -> None:
        self.source = source
        self.where = where
        self._lines = source.decode(errors="replace").splitlines()
        self._columns = schema.made_columns
        self._inputs = [column.name for column in schema.columns + schema.source_columns]
        self._tree = check(source, where)

    @cached_property
    def kinds(self) -> Mapping[str, Kind]:
        """Of each column that is made."""
        return {column.name: column.kind for column in self._columns}

    def __call__(self, columns: Columns, rows: Rows | None = None) -> Columns:
        """New columns for these rows.

        Args:
            columns: canonical arrays of one length n, the sources' included.
            rows: what messages call each row; from 0 if not given.

        Returns:
            Canonical arrays [n] by name, exactly those that the schema's `made_columns` name.

        Raises:
            ProjectError: the function fails, which names its line and the row, or it does not
                answer what is declared.
            InputError: it makes of a row what is no value, such as an infinity.
        """
        made = self.made(columns, rows)
        for column in self._columns:
            odd = _odd(made[column.name])
            if odd.any():
                row = int(np.argmax(odd))
                raise InputError(
                    "not_finite",
                    f"{FILE} makes {made[column.name][row]} of this row",
                    row=row if rows is None else int(rows[row]),
                    column=column.name,
                )
        return made

    def made(self, columns: Columns, rows: Rows | None = None) -> Columns:
        """The same with infinities, and times beyond the years 1 to 9999, let through."""
        given = Given(columns, self._inputs)
        count = columns.rows if isinstance(columns, Cells) else len(columns[self._inputs[0]])
        if not count:
            return {one.name: np.empty(0, values.dtype(one.kind)) for one in self._columns}
        try:
            answer = self._run(given)
        except ProjectError:
            raise
        except (Exception, SystemExit) as error:
            row = self._first_failing(given, count)
            raise self._failure(error, row if row is None or rows is None else rows[row]) from error
        return self._canonical(answer, count)

    def able(self, columns: Columns) -> npt.NDArray[np.bool_]:
        """Which rows [n] it makes values of."""

        def one(row: int) -> bool:
            try:
                self({name: array[row : row + 1] for name, array in columns.items()})
            except (ProjectError, InputError):
                return False
            return True

        return np.array([one(row) for row in range(len(columns[self._inputs[0]]))], dtype=np.bool_)

    @cached_property
    def _function(self) -> Callable[[Columns], object]:
        space: dict[str, Any] = {"__name__": FUNCTION}
        try:
            exec(compile(self._tree, self.where, "exec"), space)  # noqa: S102 - it is to be run
        except (Exception, SystemExit) as error:
            raise self._failure(error) from error
        function: Callable[[Columns], object] = space[FUNCTION]
        return function

    def _run(self, given: Columns) -> object:
        with np.errstate(all="ignore"):
            return self._function(given)

    def _first_failing(self, given: Columns, count: int) -> int | None:
        """The first row that fails by itself, found by halves; None where none does."""

        def fails(start: int, end: int) -> bool:
            try:
                part = {name: array[start:end] for name, array in given.items()}
                self._run(Given(part, self._inputs))
            except (Exception, SystemExit):
                return True
            return False

        start, end = 0, count
        while end - start > 1:
            middle = (start + end) // 2
            start, end = (start, middle) if fails(start, middle) else (middle, end)
        return start if fails(start, end) else None

    def _failure(self, error: BaseException, row: int | None = None) -> ProjectError:
        line, trace = 0, error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == self.where:
                line = trace.tb_lineno
            trace = trace.tb_next
        place = [self.where] + ([f"line {line}"] if line else [])
        place += [] if row is None else [f"row {row}"]
        text = f", at `{self._lines[line - 1].strip()}`" if 0 < line <= len(self._lines) else ""
        missing = error.args[0] if isinstance(error, KeyError) and error.args else None
        cure = None
        if isinstance(missing, str) and missing not in self._inputs:
            cure = f"There is no such column. {nearest(missing, self._inputs)}"
        return ProjectError(
            f"{type(error).__name__}: {error}{text}", where=", ".join(place), cure=cure
        )

    def _canonical(self, answer: object, count: int) -> Columns:
        if not isinstance(answer, Mapping):
            raise ProjectError(
                f"{FUNCTION} must answer a dict of arrays by column, not {type(answer).__name__}",
                where=self.where,
            )
        names = [column.name for column in self._columns]
        for name in names:
            if name not in answer:
                raise ProjectError(
                    f"makes no column {name!r}, which {DECLARED} declares", where=self.where
                )
        for name in answer:
            if name not in names:
                raise ProjectError(
                    f"makes a column {name!r}, which {DECLARED} does not declare",
                    where=self.where,
                    cure=nearest(str(name), names),
                )
        return {
            column.name: self._array(column, answer[column.name], count) for column in self._columns
        }

    def _array(self, column: Column, data: object, count: int) -> Array:
        """What was answered for one column as its canonical array, infinities included."""
        where = f"{self.where}, column {column.name!r}"
        if type(data) is not np.ndarray or data.shape != (count,):
            found = f"an array of shape {data.shape}" if isinstance(data, np.ndarray) else ""
            raise ProjectError(
                f"a numpy array of shape ({count},) is needed, one value a row, not "
                f"{found or type(data).__name__}",
                where=where,
            )
        kinds, wanted = _DTYPES[column.kind]
        if data.dtype.kind not in kinds:
            raise ProjectError(
                f"a {column.kind} column is an array of {wanted}, not of {data.dtype}", where=where
            )
        try:
            return _converted(column.kind, data)
        except Mistake as mistake:
            raise ProjectError(mistake.message, where=f"{where}, row {mistake.row}") from None
        except OverflowError as error:
            raise ProjectError(f"not a {column.kind}: {error}", where=where) from None


def complete(columns: Columns, tables: Sequence[SourceTable], features: Features | None) -> Columns:
    """A row's own columns, the sources', and those that features.py makes of both.

    Raises:
        ProjectError, InputError: see Features.
    """
    enriched = enrich(columns, tables)
    if features is None:
        return enriched
    made = features(enriched)
    if not isinstance(enriched, Cells):
        return {**enriched, **made}
    return Cells(
        {**enriched.kinds, **features.kinds},
        {**enriched.columns, **{name: _cells(array) for name, array in made.items()}},
        enriched.rows,
        enriched.tables,
        enriched.found,
    )


def complete_table(
    columns: Columns,
    tables: Sequence[SourceTable],
    features: Features | None,
    *,
    rows: Rows,
    where: str,
) -> Columns:
    """The same for the rows of a table, where no client is to be told.

    Args:
        columns: canonical arrays of one length, the own columns.
        tables: the sources.
        features: the project's features.py, if it has one.
        rows: the number of each row in the table.
        where: names the table in messages.

    Raises:
        ProjectError: the function fails.
        DataError: it makes of a row what is no value.
    """
    enriched = enrich(columns, tables)
    if features is None:
        return enriched
    try:
        return {**enriched, **features(enriched, rows)}
    except InputError as mistake:
        raise DataError(
            mistake.message,
            where=f"{where}, {mistake.where}",
            cure="Answer NaN where there is no value: np.where(x > 0, y / x, np.nan)",
        ) from None


def _converted(kind: Kind, data: Array) -> Array:
    if kind == "datetime":
        return data.astype(values.TIME, copy=False)
    if kind == "category":
        if data.dtype.kind in "OUb":
            return values.from_values("category", data.tolist())
        numbers = data.astype(np.float64, copy=False)
        infinite = np.isinf(numbers)
        if infinite.any():
            row = int(np.argmax(infinite))
            raise Mistake(row, "not_finite", f"{numbers[row]} cannot be a category")
        return values.texts_of(numbers)
    numbers = data.astype(np.float64, copy=False)
    if kind == "boolean":
        odd = ~(np.isnan(numbers) | (numbers == 0) | (numbers == 1))
        if odd.any():
            row = int(np.argmax(odd))
            raise Mistake(row, "wrong_type", f"{numbers[row]} is not 0, 1 or NaN")
    return numbers


def _odd(array: Array) -> npt.NDArray[np.bool_]:
    """Where a value is no value at all: an infinity, or a time that has no date."""
    if array.dtype == object:
        return np.zeros(len(array), dtype=np.bool_)
    if array.dtype.kind == "M":
        odd: npt.NDArray[np.bool_] = ~np.isnat(array) & ((array < _FIRST) | (array >= _LAST))
        return odd
    return np.isinf(array)


def _cells(array: Array) -> list[Any]:
    """A canonical array as the cells that `values.array_of` makes it of."""
    if array.dtype.kind != "M":
        return list(array.tolist())
    moments = array.astype(np.int64).tolist()
    return [
        None if absent else moment for moment, absent in zip(moments, np.isnat(array), strict=True)
    ]
