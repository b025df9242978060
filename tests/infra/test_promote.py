"""What promote plans: what it does, and nothing of what else the project would have."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from infra import project
from infra.commands.promote import Promotion
from infra.observe import Observed, ObservedEndpoint, ObservedJob
from infra.plan import Plan, plan
from infra.proposal import table
from infra.serving import Variant
from infra.steps import Step
from shared.errors import DeploymentError
from tests.support.deployments import wanted
from tests.support.fake_cloud import FakeCloud

RUNNING = "small-ba9876543210"


@pytest.fixture
def whole(tmp_path: Path) -> Plan:
    """The plan of a project whose files are not all uploaded, and of whose role nothing is left."""
    want = wanted(tmp_path)
    seen = Observed(
        bucket=True,
        jobs=(ObservedJob(want.job.name(1), "Completed", bundle=True),),
        endpoint=ObservedEndpoint("small", "InService", RUNNING),
    )
    made = plan(want, seen)
    follows = Step("after", "delete", "alarm", "old-one", "watched a version that serves no more")
    return replace(made, steps=(*made.steps, follows))


@pytest.fixture
def cloud(whole: Plan, monkeypatch: pytest.MonkeyPatch) -> FakeCloud:
    """An account in which the version that the plan is about serves beside an old one."""
    cloud = FakeCloud(local=False)
    monkeypatch.setattr("infra.prepare.prepare", lambda *about: whole)
    cloud.endpoints["small"] = {"EndpointStatus": "InService", "EndpointConfigName": RUNNING}
    variants = [
        Variant("AllTraffic", "old", "ml.m5.large"),
        Variant("Candidate", "tried", "ml.m5.large"),
    ]
    cloud.configs[RUNNING] = {"ProductionVariants": [one.request() for one in variants]}
    model = whole.serving.model
    cloud.models["tried"] = {
        "PrimaryContainer": {"ModelDataUrl": model.data, "Image": model.image},
    }
    return cloud


def promoted(directory: Path, cloud: FakeCloud) -> Plan:
    args = Namespace(project=str(directory / "project.toml"), target="aws", yes=False, version=None)
    return Promotion(args)._plan(project.load(args.project), cloud)


def test_only_the_steps_that_promote_does_are_planned_and_shown(
    tmp_path: Path, whole: Plan, cloud: FakeCloud
) -> None:
    assert {step.stage for step in whole.steps} >= {"upload", "endpoint"}
    made = promoted(tmp_path, cloud)
    assert made.steps == (*whole.of("endpoint"), *whole.of("after"))
    shown = table(made)
    assert "update" in shown
    assert "old-one" in shown
    assert "role" not in shown
    assert "keep" not in shown


def test_another_version_than_the_one_that_was_tried_is_refused(
    tmp_path: Path, cloud: FakeCloud
) -> None:
    cloud.models["tried"]["PrimaryContainer"]["ModelDataUrl"] = "s3://bucket/other/model.tar.gz"
    with pytest.raises(DeploymentError, match="another version by now"):
        promoted(tmp_path, cloud)


def test_a_local_cloud_that_is_stopped_stays_so(
    tmp_path: Path, whole: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_CLOUD_ROOT", str(tmp_path / "cloud"))
    args = Namespace(project=str(tmp_path / "project.toml"), target="local", yes=False)
    with pytest.raises(DeploymentError, match="the local cloud is not running"):
        Promotion(args)._connect(project.load(args.project))
    assert not (tmp_path / "cloud").exists()
