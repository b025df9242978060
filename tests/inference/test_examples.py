"""The examples of docs/serving.md run as they stand there, and print what stands below them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import bundles, runtime, serving
from tests.support.serving import ROOT, Server

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs/serving.md").read_text()
BLOCKS = re.findall(r"```(\w+)( fetch)?\n(.*?)```", PAGE, re.DOTALL)
ANSWERS = [text for language, _, text in BLOCKS if language in ("json", "text")]
NAMES = ("distance", "night", "carrier", "departure")
SDK = Path("@aws-sdk") / "client-sagemaker-runtime"
NODE = shutil.which("node")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    columns = [column for column in bundles.COLUMNS if column.name in NAMES]
    rows = [{name: row[name] for name in NAMES} for row in bundles.rows(500)]
    folder = tmp_path_factory.mktemp("examples")
    bundle = bundles.build(folder / "bundle", columns=columns, training_rows=rows, source=False)
    with serving.serve(bundle, folder / "stderr") as running:
        yield running


@pytest.fixture(scope="module")
def folder(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the Python examples have run: they write the files that the others send."""
    place = tmp_path_factory.mktemp("run")
    (place / "python.out").write_text(run(server, place, [sys.executable, "-"], code("python")))
    return place


def code(language: str, fetch: bool = False) -> str:
    """All examples in a language, with one of its beginnings."""
    blocks = [(mark, text) for name, mark, text in BLOCKS if name == language]
    beginnings = [text for mark, text in blocks if bool(mark) == fetch]
    return "\n".join([beginnings[0], *(text for mark, text in blocks[1:] if not mark and text)])


def run(server: Server, place: Path, command: list[str], program: str) -> str:
    program = program.replace("localhost:8080", f"127.0.0.1:{server.port}")
    with runtime.runtime(server) as address:
        environment = {
            **os.environ,
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": address,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_REGION": "eu-west-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        done = subprocess.run(
            command,
            input=program,
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout


def same(text: str) -> str:
    """A text without what differs between two bundles of one model, or two processors."""
    text = re.sub(r'"[0-9a-f]{12}"', '"version"', text)
    text = re.sub(r'"request_id": ?"[^"]*"', '"request_id":"…"', text)
    text = re.sub(r"\d+\.\d+", lambda number: f"{float(number[0]):.3f}", text)
    return re.sub(r"\s+", "", text)


def assert_told(output: str, answers: list[str]) -> None:
    for answer in answers:
        assert same(answer) in same(output), f"{answer}\n\nis not in\n\n{output}"


def test_boto3(folder: Path) -> None:
    assert_told((folder / "python.out").read_text(), ANSWERS)


def test_curl(server: Server, folder: Path) -> None:
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    output = run(server, folder, ["bash", "-e"], code("bash"))
    assert_told(output, [answer for answer in ANSWERS if "[" not in answer or "{" in answer])
    assert output.count('"model_version"') == 1 + 2 + 2 + 3


@pytest.mark.parametrize("fetch", [False, True], ids=["AWS SDK", "fetch"])
def test_javascript(server: Server, folder: Path, fetch: bool) -> None:
    if not NODE:
        pytest.skip("node is not installed")
    modules = ROOT / "node_modules"
    if not fetch and not (modules / SDK).exists():
        pytest.skip(f"the AWS SDK is not installed: npm install --no-save {SDK}")
    if not fetch:
        (folder / "node_modules").symlink_to(modules)
    (folder / "ask.mjs").write_text(code("javascript", fetch))
    program = (folder / "ask.mjs").read_text().replace("localhost:8080", f"127.0.0.1:{server.port}")
    (folder / "ask.mjs").write_text(program)
    output = run(server, folder, [NODE, "ask.mjs"], "")
    told = [answer for answer in ANSWERS if ("[" not in answer or "{" in answer)]
    assert_told(output, [answer for answer in told if '"error"' not in answer])
    assert output.count('"model_version"') == 1 + 2 + 2 + 3
