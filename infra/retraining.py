"""A retraining as plain values: what is deployed, and the job that goes on from it with new rows.

The job's name carries the digest of code, problem, settings, the project's data, the new rows and
the deployed model, so the same command finds what it did before. Here: the values, and reading what
is deployed. Not here: the steps of it (plan.py), nor their order (commands/retrain.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from infra.aws import Cloud
from infra.channels import Channel
from infra.observe import IN_PROGRESS, describe, exists
from infra.package import File, combine, digest_of, short
from infra.policy import reading_policy
from infra.record import Record
from infra.resources import CODE, Artifacts, Desired, Role, Upload
from infra.serving import is_config_of
from infra.steps import Call, Step
from infra.training_job import TrainingJob
from infra.tuning import TuningJob
from shared.errors import DeploymentError
from shared.retraining import SETTINGS

_JOB = re.compile(r"/jobs/((.+-[0-9a-f]{12})(?:-\d+)?)/output/model\.tar\.gz$")


@dataclass(frozen=True)
class Deployed:
    """The model that an endpoint serves.

    Attributes:
        job: the training job that made it.
        data: its model.tar.gz.
        base: the first attempt of the job that its line began with.
    """

    job: str
    data: str
    base: str


def job_of(data: str) -> str | None:
    """The training or tuning job that left a model.tar.gz, where it is one of a project's."""
    made = _JOB.search(data)
    return made.group(1) if made else None


def deployed(cloud: Cloud, project: str, record: Record) -> Deployed:
    """What the project's endpoint serves now.

    Raises:
        DeploymentError: there is no endpoint, it is not at rest, or this project did not make it.
    """
    endpoint = describe(cloud, "sagemaker", "describe_endpoint", {"EndpointName": project})
    where = f"endpoint {project}"
    if endpoint is None:
        raise DeploymentError(
            "nothing is deployed that could go on learning",
            where=where,
            cure="Deploy the project first: `make deploy`.",
        )
    status, config = endpoint["EndpointStatus"], endpoint.get("EndpointConfigName", "")
    if status in IN_PROGRESS:
        raise DeploymentError(
            f"is {status}; which model it will serve is not certain yet",
            where=where,
            cure="`make deploy` waits for it; then run this again.",
        )
    place = {"EndpointConfigName": config}
    found = describe(cloud, "sagemaker", "describe_endpoint_config", place)
    if found is None or not is_config_of(project, config):
        raise DeploymentError(
            f"runs on {config or 'nothing'}, which this project did not make",
            where=where,
            cure="Run `make deploy` first.",
        )
    name = found["ProductionVariants"][0]["ModelName"]
    model = describe(cloud, "sagemaker", "describe_model", {"ModelName": name})
    data = model["PrimaryContainer"].get("ModelDataUrl", "") if model else ""
    made = _JOB.search(data)
    if status != "InService" or made is None:
        raise DeploymentError(
            f"is {status}, with the model {name}" if made else f"serves {data or name}",
            where=where,
            cure="Run `make deploy` first.",
        )
    retrained = record.retrained
    # A model that won and waits for its approval belongs to the same line as its parent.
    line = {retrained.data, retrained.parent_data} if retrained else set()
    base = retrained.base if retrained and data in line else made.group(2)
    return Deployed(made.group(1), data, base)


def kept(cloud: Cloud, desired: Desired, record: Record) -> Desired:
    """The desired cloud with the model that last won a retraining, as long as its bundle exists."""
    retrained = record.retrained
    if retrained is None:
        return desired
    bucket, _, key = retrained.data.removeprefix("s3://").partition("/")
    there = exists(cloud, "s3", "head_object", {"Bucket": bucket, "Key": key})
    return replace(desired, retrained=retrained if there else None)


def retraining(
    desired: Desired, artifacts: Artifacts, settings: File, new: Channel, parent: str
) -> Desired:
    """The same cloud, with the job that goes on from a model in place of the project's own.

    Args:
        desired: what the project asks for.
        artifacts: of the project.
        settings: retraining.json.
        new: the new rows.
        parent: the deployed model's model.tar.gz.
    """
    project, bucket = desired.project, desired.bucket.name
    own = _training_job(desired)
    digest = combine(
        {
            "code": artifacts.code_digest,
            "problem": artifacts.problem.digest,
            "settings": settings.digest,
            "image": own.image,
            "model": digest_of(parent.encode()),
            "data new": new.digest,
            **{f"data {one.name}": one.digest for one in artifacts.channels if one.name == "train"},
        }
    )
    told = combine({"problem": artifacts.problem.digest, "settings": settings.digest})
    place = f"{project}/problems/{short(told)}/"
    rows = f"{project}/data/{short(new.digest)}/"
    uploads = [
        *desired.uploads,
        Upload(artifacts.problem, bucket, f"{place}project.json"),
        Upload(settings, bucket, place + SETTINGS),
        *(Upload(file, bucket, rows + file.name) for file in new.files),
    ]
    channels = {
        "train": dict(own.channels)["train"],
        "project": f"s3://{bucket}/{place}",
        "new": new.uri or f"s3://{bucket}/{rows}",
        "model": parent,
        **{name: uri for name, uri in own.channels if name == CODE},
    }
    job = replace(
        own,
        digest=digest,
        instance_count=1,
        hyperparameters=tuple(
            (name, value) for name, value in own.hyperparameters if name.startswith("sagemaker_")
        ),
        channels=tuple(sorted(channels.items())),
        checkpoints=f"{own.output.removesuffix('/jobs')}/checkpoints/{short(digest)}",
    )
    unique = tuple({upload.key: upload for upload in uploads}.values())
    return replace(desired, job=job, uploads=unique, retrained=None)


def reading(role: Role, locations: Sequence[str]) -> Step:
    """Let the role read new rows that lie elsewhere in S3; the project's own policy stays."""
    policy = json.dumps(reading_policy(locations), sort_keys=True)
    request = {
        "RoleName": role.name,
        "PolicyName": role.RETRAINING_POLICY_NAME,
        "PolicyDocument": policy,
    }
    return Step(
        "upload",
        "create",
        "role policy",
        role.name,
        "the new rows lie where the project's own data does not",
        Call("iam", "put_role_policy", request),
    )


def _training_job(desired: Desired) -> TrainingJob:
    return desired.job.job if isinstance(desired.job, TuningJob) else desired.job
