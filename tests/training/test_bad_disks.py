"""A whole job on a disk that fills up, and beside the checkpoints of another job."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shared import bundle
from tests.support import jobs
from tests.training.test_train import failure, run, weights

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tensorflow")]


def fill(patch: pytest.MonkeyPatch, full: Callable[[str], bool]) -> None:
    """From now on there is no space for files whose path `full` answers True for."""
    real = os.fsync

    def sync(file: int) -> None:
        if full(os.readlink(f"/proc/self/fd/{file}")):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file)

    patch.setattr(os, "fsync", sync)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = jobs.tree(tmp_path_factory.mktemp("whole"))
    assert run(base) == 0
    return base


def test_no_space_for_later_checkpoints_is_one_warning_and_the_same_model(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = jobs.tree(tmp_path)
    first = "checkpoints/*-fit-*/epoch-0001-*.json"
    fill(monkeypatch, lambda path: "/checkpoints" in path and any(base.glob(first)))
    assert run(base) == 0
    warnings = [line for line in capsys.readouterr().out.splitlines() if "the disk is full" in line]
    assert len(warnings) == 1
    assert "Training goes on" in warnings[0]
    assert weights(base) == weights(whole)


def test_no_space_for_any_checkpoint_ends_the_job_before_it_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = jobs.tree(tmp_path)
    fill(monkeypatch, lambda path: "/checkpoints" in path)
    assert run(base) == 1
    assert "could not be written: the disk is full. Free some space" in failure(base)
    assert "epoch=1" not in capsys.readouterr().out


def test_no_space_for_the_bundle_is_an_error_and_the_next_run_trains_nothing_again(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = jobs.tree(tmp_path)
    with monkeypatch.context() as patch:
        fill(patch, lambda path: "/model/" in path)
        assert run(base) == 1
    assert "the disk is full. Free some space" in failure(base)
    assert not (base / "model" / bundle.MANIFEST).exists()
    capsys.readouterr()
    assert run(base) == 0
    assert "going on after epoch 3" in capsys.readouterr().out
    assert weights(base) == weights(whole)


def test_a_changed_setting_is_told_before_the_job_begins_afresh(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = jobs.tree(tmp_path / "first")
    second = jobs.tree(tmp_path / "second", hyperparameters={**jobs.QUICK, "dropout": 0.5})
    assert run(first) == 0
    (first / "checkpoints").rename(second / "checkpoints")
    capsys.readouterr()
    assert run(second) == 0
    lines = capsys.readouterr().out.splitlines()
    told = [line for line in lines if "other job" in line]
    assert len(told) == 1
    assert "hyperparameters.dropout was 'auto' and is 0.5. They are not used" in told[0]
    assert any(line.startswith("[metric] epoch=1 ") for line in lines)
