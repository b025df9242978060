"""The same rows get the same answers, to the bit, whatever the content type that brings them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import ipc, parquet

from inference import codecs, handler
from inference.handler import Model
from shared.schema import Task
from tests.support import bundles, requests

TASKS: tuple[Task, ...] = ("binary", "multiclass", "regression")
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
# Apart from control characters and the NUL at the end that numpy's text cannot have.
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=9
)
ROWS = st.fixed_dictionaries(
    {
        "distance": st.none() | NUMBERS,
        "seats": st.none() | NUMBERS,
        "price": st.none() | NUMBERS,
        "night": st.none() | st.booleans(),
        "carrier": st.none() | st.sampled_from(["UA", "AA"]) | TEXTS,
        "origin": st.sampled_from(["JFK", "EWR"]) | TEXTS,
        "departure": st.none() | st.datetimes().map(lambda moment: moment.isoformat()),
    }
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[Task, Model]:
    root = tmp_path_factory.mktemp("bundles")
    return {task: handler.model_fn(bundles.build(root / task, task)) for task in TASKS}


def outcome(model: Model, content_type: str, body: bytes) -> tuple[bytes, ...]:
    """All bits of an answer."""
    found = model.answer(codecs.decode(body, content_type)).predictions
    return found.values.tobytes(), found.choice.tobytes(), found.scores.tobytes()


@settings(max_examples=40, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=5))
def test_a_table_gets_the_same_bits_in_every_content_type(
    models: dict[Task, Model], rows: list[dict[str, Any]]
) -> None:
    bodies = requests.bodies(rows, bundles.COLUMNS)
    expected = outcome(models["regression"], *bodies["JSON, instances"])
    for name, (content_type, body) in bodies.items():
        assert outcome(models["regression"], content_type, body) == expected, name


@pytest.mark.parametrize("task", TASKS)
def test_many_rows_get_the_same_bits_in_every_content_type(
    models: dict[Task, Model], task: Task
) -> None:
    bodies = requests.bodies(bundles.rows(5000), bundles.COLUMNS)
    expected = outcome(models[task], *bodies["JSON, instances"])
    for name, (content_type, body) in bodies.items():
        assert outcome(models[task], content_type, body) == expected, name


def written(model: Model, accept: str) -> tuple[bytes, str, Any]:
    answer = model.answer(codecs.decode(json.dumps(bundles.rows(30)).encode(), None))
    return *handler.output_fn(answer, accept), answer.predictions


def read(body: bytes, content_type: str) -> dict[str, list[Any]]:
    """The columns of an answer, as its usual library reads them."""
    if content_type == "application/x-npy":
        table = np.load(io.BytesIO(body))
        return {name: table[name].tolist() for name in table.dtype.names}
    if content_type == "application/x-npz":
        with np.load(io.BytesIO(body)) as arrays:
            return {name: arrays[name].tolist() for name in arrays.files}
    if content_type == "application/x-parquet":
        found = parquet.read_table(pa.BufferReader(body))
    elif content_type.endswith("stream"):
        found = ipc.open_stream(body).read_all()
    else:
        found = ipc.open_file(body).read_all()
    columns: dict[str, list[Any]] = found.to_pydict()
    columns["model_version"] = found.schema.metadata[b"model_version"].decode()
    return columns


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "content_type", [name for one in codecs.FORMATS[3:] for name in one.names[:1]]
)
def test_answers_in_arrays_and_tables_say_what_json_says(
    models: dict[Task, Model], task: Task, content_type: str
) -> None:
    body, answered, predictions = written(models[task], content_type)
    assert answered == content_type
    found = read(body, content_type)
    version = found.pop("model_version", models[task].version)
    assert version == models[task].version
    records = predictions.to_records()
    for name in ("label", "score", "value"):
        assert found.get(name) == ([one[name] for one in records] if name in records[0] else None)
    for name in records[0].get("scores", ()):
        assert found[f"scores.{name}"] == [one["scores"][name] for one in records]


@pytest.mark.parametrize("task", TASKS)
def test_answers_in_json_lines_stand_alone(models: dict[Task, Model], task: Task) -> None:
    body, answered, predictions = written(models[task], "application/x-ndjson")
    assert answered == "application/x-ndjson"
    lines = [json.loads(line) for line in body.decode().splitlines()]
    assert {line.pop("model_version") for line in lines} == {models[task].version}
    assert lines == predictions.to_records()


@pytest.mark.parametrize("task", TASKS)
def test_answers_in_csv_are_named_for_whom_asks(models: dict[Task, Model], task: Task) -> None:
    body, answered, predictions = written(models[task], "text/csv; header=present")
    assert answered == "text/csv; header=present"
    [names, first, *_] = [line.split(",") for line in body.decode().splitlines()]
    record = predictions.to_records()[0]
    cells = dict(zip(names, first, strict=True))
    assert cells.pop("model_version") == models[task].version
    if task == "regression":
        assert cells == {"value": repr(record["value"])}
        return
    assert cells.pop("label") == (
        record["label"] if isinstance(record["label"], str) else str(record["label"]).lower()
    )
    assert cells.pop("score") == repr(record["score"])
    assert cells == {f"scores.{name}": repr(score) for name, score in record["scores"].items()}
    plain, answered, _ = written(models[task], "text/csv")
    assert answered == "text/csv"
    assert plain.decode().splitlines()[0].split(",") == first[:-1]


def test_a_large_request_is_answered_like_its_rows_whatever_its_chunks(
    models: dict[Task, Model], tmp_path: Path
) -> None:
    rows = bundles.rows(9000)
    _, body = requests.bodies(rows, bundles.COLUMNS)["Arrow stream"]
    whole = (
        models["binary"]
        .answer(codecs.decode(body, "application/vnd.apache.arrow.stream"))
        .predictions
    )
    last = json.dumps(rows[-5:]).encode()
    assert np.allclose(
        models["binary"].answer(codecs.decode(last, None)).predictions.scores, whole.scores[-5:]
    )
