"""After all other tests here: what they called is allowed, and what is allowed is needed.

The file's name puts it last. Calls were written down by tests/support/recording in every process
that `make` started: a laptop's by what it runs, and SageMaker's own, in the role's name, by the
local cloud's daemon.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.grants import document
from infra.permissions import deploying
from infra.resources import Desired
from tests.support import projects
from tests.support.deployments import wanted
from tests.support.iam import Need, actions, granting, needs

pytestmark = pytest.mark.slow

SEARCHED = projects.TOML.replace("[tuning]", '[tuning]\nstrategy = "random"\nwhere = "service"')
# Allowed to the deployer, and not called here.
ONLY_ON_AWS = {
    "deployer": {
        "cloudwatch:PutMetricAlarm": "a rollout with alarms is another test's",
        "cloudwatch:DeleteAlarms": "the same",
        "cloudwatch:TagResource": "the same",
        "ecr:BatchCheckLayerAvailability": "Docker pushes an image to AWS alone",
        "ecr:CompleteLayerUpload": "the same",
        "ecr:DescribeImages": "the local registry is asked in its own way",
        "ecr:GetAuthorizationToken": "the same as for pushing",
        "ecr:InitiateLayerUpload": "the same",
        "ecr:UploadLayerPart": "the same",
        "pricing:GetProducts": "the local cloud costs nothing",
        "s3:AbortMultipartUpload": "boto3 calls it when a large upload breaks off",
        "s3:DeleteBucket": "no test here destroys with ALL=1",
        "s3:PutBucketPolicy": "the local cloud's S3 reads no conditions, so its bucket has none",
        "sagemaker:CreateTransformJob": "batches are another test's",
        "sagemaker:DescribeModelPackage": "versions are asked for and approved in another test",
        "sagemaker:DescribeModelPackageGroup": "`make status` looks where there is a record of it",
        "sagemaker:DescribeTransformJob": "batches are another test's",
        "sagemaker:StopHyperParameterTuningJob": "no test here destroys a search that runs",
        "sagemaker:StopTrainingJob": "no test here destroys a job that runs",
        "sagemaker:StopTransformJob": "batches are another test's",
        "sagemaker:UpdateModelPackage": "versions are asked for and approved in another test",
        "servicequotas:ListServiceQuotas": "the local cloud has no quotas",
        "sts:GetCallerIdentity": "everybody may, and `make approve` is another test's",
    },
    "execution": {
        "cloudwatch:DescribeAlarms": "SageMaker looks at the alarms of a rollout as the role",
        "ecr:BatchCheckLayerAvailability": "images are pulled on AWS alone",
        "ecr:GetAuthorizationToken": "the same",
        "ecr:GetDownloadUrlForLayer": "the same",
        "logs:DescribeLogStreams": "SageMaker's agent looks; the daemon knows its streams",
        "s3:AbortMultipartUpload": "boto3 calls it when a large upload breaks off",
    },
}
# Called on a laptop and meant for the local cloud alone.
ONLY_LOCAL = {
    "s3:ListAllMyBuckets": "destroy asks whether anything else lives in the local cloud",
    "sagemaker:ListEndpoints": "the same",
    "sagemaker:ListHyperParameterTuningJobs": "the same",
    "sagemaker:ListTrainingJobs": "the same",
}
# Named by a project that test_bad_input spoils; only that project's own policy has it.
SPOILT = "arn:aws:s3:::no-such-bucket-here"
# What the daemon does as the cloud itself, and not in a role's name.
THE_CLOUD_ITSELF = {
    "cloudwatch:GetMetricData": "CloudWatch evaluates alarms",
    "cloudwatch:GetMetricStatistics": "the same",
}


@pytest.fixture(scope="module")
def made(calls: Path) -> list[dict[str, Any]]:
    if not calls.exists():
        pytest.skip("no other test of this folder ran before")
    return [json.loads(line) for line in calls.read_text().splitlines()]


def policies(directory: Path, name: str) -> dict[str, Any]:
    """What a project of that name may do that is searched by the service, too."""
    want: Desired = wanted(directory / name, toml=SEARCHED.replace('"small"', f'"{name}"'))
    assert want.role.policy is not None
    return {"deployer": document(deploying(want)), "execution": json.loads(want.role.policy)}


def asked(made: list[dict[str, Any]], by: str) -> set[tuple[str, Need]]:
    return {
        (one["project"], need)
        for one in made
        if one["by"] == by
        for need in needs(one["service"], one["operation"], one["parameters"])
    }


@pytest.mark.parametrize(
    ("by", "who", "left_out"),
    [("laptop", "deployer", ONLY_LOCAL), ("daemon", "execution", THE_CLOUD_ITSELF)],
)
def test_every_call_is_allowed(
    made: list[dict[str, Any]], by: str, who: str, left_out: dict[str, str], tmp_path: Path
) -> None:
    names = {one["project"] for one in made} - {""}
    known = {name: policies(tmp_path, name)[who] for name in names}
    refused = set()
    for project, need in asked(made, by):
        # The daemon serves every project, and was started for one of them.
        wanted_of = [known[project]] if by == "laptop" and project else list(known.values())
        if need.action in left_out or need.resource == SPOILT:
            continue
        if not any(granting(one, need) for one in wanted_of):
            refused.add((project if by == "laptop" else "", need))
    assert refused == set()


@pytest.mark.parametrize(("by", "who"), [("laptop", "deployer"), ("daemon", "execution")])
def test_every_action_that_is_allowed_was_used_or_has_its_reason(
    made: list[dict[str, Any]], by: str, who: str, tmp_path: Path
) -> None:
    used = {need.action for _, need in asked(made, by)}
    allowed = actions(policies(tmp_path, "any")[who])
    assert allowed - used - ONLY_ON_AWS[who].keys() == set()
    assert ONLY_ON_AWS[who].keys() <= allowed
