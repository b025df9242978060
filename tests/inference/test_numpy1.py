"""A bundle made under one numpy is served under the other: AWS's serving image has 1.26."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from inference import handler
from tests.support import bundles, requests
from tests.support.serving import ROOT

NUMPY1 = ROOT / ".venv-numpy1" / "bin" / "python"
"""Made by `make test`, where numpy 1.26 has a wheel."""

PROGRAM = """
import sys
import numpy
from inference import codecs, handler
assert numpy.__version__.startswith("1.26.")
answer = handler.predict_fn(handler.input_fn(sys.stdin.buffer.read(), sys.argv[2]),
                            handler.model_fn(sys.argv[1]))
handler.output_fn(answer, sys.argv[2])
sys.stdout.buffer.write(handler.output_fn(answer, codecs.JSON)[0])
"""


@pytest.mark.slow
@pytest.mark.skipif(not NUMPY1.exists(), reason="there is no environment with numpy 1.26")
@pytest.mark.parametrize("form", ["JSON, instances", "CSV, quoted", "NPY", "NPZ, compressed"])
def test_golden_rows_replay_and_answers_agree_under_numpy_1_26(tmp_path: Path, form: str) -> None:
    bundle = bundles.build(tmp_path / "bundle")
    content_type, body = requests.bodies(bundles.rows(100), bundles.COLUMNS)[form]
    ours = handler.predict_fn(handler.input_fn(body, content_type), handler.model_fn(bundle))
    done = subprocess.run(
        [NUMPY1, "-c", PROGRAM, bundle, content_type],
        input=body,
        capture_output=True,
        cwd=ROOT,
        check=True,
    )
    expected = [one["score"] for one in ours.predictions.to_records()]
    found = [one["score"] for one in json.loads(done.stdout)["predictions"]]
    assert found == pytest.approx(expected, abs=1e-5)
