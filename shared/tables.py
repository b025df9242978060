"""CSV and Parquet files ↔ columns.

A CSV cell is text until a column's kind says what it means, just as in a request, so that "007"
stays "007" in a category. Here: reading files and checking what they hold. Not here: the files
themselves (table_files.py), nor what kinds the columns have (inferring.py guesses). pyarrow is
imported where used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from shared import arrays, table_files, values
from shared.errors import DataError, nearest
from shared.schema import Column, Target
from shared.table_files import Location
from shared.values import Array, ColumnMistake, Columns, Kind, Mistake

if TYPE_CHECKING:
    import pyarrow

BLOCK_ROWS = 1 << 16
_FILES = b"files"


def read(location: Location, columns: Sequence[str] | None = None) -> pyarrow.Table:
    """Read a whole table.

    Args:
        location: a CSV or Parquet file, a directory of them, a glob, an s3:// prefix, or a list of
            such. All files must have the same columns. Every column of a CSV file is text.
        columns: the names of those wanted; None: all.

    Raises:
        DataError: nothing is there, a file cannot be read, has no rows or other columns.
        StorageError: S3 refuses.
    """
    import pyarrow

    names = table_files.found(location)
    parts = list(_blocks(names, columns, BLOCK_ROWS))
    if not parts:
        raise DataError("there are no rows", where=names[0])
    try:
        table = pyarrow.concat_tables(parts, promote_options="permissive")
    except pyarrow.ArrowException as exception:
        where = ", ".join(names[:5])
        raise DataError(f"the files' columns differ in type: {exception}", where=where) from None
    origins = [origin for part in parts for origin in _origins(part)]
    return table.replace_schema_metadata({_FILES: json.dumps(origins)})


def blocks(
    location: Location, columns: Sequence[str] | None = None, rows: int = BLOCK_ROWS
) -> Iterator[pyarrow.Table]:
    """Read a table from its first row to its last in blocks of at most so many rows.

    One file is open at a time, and one block of it in memory; of S3 one file lies on the disk. A
    file's columns keep their own types, so those of two files may differ.

    Args and raises: as `read`; but a table without rows is no error.
    """
    return _blocks(table_files.found(location), columns, rows)


def column_names(location: Location) -> list[str]:
    """The columns of a table, as its first file has them.

    Raises:
        DataError: nothing is there, or the file cannot be read.
        StorageError: S3 refuses.
    """
    name = table_files.found(location)[0]
    with table_files.local(name) as path, table_files.explained(name):
        return table_files.opened(path, name, None, BLOCK_ROWS)[0]


def cells(location: Location) -> int:
    """Rows times columns: of local Parquet files exactly, of others a guess by their size.

    Raises:
        DataError: nothing is there, or a file cannot be read.
        StorageError: S3 refuses.
    """
    return sum(map(table_files.cells, table_files.found(location)))


def to_columns(table: pyarrow.Table, columns: Sequence[Column], where: str) -> Columns:
    """A table's columns as canonical arrays.

    Args:
        table: as `read` gives it, or any other.
        columns: those wanted.
        where: names the table in messages, where the file itself is not known.

    Raises:
        DataError: a column is not there (the nearest is named) or has values that its kind does not
            accept; the message names file, row (counted from 0) and column.
    """
    result: dict[str, Array] = {}
    for column in columns:
        data = _column(table, column.name, where)
        try:
            result[column.name] = array_of(column.kind, data)
        except Mistake as mistake:
            raise _mistake(table, mistake, column.name, where) from None
    return result


def target_values(table: pyarrow.Table, target: Target) -> npt.NDArray[Any]:
    """The target of each row: int64 index into target.classes, or float64 for regression.

    Raises:
        DataError: the target is not a column, a value is missing, or is none of the classes.
    """
    where = f"target {target.name!r}"
    data = _column(table, target.name, where)
    kind = target_kind(target)
    try:
        array = array_of(kind, data)
    except Mistake as mistake:
        raise _mistake(table, mistake, target.name, where) from None
    absent = values.is_missing(array)
    if absent.any():
        row = int(np.argmax(absent))
        raise DataError(
            f"{int(absent.sum())} rows have no value, the first is row {row}",
            where=where,
            cure="Remove the rows whose target is unknown",
        )
    if kind == "numeric" and target.task == "regression":
        return array
    found = class_numbers(array, target)
    if (found < 0).any():
        row = int(np.argmin(found))
        raise _mistake(
            table,
            Mistake(row, "unknown_class", f"{array.item(row)!r} is none of {list(target.classes)}"),
            target.name,
            where,
        )
    return found


def class_numbers(labels: Array, target: Target) -> npt.NDArray[np.int64]:
    """Index of each label [n] into target.classes; -1 for one that is none of them."""
    codes: dict[Any, int] = {label: index for index, label in enumerate(target.classes)}
    return np.fromiter(map(codes.get, labels.tolist(), repeat(-1)), np.int64, len(labels))


def target_kind(target: Target) -> Kind:
    """The kind of column that holds such a target."""
    if target.task == "regression":
        return "numeric"
    types = set(map(type, target.classes))
    if types == {bool}:
        return "boolean"
    return "numeric" if types == {int} else "category"


def _blocks(
    names: Sequence[str], columns: Sequence[str] | None, rows: int
) -> Iterator[pyarrow.Table]:
    expected: list[str] = []
    for name in names:
        with table_files.local(name) as path, table_files.explained(name):
            found, batches = table_files.opened(path, name, columns, rows)
            expected = expected or found
            _check_alike(names[0], expected, name, found)
            wanted = [column for column in expected if columns is None or column in columns]
            first = 0
            for table in batches:
                for start in range(0, table.num_rows, rows):
                    block = table.slice(start, rows).select(wanted)
                    origin = [[name, first, block.num_rows]]
                    yield block.replace_schema_metadata({_FILES: json.dumps(origin)})
                    first += block.num_rows


def _check_alike(first: str, expected: list[str], name: str, found: list[str]) -> None:
    for column in found:
        if column not in expected:
            raise DataError(f"{first} has no such column", where=f"{name}, column {column!r}")
    for column in expected:
        if column not in found:
            raise DataError(
                f"the column is missing; {first} has it", where=f"{name}, column {column!r}"
            )


def _column(table: pyarrow.Table, name: str, where: str) -> Any:
    names = table.column_names
    if name not in names:
        raise DataError(f"{name!r} is not a column", where=where, cure=nearest(name, names))
    return table.column(name)


def array_of(kind: Kind, data: Any) -> Array:
    """An Arrow column, an Array or a ChunkedArray of any type → canonical array [n].

    Raises:
        Mistake: a value, or the column's type, is not what the kind accepts.
    """
    import pyarrow
    from pyarrow import types

    if isinstance(data, pyarrow.ChunkedArray):
        data = data.combine_chunks()
    if isinstance(data, pyarrow.ChunkedArray):
        data = pyarrow.concat_arrays(data.chunks)
    type_ = data.type
    if types.is_null(type_):
        return np.full(len(data), values.missing(kind), dtype=values.dtype(kind))
    if types.is_dictionary(type_):
        return _from_dictionary(kind, data)
    if is_text(type_):
        return _from_dictionary(kind, data.cast(pyarrow.large_string()).dictionary_encode())
    if types.is_boolean(type_) and kind in ("boolean", "category"):
        return _from_numbers(kind, data)
    if types.is_decimal(type_) and kind != "datetime":
        # Arrow's own way to a float need not end at the nearest one.
        numbers = values.from_texts(
            "numeric", data.cast(pyarrow.string()).fill_null("").to_pylist()
        )
        return arrays.from_array(kind, numbers)
    if (types.is_integer(type_) or types.is_floating(type_)) and kind != "datetime":
        return _from_numbers(kind, data)
    if (types.is_timestamp(type_) or types.is_date(type_)) and kind in ("datetime", "category"):
        return arrays.from_array(kind, data.to_numpy(zero_copy_only=False))
    raise ColumnMistake(f"a {kind} column cannot be made of the Arrow type {type_}")


def _from_dictionary(kind: Kind, data: Any) -> Array:
    """Each distinct value that occurs is parsed once."""
    import pyarrow

    size = len(data.dictionary)
    codes = data.indices.cast(pyarrow.int64()).fill_null(size).to_numpy(zero_copy_only=False)
    used = np.flatnonzero(np.bincount(codes, minlength=size + 1)[:size])
    levels = data.dictionary.take(pyarrow.array(used))
    try:
        if is_text(levels.type):
            parsed = values.from_texts(kind, levels.fill_null("").to_pylist())
        else:
            parsed = array_of(kind, levels)
    except ColumnMistake:
        raise
    except Mistake as mistake:
        row = int(np.argmax(codes == used[mistake.row]))
        raise Mistake(row, mistake.code, mistake.message) from None
    array = np.full(size + 1, values.missing(kind), dtype=values.dtype(kind))
    array[used] = parsed
    result: Array = array[codes]
    return result


def is_text(type_: Any) -> bool:
    """Whether an Arrow type is text of any width."""
    from pyarrow import types

    return bool(
        types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_)
    )


def _from_numbers(kind: Kind, data: Any) -> Array:
    import pyarrow
    from pyarrow import types

    if kind == "category" and not types.is_floating(data.type):
        return array_of(kind, data.cast(pyarrow.string()))
    numbers = data.cast(pyarrow.float64(), safe=False).to_numpy(zero_copy_only=False)
    return arrays.from_array(kind, np.array(numbers))


def _mistake(table: pyarrow.Table, mistake: Mistake, column: str, where: str) -> DataError:
    """With the file's name where the table is still the one that was read."""
    row = mistake.row
    origins = _origins(table)
    if sum(count for _, _, count in origins) == table.num_rows:
        for name, first, count in origins:
            if row < count:
                where, row = name, first + row
                break
            row -= count
    return DataError(mistake.message, where=f"{where}, row {row}, column {column!r}")


def _origins(table: pyarrow.Table) -> list[list[Any]]:
    """Where a table's rows come from: file, first row in it, number of rows; none if not known."""
    origins: list[list[Any]] = json.loads((table.schema.metadata or {}).get(_FILES, b"[]"))
    return origins
