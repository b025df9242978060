"""Status tells what somebody else changed from what the project asks for anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.commands.status import Standing
from infra.drift import gone, needed, of_endpoint, split
from infra.record import Record, RecordStore
from infra.resources import Desired
from tests.support import projects
from tests.support.deployments import deploy, planned, wanted
from tests.support.fake_cloud import FakeCloud

CANARY = projects.TOML + '[endpoint]\nrollout = { kind = "canary" }\n'


@pytest.fixture
def want(tmp_path: Path) -> Desired:
    return wanted(tmp_path / "second", serving="6" * 64, toml=CANARY)


@pytest.fixture
def cloud(want: Desired, tmp_path: Path) -> FakeCloud:
    """A second version that was rolled out under alarms."""
    cloud = FakeCloud()
    deploy(cloud, wanted(tmp_path / "first"), tmp_path / "build")
    deploy(cloud, want, tmp_path / "build")
    return cloud


def recorded(cloud: FakeCloud, want: Desired) -> Record:
    return RecordStore(cloud, want.bucket.name, "small").load()


def drift(cloud: FakeCloud, want: Desired) -> list[str]:
    """What status would call drift, in words."""
    record = recorded(cloud, want)
    seen = cloud.endpoints.get("small")
    endpoint = {"EndpointName": "small", **seen} if seen else None
    assert record.live is not None
    found = gone(cloud, record, needed(record, record.live.config))
    found += of_endpoint(record, endpoint)
    found += split(planned(cloud, want), record)[0]
    return [one.words for one in dict.fromkeys(found)]


def test_what_is_as_it_was_made_has_not_drifted(cloud: FakeCloud, want: Desired) -> None:
    assert drift(cloud, want) == []
    assert split(planned(cloud, want), recorded(cloud, want)) == ([], [])


def test_a_model_that_is_missing_is_drift(cloud: FakeCloud, want: Desired) -> None:
    del cloud.models[want.serving(1).model.name]
    assert drift(cloud, want) == [f"model {want.serving(1).model.name}: recorded but gone"]


def test_an_alarm_that_is_missing_is_drift(cloud: FakeCloud, want: Desired) -> None:
    name = sorted(cloud.alarms)[0]
    del cloud.alarms[name]
    assert drift(cloud, want) == [f"alarm {name}: recorded but gone"]


def test_an_endpoint_that_was_moved_to_another_config_is_drift(
    cloud: FakeCloud, want: Desired
) -> None:
    other = f"small-{'0' * 12}"
    cloud.endpoints["small"]["EndpointConfigName"] = other
    (told,) = drift(cloud, want)
    assert f"runs on {other}, and the last release was {want.serving(1).config.name}" in told


def test_an_endpoint_that_is_gone_is_told_once(cloud: FakeCloud, want: Desired) -> None:
    cloud.endpoints.clear()
    assert drift(cloud, want) == ["endpoint small: recorded but gone"]


def test_a_changed_policy_of_the_role_is_drift(cloud: FakeCloud, want: Desired) -> None:
    cloud.roles[want.role.name][want.role.POLICY_NAME] = '{"Statement": []}'
    (told,) = drift(cloud, want)
    assert told == f"role policy {want.role.name}: differs from what the project needs"


def test_fewer_instances_than_are_asked_for_is_drift(cloud: FakeCloud, want: Desired) -> None:
    cloud.endpoints["small"]["ProductionVariants"] = [
        {"VariantName": "AllTraffic", "CurrentInstanceCount": 1, "DesiredInstanceCount": 3}
    ]
    assert drift(cloud, want) == ["endpoint small: has 1 of 3 instances"]


def test_new_code_is_pending_and_no_drift(cloud: FakeCloud, want: Desired, tmp_path: Path) -> None:
    changed = wanted(tmp_path / "third", serving="7" * 64, toml=CANARY)
    found, pending = split(planned(cloud, changed), recorded(cloud, want))
    assert found == []
    assert "update endpoint small" in pending
    assert f"create model {changed.serving(1).model.name}" in pending


def test_as_json_it_tells_endpoint_releases_lock_and_drift(cloud: FakeCloud, want: Desired) -> None:
    endpoint = {"EndpointName": "small", **cloud.endpoints["small"]}
    standing = Standing(recorded(cloud, want), endpoint=endpoint, pending=[])
    told = standing.to_json()
    assert told["endpoint"]["config"] == want.serving(1).config.name
    assert [release["number"] for release in told["releases"]] == [1, 2]
    assert (told["lock"], told["drift"], told["pending"]) == (None, [], [])
