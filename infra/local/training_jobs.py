"""Training jobs: CreateTrainingJob and its relatives, and the thread that runs each job for real.

A job goes through SageMaker's states in SageMaker's order: Starting, Downloading, Training,
Uploading, Completed; or Failed, Stopped, MaxRuntimeExceeded. How its program is started is in
`launch`.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from infra.local import archives, images, metrics
from infra.local.buckets import Buckets, Location, MissingError
from infra.local.checkpoints import CheckpointSync
from infra.local.launch import OPT_ML, Launch, LaunchError, Layout, prepare, write_config
from infra.local.logs import LogStream, pump
from infra.local.metrics import JobMetrics
from infra.local.processes import Process
from infra.local.state import Answer, Cloud, Operation, arn, log_exception, now, page
from infra.local.tags import as_pairs
from infra.local.wire import RefusalError, invalid, not_offered

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
LONGEST_REASON = 1024
MESSAGES = {
    "Starting": "Starting the training job",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
}


class JobError(Exception):
    """Ends a job; the text is its FailureReason."""


@dataclass
class TrainingJob:
    """One job, described and running."""

    request: Mapping[str, Any]
    created: datetime
    modified: datetime
    status: str = "InProgress"
    secondary: str = "Starting"
    transitions: list[dict[str, Any]] = field(default_factory=list)
    failure_reason: str | None = None
    artifacts: str | None = None
    started: datetime | None = None
    ended: datetime | None = None
    metrics: JobMetrics | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def name(self) -> str:
        """TrainingJobName."""
        return str(self.request["TrainingJobName"])

    @property
    def arn(self) -> str:
        """TrainingJobArn."""
        return str(self.request["TrainingJobArn"])

    def enter(self, secondary: str, status: str | None = None) -> None:
        """Go to the next state."""
        moment = now()
        if self.transitions:
            self.transitions[-1].setdefault("EndTime", moment)
        entry = {"Status": secondary, "StartTime": moment, "StatusMessage": MESSAGES[secondary]}
        self.transitions.append(entry)
        self.secondary = secondary
        self.modified = moment
        if status:
            self.status = status
        if self.status in ("Completed", "Failed", "Stopped"):
            entry["EndTime"] = moment
            if secondary == "Failed" and self.failure_reason:
                entry["StatusMessage"] = self.failure_reason

    def seconds(self) -> int | None:
        """How long it trained."""
        if self.started is None or self.ended is None:
            return None
        return max(1, round((self.ended - self.started).total_seconds()))

    def describe(self) -> dict[str, Any]:
        """DescribeTrainingJob's answer."""
        return {
            "EnableNetworkIsolation": False,
            "EnableInterContainerTrafficEncryption": False,
            "EnableManagedSpotTraining": False,
            **self.request,
            "ModelArtifacts": {"S3ModelArtifacts": self.artifacts} if self.artifacts else None,
            "TrainingJobStatus": self.status,
            "SecondaryStatus": self.secondary,
            "SecondaryStatusTransitions": list(self.transitions),
            "FailureReason": self.failure_reason,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
            "TrainingStartTime": self.started,
            "TrainingEndTime": self.ended,
            "TrainingTimeInSeconds": self.seconds(),
            "BillableTimeInSeconds": self.seconds(),
            "FinalMetricDataList": (self.metrics.final() if self.metrics else None) or None,
        }


class TrainingJobs:
    """Every training job of this cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._jobs: dict[str, TrainingJob] = {}

    def operations(self) -> dict[str, Operation]:
        """What this answers, by the operation's name."""
        return {
            "CreateTrainingJob": self.create,
            "DescribeTrainingJob": self.describe,
            "ListTrainingJobs": self.list,
            "StopTrainingJob": self.stop,
            "DeleteTrainingJob": self.delete,
        }

    def create(self, request: dict[str, Any]) -> Answer:
        """Accept a job and start it."""
        return {"TrainingJobArn": self.launch(request).arn}

    def launch(self, request: dict[str, Any]) -> TrainingJob:
        """Accept a job, of a user or of a tuning job, and start it.

        Raises:
            RefusalError: the request is wrong, or the name is taken.
        """
        name = request["TrainingJobName"]
        job_arn = arn("training-job", name)
        check(request)
        request.setdefault("StoppingCondition", {}).setdefault("MaxRuntimeInSeconds", 86400)
        moment = now()
        job = TrainingJob({**request, "TrainingJobArn": job_arn}, moment, moment)
        job.enter("Starting")
        with self._cloud.lock:
            if name in self._jobs:
                raise RefusalError(
                    "ResourceInUse",
                    "Training job names must be unique within an AWS account and region, "
                    f"and a training job with this name already exists ({job_arn})",
                )
            self._jobs[name] = job
            self._cloud.tags[job_arn] = as_pairs(request.get("Tags", []))
        threading.Thread(target=Run(self._cloud, job).run, daemon=True).start()
        return job

    def describe(self, request: dict[str, Any]) -> Answer:
        """A job as it is now."""
        with self._cloud.lock:
            return self._find(request).describe()

    def list(self, request: dict[str, Any]) -> Answer:
        """Summaries, filtered and sorted."""
        with self._cloud.lock:
            found, token = page(
                self._jobs.values(),
                request,
                name=lambda job: job.name,
                created=lambda job: job.created,
                modified=lambda job: job.modified,
                status=lambda job: job.status,
            )
            summaries = [
                {
                    "TrainingJobName": job.name,
                    "TrainingJobArn": job.arn,
                    "CreationTime": job.created,
                    "TrainingEndTime": job.ended,
                    "LastModifiedTime": job.modified,
                    "TrainingJobStatus": job.status,
                    "SecondaryStatus": job.secondary,
                }
                for job in found
            ]
        return {"TrainingJobSummaries": summaries, "NextToken": token}

    def stop(self, request: dict[str, Any]) -> None:
        """Ask a job to stop: SIGTERM, and SIGKILL after the grace period."""
        with self._cloud.lock:
            job = self._find(request)
            if job.status not in ("InProgress", "Stopping"):
                raise invalid(
                    f"The request was rejected because the training job is in status {job.status}."
                )
            self.halt(job)

    def halt(self, job: TrainingJob) -> None:
        """Ask a job that runs to stop; one that stops or has ended is left alone."""
        with self._cloud.lock:
            if job.status == "InProgress":
                job.enter("Stopping", "Stopping")
                job.stop.set()

    def delete(self, request: dict[str, Any]) -> None:
        """Forget a job that has ended."""
        with self._cloud.lock:
            job = self._find(request)
            if job.status in ("InProgress", "Stopping"):
                raise RefusalError(
                    "ResourceInUse",
                    f"Training job {job.arn} is in status {job.status} and cannot be deleted.",
                )
            del self._jobs[job.name]
            self._cloud.tags.pop(job.arn, None)

    def _find(self, request: Mapping[str, Any]) -> TrainingJob:
        job = self._jobs.get(request["TrainingJobName"])
        if job is None:
            raise invalid("Requested resource not found.")
        return job


def check(request: Mapping[str, Any]) -> None:
    """What AWS checks beyond the model of the service, and what is not offered here."""
    specification = request.get("AlgorithmSpecification", {})
    if not specification.get("TrainingImage"):
        raise invalid("You must specify a TrainingImage in AlgorithmSpecification.")
    if specification.get("TrainingInputMode", "File") == "Pipe":
        raise not_offered("the input mode Pipe")
    for definition in specification.get("MetricDefinitions", []):
        metrics.compiled(definition)
    resources = request.get("ResourceConfig", {})
    if "InstanceGroups" in resources or resources.get("InstanceCount", 1) > 1:
        raise not_offered("training on more than one instance")
    if "InstanceType" not in resources:
        raise invalid("ResourceConfig with an InstanceType is required.")
    names = [channel["ChannelName"] for channel in request.get("InputDataConfig", [])]
    if len(set(names)) != len(names):
        raise invalid("Channel names must be unique in InputDataConfig.")
    for channel in request.get("InputDataConfig", []):
        source = channel["DataSource"].get("S3DataSource")
        if source is None or source["S3DataType"] != "S3Prefix":
            raise not_offered("channels other than an S3Prefix")
        if channel.get("InputMode", "File") == "Pipe":
            raise not_offered("the input mode Pipe")
    stopping = request.get("StoppingCondition", {})
    longest = stopping.get("MaxWaitTimeInSeconds")
    if request.get("EnableManagedSpotTraining"):
        if longest is None or longest < stopping.get("MaxRuntimeInSeconds", 86400):
            raise invalid(
                "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal "
                "to MaxRuntimeInSeconds"
            )
    elif longest is not None:
        raise invalid(
            "MaxWaitTimeInSeconds above 0 is only allowed when EnableManagedSpotTraining is true"
        )
    local = request.get("CheckpointConfig", {}).get("LocalPath", OPT_ML)
    if not (local == OPT_ML or local.startswith(f"{OPT_ML}/")) or ".." in local:
        raise not_offered(f"a checkpoint LocalPath outside {OPT_ML}")


class Run:
    """One job's life, on a thread of its own."""

    def __init__(self, cloud: Cloud, job: TrainingJob) -> None:
        self._cloud = cloud
        self._job = job
        self._request = job.request
        self._place = cloud.work / "jobs" / job.name
        self._layout = Layout(self._place / "opt" / "ml")
        self._checkpoints: CheckpointSync | None = None

    def run(self) -> None:
        """From Starting to an end, whatever happens."""
        try:
            self._buckets = Buckets(self._cloud.client("s3"))
            self._job.metrics = JobMetrics(
                self._request["AlgorithmSpecification"].get("MetricDefinitions", []), self._job.name
            )
            self._live()
        except JobError as error:
            self._end("Failed", "Failed", str(error))
        except OSError as error:
            log_exception()
            self._end("Failed", "Failed", f"ClientError: {error.strerror} ({self._place})")
        except Exception as error:
            log_exception()
            self._end("Failed", "Failed", f"InternalServerError: {error}")
        finally:
            if self._checkpoints:
                self._checkpoints.close()
            shutil.rmtree(self._place, ignore_errors=True)

    def _live(self) -> None:
        launch = self._download()
        if self._job.stop.is_set():
            self._end("Stopped", "Stopped")
            return
        self._enter("Training")
        with self._cloud.lock:
            self._job.started = now()
        code, tail = self._train(launch)
        self._finish_checkpoints()
        outdated = self._job.secondary == "MaxRuntimeExceeded"
        stopped = outdated or self._job.stop.is_set()
        if not stopped:
            self._enter("Uploading")
        self._upload("output", self._layout.output / "data", even_empty=False)
        if code and not stopped:
            raise JobError(self._reason(code, launch, tail))
        artifacts = self._upload("model", self._layout.model, even_empty=True)
        with self._cloud.lock:
            self._job.artifacts = artifacts
        if outdated:
            self._end("Stopped", "MaxRuntimeExceeded")
        elif stopped:
            self._end("Stopped", "Stopped")
        else:
            self._end("Completed", "Completed")

    def _enter(self, secondary: str) -> None:
        """The next state of a job that nobody has asked to stop."""
        with self._cloud.lock:
            if self._job.status == "InProgress":
                self._job.enter(secondary)

    def _end(self, status: str, secondary: str, reason: str | None = None) -> None:
        with self._cloud.lock:
            self._job.failure_reason = reason[:LONGEST_REASON] if reason else None
            self._job.ended = now()
            if secondary == "MaxRuntimeExceeded":
                self._job.status = status
                self._job.transitions[-1]["EndTime"] = self._job.ended
                self._job.modified = self._job.ended
            else:
                self._job.enter(secondary, status)

    def _download(self) -> Launch:
        specification = self._request["AlgorithmSpecification"]
        uri = specification["TrainingImage"]
        image = images.resolve(self._cloud.client("ecr"), self._cloud.images, uri)
        if image is None:
            raise JobError(f"ClientError: Requested image {uri} not found.")
        self._enter("Downloading")
        self._layout.make()
        for channel in self._request.get("InputDataConfig", []):
            place = self._layout.data / channel["ChannelName"]
            uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
            try:
                self._buckets.download_prefix(Location.parse(uri), place)
            except MissingError:
                raise JobError(
                    f'ClientError: Data download failed:No S3 objects found under S3 URL "{uri}" '
                    "given in input data source. Please ensure that the bucket exists in the "
                    "selected region, that objects exist under that S3 prefix, and that the role "
                    f'"{self._request["RoleArn"]}" may list it.'
                ) from None
        try:
            write_config(self._layout, self._request)
            self._start_checkpoints()
            return prepare(
                self._request, image, self._layout, self._buckets, self._cloud.environment
            )
        except LaunchError as error:
            raise JobError(f"AlgorithmError: {error}") from None

    def _start_checkpoints(self) -> None:
        config = self._request.get("CheckpointConfig")
        if config:
            directory = self._layout.path(config.get("LocalPath", f"{OPT_ML}/checkpoints"))
            prefix = Location.parse(config["S3Uri"])
            sync = CheckpointSync(self._buckets, prefix, directory)
            try:
                sync.start()
            except MissingError as error:
                raise JobError(
                    f"ClientError: Checkpoint download from {config['S3Uri']} failed: {error}"
                ) from None
            self._checkpoints = sync

    def _finish_checkpoints(self) -> None:
        if self._checkpoints:
            try:
                self._checkpoints.finish()
            except Exception as error:
                log_exception()
                raise JobError(f"ClientError: Checkpoint upload failed: {error}") from None

    def _train(self, launch: Launch) -> tuple[int, Sequence[str]]:
        """Run the program to its end, or to the job's; its exit code and last lines."""
        metrics = self._job.metrics
        assert metrics is not None
        stream = f"{self._job.name}/algo-1-{int(time.time())}"
        log = LogStream(self._cloud.client("logs"), LOG_GROUP, stream)
        for remark in launch.remarks:
            log.write(f"[local cloud] {remark}")
        process = Process(
            launch.command,
            cwd=launch.directory,
            environment=launch.environment,
            ledger=self._cloud.ledger,
        )
        reader = pump(process.output, log.write, metrics.read)
        try:
            code = self._watch(process, metrics)
        finally:
            process.kill()
        reader.join(10)
        metrics.send(self._cloud.client("cloudwatch"))
        log.close()
        return code, list(log.tail)

    def _watch(self, process: Process, metrics: JobMetrics) -> int:
        """Wait for the program, tell it to end when it must, pass its metrics on."""
        cloudwatch = self._cloud.client("cloudwatch")
        deadline = time.monotonic() + self._request["StoppingCondition"]["MaxRuntimeInSeconds"]
        told: float | None = None
        sent = time.monotonic()
        while (code := process.wait(0.05)) is None:
            moment = time.monotonic()
            if told is None and (self._job.stop.is_set() or moment >= deadline):
                told = moment
                if not self._job.stop.is_set():
                    self._enter("MaxRuntimeExceeded")
                process.terminate()
            if told is not None and moment >= told + self._cloud.settings.stop_grace:
                process.kill()
            if moment >= sent + 1:
                metrics.send(cloudwatch)
                sent = moment
        return code

    def _reason(self, code: int, launch: Launch, tail: Sequence[str]) -> str:
        """SageMaker's FailureReason: what the program wrote for it, or else what it printed."""
        shown = code if code >= 0 else 128 - code
        failure = self._layout.output / "failure"
        if failure.is_file():
            text = failure.read_text("utf-8", "replace").strip()[:LONGEST_REASON]
        else:
            begin = max(
                (n for n, line in enumerate(tail) if line.startswith("Traceback")), default=-3
            )
            message = "\n".join(tail[begin:])[-600:]
            command = " ".join(launch.command)[:250]
            text = (
                f'ExecuteUserScriptError:\nExitCode {shown}\nErrorMessage "{message}"\n'
                f'Command "{command}"'
            )
        ending = f", exit code: {shown}"
        return f"AlgorithmError: {text}"[: LONGEST_REASON - len(ending)] + ending

    def _upload(self, name: str, directory: Path, *, even_empty: bool) -> str | None:
        """A directory to where SageMaker puts it; None when there was nothing to put."""
        if not even_empty and not any(directory.rglob("*")):
            return None
        config = self._request["OutputDataConfig"]
        folder = Location.parse(config["S3OutputPath"]) / self._job.name / "output"
        try:
            if config.get("CompressionType") == "NONE":
                for path in sorted(each for each in directory.rglob("*") if each.is_file()):
                    self._buckets.upload(
                        path, folder / name / path.relative_to(directory).as_posix()
                    )
                return f"{folder / name}/"
            archive = self._place / f"{name}.tar.gz"
            archives.pack(directory, archive)
            target = folder / f"{name}.tar.gz"
            self._buckets.upload(archive, target)
        except Exception as error:
            log_exception()
            raise JobError(
                f"ClientError: Artifact upload failed:Insufficient permissions or no such bucket "
                f"for {folder}: {error}"
            ) from None
        return str(target)
