"""The four functions on real bundles of every task: what is answered, and what is refused."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import codecs, handler
from inference.codecs.as_csv import Cells
from inference.handler import Model
from shared import bundle as bundle_format
from shared.errors import BundleError, InputError
from shared.schema import Column, Task
from tests.support import bundles

TASKS: tuple[Task, ...] = ("binary", "multiclass", "regression")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[Task, Model]:
    root = tmp_path_factory.mktemp("bundles")
    return {task: handler.model_fn(bundles.build(root / task, task)) for task in TASKS}


@pytest.fixture(scope="module")
def model(models: dict[Task, Model]) -> Model:
    return models["binary"]


def answer(model: Model, rows: Any, accept: str = codecs.JSON) -> bytes:
    request = handler.input_fn(json.dumps(rows), codecs.JSON)
    return handler.output_fn(handler.predict_fn(request, model), accept)[0]


def predictions(model: Model, rows: Any) -> list[dict[str, Any]]:
    return list(json.loads(answer(model, rows))["predictions"])


def test_a_binary_answer_is_a_typed_label_and_a_probability(models: dict[Task, Model]) -> None:
    for one in predictions(models["binary"], bundles.rows(20)):
        assert set(one) == {"label", "score", "scores"}
        assert one["label"] is (one["score"] >= 0.5)
        assert one["scores"] == {"false": 1 - one["score"], "true": one["score"]}


def test_a_multiclass_answer_has_every_score_and_the_best_label(models: dict[Task, Model]) -> None:
    for one in predictions(models["multiclass"], bundles.rows(20)):
        assert sum(one["scores"].values()) == pytest.approx(1)
        assert one["score"] == one["scores"][one["label"]] == max(one["scores"].values())


def test_a_regression_answer_is_a_value_in_the_targets_unit(models: dict[Task, Model]) -> None:
    values = [one["value"] for one in predictions(models["regression"], bundles.rows(200))]
    assert 0 < np.mean(values) < 20


@pytest.mark.parametrize(("task", "cells"), [("binary", 4), ("multiclass", 5), ("regression", 1)])
def test_csv_answers_have_one_line_a_row(models: dict[Task, Model], task: Task, cells: int) -> None:
    lines = answer(models[task], bundles.rows(3), codecs.CSV).decode().splitlines()
    assert [len(line.split(",")) for line in lines] == [cells] * 3


def test_csv_labels_are_written_as_json_writes_them(models: dict[Task, Model]) -> None:
    lines = answer(models["binary"], bundles.rows(20), codecs.CSV).decode().splitlines()
    assert {line.split(",")[0] for line in lines} <= {"true", "false"}


def test_text_bodies_are_taken_as_the_toolkit_hands_them_over() -> None:
    assert handler.input_fn("[{}]", codecs.JSON) == handler.input_fn(b"[{}]", codecs.JSON)


@pytest.mark.parametrize("task", TASKS)
def test_a_row_alone_is_answered_as_in_a_batch_of_several_chunks(
    models: dict[Task, Model], task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = bundles.rows(100)
    monkeypatch.setattr(handler, "CHUNK_ROWS", 40)
    batch = predictions(models[task], rows)
    for row, expected in zip(rows, batch, strict=True):
        [alone] = predictions(models[task], row)
        assert alone.get("label") == expected.get("label")
        numbers = [name for name in expected if name in {"score", "value"}]
        assert [alone[n] for n in numbers] == pytest.approx([expected[n] for n in numbers])


def test_a_request_is_just_the_row_and_the_source_is_looked_up(model: Model) -> None:
    found = bundles.weather().lookup(
        {
            "origin": np.array([bundles.ROW["origin"]], dtype=object),
            "departure": np.array([bundles.ROW["departure"]], dtype="datetime64[us]"),
        }
    )
    brought = {
        "weather.temp": float(found["weather.temp"][0]),
        "weather.sky": found["weather.sky"][0],
    }
    assert predictions(model, {**bundles.ROW, **brought}) == predictions(model, bundles.ROW)


def test_a_request_may_bring_what_a_source_would_say(model: Model) -> None:
    warm = {**bundles.ROW, "weather.temp": 35.0}
    assert predictions(model, warm) != predictions(model, bundles.ROW)


def test_null_and_an_empty_cell_are_the_same_missing_value(model: Model) -> None:
    row = {**bundles.ROW, "distance": None}
    names, cells = zip(*row.items(), strict=True)
    line = ",".join("" if cell is None else str(cell) for cell in cells)
    request = handler.input_fn(",".join(names) + "\n" + line, codecs.CSV)
    body, _ = handler.output_fn(handler.predict_fn(request, model), codecs.JSON)
    assert json.loads(body)["predictions"] == predictions(model, row)


def test_csv_columns_may_come_in_any_order_under_a_header(model: Model) -> None:
    names = list(reversed(bundles.ROW))
    cells = ["" if bundles.ROW[name] is None else str(bundles.ROW[name]) for name in names]
    request = handler.input_fn(f"{','.join(names)}\n{','.join(cells)}\n", codecs.CSV)
    body, _ = handler.output_fn(handler.predict_fn(request, model), codecs.JSON)
    assert json.loads(body)["predictions"] == predictions(model, bundles.ROW)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"origin": None}, "null"),
        ({"distance": "1400"}, "wrong_type"),
        ({"distance": True}, "wrong_type"),
        ({"night": 1}, "wrong_type"),
        ({"carrier": ["UA"]}, "wrong_type"),
        ({"departure": "yesterday"}, "bad_date"),
        ({"departure": 1372690200}, "wrong_type"),
        ({"carriere": "UA"}, "unknown_column"),
    ],
)
def test_a_value_that_its_column_does_not_take_is_refused_with_row_and_column(
    model: Model, changes: dict[str, Any], code: str
) -> None:
    with pytest.raises(InputError) as caught:
        answer(model, [bundles.ROW, {**bundles.ROW, **changes}])
    assert (caught.value.code, caught.value.row) == (code, 1)
    assert caught.value.column == next(iter(changes))


@pytest.mark.parametrize("row", [None, 1, "x", [1]])
def test_a_row_that_is_no_object_is_refused_by_its_number(model: Model, row: object) -> None:
    with pytest.raises(InputError) as caught:
        answer(model, [bundles.ROW, row])
    assert (caught.value.code, caught.value.row) == ("not_an_object", 1)


@pytest.mark.parametrize("body", ["JFK,UA\n", "a,b,c,d,e,f,g\n", "distance,origin\n1,JFK\n"])
def test_csv_that_does_not_fit_the_columns_is_refused(model: Model, body: str) -> None:
    with pytest.raises(InputError):
        handler.predict_fn(handler.input_fn(body, codecs.CSV), model)


def test_a_misspelt_name_in_a_header_is_refused_with_the_nearest(model: Model) -> None:
    header = ",".join(bundles.ROW).replace("carrier", "carier")
    with pytest.raises(InputError, match="Did you mean 'carrier'"):
        handler.predict_fn(handler.input_fn(f"{header}\n1,2,3,true,UA,JFK,\n", codecs.CSV), model)


def test_a_refusal_stays_short_however_long_the_clients_words(model: Model) -> None:
    for row in ({"x" * 1_000_000: 1}, {**bundles.ROW, "departure": "x" * 1_000_000}):
        with pytest.raises(InputError) as caught:
            answer(model, row)
        assert len(str(caught.value)) < 1000
        assert len(caught.value.column or "") <= 100


VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
NAMES = st.sampled_from([column.name for column in bundles.COLUMNS]) | st.text()


@given(st.lists(st.dictionaries(NAMES, VALUES | st.lists(VALUES)) | VALUES, max_size=3))
def test_any_json_rows_are_answered_or_a_clients_mistake(model: Model, rows: list[Any]) -> None:
    # Any other exception than the client's mistake fails the test.
    with contextlib.suppress(InputError):
        request = handler.input_fn(json.dumps(rows), codecs.JSON)
        assert len(handler.predict_fn(request, model).predictions.choice) == len(rows)


@given(st.fixed_dictionaries({column.name: VALUES for column in bundles.COLUMNS}))
def test_any_values_of_the_right_columns_are_answered_or_refused_by_column(
    model: Model, row: dict[str, Any]
) -> None:
    refused: str | None = None
    try:
        request = handler.input_fn(json.dumps(row), codecs.JSON)
        handler.predict_fn(request, model)
    except InputError as mistake:
        refused = mistake.code if mistake.code == "invalid_json" else mistake.column
    assert refused is None or refused == "invalid_json" or refused in row


CELLS = st.lists(st.text(max_size=8), min_size=1, max_size=8)


@given(st.lists(CELLS, min_size=1, max_size=3))
def test_any_csv_cells_are_answered_or_a_clients_mistake(
    model: Model, rows: list[list[str]]
) -> None:
    with contextlib.suppress(InputError):
        widths = list(map(len, rows))
        handler.predict_fn(Cells([cell for row in rows for cell in row], widths), model)


@pytest.mark.parametrize("kind", ["numeric", "category", "datetime"])
def test_a_model_may_have_columns_of_one_kind_only(tmp_path: Path, kind: Any) -> None:
    name = {"numeric": "distance", "category": "carrier", "datetime": "departure"}[kind]
    columns = (Column(name, kind),)
    training = [{name: row[name]} for row in bundles.rows(100)]
    bundle = bundles.build(tmp_path / kind, columns=columns, training_rows=training, source=False)
    model = handler.model_fn(bundle)
    assert len(predictions(model, training[:5])) == 5


def test_the_version_is_the_beginning_of_the_bundles_digest(tmp_path: Path) -> None:
    bundle = bundles.build(tmp_path / "bundle")
    digest = bundle_format.load(bundle).manifest.digest
    assert handler.model_fn(bundle).version == digest[:12]


def rebuilt(bundle: Path, tmp_path: Path, network: bytes) -> Path:
    """The same bundle, properly sealed, around another network."""
    loaded = bundle_format.load(bundle)
    (tmp_path / "other.onnx").write_bytes(network)
    bundle_format.write(
        tmp_path / "rebuilt",
        project=loaded.manifest.project,
        schema=loaded.schema,
        transforms=loaded.transforms,
        target_transform=loaded.target_transform,
        sources=loaded.sources,
        golden=loaded.golden,
        model_files={"model.onnx": tmp_path / "other.onnx"},
        hyperparameters={},
        metrics={},
        libraries={},
    )
    return tmp_path / "rebuilt"


def test_a_network_that_scores_otherwise_than_in_training_is_refused(tmp_path: Path) -> None:
    bundle = bundles.build(tmp_path / "bundle")
    network = onnx.load(bundle / "model.onnx")
    bias = network.graph.initializer[-1]
    values = onnx.numpy_helper.to_array(bias) + np.float32(0.01)
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
    with pytest.raises(BundleError, match="golden"):
        handler.model_fn(rebuilt(bundle, tmp_path, network.SerializeToString()))


def test_a_network_with_other_inputs_is_refused(tmp_path: Path) -> None:
    bundle = bundles.build(tmp_path / "bundle")
    network = onnx.load(bundle / "model.onnx")
    network.graph.input[0].name = "other"
    network.graph.node.insert(0, onnx.helper.make_node("Cast", ["other"], ["numeric"], to=1))
    with pytest.raises(BundleError, match="does not run on the golden rows"):
        handler.model_fn(rebuilt(bundle, tmp_path, network.SerializeToString()))


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    bundle = bundles.build(tmp_path / "bundle")
    with pytest.raises(BundleError, match="not an ONNX file"):
        rebuilt(bundle, tmp_path, b"no network")


def test_a_network_of_nothing_is_refused(tmp_path: Path) -> None:
    bundle = bundles.build(tmp_path / "bundle")
    with pytest.raises(BundleError, match="ONNX Runtime cannot load"):
        handler.model_fn(rebuilt(bundle, tmp_path, b"\x08\x0a\x3a\x03\x12\x01g"))


def test_a_directory_without_a_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        handler.model_fn(tmp_path)


def test_an_answer_tells_its_stages_and_what_each_chunk_was_encoded_to(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "CHUNK_ROWS", 40)
    found = model.answer(handler.input_fn(json.dumps(bundles.rows(100)), codecs.JSON))
    assert all(stage > 0 for stage in found.nanoseconds)
    assert [len(encoded.numeric) for _, encoded in found.parts] == [40, 40, 20]
    for columns, encoded in found.parts:
        assert len(columns["weather.temp"]) == len(columns["distance"]) == len(encoded.codes)
