"""CSV: text → cells, and predictions → lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice

import orjson

from inference import limits
from inference.codecs.request import bounded, no_rows, wrong_cells
from shared import mistakes, values
from shared.errors import MAX_MISTAKES, InputError
from shared.predictions import Predictions
from shared.schema import Schema
from shared.values import Array, Columns


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of CSV lines, as text.

    Args:
        cells: of all lines in a row.
        widths: how many of them each line has.
        header: whether the first line names the columns; None: it does if at least half of its
            cells are names of columns. One misspelt name then is an unknown column, not a value.
        short: no text in it can be too long.
    """

    cells: Sequence[str]
    widths: Sequence[int]
    header: bool | None = None
    short: bool = True

    def columns(self, schema: Schema) -> Columns:
        """Canonical arrays by column name.

        Raises:
            InputError: the cells are not what the schema says; naming row and column.
        """
        if not self.widths:
            raise no_rows()
        width = self.widths[0]
        limits.check_columns(width)
        first = list(self.cells[:width])
        header = self.header
        if header is None:
            header = 2 * sum(cell in schema.names for cell in first) >= width
        limits.check_rows(len(self.widths) - header)
        names = first if header else None
        needed = len(first if header else schema.columns)
        if set(self.widths) != {needed}:
            found = (
                wrong_cells(schema, names, count, row - header)
                for row, count in enumerate(self.widths)
                if count != needed
            )
            raise mistakes.first_of(islice(found, MAX_MISTAKES))
        start = width * header
        cells = [self.cells[place::width] for place in range(start, start + width)]
        columns = schema.from_columns(names, cells, values.from_texts)
        return columns if self.short else bounded(columns)


def read(body: bytes, header: bool | None = None) -> Cells:
    """The cells of UTF-8 text, as the csv module reads it: RFC 4180, lines ending in any way.

    Empty lines are no rows: files often end with one.

    Raises:
        InputError: invalid_csv, text_too_long, too_many_rows.
    """
    text = body.decode()
    short = len(body) <= limits.TEXT_LENGTH
    if '"' not in text:
        text = text.replace("\r\n", "\n")
        if "\r" not in text:
            return Cells(*_plain(text), header, short)
    return Cells(*_quoted(text), header, short)


def write(predictions: Predictions, _version: str) -> bytes:
    """One line a row, without a header: the label, its score and that of each class, or the value.

    The version has no place in it.
    """
    return _lines([_texts(column) for column in predictions.to_columns().values()])


def write_with_header(predictions: Predictions, version: str) -> bytes:
    """As `write`, below a line of names; the last column is the model's version."""
    columns = {name: _texts(column) for name, column in predictions.to_columns().items()}
    columns["model_version"] = [version] * len(predictions)
    return _lines([[_quote(name), *texts] for name, texts in columns.items()])


def _lines(columns: Sequence[Sequence[str]]) -> bytes:
    return "".join(f"{line}\n" for line in map(",".join, zip(*columns, strict=True))).encode()


def _texts(column: Array) -> list[str]:
    """The cells of a column: numbers and booleans as JSON has them, labels quoted if need be."""
    if column.dtype != object:
        return orjson.dumps(column.tolist())[1:-1].decode().split(",") if len(column) else []
    quoted = {text: _quote(text) for text in set(column.tolist())}
    return list(map(quoted.__getitem__, column.tolist()))


def _quote(text: str) -> str:
    """A cell as CSV has it; an empty one in quotes, so that no line is empty."""
    if text and not any(mark in text for mark in ',"\r\n'):
        return text
    return '"' + text.replace('"', '""') + '"'


def _plain(text: str) -> tuple[list[str], list[int]]:
    """What `_quoted` makes of a text without quotes, several times as fast."""
    lines = list(filter(None, text.split("\n")))
    if len(lines) > limits.ROWS + 1:
        limits.check_rows(len(lines))
    widths = [line.count(",") + 1 for line in lines]
    return ",".join(lines).split(",") if lines else [], widths


def _quoted(text: str) -> tuple[list[str], list[int]]:
    """Cells and widths of the lines of a text, by the csv module."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = list(islice(filter(None, reader), limits.ROWS + 2))
    except csv.Error as error:
        if "field limit" in str(error):
            raise limits.text_too_long() from None
        raise InputError(
            "invalid_csv",
            f"The body is not CSV: {error}, line {reader.line_num}",
            cure="Quote cells that hold commas, quotes or line ends, and double the quotes in them",
        ) from None
    return list(chain.from_iterable(rows)), list(map(len, rows))
