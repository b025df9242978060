"""The small table of image addresses agrees with the SageMaker SDK's."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from infra import images
from shared.errors import DeploymentError


def test_the_table_is_the_sdk_s() -> None:
    spec = importlib.util.find_spec("sagemaker")
    assert spec is not None
    places = spec.submodule_search_locations or []
    table = next(
        path
        for place in places
        if (path := Path(place) / "core/image_uri_config/tensorflow.json").exists()
    )
    versions = json.loads(table.read_text())["training"]["versions"]
    accounts = versions["2.21.0"]["registries"]
    assert accounts == accounts | images.ACCOUNTS
    serving = json.loads(table.read_text())["inference"]["versions"]["2.20.0"]["registries"]
    assert serving == {name: accounts[name] for name in serving}
    assert serving.keys() >= images.ACCOUNTS.keys() - images.WITHOUT_SERVING
    assert not serving.keys() & images.WITHOUT_SERVING
    # Regions of other partitions have other addresses and are left out.
    assert all(
        region.startswith(("cn-", "us-", "eu")) for region in accounts.keys() - images.ACCOUNTS
    )


def test_a_region_and_an_instance_give_an_address() -> None:
    assert images.training_image("eu-south-1", "ml.m5.xlarge") == (
        "692866216735.dkr.ecr.eu-south-1.amazonaws.com/tensorflow-training:2.21-cpu-py312"
    )
    assert ":2.21-gpu-" in images.training_image("us-east-1", "ml.g5.xlarge")


def test_a_region_without_an_image_is_told_with_the_nearest() -> None:
    with pytest.raises(DeploymentError, match="eu-central-1"):
        images.training_image("eu-centrall-1", "ml.m5.xlarge")
