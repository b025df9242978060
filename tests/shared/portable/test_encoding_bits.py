"""Encodings do not depend on batch size, memory layout or numpy version."""

from __future__ import annotations

import hashlib
import json
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import transforms
from shared.cells import Cells
from shared.elementary import MANY, ONE, log1p
from shared.schema import PARTS, Column, Schema, Target
from shared.transforms import Encoded, Transforms
from shared.values import Columns
from tests.shared.strategies import tables, tables_twice

NAT = np.iinfo(np.int64).min
RECORDED = Path(__file__).parent.parent / "data" / "encoding_bits.json"


def bits(encoded: Encoded) -> tuple[bytes, bytes]:
    return encoded.numeric.tobytes(), encoded.codes.tobytes()


def rows(encoded: Encoded, picked: Any) -> tuple[bytes, bytes]:
    return bits(Encoded(encoded.numeric[picked].copy(), encoded.codes[picked].copy()))


def cells(features: list[Column], columns: Columns) -> Cells:
    """The same rows as Python's values."""
    kinds = {column.name: column.kind for column in features}
    lists = [
        [None if cell == NAT else cell for cell in array.astype(np.int64).tolist()]
        if array.dtype.kind == "M"
        else array.tolist()
        for array in columns.values()
    ]
    return Cells(kinds, dict(zip(columns, lists, strict=True)), len(lists[0]))


def part(columns: Columns, picked: Any) -> Columns:
    return {name: array[picked] for name, array in columns.items()}


@settings(max_examples=100)
@given(tables())
def test_one_row_is_encoded_as_in_its_batch_bit_for_bit(table: Any) -> None:
    features, columns = table
    fitted = Transforms.fit(columns, features)
    batch = fitted.encode(columns)
    for row in range(len(batch.numeric)):
        one = slice(row, row + 1)
        assert bits(fitted.encode(part(columns, one))) == rows(batch, one)


@settings(max_examples=300)
@given(tables_twice())
def test_a_row_of_cells_is_encoded_as_in_a_batch_of_arrays_bit_for_bit(table: Any) -> None:
    features, columns, unseen = table
    fitted = Transforms.fit(columns, features)
    for arrays in (columns, unseen):
        batch = fitted.encode(arrays)
        some = cells(features, arrays)
        assert bits(fitted.encode(some)) == bits(batch)
        for row in range(some.rows):
            alone = {name: cells[row : row + 1] for name, cells in some.columns.items()}
            one = fitted.encode(Cells(some.kinds, alone, 1))
            assert bits(one) == rows(batch, slice(row, row + 1))


@settings(max_examples=100)
@given(tables())
def test_cells_are_the_arrays_they_become(table: Any) -> None:
    features, columns = table
    some = cells(features, columns)
    assert list(some) == list(columns)
    for name, array in columns.items():
        assert some[name].dtype == array.dtype
        assert repr(some[name].tolist()) == repr(array.tolist())


@settings(max_examples=100)
@given(tables(), st.integers(1, 7))
def test_where_a_chunk_ends_makes_no_difference(table: Any, chunk: int) -> None:
    features, columns = table
    fitted = Transforms.fit(columns, features)
    whole = bits(fitted.encode(columns))
    with mock.patch.object(transforms, "CHUNK", chunk):
        assert bits(fitted.encode(columns)) == whole


@settings(max_examples=100)
@given(tables(), st.sampled_from([slice(None, None, -1), slice(None, None, 2), slice(1, None, 3)]))
def test_strided_and_reversed_arrays_are_encoded_alike(table: Any, picked: slice) -> None:
    features, columns = table
    fitted = Transforms.fit(columns, features)
    assert bits(fitted.encode(part(columns, picked))) == rows(fitted.encode(columns), picked)


@settings(max_examples=100)
@given(tables_twice())
def test_encodings_of_rows_never_seen_are_finite_and_in_range(table: Any) -> None:
    features, columns, unseen = table
    fitted = Transforms.fit(columns, features)
    encoded = fitted.encode(unseen)
    assert np.isfinite(encoded.numeric).all()
    for codes, (_, cardinality) in zip(encoded.codes.T, fitted.categories, strict=True):
        assert codes.min() >= 0
        assert codes.max() < cardinality


@settings(max_examples=100)
@given(tables())
def test_transforms_read_back_from_json_are_the_same(table: Any) -> None:
    features, columns = table
    fitted = Transforms.fit(columns, features)
    again = Transforms.from_json(fitted.to_json())
    assert again == fitted
    assert again.to_json() == fitted.to_json()
    assert bits(again.encode(columns)) == bits(fitted.encode(columns))


@given(st.lists(st.floats(0, 1e300), min_size=1, max_size=50))
def test_the_logarithm_is_right_within_1e_12_relative_to_numbers_above_one(x: list[float]) -> None:
    data = np.array(x)
    expected = np.log1p(data)
    found = log1p(data, MANY)
    assert np.all(np.abs(found - expected) <= 1e-12 * np.maximum(1, expected))
    assert [log1p(one, ONE) for one in x] == found.tolist()


def recorded_schema() -> Schema:
    scales = ("standard", "robust", "quantile")
    numeric = [
        Column(f"{scale}{number}", "numeric", scale=scale, clip=clip)  # type: ignore[arg-type]
        for number, clip in enumerate([(0.001, 0.999), None])
        for scale in scales
    ]
    return Schema(
        columns=(
            *numeric,
            Column("skewed", "numeric", log=True),
            Column("flag", "boolean"),
            Column("level", "category", min_count=20, max_levels=12),
            Column("moment", "datetime", parts=PARTS),
            Column("local", "datetime", timezone="America/New_York", parts=PARTS),
        ),
        source_columns=(),
        target=Target("answer", "regression"),
    )


def recorded_rows(count: int, seed: int) -> list[dict[str, Any]]:
    """Rows from Python's own random numbers, which are the same everywhere."""
    draw = random.Random(seed)

    def sometimes(value: Any) -> Any:
        return None if draw.random() < 0.1 else value

    def row() -> dict[str, Any]:
        cells: dict[str, Any] = {}
        for column in recorded_schema().columns:
            if column.kind == "numeric":
                number = draw.gauss(0, 1) * 10 ** draw.randint(-3, 3)
                number = abs(number) if column.name == "skewed" else number
                cells[column.name] = sometimes(draw.choice([number, number, 0.0, -0.0, 1e300]))
            elif column.kind == "boolean":
                cells[column.name] = sometimes(draw.random() < 0.3)
            elif column.kind == "category":
                cells[column.name] = sometimes(f"level {int(draw.expovariate(0.1))}")
            else:
                moment = datetime(1960, 1, 1) + timedelta(microseconds=draw.randrange(4 * 10**15))
                cells[column.name] = sometimes(moment.isoformat())
        return cells

    return [row() for _ in range(count)]


def digest(encoded: Encoded) -> str:
    return hashlib.sha256(b"".join(bits(encoded))).hexdigest()


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(RECORDED.read_text())
    return document


def test_recorded_rows_are_encoded_to_the_recorded_bits(recorded: dict[str, Any]) -> None:
    fitted = Transforms.from_json(json.dumps(recorded["transforms"]))
    encoded = fitted.encode(recorded_schema().from_records(recorded["rows"]))
    assert [row.tobytes().hex() for row in encoded.numeric.astype("<f4")] == recorded["numeric"]
    assert encoded.codes.tolist() == recorded["codes"]
    for number, row in enumerate(recorded["rows"]):
        one = fitted.encode(recorded_schema().from_records([row]))
        assert one.numeric.astype("<f4").tobytes().hex() == recorded["numeric"][number]
        assert one.codes.tolist() == [recorded["codes"][number]]


def test_twenty_thousand_rows_are_encoded_to_the_recorded_bits(recorded: dict[str, Any]) -> None:
    fitted = Transforms.from_json(json.dumps(recorded["transforms"]))
    many = recorded_schema().from_records(recorded_rows(20_000, seed=2))
    assert digest(fitted.encode(many)) == recorded["digest"]


def record() -> None:
    """Write the file that the two tests above read (python -m, with this module's name)."""
    schema = recorded_schema()
    fitted = Transforms.fit(schema.from_records(recorded_rows(2_000, seed=0)), schema.features)
    some = recorded_rows(40, seed=1)
    encoded = fitted.encode(schema.from_records(some))
    many = schema.from_records(recorded_rows(20_000, seed=2))
    document = {
        "transforms": json.loads(fitted.to_json()),
        "rows": some,
        "numeric": [row.tobytes().hex() for row in encoded.numeric.astype("<f4")],
        "codes": encoded.codes.tolist(),
        "digest": digest(fitted.encode(many)),
    }
    RECORDED.write_text(json.dumps(document) + "\n")


if __name__ == "__main__":
    record()
