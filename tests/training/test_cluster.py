"""Several instances, one model: real processes on this machine, one a host."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.hyperparameters import Choice
from shared.problem import Tuning
from tests.support import jobs
from training import train

pytestmark = pytest.mark.slow
PATIENCE = 240
"""Seconds after which a host is given up; none takes a fifth of it."""
SETTINGS = {**jobs.QUICK, "dropout": 0.0, "l2": 1e-3, "batch_size": 33, "epochs": 4}


def cluster_of(base: Path, count: int) -> list[Path]:
    """The trees of the hosts of one job; all have the same data and the same order of hosts."""
    hosts = [f"algo-{number}" for number in range(1, count + 1)]
    trees = [jobs.tree(base / host, hyperparameters=SETTINGS) for host in hosts]
    for host, tree in zip(hosts, trees, strict=True):
        told = json.dumps({"current_host": host, "hosts": hosts})
        (tree / "input/config/resourceconfig.json").write_text(told)
    return trees


def run(trees: list[Path]) -> list[str]:
    """Start every host and wait for all; what each printed."""
    with_ports = [socket.create_server(("127.0.0.1", 0)) for _ in trees]
    ports = [each.getsockname()[1] for each in with_ports]
    for each in with_ports:
        each.close()
    addresses = {f"algo-{n}": f"127.0.0.1:{port}" for n, port in enumerate(ports, start=1)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "training.train", "--base", str(tree)],
            cwd=jobs.ROOT,
            env={**os.environ, "HOST_ADDRESSES": json.dumps(addresses)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for tree in trees
    ]
    try:
        printed = [process.communicate(timeout=PATIENCE)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, text in zip(processes, printed, strict=True):
        assert process.returncode == 0, text
    return printed


def losses(printed: str) -> list[float]:
    """The training and validation losses of every epoch."""
    found = re.findall(r"epoch=\d+ train_loss=(\S+) val_loss=(\S+)", printed)
    return [float(number) for epoch in found for number in epoch]


@dataclass(frozen=True)
class Pair:
    """A job of two hosts that has ended: their trees, and what they printed."""

    trees: list[Path]
    printed: list[str]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    trees = cluster_of(tmp_path_factory.mktemp("pair"), 2)
    return Pair(trees, run(trees))


def test_two_hosts_have_the_epoch_losses_of_one_and_only_the_first_one_writes(
    pair: Pair, tmp_path: Path
) -> None:
    (one,) = run(cluster_of(tmp_path, 1))
    (first, second), (leader, follower) = pair.trees, pair.printed
    assert losses(leader) == pytest.approx(losses(one), abs=1e-3)
    assert len(losses(leader)) == 2 * SETTINGS["epochs"]  # type: ignore[operator]
    assert (first / "model/manifest.json").exists()
    assert "[metric]" not in follower
    for folder in ("model", "output", "checkpoints"):
        assert not [*(second / folder).rglob("*.*")]


def test_hosts_with_checkpoints_of_different_epochs_go_on_from_the_one_that_all_have(
    pair: Pair, tmp_path: Path
) -> None:
    first, second = trees = [tmp_path / tree.name for tree in pair.trees]
    for ended, tree in zip(pair.trees, trees, strict=True):
        shutil.copytree(ended, tree)
    kept = first / "checkpoints"
    for file in sorted(kept.rglob("*.*")):
        late = "epoch-0004" in file.name
        copy = second / "checkpoints" / file.relative_to(kept)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not late:
            copy.write_bytes(file.read_bytes())
    again, _ = run(trees)
    assert "going on after epoch 3" in again
    assert losses(again) == losses(pair.printed[0])[-2:]


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        (
            {"tuning": Tuning(trials=2, space={"dropout": Choice((0.0, 0.2))})},
            jobs.QUICK,
            "a search inside the job runs on one instance, not on 2",
        ),
        ({}, {**jobs.QUICK, "batch_norm": True}, "batch_norm works on one instance only"),
    ],
)
def test_what_hosts_cannot_do_together_is_refused_before_anything_is_read(
    tmp_path: Path,
    changes: Mapping[str, Tuning],
    settings: Mapping[str, object],
    message: str,
) -> None:
    tree = jobs.tree(tmp_path, project=jobs.problem(**changes), hyperparameters=settings)
    told = json.dumps({"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]})
    (tree / "input/config/resourceconfig.json").write_text(told)
    with pytest.raises(SystemExit):
        train.main(["--base", str(tree)])
    failure = (tree / "output/failure").read_text()
    assert message in failure
    assert "training.instance_count" in failure
