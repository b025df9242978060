"""Checkpoints kept in S3 directly: as in a folder, and on bad days of S3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import numpy as np
import pytest

from shared import storage
from shared.errors import CheckpointError, StorageError
from tests.support import s3
from tests.support.s3 import DENIED, SLOW_DOWN, Day
from training.checkpoints import Checkpoint, Checkpoints

LOCATION = "s3://bucket/checkpoints"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3.server() as address:
        yield address


@pytest.fixture(autouse=True)
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.begin(server, monkeypatch)


class Kept:
    """A job's checkpoints in S3, and the warnings that they gave."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.warnings: list[str] = []
        self._patch = monkeypatch
        self.of = Checkpoints(LOCATION, "job", self.warnings.append)

    def on(self, fault: Any, times: int, only: str | None = None) -> Day:
        """From now on S3 has such a day."""
        day = Day(fault, times, only)
        self._patch.setattr(self.of, "_s3", day.client)
        return day

    def save(self, epoch: int) -> None:
        arrays = {"weights": np.full(3, epoch, dtype=np.float32)}
        self.of.save(Checkpoint(epoch, arrays, {}), best_epoch=1, val_loss=0.5)

    def epoch(self) -> int | None:
        found = Checkpoints(LOCATION, "job", self.warnings.append).latest()
        return found.epoch if found else None


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    return Kept(monkeypatch)


def test_the_last_two_and_the_best_are_kept_under_their_names(kept: Kept) -> None:
    for epoch in (1, 2, 3, 4):
        kept.save(epoch)
    names = [place.removeprefix(f"{LOCATION}/job/") for place in storage.list_files(LOCATION)]
    assert names == [
        f"epoch-{epoch:04d}-val_loss-0.5.{suffix}"
        for epoch in (1, 3, 4)
        for suffix in ("json", "npz")
    ]
    assert kept.epoch() == 4


@pytest.mark.parametrize("damage", [b"", b"torn", None])
@pytest.mark.parametrize("suffix", ["npz", "json"])
def test_a_damaged_or_missing_object_falls_back_to_the_one_before(
    kept: Kept, damage: bytes | None, suffix: str
) -> None:
    for epoch in (1, 2):
        kept.save(epoch)
    place = {"Bucket": "bucket", "Key": f"checkpoints/job/epoch-0002-val_loss-0.5.{suffix}"}
    if damage is None:
        boto3.client("s3").delete_object(**place)
    else:
        boto3.client("s3").put_object(**place, Body=damage)
    assert kept.epoch() == 1


def test_throttling_that_passes_is_not_noticed(kept: Kept) -> None:
    kept.on(SLOW_DOWN, 3)
    for epoch in (1, 2, 3):
        kept.save(epoch)
    assert kept.epoch() == 3
    assert not kept.warnings


@pytest.mark.parametrize("fault", [SLOW_DOWN, DENIED])
def test_when_nothing_can_be_written_the_job_ends_with_the_reason(kept: Kept, fault: Any) -> None:
    kept.on(fault, 10_000, only="PutObject")
    with pytest.raises(CheckpointError, match=r"epoch 1 could not be written: (S3 ref|access den)"):
        kept.save(1)


@pytest.mark.parametrize("fault", [SLOW_DOWN, DENIED])
def test_an_outage_later_is_one_warning_and_ends_with_a_good_checkpoint(
    kept: Kept, fault: Any
) -> None:
    kept.save(1)
    kept.on(fault, 10_000, only="PutObject")
    for epoch in (2, 3):
        kept.save(epoch)
    assert len(kept.warnings) == 1
    assert "Training goes on" in kept.warnings[0]
    assert kept.epoch() == 1
    kept.on(fault, 0)
    kept.save(4)
    assert kept.epoch() == 4


def test_a_manifest_is_never_there_without_its_arrays(kept: Kept) -> None:
    kept.save(1)
    day = kept.on(SLOW_DOWN, 0)
    written: list[str] = []
    day.client.meta.events.register(
        "before-parameter-build.s3.PutObject", lambda params, **_: written.append(params["Key"])
    )
    kept.save(2)
    assert [key.rsplit(".", 1)[-1] for key in written] == ["npz", "json"]


@pytest.mark.parametrize("only", ["ListObjectsV2", "GetObject"])
@pytest.mark.parametrize("fault", [SLOW_DOWN, DENIED])
def test_what_cannot_be_read_now_is_not_begun_afresh(kept: Kept, only: str, fault: Any) -> None:
    kept.save(1)
    kept.on(fault, 10_000, only)
    with pytest.raises(StorageError, match=r"SlowDown|access denied"):
        kept.of.latest()


def test_old_checkpoints_that_may_not_be_deleted_are_one_warning(kept: Kept) -> None:
    kept.on(DENIED, 10_000, only="DeleteObject")
    for epoch in (1, 2, 3, 4, 5):
        kept.save(epoch)
    assert kept.epoch() == 5
    assert len(kept.warnings) == 1
    assert "Old checkpoints cannot be deleted" in kept.warnings[0]
    assert "s3:DeleteObject" in kept.warnings[0]
