"""Names: with the longest and the oddest name of a project, AWS takes every request of the kit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.batch import TransformJob
from infra.record import RecordStore
from infra.resources import Account, Desired
from infra.security import Security
from infra.teardown import teardown
from tests.support import projects, shapes
from tests.support.deployments import deploy, wanted
from tests.support.fake_cloud import FakeCloud

# 32 signs are allowed: letters, digits, single hyphens between them.
NAMES = {
    "the longest": "a" * 32,
    "the longest, of digits": "1" * 32,
    "as many hyphens as can be": "-".join("abcdefghijklmno") + "-p9",
    "a hyphen where a search's name is cut": "abcdefghijklm-opqrstuvwxyz-01234",
    "one digit": "0",
}
# As long as a region's name gets.
ACCOUNT = Account("123456789012", "ap-southeast-1", local=False)
KEY = f"arn:aws:kms:{ACCOUNT.region}:{ACCOUNT.id}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
TAGS = "".join(f"{chr(97 + n % 26)}{n:0126} = '{'v' * 255}'\n" for n in range(49))
SECURED = f"""
[aws]
bucket = "{"b" * 63}"
kms_key = "{KEY}"
subnets = [{", ".join(f"'subnet-{n:017}'" for n in range(16))}]
security_groups = [{", ".join(f"'sg-{n:017}'" for n in range(5))}]
network_isolation = true
[aws.tags]
{TAGS}"""
SCHEDULE = '{ at = "cron(0 7 ? * MON-FRI *)", min = 2, max = 6, timezone = "Europe/Berlin" }'
TOPIC = f"arn:aws:sns:{ACCOUNT.region}:{ACCOUNT.id}:{'t' * 256}"
LONG_SOURCE = f"[sources.{'s' * 40}]"
SEARCH = 'trials = 100\nwhere = "service"\nparallel = 10'
PROJECTS = {
    "all at once": {},
    "canary": {"endpoint": 'rollout = { kind = "canary" }'},
    "rolling": {"endpoint": 'rollout = { kind = "rolling" }'},
    "shadow": {"endpoint": 'shadow = { share = "20%" }'},
    "serverless": {"endpoint": 'mode = "serverless"'},
    "scaled": {
        "endpoint": "instances = 2\nscaling = { min = 1, max = 4, invocations_per_instance = 2000, "
        f"schedule = [{SCHEDULE}] }}"
    },
    "asynchronous, to zero": {
        "endpoint": f'mode = "async"\nasync = {{ notify_success = "{TOPIC}" }}\n'
        "scaling = { min = 0, max = 2, backlog_per_instance = 3 }"
    },
    "searched by the service": {"tuning": SEARCH},
    "secured, with every tag": {"aws": SECURED, "endpoint": 'rollout = { kind = "linear" }'},
}


def written(name: str, parts: Mapping[str, str]) -> str:
    toml = projects.TOML.replace('"small"', f'"{name}"', 1)
    toml = toml.replace("[sources.carriers]", LONG_SOURCE)
    toml = toml.replace("trials = 1", parts.get("tuning", "trials = 1"))
    return f"{toml}\n[endpoint]\n{parts.get('endpoint', '')}\n{parts.get('aws', '')}"


class Noting(FakeCloud):
    """A cloud in memory that scales, and notes every request with what is wrong with it."""

    def __init__(self) -> None:
        super().__init__(local=False)
        self.account = ACCOUNT
        self.operations: set[str] = set()
        self.wrong: list[str] = []

    def call(
        self, service: str, operation: str, parameters: Mapping[str, Any], sent: Any = None
    ) -> dict[str, Any]:
        self.operations.add(operation)
        self.wrong += shapes.wrong(service, *_as_sent(operation, parameters))
        return super().call(service, operation, parameters, sent)

    def describe_scalable_targets(self, **rest: Any) -> dict[str, Any]:
        return {"ScalableTargets": []}

    def register_scalable_target(self, **rest: Any) -> None:
        """It counts for nothing here."""

    def put_scheduled_action(self, **rest: Any) -> None:
        """It counts for nothing here."""

    def put_scaling_policy(self, **rest: Any) -> dict[str, Any]:
        return {"PolicyARN": "arn:aws:autoscaling:eu-west-1:123456789012:scalingPolicy:x"}

    def delete_scheduled_action(self, **rest: Any) -> None:
        """It counts for nothing here."""

    def delete_scaling_policy(self, **rest: Any) -> None:
        """It counts for nothing here."""

    def deregister_scalable_target(self, **rest: Any) -> None:
        """It counts for nothing here."""


def _as_sent(operation: str, parameters: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """A transfer of boto3's as the request that it makes."""
    if operation == "upload_file":
        place = {"Bucket": parameters["Bucket"], "Key": parameters["Key"]}
        return "put_object", place | dict(parameters["ExtraArgs"])
    if operation == "copy":
        source = parameters["CopySource"]
        return "copy_object", {**parameters, "CopySource": f"{source['Bucket']}/{source['Key']}"}
    return operation, parameters


CASES = [("as many hyphens as can be", kind) for kind in PROJECTS] + [
    (name, kind) for name in list(NAMES)[:-1] for kind in ("canary", "searched by the service")
]


@pytest.mark.parametrize(("name", "kind"), dict.fromkeys(CASES))
def test_every_request_of_a_deployment_its_update_and_its_end_is_one_that_aws_takes(
    name: str, kind: str, tmp_path: Path
) -> None:
    cloud, toml = Noting(), written(NAMES[name], PROJECTS[kind])
    for serving in "56":
        want = asked(tmp_path / serving, toml, serving)
        deploy(cloud, want, tmp_path / "build")
    store = RecordStore(cloud, want.bucket.name, want.project)
    teardown(cloud, store, store.load(), lambda line: None)
    assert cloud.wrong == []
    assert {"create_endpoint", "create_model_package", "delete_endpoint"} <= cloud.operations


def asked(directory: Path, toml: str, serving: str = "5") -> Desired:
    return wanted(directory, toml=toml, serving=serving * 64, account=ACCOUNT, image_source=b"zip")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("tuning", ["trials = 1", SEARCH], ids=["job", "service"])
def test_the_last_of_many_attempts_has_a_name_that_aws_takes_too(
    name: str, tuning: str, tmp_path: Path
) -> None:
    want = asked(tmp_path, written(NAMES[name], {"tuning": tuning}))
    operation = f"create_{want.job.kind.replace('tuning', 'hyper_parameter_tuning')}"
    operation = operation.replace(" ", "_")
    assert shapes.wrong("sagemaker", operation, want.job.request(99)) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_has_a_name_that_aws_takes(name: str) -> None:
    tags = tuple((f"{n:0128}", "v" * 256) for n in range(50))
    security = Security(KEY)
    job = TransformJob(
        NAMES[name], "d" * 64, f"{NAMES[name]}-{'e' * 12}", "b" * 63, "ml.m5.large", security, tags
    )
    assert shapes.wrong("sagemaker", "create_transform_job", job.request(100)) == []


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "words"),
    [
        ("sagemaker", "describe_training_job", {"TrainingJobName": "a" * 64}, "64 signs"),
        ("sagemaker", "describe_training_job", {"TrainingJobName": "a_b"}, "does not match"),
        ("sagemaker", "describe_training_job", {"JobName": "a"}, "Unknown parameter"),
        ("sagemaker", "list_models", {"MaxResults": 101}, "not within"),
        ("sagemaker", "list_models", {"SortBy": "Size"}, "is none of"),
        ("iam", "get_role", {"RoleName": "a" * 65}, "65 signs"),
        ("s3", "head_bucket", {"Bucket": "a" * 64}, "64 signs"),
        ("cloudwatch", "delete_alarms", {"AlarmNames": ["a" * 256]}, "256 signs"),
    ],
)
def test_the_check_itself_finds_what_aws_refuses(
    service: str, operation: str, parameters: dict[str, Any], words: str
) -> None:
    assert words in shapes.wrong(service, operation, parameters)[0]
