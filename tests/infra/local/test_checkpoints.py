from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.local.buckets import Location
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
