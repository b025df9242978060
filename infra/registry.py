"""The model registry: a group for each project, and in it a version for each model that may serve.

A version is registered before it is rolled out, with its scores and where it comes from. Its
description begins with the digest of what it is, so one list of the group says what is there. Where
[deploy].require_approval is true, a version serves only when somebody has approved it.

Here: the values, and reading and writing them. Not here: which step registers (plan.py), nor who
may approve (IAM).
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.failures import explain, is_missing
from infra.package import digest_of, short
from infra.requests import Request, Tags, tagged
from infra.steps import Call, Step, Unchanged
from shared import archives, storage
from shared.errors import BundleError, DeploymentError

if TYPE_CHECKING:
    from infra.aws import Cloud

PENDING, APPROVED, REJECTED = "PendingManualApproval", "Approved", "Rejected"
FOLDER = "metrics"
METRICS = "metrics.json"
_METRICS_BYTES = 1 << 20
_MEDIA = ("application/json", "text/csv", "application/jsonlines")
_DESCRIBED = re.compile(r"([0-9a-f]{12}): ")
# What a value of a package's metadata may hold.
_PLAIN = re.compile(r"[^\w\s.:/=+\-@]")


@dataclass(frozen=True)
class Version:
    """One version as it is registered.

    Attributes:
        digest: of what it is; "" for one that this kit did not register.
        status: PendingManualApproval, Approved or Rejected.
    """

    number: int
    arn: str
    status: str
    digest: str = ""


@dataclass(frozen=True)
class Chosen:
    """A version that is to serve in place of what the project asks for.

    Attributes:
        job, data, image: the training job, its model.tar.gz, and the image that serves it.
    """

    version: Version
    job: str
    data: str
    image: str


@dataclass(frozen=True)
class Package:
    """A trained model as it is to be registered.

    Attributes:
        job, data, image: the training job, its model.tar.gz, and the image that serves it.
        lineage: names and values of where it comes from.
        approved: whether it may serve at once.
    """

    project: str
    job: str
    data: str
    image: str
    bucket: str
    lineage: tuple[tuple[str, str], ...] = ()
    approved: bool = True
    tags: Tags = field(default=())

    @property
    def digest(self) -> str:
        """Of what it is: whatever serves it, and on what, the same model is the same version."""
        return short(digest_of(json.dumps([self.job, self.data, self.image]).encode()))

    @property
    def metrics(self) -> str:
        """The key of its scores."""
        return f"{self.project}/{FOLDER}/{self.digest}/{METRICS}"

    def group_request(self) -> Request:
        """Parameters of CreateModelPackageGroup."""
        return {
            "ModelPackageGroupName": self.project,
            "ModelPackageGroupDescription": f"What {self.project} has trained",
            **tagged(self.tags),
        }

    def request(self) -> Request:
        """Parameters of CreateModelPackage. SageMaker takes no tags for a version."""
        properties = dict(self.lineage) | {"job": self.job}
        return {
            "ModelPackageGroupName": self.project,
            "ModelPackageDescription": f"{self.digest}: {self.job}",
            "InferenceSpecification": {
                "Containers": [{"Image": self.image, "ModelDataUrl": self.data}],
                "SupportedContentTypes": list(_MEDIA),
                "SupportedResponseMIMETypes": list(_MEDIA),
            },
            "ModelMetrics": {
                "ModelQuality": {
                    "Statistics": {
                        "ContentType": "application/json",
                        "S3Uri": f"s3://{self.bucket}/{self.metrics}",
                    }
                }
            },
            "CustomerMetadataProperties": {
                name: _PLAIN.sub("_", value)[:256] for name, value in sorted(properties.items())
            },
            "ModelApprovalStatus": APPROVED if self.approved else PENDING,
            # The same again, when an answer was lost, is the same version.
            "ClientToken": self.digest,
        }


def package_steps(
    package: Package, versions: Sequence[Version] | None, steps: list[Step], same: list[Unchanged]
) -> Version | None:
    """Add what registers a model; the version that it is already.

    Args:
        package: the model.
        versions: those of its group; None: there is no group.
        steps: of the plan.
        same: what needs none.
    """
    name = package.project
    known = next((one for one in versions or () if one.digest == package.digest), None)
    if versions is not None:
        same.append(Unchanged("model package group", name, "exists"))
    if known:
        reason = f"version {known.number} is the same bundle and image"
        same.append(Unchanged("model package", known.arn, reason))
        return known
    if versions is None:
        steps.append(
            Step(
                "endpoint",
                "create",
                "model package group",
                name,
                "does not exist",
                Call("sagemaker", "create_model_package_group", package.group_request()),
                undo=Call(
                    "sagemaker", "delete_model_package_group", {"ModelPackageGroupName": name}
                ),
            )
        )
    place = {
        "archive": package.data.rsplit("/", 1)[0] + "/output.tar.gz",
        "bucket": package.bucket,
        "key": package.metrics,
    }
    steps.append(
        Step(
            "endpoint",
            "create",
            "object",
            package.metrics,
            "the scores of a new version",
            Call("s3", "publish_metrics", place),
        )
    )
    steps.append(
        Step(
            "endpoint",
            "create",
            "model package",
            f"{name}/{package.digest}",
            "a new version" if package.approved else "a new version, to be approved",
            Call("sagemaker", "create_model_package", package.request()),
        )
    )
    return None


def standing(found: Sequence[Version] | None, live: str | None) -> Version | None:
    """The approved version that serves where a rejected one is asked for.

    Args:
        found: the newest first.
        live: the ARN of the version that serves now; where it is not approved, the newest that is.
    """
    approved = [one for one in found or () if one.status == APPROVED and one.digest]
    return next((one for one in approved if one.arn == live), next(iter(approved), None))


def versions(cloud: Cloud, project: str) -> tuple[Version, ...] | None:
    """The versions of a project's group, the newest first; None where there is no group.

    Raises:
        DeploymentError: AWS refuses.
    """
    found: list[Version] = []
    token: dict[str, object] = {}
    while True:
        request = {
            "ModelPackageGroupName": project,
            "SortBy": "CreationTime",
            "SortOrder": "Descending",
            "MaxResults": 100,
            **token,
        }
        try:
            page = cloud.call("sagemaker", "list_model_packages", request)
        except Exception as error:
            if is_missing(error):
                return None
            raise explain(error, f"Looking at the versions of {project}") from error
        found += [_version(one) for one in page["ModelPackageSummaryList"]]
        if not page.get("NextToken"):
            break
        token = {"NextToken": page["NextToken"]}
    if not found and not _exists(cloud, project):
        return None
    return tuple(sorted(found, key=lambda one: -one.number))


def _exists(cloud: Cloud, project: str) -> bool:
    """Whether there is the group, of which no version is known."""
    try:
        place = {"ModelPackageGroupName": project}
        cloud.call("sagemaker", "describe_model_package_group", place)
    except Exception as error:
        if is_missing(error):
            return False
        raise explain(error, f"Looking at the versions of {project}") from error
    return True


def _version(summary: dict[str, Any]) -> Version:
    described = _DESCRIBED.match(summary.get("ModelPackageDescription") or "")
    return Version(
        int(summary.get("ModelPackageVersion") or 0),
        summary["ModelPackageArn"],
        summary.get("ModelApprovalStatus") or PENDING,
        described.group(1) if described else "",
    )


def numbered(found: Sequence[Version] | None, number: int, project: str) -> Version:
    """The version of that number.

    Raises:
        DeploymentError: there is none.
    """
    for version in found or ():
        if version.number == number:
            return version
    known = ", ".join(str(version.number) for version in found or ()) or "none"
    raise DeploymentError(
        "there is no such version", where=f"version {number} of {project}", cure=f"Known: {known}"
    )


def chosen(cloud: Cloud, project: str, number: int) -> Chosen:
    """A registered version, with what it serves.

    Raises:
        DeploymentError: there is none, or the kit did not register it.
    """
    version = numbered(versions(cloud, project), number, project)
    place = {"ModelPackageName": version.arn}
    described = cloud.call("sagemaker", "describe_model_package", place)
    containers = (described.get("InferenceSpecification") or {}).get("Containers", [])
    job = (described.get("CustomerMetadataProperties") or {}).get("job")
    if not version.digest or job is None or len(containers) != 1:
        raise DeploymentError(
            "was not registered by a deployment of this project",
            where=f"version {number} of {project}",
        )
    return Chosen(version, job, containers[0]["ModelDataUrl"], containers[0]["Image"])


def publish_metrics(cloud: Cloud, archive: str, bucket: str, key: str) -> None:
    """Lay the scores of a job's output.tar.gz beside it, where the registry can point to them.

    A job that left none has none to lay.
    """
    source, name = storage.split(archive)
    place: dict[str, object] = {"Bucket": source, "Key": name, "ChecksumMode": "ENABLED"}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "output.tar.gz"
        try:
            with cloud.call("s3", "get_object", place)["Body"] as body, copy.open("wb") as file:
                shutil.copyfileobj(body, file)
            scores = archives.member(copy, METRICS, _METRICS_BYTES)
        except BundleError:
            scores = None
        except Exception as error:
            if not is_missing(error):
                raise
            scores = None
    if scores is None:
        return
    place = {"Bucket": bucket, "Key": key, "ContentType": "application/json", "Body": scores}
    cloud.call("s3", "put_object", place)


def with_known_metrics(cloud: Cloud, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """What makes a version; where there are no scores, it points to none."""
    bucket, key = storage.split(request["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"])
    try:
        cloud.call("s3", "head_object", {"Bucket": bucket, "Key": key})
    except Exception as error:
        if not is_missing(error):
            raise
        return {name: value for name, value in request.items() if name != "ModelMetrics"}
    return request


def approve(cloud: Cloud, version: Version, who: str, when: str) -> None:
    """Let a version serve.

    Args:
        cloud: where it is.
        version: which.
        who: approves it.
        when: in ISO 8601, UTC.
    """
    cloud.call(
        "sagemaker",
        "update_model_package",
        {
            "ModelPackageArn": version.arn,
            "ModelApprovalStatus": APPROVED,
            "ApprovalDescription": f"by {who}, {when}"[:1024],
            "CustomerMetadataProperties": {
                "approved_by": _PLAIN.sub("_", who)[:256],
                "approved_at": when,
            },
        },
    )
