"""A tuning job's life: it launches training jobs, follows their metrics, and ends.

The training jobs are ordinary ones. What they are told is decided by a search (`searches`), and
whether one is stopped early by a rule (`stopping`); everything they found is read from their logs.
"""

from __future__ import annotations

import secrets
import time

from infra.local import searches, stopping, tuning_checks
from infra.local.searches import Search
from infra.local.state import Cloud, log_exception, now
from infra.local.stopping import Rule
from infra.local.training_jobs import TrainingJobs
from infra.local.tunings import Child, TuningJob, child_request

INTERVAL = 0.1
ATTEMPTS = 5


class TuningRun:
    """One tuning job's life, on a thread of its own."""

    def __init__(self, cloud: Cloud, job: TuningJob, training: TrainingJobs, seed: int) -> None:
        self._cloud = cloud
        self._job = job
        self._training = training
        self._search = _search(job, seed)
        self._rule = _rule(job)
        limits = job.config["ResourceLimits"]
        self._most = limits.get("MaxNumberOfTrainingJobs", tuning_checks.MOST_JOBS)
        self._parallel = limits["MaxParallelTrainingJobs"]

    def run(self) -> None:
        """From the first training job to an end, whatever happens."""
        try:
            self._live()
        except Exception as error:
            log_exception()
            self._job.failure_reason = f"InternalServerError: {error}"
        with self._cloud.lock:
            for child in self._running():
                self._training.halt(child.job)
        while self._running():
            time.sleep(INTERVAL)
        with self._cloud.lock:
            self._job.ended = now()
            failed = self._job.failure_reason
            stopped = self._job.status == "Stopping"
            self._job.enter("Failed" if failed else "Stopped" if stopped else "Completed")

    def _live(self) -> None:
        while not self._job.stop.is_set():
            with self._cloud.lock:
                self._learn()
                self._job.failure_reason = self._failure()
                if self._job.failure_reason or self._is_enough():
                    return
                for child in self._running():
                    if self._rule.stops(child.number, self._job.trace(child)):
                        self._training.halt(child.job)
                left = self._launch()
                if not left and not self._running():
                    self._job.failure_reason = self._failure(final=True)
                    return
            self._job.stop.wait(INTERVAL)

    def _running(self) -> list[Child]:
        return [each for each in self._job.children if not each.has_ended]

    def _launch(self) -> bool:
        """Start as many as may run at once; whether there may be more later."""
        while len(self._job.children) < self._most:
            if len(self._running()) >= self._parallel:
                return True
            values = self._search.propose()
            if values is None:
                return False
            number = len(self._job.children)
            name = f"{self._job.name}-{number + 1:03d}-{secrets.token_hex(4)}"
            request = child_request(self._job, name, values)
            self._job.children.append(Child(number, values, self._training.launch(request)))
            self._job.modified = now()
        return False

    def _learn(self) -> None:
        for child in self._job.children:
            if child.has_ended and not child.learnt:
                child.learnt = True
                self._search.learn(child.values, self._job.objective(child))
                if self._job.objective(child) is not None:
                    self._rule.ended(child.number, self._job.trace(child))
                self._job.modified = now()

    def _failure(self, *, final: bool = False) -> str | None:
        """Why the tuning job has failed, in AMT's words; None when it has not."""
        ended = [each for each in self._job.children if each.has_ended]
        if not ended or not (final or len(ended) >= ATTEMPTS):
            return None
        if any(self._job.objective(each) is not None for each in ended):
            return None
        if all(each.job.status == "Failed" for each in ended):
            return (
                f"No training job succeeded after {len(ended)} attempts. For additional details, "
                "please take a look at the training job failures by listing training jobs for the "
                "hyperparameter tuning job."
            )
        return (
            f"No objective metrics found after running {len(ended)} training jobs. Please ensure "
            "that the custom algorithm is emitting the objective metric as defined by the regular "
            "expression provided."
        )

    def _is_enough(self) -> bool:
        """Whether the time or one of the completion criteria says so."""
        longest = self._job.config["ResourceLimits"].get("MaxRuntimeInSeconds")
        if longest and (now() - self._job.created).total_seconds() >= longest:
            return True
        criteria = self._job.config.get("TuningJobCompletionCriteria", {})
        patience = criteria.get("BestObjectiveNotImproving", {}).get(
            "MaxNumberOfTrainingJobsNotImproving"
        )
        if patience and self._job.not_improving() >= patience:
            return True
        target, best = criteria.get("TargetObjectiveMetricValue"), self._job.best()
        value = self._job.objective(best) if best else None
        if target is None or value is None:
            return False
        return bool(value >= target if self._job.maximize else value <= target)


def _search(job: TuningJob, seed: int) -> Search:
    dimensions = tuning_checks.space(job.config)
    strategy = job.config["Strategy"]
    if strategy == "Grid":
        return searches.Grid([each for each in dimensions if isinstance(each, searches.Choices)])
    if strategy == "Bayesian":
        earlier = [each for parent in job.parents for each in parent.results()]
        return searches.Bayesian(dimensions, seed, maximize=job.maximize, earlier=earlier)
    return searches.Random(dimensions, seed)


def _rule(job: TuningJob) -> Rule:
    if job.config["Strategy"] == "Hyperband":
        least, most = tuning_checks.resources(job.config, job.definition)
        return stopping.Hyperband(least, most, maximize=job.maximize)
    if job.config.get("TrainingJobEarlyStoppingType") == "Auto":
        return stopping.Median(maximize=job.maximize)
    return stopping.Never()
