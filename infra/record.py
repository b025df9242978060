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
from typing import Any, Literal, get_args

from infra.aws import Cloud
from infra.failures import code_of
from infra.observe import describe
from infra.resources import Retrained, record_key
from shared.errors import StorageError

FORMAT = 1
_ATTEMPTS = 10
_OVERTAKEN = ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey")
MOST_RELEASES = 50
Outcome = Literal["live", "rolled back", "withdrawn"]


@dataclass(frozen=True, order=True)
class Entry:
    """One thing that exists because of this project."""

    kind: str
    name: str


@dataclass(frozen=True)
class Release:
    """One version that was rolled out to the endpoint, and what came of it.

    Attributes:
        config, model: names of the endpoint config and of what it serves.
        job: the training or tuning job that made the model, and data its model.tar.gz.
        image: the URI of the image that serves it.
        at: when it came out so, in ISO 8601, UTC.
        outcome: live: it was verified and served; rolled back: SageMaker went back to the version
            before; withdrawn: it was taken back, as it answered its golden rows wrongly.
        package: the ARN of its model package, if it is registered.
        caused_by: the command that released it.
        scores: of the bundle's manifest, on the test rows.
        number: counts the project's releases from 1; given when it is recorded.
    """

    config: str
    model: str
    job: str
    data: str
    image: str
    at: str
    outcome: Outcome = "live"
    package: str | None = None
    caused_by: str = ""
    scores: tuple[tuple[str, float], ...] = ()
    number: int = 0

    def to_json(self) -> dict[str, object]:
        """The release as plain data."""
        return {**asdict(self), "scores": dict(self.scores)}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Release:
        """What `to_json` made.

        Raises:
            ValueError, TypeError, AttributeError: it did not.
        """
        if plain["outcome"] not in get_args(Outcome) or not isinstance(plain["number"], int):
            raise ValueError
        scores = tuple((str(name), float(value)) for name, value in plain["scores"].items())
        return cls(**{**plain, "scores": scores})


@dataclass(frozen=True)
class Record:
    """Everything that was made for a project, in the order in which it was made.

    Attributes:
        retrained: the model that last won a retraining, if any.
        releases: what was rolled out, the newest last; the last fifty.
    """

    project: str
    entries: tuple[Entry, ...] = ()
    retrained: Retrained | None = None
    releases: tuple[Release, ...] = ()

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

    def released(self, release: Release) -> Record:
        """The record with this release, under the next number; it is noted once.

        A write whose answer was lost is made again, and finds that it was made.
        """
        if self.releases and replace(self.releases[-1], number=release.number) == release:
            return self
        number = self.releases[-1].number + 1 if self.releases else 1
        releases = (*self.releases, replace(release, number=number))
        return replace(self, releases=releases[-MOST_RELEASES:])

    @property
    def live(self) -> Release | None:
        """The last release that was verified."""
        return next((one for one in reversed(self.releases) if one.outcome == "live"), None)

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
            **({"releases": [one.to_json() for one in self.releases]} if self.releases else {}),
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
            releases = tuple(Release.from_json(one) for one in document.get("releases", []))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StorageError(
                "is not a record of this project",
                where=f"s3://{self.bucket}/{self.key}",
                cure="Look at it, then delete it: the next deployment writes a new one.",
            ) from error

        return Record(self.project, entries, retrained, releases), {"IfMatch": answer["ETag"]}

    def _write(self, record: Record, condition: dict[str, str]) -> None:
        body = json.dumps(record.to_json(), indent=1).encode()
        self._cloud.call(
            "s3",
            "put_object",
            {**self._place, "Body": body, "ContentType": "application/json", **condition},
        )
