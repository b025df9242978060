"""Endpoint, model, training job and scores on one screen; what was recorded and what is there."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from infra.commands.words import add_project, facts, opened, place, typed

if TYPE_CHECKING:
    from infra.aws import Cloud
    from infra.record import Record


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of status."""
    add_project(parser)


def run(args: argparse.Namespace) -> int:
    """Print the screen."""
    from infra.record import RecordStore
    from infra.resources import bucket_name

    found = opened(args)
    if found is None:
        return 0
    file, cloud = found
    bucket = bucket_name(file.aws, cloud.account)
    record = RecordStore(cloud, bucket, file.name).load()
    if not record.deployed:
        print(f"{file.name} is not deployed here. Deploy it: {typed('deploy', args)}")
        return 0
    print(f"{file.name} on {place(args.target, cloud.account.region, cloud.account.id)}\n")
    rows, missing = screen(cloud, file.name, record)
    print(facts(rows))
    for what in missing:
        print(f"\nRecorded but gone: {what}")
    if missing:
        print(f"Put it back: {typed('deploy', args)}")
    return 0


def screen(cloud: Cloud, project: str, record: Record) -> tuple[list[tuple[str, str]], list[str]]:
    """The rows of the screen, and what the record lists that is not there."""
    from infra.record import Entry
    from infra.retraining import job_of

    rows: list[tuple[str, str]] = []
    missing: list[str] = []
    endpoint = _look(cloud, "endpoint", project, record, missing)
    if endpoint:
        rows += [
            ("endpoint", f"{project} is {endpoint['EndpointStatus']}"),
            ("since", _moment(endpoint.get("LastModifiedTime"))),
            ("address", cloud.address(project)),
        ]
        if endpoint.get("FailureReason"):
            rows.append(("reason", endpoint["FailureReason"]))
    else:
        rows.append(("endpoint", "none"))
    name = endpoint.get("EndpointConfigName") if endpoint else _last(record, "endpoint config")
    config = _look(cloud, "endpoint config", name, record, missing)
    if config:
        variant = config["ProductionVariants"][0]
        rows.append(
            ("config", f"{name}: {variant['InitialInstanceCount']} × {variant['InstanceType']}")
        )
        name = variant["ModelName"]
    else:
        name = _last(record, "model")
    model = _look(cloud, "model", name, record, missing)
    if model:
        container = model["PrimaryContainer"]
        rows += [
            ("model", str(name)),
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
        search = _look(cloud, "tuning job", name, record, missing)
        winner = search.get("BestTrainingJob") if search else None
        name = winner["TrainingJobName"] if winner else None
        rows += _search(search) if search else []
    job = _look(cloud, "training job", name, record, missing)
    if job:
        rows += _job(job, project)
    rows.append(("record", f"{len(record.entries)} things made for this project"))
    return rows, missing


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


_DESCRIBE = {
    "endpoint": ("describe_endpoint", "EndpointName"),
    "endpoint config": ("describe_endpoint_config", "EndpointConfigName"),
    "model": ("describe_model", "ModelName"),
    "training job": ("describe_training_job", "TrainingJobName"),
    "tuning job": ("describe_hyper_parameter_tuning_job", "HyperParameterTuningJobName"),
}


def _look(
    cloud: Cloud, kind: str, name: str | None, record: Record, missing: list[str]
) -> dict[str, Any] | None:
    from infra.observe import describe

    if name is None:
        return None
    operation, key = _DESCRIBE[kind]
    found = describe(cloud, "sagemaker", operation, {key: name})
    if found is None and name in record.of(kind):
        missing.append(f"{kind} {name}")
    return found


def _last(record: Record, kind: str) -> str | None:
    names = record.of(kind)
    return names[-1] if names else None


def _moment(value: Any) -> str:
    return value.astimezone().strftime("%Y-%m-%d %H:%M:%S") if value else "unknown"
