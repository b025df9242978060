"""Deleting what a record lists: which calls, in which order, and making them.

Every deletion that was made is struck from the record at once, so an interrupted one can be
repeated. A thing that is gone already counts as deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from infra.aws import Cloud
from infra.failures import explain, is_missing
from infra.kinds import KINDS, TABLE
from infra.lock import Lock
from infra.observe import describe, endpoint
from infra.progress import Lines
from infra.record import Entry, Record, RecordStore
from infra.registry import versions
from infra.resources import FOLDERS
from infra.serving import is_config_of
from infra.steps import Call, Wait
from infra.watch import Watch
from shared.errors import DeploymentError, StorageError

_GONE_SECONDS = 1800.0
_STOP_SECONDS = 600.0


@dataclass(frozen=True)
class Deletion:
    """One entry of the record and the calls that delete it."""

    entry: Entry
    calls: tuple[Call, ...]

    @property
    def title(self) -> str:
        """What is deleted, in words."""
        if KINDS[self.entry.kind].running:
            return f"{self.entry.kind} {self.entry.name}: stopped if it still runs"
        return f"{self.entry.kind} {self.entry.name}"


def deletions(record: Record) -> tuple[Deletion, ...]:
    """What is to be deleted outside of S3, in an order in which nothing in use is deleted.

    Raises:
        StorageError: the record lists what this version of the kit does not know how to delete.
    """
    unknown = [entry for entry in record.entries if entry.kind not in KINDS]
    if unknown:
        raise StorageError(
            f"lists a {unknown[0].kind} ({unknown[0].name}), which this version does not know",
            where=f"the record of {record.project}",
            cure="A newer version of the kit made it: delete it with that one.",
        )
    return tuple(
        Deletion(Entry(kind.name, name), kind.delete(name))
        for kind in TABLE
        for name in reversed(record.of(kind.name))
        if kind.delete(name)
    )


def teardown(
    cloud: Cloud,
    store: RecordStore,
    record: Record,
    say: Callable[[str], None],
    guard: Callable[[], None] = lambda: None,
) -> Record:
    """Delete everything outside of S3; what is left in the record.

    Args:
        cloud: where it is.
        store: the record in it.
        record: what it says.
        say: told of each deletion.
        guard: asked before each; raises where somebody else is at work by now.

    Raises:
        DeploymentError: AWS refuses one; those before it are gone and struck from the record.
    """
    watch = Watch(cloud, Lines(0))
    for deletion in deletions(record):
        guard()
        try:
            stranger = _stranger(cloud, store.project, deletion.entry)
            if not stranger:
                _delete(cloud, watch, deletion)
            record = _strike(store, deletion.entry)
        except Exception as error:
            raise explain(error, f"Deleting {deletion.title}") from error
        say(f"{deletion.title} is left alone: {stranger}" if stranger else deletion.title)
    return record


def wipe(
    cloud: Cloud,
    store: RecordStore,
    record: Record,
    say: Callable[[str], None],
    lock: Lock | None = None,
) -> None:
    """Delete what deploy and its jobs put into S3, and the bucket if it was made for it.

    The record goes last but one, so that an interrupted wipe can be repeated; the bucket only goes
    when nothing of others is in it. The lock lies in the bucket, too, so it is let go before that.

    Raises:
        DeploymentError: S3 refuses.
    """
    try:
        _empty(cloud, store)
        store.delete()
        say(f"data, code, checkpoints and bundles under {store.prefix}")
        if lock:
            lock.release()
        for bucket in record.of("bucket"):
            if not cloud.call("s3", "list_objects_v2", {"Bucket": bucket}).get("Contents"):
                cloud.call("s3", "delete_bucket", {"Bucket": bucket})
                say(f"bucket {bucket}")
    except Exception as error:
        raise explain(error, f"Deleting {store.prefix}") from error


def _delete(cloud: Cloud, watch: Watch, deletion: Deletion) -> None:
    kind, name = KINDS[deletion.entry.kind], deletion.entry.name
    if kind.running and kind.look:
        look = kind.look(name)
        job = describe(cloud, look.service, look.operation, look.parameters)
        status = job[kind.running] if job else None
        if status == "InProgress":
            _make(cloud, deletion.calls)
        if kind.after and status in ("InProgress", "Stopping"):
            watch.until(Wait(kind.after, name, _STOP_SECONDS))
        return
    if kind.before:
        watch.until(Wait(kind.before, name, _GONE_SECONDS))
    _make(cloud, deletion.calls)
    if kind.after:
        watch.until(Wait(kind.after, name, _GONE_SECONDS))


def _stranger(cloud: Cloud, project: str, entry: Entry) -> str | None:
    """Why an endpoint of the project's name is somebody else's; ours may have gone long ago.

    So with the group of its versions: SageMaker deletes none that holds some.
    """
    if entry.kind == "model package group":
        left = versions(cloud, entry.name)
        return f"it holds {len(left)} versions that the record does not list" if left else None
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
