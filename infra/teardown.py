"""Deleting what a record lists: which calls, in which order, and making them.

Every deletion that was made is struck from the record at once, so an interrupted one can be
repeated. A thing that is gone already counts as deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from infra.aws import Cloud
from infra.failures import explain, is_missing
from infra.observe import describe, endpoint, tuning_job
from infra.progress import Lines
from infra.record import Entry, Record, RecordStore
from infra.resources import FOLDERS, Role
from infra.serving import is_config_of
from infra.steps import Call, Wait
from infra.watch import Watch
from shared.errors import DeploymentError

_GONE_SECONDS = 1800.0
_STOP_SECONDS = 600.0
_ORDER = ("endpoint", "endpoint config", "model", "tuning job", "training job", "role")


@dataclass(frozen=True)
class Deletion:
    """One entry of the record and the calls that delete it."""

    entry: Entry
    calls: tuple[Call, ...]

    @property
    def title(self) -> str:
        """What is deleted, in words."""
        if self.entry.kind in ("training job", "tuning job"):
            return f"{self.entry.kind} {self.entry.name}: stopped if it still runs"
        return f"{self.entry.kind} {self.entry.name}"


def deletions(record: Record) -> tuple[Deletion, ...]:
    """What is to be deleted outside of S3, in an order in which nothing in use is deleted."""
    return tuple(
        Deletion(Entry(kind, name), _calls(kind, name))
        for kind in _ORDER
        for name in reversed(record.of(kind))
    )


def teardown(
    cloud: Cloud, store: RecordStore, record: Record, say: Callable[[str], None]
) -> Record:
    """Delete everything outside of S3; what is left in the record.

    Raises:
        DeploymentError: AWS refuses one; those before it are gone and struck from the record.
    """
    watch = Watch(cloud, Lines(0))
    for deletion in deletions(record):
        try:
            stranger = _stranger(cloud, store.project, deletion.entry)
            if not stranger:
                _delete(cloud, watch, deletion)
            record = _strike(store, deletion.entry)
        except Exception as error:
            raise explain(error, f"Deleting {deletion.title}") from error
        say(f"{deletion.title} is left alone: {stranger}" if stranger else deletion.title)
    return record


def wipe(cloud: Cloud, store: RecordStore, record: Record, say: Callable[[str], None]) -> None:
    """Delete what deploy and its jobs put into S3, and the bucket if it was made for it.

    The record goes last but one, so that an interrupted wipe can be repeated; the bucket only goes
    when nothing of others is in it.

    Raises:
        DeploymentError: S3 refuses.
    """
    try:
        _empty(cloud, store)
        store.delete()
        say(store.prefix)
        for bucket in record.of("bucket"):
            if not cloud.call("s3", "list_objects_v2", {"Bucket": bucket}).get("Contents"):
                cloud.call("s3", "delete_bucket", {"Bucket": bucket})
                say(f"bucket {bucket}")
    except Exception as error:
        raise explain(error, f"Deleting {store.prefix}") from error


def _calls(kind: str, name: str) -> tuple[Call, ...]:
    if kind == "endpoint":
        return (Call("sagemaker", "delete_endpoint", {"EndpointName": name}),)
    if kind == "endpoint config":
        return (Call("sagemaker", "delete_endpoint_config", {"EndpointConfigName": name}),)
    if kind == "model":
        return (Call("sagemaker", "delete_model", {"ModelName": name}),)
    if kind == "training job":
        return (Call("sagemaker", "stop_training_job", {"TrainingJobName": name}),)
    if kind == "tuning job":
        named = {"HyperParameterTuningJobName": name}
        return (Call("sagemaker", "stop_hyper_parameter_tuning_job", named),)
    named = {"RoleName": name}
    return (
        Call("iam", "delete_role_policy", {**named, "PolicyName": Role.RETRAINING_POLICY_NAME}),
        Call("iam", "delete_role_policy", {**named, "PolicyName": Role.POLICY_NAME}),
        Call("iam", "delete_role", named),
    )


def _delete(cloud: Cloud, watch: Watch, deletion: Deletion) -> None:
    name = deletion.entry.name
    if deletion.entry.kind == "training job":
        job = describe(cloud, "sagemaker", "describe_training_job", {"TrainingJobName": name})
        if job and job["TrainingJobStatus"] == "InProgress":
            _make(cloud, deletion.calls)
        if job and job["TrainingJobStatus"] in ("InProgress", "Stopping"):
            watch.until(Wait("ended", name, _STOP_SECONDS))
        return
    if deletion.entry.kind == "tuning job":
        search = tuning_job(cloud, name)
        status = search["HyperParameterTuningJobStatus"] if search else None
        if status == "InProgress":
            _make(cloud, deletion.calls)
        if status in ("InProgress", "Stopping"):
            watch.until(Wait("tuning ended", name, _STOP_SECONDS))
        return
    if deletion.entry.kind == "endpoint":
        # SageMaker refuses to delete one that is being created or updated.
        watch.until(Wait("rest", name, _GONE_SECONDS))
    _make(cloud, deletion.calls)
    if deletion.entry.kind == "endpoint":
        watch.until(Wait("gone", name, _GONE_SECONDS))


def _stranger(cloud: Cloud, project: str, entry: Entry) -> str | None:
    """Why an endpoint of the project's name is somebody else's; ours may have gone long ago."""
    found = endpoint(cloud, entry.name) if entry.kind == "endpoint" else None
    if found is None or not found.config or is_config_of(project, found.config):
        return None
    return f"it runs on {found.config}, which this project did not make"


def _strike(store: RecordStore, entry: Entry) -> Record:
    return store.change(lambda record: record.without([entry]))


def _make(cloud: Cloud, calls: Sequence[Call]) -> None:
    for call in calls:
        try:
            cloud.call(call.service, call.operation, call.parameters)
        except Exception as error:
            if not is_missing(error):
                raise


def _empty(cloud: Cloud, store: RecordStore) -> None:
    for folder in FOLDERS:
        _empty_folder(cloud, store, f"{store.project}/{folder}/")


def _empty_folder(cloud: Cloud, store: RecordStore, prefix: str) -> None:
    place = {"Bucket": store.bucket, "Prefix": prefix}
    token: dict[str, object] = {}
    while True:
        page = cloud.call("s3", "list_objects_v2", {**place, **token})
        keys = [{"Key": entry["Key"]} for entry in page.get("Contents", [])]
        if keys:
            answer = cloud.call(
                "s3", "delete_objects", {"Bucket": store.bucket, "Delete": {"Objects": keys}}
            )
            for refused in answer.get("Errors", []):  # the call itself succeeds all the same
                raise DeploymentError(
                    f"{refused.get('Message', 'refused')} ({refused.get('Code', 'no code')})",
                    where=f"Deleting s3://{store.bucket}/{refused.get('Key', '')}",
                )
        if not page.get("IsTruncated"):
            return
        token = {"ContinuationToken": page["NextContinuationToken"]}
