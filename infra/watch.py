"""Waiting for what SageMaker does by itself, bounded, with what is going on shown meanwhile.

An endpoint counts as ready only when it is InService on the config that was asked for: one that was
rolled back is InService too. botocore's own waiters do not look at that, and give up before a long
rollout ends, so they are not used.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from infra import observe, trials
from infra.aws import Cloud
from infra.failures import explain, meaning
from infra.logs import LogTail, last_lines
from infra.progress import Progress
from infra.resources import ENDPOINT_LOGS, TRAINING_LOGS
from infra.rolling import Rolling, alarm_names
from infra.steps import Wait
from infra.trials import Trial
from infra.units import short_time
from shared.errors import DeploymentError

# Seconds between looks: here, where looking is cheap but shares the processor, and on AWS.
_PAUSE = {"local": (1.0, 0.2), "aws": (10.0, 10.0)}
_SHOWN_LINES = 15

_KINDS = {
    "training": "training job",
    "ended": "training job",
    "tuning": "tuning job",
    "tuning ended": "tuning job",
    "transform ended": "transform job",
}
_METRIC = re.compile(r"^\[metric\] epoch=(\d+)\s*(.*)")
_STAGE = re.compile(r"^\[(?:stage|diagnosis|warning|drift|decision|memory)\] (.+)")


class FailedError(DeploymentError):
    """What was made or waited for has failed and will not recover; it may be taken back.

    Not raised when the time is up or the connection breaks: it may yet succeed.
    """


class Watch:
    """Waits, polling through a Cloud.

    Args:
        clock, sleep: time, so that a test need not wait.
    """

    def __init__(
        self,
        cloud: Cloud,
        progress: Progress,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._cloud = cloud
        self._progress = progress
        self._clock = clock
        self._sleep = sleep
        self._blind = False
        self._deaf = False
        self._rolling = Rolling()
        self._trials: dict[int, Trial] = {}

    def until(self, wait: Wait) -> None:
        """Return when it is true.

        Raises:
            FailedError: it cannot become true any more.
            DeploymentError: it is not true in time.
        """
        check = {
            "training": self._training,
            "tuning": self._tuning,
            "ended": self._ended,
            "tuning ended": self._tuning_ended,
            "transform ended": self._transform_ended,
            "endpoint": self._endpoint,
            "rest": self._rest,
            "gone": self._gone,
        }[wait.what]
        tail = LogTail(self._cloud, TRAINING_LOGS, f"{wait.name}/") if _has_log(wait) else None
        self._rolling = Rolling()
        end = self._clock() + wait.seconds
        while not check(wait, tail):
            if self._clock() > end:
                kind = _KINDS.get(wait.what, "endpoint")
                raise DeploymentError(
                    f"is not done after {short_time(wait.seconds)}",
                    where=f"{kind} {wait.name}",
                    cure="It goes on: `make status` shows how far it is, and the same command "
                    "waits for it again.",
                )
            jobs, endpoints = _PAUSE["local" if self._cloud.account.local else "aws"]
            self._sleep(jobs if wait.what in _KINDS else endpoints)

    def _training(self, wait: Wait, tail: LogTail | None) -> bool:
        job = self._cloud.call("sagemaker", "describe_training_job", {"TrainingJobName": wait.name})
        status = job["TrainingJobStatus"]
        if status == "InProgress":
            self._progress.status(_words(job))
        self._show(tail)
        if status in ("Failed", "Stopped"):
            reason = job.get("FailureReason") or f"the job was {status.lower()}"
            raise FailedError(
                reason,
                where=f"training job {wait.name}",
                cure=self._evidence(TRAINING_LOGS, f"{wait.name}/", "--training", reason),
            )
        return bool(status == "Completed")

    def _ended(self, wait: Wait, tail: LogTail | None) -> bool:
        job = self._cloud.call("sagemaker", "describe_training_job", {"TrainingJobName": wait.name})
        self._progress.status(_words(job))
        return job["TrainingJobStatus"] not in ("InProgress", "Stopping")

    def _tuning(self, wait: Wait, tail: LogTail | None) -> bool:
        job = self._tuning_job(wait)
        status = job["HyperParameterTuningJobStatus"]
        found = trials.children(self._cloud, [wait.name])
        counted = trials.counted(found)
        if status == "InProgress":
            self._progress.status(counted or "Starting")
        self._progress.trials(found, trials.asked_for(job["HyperParameterTuningJobConfig"]))
        if status in ("Failed", "Stopped"):
            reason = job.get("FailureReason") or f"the job was {status.lower()}"
            raise FailedError(
                f"{reason.rstrip('. ')} (its trials: {counted or 'none began'})",
                where=f"tuning job {wait.name}",
                cure=trials.why_failed(found),
            )
        return bool(status == "Completed")

    def _tuning_ended(self, wait: Wait, tail: LogTail | None) -> bool:
        status = self._tuning_job(wait)["HyperParameterTuningJobStatus"]
        self._progress.status(status)
        return status not in ("InProgress", "Stopping")

    def _transform_ended(self, wait: Wait, tail: LogTail | None) -> bool:
        place = {"TransformJobName": wait.name}
        status = self._cloud.call("sagemaker", "describe_transform_job", place)
        self._progress.status(str(status["TransformJobStatus"]))
        return status["TransformJobStatus"] not in ("InProgress", "Stopping")

    def _tuning_job(self, wait: Wait) -> dict[str, Any]:
        place = {"HyperParameterTuningJobName": wait.name}
        return self._cloud.call("sagemaker", "describe_hyper_parameter_tuning_job", place)

    def _endpoint(self, wait: Wait, tail: LogTail | None) -> bool:
        named = {"EndpointName": wait.name}
        found = observe.describe(self._cloud, "sagemaker", "describe_endpoint", named)
        if found is None:
            raise FailedError(
                "has disappeared while it was waited for",
                where=f"endpoint {wait.name}",
                cure="Somebody deleted it: run `make deploy` again.",
            )
        status, config = found["EndpointStatus"], found.get("EndpointConfigName", "")
        self._show_rollout(found)
        if status in observe.IN_PROGRESS:
            return False
        if status == "InService" and wait.config in (None, config):
            return True
        why = found.get("FailureReason")
        if status == "InService":
            reason = f"went back to {config}: {why or 'SageMaker refused the new version'}"
        else:
            reason = f"is {status}: {why or 'SageMaker gives no reason'}"
        for name, numbers in self._rolling.alarmed.items():
            reason = f"{reason.rstrip('. ')}. Alarm {name} went off: {numbers.rstrip('. ')}"
        raise FailedError(
            reason,
            where=f"endpoint {wait.name}",
            cure=self._evidence(f"{ENDPOINT_LOGS}/{wait.name}", "", "--endpoint", reason),
        )

    def _show_rollout(self, found: Mapping[str, Any]) -> None:
        """Stage, share of the traffic, time left, and what the alarms say."""
        stage = self._rolling.stage(found)
        before = self._rolling.alarmed
        states = self._rolling.see(self._alarms(found))
        for name in self._rolling.alarmed.keys() - before.keys():
            self._progress.line(f"Alarm {name}: {self._rolling.alarmed[name]}")
        if stage.lasts and states:
            stage = replace(stage, words=f"{stage.words}; alarms: {states}")
        self._progress.status(stage.words)
        if stage.lasts:
            done = min(stage.elapsed, stage.lasts)
            detail = f"{short_time(stage.left)} left"
            self._progress.advance("seconds", round(done), round(stage.lasts), detail)

    def _alarms(self, found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The alarms on an update; those that cannot be read must not end a deployment."""
        names = alarm_names(found)
        if not names or self._deaf or found["EndpointStatus"] == "Creating":
            return []
        try:
            answer = self._cloud.call("cloudwatch", "describe_alarms", {"AlarmNames": names})
        except Exception as error:
            self._deaf = True
            self._progress.line(f"Its alarms cannot be shown: {explain(error, 'alarms')}")
            return []
        return [*answer.get("MetricAlarms", []), *answer.get("CompositeAlarms", [])]

    def _rest(self, wait: Wait, tail: LogTail | None) -> bool:
        found = observe.endpoint(self._cloud, wait.name)
        if found is None or found.status not in observe.IN_PROGRESS:
            return True
        self._progress.status(found.status)
        return False

    def _gone(self, wait: Wait, tail: LogTail | None) -> bool:
        found = observe.endpoint(self._cloud, wait.name)
        self._progress.status(found.status if found else "deleted")
        return found is None

    def _show(self, tail: LogTail | None) -> None:
        for line in self._lines(tail):
            if trial := trials.from_line(line):
                self._trials[trial.number] = trial
                told = [self._trials[number] for number in sorted(self._trials)]
                self._progress.trials(told, trials.total(line))
            elif (match := _METRIC.match(line)) and "test_" not in line:
                self._progress.advance("epoch", int(match.group(1)), None, match.group(2))
            elif match := _STAGE.match(line):
                self._progress.line(match.group(1))

    def _lines(self, tail: LogTail | None) -> list[str]:
        """New log lines; a log that cannot be read must not end a deployment."""
        if tail is None or self._blind:
            return []
        try:
            return tail.new_lines()
        except Exception as error:
            self._blind = True
            self._progress.line(f"Its log cannot be shown: {explain(error, tail.group)}")
            return []

    def _evidence(self, group: str, prefix: str, flag: str, reason: str) -> str:
        """What the reason means, and the last lines of the log."""
        more = f"More of the log: .venv/bin/python -m infra logs {flag} --lines 1000 --project DIR"
        try:
            lines = last_lines(self._cloud, group, prefix, _SHOWN_LINES, self._rolling.began)
        except Exception as error:
            told = f"Its log cannot be shown: {explain(error, group)}"
        else:
            shown = "".join(f"  | {line}\n" for line in lines)
            told = f"Its last log lines:\n{shown}{more}" if lines else more
        known = meaning(reason)
        return f"{known}\n{told}" if known else told


def _has_log(wait: Wait) -> bool:
    return wait.what in ("training", "ended")


def _words(job: dict[str, Any]) -> str:
    return str(job.get("SecondaryStatus") or job["TrainingJobStatus"])
