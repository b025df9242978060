"""A batch transform job as plain values, the parts it reads, and its answers joined to the rows.

Names carry digests: the same parts and the same deployed model are the same job, so a second run
finds what the first one left, and a kit that splits or writes rows otherwise finds nothing. Here:
everything but the calls, which commands/batch.py makes, and the rows themselves: batch_rows.py
reads them, batch_output.py writes what became of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.batch_rows import Table, verdicts
from infra.package import combine, digest_of, short
from infra.requests import Request, Tags, tagged
from infra.security import OPEN, Security
from shared.errors import DataError, DeploymentError, InputError
from shared.files import atomic, sha256

if TYPE_CHECKING:
    from shared.bundle import Bundle

FOLDER = "batch"
MEDIA = "application/jsonlines"
PAYLOAD_MB = 6
LONGEST = PAYLOAD_MB << 20
PART_BYTES = 4 * LONGEST
PART_ROWS = 50_000
"""A part is refused as a whole, so it is not large; a container takes so many rows at once."""


@dataclass(frozen=True)
class TransformJob:
    """One batch over one deployed model.

    Attributes:
        digest: of parts and model.
        model: name of the SageMaker model.
        instance: type, of which there is one.
    """

    project: str
    digest: str
    model: str
    bucket: str
    instance: str
    security: Security = OPEN
    tags: Tags = ()

    @property
    def prefix(self) -> str:
        """Where its parts and answers lie, as a key's beginning."""
        return f"{self.project}/{FOLDER}/{short(self.digest)}/"

    @property
    def parts(self) -> str:
        """Where its parts lie."""
        return f"{self.prefix}in/"

    def name(self, attempt: int) -> str:
        """The job's name; a failed one is followed by another attempt."""
        first = f"{self.project}-batch-{short(self.digest)}"
        return first if attempt == 1 else f"{first}-{attempt}"

    def answers(self, attempt: int) -> str:
        """Where SageMaker puts what it answers, as a key's beginning."""
        return f"{self.prefix}out-{attempt}/"

    def request(self, attempt: int) -> Request:
        """Parameters of CreateTransformJob."""
        volume = self.security.volume(self.instance)
        return {
            "TransformJobName": self.name(attempt),
            "ModelName": self.model,
            "BatchStrategy": "MultiRecord",
            "MaxPayloadInMB": PAYLOAD_MB,
            "TransformInput": {
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3Uri": f"s3://{self.bucket}/{self.parts}",
                    }
                },
                "ContentType": MEDIA,
                "SplitType": "Line",
            },
            "TransformOutput": {
                "S3OutputPath": f"s3://{self.bucket}/{self.answers(attempt).rstrip('/')}",
                "Accept": MEDIA,
                "AssembleWith": "Line",
                **self.security.outputs,
            },
            "TransformResources": {
                "InstanceType": self.instance,
                "InstanceCount": 1,
                **({"VolumeKmsKeyId": volume} if volume else {}),
            },
            **tagged(self.tags),
        }


@dataclass(frozen=True)
class Part:
    """One object that the job reads."""

    path: Path
    rows: int

    @property
    def name(self) -> str:
        """The last part of its key."""
        return self.path.name

    @property
    def answer(self) -> str:
        """The last part of the key of its answers."""
        return f"{self.name}.out"


def digest(model: str, parts: Sequence[Part]) -> str:
    """The digest of a batch: its model, and name and content of each part as the job reads it."""
    return combine(
        {"model": digest_of(model.encode()), **{one.name: sha256(one.path) for one in parts}}
    )


@dataclass
class Split:
    """What became of the rows: parts of good ones, and the mistakes of the others.

    Attributes:
        mistakes: by place among all rows, counted from 0.
        unknown: columns that the model does not know; they are not sent.
    """

    parts: list[Part] = field(default_factory=list)
    rows: int = 0
    mistakes: dict[int, InputError] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


def split(
    found: Sequence[Table],
    bundle: Bundle,
    folder: Path,
    told: Callable[[int], None] = lambda rows: None,
    *,
    most_rows: int = PART_ROWS,
    most_bytes: int = PART_BYTES,
    longest: int = LONGEST,
) -> Split:
    """Check every row, and write the good ones into parts; the same rows make the same parts.

    Args:
        found: the files.
        bundle: of the deployed model.
        folder: where the parts go.
        told: hears how many rows are done.
        most_rows: of a part.
        most_bytes: of a part.
        longest: bytes of a line.

    Raises:
        DataError: a file cannot be read, or there are no rows.
    """
    made = Split(unknown=_unknown(found, bundle))
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[bytes] = []
    size = 0

    def write() -> None:
        path = folder / f"part-{len(made.parts):05}.jsonl"
        with atomic(path) as file:
            file.writelines(lines)
        made.parts.append(Part(path, len(lines)))

    for table in found:
        for chunk in table.chunks():
            for verdict in verdicts(chunk, bundle, longest):
                if isinstance(verdict, InputError):
                    made.mistakes[made.rows] = verdict
                else:
                    if lines and (size + len(verdict) > most_bytes or len(lines) == most_rows):
                        write()
                        lines, size = [], 0
                    lines.append(verdict)
                    size += len(verdict)
                made.rows += 1
            told(made.rows)
    if lines:
        write()
    if not made.rows:
        raise DataError("there are no rows", where=found[0].name)
    return made


def _unknown(found: Sequence[Table], bundle: Bundle) -> tuple[str, ...]:
    names = (name for table in found for name in table.names or ())
    return tuple(dict.fromkeys(name for name in names if name not in bundle.schema.names))


@dataclass(frozen=True)
class Result:
    """One row and what became of it.

    Attributes:
        file: the row's, and row its place in it, counted from 0.
        given: the row as it came.
        prediction: the model's answer.
        error: why there is none.
    """

    file: str
    row: int
    given: Mapping[str, Any]
    prediction: Mapping[str, Any] | None
    error: InputError | None


def joined(
    found: Sequence[Table], made: Split, answers: Iterable[Mapping[str, Any] | InputError]
) -> Iterator[Result]:
    """Every row with its answer, in order.

    Args:
        found: the files, as they were split.
        made: what `split` said of them.
        answers: to the good rows, in order.
    """
    coming = iter(answers)
    place = 0
    for table in found:
        row = 0
        for chunk in table.chunks():
            for given in chunk.given():
                answer = made.mistakes[place] if place in made.mistakes else next(coming)
                if isinstance(answer, InputError):
                    yield Result(table.name, row, given, None, answer)
                else:
                    yield Result(table.name, row, given, answer, None)
                row += 1
                place += 1


def answered(
    parts: Sequence[Part], open_answer: Callable[[Part], Path | None], job: str
) -> Iterator[Mapping[str, Any] | InputError]:
    """The answers of all parts, in order; of a part that failed, the reason for each row.

    Args:
        parts: as they were split.
        open_answer: a part's answers on this machine; None where the job left none.
        job: its name.

    Raises:
        DeploymentError: a part's answers are not what the container should answer.
    """
    for part in parts:
        path = open_answer(part)
        if path is None:
            for _ in range(part.rows):
                yield InputError(
                    "part_failed",
                    f"the container failed at {part.name}, in which this row was sent",
                    cure=f"The log of {job} says why.",
                )
            continue
        with path.open("rb") as file:
            count = 0
            for line in file:
                count += 1
                yield _answer(line, part)
        if count != part.rows:
            raise DeploymentError(
                f"{count} answers came to {part.rows} rows", where=f"{job}, {part.answer}"
            )


def _answer(line: bytes, part: Part) -> Mapping[str, Any]:
    try:
        answer = json.loads(line)
        if isinstance(answer, dict):
            return answer
    except ValueError:
        pass
    raise DeploymentError(
        f"an answer is not what was expected: {line[:200]!r}",
        where=part.answer,
        cure="Another container may serve this model: see `make status`.",
    )
