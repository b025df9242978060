"""Evidence of a rollout: what the old version and the new one did, kept beside the record in S3.

Before an update and after it, each version's golden rows are sent through the endpoint one by one:
how many came back as training predicted them, how many failed, how long they took. With it goes
what CloudWatch counted of both fleets' real traffic, and which alarms went off. It is told, never
decided from: the decision is that of the alarms and of smoke.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.alarms import Fleet
from infra.aws import Cloud
from infra.client import Client, ContainerError
from infra.failures import explain
from infra.plan import Plan
from infra.progress import Progress
from infra.record import RecordStore, Release
from infra.rolling import alarm_names
from infra.serving import VARIANT
from infra.smoke import differs
from infra.units import short_time
from shared.errors import InputError, KitError

if TYPE_CHECKING:
    from shared.golden import Golden

FOLDER = "rollouts"
MOST_ROWS = 50


@dataclass(frozen=True)
class Reading:
    """What one version did with its golden rows, each a request of its own. Milliseconds."""

    config: str
    rows: int
    agreed: int
    failed: int
    median: float | None
    p99: float | None

    def told(self) -> str:
        """In a few words."""
        words = f"{self.agreed} of {self.rows} golden rows as trained, {self.failed} failed"
        if self.median is None or self.p99 is None:
            return words
        return f"{words}, a row in {self.median:.1f} ms (p99 {self.p99:.1f} ms)"


@dataclass(frozen=True)
class Traffic:
    """What CloudWatch counted of one fleet meanwhile; p99 is its worst minute's, in ms."""

    config: str
    requests: int
    failed: int
    p99: float | None

    def told(self) -> str:
        """In a few words."""
        slow = f", p99 {self.p99:.1f} ms" if self.p99 is not None else ""
        return f"{self.requests} requests, {self.failed} failed{slow}"


def read(client: Client, config: str, golden: Golden) -> Reading:
    """Send golden rows one by one; see `Reading`."""
    agreed = failed = 0
    times: list[float] = []
    pairs = list(zip(golden.records, golden.predictions, strict=True))[:MOST_ROWS]
    for record, expected in pairs:
        try:
            answer = client.predict([record])
        except (ContainerError, InputError):
            failed += 1
            continue
        times.append(1000 * answer.seconds)
        agreed += differs(list(answer.predictions), [expected]) is None
    times.sort()
    return Reading(
        config,
        len(pairs),
        agreed,
        failed,
        times[len(times) // 2] if times else None,
        times[max(0, -(-99 * len(times) // 100) - 1)] if times else None,
    )


class Evidence:
    """What is known of one update, from before it to its end.

    Attributes:
        place: where it lies, once it was written.
    """

    def __init__(
        self, cloud: Cloud, store: RecordStore, plan: Plan, build: Path, progress: Progress
    ) -> None:
        self._cloud = cloud
        self._store = store
        self._plan = plan
        self._build = build
        self._progress = progress
        self._began = datetime.now(UTC)
        self._client = Client(plan.serving.endpoint.name, cloud.client("sagemaker-runtime"))
        self._before: Reading | None = None
        self._old = ""
        self.place: str | None = None

    @contextmanager
    def gathered(self, command: str) -> Iterator[None]:
        """A block in which the plan is carried out; nothing is gathered where nothing is updated.

        Gathering never ends a deployment: what cannot be gathered is told.
        """
        update = next(
            (one for one in self._plan.steps if (one.kind, one.action) == ("endpoint", "update")),
            None,
        )
        if update is None or update.undo is None:
            yield
            return
        self._old = str(update.undo.parameters["EndpointConfigName"])
        with self._harmless():
            self._before = self._of(self._release())
        try:
            yield
        except KitError as failure:
            with self._harmless():
                self._write(command, failure)
            if self.place:
                failure.cure = f"{failure.cure or ''}\nEvidence: {self.place}".strip()
            raise
        with self._harmless():
            self._write(command, None)

    def rows(self) -> list[tuple[str, str]]:
        """What a summary tells of it."""
        return [("evidence", self.place)] if self.place else []

    def _release(self) -> Release | None:
        releases = reversed(self._store.load().releases)
        return next((one for one in releases if one.config == self._old), None)

    def _of(self, release: Release | None) -> Reading | None:
        from infra.outputs import fetch_bundle

        if release is None:
            return None
        golden = fetch_bundle(self._cloud, release.data, self._build / "before").golden
        return read(self._client, self._old, golden)

    def _write(self, command: str, failure: KitError | None) -> None:
        from shared import bundle

        serving = self._plan.serving
        now = datetime.now(UTC)
        after = None
        if failure is None:
            golden = bundle.load(self._build / "bundle").golden
            after = read(self._client, serving.config.name, golden)
        endpoint = self._cloud.call(
            "sagemaker", "describe_endpoint", {"EndpointName": serving.endpoint.name}
        )
        old, new = self._traffic(now)
        document = {
            "endpoint": serving.endpoint.name,
            "command": command,
            "began": self._began.isoformat(timespec="seconds"),
            "ended": now.isoformat(timespec="seconds"),
            "outcome": "live" if failure is None else "failed",
            "reason": None if failure is None else failure.message,
            "old": self._old,
            "new": serving.config.name,
            "rollout": endpoint.get("LastDeploymentConfig"),
            "alarms": self._states(endpoint),
            "golden_before": asdict(self._before) if self._before else None,
            "golden_after": asdict(after) if after else None,
            "traffic_old": asdict(old),
            "traffic_new": asdict(new),
        }
        lines = [
            f"# {serving.endpoint.name}: {self._old} → {serving.config.name}",
            "",
            f"- outcome: {document['outcome']}, after {short_time((now - self._began).seconds)}",
            *([f"- reason: {failure.message}"] if failure else []),
            f"- before: {self._before.told() if self._before else 'not measured'}",
            f"- after: {after.told() if after else 'not measured'}",
            f"- traffic meanwhile, old version: {old.told()}",
            f"- traffic meanwhile, new version: {new.told()}",
        ]
        folder = f"{FOLDER}/{self._began:%Y%m%dT%H%M%SZ}-{serving.config.name}"
        self._put(f"{folder}/evidence.json", json.dumps(document, indent=1, default=str))
        self._put(f"{folder}/report.md", "\n".join(lines) + "\n")
        self.place = f"{self._store.prefix}{folder}/report.md"

    def _traffic(self, now: datetime) -> tuple[Traffic, Traffic]:
        """Of both fleets since it began, by whole minutes, as far as CloudWatch knows by now."""
        fleets = [
            Fleet(self._plan.serving.endpoint.name, VARIANT, config)
            for config in (self._old, self._plan.serving.config.name)
        ]
        wanted = {"Invocations": "Sum", "Invocation5XXErrors": "Sum", "ModelLatency": "p99"}
        queries = [
            {
                "Id": f"m{number}_{metric.lower()}",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "AWS/SageMaker",
                        "MetricName": metric,
                        "Dimensions": fleet.dimensions,
                    },
                    "Period": 60,
                    "Stat": statistic,
                },
            }
            for number, fleet in enumerate(fleets)
            for metric, statistic in wanted.items()
        ]
        answer = self._cloud.call(
            "cloudwatch",
            "get_metric_data",
            {
                "MetricDataQueries": queries,
                "StartTime": self._began.replace(second=0, microsecond=0),
                "EndTime": now + timedelta(minutes=1),
            },
        )
        found = {one["Id"]: one["Values"] for one in answer.get("MetricDataResults", [])}
        old, new = (_counted(fleet.config, number, found) for number, fleet in enumerate(fleets))
        return old, new

    def _states(self, endpoint: Mapping[str, Any]) -> dict[str, str]:
        names = alarm_names(endpoint)
        if not names:
            return {}
        answer = self._cloud.call("cloudwatch", "describe_alarms", {"AlarmNames": names})
        return {
            one["AlarmName"]: f"{one['StateValue']}: {one.get('StateReason', '')}"
            for one in answer.get("MetricAlarms", [])
        }

    def _put(self, name: str, text: str) -> None:
        key = f"{self._store.project}/{name}"
        place = {"Bucket": self._store.bucket, "Key": key}
        self._cloud.call("s3", "put_object", {**place, "Body": text.encode()})

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            told = explain(error, "Gathering evidence of the rollout")
            self._progress.line(f"Evidence is incomplete: {told}")


def _counted(config: str, number: int, found: Mapping[str, list[float]]) -> Traffic:
    slow = found.get(f"m{number}_modellatency", [])
    return Traffic(
        config,
        round(sum(found.get(f"m{number}_invocations", []))),
        round(sum(found.get(f"m{number}_invocation5xxerrors", []))),
        max(slow) / 1000 if slow else None,
    )
