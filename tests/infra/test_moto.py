"""The unmodified deployment against moto's mock of AWS: the real boto3, another party's fakes.

moto completes jobs and endpoints at once and keeps no logs, so what is proved here is that every
call is one AWS's own client accepts, and that what was created can be described and deleted.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from moto import mock_aws
from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket

from infra.aws import Session
from infra.failures import is_missing
from infra.lock import Lock, look
from infra.observe import describe
from infra.progress import Lines
from infra.record import RecordStore
from infra.resources import Account, Desired
from infra.teardown import teardown, wipe
from shared import storage
from tests.support.deployments import ACCOUNT, Clock, deploy, wanted

REGION = "us-east-1"


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    # moto reads no conditions, so a bucket policy that denies open lines would deny everything.
    monkeypatch.setattr(FakeBucket, "get_permission", lambda *_: PermissionResult.NEUTRAL)
    with mock_aws():
        yield Session(
            boto3.Session(region_name=REGION), Account("123456789012", REGION, local=False)
        )


@pytest.fixture
def want(tmp_path: Path) -> Desired:
    return wanted(tmp_path / "project", account=replace(ACCOUNT, local=False))


def push_image(session: Session, want: Desired) -> None:
    """Stand in for whoever built and pushed the serving image."""
    ecr = session.client("ecr")
    ecr.create_repository(repositoryName=want.image.repository)
    ecr.put_image(
        repositoryName=want.image.repository,
        imageTag=want.image.tag,
        imageManifest='{"schemaVersion": 2, "config": {"digest": "sha256:0"}, "layers": []}',
        imageManifestMediaType="application/vnd.docker.distribution.manifest.v2+json",
    )


def forget_versions(store: RecordStore) -> None:
    """moto cannot delete them."""
    versions = [entry for entry in store.load().entries if entry.kind.startswith("model package")]
    assert [entry.kind for entry in versions] == ["model package group", "model package"]
    store.change(lambda record: record.without(versions))


def finish_job(session: Session, want: Desired) -> None:
    """Put the bundle where the job that moto claims to have run would have put it."""
    uri = want.job.model_data(1)
    storage.write_bytes(uri, b"bundle", session.client("s3"))


@pytest.fixture
def deployed(session: Session, want: Desired, tmp_path: Path) -> Session:
    push_image(session, want)
    deploy(session, want, tmp_path / "build")
    finish_job(session, want)
    return session


def test_deploying_starts_a_job_and_creates_model_config_and_endpoint(
    deployed: Session, want: Desired
) -> None:
    sagemaker = deployed.client("sagemaker")
    serving = want.serving(1)
    job = sagemaker.describe_training_job(TrainingJobName=want.job.name(1))
    assert job["HyperParameters"]["sagemaker_program"] == "train.py"
    assert {channel["ChannelName"] for channel in job["InputDataConfig"]} == {
        "train",
        "project",
        "source_carriers",
    }
    model = sagemaker.describe_model(ModelName=serving.model.name)
    assert model["PrimaryContainer"]["ModelDataUrl"] == want.job.model_data(1)
    config = sagemaker.describe_endpoint_config(EndpointConfigName=serving.config.name)
    assert config["ProductionVariants"][0]["ModelName"] == serving.model.name
    endpoint = sagemaker.describe_endpoint(EndpointName="small")
    assert endpoint["EndpointConfigName"] == serving.config.name


def test_deploying_again_changes_nothing(deployed: Session, want: Desired, tmp_path: Path) -> None:
    assert deploy(deployed, want, tmp_path / "build").steps == ()


def test_data_code_and_problem_lie_where_the_job_reads_them(
    deployed: Session, want: Desired
) -> None:
    s3 = deployed.client("s3")
    job = deployed.client("sagemaker").describe_training_job(TrainingJobName=want.job.name(1))
    for channel in job["InputDataConfig"]:
        assert storage.list_files(channel["DataSource"]["S3DataSource"]["S3Uri"], s3)
    code = job["HyperParameters"]["sagemaker_submit_directory"]
    assert storage.read_bytes(code, s3) == b"code"


def test_checkpoints_reach_the_prefix_of_the_job_and_come_back_to_its_next_attempt(
    deployed: Session, want: Desired, tmp_path: Path
) -> None:
    s3 = deployed.client("s3")
    prefix = deployed.client("sagemaker").describe_training_job(TrainingJobName=want.job.name(1))[
        "CheckpointConfig"
    ]["S3Uri"]
    checkpoint = tmp_path / "epoch-3.npz"
    checkpoint.write_bytes(b"weights of epoch 3")
    storage.upload(checkpoint, f"{prefix}/{checkpoint.name}", s3)

    resumed = want.job.request(2)["CheckpointConfig"]
    assert isinstance(resumed, dict)
    (found,) = storage.list_files(f"{resumed['S3Uri']}/", s3)
    storage.download(found, tmp_path / "resumed.npz", s3)
    assert (tmp_path / "resumed.npz").read_bytes() == b"weights of epoch 3"


def test_the_role_has_the_policy_and_trusts_sagemaker_alone(
    deployed: Session, want: Desired
) -> None:
    iam = deployed.client("iam")
    role = iam.get_role(RoleName=want.role.name)["Role"]
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    policy = iam.get_role_policy(RoleName=want.role.name, PolicyName="project")["PolicyDocument"]
    objects = next(one for one in policy["Statement"] if one["Sid"] == "Objects")
    assert objects["Resource"] == f"arn:aws:s3:::{want.bucket.name}/small/*"


def test_destroying_deletes_all_that_was_created(deployed: Session, want: Desired) -> None:
    store = RecordStore(deployed, want.bucket.name, "small")
    forget_versions(store)
    wipe(deployed, store, teardown(deployed, store, store.load(), print), print)
    serving = want.serving(1)
    for operation, name in (
        ("describe_endpoint", {"EndpointName": "small"}),
        ("describe_endpoint_config", {"EndpointConfigName": serving.config.name}),
        ("describe_model", {"ModelName": serving.model.name}),
    ):
        assert describe(deployed, "sagemaker", operation, name) is None
    assert describe(deployed, "s3", "head_bucket", {"Bucket": want.bucket.name}) is None
    assert describe(deployed, "iam", "get_role", {"RoleName": want.role.name}) is None


def test_without_docker_the_account_s_codebuild_is_asked_for_the_image(
    session: Session, tmp_path: Path
) -> None:
    account = replace(ACCOUNT, local=False)
    want = wanted(tmp_path / "other", account=account, image_source=b"zip")
    deploy(session, want, tmp_path / "build")
    assert want.image
    assert want.image.build
    codebuild, ecr = session.client("codebuild"), session.client("ecr")
    (project,) = codebuild.batch_get_projects(names=["small-image"])["projects"]
    assert project["serviceRole"] == want.image.build.role.arn
    assert project["environment"]["privilegedMode"] is True
    (build,) = codebuild.list_builds_for_project(projectName="small-image")["ids"]
    assert build
    (repository,) = ecr.describe_repositories()["repositories"]
    assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
    assert repository["imageTagMutability"] == "IMMUTABLE"
    source = f"s3://{want.bucket.name}/{want.image.build.source.key}"
    assert storage.read_bytes(source, session.client("s3")) == b"zip"
    store = RecordStore(session, want.bucket.name, "small")
    forget_versions(store)
    teardown(session, store, store.load(), print)
    assert codebuild.list_projects()["projects"] == []
    assert describe(session, "iam", "get_role", {"RoleName": want.image.build.role.name}) is None


@pytest.mark.parametrize(
    ("service", "operation", "parameters"),
    [
        ("sagemaker", "describe_endpoint", {"EndpointName": "none"}),
        ("sagemaker", "describe_training_job", {"TrainingJobName": "none"}),
        ("s3", "head_object", {"Bucket": "none-at-all", "Key": "none"}),
        ("iam", "get_role", {"RoleName": "none"}),
        ("ecr", "describe_images", {"repositoryName": "none"}),
        ("logs", "describe_log_streams", {"logGroupName": "none"}),
    ],
)
def test_what_is_missing_is_seen_as_missing(
    session: Session, service: str, operation: str, parameters: dict[str, str]
) -> None:
    with pytest.raises(Exception) as caught:
        session.call(service, operation, parameters)
    assert is_missing(caught.value)


def test_the_lock_is_held_by_one_renewed_and_let_go(deployed: Session, want: Desired) -> None:
    store = RecordStore(deployed, want.bucket.name, "small")
    said = io.StringIO()
    first = Lock(deployed, store, "make deploy", Lines(0))
    clock = Clock()
    second = Lock(
        deployed, store, "make destroy", Lines(0, said), clock=clock, sleep=lambda seconds: end()
    )

    def end() -> None:
        first.renew()
        assert first.held
        first.release()

    with first:
        assert second.acquire()
    second.renew()
    assert second.held
    second.release()
    assert "`make deploy`" in said.getvalue()
    assert look(deployed, store) is None
