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
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.alarms import Fleet
from infra.async_client import client_of
from infra.aws import Cloud
from infra.client import Client, ContainerError
from infra.failures import explain
from infra.plan import Plan
from infra.progress import Progress
from infra.record import RecordStore, Release
from infra.rolling import alarm_names
from infra.serving import VARIANT
from infra.smoke import asked, differs
from infra.traffic import Traffic, traffic
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


def read(client: Client, golden: Golden, config: str) -> Reading:
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
        self._before: Reading | None = None
        self._old = ""
        self._attached = False
        self.place: str | None = None

    @contextmanager
    def gathered(self, command: str) -> Iterator[None]:
        """A block in which the plan is carried out; nothing is gathered where nothing is updated.

        Gathering never ends a deployment: what cannot be gathered is told.
        """
        update = next(
            (
                one
                for one in reversed(self._plan.steps)
                if one.undo and one.undo.operation == "update_endpoint"
            ),
            None,
        )
        if update is None or update.undo is None:
            yield
            return
        self._old = str(update.undo.parameters["EndpointConfigName"])
        with self._harmless():
            if update.call:
                self._before = self._of(self._release())
            else:  # both versions answer already
                self._attach()
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

    def _attach(self) -> None:
        """Count from where the update began, which an earlier run asked for."""
        self._attached = True
        pending = self._endpoint().get("PendingDeploymentSummary") or {}
        if pending.get("StartTime"):
            self._began = pending["StartTime"].astimezone(UTC)

    def _endpoint(self) -> dict[str, Any]:
        named = {"EndpointName": self._plan.serving.endpoint.name}
        return self._cloud.call("sagemaker", "describe_endpoint", named)

    def _release(self) -> Release | None:
        releases = reversed(self._store.load().releases)
        return next((one for one in releases if one.config == self._old), None)

    def _of(self, release: Release | None) -> Reading | None:
        from infra.outputs import fetch_bundle

        if release is None:
            return None
        golden = fetch_bundle(self._cloud, release.data, self._build / "before").golden
        name = self._plan.serving.endpoint.name
        return read(client_of(self._cloud, name), golden, self._old)

    def _write(self, command: str, failure: KitError | None) -> None:
        from shared import bundle

        serving = self._plan.serving
        now = datetime.now(UTC)
        after = None
        if failure is None:
            served = bundle.load(self._build / "bundle")
            after = read(*asked(self._cloud, serving, served, self._build), serving.config.name)
        endpoint = self._endpoint()
        old, new = self._traffic(now)
        document = {
            "endpoint": serving.endpoint.name,
            "command": command,
            "began": self._began.isoformat(timespec="seconds"),
            "attached": self._attached,
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
        took = (now - self._began).total_seconds()
        not_before = "not measured" + (", it was under way already" if self._attached else "")
        lines = [
            f"# {serving.endpoint.name}: {self._old} → {serving.config.name}",
            "",
            f"- outcome: {document['outcome']}, after {short_time(took)}",
            *([f"- reason: {failure.message}"] if failure else []),
            f"- before: {self._before.told() if self._before else not_before}",
            f"- after: {after.told() if after else 'not measured'}",
            f"- traffic meanwhile, old version: {old.told()}",
            f"- traffic meanwhile, new version: {new.told()}",
        ]
        folder = f"{FOLDER}/{self._began:%Y%m%dT%H%M%SZ}-{serving.config.name}"
        self._put(f"{folder}/evidence.json", json.dumps(document, indent=1, default=str))
        self._put(f"{folder}/report.md", "\n".join(lines) + "\n")
        self.place = f"{self._store.prefix}{folder}/report.md"

    def _traffic(self, now: datetime) -> list[Traffic]:
        """Of the old fleet and the new one since it began."""
        serving = self._plan.serving
        old = Fleet(serving.endpoint.name, VARIANT, self._old)
        new = Fleet(serving.endpoint.name, serving.config.newest.name, serving.config.name)
        return traffic(self._cloud, [old, new], self._began, now)

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
