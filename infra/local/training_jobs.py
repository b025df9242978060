"""Training jobs: CreateTrainingJob and its relatives. `runs` runs them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from infra.local.runs import Run
from infra.local.state import Answer, Cloud, Operation, arn, now, page
from infra.local.tags import as_pairs
from infra.local.training_checks import check
from infra.local.training_state import TrainingJob
from infra.local.wire import RefusalError, ended, invalid

INTERRUPTIBLE = ("Starting", "Downloading", "Training")


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
            found, token = page(self._jobs.values(), request)
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
                raise ended("training", job.status)
            self.halt(job)

    def halt(self, job: TrainingJob) -> None:
        """Ask a job that runs to stop; one that stops or has ended is left alone."""
        with self._cloud.lock:
            if job.status == "InProgress":
                job.enter("Stopping", "Stopping")
                job.stop.set()

    def interrupt(self, request: dict[str, Any]) -> None:
        """Take a job's spot instances away: SIGTERM, SIGKILL after the grace period, others later.

        The local cloud's own operation, with TrainingJobName and AwaySeconds.
        """
        with self._cloud.lock:
            job = self._find(request)
            if not job.request.get("EnableManagedSpotTraining"):
                raise invalid(f"{job.name} does not run on managed spot instances.")
            if job.status != "InProgress" or job.secondary not in INTERRUPTIBLE:
                raise invalid(f"{job.name} has no instances now: it is in {job.secondary}.")
            job.away = float(request["AwaySeconds"])
            job.reclaimed.set()

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
