"""The real inference toolkit and Multi Model Server answer as our own server does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import bundles, mms, serving
from tests.support.asking import BAD, GOOD, Asked
from tests.support.containers import with_files
from tests.support.serving import ROOT, Server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(mms.NO_JAVA), reason=mms.NO_JAVA),
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("bundle")
    return mms.packed(bundles.build(place / "plain", "multiclass"), place / "packed")


@pytest.fixture(scope="module")
def toolkit(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with mms.serve(bundle, tmp_path_factory.mktemp("log") / "log") as running:
        yield running


@pytest.fixture(scope="module")
def own(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving.serve(bundle, tmp_path_factory.mktemp("log") / "log") as running:
        yield running


@pytest.mark.parametrize("asked", GOOD, ids=str)
def test_an_answer_is_that_of_our_own_server_byte_for_byte(
    toolkit: Server, own: Server, asked: Asked
) -> None:
    theirs, ours = asked.of(toolkit), asked.of(own)
    assert (theirs.status, theirs.body) == (200, ours.body)
    assert theirs.headers["content-type"] == ours.headers["content-type"]


@pytest.mark.parametrize("asked", BAD, ids=str)
def test_a_mistake_has_the_status_and_the_first_line_of_our_own_server(
    toolkit: Server, own: Server, asked: Asked
) -> None:
    theirs, ours = asked.of(toolkit), asked.of(own)
    assert 400 <= ours.status < 500
    assert (theirs.status, theirs.body.splitlines()[0]) == (ours.status, ours.body)


def test_an_error_has_the_request_id_that_the_server_gives_where_the_caller_gave_none(
    toolkit: Server,
) -> None:
    reply = toolkit.invoke(b"{")
    assert reply.headers["x-request-id"].encode() in reply.body.splitlines()[0]


def test_python_may_write_its_files_beside_the_code(bundle: Path, toolkit: Server) -> None:
    assert toolkit.request("GET", "/ping").status == 200
    assert list(bundle.glob("code/inference/__pycache__/*.pyc"))


def test_a_bundle_that_cannot_be_trusted_answers_nothing_and_says_why(
    bundle: Path, tmp_path: Path
) -> None:
    spoilt = with_files(bundle, tmp_path / "spoilt", {"golden.json": b"{}"})
    with mms.serve(spoilt, tmp_path / "log") as server:
        reply = server.invoke(bundles.ROW)
    assert reply.status == 500
    assert b"golden.json" in reply.body.splitlines()[0]


def test_importing_the_package_loads_neither_the_toolkit_nor_the_model_runtime() -> None:
    program = "import sys, inference; print(sorted(set(sys.modules) & {*sys.argv[1:]}))"
    heavy = ["numpy", "onnxruntime", "sagemaker_inference", "inference.handler"]
    done = subprocess.run(
        [sys.executable, "-c", program, *heavy],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert done.stdout.strip() == "[]"
