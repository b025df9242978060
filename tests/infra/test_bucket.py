"""The bucket that a deployment makes: closed, encrypted, TLS only; one that was there is left."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from infra.resources import Desired
from tests.infra.test_security import AWS, KEY
from tests.support import projects
from tests.support.deployments import ACCOUNT, deploy, planned, wanted
from tests.support.fake_cloud import FakeCloud

SETTINGS = ["put_public_access_block", "put_bucket_encryption", "put_bucket_policy"]


@pytest.fixture
def want(tmp_path: Path) -> Desired:
    made = wanted(tmp_path / "p", toml=projects.TOML + AWS, account=replace(ACCOUNT, local=False))
    return replace(made, bucket=replace(made.bucket, ours=True))


def asked(cloud: FakeCloud, want: Desired) -> list[str]:
    steps = planned(cloud, want).steps
    return [step.call.operation for step in steps if step.kind == "bucket setting" and step.call]


def test_a_new_bucket_is_closed_encrypted_and_reached_by_tls_alone(want: Desired) -> None:
    assert asked(FakeCloud(local=False), want) == SETTINGS
    calls = {
        step.call.operation: step.call.parameters
        for step in planned(FakeCloud(local=False), want).steps
        if step.call
    }
    blocked = calls["put_public_access_block"]["PublicAccessBlockConfiguration"]
    assert (len(blocked), set(blocked.values())) == (4, {True})
    (rule,) = calls["put_bucket_encryption"]["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"] == KEY
    plain, old = json.loads(calls["put_bucket_policy"]["Policy"])["Statement"]
    assert {plain["Effect"], old["Effect"]} == {"Deny"}
    assert plain["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_a_deployment_that_was_cut_short_before_them_sets_them_later(
    want: Desired, tmp_path: Path
) -> None:
    cloud = FakeCloud(local=False)
    cloud.buckets.add(want.bucket.name)
    assert asked(cloud, want) == SETTINGS
    cloud.images.add(f"{want.image.repository}:{want.image.tag}")  # type: ignore[union-attr]
    deploy(cloud, want, tmp_path / "build")
    assert asked(cloud, want) == []
    other = replace(want, bucket=replace(want.bucket, kms_key=None))
    assert asked(cloud, other) == SETTINGS


def test_a_bucket_that_was_there_is_left_as_it_is(want: Desired) -> None:
    cloud = FakeCloud(local=False)
    cloud.buckets.add(want.bucket.name)
    assert asked(cloud, replace(want, bucket=replace(want.bucket, ours=False))) == []


def test_the_local_cloud_s_bucket_has_no_policy(tmp_path: Path) -> None:
    assert asked(FakeCloud(), wanted(tmp_path)) == SETTINGS[:2]
