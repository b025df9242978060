"""Waiting for what SageMaker does by itself, bounded, with what is going on shown meanwhile.

An endpoint counts as ready only when it is InService on the config that was asked for: one that was
rolled back is InService too. botocore's own waiters do not look at that, and give up before a long
rollout ends, so they are not used.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from infra import observe
from infra.aws import Cloud
from infra.logs import LogTail, last_lines
from infra.plan import Wait
from infra.progress import Progress
from infra.resources import ENDPOINT_LOGS, TRAINING_LOGS
from infra.units import short_time
from shared.errors import DeploymentError

_LOCAL_SECONDS = 0.5
_AWS_SECONDS = 10.0
_SHOWN_LINES = 15

_TRIAL = re.compile(r"^\[trial\] (\d+)/(\d+)\s*(.*)")
_METRIC = re.compile(r"^\[metric\] epoch=(\d+)\s*(.*)")
_STAGE = re.compile(r"^\[(?:stage|diagnosis)\] (.+)")


class StillRunningError(DeploymentError):
    """Something is not done in time, and goes on."""


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
        self._pause = _LOCAL_SECONDS if cloud.account.local else _AWS_SECONDS

    def until(self, wait: Wait) -> None:
        """Return when it is true.

        Raises:
            DeploymentError: it cannot become true any more, or not in time.
        """
        check = {
            "training": self._training,
            "ended": self._ended,
            "endpoint": self._endpoint,
            "gone": self._gone,
        }[wait.what]
        tail = LogTail(self._cloud, TRAINING_LOGS, f"{wait.name}/") if _is_job(wait) else None
        end = self._clock() + wait.seconds
        while not check(wait, tail):
            if self._clock() > end:
                kind = "training job" if _is_job(wait) else "endpoint"
                raise StillRunningError(
                    f"is not done after {short_time(wait.seconds)}",
                    where=f"{kind} {wait.name}",
                    cure="It goes on: `make status` shows how far it is, and `make deploy` goes on "
                    "waiting for it.",
                )
            self._sleep(self._pause)

    def _training(self, wait: Wait, tail: LogTail | None) -> bool:
        job = self._cloud.call("sagemaker", "describe_training_job", {"TrainingJobName": wait.name})
        status = job["TrainingJobStatus"]
        if status == "InProgress":
            self._progress.status(_words(job))
        self._show(tail)
        if status in ("Failed", "Stopped"):
            raise DeploymentError(
                job.get("FailureReason") or f"the job was {status.lower()}",
                where=f"training job {wait.name}",
                cure=self._evidence(TRAINING_LOGS, f"{wait.name}/", "--training"),
            )
        return bool(status == "Completed")

    def _ended(self, wait: Wait, tail: LogTail | None) -> bool:
        job = self._cloud.call("sagemaker", "describe_training_job", {"TrainingJobName": wait.name})
        self._progress.status(_words(job))
        return job["TrainingJobStatus"] not in ("InProgress", "Stopping")

    def _endpoint(self, wait: Wait, tail: LogTail | None) -> bool:
        found = observe.endpoint(self._cloud, wait.name)
        if found is None:
            raise DeploymentError(
                "has disappeared while it was waited for",
                where=f"endpoint {wait.name}",
                cure="Somebody deleted it: run `make deploy` again.",
            )
        self._progress.status(found.status)
        if found.status in observe.IN_PROGRESS:
            return False
        if found.status == "InService" and wait.config in (None, found.config):
            return True
        if found.status == "InService":
            reason = f"went back to {found.config}" + (
                f": {found.reason}" if found.reason else ": SageMaker refused the new version"
            )
        else:
            reason = f"is {found.status}: {found.reason or 'SageMaker gives no reason'}"
        raise DeploymentError(
            reason,
            where=f"endpoint {wait.name}",
            cure=self._evidence(f"{ENDPOINT_LOGS}/{wait.name}", "", "--endpoint"),
        )

    def _gone(self, wait: Wait, tail: LogTail | None) -> bool:
        found = observe.endpoint(self._cloud, wait.name)
        self._progress.status(found.status if found else "deleted")
        return found is None

    def _show(self, tail: LogTail | None) -> None:
        if tail is None:
            return
        for line in tail.new_lines():
            if match := _TRIAL.match(line):
                self._progress.advance(
                    "trial", int(match.group(1)), int(match.group(2)), match.group(3)
                )
            elif (match := _METRIC.match(line)) and "test_" not in line:
                self._progress.advance("epoch", int(match.group(1)), None, match.group(2))
            elif match := _STAGE.match(line):
                self._progress.line(match.group(1))

    def _evidence(self, group: str, prefix: str, flag: str) -> str:
        lines = last_lines(self._cloud, group, prefix, _SHOWN_LINES)
        more = f"All of the log: python -m infra logs {flag}"
        if not lines:
            return more
        return "Its last log lines:\n" + "".join(f"  | {line}\n" for line in lines) + more


def _is_job(wait: Wait) -> bool:
    return wait.what in ("training", "ended")


def _words(job: dict[str, Any]) -> str:
    transitions = job.get("SecondaryStatusTransitions") or [{}]
    message = transitions[-1].get("StatusMessage")
    status = job.get("SecondaryStatus") or job["TrainingJobStatus"]
    return f"{status}: {message}" if message else str(status)
