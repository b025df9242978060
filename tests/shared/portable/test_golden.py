"""Golden rows are synthetic, cover the edges, and read back exactly."""

from __future__ import annotations

import json

import pytest

from shared import golden
from shared.errors import BundleError
from shared.golden import Golden, golden_records
from shared.transforms import TargetTransform
from tests.shared.bundles import SCHEMA, fitted, network


def make(seed: int = 0) -> Golden:
    transforms, table = fitted()
    return golden.make(SCHEMA, transforms, TargetTransform("binary"), [table], network, seed=seed)


def test_rows_hold_nulls_unknown_levels_and_extremes() -> None:
    transforms, table = fitted()
    records = golden_records(SCHEMA, transforms, [table])
    assert len(records) == golden.ROWS
    distances = [record["distance"] for record in records]
    assert None in distances
    assert any(distance and abs(distance) == 1e300 for distance in distances)
    assert golden.UNKNOWN in [record["origin"] for record in records]
    assert json.loads(json.dumps(records)) == records


def test_columns_that_may_not_be_null_never_are() -> None:
    transforms, table = fitted()
    assert None not in [record["origin"] for record in golden_records(SCHEMA, transforms, [table])]


def test_some_rows_find_their_source_and_some_bring_its_columns() -> None:
    rows = make()
    transforms, _ = fitted()
    missing = transforms.numeric_names.index("weather.temp.missing")
    assert 0 < rows.numeric[:, missing].sum() < len(rows.records)
    assert any("weather.temp" in record for record in rows.records)


def test_the_same_seed_gives_the_same_rows_and_another_others() -> None:
    assert make().to_json() == make().to_json()
    assert make().to_json() != make(seed=1).to_json()


def test_rows_read_back_from_json_have_the_same_bits() -> None:
    rows = make()
    again = Golden.from_json(rows.to_json())
    assert again.numeric.tobytes() == rows.numeric.tobytes()
    assert again.codes.tobytes() == rows.codes.tobytes()
    assert again.outputs.tobytes() == rows.outputs.tobytes()
    assert (again.records, again.predictions) == (rows.records, rows.predictions)


@pytest.mark.parametrize(
    "change",
    [
        {"numeric": [[1.0], [1.0, 2.0]]},
        {"codes": [[1.5]]},
        {"codes": [[10**10]]},
        {"outputs": [["x"]]},
        {"records": 5},
        {"extra": 1},
    ],
)
def test_damaged_rows_are_refused(change: dict[str, object]) -> None:
    document = json.loads(make().to_json()) | change
    with pytest.raises(BundleError, match=r"^golden\.json"):
        Golden.from_json(json.dumps(document))
