"""A new version beside the old one: what the endpoint config holds then, and until when."""

from __future__ import annotations

from pathlib import Path

import pytest
from botocore.session import get_session
from botocore.validate import ParamValidator

from infra.observe import as_variants
from infra.resources import Desired
from infra.serving import Variant
from tests.support import projects
from tests.support.deployments import wanted

OLD = Variant("AllTraffic", "small-ba9876543210", "ml.m5.large", count=2)
BOTH = ("ab", "shadow")


def asking(directory: Path, kind: str, serving: str = "5") -> Desired:
    """What a project wants that has a new version take 20 % beside the old one."""
    toml = f"{projects.TOML}\n[endpoint]\n{kind} = {{ share = '20%' }}\n"
    return wanted(directory, toml=toml, serving=64 * serving)


def test_a_candidate_gets_its_share_of_the_answers(tmp_path: Path) -> None:
    config = asking(tmp_path, "ab").serving(1, [OLD]).config
    told = [(one.name, one.weight, one.count) for one in config.variants]
    assert told == [("AllTraffic", 0.8, 2), ("Candidate", 0.2, 1)]
    assert "ShadowProductionVariants" not in config.request()


def test_a_shadow_gets_copies_of_its_share_of_the_requests(tmp_path: Path) -> None:
    request = asking(tmp_path, "shadow").serving(1, [OLD]).config.request()
    (production,), (shadow,) = request["ProductionVariants"], request["ShadowProductionVariants"]
    assert (production["ModelName"], production["InitialVariantWeight"]) == (OLD.model, 1.0)
    assert (shadow["VariantName"], shadow["InitialVariantWeight"]) == ("Candidate", 0.2)


@pytest.mark.parametrize("kind", BOTH)
def test_aws_takes_such_a_config_and_tells_the_same_variants(tmp_path: Path, kind: str) -> None:
    config = asking(tmp_path, kind).serving(1, [OLD]).config
    shape = get_session().get_service_model("sagemaker").operation_model("CreateEndpointConfig")
    assert not ParamValidator().validate(config.request(), shape.input_shape).has_errors()
    assert as_variants(config.request()) == config.variants


@pytest.mark.parametrize("kind", BOTH)
def test_nothing_changes_while_both_serve(tmp_path: Path, kind: str) -> None:
    want = asking(tmp_path, kind)
    config = want.serving(1, [OLD]).config
    assert want.serving(1, config.variants).config == config


@pytest.mark.parametrize("kind", BOTH)
def test_a_third_version_takes_the_candidates_place_not_the_old_ones(
    tmp_path: Path, kind: str
) -> None:
    running = asking(tmp_path / "two", kind).serving(1, [OLD]).config.variants
    variants = asking(tmp_path / "three", kind, "6").serving(1, running).config.variants
    assert [one.name for one in variants] == ["AllTraffic", "Candidate"]
    assert variants[0].model == OLD.model
    assert variants[1].model != running[1].model


@pytest.mark.parametrize("kind", BOTH)
def test_the_first_version_and_a_promoted_one_serve_alone(tmp_path: Path, kind: str) -> None:
    want = asking(tmp_path, kind)
    alone = want.serving(1)
    assert [one.name for one in alone.config.variants] == ["AllTraffic"]
    assert want.serving(1, alone.config.variants) == alone


def test_the_candidates_metrics_are_its_own(tmp_path: Path) -> None:
    made = asking(tmp_path, "ab").serving(1, [OLD])
    environment = made.model.request()["PrimaryContainer"]["Environment"]
    assert environment["VARIANT_NAME"] == "Candidate"
    assert environment["ENDPOINT_CONFIG_NAME"] == made.config.name
