"""Which job is this: what decides its result, by part, and one digest of it all.

Checkpoints are used only by a job of equal identity, since only there do they lead to the bits of
an unstopped run. So that nobody begins again in silence, each job leaves its parts at the
checkpoint location (`<digest>/job.json`), and a job that finds others' parts and not its own says
in which they differ.

Not here: what is kept for a job (checkpoints.py).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import shared
from shared import documents, storage
from training.checkpoints import FORMAT, Checkpoints

SHOWN = 3
DOCUMENT = "job"
_DOCUMENT = re.compile(r".*/([0-9a-f]{16})/job\.json")
_WITHOUT_VALUES = {
    "code": "the code in training/ and shared/ is another",
    "rows": "the rows are others",
}


@dataclass(frozen=True)
class Identity:
    """What decides a job's result.

    Args:
        parts: plain JSON by name; what is long, as a digest.
    """

    parts: Mapping[str, Any]

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits."""
        return digest(self.parts)

    def __str__(self) -> str:
        return self.digest


def identify(**parts: object) -> Identity:
    """The identity of a job that these parts decide, and besides them code and format."""
    return Identity(documents.plain({**parts, "format": FORMAT, "code": _code()}))


def digest(value: object) -> str:
    """A digest of plain JSON or dataclasses: 16 hexadecimal digits."""
    return hashlib.sha256(documents.dumps(value).encode()).hexdigest()[:16]


def announce(
    location: str, job: Identity, warn: Callable[[str], None], *, writes: bool = True
) -> None:
    """Leave the job's parts; warn where only other jobs' checkpoints lie.

    Args:
        location: where checkpoints lie.
        job: the whole job's.
        warn: told, in a sentence, why what is there is not used.
        writes: False on the hosts that only read.

    Raises:
        CheckpointError: the location cannot be written: better told now than after an epoch.
        StorageError: it cannot be read.
    """
    found = (_DOCUMENT.fullmatch(name) for name in storage.list_files(f"{location.rstrip('/')}/"))
    digests = [match[1] for match in found if match]
    own = Checkpoints(location, job.digest, warn, writes=writes)
    if job.digest in digests:
        if own.read_document(DOCUMENT) is None:
            own.write_document(DOCUMENT, job.parts)
        return
    others = [Checkpoints(location, other, warn).read_document(DOCUMENT) for other in digests]
    unlike = [differences(parts, job.parts) for parts in others if isinstance(parts, dict)]
    if unlike:
        nearest = min(unlike, key=len)
        more = f", and {len(nearest) - SHOWN} more" if len(nearest) > SHOWN else ""
        warn(
            f"{location} holds checkpoints of {len(unlike)} other "
            f"{'jobs, the nearest of which differs' if len(unlike) > 1 else 'job, which differs'}: "
            f"{'; '.join(nearest[:SHOWN])}{more}. They are not used; this job starts from its "
            f"beginning"
        )
    own.write_document(DOCUMENT, job.parts)


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """In what two jobs' parts differ, each in words that name both values."""
    found = dict.fromkeys(
        _WITHOUT_VALUES.get(part) or f"{place} was {was} and is {now}"
        for part in dict.fromkeys([*ours, *theirs])
        for place, was, now in _unequal(part, theirs.get(part), ours.get(part))
    )
    return list(found) or ["in the order of their parts"]


def _unequal(place: str, was: object, now: object) -> Iterator[tuple[str, str, str]]:
    """The places below this one whose values differ, with both."""
    if was == now:
        return
    inside = _entries(was), _entries(now)
    if inside[0] is None or inside[1] is None:
        yield place, _shown(was), _shown(now)
        return
    for name in dict.fromkeys([*inside[1], *inside[0]]):
        yield from _unequal(f"{place}.{name}", inside[0].get(name), inside[1].get(name))


def _entries(value: object) -> Mapping[str, Any] | None:
    """What lies inside a value, by name; None where that is nothing with names."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and all(isinstance(e, dict) and "name" in e for e in value):
        return {entry["name"]: entry for entry in value}
    return None


def _shown(value: object) -> str:
    return "not there" if value is None else documents.show(value)


def _code() -> str:
    """A digest of the code that decides bits."""
    folders = [Path(__file__).parent, Path(shared.__path__[0])]
    files = sorted(path for folder in folders for path in folder.rglob("*.py"))
    whole = hashlib.sha256()
    for path in files:
        whole.update(f"{path.name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()[:16]
