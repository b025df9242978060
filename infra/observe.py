"""What exists in the cloud, read with describe, list and head calls only, as plain values.

Everything that plan.py decides from is here; a thing that is missing is None, False or left out,
never an error. Nothing is changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

from infra import scaling
from infra.alarms import is_alarm_of
from infra.aws import Cloud
from infra.bucket import is_guarded
from infra.failures import explain, is_missing
from infra.registry import Version, versions
from infra.resources import Bucket, Desired, Upload
from infra.scaling import UNSCALED, ObservedScaling
from infra.serving import Variant
from infra.training_job import TrainingJob
from infra.trials import best, children
from infra.tuning import TuningJob

_LOOKS_AT_ONCE = 8
# SageMaker's documented list; a status outside both sets is treated as a failure.
_SERVES = frozenset({"InService", "Updating", "SystemUpdating", "RollingBack"})
IN_PROGRESS = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})


@dataclass(frozen=True)
class ObservedJob:
    """One attempt of the training or tuning job.

    Attributes:
        bundle: whether its model.tar.gz is where SageMaker put it, or the best child's where it is
            kept.
        finished: of a tuning job: the children that were trained to their end; 0 where what the
            best of them left is gone.
    """

    name: str
    status: str
    bundle: bool = False
    finished: int = 0


@dataclass(frozen=True)
class ObservedParent:
    """A tuning job that another one is to begin with.

    Attributes:
        status: None when there is none of that name.
        objective: what it looked for: ("Minimize", "val_loss").
        hyperparameters: how many its children have, searched or not.
    """

    name: str
    status: str | None
    objective: tuple[str, str] = ("", "")
    hyperparameters: int = 0


@dataclass(frozen=True)
class ObservedEndpoint:
    """An endpoint as it is.

    Attributes:
        config: what it runs on.
        pending: what an update under way will have it run on.
        variants: of what it runs on, where the way to a new version depends on them.
        mode: as [endpoint].mode has it.
    """

    name: str
    status: str
    config: str
    reason: str | None = None
    pending: str | None = None
    variants: tuple[Variant, ...] = ()
    mode: str = "realtime"


@dataclass(frozen=True)
class Observed:
    """What exists of the things a project wants.

    Attributes:
        bucket: whether the bucket exists.
        guarded: whether the bucket, being ours, is set as we set it.
        role_policy: the role's inline policy as canonical JSON text; "" when it has none; None when
            there is no such role.
        objects: keys of the wanted uploads that are there.
        jobs: the attempts of the training or tuning job, in order.
        parents: the tuning jobs that a new one is to begin with.
        image: whether the serving image is in the registry.
        models, configs: the wanted names that exist, for every attempt that was observed.
        endpoint: the endpoint of the project's name.
        alarms: names of alarms: those made for the project, and the wanted ones of others.
        versions: what is registered for the project; None: there is no group.
        scaling: what changes the number of the endpoint's instances.
    """

    bucket: bool = False
    guarded: bool = False
    role_policy: str | None = None
    objects: frozenset[str] = frozenset()
    jobs: tuple[ObservedJob, ...] = ()
    parents: tuple[ObservedParent, ...] = ()
    image: bool = False
    models: frozenset[str] = frozenset()
    configs: frozenset[str] = frozenset()
    endpoint: ObservedEndpoint | None = field(default=None)
    alarms: frozenset[str] = frozenset()
    versions: tuple[Version, ...] | None = None
    scaling: ObservedScaling = UNSCALED


def observe(cloud: Cloud, desired: Desired) -> Observed:
    """Read what exists of `desired`."""
    bucket = exists(cloud, "s3", "head_bucket", {"Bucket": desired.bucket.name})
    objects = _present(cloud, desired.uploads) if bucket else frozenset()
    job = desired.job
    jobs = tuning_jobs(cloud, job) if isinstance(job, TuningJob) else training_jobs(cloud, job)
    models, configs = set(), set()
    seen = endpoint(cloud, desired.project)
    asked = desired.beside or desired.rollout or desired.scaling
    if seen and asked and seen.status in _SERVES:
        seen = replace(seen, variants=variants(cloud, seen.config))
    scaled = UNSCALED
    if seen and (desired.scaling or desired.scaled):
        scaled = scaling.look(cloud, desired.project)
    desired = scaling.governed(desired, seen, scaled)
    if desired.kept or desired.chosen or (jobs and jobs[-1].bundle):
        serving = desired.serving(max(len(jobs), 1), seen.variants if seen else ())
        if exists(cloud, "sagemaker", "describe_model", {"ModelName": serving.model.name}):
            models.add(serving.model.name)
        name = serving.config.name
        if exists(cloud, "sagemaker", "describe_endpoint_config", {"EndpointConfigName": name}):
            configs.add(name)
    return Observed(
        bucket=bucket,
        guarded=bucket and desired.bucket.ours and _is_guarded(cloud, desired.bucket),
        role_policy=_role_policy(cloud, desired),
        objects=objects,
        jobs=jobs,
        parents=parents(cloud, job.parents) if isinstance(job, TuningJob) else (),
        image=desired.image is not None
        and cloud.has_image(desired.image.repository, desired.image.tag),
        models=frozenset(models),
        configs=frozenset(configs),
        endpoint=seen,
        alarms=alarms(cloud, desired) if seen else frozenset(),
        versions=versions(cloud, desired.project),
        scaling=scaled,
    )


def _present(cloud: Cloud, uploads: Sequence[Upload]) -> frozenset[str]:
    """Keys of the uploads that are there, looked at side by side: data may be many files."""

    def there(upload: Upload) -> bool:
        place = {"Bucket": upload.bucket, "Key": upload.key}
        return exists(cloud, "s3", "head_object", place)

    with ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
        found = list(pool.map(there, uploads))
    return frozenset(
        upload.key for upload, is_there in zip(uploads, found, strict=True) if is_there
    )


def alarms(cloud: Cloud, desired: Desired) -> frozenset[str]:
    """Names of the alarms made for the project, and of those that its rollout names."""
    wanted = desired.rollout.alarms if desired.rollout else ()
    found = set(alarm_names(cloud, {"AlarmNamePrefix": f"{desired.project}-"}))
    found = {name for name in found if is_alarm_of(desired.project, name)}
    if isinstance(wanted, tuple) and wanted:
        found.update(alarm_names(cloud, {"AlarmNames": list(wanted)}))
    return frozenset(found)


def alarm_names(cloud: Cloud, which: Mapping[str, object]) -> Iterator[str]:
    """Names of the alarms that DescribeAlarms finds."""
    token: dict[str, object] = {}
    while True:
        page = describe(cloud, "cloudwatch", "describe_alarms", {**which, **token}) or {}
        for kind in ("MetricAlarms", "CompositeAlarms"):
            yield from (str(one["AlarmName"]) for one in page.get(kind, []))
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}


def training_jobs(cloud: Cloud, job: TrainingJob) -> tuple[ObservedJob, ...]:
    """Every attempt of the training job that was ever started, in order."""
    found: list[ObservedJob] = []
    while True:
        name = job.name(len(found) + 1)
        answer = describe(cloud, "sagemaker", "describe_training_job", {"TrainingJobName": name})
        if answer is None:
            return tuple(found)
        status = answer["TrainingJobStatus"]
        found.append(ObservedJob(name, status, status == "Completed" and _bundle(cloud, answer)))


def tuning_jobs(cloud: Cloud, job: TuningJob) -> tuple[ObservedJob, ...]:
    """Every attempt of the tuning job that was ever started, in order."""
    found: list[ObservedJob] = []
    while True:
        attempt = len(found) + 1
        answer = tuning_job(cloud, job.name(attempt))
        if answer is None:
            return tuple(found)
        status = answer["HyperParameterTuningJobStatus"]
        kept = status == "Completed" and _object(cloud, job.model_data(attempt))
        finished = answer["TrainingJobStatusCounters"].get("Completed", 0)
        if status == "Completed" and not kept:
            winner = best(children(cloud, [job.name(attempt)]))
            if winner is None or bundle_of(cloud, winner.job) is None:
                finished = 0
        found.append(ObservedJob(job.name(attempt), status, kept, finished))


def tuning_job(cloud: Cloud, name: str) -> dict[str, Any] | None:
    """A tuning job's description, or None."""
    place = {"HyperParameterTuningJobName": name}
    return describe(cloud, "sagemaker", "describe_hyper_parameter_tuning_job", place)


def parents(cloud: Cloud, names: tuple[str, ...]) -> tuple[ObservedParent, ...]:
    """What is known of the tuning jobs that another one is to begin with."""
    return tuple(_parent(name, tuning_job(cloud, name)) for name in names)


def _parent(name: str, found: Mapping[str, Any] | None) -> ObservedParent:
    if found is None:
        return ObservedParent(name, None)
    config = found["HyperParameterTuningJobConfig"]
    objective = config.get("HyperParameterTuningJobObjective") or {}
    static = (found.get("TrainingJobDefinition") or {}).get("StaticHyperParameters") or {}
    searched = sum(len(listed) for listed in (config.get("ParameterRanges") or {}).values())
    return ObservedParent(
        name,
        found["HyperParameterTuningJobStatus"],
        (objective.get("Type", ""), objective.get("MetricName", "")),
        # The service adds some of its own, such as _tuning_objective_metric.
        searched + sum(not key.startswith("_") for key in static),
    )


def bundle_of(cloud: Cloud, name: str) -> str | None:
    """Where the bundle of a training job lies, if it lies there."""
    job = describe(cloud, "sagemaker", "describe_training_job", {"TrainingJobName": name})
    return job["ModelArtifacts"]["S3ModelArtifacts"] if job and _bundle(cloud, job) else None


def _bundle(cloud: Cloud, job: Mapping[str, Any]) -> bool:
    return _object(cloud, job["ModelArtifacts"]["S3ModelArtifacts"])


def _object(cloud: Cloud, uri: str) -> bool:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return exists(cloud, "s3", "head_object", {"Bucket": bucket, "Key": key})


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
        mode=mode_of(answer),
    )


def mode_of(answer: Mapping[str, Any]) -> str:
    """The mode of an endpoint, or of an endpoint config, as [endpoint].mode has it."""
    if answer.get("AsyncInferenceConfig"):
        return "async"
    alone = any(
        one.get("CurrentServerlessConfig") or one.get("ServerlessConfig")
        for one in answer.get("ProductionVariants", [])
    )
    return "serverless" if alone else "realtime"


def variants(cloud: Cloud, config: str) -> tuple[Variant, ...]:
    """What an endpoint config holds; nothing where it was deleted."""
    named = {"EndpointConfigName": config}
    return as_variants(describe(cloud, "sagemaker", "describe_endpoint_config", named) or {})


def as_variants(found: Mapping[str, Any]) -> tuple[Variant, ...]:
    """The variants in DescribeEndpointConfig's answer, shadows last."""
    shadows = found.get("ShadowProductionVariants") or []
    return tuple(
        Variant.from_request(one, shadow=one in shadows)
        for one in [*(found.get("ProductionVariants") or []), *shadows]
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


def exists(cloud: Cloud, service: str, operation: str, parameters: Mapping[str, object]) -> bool:
    """Whether the describe or head call finds what it looks for."""
    return describe(cloud, service, operation, parameters) is not None


def _is_guarded(cloud: Cloud, bucket: Bucket) -> bool:
    place = {"Bucket": bucket.name}
    policy = describe(cloud, "s3", "get_bucket_policy", place)
    encryption = describe(cloud, "s3", "get_bucket_encryption", place)
    return is_guarded(bucket, policy["Policy"] if policy else None, encryption)


def _role_policy(cloud: Cloud, desired: Desired) -> str | None:
    if desired.role.policy is None or not exists(
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
