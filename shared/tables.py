"""CSV and Parquet files ↔ columns.

A CSV cell is text until a column's kind says what it means, just as in a request, so that "007"
stays "007" in a category. Here: reading files and checking what they hold. Not here: what kinds the
columns have (inferring.py guesses), nor S3 itself (storage.py). pyarrow is imported where used.
"""

from __future__ import annotations

import glob
import json
import tempfile
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from shared import storage, values
from shared.errors import DataError, nearest
from shared.schema import Column, Target
from shared.values import Array, Columns, Kind, Mistake

if TYPE_CHECKING:
    import pyarrow

SUFFIXES = (".parquet", ".csv")
# Bytes of a CSV file that are parsed at once; a row must fit.
LONGEST_ROW = 16 << 20
_FILES = b"files"


def read(location: str | Path | Sequence[str | Path]) -> pyarrow.Table:
    """Read a table.

    Args:
        location: a CSV or Parquet file, a directory of them, a glob, an s3:// prefix, or a list of
            such. All files must have the same columns. Every column of a CSV file is text.

    Raises:
        DataError: nothing is there, a file cannot be read, has no rows or other columns.
        StorageError: S3 refuses.
    """
    import pyarrow

    if isinstance(location, str) and location.startswith("s3://"):
        return _read_s3(location)
    places = [location] if isinstance(location, str | Path) else list(location)
    paths = [path for place in places for path in _files(place)]
    if not paths:
        raise DataError("no file is given")
    tables = [_read_file(path) for path in paths]
    for path, table in zip(paths[1:], tables[1:], strict=True):
        _check_alike(paths[0], tables[0].column_names, path, table.column_names)
    try:
        table = pyarrow.concat_tables(
            [table.select(tables[0].column_names) for table in tables], promote_options="permissive"
        )
    except pyarrow.ArrowException as exception:
        names = ", ".join(map(str, paths[:5]))
        raise DataError(f"the files' columns differ in type: {exception}", where=names) from None
    if not table.num_rows:
        raise DataError("there are no rows", where=str(paths[0]))
    counts = [[str(path), part.num_rows] for path, part in zip(paths, tables, strict=True)]
    return table.replace_schema_metadata({_FILES: json.dumps(counts)})


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
            result[column.name] = _array(column.kind, data)
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
        array = _array(kind, data)
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
    codes: dict[Any, int] = {label: index for index, label in enumerate(target.classes)}
    found = np.fromiter(map(codes.get, array.tolist(), repeat(-1)), np.int64, len(array))
    if (found < 0).any():
        row = int(np.argmin(found))
        raise _mistake(
            table,
            Mistake(row, "unknown_class", f"{array.item(row)!r} is none of {list(target.classes)}"),
            target.name,
            where,
        )
    return found


def target_kind(target: Target) -> Kind:
    """The kind of column that holds such a target."""
    if target.task == "regression":
        return "numeric"
    types = set(map(type, target.classes))
    if types == {bool}:
        return "boolean"
    return "numeric" if types == {int} else "category"


def _read_s3(location: str) -> pyarrow.Table:
    names = [name for name in storage.list_files(location) if name.lower().endswith(SUFFIXES)]
    if not names:
        raise DataError("there is no CSV or Parquet file", where=location)
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, name in enumerate(names):
            path = Path(folder) / f"{number:06d}-{name.rsplit('/', 1)[-1]}"
            storage.download(name, path)
            paths.append(path)
        return read(paths)


def _files(place: str | Path) -> list[Path]:
    path = Path(place)
    if path.is_dir():
        found = sorted(
            p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and _visible(p, path)
        )
        if not found:
            raise DataError("there is no CSV or Parquet file in this folder", where=str(place))
        return found
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise DataError(
                f"the name ends in {path.suffix!r}; .csv or .parquet is needed", where=str(place)
            )
        return [path]
    matches = sorted(Path(name) for name in glob.glob(str(place), recursive=True))
    if not matches or not glob.has_magic(str(place)):
        raise DataError("there is no such file", where=str(place), cure="Check the path")
    return [path for match in matches for path in _files(match)]


def _visible(path: Path, folder: Path) -> bool:
    return path.is_file() and not any(
        part.startswith((".", "_")) for part in path.relative_to(folder).parts
    )


def _read_file(path: Path) -> pyarrow.Table:
    import pyarrow
    import pyarrow.parquet

    try:
        if path.stat().st_size == 0:
            raise DataError("the file is empty", where=str(path))
        if path.suffix.lower() == ".parquet":
            table = pyarrow.parquet.ParquetFile(path).read()
        else:
            table = _read_csv(path)
    except (pyarrow.ArrowException, UnicodeDecodeError) as exception:
        reason = str(exception).splitlines()[0]
        raise DataError(f"the file cannot be read: {reason}", where=str(path)) from None
    except OSError as exception:
        reason = exception.strerror or str(exception).splitlines()[0]
        raise DataError(f"the file cannot be read: {reason}", where=str(path)) from None
    names = table.column_names
    for name in names:
        if names.count(name) > 1:
            raise DataError("two columns have this name", where=f"{path}, column {name!r}")
        if not name.strip():
            place = f"{path}, column {names.index(name) + 1}"
            raise DataError("the column has no name", where=place)
    return table


def _read_csv(path: Path) -> pyarrow.Table:
    import pyarrow
    from pyarrow import csv

    reading = csv.ReadOptions(block_size=LONGEST_ROW)
    parsing = csv.ParseOptions(newlines_in_values=True)
    with csv.open_csv(path, read_options=reading, parse_options=parsing) as reader:
        names = reader.schema.names
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        raise DataError(
            "the header holds no comma", where=str(path), cure="Separate the cells with commas"
        )
    conversion = csv.ConvertOptions(
        column_types=dict.fromkeys(names, pyarrow.string()),
        null_values=[""],
        strings_can_be_null=True,
    )
    return csv.read_csv(path, reading, parsing, conversion)


def _check_alike(first: Path, expected: list[str], path: Path, names: list[str]) -> None:
    for name in names:
        if name not in expected:
            raise DataError(f"{first} has no such column", where=f"{path}, column {name!r}")
    for name in expected:
        if name not in names:
            raise DataError(
                f"the column is missing; {first} has it", where=f"{path}, column {name!r}"
            )


def _column(table: pyarrow.Table, name: str, where: str) -> Any:
    names = table.column_names
    if name not in names:
        raise DataError(f"{name!r} is not a column", where=where, cure=nearest(name, names))
    return table.column(name)


def _array(kind: Kind, data: Any) -> Array:
    """An Arrow column → canonical array.

    Raises:
        Mistake: a value, or the column's type, is not what the kind accepts.
    """
    import pyarrow
    from pyarrow import types

    if isinstance(data, pyarrow.ChunkedArray):
        data = data.combine_chunks()
    if isinstance(data, pyarrow.ChunkedArray):
        data = pyarrow.concat_arrays(data.chunks)
    if types.is_dictionary(data.type):
        data = data.dictionary_decode()
    type_ = data.type
    if types.is_null(type_):
        return np.full(len(data), values.missing(kind), dtype=values.dtype(kind))
    if types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_):
        return _from_texts(kind, data)
    if types.is_boolean(type_) and kind in ("boolean", "category"):
        return _from_numbers(kind, data)
    if types.is_integer(type_) or types.is_floating(type_) or types.is_decimal(type_):
        if kind in ("numeric", "boolean", "category"):
            return _from_numbers(kind, data)
    elif (types.is_timestamp(type_) or types.is_date(type_)) and kind in ("datetime", "category"):
        return _from_times(kind, data)
    raise Mistake(0, "wrong_type", f"a {kind} column cannot be made of the Arrow type {type_}")


def _from_texts(kind: Kind, data: Any) -> Array:
    """Each distinct text is parsed once."""
    import pyarrow

    encoded = data.cast(pyarrow.large_string()).dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    codes = encoded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
    try:
        parsed = values.from_texts(kind, [*texts, ""])
    except Mistake as mistake:
        row = int(np.argmax(codes == mistake.row))
        raise Mistake(row, mistake.code, mistake.message) from None
    array: Array = parsed[codes]
    return array


def _from_numbers(kind: Kind, data: Any) -> Array:
    import pyarrow
    from pyarrow import types

    if kind == "category" and types.is_integer(data.type):
        return _from_texts(kind, data.cast(pyarrow.string()))
    if types.is_boolean(data.type) and kind == "category":
        return _from_texts(kind, data.cast(pyarrow.string()))
    numbers = data.cast(pyarrow.float64(), safe=False).to_numpy(zero_copy_only=False)
    numbers = np.array(numbers, dtype=np.float64)
    if data.null_count:
        numbers[data.is_null().to_numpy(zero_copy_only=False)] = np.nan
    infinite = np.isinf(numbers)
    if infinite.any():
        row = int(np.argmax(infinite))
        raise Mistake(row, "not_finite", f"a finite number is needed, not {float(numbers[row])!r}")
    if kind == "category":
        return values.texts_of(numbers)
    if kind == "boolean":
        odd = ~(np.isnan(numbers) | (numbers == 0) | (numbers == 1))
        if odd.any():
            row = int(np.argmax(odd))
            raise Mistake(row, "wrong_type", f"0 or 1 is needed, not {float(numbers[row])!r}")
    return numbers


def _from_times(kind: Kind, data: Any) -> Array:
    import pyarrow

    try:
        moments = data.cast(pyarrow.timestamp("us"), safe=False)
    except pyarrow.ArrowInvalid as exception:
        raise Mistake(0, "bad_date", str(exception)) from None
    array = np.array(moments.to_numpy(zero_copy_only=False), dtype=values.TIME)
    if kind == "datetime":
        return array
    texts = np.datetime_as_string(array).astype(object)
    texts[np.isnat(array)] = None
    return texts


def _mistake(table: pyarrow.Table, mistake: Mistake, column: str, where: str) -> DataError:
    """With the file's name where the table is still the one that was read."""
    row = mistake.row
    counts = json.loads((table.schema.metadata or {}).get(_FILES, b"[]"))
    if sum(count for _, count in counts) == table.num_rows:
        for name, count in counts:
            if row < count:
                where = name
                break
            row -= count
    return DataError(mistake.message, where=f"{where}, row {row}, column {column!r}")
