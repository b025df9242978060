"""The model registry: groups of model packages, their versions, and what approves them.

A version is deployed by CreateModel with ModelPackageName; as the API reference says, only when its
ModelApprovalStatus is Approved. Nothing is validated or scanned, so a package is Completed at once.
The words for a group that holds versions and for a version that is not approved are our own; the
others have been quoted by users of AWS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from infra.local.state import Answer, Cloud, Operation, arn, now, page
from infra.local.tags import as_pairs
from infra.local.wire import RefusalError, invalid, not_offered

NOT_OFFERED = (
    *("SourceAlgorithmSpecification", "ValidationSpecification", "CertifyForMarketplace"),
    *("ManagedStorageType", "ModelPackageRegistrationType"),
)
REPLACED = (
    *("ModelApprovalStatus", "ApprovalDescription", "InferenceSpecification", "SourceUri"),
    *("ModelCard", "ModelLifeCycle"),
)


@dataclass
class Group:
    """A group of versions of one model."""

    name: str
    arn: str
    created: datetime
    request: Mapping[str, Any]
    latest: int = 0


@dataclass
class Package:
    """A model package; one of a group has a version."""

    name: str
    arn: str
    created: datetime
    details: dict[str, Any]
    group: str | None = None
    version: int | None = None
    modified: datetime | None = None

    def summary(self) -> dict[str, Any]:
        """What every answer says of it."""
        return {
            "ModelPackageName": None if self.version else self.name,
            "ModelPackageGroupName": self.group,
            "ModelPackageVersion": self.version,
            "ModelPackageArn": self.arn,
            "ModelPackageDescription": self.details.get("ModelPackageDescription"),
            "CreationTime": self.created,
            "ModelPackageStatus": "Completed",
            "ModelApprovalStatus": self.details.get("ModelApprovalStatus"),
            "ModelLifeCycle": self.details.get("ModelLifeCycle"),
        }


class ModelPackages:
    """Every model package of this cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._groups: dict[str, Group] = {}
        self._packages: dict[str, Package] = {}
        self._tokens: dict[str, str] = {}

    def operations(self) -> dict[str, Operation]:
        """What this answers, by the operation's name."""
        return {
            "CreateModelPackageGroup": self.create_group,
            "DescribeModelPackageGroup": self.describe_group,
            "ListModelPackageGroups": self.list_groups,
            "DeleteModelPackageGroup": self.delete_group,
            "CreateModelPackage": self.create,
            "DescribeModelPackage": self.describe,
            "ListModelPackages": self.list,
            "UpdateModelPackage": self.update,
            "DeleteModelPackage": self.delete,
        }

    def container(self, definition: Mapping[str, Any]) -> dict[str, Any]:
        """What a container definition that names a model package runs.

        Raises:
            RefusalError: there is no such package, it is not approved, or has several containers.
        """
        with self._cloud.lock:
            package = self._package(definition["ModelPackageName"])
            status = package.details.get("ModelApprovalStatus", "Approved")
            if status != "Approved":
                raise invalid(
                    f"Model package {package.arn} is not approved for deployment: its "
                    f"ModelApprovalStatus is {status}."
                )
            found = package.details.get("InferenceSpecification", {}).get("Containers", [])
        if len(found) != 1:
            raise not_offered("a model of a package without exactly one container")
        own = found[0]
        kept = ("Image", "ModelDataUrl", "ModelDataSource")
        return {
            **{key: own[key] for key in kept if key in own},
            "Environment": {**own.get("Environment", {}), **definition.get("Environment", {})},
        }

    def create_group(self, request: dict[str, Any]) -> Answer:
        """Make a group without versions."""
        name = request["ModelPackageGroupName"]
        group_arn = arn("model-package-group", name)
        if "ManagedConfiguration" in request:
            raise not_offered("ManagedConfiguration")
        with self._cloud.lock:
            if name.lower() in self._groups:
                raise invalid(f"Model Package Group already exists: {group_arn}")
            self._groups[name.lower()] = Group(name, group_arn, now(), request)
            self._cloud.tags[group_arn] = as_pairs(request.get("Tags", []))
        return {"ModelPackageGroupArn": group_arn}

    def describe_group(self, request: dict[str, Any]) -> Answer:
        """A group."""
        with self._cloud.lock:
            group = self._group(request["ModelPackageGroupName"])
        return {**_group_summary(group), "CreatedBy": {}}

    def list_groups(self, request: dict[str, Any]) -> Answer:
        """Summaries, filtered and sorted."""
        if request.get("CrossAccountFilterOption") == "CrossAccount":
            raise not_offered("groups of other accounts")
        with self._cloud.lock:
            found, token = page(self._groups.values(), request)
        summaries = [_group_summary(each) for each in found]
        return {"ModelPackageGroupSummaryList": summaries, "NextToken": token}

    def delete_group(self, request: dict[str, Any]) -> None:
        """Forget a group that holds nothing."""
        with self._cloud.lock:
            group = self._group(request["ModelPackageGroupName"])
            if any(each.group == group.name for each in self._packages.values()):
                raise RefusalError(
                    "ConflictException",
                    f"Model Package Group {group.arn} contains model packages; delete them first.",
                )
            del self._groups[group.name.lower()]
            self._cloud.tags.pop(group.arn, None)

    def create(self, request: dict[str, Any]) -> Answer:
        """Register a model: the next version of a group, or a package on its own."""
        for name in NOT_OFFERED:
            if request.get(name):
                raise not_offered(f"{name} of a model package")
        own, group_name = request.get("ModelPackageName"), request.get("ModelPackageGroupName")
        if own and group_name:
            raise invalid(
                "Both ModelPackageName and ModelPackageGroupName are provided in the input. "
                "Cannot determine which one to use."
            )
        if not own and not group_name:
            raise invalid("Missing ARN.")
        tags, ticket = request.pop("Tags", []), request.pop("ClientToken", "")
        with self._cloud.lock:
            if ticket in self._tokens:  # asked again, since the answer was lost
                return {"ModelPackageArn": self._tokens[ticket]}
            if group_name:
                package = self._version(self._group(group_name), request, tags)
            else:
                package = Package(str(own), arn("model-package", str(own)), now(), request)
                if package.arn in self._packages:
                    raise invalid(f"Model Package already exists: {package.arn}")
            self._packages[package.arn] = package
            if ticket:
                self._tokens[ticket] = package.arn
            self._cloud.tags[package.arn] = as_pairs(tags)
        return {"ModelPackageArn": package.arn}

    def _version(self, group: Group, request: dict[str, Any], tags: Any) -> Package:
        if tags:
            raise invalid("Tags are not supported for a versioned model package.")
        group.latest += 1
        request.setdefault("ModelApprovalStatus", "PendingManualApproval")
        place = arn("model-package", f"{group.name}/{group.latest}")
        return Package(group.name, place, now(), request, group.name, group.latest)

    def describe(self, request: dict[str, Any]) -> Answer:
        """A model package."""
        with self._cloud.lock:
            package = self._package(request["ModelPackageName"])
            return {
                **package.details,
                **package.summary(),
                "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
                "LastModifiedTime": package.modified,
            }

    def list(self, request: dict[str, Any]) -> Answer:
        """Summaries, filtered and sorted; without a group, those of no group."""
        with self._cloud.lock:
            group = request.get("ModelPackageGroupName")
            kind = "Versioned" if group else request.get("ModelPackageType", "Unversioned")
            wanted = self._group(group).name if group else None
            status = request.get("ModelApprovalStatus")
            candidates = [
                each
                for each in self._packages.values()
                if (kind == "Both" or (kind == "Versioned") == bool(each.version))
                and (wanted is None or each.group == wanted)
                and (status is None or each.details.get("ModelApprovalStatus") == status)
            ]
            found, token = page(candidates, request)
            summaries = [each.summary() for each in found]
        return {"ModelPackageSummaryList": summaries, "NextToken": token}

    def update(self, request: dict[str, Any]) -> Answer:
        """Approve or reject a package, or change what is told about it."""
        if "ModelPackageRegistrationType" in request:
            raise not_offered("ModelPackageRegistrationType of a model package")
        with self._cloud.lock:
            package = self._package(request["ModelPackageArn"])
            details = package.details
            details.update({key: request[key] for key in REPLACED if key in request})
            added = request.get("AdditionalInferenceSpecificationsToAdd", [])
            if added:
                before = details.get("AdditionalInferenceSpecifications", [])
                details["AdditionalInferenceSpecifications"] = [*before, *added]
            self._annotate(details, request)
            package.modified = now()
        return {"ModelPackageArn": package.arn}

    @staticmethod
    def _annotate(details: dict[str, Any], request: Mapping[str, Any]) -> None:
        """Merge metadata; what is not mentioned stays."""
        properties = {
            **details.get("CustomerMetadataProperties", {}),
            **request.get("CustomerMetadataProperties", {}),
        }
        for name in request.get("CustomerMetadataPropertiesToRemove", []):
            properties.pop(name, None)
        if properties:
            details["CustomerMetadataProperties"] = properties
        else:
            details.pop("CustomerMetadataProperties", None)

    def delete(self, request: dict[str, Any]) -> None:
        """Forget a package; models made of it go on."""
        with self._cloud.lock:
            package = self._package(request["ModelPackageName"])
            del self._packages[package.arn]
            self._cloud.tags.pop(package.arn, None)

    def _group(self, reference: str) -> Group:
        name = reference.rpartition("/")[2]
        group = self._groups.get(name.lower())
        if group is None:
            raise invalid(f"ModelPackageGroup {arn('model-package-group', name)} does not exist.")
        return group

    def _package(self, reference: str) -> Package:
        name = reference.rpartition(":model-package/")[2]
        place = arn("model-package", name)
        package = self._packages.get(place)
        if package is None:
            raise invalid(f"ModelPackage {place} does not exist.")
        return package


def _group_summary(group: Group) -> dict[str, Any]:
    return {
        "ModelPackageGroupName": group.name,
        "ModelPackageGroupArn": group.arn,
        "ModelPackageGroupDescription": group.request.get("ModelPackageGroupDescription"),
        "CreationTime": group.created,
        "ModelPackageGroupStatus": "Completed",
    }
