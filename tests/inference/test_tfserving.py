"""A bundle for AWS's TensorFlow Serving image, trained, exported and asked as the image does it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import bundle as bundles
from shared import predictions
from tests.support import jobs, serving, tensorflow_serving
from tests.support.asking import json_of, table
from tests.support.containers import with_files
from tests.support.serving import Reply, Server

pytestmark = pytest.mark.slow

ROW = {"weight": 100.5, "age": 3, "fruit": "apple", "shop": "s1"}
ROWS = [ROW, {**ROW, "weight": None}, {**ROW, "fruit": "durian", "age": 29}]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = jobs.problem("multiclass", container="tensorflow-serving")
    return jobs.tree(tmp_path_factory.mktemp("job"), project=project)


@pytest.fixture(scope="module")
def rest(job: Path) -> Iterator[Server]:
    with tensorflow_serving.trained(job, job / "log") as running:
        yield running


@pytest.fixture(scope="module")
def image(job: Path, rest: Server) -> Iterator[Server]:
    log = job / "image.log"
    with tensorflow_serving.python_service(job / "model", rest.port, log) as running:
        yield running


@pytest.fixture(scope="module")
def own(job: Path, image: Server) -> Iterator[Server]:
    with serving.serve(job / "model", job / "own.log") as running:
        yield running


def test_the_bundle_holds_the_saved_model_and_all_the_code_under_its_digests(
    job: Path, rest: Server
) -> None:
    files = bundles.load(job / "model").manifest.files
    assert {"1/saved_model.pb", "code/inference.py", "code/inference/tfserving.py"} <= set(files)
    assert any(name.startswith("code/lib/orjson/") for name in files)
    assert not any("__pycache__" in name for name in files)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (json_of({"instances": ROWS}), "application/json"),
        (json_of(ROW), "application/json; charset=utf-8"),
        (table(ROWS, header=True), "text/csv"),
        (table(ROWS * 2000, header=False), "text/csv"),
    ],
    ids=["instances", "one object", "CSV", "more rows than are scored at once"],
)
def test_the_image_answers_as_our_own_server_does(
    image: Server, own: Server, body: bytes, content_type: str
) -> None:
    theirs, ours = image.invoke(body, content_type), own.invoke(body, content_type)
    assert (theirs.status, theirs.headers["content-type"]) == (200, "application/json")
    assert theirs.json()["model_version"] == ours.json()["model_version"]
    found, expected = theirs.json()["predictions"], ours.json()["predictions"]
    assert [one["label"] for one in found] == [one["label"] for one in expected]
    assert [one["scores"] for one in found] == [
        pytest.approx(one["scores"], abs=1e-5) for one in expected
    ]


def test_csv_is_answered_where_it_is_accepted(image: Server) -> None:
    reply = image.invoke(ROWS, Accept="text/csv")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/csv")
    assert len(reply.body.splitlines()) == len(ROWS)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{", "application/json"),
        (b"", "application/json"),
        (json_of({**ROW, "fruits": 1}), "application/json"),
        (json_of({**ROW, "weight": "much"}), "application/json"),
        (b'"a', "text/csv"),
        (b" " * 6_400_000, "application/json"),
    ],
    ids=[
        "no JSON",
        "nothing",
        "unknown column",
        "wrong type",
        "no CSV",
        "too much",
    ],
)
def test_a_mistake_is_no_5xx_and_has_the_body_that_our_own_server_gives(
    image: Server, own: Server, body: bytes, content_type: str
) -> None:
    theirs, ours = image.invoke(body, content_type), own.invoke(body, content_type)
    assert theirs.status == ours.status < 500
    assert theirs.headers["content-type"] == "application/json"
    assert error(theirs) == error(ours)


def test_what_needs_a_library_that_the_image_lacks_is_a_415_that_says_so(image: Server) -> None:
    reply = image.invoke(b"PAR1", "application/x-parquet")
    other = image.invoke(b"x", "image/png")
    assert (reply.status, other.status) == (415, 415)
    assert "pyarrow" in str(error(reply)["message"])


def test_a_caller_that_accepts_no_json_gets_the_status_of_its_mistake_alone(image: Server) -> None:
    reply = image.invoke(b"{", Accept="text/csv")
    assert (reply.status, reply.body) == (400, b"")


def test_a_callers_choice_of_another_model_or_method_is_the_callers_mistake(image: Server) -> None:
    for asked in ("tfs-model-name=other", "tfs-model-version=7", "tfs-method=classify"):
        reply = image.invoke(ROW, **{"X-Amzn-SageMaker-Custom-Attributes": asked})
        assert (reply.status, error(reply)["code"]) == (400, "not_served")
    same = image.invoke(ROW, **{"X-Amzn-SageMaker-Custom-Attributes": "tfs-model-version=1"})
    assert same.body == image.invoke(ROW).body


def test_a_bundle_whose_golden_rows_come_out_otherwise_does_not_start(
    job: Path, rest: Server, tmp_path: Path
) -> None:
    bundle = bundles.load(job / "model")
    outputs = bundle.golden.outputs.copy()
    outputs[3, 0] += 0.125
    meant = predictions.decode(outputs, bundle.schema.target, bundle.target_transform)
    golden = dataclasses.replace(
        bundle.golden, outputs=outputs, predictions=tuple(meant.to_records())
    )
    spoilt = with_files(bundle.path, tmp_path / "m", {"golden.json": golden.to_json().encode()})
    with (
        pytest.raises(AssertionError, match=r"golden\.json, row 3, output 0"),
        tensorflow_serving.python_service(spoilt, rest.port, tmp_path / "log"),
    ):
        pass


def error(reply: Reply) -> dict[str, object]:
    found = dict(reply.json()["error"])
    assert found.pop("request_id")
    return found
