"""Going back to an earlier release: which one is meant, and the reasons against it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra import rollback
from infra.async_client import AsyncClient
from infra.commands.rollback import _go
from infra.observe import ObservedEndpoint
from infra.progress import Lines
from infra.record import Outcome, Record, Release
from shared.errors import DeploymentError
from tests.support.fake_cloud import FakeCloud


def record(*configs: str, failed: str | None = None) -> Record:
    """A record of releases on these configs, in order."""
    made = Record("small")
    for moment, config in enumerate(configs):
        outcome: Outcome = "rolled back" if config == failed else "live"
        made = made.released(
            Release(
                config,
                f"model-{config}",
                "job",
                "s3://bucket/data",
                "image",
                f"2026-11-23T12:00:{moment:02}+00:00",
                outcome,
            )
        )
    return made


@pytest.mark.parametrize(
    ("made", "serving", "number", "expected"),
    [
        (record("a", "b"), "b", None, 1),
        (record("a", "b", "c", failed="c"), "b", None, 1),  # c never served
        (record("a", "b", "a"), "a", None, 2),  # back from a rollback
        (record("a", "b"), "changed by hand", None, 2),
        (record("a", "b", "c"), "b", None, 2),  # an interrupted rollback goes on
        (record("a", "b", "c"), "b", 2, 2),
        (record("a", "b", "c"), "c", 1, 1),
    ],
)
def test_the_release_is_the_verified_one_before_or_the_one_named(
    made: Record, serving: str, number: int | None, expected: int
) -> None:
    assert rollback.chosen(made, serving, number).number == expected


@pytest.mark.parametrize(
    ("made", "number", "words"),
    [
        (record(), None, "no earlier release"),
        (record("b", "b"), None, "no earlier release"),
        (record("a", "b"), 7, "no release 7. There are: 1, 2"),
        (record("a", "b", failed="a"), 1, "never served: it was rolled back. These did: 2"),
        (record("a", "b"), 2, "serves already"),
    ],
)
def test_a_release_that_cannot_be_meant_is_refused(
    made: Record, number: int | None, words: str
) -> None:
    with pytest.raises(DeploymentError) as refused:
        rollback.chosen(made, "b", number)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (None, "no endpoint. `make deploy`"),
        (ObservedEndpoint("small", "Updating", "a"), "typed so cloudwatch set-alarm-state"),
        (ObservedEndpoint("small", "RollingBack", "a"), "Wait until it is at rest"),
        (ObservedEndpoint("small", "UpdateRollbackFailed", "a"), "instances of both versions"),
        (ObservedEndpoint("small", "Failed", "a"), "`make deploy` makes it again"),
    ],
)
def test_an_endpoint_that_cannot_change_is_told_with_what_can_be_done(
    seen: ObservedEndpoint | None, words: str
) -> None:
    alarms = {"Alarms": [{"AlarmName": "slow"}]}
    told = {"LastDeploymentConfig": {"AutoRollbackConfiguration": alarms}}
    with pytest.raises(DeploymentError) as refused:
        rollback.refuse_what_cannot_change(seen, told, "small", "typed so")
    assert words in str(refused.value)


@pytest.mark.parametrize("gone", ["endpoint config", "model", "bundle"])
def test_what_was_deleted_is_named_with_the_way_to_get_it_back(gone: str) -> None:
    cloud = FakeCloud()
    cloud.configs["a"], cloud.models["model-a"], cloud.objects["data"] = {}, {}, b"bundle"
    (release,) = record("a").releases
    rollback.refuse_what_is_gone(cloud, release)
    things: dict[str, tuple[dict[str, Any], str]] = {
        "endpoint config": (cloud.configs, "a"),
        "model": (cloud.models, "model-a"),
        "bundle": (cloud.objects, "data"),
    }
    held, name = things[gone]
    del held[name]
    with pytest.raises(DeploymentError, match=f"its {gone}") as refused:
        rollback.refuse_what_is_gone(cloud, release)
    assert "run `make deploy`" in str(refused.value)
    assert ("without training" in str(refused.value)) == (gone != "bundle")


def test_back_is_one_update_all_at_once_that_can_be_undone() -> None:
    (release,) = record("a").releases
    made = rollback.step(release, "small", "b", scaled=False)
    assert made.call
    assert made.call.parameters == {"EndpointName": "small", "EndpointConfigName": "a"}
    assert made.undo
    assert made.undo.parameters["EndpointConfigName"] == "b"
    assert made.wait
    assert made.wait.config == "a"


def test_what_serves_by_now_is_updated_no_more_and_still_verified() -> None:
    (release,) = record("a").releases
    made = rollback.step(release, "small", "a", scaled=False)
    assert (made.action, made.call, made.undo) == ("attach", None, None)
    assert made.wait
    assert made.wait.config == "a"


def test_an_endpoint_that_scales_keeps_its_instances_on_the_way_back() -> None:
    (release,) = record("a").releases
    made = rollback.step(release, "small", "b", scaled=True)
    for call in (made.call, made.undo):
        assert call
        assert call.parameters["RetainAllVariantProperties"] is True


@pytest.mark.parametrize(
    ("now", "config", "possible"),
    [
        ("realtime", {}, True),
        ("async", {}, False),
        ("realtime", {"AsyncInferenceConfig": {"OutputConfig": {}}}, False),
        ("realtime", {"ProductionVariants": [{"ServerlessConfig": {"MaxConcurrency": 1}}]}, False),
        ("serverless", {}, True),
    ],
)
def test_a_release_of_another_mode_is_refused_before_anything_changes(
    now: str, config: dict[str, Any], *, possible: bool
) -> None:
    cloud = FakeCloud()
    cloud.configs["a"] = config
    (release,) = record("a").releases
    seen = ObservedEndpoint("small", "InService", "b", mode=now)
    if possible:
        rollback.refuse_another_mode(cloud, seen, release)
        return
    with pytest.raises(DeploymentError, match="cannot become that by an update"):
        rollback.refuse_another_mode(cloud, seen, release)


def test_golden_rows_of_an_asynchronous_release_go_through_s3(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cloud = FakeCloud()
    output = {"OutputConfig": {"S3OutputPath": "s3://bucket/small/async/out"}}
    cloud.endpoints["small"] = {
        "EndpointName": "small",
        "EndpointStatus": "InService",
        "EndpointConfigName": "a",
        "AsyncInferenceConfig": output,
    }
    cloud.client = lambda service: None  # type: ignore[method-assign]
    asked: list[object] = []
    golden = SimpleNamespace(records=[{}], predictions=[{}])
    monkeypatch.setattr("infra.apply.carry_out", lambda step, executor: None)
    bundle = SimpleNamespace(golden=golden)
    monkeypatch.setattr("infra.outputs.fetch_bundle", lambda cloud, data, build: bundle)

    def verify(client: object, *rest: object) -> int:
        asked.append(client)
        return 1

    monkeypatch.setattr("infra.smoke.verify", verify)
    monkeypatch.setattr("infra.prepare.build_directory", lambda name: tmp_path)
    (release,) = record("a").releases
    step = rollback.step(release, "small", "b", scaled=False)
    executor: Any = None
    assert _go(cloud, executor, Lines(2), release, step) == 1
    assert isinstance(asked[0], AsyncClient)
