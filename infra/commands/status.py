"""What is wanted, what is there, and what differs: endpoint, model, training, releases, lock.

What somebody else changed is drift; what the project asks for anew is pending. `make deploy` sees
to both. The whole is told on one screen, or as JSON for machines.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from infra.commands.words import add_project, facts, opened, place, typed

if TYPE_CHECKING:
    from infra.aws import Cloud
    from infra.drift import Difference
    from infra.fleets import Fleets
    from infra.lock import Seen
    from infra.record import Record, RecordStore, Release
    from infra.registry import Version

_SHOWN_RELEASES = 3
_SHOWN_PENDING = 4


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of status."""
    add_project(parser)
    parser.add_argument("--json", action="store_true", help="the same as JSON")


@dataclass
class Standing:
    """How things stand with one project.

    Attributes:
        rows: names and values for the screen.
        endpoint: what DescribeEndpoint says.
        fleets: how it serves; None where it or its config is not there.
        versions: what is registered, the newest first.
        drift: what somebody else changed.
        pending: what `deploy` would do because the project asks for it; None where that cannot be
            told, and then `unplanned` says why.
    """

    record: Record
    rows: list[tuple[str, str]] = field(default_factory=list)
    endpoint: dict[str, Any] | None = None
    fleets: Fleets | None = None
    versions: tuple[Version, ...] = ()
    lock: Seen | None = None
    drift: list[Difference] = field(default_factory=list)
    pending: list[str] | None = None
    unplanned: str = ""

    def to_json(self) -> dict[str, Any]:
        """The standing as plain data."""
        seen, lock = self.endpoint, self.lock
        return {
            "endpoint": None
            if seen is None
            else {
                "name": seen["EndpointName"],
                "status": seen["EndpointStatus"],
                "config": seen.get("EndpointConfigName"),
                "reason": seen.get("FailureReason"),
                **(self.fleets.to_json() if self.fleets else {}),
            },
            "facts": [{"name": name, "value": value} for name, value in self.rows],
            "releases": [release.to_json() for release in self.record.releases],
            "versions": [asdict(version) for version in self.versions],
            "lock": None
            if lock is None
            else {
                "holder": asdict(lock.holder) if lock.holder else None,
                "seconds_since_renewal": lock.age,
                "lapsed": lock.lapsed,
            },
            "drift": [asdict(one) for one in self.drift],
            "pending": self.pending,
            "unplanned": self.unplanned,
            "record": [asdict(entry) for entry in self.record.entries],
        }


def run(args: argparse.Namespace) -> int:
    """Print the screen."""
    from infra.record import RecordStore
    from infra.resources import bucket_name

    found = opened(args, quiet=args.json)
    if found is None:
        if args.json:
            print(json.dumps({"target": args.target, "running": False}))
        return 0
    file, cloud = found
    store = RecordStore(cloud, bucket_name(file.aws, cloud.account), file.name)
    record = store.load()
    if not record.deployed and not args.json:
        print(f"{file.name} is not deployed here. Deploy it: {typed('deploy', args)}")
        return 0
    standing = stand(cloud, store, record, args.project)
    if args.json:
        about = {
            "project": file.name,
            "target": args.target,
            "running": True,
            "region": cloud.account.region,
            "account": cloud.account.id,
        }
        print(json.dumps({**about, **standing.to_json()}, indent=1))
        return 0
    print(f"{file.name} on {place(args.target, cloud.account.region, cloud.account.id)}\n")
    print(facts([*standing.rows, *_closing(standing)]))
    if standing.drift:
        print("\n" + "\n".join(f"Drift: {difference.words}" for difference in standing.drift))
    if any(one.mended for one in standing.drift):
        print(f"Put it right: {typed('deploy', args)}")
    return 0


def stand(cloud: Cloud, store: RecordStore, record: Record, project: str) -> Standing:
    """How things stand: read with describe, list and head calls only."""
    from infra import drift
    from infra.lock import look
    from infra.prepare import prepare
    from infra.project import load
    from infra.registry import versions
    from shared.errors import KitError

    standing = Standing(record, lock=look(cloud, store))
    standing.versions = versions(cloud, store.project) or ()
    standing.rows, standing.endpoint, standing.fleets = screen(cloud, store.project, record)
    config = standing.endpoint.get("EndpointConfigName") if standing.endpoint else None
    known = config or (record.live.config if record.live else None)
    found = drift.gone(cloud, record, drift.needed(record, known))
    found += drift.of_endpoint(record, standing.endpoint)
    try:
        more, standing.pending = drift.split(prepare(load(project), cloud), record)
        found += more
    except KitError as error:
        standing.unplanned = str(error)
    standing.drift = list({(one.kind, one.name, one.what): one for one in found}.values())
    return standing


def _closing(standing: Standing) -> list[tuple[str, str]]:
    """Releases, lock, record, and what the project asks for."""
    rows: list[tuple[str, str]] = []
    releases = standing.record.releases[-_SHOWN_RELEASES:]
    fleets, live = standing.fleets, standing.record.live
    serving = {one.release for one in fleets.variants} if fleets else {live.number if live else 0}
    for release in reversed(releases):
        before = release.outcome == "live" and release.number not in serving
        words = _release(release, "was live" if before else release.outcome)
        rows.append(("release" if not rows else "", words))
    packages = {one.package for one in standing.record.releases if one.number in serving}
    for version in standing.versions[:_SHOWN_RELEASES]:
        mark = " (serves)" if version.arn in packages else ""
        words = f"version {version.number} {version.status}{mark}"
        rows.append(("registry" if version is standing.versions[0] else "", words))
    lock = standing.lock
    if lock:
        state = "left behind by" if lock.lapsed else "at work:"
        rows.append(("lock", f"{state} {lock.words}"))
    rows.append(("record", f"{len(standing.record.entries)} things made for this project"))
    pending = standing.pending
    if pending is None:
        rows.append(("desired", f"cannot be told: {standing.unplanned}"))
    elif pending:
        shown = ", ".join(pending[:_SHOWN_PENDING])
        more = f" and {len(pending) - _SHOWN_PENDING} more" if len(pending) > _SHOWN_PENDING else ""
        rows.append(("desired", f"would {shown}{more}"))
    else:
        rows.append(("desired", "nothing else than what is deployed"))
    return rows


def _release(release: Release, outcome: str) -> str:
    from infra.outputs import scores

    (_, told), *_ = [*scores({"test": dict(release.scores)}), ("", "")]
    at = release.at[:16].replace("T", " ")
    words = [f"#{release.number} {outcome}", f"{at} UTC", release.config]
    return ", ".join([*words, *([f"test {told}"] if told else [])])


def screen(
    cloud: Cloud, project: str, record: Record
) -> tuple[list[tuple[str, str]], dict[str, Any] | None, Fleets | None]:
    """The rows of the screen about what is there, the endpoint's description, how it serves."""
    from infra import fleets
    from infra.async_client import address
    from infra.observe import mode_of
    from infra.record import Entry
    from infra.retraining import job_of
    from infra.rolling import glance

    rows: list[tuple[str, str]] = []
    endpoint = _look(cloud, "endpoint", project)
    if endpoint:
        rows += [
            ("endpoint", f"{project} is {endpoint['EndpointStatus']}"),
            ("since", _moment(endpoint.get("LastModifiedTime"))),
            ("address", address(cloud, project, asynchronous=mode_of(endpoint) == "async")),
        ]
        if endpoint.get("FailureReason"):
            rows.append(("reason", endpoint["FailureReason"]))
        if under_way := glance(endpoint):
            rows.append(("update", under_way))
    else:
        rows.append(("endpoint", "none"))
    name = endpoint.get("EndpointConfigName") if endpoint else _last(record, "endpoint config")
    config = _look(cloud, "endpoint config", name)
    variants = config["ProductionVariants"] if config else []
    rows += [("config", f"{name}: {_fleet(variant)}") for variant in variants[:1]]
    serves = fleets.look(cloud, record, endpoint, config) if endpoint and config else None
    if serves:
        rows += serves.rows()
    name = variants[-1]["ModelName"] if variants else _last(record, "model")
    model = _look(cloud, "model", name)
    if model:
        container = model["PrimaryContainer"]
        number = serves.release(str(name)) if serves else None
        rows += [
            ("model", f"{name} (release {number})" if number else str(name)),
            ("image", container["Image"]),
            ("bundle", container["ModelDataUrl"]),
        ]
    last = record.last("training job", "tuning job")
    serving = job_of(model["PrimaryContainer"].get("ModelDataUrl", "")) if model else None
    if record.retrained and serving == record.retrained.job:
        rows.append(("retrained", f"from {record.retrained.parent}"))
    if last and serving in record.of("training job") and serving != last.name:
        rows.append(("last job", f"{last.kind} {last.name}, not deployed"))
        last = Entry("training job", str(serving))
    name = last.name if last else None
    if last and last.kind == "tuning job":
        search = _look(cloud, "tuning job", name)
        winner = search.get("BestTrainingJob") if search else None
        name = winner["TrainingJobName"] if winner else None
        rows += _search(search) if search else []
    job = _look(cloud, "training job", name)
    if job:
        rows += _job(job, project)
    return rows, endpoint, serves


def _fleet(variant: dict[str, Any]) -> str:
    """What a variant runs on: 1 × ml.m5.large; how many there are by now stands elsewhere."""
    serverless = variant.get("ServerlessConfig")
    if serverless:
        at_once = serverless.get("MaxConcurrency")
        return f"serverless, {serverless['MemorySizeInMB']} MB, {at_once} requests at once"
    return f"{variant['InitialInstanceCount']} × {variant['InstanceType']}"


def _search(search: dict[str, Any]) -> list[tuple[str, str]]:
    name, status = search["HyperParameterTuningJobName"], search["HyperParameterTuningJobStatus"]
    counters = search["TrainingJobStatusCounters"]
    failed = counters.get("NonRetryableError", 0) + counters.get("RetryableError", 0)
    counted = [
        (counters.get("Completed", 0), "finished"),
        (counters.get("Stopped", 0), "stopped early"),
        (failed, "failed"),
        (counters.get("InProgress", 0), "running"),
    ]
    told = ", ".join(f"{count} {state}" for count, state in counted if count)
    rows = [("search", f"{name} {status}" + (f" ({told})" if told else ""))]
    if search.get("FailureReason"):
        rows.append(("reason", search["FailureReason"]))
    return rows


def _job(job: dict[str, Any], project: str) -> list[tuple[str, str]]:
    from infra.outputs import known_metrics, scores
    from infra.prepare import build_directory
    from infra.units import short_time

    took = job.get("TrainingTimeInSeconds")
    text = f"{job['TrainingJobName']} {job['TrainingJobStatus']}"
    rows = [("training", f"{text} ({short_time(took)})" if took else text)]
    if job.get("FailureReason"):
        rows.append(("reason", job["FailureReason"]))
    known = known_metrics(build_directory(project), job["TrainingJobName"])
    rows += scores(_final_metrics(job) if known is None else known)
    if job.get("CheckpointConfig"):
        rows.append(("checkpoints", job["CheckpointConfig"]["S3Uri"]))
    return rows


def _final_metrics(job: dict[str, Any]) -> dict[str, dict[str, float]]:
    """What SageMaker read from the job's log, as a manifest has it."""
    found: dict[str, dict[str, float]] = {"validation": {}, "test": {}}
    for metric in job.get("FinalMetricDataList") or []:
        split, _, name = metric["MetricName"].partition("_")
        split = {"val": "validation"}.get(split, split)
        if split in found:
            found[split][name] = metric["Value"]
    return found


def _look(cloud: Cloud, kind: str, name: str | None) -> dict[str, Any] | None:
    from infra.kinds import KINDS
    from infra.observe import describe

    look = KINDS[kind].look
    if name is None or look is None:
        return None
    call = look(name)
    return describe(cloud, call.service, call.operation, call.parameters)


def _last(record: Record, kind: str) -> str | None:
    names = record.of(kind)
    return names[-1] if names else None


def _moment(value: Any) -> str:
    return value.astimezone().strftime("%Y-%m-%d %H:%M:%S") if value else "unknown"
