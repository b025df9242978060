"""Quotas: too small ones are told before anything is made; unknown ones stop nobody."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from botocore.validate import validate_parameters

from infra.observe import Observed, ObservedEndpoint
from infra.plan import Plan, plan
from infra.quotas import Need, check, needs
from infra.serving import Variant
from shared.errors import DeploymentError
from tests.support import projects
from tests.support.deployments import ACCOUNT, deploy, planned, wanted
from tests.support.fake_cloud import FakeCloud

AWS = replace(ACCOUNT, local=False)
ENDPOINT, TRAINING = "ml.m5.large for endpoint usage", "ml.m5.xlarge for training job usage"


def first(directory: Path, toml: str = projects.TOML) -> Plan:
    return plan(wanted(directory, toml=toml, account=AWS), Observed())


def account(**quotas: float) -> FakeCloud:
    cloud = FakeCloud(local=False)
    cloud.quotas = {ENDPOINT: 2, TRAINING: 2, "Total training jobs": 100}
    cloud.quotas |= {{"endpoint": ENDPOINT, "training": TRAINING}[k]: v for k, v in quotas.items()}
    return cloud


def test_a_first_deployment_needs_instances_for_training_and_endpoint(tmp_path: Path) -> None:
    assert needs(first(tmp_path)) == (Need(TRAINING, 1, 1), Need(ENDPOINT, 1, 1))


def test_spot_capacity_has_a_quota_of_its_own(tmp_path: Path) -> None:
    toml = projects.TOML.replace("[training]", "[training]\nspot = true\ninstance_count = 2")
    toml = toml.replace("trials = 1", "trials = 0")
    assert needs(first(tmp_path, toml))[0] == Need("ml.m5.xlarge for spot training job usage", 2, 2)


def test_jobs_side_by_side_are_counted(tmp_path: Path) -> None:
    toml = projects.TOML.replace("trials = 1", 'trials = 2\nwhere = "service"\nparallel = 2')
    assert needs(first(tmp_path, toml))[0].count == 2


def test_an_update_has_two_fleets_for_a_while(tmp_path: Path) -> None:
    cloud = FakeCloud()
    deploy(cloud, wanted(tmp_path / "first"), tmp_path / "build")
    again = wanted(tmp_path / "second", serving="6" * 64)
    assert needs(planned(cloud, again)) == (Need(ENDPOINT, 1, 2),)
    deploy(cloud, again, tmp_path / "build")
    assert needs(planned(cloud, again)) == ()


def test_scaling_may_need_more(tmp_path: Path) -> None:
    toml = projects.TOML + "[endpoint]\nscaling = { min = 1, max = 4 }\n"
    assert needs(first(tmp_path, toml))[1] == Need(ENDPOINT, 1, 4)


def test_a_version_beside_another_is_counted_once_more_and_is_not_scaled(tmp_path: Path) -> None:
    scaled = "instances = 2\nscaling = { min = 1, max = 9 }\n"
    beside = f'{projects.TOML}[endpoint]\n{scaled}shadow = {{ share = "10%" }}\n'
    old = Variant("AllTraffic", "small-ba9876543210", "ml.m5.large", count=2)
    endpoint = ObservedEndpoint("small", "InService", f"small-{'0' * 12}", variants=(old,))
    again = plan(wanted(tmp_path, toml=beside), Observed(endpoint=endpoint))
    assert [variant.count for variant in again.serving.config.variants] == [2, 2]
    assert needs(again)[1] == Need(ENDPOINT, 4, 9 + 4)


def test_enough_is_not_mentioned(tmp_path: Path) -> None:
    assert check(account(), needs(first(tmp_path))) == []


@pytest.mark.parametrize("use", ["endpoint", "training"])
def test_too_few_are_refused_with_the_quota_s_name(tmp_path: Path, use: str) -> None:
    with pytest.raises(DeploymentError, match=r"for .* usage.*0 instances, and 1 are") as caught:
        check(account(**{use: 0}), needs(first(tmp_path)))
    assert "Service Quotas console" in str(caught.value)


def test_too_few_for_a_while_are_mentioned() -> None:
    (said,) = check(account(endpoint=1), [Need(ENDPOINT, 1, 2)])
    assert "up to 2 are needed at times" in said


def test_what_may_not_be_looked_at_is_told_and_stops_nobody() -> None:
    (said,) = check(FakeCloud(local=False), [Need(ENDPOINT, 1, 1)])
    assert said == "Quotas are not checked: not allowed to look (AccessDeniedException)."


def test_what_is_not_on_the_list_is_told() -> None:
    (said,) = check(account(), [Need("ml.x9.huge for endpoint usage", 1, 1)])
    assert "does not list 'ml.x9.huge for endpoint usage'" in said


def test_the_call_is_one_that_the_service_takes() -> None:
    client = boto3.client(
        "service-quotas", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    shape = client.meta.service_model.operation_model("ListServiceQuotas").input_shape
    validate_parameters({"ServiceCode": "sagemaker", "MaxResults": 100, "NextToken": "x"}, shape)
