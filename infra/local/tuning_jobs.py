"""Tuning jobs: CreateHyperParameterTuningJob and its relatives. `tuning_runs` runs them."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from typing import Any

from infra.local import tuning_checks
from infra.local.state import Answer, Cloud, Operation, arn, now, page
from infra.local.tags import as_pairs
from infra.local.training_checks import check
from infra.local.training_jobs import TrainingJobs
from infra.local.tuning_runs import TuningRun
from infra.local.tunings import TuningJob, child_request
from infra.local.wire import RefusalError, ended


class TuningJobs:
    """Every tuning job of this cloud."""

    def __init__(self, cloud: Cloud, training: TrainingJobs) -> None:
        self._cloud = cloud
        self._training = training
        self._jobs: dict[str, TuningJob] = {}

    def operations(self) -> dict[str, Operation]:
        """What this answers, by the operation's name."""
        return {
            "CreateHyperParameterTuningJob": self.create,
            "DescribeHyperParameterTuningJob": self.describe,
            "ListHyperParameterTuningJobs": self.list,
            "ListTrainingJobsForHyperParameterTuningJob": self.list_children,
            "StopHyperParameterTuningJob": self.stop,
            "DeleteHyperParameterTuningJob": self.delete,
        }

    def create(self, request: dict[str, Any]) -> Answer:
        """Accept a tuning job and start it."""
        name = request["HyperParameterTuningJobName"]
        job_arn = arn("hyper-parameter-tuning-job", name)
        tuning_checks.check(request)
        config = request["HyperParameterTuningJobConfig"]
        config.setdefault("TrainingJobEarlyStoppingType", "Off")
        metric = config["HyperParameterTuningJobObjective"]["MetricName"]
        static = request["TrainingJobDefinition"].setdefault("StaticHyperParameters", {})
        static[tuning_checks.OBJECTIVE] = metric
        moment = now()
        with self._cloud.lock:
            parents = [
                self._find(each)
                for each in request.get("WarmStartConfig", {}).get(
                    "ParentHyperParameterTuningJobs", []
                )
            ]
            job = TuningJob(request, job_arn, moment, moment, parents=parents)
            tuning_checks.check_parents(job)
        check(child_request(job, "a-training-job", {}))
        seed = config.get("RandomSeed", secrets.randbits(32))
        run = TuningRun(self._cloud, job, self._training, seed)
        with self._cloud.lock:
            if name in self._jobs:
                raise RefusalError(
                    "ResourceInUse",
                    "Hyper parameter tuning job names must be unique within an AWS account and "
                    "region, and a hyper parameter tuning job with this name already exists "
                    f"({job_arn})",
                )
            self._jobs[name] = job
            self._cloud.tags[job_arn] = as_pairs(request.get("Tags", []))
        threading.Thread(target=run.run, daemon=True).start()
        return {"HyperParameterTuningJobArn": job_arn}

    def describe(self, request: dict[str, Any]) -> Answer:
        """A tuning job as it is now."""
        with self._cloud.lock:
            return self._find(request).describe()

    def list(self, request: dict[str, Any]) -> Answer:
        """Summaries, filtered and sorted."""
        with self._cloud.lock:
            found, token = page(
                self._jobs.values(),
                {"SortBy": "Name", **request},
                newest_first=False,
            )
            return {
                "HyperParameterTuningJobSummaries": [each.summary() for each in found],
                "NextToken": token,
            }

    def list_children(self, request: dict[str, Any]) -> Answer:
        """The training jobs of one tuning job, filtered and sorted."""
        with self._cloud.lock:
            job = self._find(request)
            children = list(job.children)
            by_objective = request.get("SortBy") == "FinalObjectiveMetricValue"
            if by_objective:
                children = [each for each in children if job.objective(each) is not None]
            found, token = page(
                children,
                {"SortBy": "Name", **request},
                of=lambda child: child.job,
                newest_first=False,
                others={"FinalObjectiveMetricValue": job.objective},
            )
            return {
                "TrainingJobSummaries": [job.child_summary(each) for each in found],
                "NextToken": token,
            }

    def stop(self, request: dict[str, Any]) -> None:
        """Stop its training jobs and start no more; what was found is kept."""
        with self._cloud.lock:
            job = self._find(request)
            if job.status == "Stopping":
                return
            if job.status != "InProgress":
                raise ended("hyperparameter tuning", job.status)
            job.enter("Stopping")
            job.stop.set()

    def delete(self, request: dict[str, Any]) -> None:
        """Forget a tuning job that has ended; its training jobs stay."""
        with self._cloud.lock:
            job = self._find(request)
            if job.status in ("InProgress", "Stopping"):
                raise RefusalError(
                    "ResourceInUse",
                    f"Hyper parameter tuning job {job.arn} is in status {job.status} and cannot be "
                    "deleted.",
                )
            del self._jobs[job.name]
            self._cloud.tags.pop(job.arn, None)

    def _find(self, request: Mapping[str, Any]) -> TuningJob:
        job = self._jobs.get(request.get("HyperParameterTuningJobName", ""))
        if job is None:
            raise RefusalError("ResourceNotFound", "Requested resource not found.")
        return job
