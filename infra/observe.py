"""What exists in the cloud, read with describe, list and head calls only, as plain values.

Everything that plan.py decides from is here; a thing that is missing is None, False or left out,
never an error. Nothing is changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from infra.aws import Cloud
from infra.failures import explain, is_missing
from infra.resources import Desired

# SageMaker's documented list; a status outside both sets is treated as a failure.
IN_PROGRESS = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})


@dataclass(frozen=True)
class ObservedJob:
    """One attempt of the training job.

    Attributes:
        bundle: whether its model.tar.gz is where SageMaker put it.
    """

    name: str
    status: str
    bundle: bool = False


@dataclass(frozen=True)
class ObservedEndpoint:
    """An endpoint as it is.

    Attributes:
        config: what it runs on.
        pending: what an update under way will have it run on.
    """

    name: str
    status: str
    config: str
    reason: str | None = None
    pending: str | None = None


@dataclass(frozen=True)
class Observed:
    """What exists of the things a project wants.

    Attributes:
        bucket: whether the bucket exists.
        role_policy: the role's inline policy as canonical JSON text; "" when it has none; None when
            there is no such role.
        objects: keys of the wanted uploads that are there.
        jobs: the attempts of the training job, in order.
        image: whether the serving image is in the registry.
        models, configs: the wanted names that exist, for every attempt that was observed.
        endpoint: the endpoint of the project's name.
    """

    bucket: bool = False
    role_policy: str | None = None
    objects: frozenset[str] = frozenset()
    jobs: tuple[ObservedJob, ...] = ()
    image: bool = False
    models: frozenset[str] = frozenset()
    configs: frozenset[str] = frozenset()
    endpoint: ObservedEndpoint | None = field(default=None)


def observe(cloud: Cloud, desired: Desired) -> Observed:
    """Read what exists of `desired`."""
    bucket = _exists(cloud, "s3", "head_bucket", {"Bucket": desired.bucket.name})
    objects = frozenset(
        upload.key
        for upload in desired.uploads
        if bucket
        and _exists(cloud, "s3", "head_object", {"Bucket": upload.bucket, "Key": upload.key})
    )
    jobs = training_jobs(cloud, desired)
    models, configs = set(), set()
    if jobs and jobs[-1].bundle:
        serving = desired.serving(len(jobs))
        if _exists(cloud, "sagemaker", "describe_model", {"ModelName": serving.model.name}):
            models.add(serving.model.name)
        name = serving.config.name
        if _exists(cloud, "sagemaker", "describe_endpoint_config", {"EndpointConfigName": name}):
            configs.add(name)
    return Observed(
        bucket=bucket,
        role_policy=_role_policy(cloud, desired),
        objects=objects,
        jobs=jobs,
        image=cloud.has_image(desired.image.repository, desired.image.tag),
        models=frozenset(models),
        configs=frozenset(configs),
        endpoint=endpoint(cloud, desired.project),
    )


def training_jobs(cloud: Cloud, desired: Desired) -> tuple[ObservedJob, ...]:
    """Every attempt of the training job that was ever started, in order."""
    found: list[ObservedJob] = []
    while True:
        name = desired.job.name(len(found) + 1)
        answer = describe(cloud, "sagemaker", "describe_training_job", {"TrainingJobName": name})
        if answer is None:
            return tuple(found)
        status = answer["TrainingJobStatus"]
        found.append(ObservedJob(name, status, status == "Completed" and _bundle(cloud, answer)))


def _bundle(cloud: Cloud, job: Mapping[str, Any]) -> bool:
    uri = job["ModelArtifacts"]["S3ModelArtifacts"]
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return _exists(cloud, "s3", "head_object", {"Bucket": bucket, "Key": key})


def endpoint(cloud: Cloud, name: str) -> ObservedEndpoint | None:
    """The endpoint of that name, or None."""
    answer = describe(cloud, "sagemaker", "describe_endpoint", {"EndpointName": name})
    if answer is None:
        return None
    return ObservedEndpoint(
        name,
        answer["EndpointStatus"],
        answer.get("EndpointConfigName", ""),
        answer.get("FailureReason"),
        (answer.get("PendingDeploymentSummary") or {}).get("EndpointConfigName"),
    )


def describe(
    cloud: Cloud, service: str, operation: str, parameters: Mapping[str, object]
) -> dict[str, Any] | None:
    """The answer of a describe call, or None for what does not exist.

    Raises:
        DeploymentError: AWS refuses the look, or cannot be reached.
    """
    try:
        return cloud.call(service, operation, parameters)
    except Exception as error:
        if is_missing(error):
            return None
        looked = ", ".join(str(value) for value in parameters.values())
        raise explain(error, f"Looking at {service} {looked} ({operation})") from error


def canonical(policy: str) -> str:
    """A policy document as JSON text that does not depend on order or spacing."""
    return json.dumps(json.loads(policy), sort_keys=True)


def _exists(cloud: Cloud, service: str, operation: str, parameters: Mapping[str, object]) -> bool:
    return describe(cloud, service, operation, parameters) is not None


def _role_policy(cloud: Cloud, desired: Desired) -> str | None:
    if desired.role.policy is None or not _exists(
        cloud, "iam", "get_role", {"RoleName": desired.role.name}
    ):
        return None
    answer = describe(
        cloud,
        "iam",
        "get_role_policy",
        {"RoleName": desired.role.name, "PolicyName": desired.role.POLICY_NAME},
    )
    if answer is None:
        return ""
    document = answer["PolicyDocument"]
    return (
        canonical(document if document[:1] == "{" else unquote(document))
        if isinstance(document, str)
        else json.dumps(document, sort_keys=True)
    )
