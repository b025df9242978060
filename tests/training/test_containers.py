"""What a bundle holds for containers other than our own."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from shared.errors import TrainingError
from training import containers


def test_our_own_image_wants_nothing_of_the_bundle() -> None:
    assert containers.files_for("own") == {}


@pytest.mark.parametrize("container", ["toolkit", "tensorflow-serving"])
def test_other_containers_get_both_packages_and_nothing_compiled(container: str) -> None:
    found = containers.files_for(container)  # type: ignore[arg-type]
    assert {"code/inference.py", "code/inference/handler.py", "code/shared/schema.py"} <= set(found)
    assert not any("__pycache__" in name for name in found)


def test_for_tensorflow_serving_the_library_that_its_image_lacks_comes_along(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = containers.files_for("tensorflow-serving")
    assert any(name.endswith(".so") and "code/lib/orjson/" in name for name in found)
    monkeypatch.setattr(containers, "TENSORFLOW_SERVING_PYTHON", (2, 7))
    capsys.readouterr()
    containers.files_for("tensorflow-serving")
    assert "AWS's TensorFlow Serving image has 2.7" in capsys.readouterr().out


def test_a_job_that_lacks_the_library_too_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(containers.metadata, "files", missing)
    with pytest.raises(TrainingError, match="orjson"):
        containers.files_for("tensorflow-serving")


def test_a_job_without_the_code_that_serves_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containers, "ROOT", tmp_path)
    with pytest.raises(TrainingError, match="the code that serves is not here"):
        containers.files_for("toolkit")
