"""The files of a table: which there are, where they lie, and their rows as they are read.

Not here: what the rows mean (tables.py), nor S3 itself (storage.py). pyarrow is imported where
used.
"""

from __future__ import annotations

import contextlib
import glob
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from shared import storage
from shared.errors import DataError

if TYPE_CHECKING:
    import pyarrow

SUFFIXES = (".parquet", ".csv")
# Bytes of a CSV file that are parsed at once; a row must fit.
LONGEST_ROW = 16 << 20
BUFFER = 1 << 20
# Bytes that a cell takes in a file, at least, with what separates it; a guess.
CSV_CELL, PARQUET_CELL = 5, 4

Location = str | Path | Sequence[str | Path]


def found(location: Location) -> list[str]:
    """The names of all files, in the order in which they are read."""
    if isinstance(location, str) and storage.is_s3(location):
        found = [name for name in storage.list_files(location) if name.lower().endswith(SUFFIXES)]
        if not found:
            raise DataError("there is no CSV or Parquet file", where=location)
        return found
    places = [location] if isinstance(location, str | Path) else list(location)
    names = [str(path) for place in places for path in _paths(place)]
    if not names:
        raise DataError("no file is given")
    return names


def _paths(place: str | Path) -> list[Path]:
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
    return [path for match in matches for path in _paths(match)]


def _visible(path: Path, folder: Path) -> bool:
    return path.is_file() and not any(
        part.startswith((".", "_")) for part in path.relative_to(folder).parts
    )


@contextlib.contextmanager
def local(name: str) -> Iterator[Path]:
    """The file on this machine; one of S3 is there as long as it is needed."""
    if not storage.is_s3(name):
        yield Path(name)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name.rsplit("/", 1)[-1]
        storage.download(name, path)
        yield path


@contextlib.contextmanager
def explained(name: str) -> Iterator[None]:
    """What Arrow and the disk refuse, as an error that names the file."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, UnicodeDecodeError) as exception:
        reason = str(exception).splitlines()[0]
        raise DataError(f"the file cannot be read: {reason}", where=name) from None
    except OSError as exception:
        reason = exception.strerror or str(exception).splitlines()[0]
        raise DataError(f"the file cannot be read: {reason}", where=name) from None


def opened(
    path: Path, name: str, columns: Sequence[str] | None, rows: int
) -> tuple[list[str], Iterator[pyarrow.Table]]:
    """The names of all columns of a file, and its rows, of the columns wanted."""
    if path.stat().st_size == 0:
        raise DataError("the file is empty", where=name)
    parquet = path.suffix.lower() == ".parquet"
    names, batches = (_parquet if parquet else _csv)(path, name, columns, rows)
    for place, column in enumerate(names):
        if names.count(column) > 1:
            raise DataError("two columns have this name", where=f"{name}, column {column!r}")
        if not column.strip():
            raise DataError("the column has no name", where=f"{name}, column {place + 1}")
    return names, batches


def _parquet(
    path: Path, _name: str, columns: Sequence[str] | None, rows: int
) -> tuple[list[str], Iterator[pyarrow.Table]]:
    import pyarrow
    import pyarrow.parquet

    # Without the buffer, and with the one that is read ahead, a whole row group lies in memory.
    file = pyarrow.parquet.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False)
    names = file.schema_arrow.names
    wanted = None if columns is None else [column for column in names if column in columns]

    def batches() -> Iterator[pyarrow.Table]:
        for batch in file.iter_batches(rows, columns=wanted):
            yield pyarrow.Table.from_batches([batch])

    return names, batches()


def _csv(
    path: Path, name: str, columns: Sequence[str] | None, _rows: int
) -> tuple[list[str], Iterator[pyarrow.Table]]:
    import pyarrow
    from pyarrow import csv

    reading = csv.ReadOptions(block_size=LONGEST_ROW)
    parsing = csv.ParseOptions(newlines_in_values=True)
    with csv.open_csv(path, read_options=reading, parse_options=parsing) as reader:
        names = reader.schema.names
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        raise DataError("the header holds no comma", where=name, cure="Separate cells with commas")
    conversion = csv.ConvertOptions(
        column_types=dict.fromkeys(names, pyarrow.string()),
        null_values=[""],
        strings_can_be_null=True,
        include_columns=None if columns is None else [c for c in names if c in columns],
    )

    def batches() -> Iterator[pyarrow.Table]:
        with csv.open_csv(path, reading, parsing, conversion) as reader:
            for batch in reader:
                yield pyarrow.Table.from_batches([batch])

    return names, batches()


def cells(name: str) -> int:
    """Rows times columns of one file: of local Parquet exactly, else a guess by its size."""
    if name.lower().endswith(".csv"):
        return storage.size(name) // CSV_CELL
    if storage.is_s3(name):
        return storage.size(name) // PARQUET_CELL
    import pyarrow.parquet

    with explained(name):
        footer = pyarrow.parquet.read_metadata(name)
        return int(footer.num_rows * footer.num_columns)
