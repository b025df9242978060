"""A whole job on data that does not fit into memory, stopped and started again."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from shared import bundle
from tests.support import jobs
from training import environment, train

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tensorflow")]


def run(base: Path, memory: int = 0) -> None:
    job = environment.read(["--base", str(base)], {})
    train.train(dataclasses.replace(job, memory=memory))


def weights(base: Path) -> list[bytes]:
    with np.load(base / "model/weights.npz", allow_pickle=False) as arrays:
        return [arrays[name].tobytes() for name in arrays.files]


def test_a_streamed_job_killed_and_started_again_ends_with_equal_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from training.fit import Trainer

    whole, killed = (jobs.tree(tmp_path / name) for name in ("whole", "killed"))
    run(whole)
    lines = capsys.readouterr().out.splitlines()
    assert any("streamed from disk" in line for line in lines)
    learn = Trainer.learn

    def killed_in_the_third_epoch(self: Trainer) -> float:
        rate = learn(self)
        if self.epochs == 2:
            raise KeyboardInterrupt
        return rate

    monkeypatch.setattr(Trainer, "learn", killed_in_the_third_epoch)
    with pytest.raises(KeyboardInterrupt):
        run(killed)
    monkeypatch.setattr(Trainer, "learn", learn)
    run(killed)
    assert "going on after epoch 2" in capsys.readouterr().out
    assert weights(killed) == weights(whole)
    result = json.loads(lines[-1].removeprefix("[result] "))
    assert result["test"]["auc"] > 0.7
    assert bundle.load(whole / "model").manifest.digest == result["bundle"]
