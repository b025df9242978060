"""What is kept of a rollout: readings of golden rows, and that gathering never gets in the way."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.client import Answer, Client, ContainerError
from infra.evidence import Evidence, read
from infra.observe import Observed, ObservedEndpoint
from infra.plan import plan
from infra.progress import Lines
from infra.record import RecordStore
from infra.resources import Desired
from shared.errors import DeploymentError
from shared.golden import Golden
from tests.support.deployments import wanted
from tests.support.fake_cloud import FakeCloud


class Scripted(Client):
    """A client that answers as it is told: predictions, or errors."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)

    def predict(self, records: Any) -> Answer:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Answer((answer,), "0123456789ab", 0.001 * (1 + len(self._answers)))


def golden(*predictions: Any) -> Golden:
    none = np.zeros((len(predictions), 0), np.float32)
    records = tuple({"row": row} for row in range(len(predictions)))
    return Golden(records, none, none.astype(np.int32), none, predictions)


def test_a_reading_counts_what_agreed_and_what_failed() -> None:
    rows = golden({"value": 1.0}, {"value": 2.0}, {"value": 3.0})
    client = Scripted({"value": 1.0}, {"value": 2.5}, ContainerError("broken"))
    reading = read(client, rows, "small-0")
    assert (reading.rows, reading.agreed, reading.failed) == (3, 1, 1)
    assert (reading.median, reading.p99) == (3.0, 3.0)
    assert reading.told() == (
        "1 of 3 golden rows as trained, 1 failed, a row in 3.0 ms (p99 3.0 ms)"
    )


def test_a_version_that_answers_nothing_has_no_times() -> None:
    reading = read(Scripted(ContainerError("broken")), golden({"value": 1.0}), "small-0")
    assert reading.told() == "0 of 1 golden rows as trained, 1 failed"


class Mute(FakeCloud):
    """A cloud whose runtime is never reached."""

    def client(self, service: str) -> Any:
        return None


def gathering(
    want: Desired, cloud: FakeCloud, config: str, pending: str | None = None
) -> tuple[Evidence, io.StringIO]:
    """The evidence of an update of an endpoint that runs on `config`, maybe one under way."""
    status = "Updating" if pending else "InService"
    seen = Observed(endpoint=ObservedEndpoint("small", status, config, pending=pending))
    shown = io.StringIO()
    store = RecordStore(cloud, want.bucket.name, "small")
    return Evidence(cloud, store, plan(want, seen), Path("nowhere"), Lines(1, shown)), shown


@pytest.fixture
def want(tmp_path: Path) -> Desired:
    return wanted(tmp_path)


def test_nothing_is_gathered_where_nothing_is_updated(want: Desired) -> None:
    cloud = Mute()
    made, shown = gathering(want, cloud, want.serving(1).config.name)
    with made.gathered("make deploy"):
        pass
    assert (made.place, cloud.calls, shown.getvalue()) == (None, [], "")


def test_evidence_that_cannot_be_gathered_is_told_and_ends_nothing(want: Desired) -> None:
    made, shown = gathering(want, Mute(), "small-ba9876543210")
    with made.gathered("make deploy"):
        pass
    assert made.rows() == []
    assert "Evidence is incomplete" in shown.getvalue()


def test_a_failure_is_told_as_it_was_where_evidence_cannot_be_gathered(want: Desired) -> None:
    made, _ = gathering(want, Mute(), "small-ba9876543210")
    failure = DeploymentError("went back", cure="Look.")
    with pytest.raises(DeploymentError) as raised, made.gathered("make deploy"):
        raise failure
    assert str(raised.value) == "went back. Look."


OLD = "small-ba9876543210"
BEGAN = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


class UnderWay(Mute):
    """A cloud whose endpoint is being updated since `BEGAN`, and then is not any more."""

    def __init__(self, new: str) -> None:
        super().__init__()
        self.buckets.add("sagemaker-us-east-1-123456789012")
        self.looks = [
            {
                "EndpointStatus": "Updating",
                "EndpointConfigName": OLD,
                "PendingDeploymentSummary": {"EndpointConfigName": new, "StartTime": BEGAN},
            },
            {"EndpointStatus": "InService", "EndpointConfigName": new},
        ]
        self.asked: list[dict[str, Any]] = []

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:  # noqa: N803
        return self.looks.pop(0)

    def get_metric_data(self, **rest: Any) -> dict[str, Any]:
        self.asked.append(rest)
        return super().get_metric_data(**rest)


def test_of_an_update_that_was_under_way_evidence_is_kept_from_where_it_began(
    want: Desired, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = want.serving(1).config.name
    cloud = UnderWay(new)
    answers = (Scripted({"value": 1.0}), golden({"value": 1.0}))
    monkeypatch.setattr("infra.evidence.asked", lambda *about: answers)
    monkeypatch.setattr("shared.bundle.load", lambda path: None)
    made, shown = gathering(want, cloud, OLD, pending=new)
    with made.gathered("make deploy"):
        pass
    assert shown.getvalue() == ""
    ((name, place),) = made.rows()
    assert name == "evidence"
    assert place.endswith(f"/rollouts/20261123T093000Z-{new}/report.md")
    folder = place.removeprefix(f"s3://{want.bucket.name}/").removesuffix("report.md")
    told = json.loads(cloud.objects[f"{folder}evidence.json"])
    assert (told["attached"], told["began"]) == (True, "2026-11-23T09:30:00+00:00")
    assert (told["old"], told["new"], told["outcome"]) == (OLD, new, "live")
    assert (told["golden_before"], told["golden_after"]["agreed"]) == (None, 1)
    assert told["traffic_new"]["requests"] is None
    assert cloud.asked[0]["StartTime"] == BEGAN
    report = cloud.objects[f"{folder}report.md"].decode()
    assert "before: not measured, it was under way already" in report
    assert "traffic meanwhile, new version: CloudWatch has counted no request" in report
