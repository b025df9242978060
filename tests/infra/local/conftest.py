"""One local cloud for all tests of this folder that do not start or end daemons themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import local
from tests.support.local_cloud import Bench


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A cloud that gives programs one second to stop and servers three to start."""
    root: Path = tmp_path_factory.mktemp("cloud")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LOCAL_CLOUD_PORT", raising=False)
        patch.setenv("LOCAL_CLOUD_STOP_GRACE", "1")
        patch.setenv("LOCAL_CLOUD_STARTUP_TIMEOUT", "3")
        patch.setenv("LOCAL_CLOUD_SERVERLESS_IDLE", "2")
        patch.setenv("LOCAL_CLOUD_SCALING_PERIOD", "1")
        cloud = local.ensure(root)
    try:
        yield Bench(cloud, tmp_path_factory.mktemp("trees"))
    finally:
        local.stop(root)
