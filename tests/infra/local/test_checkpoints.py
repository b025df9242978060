from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from infra.local.buckets import Buckets, Location, MissingError
from infra.local.checkpoints import CheckpointSync
from tests.support.local_cloud import until


class Refusing:
    """Buckets whose first upload fails."""

    def __init__(self) -> None:
        self.uploads: list[str] = []

    def list(self, prefix: Location) -> list[str]:
        return []

    def upload(self, source: Path, target: Location) -> None:
        self.uploads.append(target.key)
        if len(self.uploads) == 1:
            raise RuntimeError("the file changed while it was read")


def test_an_upload_that_fails_is_tried_again_while_the_program_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.local.checkpoints.INTERVAL", 0.01)
    buckets: Any = Refusing()
    sync = CheckpointSync(buckets, Location("bucket", "prefix"), tmp_path)
    sync.start()
    (tmp_path / "epoch-1").write_text("weights")
    until(lambda: len(buckets.uploads) > 1, bool)
    sync.close()
    assert buckets.uploads == ["prefix/epoch-1", "prefix/epoch-1"]


class Lost:
    """Buckets whose first upload is when the instance goes."""

    def __init__(self) -> None:
        self.uploads: list[str] = []
        self.closer: threading.Thread | None = None
        self.sync: CheckpointSync | None = None

    def list(self, prefix: Location) -> list[str]:
        return []

    def upload(self, source: Path, target: Location) -> None:
        assert self.sync is not None
        self.uploads.append(target.key)
        self.closer = threading.Thread(target=self.sync.close)
        self.closer.start()
        self.sync._stop.wait()


def test_an_instance_may_go_between_two_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.local.checkpoints.INTERVAL", 0.01)
    buckets: Any = Lost()
    buckets.sync = sync = CheckpointSync(buckets, Location("bucket", "prefix"), tmp_path)
    sync.start()
    for name in ("weights", "manifest"):
        (tmp_path / f"{name}.new").write_text(name)
    for name in ("weights", "manifest"):
        (tmp_path / f"{name}.new").rename(tmp_path / name)
    until(lambda: buckets.closer, bool)
    buckets.closer.join()
    assert len(buckets.uploads) == 1


class Vanishing(Buckets):
    """Two objects of which the first is deleted as soon as it is listed."""

    def __init__(self) -> None:
        super().__init__(None)

    def list(self, prefix: Location) -> Any:
        return iter(["c/epoch-1", "c/epoch-2"])

    def download(self, source: Location, target: Path) -> None:
        if source.key == "c/epoch-1":
            raise MissingError("404")
        target.write_text("weights")


def test_a_checkpoint_that_another_job_deletes_meanwhile_is_left_out(tmp_path: Path) -> None:
    sync = CheckpointSync(Vanishing(), Location("bucket", "c"), tmp_path)
    sync.start()
    sync.close()
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-2"]
    with pytest.raises(MissingError):
        Vanishing().download_prefix(Location("bucket", "c"), tmp_path)
