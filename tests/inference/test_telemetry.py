"""Nothing is reported to anybody: what serves keeps no device id and no queue of events."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import bundles, serving

pytestmark = pytest.mark.slow


def test_onnx_runtime_leaves_no_identifier_behind(tmp_path: Path) -> None:
    bundle = bundles.build(tmp_path / "bundle")
    home = tmp_path / "home"
    home.mkdir()
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    }
    program = f"from inference import handler; print(handler.model_fn({str(bundle)!r}).version)"
    subprocess.run(
        [sys.executable, "-c", program],
        cwd=serving.ROOT,
        env={**kept, "HOME": str(home), "TMPDIR": str(home)},
        check=True,
    )
    assert list(home.rglob("*")) == []
