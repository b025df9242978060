"""The wheels of an isolated job: the right ones, once, or a reason."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra.package import ROOT, write_archive
from infra.wheels import LOCK, vendored
from shared.errors import DeploymentError

# TensorFlow cannot be without it, and every version of the image's will do.
IN_THE_IMAGE = {"numpy"}
LINUX = {"sys_platform": "linux", "platform_machine": "x86_64", "python_version": "3.12"}
LONG = "onnxruntime-1.32.0-cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64" + 40 * "x"


def pinned(file: Path) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)==([\w.]+)", file.read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


class Pip:
    """Fetches wheels of a few bytes, or fails."""

    def __init__(self, *names: str, code: int = 0) -> None:
        self.calls: list[list[str]] = []
        self._names, self._code = names, code

    def __call__(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        self.calls.append(list(words))
        place = Path(words[words.index("--dest") + 1])
        place.mkdir()
        for name in self._names:
            (place / f"{name}.whl").write_bytes(name.encode())
        return subprocess.CompletedProcess([], self._code, "", "no matching distribution")


def test_the_lock_has_all_that_the_requirements_need_in_the_versions_of_our_image() -> None:
    lock, image = pinned(LOCK), pinned(ROOT / "requirements/training.txt")
    assert lock == {name: image[name] for name in lock}
    assert pinned(ROOT / "training/requirements.txt").items() <= lock.items()
    for name in lock:
        for text in metadata.requires(name) or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({**LINUX, "extra": ""}):
                assert canonicalize_name(needed.name) in lock.keys() | IN_THE_IMAGE, (name, text)


def test_pip_is_told_to_look_nowhere_else(tmp_path: Path) -> None:
    files = vendored(b"onnx==1\n", tmp_path, Pip("onnx-1-py3-none-any"))
    assert files == {
        "requirements.txt": b"--no-index\n--find-links wheels\nonnx==1\n",
        "wheels/onnx-1-py3-none-any.whl": b"onnx-1-py3-none-any",
    }


def test_wheels_are_fetched_for_the_image_s_python_by_locked_hashes_and_once(
    tmp_path: Path,
) -> None:
    pip = Pip("a")
    assert vendored(b"", tmp_path, pip) == vendored(b"", tmp_path, pip)
    (words,) = pip.calls
    assert "--require-hashes" in words
    assert words[words.index("--python-version") + 1] == "3.12"
    assert words[words.index("--only-binary") + 1] == ":all:"


def test_wheels_that_cannot_be_fetched_are_a_reason_and_nothing_half_done_is_kept(
    tmp_path: Path,
) -> None:
    with pytest.raises(DeploymentError, match="no matching distribution"):
        vendored(b"", tmp_path, Pip("a", code=1))
    assert list(tmp_path.iterdir()) == []


def test_a_wheel_s_long_name_fits_into_the_archive(tmp_path: Path) -> None:
    files = vendored(b"", tmp_path / "cache", Pip(LONG))
    one = write_archive(files, tmp_path / "one.tar.gz").read_bytes()
    assert one == write_archive(files, tmp_path / "two.tar.gz").read_bytes()


@pytest.mark.slow
def test_aws_s_own_toolkit_unpacks_the_archive_from_a_channel(tmp_path: Path) -> None:
    from sagemaker_training import files

    sent = {"train.py": b"code", **vendored(b"onnx==1\n", tmp_path / "cache", Pip(LONG))}
    archive = write_archive(sent, tmp_path / "code/sourcedir.tar.gz")
    files.download_and_extract(str(archive), str(tmp_path / "unpacked"))
    found = {
        str(path.relative_to(tmp_path / "unpacked")): path.read_bytes()
        for path in (tmp_path / "unpacked").rglob("*")
        if path.is_file()
    }
    assert found == sent
