"""Looking at the data before anything is uploaded: what would make a training job fail is said now.

Only data on this machine is looked at; what lies in S3 is checked by the training job itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.project import Location, Settings
from shared import arrivals, purity, tables, values
from shared.errors import DataError
from shared.feature_rules import FILE
from shared.features import Features, complete_table
from shared.inferring import infer_target
from shared.schema import Column, Schema
from shared.sources import SourceTable

MOST_ROWS = 10_000
"""So many of the first rows features.py is tried with."""


def check(settings: Settings) -> None:
    """Read every table, check each value against its column, and try features.py.

    Raises:
        DataError: a value is not of its column's kind, a column has no value at all, or the target
            cannot be learnt. The message names file, row and column.
        ProjectError: features.py fails, or is not pure.
    """
    problem = settings.problem
    data = None
    if settings.data.files:
        data = tables.read(settings.data.files)
        _check_columns(data, problem.columns, settings.data, settings.path, "data.columns")
        with _cured_in(settings.path, "data.target and data.task"):
            infer_target(data, problem.target.name, problem.target.task)
    found = []
    for source in problem.sources:
        location = settings.sources[source.name]
        if location.files:
            table = tables.read(location.files)
            _check_columns(
                table, source.columns, location, settings.path, f"sources.{source.name}.columns"
            )
            if settings.features is not None:
                found.append(SourceTable.build(source, table))
    if settings.features is not None and data is not None and len(found) == len(problem.sources):
        _try_features(settings, data, found)


def _try_features(settings: Settings, table: Any, sources: Sequence[SourceTable]) -> None:
    problem, text = settings.problem, settings.data.text
    schema = problem.schema(problem.target)
    features = Features(settings.features or b"", schema, str(settings.path.parent / FILE))
    some = table.slice(0, MOST_ROWS)
    own = tables.to_columns(some, problem.columns, text)
    rows = range(some.num_rows)
    columns = complete_table(own, sources, features, rows=rows, where=text)
    purity.prove(features, columns, schema, rows)


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
