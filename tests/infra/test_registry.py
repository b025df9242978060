"""The registry: every model that may serve is a version, and serves only when it may."""

from __future__ import annotations

import argparse
import io
import json
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from botocore.validate import validate_parameters

from infra import project
from infra.apply import CloudExecutor, apply
from infra.commands import approve
from infra.drift import split
from infra.observe import observe
from infra.plan import Plan, plan
from infra.prepare import prepare
from infra.progress import Lines
from infra.proposal import rejected
from infra.record import Record, RecordStore
from infra.registry import Chosen, chosen, publish_metrics, versions
from infra.registry import approve as approving
from infra.releases import note
from infra.resources import Desired, Retrained
from shared.errors import DeploymentError
from tests.support import projects
from tests.support.deployments import deploy, planned, registered, wanted
from tests.support.fake_cloud import FakeCloud
from tests.support.local_cloud import archive

ASKING = projects.TOML + "[deploy]\nrequire_approval = true\n"
ENDPOINT = ("model", "endpoint config", "endpoint")


@pytest.fixture
def cloud() -> FakeCloud:
    return FakeCloud()


@pytest.fixture
def want(tmp_path: Path) -> Desired:
    return wanted(tmp_path / "project")


@pytest.fixture
def asking(tmp_path: Path) -> Desired:
    return wanted(tmp_path / "project", toml=ASKING)


def store(cloud: FakeCloud, want: Desired) -> RecordStore:
    return RecordStore(cloud, want.bucket.name, want.project)


def test_its_requests_are_ones_that_sagemaker_takes(want: Desired) -> None:
    package = want.package(want.serving(1), want.job.name(1))
    package = replace(package, lineage=(("a", "é%" + "x" * 300),))
    client = boto3.client(
        "sagemaker", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    for operation, request in (
        ("CreateModelPackageGroup", package.group_request()),
        ("CreateModelPackage", package.request()),
    ):
        shape = client.meta.service_model.operation_model(operation).input_shape
        validate_parameters(request, shape)
    assert (
        max(len(value) for value in package.request()["CustomerMetadataProperties"].values()) <= 256
    )


def test_a_deployment_registers_what_it_trained_with_scores_and_where_it_comes_from(
    cloud: FakeCloud, want: Desired, tmp_path: Path
) -> None:
    output = f"small/jobs/{want.job.name(1)}/output/output.tar.gz"
    cloud.objects[output] = archive({"metrics.json": '{"binary_classification_metrics": {}}'})
    deploy(cloud, want, tmp_path / "build")
    (made,) = cloud.packages["small"]
    assert made["ModelApprovalStatus"] == "Approved"
    assert made["CustomerMetadataProperties"].keys() >= {"data", "code", "problem", "job"}
    statistics = made["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]
    key = statistics.partition(f"{want.bucket.name}/")[2]
    assert json.loads(cloud.objects[key]) == {"binary_classification_metrics": {}}
    entries = store(cloud, want).load()
    assert entries.of("model package") == (made["ModelPackageArn"],)


@pytest.mark.parametrize(
    "content",
    [None, b"damaged", archive({"report.html": ""})],
    ids=["nothing", "damaged", "no scores"],  # an archive's bytes hold the time
)
def test_a_job_that_left_no_scores_is_registered_without(
    cloud: FakeCloud, want: Desired, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        cloud.objects[f"small/jobs/{want.job.name(1)}/output/output.tar.gz"] = content
    deploy(cloud, want, tmp_path / "build")
    (made,) = cloud.packages["small"]
    assert "ModelMetrics" not in made


def test_scores_that_s3_refuses_are_not_passed_over(cloud: FakeCloud) -> None:
    cloud.objects["a/output.tar.gz"] = archive({"metrics.json": "{}"})
    cloud.fail_at = 0
    with pytest.raises(Exception, match="not allowed"):
        publish_metrics(cloud, "s3://bucket/a/output.tar.gz", "bucket", "b")


def test_the_same_model_on_other_instances_is_the_same_version(
    cloud: FakeCloud, want: Desired, tmp_path: Path
) -> None:
    deploy(cloud, want, tmp_path / "build")
    toml = projects.TOML + '[endpoint]\ninstance = "ml.c5.large"\n'
    other = wanted(tmp_path / "project", toml=toml)
    deploy(cloud, other, tmp_path / "build")
    assert len(cloud.packages["small"]) == 1
    deploy(cloud, wanted(tmp_path / "project", serving="6" * 64), tmp_path / "build")
    assert [one["ModelPackageVersion"] for one in cloud.packages["small"]] == [1, 2]


def test_the_release_names_its_version(cloud: FakeCloud, want: Desired, tmp_path: Path) -> None:
    first = deploy(cloud, want, tmp_path / "build")
    record = note(store(cloud, want), first, "make deploy")
    assert record.releases[-1].package == cloud.packages["small"][0]["ModelPackageArn"]
    cloud.endpoints.clear()
    again = deploy(cloud, want, tmp_path / "build")
    assert again.version
    assert again.version.arn == record.releases[-1].package


def test_where_approval_is_asked_for_a_version_is_registered_and_nothing_rolled_out(
    cloud: FakeCloud, asking: Desired, tmp_path: Path
) -> None:
    made = deploy(cloud, asking, tmp_path / "build")
    assert made.waits
    assert cloud.endpoints == cloud.models == cloud.configs == {}
    assert [one.status for one in versions(cloud, "small") or ()] == ["PendingManualApproval"]
    again = planned(cloud, asking)
    assert again.waits
    assert again.steps == ()
    assert split(again, Record("small"))[1] == ["wait for an approval (make approve)"]


def test_after_the_approval_the_same_version_is_rolled_out(
    cloud: FakeCloud,
    asking: Desired,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deploy(cloud, asking, tmp_path / "build")
    opened = argparse.Namespace(name="small", aws=None)
    monkeypatch.setattr(approve, "opened", lambda args: (opened, cloud))
    args = argparse.Namespace(project="examples/flights", target="local", version=None)
    assert approve.run(args) == 0
    assert "Version 1 of small is approved, by" in capsys.readouterr().out
    (version,) = cloud.packages["small"]
    assert version["ApprovalDescription"].startswith("by ")
    assert version["CustomerMetadataProperties"].keys() >= {"approved_by", "approved_at", "data"}
    assert approve.run(args) == 0
    assert "is approved already" in capsys.readouterr().out
    made = deploy(cloud, asking, tmp_path / "build")
    assert not made.waits
    assert [step.kind for step in made.steps] == [*ENDPOINT]
    assert "small" in cloud.endpoints


def test_a_rejected_version_is_not_rolled_out_and_refused_only_where_it_was_chosen(
    asking: Desired,
) -> None:
    cloud, (version,) = FakeCloud(), registered(asking, status="Rejected")
    seen = replace(observe(cloud, asking), versions=(version,))
    made = plan(asking, seen)
    assert made.waits
    assert made.rejected == version
    assert "endpoint" not in {step.kind for step in made.steps}
    assert rejected(made).endswith("no other is approved: nothing is rolled out.")
    serving = asking.serving(1)
    own = Chosen(version, asking.job.name(1), serving.model.data, serving.model.image)
    with pytest.raises(DeploymentError, match=r"rejected.*make approve VERSION=1"):
        plan(replace(asking, chosen=own), seen)
    anyhow = plan(replace(asking, approval=False), seen)
    assert (anyhow.waits, anyhow.rejected) == (False, None)


class Line:
    """A project that asks for approval, and deployments of one model of it after the other."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("infra.prepare.ROOT", directory)
        monkeypatch.setattr("infra.package.training_code", lambda: {"train.py": self.code})
        self.cloud, self.directory, self.code = FakeCloud(), directory, b"1"
        self.settings = project.load(projects.make(directory / "project", ASKING))

    def deploy(self, code: int | None = None) -> Plan:
        """Deploy, as of that code from now on."""
        self.code = str(code).encode() if code else self.code
        made = prepare(self.settings, self.cloud)
        shown = Lines(5, io.StringIO())
        executor = CloudExecutor(self.cloud, self.store(made), shown, self.directory)
        apply(made, executor, shown)
        if not made.waits:
            note(self.store(made), made, "make deploy")
        return made

    def store(self, made: Plan) -> RecordStore:
        return RecordStore(self.cloud, made.desired.bucket.name, "small")

    def decide(self, number: int, status: str) -> None:
        self.cloud.packages["small"][number - 1]["ModelApprovalStatus"] = status

    @property
    def serves(self) -> str:
        return str(self.cloud.endpoints["small"]["EndpointConfigName"])


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    """Version 1 serves, version 2 is the newest, and waits."""
    made = Line(tmp_path, monkeypatch)
    assert made.deploy().waits
    made.decide(1, "Approved")
    assert not made.deploy().waits
    assert made.deploy(code=2).waits
    return made


def test_where_a_later_version_is_rejected_the_approved_one_goes_on_serving(line: Line) -> None:
    before = line.serves
    line.decide(2, "Rejected")
    for _ in range(2):
        made = line.deploy()
        assert made.steps == ()
        assert made.rejected
        assert made.version
        assert (made.rejected.number, made.version.number) == (2, 1)
        assert made.serving.config.name == line.serves == before
    assert rejected(made) == (
        "The project asks for version 2, which was rejected: version 1, which is approved, serves."
    )
    assert made.to_json()["rejected_version"] == 2
    line.cloud.endpoints.clear()  # what somebody deleted comes back, as what it was
    assert line.deploy().of("endpoint")
    assert line.serves == before


def test_a_rejected_version_serves_when_it_is_approved_all_the_same(line: Line) -> None:
    before = line.serves
    line.decide(2, "Rejected")
    line.deploy()
    line.decide(2, "Approved")
    made = line.deploy()
    assert made.rejected is None
    assert line.serves == made.serving.config.name != before


def test_after_a_rejection_another_model_is_a_version_that_waits_again(line: Line) -> None:
    line.decide(2, "Rejected")
    made = line.deploy(code=3)
    assert (made.waits, made.rejected) == (True, None)
    assert [one["ModelApprovalStatus"] for one in line.cloud.packages["small"]] == [
        *("Approved", "Rejected", "PendingManualApproval")
    ]


def test_a_version_that_is_rejected_while_it_serves_gives_way_to_the_newest_approved(
    line: Line,
) -> None:
    first = line.serves
    line.decide(2, "Approved")
    line.deploy()
    line.decide(2, "Rejected")
    made = line.deploy()
    assert [(step.action, step.kind) for step in made.steps] == [("update", "endpoint")]
    assert line.serves == first


def test_where_no_version_is_approved_any_more_nothing_is_changed(line: Line) -> None:
    before = line.serves
    line.decide(1, "Rejected")
    line.decide(2, "Rejected")
    made = line.deploy()
    assert made.waits
    assert made.rejected
    assert line.serves == before


def test_a_rejected_retrained_model_leaves_the_one_it_went_on_from(line: Line) -> None:
    line.code = b"1"
    before, first = line.serves, line.deploy()
    data = first.serving.model.data.replace(first.job, f"{first.job}-new")
    line.cloud.objects[data.partition(f"{first.desired.bucket.name}/")[2]] = b"bundle"
    won = Retrained(first.job, f"{first.job}-new", data, first.job, first.serving.model.data)
    line.store(first).change(lambda record: replace(record, retrained=won))
    assert line.deploy().waits
    line.decide(3, "Rejected")
    made = line.deploy()
    assert made.steps == ()
    assert made.rejected
    assert (made.rejected.number, line.serves) == (3, before)
    assert made.job == first.job


def test_a_registered_version_serves_again_without_training_or_uploads(
    cloud: FakeCloud, want: Desired, tmp_path: Path
) -> None:
    first = deploy(cloud, want, tmp_path / "build")
    newer = wanted(tmp_path / "project", code="d" * 64, serving="6" * 64)
    deploy(cloud, newer, tmp_path / "build")
    assert cloud.endpoints["small"]["EndpointConfigName"] != first.serving.config.name
    back = replace(newer, chosen=chosen(cloud, "small", 1))
    made = deploy(cloud, back, tmp_path / "build")
    assert [(step.action, step.kind) for step in made.steps] == [("update", "endpoint")]
    assert cloud.endpoints["small"]["EndpointConfigName"] == first.serving.config.name
    assert made.job == first.job
    with pytest.raises(DeploymentError, match=r"no such version.*Known: 2, 1"):
        chosen(cloud, "small", 3)


def test_a_version_of_somebody_else_does_not_serve(cloud: FakeCloud) -> None:
    cloud.create_model_package_group("small")
    cloud.create_model_package("small", ClientToken="x", ModelPackageDescription="by hand")
    with pytest.raises(DeploymentError, match="not registered by a deployment"):
        chosen(cloud, "small", 1)


def test_an_approval_is_written_with_who_and_when(
    cloud: FakeCloud, want: Desired, tmp_path: Path
) -> None:
    deploy(cloud, want, tmp_path / "build")
    (version,) = versions(cloud, "small") or ()
    approving(cloud, version, "arn:aws:iam::1:user/Zoë", "2026-11-23T16:00:00+00:00")
    (made,) = cloud.packages["small"]
    assert made["ApprovalDescription"] == "by arn:aws:iam::1:user/Zoë, 2026-11-23T16:00:00+00:00"


def test_a_rejected_version_is_approved_only_by_its_number(
    cloud: FakeCloud, asking: Desired, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(cloud, asking, tmp_path / "build")
    (version,) = cloud.packages["small"]
    version["ModelApprovalStatus"] = "Rejected"
    opened = argparse.Namespace(name="small", aws=None)
    monkeypatch.setattr(approve, "opened", lambda args: (opened, cloud))
    args = argparse.Namespace(project="examples/flights", target="local", version=None)
    with pytest.raises(DeploymentError, match=r"rejected.*make approve VERSION=1"):
        approve.run(args)
    args.version = 1
    assert approve.run(args) == 0
    assert version["ModelApprovalStatus"] == "Approved"
