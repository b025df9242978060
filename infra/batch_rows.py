"""The rows of a batch: read from CSV, JSON Lines or Parquet, checked as the endpoint checks them.

SageMaker fails a whole file for one record that the container refuses, and splits files at line
feeds, whether a quoted cell goes on there or not. So rows are read here, each is checked by the
rules of the bundle itself, and what passes becomes one line of JSON: never a line feed within it.
What does not pass is kept as an `InputError`. Not here: files of the job (batch.py).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn, Protocol, Self

from shared import tables, values
from shared.errors import DataError, InputError, KitError, nearest
from shared.schema import Column, Schema
from shared.values import Array, Columns

if TYPE_CHECKING:
    import pyarrow

    from shared.bundle import Bundle

SUFFIXES = (".csv", ".jsonl", ".ndjson", ".parquet")
CHUNK = 4096
"""Rows that are read and checked at once."""

Verdict = bytes | InputError
"""One row: the line that is sent, or why none is."""


class Chunk(Protocol):
    """A few rows, one after the other."""

    def __len__(self) -> int:
        """How many."""

    def part(self, start: int, end: int) -> Self:
        """Some of them."""

    def columns(self, schema: Schema) -> Columns:
        """Canonical arrays of what the model knows of them.

        Raises:
            InputError: a row is not what the schema says.
        """

    def given(self) -> list[Mapping[str, Any]]:
        """Each row as it came, as JSON has it; empty where it could not be read."""


@dataclass(frozen=True)
class Texts:
    """Rows of CSV: their cells, or why there are none."""

    names: Sequence[str]
    rows: Sequence[Sequence[str] | InputError]

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, start: int, end: int) -> Texts:
        """See `Chunk`."""
        return Texts(self.names, self.rows[start:end])

    def columns(self, schema: Schema) -> Columns:
        """See `Chunk`."""
        rows = [_good(row) for row in self.rows]
        sent = [name for name in self.names if name in schema.names]
        places = [self.names.index(name) for name in sent]
        cells = [[row[place] for row in rows] for place in places]
        return schema.from_columns(sent, cells, values.from_texts)

    def given(self) -> list[Mapping[str, Any]]:
        """See `Chunk`."""
        return [
            {} if isinstance(row, InputError) else dict(zip(self.names, row, strict=True))
            for row in self.rows
        ]


@dataclass(frozen=True)
class Objects:
    """Rows of JSON Lines: what stands on each line, or why it is no JSON."""

    rows: Sequence[Any]

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, start: int, end: int) -> Objects:
        """See `Chunk`."""
        return Objects(self.rows[start:end])

    def columns(self, schema: Schema) -> Columns:
        """See `Chunk`."""
        known = schema.names
        return schema.from_records(
            [
                {name: value for name, value in row.items() if name in known}
                if isinstance(row, dict)
                else row
                for row in map(_good, self.rows)
            ]
        )

    def given(self) -> list[Mapping[str, Any]]:
        """See `Chunk`."""
        return [row if isinstance(row, dict) else {} for row in self.rows]


@dataclass(frozen=True)
class Block:
    """Rows of Parquet."""

    table: pyarrow.Table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def part(self, start: int, end: int) -> Block:
        """See `Chunk`."""
        return Block(self.table.slice(start, end - start))

    def columns(self, schema: Schema) -> Columns:
        """See `Chunk`."""
        sent = [name for name in self.table.column_names if name in schema.names]
        cells = [self.table.column(name) for name in sent]
        return schema.from_columns(sent, cells, tables.array_of)

    def given(self) -> list[Mapping[str, Any]]:
        """See `Chunk`."""
        rows: list[Mapping[str, Any]] = _plain(self.table).to_pylist()
        return rows


@dataclass(frozen=True)
class Table:
    """One file of rows.

    Attributes:
        name: as the person gave it.
        path: where it lies on this machine.
        names: of its columns; None where each row has its own.
    """

    name: str
    path: Path
    names: tuple[str, ...] | None

    def chunks(self) -> Iterator[Chunk]:
        """Its rows, from the first to the last; the same every time.

        Raises:
            DataError: the file cannot be read.
        """
        if self.path.suffix == ".parquet":
            return (Block(table) for table in tables.blocks(self.path, rows=CHUNK))
        return _csv(self.path) if self.path.suffix == ".csv" else _json_lines(self.path)


def opened(name: str, path: Path, schema: Schema) -> Table:
    """A file, after a look at the names of its columns.

    Raises:
        DataError: it cannot be read, or has a column twice, or lacks one that the model needs.
    """
    if path.suffix in (".jsonl", ".ndjson"):
        return Table(name, path, None)
    try:
        names = _header(path) if path.suffix == ".csv" else tables.column_names(path)
    except DataError as error:
        raise DataError(error.message, where=name, cure=error.cure) from None
    for column in schema.columns:
        if column.name not in names:
            raise DataError(
                "a column that the model needs is not there",
                where=f"{name}, column {column.name!r}",
                cure=nearest(column.name, names),
            )
    return Table(name, path, tuple(names))


def verdicts(chunk: Chunk, bundle: Bundle, longest: int) -> Iterator[Verdict]:
    """What becomes of each row of a chunk, in order.

    What fails together is looked at by halves, so a good row costs nothing but its bad neighbours.

    Args:
        chunk: the rows.
        bundle: whose schema, sources and features they must pass.
        longest: bytes of a line.
    """
    try:
        lines = _lines(chunk.columns(bundle.schema), bundle)
    except KitError as error:
        if len(chunk) > 1:
            middle = len(chunk) // 2
            yield from verdicts(chunk.part(0, middle), bundle, longest)
            yield from verdicts(chunk.part(middle, len(chunk)), bundle, longest)
            return
        yield _of_one_row(error)
        return
    for line in lines:
        if len(line) <= longest:
            yield line
        else:
            yield InputError("too_large", f"the row has more than {longest} bytes")


def _lines(columns: Columns, bundle: Bundle) -> list[bytes]:
    """The rows as JSON: numbers, texts and times that read back as they were.

    Raises:
        KitError: a source or features.py cannot take one of them, or a text is too long.
    """
    known = {column.name: column for column in bundle.schema.columns}
    known |= {column.name: column for column in bundle.schema.source_columns}
    for name, array in columns.items():
        if known[name].kind == "category":
            _check_length(name, array)
    bundle.enrich(columns)
    names = list(columns)
    plain = [_values(known[name], columns[name]) for name in names]
    try:
        return [
            json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False).encode() + b"\n"
            for row in zip(*plain, strict=True)
        ]
    except UnicodeEncodeError:
        raise InputError("wrong_charset", "a text holds what is no character") from None


def _values(column: Column, array: Array) -> list[Any]:
    missing = values.is_missing(array)
    if column.kind == "boolean":
        plain = [bool(value) for value in array]
    elif column.kind == "datetime":
        plain = array.astype("datetime64[us]").astype(str).tolist()
    else:
        plain = array.tolist()
    if missing.any():
        return [
            None if absent else value for value, absent in zip(plain, missing.tolist(), strict=True)
        ]
    return plain


def _check_length(name: str, array: Array) -> None:
    for row, text in enumerate(array):
        if text is not None and len(text) > values.LONGEST_TEXT:
            message = f"the text has more than {values.LONGEST_TEXT} characters"
            raise InputError("text_too_long", message, row=row, column=name)


def _of_one_row(error: KitError) -> InputError:
    """The mistake of a row, its place within the chunk left out."""
    if not isinstance(error, InputError):
        return InputError("features_failed", f"features.py fails at this row: {error.message}")
    return InputError(error.code, error.message, column=error.column, cure=error.cure)


def _good(row: Any) -> Any:
    if isinstance(row, InputError):
        raise row
    return row


def _text(path: Path) -> IO[str]:
    # What is no UTF-8 costs its row, not the file.
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _header(path: Path) -> list[str]:
    """The names of a CSV file's columns, each there once."""
    with _text(path) as file:
        try:
            names = next(csv.reader(file), [])
            "".join(names).encode()
        except (csv.Error, UnicodeEncodeError) as error:
            raise DataError(f"the header cannot be read: {error}", where=str(path)) from None
    if not names:
        raise DataError("the file is empty", where=str(path))
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"two columns are called {name!r}", where=str(path))
    return names


def _csv(path: Path) -> Iterator[Chunk]:
    """As the server reads CSV (RFC 4180); empty lines are no rows."""
    with _text(path) as file:
        reader = csv.reader(file)
        names = next(reader)
        rows: list[Sequence[str] | InputError] = []
        while True:
            try:
                row = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                rows.append(InputError("invalid_csv", f"the line is not CSV: {error}"))
            else:
                if not row:
                    continue
                rows.append(_cells(row, len(names)))
            if len(rows) == CHUNK:
                yield Texts(names, rows)
                rows = []
        if rows:
            yield Texts(names, rows)


def _cells(row: list[str], width: int) -> Sequence[str] | InputError:
    if len(row) != width:
        message = f"{width} cells are needed, as many as names, not {len(row)}"
        return InputError("wrong_cells", message)
    try:
        "".join(row).encode()
    except UnicodeEncodeError:
        return InputError("wrong_charset", "the row is not text in UTF-8", cure="Save it as UTF-8")
    return row


def _json_lines(path: Path) -> Iterator[Chunk]:
    """A row a line; empty lines are none."""
    rows: list[Any] = []
    with path.open("rb") as file:
        for line in file:
            if not line.strip():
                continue
            rows.append(_object(line.removeprefix(b"\xef\xbb\xbf")))
            if len(rows) == CHUNK:
                yield Objects(rows)
                rows = []
    if rows:
        yield Objects(rows)


def _object(line: bytes) -> Any:
    cure = "Send one object a line, in UTF-8"
    try:
        return json.loads(line.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        return InputError("wrong_charset", "the line is not text in UTF-8", cure="Save it as UTF-8")
    except (ValueError, RecursionError) as error:
        return InputError("invalid_json", f"the line is not JSON: {error}", cure=cure)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is none of its numbers; write null for what is missing")


def _plain(table: pyarrow.Table) -> pyarrow.Table:
    """Times and decimals as text, since JSON has no values for them; levels as what they are."""
    import pyarrow
    from pyarrow import types

    for place, field in enumerate(table.schema):
        of = field.type
        if types.is_temporal(of) or types.is_decimal(of):
            texts = table.column(place).cast(pyarrow.string())
            table = table.set_column(place, field.name, texts)
        elif types.is_dictionary(of):
            table = table.set_column(place, field.name, table.column(place).cast(of.value_type))
    return table
