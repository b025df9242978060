"""What is counted about the values of rows, by hand and by the counters."""

from __future__ import annotations

import json

import pytest

from inference import codecs, handler, quality
from inference.handler import Model
from inference.quality import Quality
from tests.support import bundles


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return handler.model_fn(bundles.build(tmp_path_factory.mktemp("bundle") / "b"))


def counted(model: Model, *requests: object) -> Quality:
    found = Quality({})
    answers = [handler.input_fn(json.dumps(each), codecs.JSON) for each in requests]
    found.count([(model, handler.predict_fn(each, model)) for each in answers])
    return found


def test_values_are_counted_by_column_whatever_the_size_of_their_request(model: Model) -> None:
    rows = bundles.rows(300)
    rows[7] = {**rows[7], "carrier": "never seen", "distance": 1e12, "departure": None}
    by_hand = {
        name: sum(row[name] is None for row in rows)
        for name in ("distance", "seats", "price", "night", "carrier", "departure")
    }
    for requests in ([rows], rows, [rows[:100], *rows[100:110], rows[110:]]):
        found = counted(model, *requests)
        assert found.rows == 300
        assert {name: found.missing[name] for name in by_hand} == by_hand
        assert found.unknown["carrier"] == 1
        assert found.outside["distance"] >= 1
        assert found.snapshot() == counted(model, rows).snapshot()


def test_the_columns_of_sources_are_counted_too(model: Model) -> None:
    found = counted(model, {**bundles.ROW, "origin": "nowhere"})
    assert found.missing["weather.temp"] == found.missing["weather.sky"] == 1


def test_counts_go_on_from_a_snapshot_and_add_up(model: Model) -> None:
    one = counted(model, bundles.ROW)
    two = Quality(json.loads(json.dumps(one.snapshot())))
    two.add(one)
    assert two.rows == 2
    assert two.missing["price"] == 2


def test_no_more_columns_are_counted_apart_than_a_monitor_can_bear(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality, "COLUMNS", 2)
    row = dict.fromkeys(bundles.ROW)
    found = counted(model, {**row, "origin": "JFK"})
    assert len(found.missing) == 3
    assert found.missing[quality.OTHER] >= 3
