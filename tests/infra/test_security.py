"""[aws]'s keys, network, isolation and tags reach everything that can take them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import validate_parameters

from infra import project
from infra.aws import WRITES, Session
from infra.resources import Desired
from infra.security import has_own_disks
from infra.tuning import TuningJob
from shared.errors import ProjectError
from tests.support import projects
from tests.support.deployments import ACCOUNT, wanted

KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
SUBNETS, GROUPS = ["subnet-0123456789abcdef0", "subnet-11111111"], ["sg-0123456789abcdef0"]
AWS = f"""
[aws]
kms_key = "{KEY}"
subnets = {SUBNETS}
security_groups = {GROUPS}
network_isolation = true
tags = {{ team = "research", "cost centre" = "a/b" }}
"""
SEARCH = projects.TOML.replace("[tuning]", '[tuning]\nstrategy = "random"\nwhere = "service"')
NETWORK = {
    "VpcConfig": {"SecurityGroupIds": GROUPS, "Subnets": SUBNETS},
    "EnableNetworkIsolation": True,
}


def validated(operation: str, request: Any) -> dict[str, Any]:
    """The request, once botocore's own model of the service has accepted it."""
    model = botocore.session.get_session().get_service_model("sagemaker")
    validate_parameters(request, model.operation_model(operation).input_shape)
    return dict(request)


@pytest.fixture
def secured(tmp_path: Path) -> Desired:
    return wanted(tmp_path, toml=projects.TOML + AWS)


def test_a_training_job_has_keys_network_and_tags(secured: Desired) -> None:
    job = validated("CreateTrainingJob", secured.job.request(1))
    assert job["OutputDataConfig"]["KmsKeyId"] == KEY
    assert job["ResourceConfig"]["VolumeKmsKeyId"] == KEY
    assert job == job | NETWORK
    assert {"Key": "cost centre", "Value": "a/b"} in job["Tags"]
    assert "EnableInterContainerTrafficEncryption" not in job


def test_the_debugger_and_the_profiler_are_off_and_the_service_s_errors_are_retried(
    secured: Desired,
) -> None:
    job = secured.job.request(1)
    assert job["ProfilerConfig"] == {"DisableProfiler": True}
    assert "DebugHookConfig" not in job
    assert job["RetryStrategy"] == {"MaximumRetryAttempts": 2}


def test_hosts_of_one_job_talk_encrypted(tmp_path: Path) -> None:
    several = projects.TOML.replace("trials = 1", "trials = 0").replace(
        "[training]", "[training]\ninstance_count = 2"
    )
    job = validated("CreateTrainingJob", wanted(tmp_path, toml=several).job.request(1))
    assert job["EnableInterContainerTrafficEncryption"] is True


def test_a_spot_job_waits_as_long_again_as_it_may_run(tmp_path: Path) -> None:
    spot = projects.TOML.replace("[training]", "[training]\nspot = true")
    job = validated("CreateTrainingJob", wanted(tmp_path, toml=spot).job.request(1))
    stopping = {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 1200}
    assert (job["EnableManagedSpotTraining"], job["StoppingCondition"]) == (True, stopping)


def test_a_tuning_job_s_children_have_them_too(tmp_path: Path) -> None:
    job = wanted(tmp_path, toml=SEARCH + AWS).job
    assert isinstance(job, TuningJob)
    request = validated("CreateHyperParameterTuningJob", job.request(1))
    child = request["TrainingJobDefinition"]
    assert child == child | NETWORK
    assert child["OutputDataConfig"]["KmsKeyId"] == KEY


def test_a_model_and_its_endpoint_config_have_them(secured: Desired) -> None:
    serving = secured.serving(1)
    model = validated("CreateModel", serving.model.request())
    assert model == model | NETWORK
    config = validated("CreateEndpointConfig", serving.config.request())
    assert config["KmsKeyId"] == KEY


def test_without_them_no_request_speaks_of_them(tmp_path: Path) -> None:
    plain = wanted(tmp_path)
    serving = plain.serving(1)
    requests = (plain.job.request(1), serving.model.request(), serving.config.request())
    for word in ("Kms", "Vpc", "Isolation"):
        assert word not in repr(requests)


def test_another_network_is_another_model_and_not_another_training(
    tmp_path: Path, secured: Desired
) -> None:
    moved = wanted(tmp_path / "b", toml=projects.TOML + AWS.replace("sg-0", "sg-1"))
    assert moved.serving(1).model.name != secured.serving(1).model.name
    assert moved.job.name(1) == secured.job.name(1)


@pytest.mark.parametrize("instance", ["ml.g4dn.xlarge", "ml.g5.xlarge", "ml.p4d.24xlarge"])
def test_disks_of_the_machine_itself_take_no_key(tmp_path: Path, instance: str) -> None:
    toml = projects.TOML.replace("[training]", f'[training]\ninstance = "{instance}"')
    want = wanted(tmp_path, toml=f'{toml}{AWS}\n[endpoint]\ninstance = "{instance}"\n')
    job = want.job.request(1)
    assert "VolumeKmsKeyId" not in repr(job["ResourceConfig"])
    assert job["OutputDataConfig"] == {"S3OutputPath": want.job.output, "KmsKeyId": KEY}  # type: ignore[union-attr]
    assert "KmsKeyId" not in want.serving(1).config.request()


@pytest.mark.parametrize("instance", ["ml.m5.xlarge", "ml.c7i-flex.large", "ml.r6i.large"])
def test_other_disks_do(instance: str) -> None:
    assert not has_own_disks(instance)


def test_an_isolated_job_finds_its_code_in_a_channel(secured: Desired, tmp_path: Path) -> None:
    job = secured.job.request(1)
    channels = {each["ChannelName"]: each for each in job["InputDataConfig"]}  # type: ignore[attr-defined]
    code = channels["code"]["DataSource"]["S3DataSource"]["S3Uri"]
    assert secured.uploads[0].uri == f"{code}sourcedir.tar.gz"
    told = job["HyperParameters"]["sagemaker_submit_directory"]  # type: ignore[index]
    assert told == "/opt/ml/input/data/code/sourcedir.tar.gz"
    plain = wanted(tmp_path / "plain").job.request(1)
    assert "code" not in [each["ChannelName"] for each in plain["InputDataConfig"]]  # type: ignore[attr-defined]


class Client:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.asked: dict[str, dict[str, Any]] = {}

    def __getattr__(self, operation: str) -> Any:
        return lambda **parameters: self.asked.setdefault(operation, parameters)

    def client(self, service: str, config: Any) -> Client:
        return self


def test_every_object_is_written_under_the_key() -> None:
    noted = Client()
    session = Session(noted, ACCOUNT, KEY)
    for operation in WRITES:
        session.call("s3", operation, {"ExtraArgs": {"Metadata": {}}, "Key": "k"})
    session.call("s3", "head_object", {"Key": "k"})
    encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KEY}
    assert noted.asked["upload_file"]["ExtraArgs"] == {"Metadata": {}, **encryption}
    assert noted.asked["copy"]["ExtraArgs"] == {"Metadata": {}, **encryption}
    assert noted.asked["put_object"] == noted.asked["put_object"] | encryption
    assert noted.asked["head_object"] == {"Key": "k"}


MISTAKES = {
    "a key by its alias": ('kms_key = "alias/mine"', "aws.kms_key", "the ARN of a key"),
    "a key of another region": (
        f'kms_key = "{KEY}"\nregion = "eu-west-1"',
        "aws.kms_key",
        "a key of us-east-1, and the project goes to eu-west-1",
    ),
    "subnets alone": (f"subnets = {SUBNETS}", "aws.security_groups", "takes both"),
    "groups alone": (f"security_groups = {GROUPS}", "aws.subnets", "takes both"),
    "a subnet that is none": ('subnets = ["vpc-1"]', "aws.subnets.0", "is not allowed"),
    "a tag of AWS's own": ('tags = { "aws:x" = "1" }', "aws.tags", "do not begin with aws:"),
    "a tag with odd signs": ('tags = { team = "a;b" }', "aws.tags", "_.:/=+-@"),
    "too many tags": (
        "tags = { " + ", ".join(f'k{n} = "v"' for n in range(50)) + " }",
        "aws.tags",
        "at most 49",
    ),
    "isolation as a text": ('network_isolation = "yes"', "aws.network_isolation", "true or false"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_told(case: str, tmp_path: Path) -> None:
    written, place, words = MISTAKES[case]
    with pytest.raises(ProjectError) as caught:
        project.load(projects.make(tmp_path, f"{projects.TOML}\n[aws]\n{written}\n"))
    assert place in str(caught.value)
    assert words in str(caught.value)
