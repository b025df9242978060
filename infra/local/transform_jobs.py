"""Batch transform jobs: CreateTransformJob and its relatives. `transform_runs` runs them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from infra.local.models import Models
from infra.local.state import Answer, Cloud, Operation, arn, now, page
from infra.local.tags import as_pairs
from infra.local.transform_checks import check
from infra.local.transform_runs import TransformRun
from infra.local.transform_state import TransformJob
from infra.local.wire import RefusalError, ended


class TransformJobs:
    """Every transform job of this cloud."""

    def __init__(self, cloud: Cloud, models: Models) -> None:
        self._cloud = cloud
        self._models = models
        self._jobs: dict[str, TransformJob] = {}

    def operations(self) -> dict[str, Operation]:
        """What this answers, by the operation's name."""
        return {
            "CreateTransformJob": self.create,
            "DescribeTransformJob": self.describe,
            "ListTransformJobs": self.list,
            "StopTransformJob": self.stop,
        }

    def create(self, request: dict[str, Any]) -> Answer:
        """Accept a job and start it."""
        name = request["TransformJobName"]
        job_arn = arn("transform-job", name)
        plan = check(request)
        with self._cloud.lock:
            model = self._models.model(request["ModelName"])
            if name in self._jobs:
                raise RefusalError(
                    "ResourceInUse",
                    "Job name must be unique within an AWS account and region, and a job with "
                    f"this name already exists ({job_arn})",
                )
            moment = now()
            job = TransformJob(request, job_arn, model, moment, moment)
            self._jobs[name] = job
            self._cloud.tags[job_arn] = as_pairs(request.get("Tags", []))
        threading.Thread(target=TransformRun(self._cloud, job, plan).run, daemon=True).start()
        return {"TransformJobArn": job_arn}

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
                    "TransformJobName": job.name,
                    "TransformJobArn": job.arn,
                    "CreationTime": job.created,
                    "TransformEndTime": job.ended,
                    "LastModifiedTime": job.modified,
                    "TransformJobStatus": job.status,
                    "FailureReason": job.failure_reason,
                }
                for job in found
            ]
        return {"TransformJobSummaries": summaries, "NextToken": token}

    def stop(self, request: dict[str, Any]) -> None:
        """End a job's servers; what it has not finished is not stored."""
        with self._cloud.lock:
            job = self._find(request)
            if job.status not in ("InProgress", "Stopping"):
                raise ended("transform", job.status)
            job.status = "Stopping"
            job.modified = now()
            job.stop.set()

    def _find(self, request: Mapping[str, Any]) -> TransformJob:
        name = request["TransformJobName"]
        job = self._jobs.get(name)
        if job is None:
            raise RefusalError(
                "ResourceNotFound", f"Could not find requested job with name: {name}"
            )
        return job
