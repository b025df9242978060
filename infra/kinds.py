"""The kinds of things that a project may have in the cloud: one table, in the order of deletion.

What has a name here is recorded, deleted by `destroy`, and looked at by `status`. A kind is added
by adding its line. Not here: how a thing is made (plan.py), nor when it is deleted (teardown.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from infra.resources import Role
from infra.scaling import deletion
from infra.steps import Awaited, Call


@dataclass(frozen=True)
class Kind:
    """One kind of thing.

    Attributes:
        name: as plans and records call it.
        look: the call that looks at it; it fails as missing when there is none of that name. None
            for what S3 holds.
        found: whether the answer holds one, where none is an empty list.
        delete: the calls that delete one, in order; none for what goes with its bucket's content.
        before: what must be true of one before it may be deleted.
        after: what must be true for it to count as gone.
        running: for a job, the key of its status in `look`'s answer: only one that runs is deleted,
            which for a job means stopped.
    """

    name: str
    look: Callable[[str], Call] | None = None
    found: Callable[[Mapping[str, Any]], bool] = lambda answer: True
    delete: Callable[[str], tuple[Call, ...]] = lambda name: ()
    before: Awaited | None = None
    after: Awaited | None = None
    running: str | None = None


def _sagemaker(operation: str, key: str) -> Callable[[str], Call]:
    return lambda name: Call("sagemaker", operation, {key: name})


def _alone(call: Callable[[str], Call]) -> Callable[[str], tuple[Call, ...]]:
    return lambda name: (call(name),)


def _delete_alarm(name: str) -> Call:
    return Call("cloudwatch", "delete_alarms", {"AlarmNames": [name]})


def _delete_role(name: str) -> tuple[Call, ...]:
    named = {"RoleName": name}
    return (
        Call("iam", "delete_role_policy", {**named, "PolicyName": Role.RETRAINING_POLICY_NAME}),
        Call("iam", "delete_role_policy", {**named, "PolicyName": Role.POLICY_NAME}),
        Call("iam", "delete_role", named),
    )


# Nothing comes before what uses it. Not among them: images, which every project with the same
# serving code shares.
TABLE = (
    Kind("scheduled action", delete=lambda name: deletion("scheduled action", name)),
    Kind("scaling policy", delete=lambda name: deletion("scaling policy", name)),
    Kind("scalable target", delete=lambda name: deletion("scalable target", name)),
    Kind(
        "endpoint",
        _sagemaker("describe_endpoint", "EndpointName"),
        delete=_alone(_sagemaker("delete_endpoint", "EndpointName")),
        # SageMaker refuses to delete one that is being created or updated.
        before="rest",
        after="gone",
    ),
    Kind(
        "alarm",
        lambda name: Call("cloudwatch", "describe_alarms", {"AlarmNames": [name]}),
        lambda answer: bool(answer.get("MetricAlarms")),
        lambda name: (_delete_alarm(name),),
    ),
    Kind(
        "endpoint config",
        _sagemaker("describe_endpoint_config", "EndpointConfigName"),
        delete=_alone(_sagemaker("delete_endpoint_config", "EndpointConfigName")),
    ),
    Kind(
        "model",
        _sagemaker("describe_model", "ModelName"),
        delete=_alone(_sagemaker("delete_model", "ModelName")),
    ),
    Kind(
        "model package",
        _sagemaker("describe_model_package", "ModelPackageName"),
        delete=_alone(_sagemaker("delete_model_package", "ModelPackageName")),
    ),
    # After its versions: SageMaker refuses to delete one that holds some.
    Kind(
        "model package group",
        _sagemaker("describe_model_package_group", "ModelPackageGroupName"),
        delete=_alone(_sagemaker("delete_model_package_group", "ModelPackageGroupName")),
    ),
    Kind(
        "tuning job",
        _sagemaker("describe_hyper_parameter_tuning_job", "HyperParameterTuningJobName"),
        delete=_alone(_sagemaker("stop_hyper_parameter_tuning_job", "HyperParameterTuningJobName")),
        after="tuning ended",
        running="HyperParameterTuningJobStatus",
    ),
    Kind(
        "training job",
        _sagemaker("describe_training_job", "TrainingJobName"),
        delete=_alone(_sagemaker("stop_training_job", "TrainingJobName")),
        after="ended",
        running="TrainingJobStatus",
    ),
    Kind(
        "transform job",
        _sagemaker("describe_transform_job", "TransformJobName"),
        delete=_alone(_sagemaker("stop_transform_job", "TransformJobName")),
        after="transform ended",
        running="TransformJobStatus",
    ),
    Kind(
        "build project",
        lambda name: Call("codebuild", "batch_get_projects", {"names": [name]}),
        found=lambda answer: bool(answer["projects"]),
        delete=lambda name: (Call("codebuild", "delete_project", {"name": name}),),
    ),
    # What a serving image was built from, to be read; the image itself stays.
    Kind("base image"),
    Kind("role", lambda name: Call("iam", "get_role", {"RoleName": name}), delete=_delete_role),
    Kind("object"),
    Kind("bucket"),
)
KINDS = {kind.name: kind for kind in TABLE}
