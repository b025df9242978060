"""The record of what a project has in the cloud: one JSON object in the project's own prefix.

`destroy` deletes what stands here and nothing else. An entry is written before the call that
creates the thing, so a crash between the two leaves a name too many, never a thing too many. S3
replaces an object as a whole, so no reader sees half a record; and it is replaced only where it is
still the one that was read, so two deployments at once lose nothing of each other's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace

from infra.aws import Cloud
from infra.failures import code_of
from infra.observe import describe
from infra.resources import Retrained, record_key
from shared.errors import StorageError

FORMAT = 1
_ATTEMPTS = 10
_OVERTAKEN = ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey")
# Not among them: images, which every project with the same serving code shares.
KINDS = (
    "bucket",
    "role",
    "object",
    "training job",
    "tuning job",
    "model",
    "endpoint config",
    "endpoint",
)


@dataclass(frozen=True, order=True)
class Entry:
    """One thing that exists because of this project."""

    kind: str
    name: str


@dataclass(frozen=True)
class Record:
    """Everything that was made for a project, in the order in which it was made.

    Attributes:
        retrained: the model that last won a retraining, if any.
    """

    project: str
    entries: tuple[Entry, ...] = ()
    retrained: Retrained | None = None

    def having(self, entries: Iterable[Entry]) -> Record:
        """The record with these entries too."""
        new = [entry for entry in entries if entry not in self.entries]
        return replace(self, entries=(*self.entries, *dict.fromkeys(new)))

    def without(self, gone: Iterable[Entry]) -> Record:
        """The record without these entries."""
        left = set(gone)
        return replace(self, entries=tuple(one for one in self.entries if one not in left))

    def of(self, kind: str) -> tuple[str, ...]:
        """Names of one kind, oldest first."""
        return tuple(entry.name for entry in self.entries if entry.kind == kind)

    def last(self, *kinds: str) -> Entry | None:
        """The newest entry of any of these kinds."""
        return next((entry for entry in reversed(self.entries) if entry.kind in kinds), None)

    @property
    def deployed(self) -> bool:
        """Whether it lists anything outside of S3."""
        return any(entry.kind not in ("bucket", "object") for entry in self.entries)

    def to_json(self) -> dict[str, object]:
        """The record as plain data."""
        return {
            "format": FORMAT,
            "project": self.project,
            "entries": [{"kind": entry.kind, "name": entry.name} for entry in self.entries],
            **({"retrained": asdict(self.retrained)} if self.retrained else {}),
        }


class RecordStore:
    """Reads and writes the record of one project in one bucket."""

    def __init__(self, cloud: Cloud, bucket: str, project: str) -> None:
        self._cloud = cloud
        self.bucket = bucket
        self.project = project
        self.key = record_key(project)
        self._place: dict[str, object] = {"Bucket": bucket, "Key": self.key}

    @property
    def prefix(self) -> str:
        """Where everything of the project lies in S3."""
        return f"s3://{self.bucket}/{self.project}/"

    def load(self) -> Record:
        """The record, empty when there is none.

        Raises:
            StorageError: what lies there is not a record of this project.
        """
        return self._read()[0]

    def change(self, edit: Callable[[Record], Record]) -> Record:
        """Replace the record by what `edit` makes of it; what stands there then.

        When somebody else replaced it meanwhile, `edit` is called again with theirs.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            before, unchanged = self._read()
            after = edit(before)
            if after == before:
                break
            try:
                self._write(after, unchanged)
                break
            except Exception as error:
                if code_of(error) not in _OVERTAKEN or attempt == _ATTEMPTS:
                    raise
        return after

    def save(self, record: Record) -> None:
        """Replace the record, whatever stands there."""
        self._write(record, {})

    def delete(self) -> None:
        """Remove the record; S3 says nothing when there is none."""
        self._cloud.call("s3", "delete_object", self._place)

    def _read(self) -> tuple[Record, dict[str, str]]:
        """The record, and the condition under which it is still the one that was read."""
        answer = describe(self._cloud, "s3", "get_object", self._place)
        if answer is None:
            return Record(self.project), {"IfNoneMatch": "*"}
        with answer["Body"] as body:
            text = body.read()
        try:
            document = json.loads(text)
            if document["format"] != FORMAT or document["project"] != self.project:
                raise ValueError
            entries = tuple(
                Entry(str(one["kind"]), str(one["name"])) for one in document["entries"]
            )
            retrained = Retrained(**document["retrained"]) if "retrained" in document else None
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError(
                "is not a record of this project",
                where=f"s3://{self.bucket}/{self.key}",
                cure="Look at it, then delete it: the next deployment writes a new one.",
            ) from error

        return Record(self.project, entries, retrained), {"IfMatch": answer["ETag"]}

    def _write(self, record: Record, condition: dict[str, str]) -> None:
        body = json.dumps(record.to_json(), indent=1).encode()
        self._cloud.call(
            "s3",
            "put_object",
            {**self._place, "Body": body, "ContentType": "application/json", **condition},
        )
