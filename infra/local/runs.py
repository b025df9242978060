"""A training job's life, from Starting to its end, on a thread of its own.

    Starting ▶ Downloading ▶ Training ▶ Uploading ▶ Completed
       ▲                        │
       └────── Interrupted ◀────┘        where the job takes managed spot instances

or Failed, Stopped, MaxRuntimeExceeded, MaxWaitTimeExceeded. What happens on one instance is in
`hosts`; here is what happens to all of a job's instances together.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from infra.local import archives, hosts, images
from infra.local.buckets import Buckets, Location
from infra.local.hosts import LONGEST_REASON, Host, JobError
from infra.local.images import Image
from infra.local.metrics import JobMetrics
from infra.local.state import Cloud, log_exception, now
from infra.local.training_state import OUTLASTED, TrainingJob

POLL = 0.05
METRICS_INTERVAL = 1.0


class Run:
    """One job's life."""

    def __init__(self, cloud: Cloud, job: TrainingJob) -> None:
        self._cloud = cloud
        self._job = job
        self._request = job.request
        self._place = cloud.work / "jobs" / job.name
        self._trained = 0.0
        stopping = self._request["StoppingCondition"]
        self._runtime = stopping["MaxRuntimeInSeconds"]
        self._patience = time.monotonic() + stopping.get("MaxWaitTimeInSeconds", float("inf"))
        self._hosts: list[Host] = []

    def run(self) -> None:
        """From Starting to an end, whatever happens."""
        try:
            self._buckets = Buckets(self._cloud.client("s3"))
            self._metrics = JobMetrics(
                self._request["AlgorithmSpecification"].get("MetricDefinitions", []), self._job.name
            )
            self._job.metrics = self._metrics
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
            self._lose_hosts()
            shutil.rmtree(self._place, ignore_errors=True)

    def _live(self) -> None:
        image = self._image()
        ending: str | None = "Interrupted"
        while ending == "Interrupted":
            self._enter("Downloading")
            self._start_hosts(image)
            if self._job.stop.is_set():
                self._end("Stopped", "Stopped")
                return
            ending = self._train()
            if ending == "Interrupted":
                self._lose_hosts()
                self._enter("Interrupted")
                ending = self._wait_for_capacity() or ending
                if ending != "Interrupted":
                    self._end("Stopped", ending)
                    return
                self._enter("Starting")
        for host in self._hosts:
            host.finish_checkpoints()
        self._deliver(ending)

    def _image(self) -> Image:
        uri = self._request["AlgorithmSpecification"]["TrainingImage"]
        image = images.resolve(self._cloud.client("ecr"), self._cloud.images, uri)
        if image is None:
            raise JobError(f"ClientError: Requested image {uri} not found.")
        return image

    def _start_hosts(self, image: Image) -> None:
        names = hosts.names(self._request["ResourceConfig"].get("InstanceCount", 1))
        told = hosts.addresses(names) if len(names) > 1 else {}
        for number in range(1, len(names) + 1):
            host = Host(
                self._cloud,
                self._request,
                number=number,
                hosts=names,
                place=self._place / f"algo-{number}",
                buckets=self._buckets,
            )
            self._hosts.append(host)
            host.download(image, told)

    def _lose_hosts(self) -> None:
        for host in self._hosts:
            host.lose()
        self._hosts = []

    def _train(self) -> str | None:
        """Run the program on every host; what cut it short, or None.

        Raises:
            JobError: it failed by itself.
        """
        self._enter("Training")
        begin = time.monotonic()
        with self._cloud.lock:
            self._job.instance_started = now()
            self._job.started = self._job.started or self._job.instance_started
        running: list[Host] = []
        try:
            for host in self._hosts:
                host.start(self._metrics)
                running.append(host)
            ending, failed = self._watch(begin)
        finally:
            for host in running:
                host.close()
            self._trained += time.monotonic() - begin
            with self._cloud.lock:
                self._job.count_instance()
            self._metrics.send(self._cloud.client("cloudwatch"))
        if failed and not ending:
            host, code = failed
            self._upload("output", [each.layout.output / "data" for each in self._hosts])
            for each in self._hosts:
                each.finish_checkpoints()
            raise JobError(host.reason(code))
        return ending

    def _watch(self, begin: float) -> tuple[str | None, tuple[Host, int] | None]:
        """Wait for the programs, tell them to end when they must, pass their metrics on.

        Returns:
            What cut them short, if anything; and the host that failed first, with its exit code.
        """
        cloudwatch = self._cloud.client("cloudwatch")
        ending: str | None = None
        failed: tuple[Host, int] | None = None
        told = sent = begin
        while running := [host for host in self._hosts if host.process.wait(0) is None]:
            running[0].process.wait(POLL)
            moment = time.monotonic()
            if not ending and (ending := self._reason_to_end(moment, begin)):
                told = moment
                if ending in OUTLASTED:
                    self._enter(ending)
                for host in self._hosts:
                    host.process.terminate()
            if ending and moment >= told + self._cloud.settings.stop_grace:
                for host in self._hosts:
                    host.process.kill()
            if not failed and not ending and (failed := self._failed()):
                for host in self._hosts:
                    host.process.kill()
            if moment >= sent + METRICS_INTERVAL:
                self._metrics.send(cloudwatch)
                sent = moment
        return ending, failed or self._failed()

    def _reason_to_end(self, moment: float, begin: float) -> str | None:
        if self._job.stop.is_set():
            return "Stopped"
        if moment - begin + self._trained >= self._runtime:
            return "MaxRuntimeExceeded"
        if moment >= self._patience:
            return "MaxWaitTimeExceeded"
        return "Interrupted" if self._job.reclaimed.is_set() else None

    def _failed(self) -> tuple[Host, int] | None:
        for host in self._hosts:
            code = host.process.wait(0)
            if code:
                return host, code
        return None

    def _wait_for_capacity(self) -> str | None:
        """Until there is another instance; what came instead, or None."""
        back = time.monotonic() + self._job.away
        self._job.reclaimed.clear()
        while time.monotonic() < back:
            if self._job.stop.wait(POLL):
                return "Stopped"
            if time.monotonic() >= self._patience:
                return "MaxWaitTimeExceeded"
        return None

    def _deliver(self, ending: str | None) -> None:
        """Upload what the programs made, and end."""
        if not ending:
            self._enter("Uploading")
        self._upload("output", [each.layout.output / "data" for each in self._hosts])
        artifacts = self._upload("model", [each.layout.model for each in self._hosts], empty=True)
        with self._cloud.lock:
            self._job.artifacts = artifacts
        if ending:
            self._end("Stopped", ending)
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
            self._job.end(status, secondary)

    def _upload(self, name: str, parts: Sequence[Path], *, empty: bool = False) -> str | None:
        """All hosts' directories as one to where SageMaker puts it; None if there was nothing."""
        directory = _merged(parts)
        if not empty and not any(directory.rglob("*")):
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


def _merged(parts: Sequence[Path]) -> Path:
    """The first directory, with what the others have and it has not."""
    first, *others = parts
    for other in others:
        for path in sorted(each for each in other.rglob("*") if each.is_file()):
            target = first / path.relative_to(other)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(path, target)
    return first
