"""Deleting what a record lists: which calls, in which order, and making them.

Every deletion that was made is struck from the record at once, so an interrupted one can be
repeated. A thing that is gone already counts as deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from infra.aws import Cloud, explain, is_missing
from infra.observe import describe
from infra.plan import Call, Wait
from infra.progress import Lines
from infra.record import Entry, Record, RecordStore
from infra.resources import Role
from infra.watch import Watch

_GONE_SECONDS = 1800.0
_STOP_SECONDS = 600.0
_ORDER = ("endpoint", "endpoint config", "model", "training job", "role", "object", "bucket")
_DATA = ("object", "bucket")


@dataclass(frozen=True)
class Deletion:
    """One entry of the record and the calls that delete it."""

    entry: Entry
    calls: tuple[Call, ...]

    @property
    def title(self) -> str:
        """What is deleted, in words."""
        if self.entry.kind == "training job":
            return f"training job {self.entry.name}: stopped if it still runs"
        return f"{self.entry.kind} {self.entry.name}"


def deletions(record: Record, *, data: bool) -> tuple[Deletion, ...]:
    """What is to be deleted, in an order in which nothing in use is deleted.

    Args:
        record: what exists.
        data: also what lies in S3.
    """
    kinds = _ORDER if data else tuple(kind for kind in _ORDER if kind not in _DATA)
    return tuple(
        Deletion(Entry(kind, name), _calls(kind, name, record))
        for kind in kinds
        for name in reversed(record.of(kind))
    )


def teardown(
    cloud: Cloud,
    store: RecordStore,
    record: Record,
    todo: Sequence[Deletion],
    say: Callable[[str], None],
) -> None:
    """Delete.

    Raises:
        DeploymentError: AWS refuses one; those before it are gone and struck from the record.
    """
    watch = Watch(cloud, Lines(0))
    objects = any(deletion.entry.kind == "object" for deletion in todo)
    for deletion in todo:
        if deletion.entry.kind == "bucket":
            continue
        try:
            _delete(cloud, watch, deletion)
        except Exception as error:
            raise explain(error, f"Deleting {deletion.title}") from error
        record = record.without([deletion.entry])
        store.save(record)
        say(f"done: {deletion.title}")
    if objects:
        _empty(cloud, store)
        say(f"done: everything under {store.uri.rsplit('/', 1)[0]}/")
    for deletion in todo:
        if deletion.entry.kind == "bucket" and _is_empty(cloud, deletion.entry.name):
            _make(cloud, deletion.calls)
            say(f"done: {deletion.title}")


def _calls(kind: str, name: str, record: Record) -> tuple[Call, ...]:
    if kind == "endpoint":
        return (Call("sagemaker", "delete_endpoint", {"EndpointName": name}),)
    if kind == "endpoint config":
        return (Call("sagemaker", "delete_endpoint_config", {"EndpointConfigName": name}),)
    if kind == "model":
        return (Call("sagemaker", "delete_model", {"ModelName": name}),)
    if kind == "training job":
        return (Call("sagemaker", "stop_training_job", {"TrainingJobName": name}),)
    if kind == "role":
        named = {"RoleName": name}
        return (
            Call("iam", "delete_role_policy", {**named, "PolicyName": Role.POLICY_NAME}),
            Call("iam", "delete_role", named),
        )
    if kind == "bucket":
        return (Call("s3", "delete_bucket", {"Bucket": name}),)
    return ()


def _delete(cloud: Cloud, watch: Watch, deletion: Deletion) -> None:
    name = deletion.entry.name
    if deletion.entry.kind == "training job":
        job = describe(cloud, "sagemaker", "describe_training_job", {"TrainingJobName": name})
        if job and job["TrainingJobStatus"] == "InProgress":
            _make(cloud, deletion.calls)
            watch.until(Wait("ended", name, _STOP_SECONDS))
        return
    _make(cloud, deletion.calls)
    if deletion.entry.kind == "endpoint":
        watch.until(Wait("gone", name, _GONE_SECONDS))


def _make(cloud: Cloud, calls: Sequence[Call]) -> None:
    for call in calls:
        try:
            cloud.call(call.service, call.operation, call.parameters)
        except Exception as error:
            if not is_missing(error):
                raise


def _empty(cloud: Cloud, store: RecordStore) -> None:
    """Delete every object under the project's prefix, the record included."""
    bucket, _, key = store.uri.removeprefix("s3://").partition("/")
    place = {"Bucket": bucket, "Prefix": key.rsplit("/", 1)[0] + "/"}
    while found := cloud.call("s3", "list_objects_v2", place).get("Contents", []):
        keys = [{"Key": entry["Key"]} for entry in found]
        cloud.call("s3", "delete_objects", {"Bucket": bucket, "Delete": {"Objects": keys}})


def _is_empty(cloud: Cloud, bucket: str) -> bool:
    answer = describe(cloud, "s3", "list_objects_v2", {"Bucket": bucket, "MaxKeys": 1})
    return answer is not None and not answer.get("Contents")
