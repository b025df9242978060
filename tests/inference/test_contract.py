"""A model may take another's place where clients notice nothing but better scores."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inference import contract
from shared.errors import BundleError
from shared.schema import Column, Schema, Target

SCHEMA = Schema(
    (
        Column("distance", "numeric", nullable=False),
        Column("carrier", "category"),
        Column("departure", "datetime"),
    ),
    (Column("weather.temp", "numeric"),),
    Target("late", "binary", (False, True)),
)


def with_column(place: int, **changes: object) -> Schema:
    columns = list(SCHEMA.columns)
    columns[place] = replace(columns[place], **changes)
    return replace(SCHEMA, columns=tuple(columns))


@pytest.mark.parametrize(
    "fresh",
    [
        SCHEMA,
        with_column(0, nullable=True),
        with_column(0, scale="robust"),
        with_column(1, max_levels=3),
        with_column(2, parts=("month",)),
        replace(SCHEMA, source_columns=(*SCHEMA.source_columns, Column("planes.age", "numeric"))),
        replace(SCHEMA, target=replace(SCHEMA.target, threshold=0.7)),
    ],
)
def test_what_clients_cannot_see_may_change(fresh: Schema) -> None:
    contract.check(SCHEMA, fresh)


@pytest.mark.parametrize(
    ("fresh", "difference"),
    [
        (replace(SCHEMA, columns=SCHEMA.columns[:2]), "its columns are distance, carrier, not"),
        (replace(SCHEMA, columns=(*SCHEMA.columns, Column("seats", "numeric"))), "seats"),
        (replace(SCHEMA, columns=SCHEMA.columns[::-1]), "its columns are departure"),
        (with_column(0, kind="boolean"), "'distance' is boolean, not numeric"),
        (with_column(1, nullable=False), "'carrier' may not be null"),
        (replace(SCHEMA, source_columns=()), "does not know the column 'weather.temp'"),
        (replace(SCHEMA, target=Target("late", "regression")), "its task: 'regression'"),
        (replace(SCHEMA, target=Target("late", "binary", (0, 2))), "its classes: "),
    ],
)
def test_what_breaks_a_client_is_refused_by_name(fresh: Schema, difference: str) -> None:
    with pytest.raises(BundleError) as refused:
        contract.check(SCHEMA, fresh)
    assert difference in str(refused.value)


def test_false_and_0_are_two_answers() -> None:
    with pytest.raises(BundleError, match="its classes"):
        contract.check(SCHEMA, replace(SCHEMA, target=Target("late", "binary", (0, 1))))
