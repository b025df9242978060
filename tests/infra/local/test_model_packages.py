"""The model registry through boto3, up to a model that is served from it."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.local_cloud import ROLE, Bench

pytestmark = pytest.mark.slow


@pytest.fixture
def group(bench: Bench) -> str:
    name = bench.name("Group")
    bench.sagemaker.create_model_package_group(
        ModelPackageGroupName=name, ModelPackageGroupDescription="all of it"
    )
    return name


def register(bench: Bench, group: str, image: str = "i", **changes: Any) -> str:
    """A version of a group; its ARN."""
    container = {"Image": image, "Environment": {"NAME": "from the package"}}
    specification = {
        "Containers": [container],
        "SupportedContentTypes": ["text/csv"],
        "SupportedResponseMIMETypes": ["text/csv"],
    }
    answer = bench.sagemaker.create_model_package(
        ModelPackageGroupName=group, InferenceSpecification=specification, **changes
    )
    return str(answer["ModelPackageArn"])


def described(bench: Bench, package: str) -> dict[str, Any]:
    found: dict[str, Any] = bench.sagemaker.describe_model_package(ModelPackageName=package)
    return found


def create_model(bench: Bench, package: str, **container: Any) -> str:
    name = bench.name("registered")
    bench.sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"ModelPackageName": package, **container},
    )
    return name


def test_versions_count_up_and_wait_for_approval(bench: Bench, group: str) -> None:
    quality = {"Statistics": {"ContentType": "application/json", "S3Uri": "s3://b/metrics.json"}}
    first = register(
        bench,
        group,
        ModelMetrics={"ModelQuality": quality},
        CustomerMetadataProperties={"data": "d1", "commit": "c1"},
        ModelPackageDescription="the first",
    )
    second = register(bench, group, ModelApprovalStatus="Approved")
    assert first.endswith(f":model-package/{group.lower()}/1")
    assert second.endswith("/2")
    found = described(bench, first)
    assert found["ModelPackageGroupName"] == group
    assert found["ModelPackageVersion"] == 1
    assert found["ModelApprovalStatus"] == "PendingManualApproval"
    assert found["ModelPackageStatus"] == "Completed"
    assert found["ModelMetrics"]["ModelQuality"] == quality
    assert found["CustomerMetadataProperties"] == {"data": "d1", "commit": "c1"}
    listed = bench.sagemaker.list_model_packages(ModelPackageGroupName=group)
    arns = [each["ModelPackageArn"] for each in listed["ModelPackageSummaryList"]]
    assert arns == [second, first]
    approved = bench.sagemaker.list_model_packages(
        ModelPackageGroupName=group, ModelApprovalStatus="Approved"
    )
    assert [each["ModelPackageVersion"] for each in approved["ModelPackageSummaryList"]] == [2]
    groups = bench.sagemaker.list_model_package_groups(NameContains=group)
    (summary,) = groups["ModelPackageGroupSummaryList"]
    assert summary["ModelPackageGroupDescription"] == "all of it"


def test_a_request_that_is_sent_again_makes_no_second_version(bench: Bench, group: str) -> None:
    token = bench.name("token")
    first, again = (register(bench, group, ClientToken=token) for _ in range(2))
    assert first == again
    assert register(bench, group).endswith("/2")


def test_an_update_changes_what_it_names_and_nothing_else(bench: Bench, group: str) -> None:
    package = register(bench, group, CustomerMetadataProperties={"a": "1", "b": "2"})
    bench.sagemaker.update_model_package(
        ModelPackageArn=package, ModelApprovalStatus="Rejected", ApprovalDescription="too slow"
    )
    found = described(bench, package)
    assert found["ModelApprovalStatus"] == "Rejected"
    assert found["ApprovalDescription"] == "too slow"
    assert found["CustomerMetadataProperties"] == {"a": "1", "b": "2"}
    bench.sagemaker.update_model_package(
        ModelPackageArn=package,
        CustomerMetadataProperties={"c": "3"},
        CustomerMetadataPropertiesToRemove=["a"],
    )
    assert described(bench, package)["CustomerMetadataProperties"] == {"b": "2", "c": "3"}


def test_only_an_approved_version_becomes_a_model_and_is_served(bench: Bench, group: str) -> None:
    package = register(bench, group, bench.image())
    with pytest.raises(ClientError, match="ModelApprovalStatus is PendingManualApproval"):
        create_model(bench, package)
    bench.sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")
    model = create_model(bench, package)
    container = bench.sagemaker.describe_model(ModelName=model)["PrimaryContainer"]
    assert container["ModelPackageName"] == package
    endpoint = bench.endpoint(bench.config(bench.variant(model)))
    assert bench.invoke(endpoint, b"who") == b"from the package"
    bench.delete(endpoint)


def test_a_group_goes_when_its_versions_are_gone_and_numbers_do_not_come_back(
    bench: Bench, group: str
) -> None:
    package = register(bench, group)
    with pytest.raises(bench.sagemaker.exceptions.ConflictException, match="delete them first"):
        bench.sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    bench.sagemaker.delete_model_package(ModelPackageName=package)
    second = register(bench, group)
    assert second.endswith("/2")
    bench.sagemaker.delete_model_package(ModelPackageName=second)
    bench.sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    with pytest.raises(ClientError, match="does not exist"):
        bench.sagemaker.describe_model_package_group(ModelPackageGroupName=group)


def test_a_package_without_a_group_has_a_name(bench: Bench) -> None:
    name = bench.name("alone")
    bench.sagemaker.create_model_package(
        ModelPackageName=name, Tags=[{"Key": "k", "Value": "v"}], SourceUri="s3://b/x"
    )
    found = described(bench, name)
    assert found["ModelPackageName"] == name
    assert "ModelApprovalStatus" not in found
    tags = bench.sagemaker.list_tags(ResourceArn=found["ModelPackageArn"])["Tags"]
    assert tags == [{"Key": "k", "Value": "v"}]
    listed = bench.sagemaker.list_model_packages(NameContains=name)["ModelPackageSummaryList"]
    assert [each["ModelPackageName"] for each in listed] == [name]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ModelPackageName": "x"}, "Both ModelPackageName and ModelPackageGroupName"),
        ({"ModelPackageGroupName": "nobody"}, "does not exist"),
        ({"Tags": [{"Key": "k", "Value": "v"}]}, "not supported for a versioned"),
        ({"ModelApprovalStatus": "Maybe"}, "enum value set"),
        ({"CertifyForMarketplace": True}, "does not offer CertifyForMarketplace"),
    ],
)
def test_what_aws_refuses_is_refused(
    bench: Bench, group: str, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ClientError, match=words):
        bench.sagemaker.create_model_package(**{"ModelPackageGroupName": group, **changes})


def test_names_are_taken_once_and_unknown_ones_refused(bench: Bench, group: str) -> None:
    with pytest.raises(ClientError, match="Model Package Group already exists"):
        bench.sagemaker.create_model_package_group(ModelPackageGroupName=group)
    with pytest.raises(ClientError, match="does not exist"):
        create_model(bench, "nobody")
    with pytest.raises(ClientError, match="Missing ARN"):
        bench.sagemaker.create_model_package()
    with pytest.raises(ClientError, match="either ModelPackageName or Image"):
        create_model(bench, register(bench, group), Image="i")
