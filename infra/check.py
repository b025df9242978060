"""Looking at the data before anything is uploaded: what would make a training job fail is said now.

Only data on this machine is looked at; what lies in S3 is checked by the training job itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.project import Location, Settings
from shared import arrivals, tables, values
from shared.errors import DataError
from shared.inferring import infer_target
from shared.schema import Column, Schema


def check(settings: Settings) -> None:
    """Read every table and check each value against its column.

    Raises:
        DataError: a value is not of its column's kind, a column has no value at all, or the target
            cannot be learnt. The message names file, row and column.
    """
    problem = settings.problem
    if settings.data.files:
        table = tables.read(settings.data.files)
        _check_columns(table, problem.columns, settings.data, settings.path, "data.columns")
        with _cured_in(settings.path, "data.target and data.task"):
            infer_target(table, problem.target.name, problem.target.task)
    for source in problem.sources:
        location = settings.sources[source.name]
        if location.files:
            table = tables.read(location.files)
            _check_columns(
                table, source.columns, location, settings.path, f"sources.{source.name}.columns"
            )


def check_new(location: Location, schema: Schema) -> None:
    """Read labelled rows for a model that exists, and check them against its schema.

    Raises:
        DataError: a column, the target or a class is not what the model was made for.
    """
    if location.files:
        arrivals.read(location.files, schema, location.text)


def _check_columns(
    table: object, columns: tuple[Column, ...], location: Location, path: Path, section: str
) -> None:
    for column in columns:
        with _cured_in(path, f"{section}.{column.name}"):
            array = tables.to_columns(table, (column,), location.text)[column.name]
            if column.feature and values.is_missing(array).all():
                raise DataError(
                    "every value is missing",
                    where=f"{location.text}, column {column.name!r}",
                    cure="Leave the column out, or write feature = false",
                )


@contextmanager
def _cured_in(path: Path, key: str) -> Iterator[None]:
    """Adds to a DataError where in the project file its cure is."""
    try:
        yield
    except DataError as error:
        if error.cure:
            cure = f"{error.cure.rstrip('.')}. In {path}: {key}"
        else:
            cure = f"Correct the data, or change in {path}: {key}"
        raise DataError(error.message, where=error.where, cure=cure) from None
