"""What a body says and no more: rows or columns, before anybody knows which the model wants.

Each kind of request can read itself against a schema. Not here: which bytes make which request (the
`as_…` modules), nor which values a column accepts (`shared`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from inference import limits
from shared import documents, mistakes, values
from shared.errors import MAX_MISTAKES, InputError
from shared.mistakes import Convert
from shared.schema import Schema
from shared.values import Columns


class Request(Protocol):
    """The rows of one request."""

    def columns(self, schema: Schema) -> Columns:
        """Canonical arrays by column name.

        Raises:
            InputError: the rows are not what the schema says; naming row and column.
        """
        ...


@dataclass(slots=True)
class Records:
    """Objects of values by column name.

    Args:
        rows: what JSON has in place of rows.
        short: no text in it can be too long.
    """

    rows: Sequence[Mapping[str, object]]
    short: bool = True

    def columns(self, schema: Schema) -> Columns:
        """See `Request`."""
        columns = schema.from_records(self.rows)
        return columns if self.short else bounded(columns)


@dataclass(frozen=True, slots=True)
class Lists:
    """Lists of values in the order of `names`, or of the schema.

    Args:
        rows: what JSON has in place of rows.
        names: of the columns, if the request gives them.
        short: no text in it can be too long.
    """

    rows: Sequence[Any]
    names: Sequence[str] | None = None
    short: bool = True

    def columns(self, schema: Schema) -> Columns:
        """See `Request`."""
        width = len(schema.columns if self.names is None else self.names)
        if not self.rows:
            raise no_rows()
        if set(map(type, self.rows)) != {list} or set(map(len, self.rows)) != {width}:
            raise mistakes.first_of(self._wrong(schema, width))
        cells = [list(column) for column in zip(*self.rows, strict=True)]
        columns = schema.from_columns(self.names, cells, values.from_values)
        return columns if self.short else bounded(columns)

    def _wrong(self, schema: Schema, width: int) -> list[InputError]:
        found = []
        for number, row in enumerate(self.rows):
            if not isinstance(row, list):
                message = f"a row must be a list like those before, not {documents.show(row)}"
                found.append(InputError("not_a_list", message, row=number))
            elif len(row) != width:
                found.append(wrong_cells(schema, self.names, len(row), number))
            if len(found) == MAX_MISTAKES:
                break
        return found


@dataclass(frozen=True, slots=True)
class Table:
    """Whole columns.

    Args:
        names: of the columns; None: they are in the order of the schema.
        cells: one sequence a column, as `convert` takes them.
        convert: makes them canonical.
        short: no text in it can be too long.
    """

    names: Sequence[str] | None
    cells: Sequence[Any]
    convert: Convert
    short: bool = False

    def columns(self, schema: Schema) -> Columns:
        """See `Request`."""
        columns = schema.from_columns(self.names, self.cells, self.convert)
        return columns if self.short else bounded(columns)


def bounded(columns: Columns) -> Columns:
    """`columns`, if none of their texts is too long.

    Raises:
        InputError: text_too_long.
    """
    for name, array in columns.items():
        if array.dtype == object:
            texts = array.tolist()
            if max(map(len, set(texts) - {None}), default=0) > limits.TEXT_LENGTH:
                lengths = [len(text or "") for text in texts]
                row = next(r for r, length in enumerate(lengths) if length > limits.TEXT_LENGTH)
                raise limits.text_too_long(row, name)
    return columns


def no_rows() -> InputError:
    """There is nothing to predict."""
    return InputError("no_rows", "the request has no rows")


def wrong_cells(
    schema: Schema, names: Sequence[str] | None, count: int, row: int | None
) -> InputError:
    """A row has another number of cells than there are columns."""
    if names is None:
        return schema.wrong_cells(count, row)
    message = f"{len(names)} cells are needed, as many as names, not {count}"
    return InputError("wrong_cells", message, row=row)
