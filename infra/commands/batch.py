"""Predictions for whole tables by a batch transform job of the deployed model.

The rows (CSV with a header, JSON Lines or Parquet; a file, a folder, a glob or an s3:// location)
are checked here as the endpoint would check them. The good ones go to a batch transform job; each
row of the output is a row of the input, in the same order, with its prediction or with the reason
why it has none. A bad row never fails the others. Exit code 3 says that there were bad rows; they
are listed beside the output.

The same rows and the same model are the same job: run again, or twice at once, the command finds
what is there.
"""

from __future__ import annotations

import argparse
import shlex
import tempfile
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from infra.commands.words import add_project, facts, place, typed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from infra.aws import Cloud
    from infra.batch import Part, Result, Split, TransformJob
    from infra.batch_output import Outcome
    from infra.batch_rows import Table
    from infra.progress import Progress
    from infra.record import Record, RecordStore
    from infra.sections import ProjectFile
    from shared.bundle import Bundle
    from shared.schema import Target

LOGS = "/aws/sagemaker/TransformJobs"
# Nothing bounds a batch but its rows; after so long somebody should look.
_SECONDS = 5 * 24 * 3600.0
_SHOWN = 5
DEFAULT_INSTANCE = "ml.m5.large"
# The exit code where rows have no prediction.
ROWS_FAILED = 3


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of batch."""
    add_project(parser)
    parser.add_argument(
        "--input",
        default="",
        metavar="ROWS",
        help="CSV with a header, JSON Lines or Parquet: a file, a folder, a glob, s3://bucket/…",
    )
    parser.add_argument(
        "--output",
        default="",
        metavar="PLACE",
        help="a file that ends in .csv or .jsonl, or a folder; here or s3://bucket/…",
    )
    parser.add_argument(
        "--keep", metavar="COLUMNS", help="columns to carry along, with commas between; else all"
    )


def run(args: argparse.Namespace) -> int:
    """Predict, and say what came of it."""
    from infra.progress import progress

    _check(args)
    batch = Batch(args)
    try:
        with progress(4) as shown:
            batch.run(shown)
    except KeyboardInterrupt:
        print(f"\nInterrupted. {batch.standing}")
        return 130
    print(batch.summary())
    return batch.code


def _check(args: argparse.Namespace) -> None:
    from shared.errors import DataError

    for name, what in (("input", "INPUT=rows.csv"), ("output", "OUTPUT=scored.csv")):
        if not getattr(args, name):
            raise DataError(
                f"is needed: `{typed('batch', args)} INPUT=rows.csv OUTPUT=scored.csv`",
                where=what.partition("=")[0],
            )


class Batch:
    """One run of batch."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._started = time.monotonic()
        self._job: str | None = None
        self._outcome: Outcome | None = None
        self._output = ""
        self._errors: str | None = None
        self._keep: list[str] | None = None

    @property
    def code(self) -> int:
        """The exit code."""
        assert self._outcome is not None
        return ROWS_FAILED if self._outcome.failed else 0

    @property
    def standing(self) -> str:
        """After Ctrl-C."""
        again = self._again
        if self._job is None:
            return f"No job was started; `{again}` begins anew."
        return (
            f"The job {self._job} goes on by itself: `{again}` attaches to it, "
            f"`{typed('destroy', self._args)}` stops it."
        )

    @property
    def _again(self) -> str:
        args = self._args
        keep = f" KEEP={shlex.quote(args.keep)}" if args.keep else ""
        return (
            f"{typed('batch', args)} INPUT={shlex.quote(args.input)} "
            f"OUTPUT={shlex.quote(args.output)}{keep}"
        )

    def run(self, shown: Progress) -> None:
        """Read and check, transform, join."""
        from infra import project
        from infra.aws import find
        from infra.batch import answered, joined
        from infra.outputs import fetch_bundle
        from infra.prepare import build_directory
        from infra.record import RecordStore
        from infra.resources import bucket_name
        from shared.errors import DeploymentError

        args = self._args
        file = project.read(args.project)
        shown.stage("deployed model")
        cloud = find(args.target, file.aws)
        if cloud is None:
            raise DeploymentError(
                "the local cloud is not running, so no model is deployed",
                where=file.name,
                cure=f"Deploy it first: {typed('deploy', args)}",
            )
        store = RecordStore(cloud, bucket_name(file.aws, cloud.account), file.name)
        model, data = _deployed(cloud, store.load(), typed("deploy", args))
        build = build_directory(file.name) / "batch"
        build.mkdir(parents=True, exist_ok=True)
        # Nothing in it is another run's, which may be under way.
        with tempfile.TemporaryDirectory(dir=build) as temporary:
            folder = Path(temporary)
            bundle = fetch_bundle(cloud, data, folder)
            shown.done(f"{model}, {place(args.target, cloud.account.region, cloud.account.id)}")
            shown.stage("rows")
            found = self._rows(cloud, bundle, folder / "rows")
            self._output, self._keep = self._named_output(found), self._kept(found)
            made = self._split(found, bundle, folder / "parts", shown)
            shown.stage("transform")
            job = self._transform_job(cloud, file, store, model, made)
            attempt = self._transform(cloud, store, job, made, shown) if made.parts else 0
            shown.stage("join")
            answers = _Answers(cloud, job, attempt, folder / "answers")
            results = joined(found, made, answered(made.parts, answers.path, answers.name))
            self._join(cloud, results, bundle.schema.target, folder)
            shown.done(f"{made.rows} rows in {self._output}")

    def _rows(self, cloud: Cloud, bundle: Bundle, folder: Path) -> list[Table]:
        from infra.batch_rows import SUFFIXES, opened
        from infra.channels import local_files
        from shared import storage
        from shared.errors import DataError

        given = self._args.input
        if not given.startswith("s3://"):
            paths = {str(path): path for path in local_files(given, Path(), SUFFIXES)}
        else:
            client = cloud.client("s3")
            names = [one for one in storage.list_files(given, client) if one.endswith(SUFFIXES)]
            paths = {}
            for number, name in enumerate(names):
                paths[name] = folder / f"{number}-{name.rsplit('/', 1)[1]}"
                storage.download(name, paths[name], client)
        for name, path in paths.items():
            if path.suffix not in SUFFIXES:
                raise DataError(
                    f"the name ends in {path.suffix!r}",
                    where=name,
                    cure=f"Known: {', '.join(SUFFIXES)}",
                )
        if not paths:
            raise DataError(f"holds no file ending in {' or '.join(SUFFIXES)}", where=given)
        return [opened(name, path, bundle.schema) for name, path in paths.items()]

    def _named_output(self, found: Sequence[Table]) -> str:
        """The file that the rows go to."""
        from shared.errors import DataError

        given: str = self._args.output
        if given.endswith((".csv", ".jsonl")):
            output = given
        elif (unknown := PurePosixPath(given).suffix) and not Path(given).is_dir():
            raise DataError(
                f"the name ends in {unknown!r}",
                where=given,
                cure="Answers are written as .csv or .jsonl; or name a folder without a dot.",
            )
        else:
            ending = ".csv" if found[0].path.suffix == ".csv" else ".jsonl"
            output = f"{given.rstrip('/')}/predictions{ending}"
        if output in {table.name for table in found}:
            raise DataError("is a file of the input, too", where=output, cure="Name another one.")
        return output

    def _kept(self, found: Sequence[Table]) -> list[str] | None:
        """The columns that are carried along, in their order; None: all, whichever a row has."""
        from shared.errors import DataError, nearest

        names: list[str] | None = None
        if all(table.names is not None for table in found):
            names = list(dict.fromkeys(name for table in found for name in table.names or ()))
        if not self._args.keep:
            return names
        keep = [name.strip() for name in self._args.keep.split(",") if name.strip()]
        for name in keep:
            if names is not None and name not in names:
                raise DataError(
                    f"the rows have no column {name!r}", where="KEEP", cure=nearest(name, names)
                )
        return keep

    def _split(
        self, found: Sequence[Table], bundle: Bundle, folder: Path, shown: Progress
    ) -> Split:
        from infra.batch import split

        made = split(found, bundle, folder, lambda rows: shown.status(f"{rows} rows read"))
        if made.unknown:
            shown.line(f"Not sent, as the model does not know it: {_some(made.unknown)}")
        good = made.rows - len(made.mistakes)
        bad = f", {len(made.mistakes)} cannot be answered" if made.mistakes else ""
        shown.done(f"{good} rows to be sent{bad}")
        return made

    def _transform_job(
        self,
        cloud: Cloud,
        file: ProjectFile,
        store: RecordStore,
        model: str,
        made: Split,
    ) -> TransformJob:
        from infra.batch import TransformJob, digest
        from infra.security import Security

        tags = tuple(sorted({"project": file.name, **file.aws.tags}.items()))
        security = Security.of(file.aws)
        return TransformJob(
            file.name,
            digest(model, made.parts),
            model,
            store.bucket,
            _instance(cloud, file.endpoint.instance),
            security,
            tags,
        )

    def _transform(
        self, cloud: Cloud, store: RecordStore, job: TransformJob, made: Split, shown: Progress
    ) -> int:
        """Have the parts answered; the attempt that did it."""
        from infra.record import Entry
        from infra.steps import Wait
        from infra.watch import Watch

        attempt, status = _last(cloud, job)
        if status == "Completed" and not _is_answered(cloud, job, attempt, made.parts):
            status = None
        attached = status in ("InProgress", "Stopping")
        if status in ("Failed", "Stopped", None):
            attempt += 1
            self._upload(cloud, job, made.parts, shown)
            name = job.name(attempt)
            store.change(lambda record: record.having([Entry("transform job", name)]))
            attached = not _started(cloud, job.request(attempt))
        self._job = name = job.name(attempt)
        if attached:
            shown.line(f"{name} is under way already, for the same rows: this run waits for it.")
        if status != "Completed":
            shown.status(f"{name} runs")
            Watch(cloud, shown).until(Wait("transform ended", name, _SECONDS))
        described = cloud.call("sagemaker", "describe_transform_job", {"TransformJobName": name})
        self._refuse_failed(cloud, job, attempt, described)
        shown.done("no change" if status == "Completed" else f"transform job {name} is complete")
        return attempt

    def _refuse_failed(
        self, cloud: Cloud, job: TransformJob, attempt: int, described: dict[str, Any]
    ) -> None:
        """A job that failed at some of its parts has answered the others.

        Raises:
            DeploymentError: it answered none, or was stopped.
        """
        from infra.logs import last_lines
        from shared import storage
        from shared.errors import DeploymentError

        status, name = described["TransformJobStatus"], job.name(attempt)
        if status == "Completed":
            return
        there = storage.list_files(f"s3://{job.bucket}/{job.answers(attempt)}", cloud.client("s3"))
        if status == "Failed" and there:
            return
        lines = last_lines(cloud, LOGS, f"{name}/", 15)
        log = "\n".join(f"  | {line}" for line in lines)
        raise DeploymentError(
            described.get("FailureReason") or f"the job is {status}",
            where=f"transform job {name}",
            cure=(f"Its last log lines:\n{log}\n" if lines else "")
            + f"`{self._again}` starts another attempt.",
        )

    def _upload(
        self, cloud: Cloud, job: TransformJob, parts: Sequence[Part], shown: Progress
    ) -> None:
        for number, part in enumerate(parts, start=1):
            shown.status(f"uploads part {number} of {len(parts)}")
            cloud.call(
                "s3",
                "upload_file",
                {
                    "Filename": str(part.path),
                    "Bucket": job.bucket,
                    "Key": job.parts + part.name,
                    "ExtraArgs": {"ChecksumAlgorithm": "SHA256"},
                },
            )

    def _join(self, cloud: Cloud, results: Iterator[Result], target: Target, folder: Path) -> None:
        from infra.batch_output import write

        output, ending = self._output, self._output[self._output.rindex(".") :]
        scored, listed = folder / f"scored{ending}", folder / "errors.jsonl"
        self._outcome = write(results, scored, listed, self._keep, target)
        _put(cloud, scored, output)
        if self._outcome.failed:
            self._errors = f"{output.removesuffix(ending)}.errors.jsonl"
            _put(cloud, listed, self._errors)

    def summary(self) -> str:
        """What a person wants to know after a batch."""
        from infra.units import short_time

        outcome = self._outcome
        assert outcome is not None
        took = short_time(time.monotonic() - self._started)
        scored = outcome.rows - outcome.failed
        rows = [("output", self._output), ("job", self._job or "none: no row could be sent")]
        if self._errors:
            why = ", ".join(f"{count} {code}" for code, count in outcome.codes)
            rows += [("without", f"{outcome.failed} rows: {why}"), ("listed in", self._errors)]
            rows += [
                ("" if number else "such as", text) for number, text in enumerate(outcome.first)
            ]
        head = f"{scored} of {outcome.rows} rows have a prediction ({took})."
        return f"\n{head}\n\n{facts(rows)}"


class _Answers:
    """What a job answered, fetched part by part."""

    def __init__(self, cloud: Cloud, job: TransformJob, attempt: int, folder: Path) -> None:
        from shared import storage

        self._client = cloud.client("s3")
        self._folder = folder
        self.name = job.name(attempt) if attempt else ""
        # Which folders SageMaker makes below the output path depends on how the input was named.
        place = f"s3://{job.bucket}/{job.answers(attempt)}"
        there = storage.list_files(place, self._client) if attempt else []
        self._places = {uri.rsplit("/", 1)[1]: uri for uri in there}

    def path(self, part: Part) -> Path | None:
        """The answers to a part, on this machine; None where there are none."""
        from shared import storage

        uri = self._places.get(part.answer)
        if uri is None:
            return None
        storage.download(uri, self._folder / part.answer, self._client)
        return self._folder / part.answer


def _deployed(cloud: Cloud, record: Record, deploy: str) -> tuple[str, str]:
    """Name and model.tar.gz of the model of the last release.

    Raises:
        DeploymentError: there is none.
    """
    from infra.observe import exists
    from shared.errors import DeploymentError

    live = record.live
    if live and exists(cloud, "sagemaker", "describe_model", {"ModelName": live.model}):
        return live.model, live.data
    raise DeploymentError("no model is deployed", where=record.project, cure=f"Run `{deploy}`.")


def _instance(cloud: Cloud, wanted: str) -> str:
    """The endpoint's instance type, where a transform job takes it."""
    known = cloud.client("sagemaker").meta.service_model.shape_for("TransformInstanceType").enum
    return wanted if wanted in known else DEFAULT_INSTANCE


def _last(cloud: Cloud, job: TransformJob) -> tuple[int, str | None]:
    """The last attempt of the job and its status; 0 and None where there was none."""
    from infra.observe import describe

    attempt, status = 0, None
    while True:
        place = {"TransformJobName": job.name(attempt + 1)}
        found = describe(cloud, "sagemaker", "describe_transform_job", place)
        if found is None:
            return attempt, status
        attempt, status = attempt + 1, str(found["TransformJobStatus"])


def _started(cloud: Cloud, request: Mapping[str, Any]) -> bool:
    """Start a job; False where another run started the same one in the same moment."""
    from infra.failures import code_of

    try:
        cloud.call("sagemaker", "create_transform_job", request)
    except Exception as error:
        if code_of(error) != "ResourceInUse":
            raise
        return False
    return True


def _is_answered(cloud: Cloud, job: TransformJob, attempt: int, parts: Sequence[Part]) -> bool:
    """Whether the answers of a job are still there: it outlives them."""
    from shared import storage

    place = f"s3://{job.bucket}/{job.answers(attempt)}"
    there = {uri.rsplit("/", 1)[1] for uri in storage.list_files(place, cloud.client("s3"))}
    return {part.answer for part in parts} <= there


def _put(cloud: Cloud, path: Path, where: str) -> None:
    from shared import storage

    if not where.startswith("s3://"):
        storage.upload(path, where)
        return
    bucket, key = storage.split(where)
    parameters = {
        "Filename": str(path),
        "Bucket": bucket,
        "Key": key,
        "ExtraArgs": {"ChecksumAlgorithm": "SHA256"},
    }
    cloud.call("s3", "upload_file", parameters)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
