"""Executing a plan: step by step, through one executor, which knows the cloud; the plan does not.

When a step fails, what that step left is taken back and the steps before it stand: names carry
digests, so the next run finds them and goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from infra import observe
from infra.aws import Cloud, Sent
from infra.codebuild import by_codebuild
from infra.failures import explain, is_lagging, is_missing, is_refusal, is_settled
from infra.keeping import keep_best
from infra.kinds import KINDS
from infra.package import image_code, serving_code, write_tree
from infra.plan import Plan
from infra.progress import Progress
from infra.record import Entry, Record, RecordStore
from infra.registry import publish_metrics, with_known_metrics
from infra.scaling import put_waking_policy
from infra.steps import STAGES, Call, StageName, Step, Wait
from infra.units import short_size
from infra.watch import FailedError, Watch
from shared.errors import KitError
from shared.files import sha256

# IAM and SageMaker answer from copies that may lag behind what was just made.
_LAG_SECONDS = 60.0


class Executor(Protocol):
    """Carries out steps."""

    def perform(self, step: Step) -> None:
        """Do it, and wait for it."""

    def undo(self, step: Step) -> bool:
        """Take back what a failed attempt of it left; whether there was anything."""


def apply(
    plan: Plan, executor: Executor, progress: Progress, stages: Iterable[StageName] = STAGES
) -> None:
    """Execute every step of a plan's stages in order.

    Raises:
        DeploymentError: a step failed; its message says which, why, and what was taken back.
    """
    for stage in stages:
        progress.stage(stage)
        steps = plan.of(stage)
        for step in steps:
            carry_out(step, executor)
        progress.done(_outcome(plan, stage) if steps else "no change")


def carry_out(step: Step, executor: Executor) -> None:
    """Execute one step.

    Raises:
        DeploymentError: it failed; the message says why, and what was taken back.
    """
    try:
        executor.perform(step)
    except Exception as error:
        failure = explain(error, step.title)
        # Not when AWS refused the call (nothing was made), nor when the connection broke or the
        # time is up (it may yet succeed: the next run looks). What steps before it made stands, is
        # recorded, and is found by its digest.
        if isinstance(error, FailedError):
            take_back(step, executor, failure)
        raise failure from error


def follow_up(plan: Plan, executor: Executor, again: str) -> None:
    """Do what comes after an endpoint that was verified, and is in the record as such.

    Args:
        plan: of which all else is done.
        executor: of its steps.
        again: how the command is typed that does what is left when a step fails.

    Raises:
        DeploymentError: a step failed; what was verified stands.
    """
    for step in plan.of("after"):
        try:
            carry_out(step, executor)
        except KitError as failure:
            note = f"The endpoint serves, verified and recorded; `{again}` does what is left."
            failure.cure = f"{failure.cure}\n{note}" if failure.cure else note
            raise


def _outcome(plan: Plan, stage: StageName) -> str:
    if stage == "train":
        return f"{plan.desired.job.kind} {plan.job} is complete"
    if plan.waits and stage == "endpoint":
        return "registered, and to be approved"
    if stage == "endpoint":
        return f"endpoint {plan.serving.endpoint.name} is InService"
    objects = [step for step in plan.of(stage) if step.kind == "object"]
    files = "1 file" if len(objects) == 1 else f"{len(objects)} files"
    return f"{files}, in s3://{plan.desired.bucket.name}/{plan.desired.project}/"


def withdraw(plan: Plan, executor: Executor, failure: KitError) -> None:
    """Take back what a plan did to the endpoint, because what serves proved wrong afterwards."""
    changes = [step for step in plan.of("endpoint") if step.kind == "endpoint" and step.undo]
    for step in changes[-1:]:
        take_back(step, executor, failure)


def take_back(step: Step, executor: Executor, failure: KitError) -> None:
    """Undo what a step left, and say in the failure what came of it."""
    if step.undo is None:
        return
    try:
        if not executor.undo(step):
            return
        note = f"What it left was taken back ({step.undo.operation})."
    except Exception as error:
        note = f"What it left could not be taken back: {explain(error, step.title)}"
    failure.cure = f"{failure.cure}\n{note}" if failure.cure else note


class CloudExecutor:
    """Makes the calls, keeps the record, and shows how far it is.

    Args:
        guard: asked before each call; raises where somebody else is at work by now.
        opened: called when the bucket was made, in which record and lock lie.
    """

    def __init__(
        self,
        cloud: Cloud,
        store: RecordStore,
        progress: Progress,
        build: Path,
        *,
        guard: Callable[[], None] = lambda: None,
        opened: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._cloud = cloud
        self._store = store
        self._progress = progress
        self._build = build
        self._guard = guard
        self._opened = opened
        self._clock = clock
        self._sleep = sleep
        self._watch = Watch(cloud, progress, clock, sleep)
        self.current: Step | None = None

    def perform(self, step: Step) -> None:
        """Record it, call, wait. Meanwhile it is `current`, and stays so when it is cut short."""
        self.current = step
        self._progress.status(step.title)
        if step.call is not None:
            self._guard()
        if step.action == "delete" and step.call is not None:
            self._remove(step, step.call)
        elif step.call is not None:
            # The record lies in the bucket, so the bucket alone is recorded after it was made.
            # So is a version, which has no name before.
            known = step.kind in KINDS and step.kind != "model package"
            entries = [Entry(step.kind, step.name)] if known else []
            new = self.keep(entries) if step.kind != "bucket" else []
            try:
                self._call(step.call)
            except Exception as error:
                if step.action == "create" and is_refusal(error):
                    self._strike(new)
                raise
            if step.kind == "bucket":
                self._keep_bucket(entries)
                self._opened()
        if step.wait is not None:
            self._watch.until(step.wait)
        self.current = None

    def _remove(self, step: Step, call: Call) -> None:
        """Delete what may be gone already, and strike it from the record."""
        try:
            self._cloud.call(call.service, call.operation, call.parameters)
        except Exception as error:
            if not is_missing(error):
                raise
        gone = [Entry(step.kind, step.name)]
        self._store.change(lambda record: record.without(gone))

    def undo(self, step: Step) -> bool:
        """Make the step's undo call, unless there is nothing to take back."""
        if step.undo is None:
            return False
        if step.undo.operation == "update_endpoint":
            return self._undo_update(step, step.undo)
        if step.kind == "endpoint" and step.wait:
            found = observe.endpoint(self._cloud, step.name)
            if found is None or found.config != step.wait.config:
                return False  # somebody else's, made in the same moment
        try:
            self._cloud.call(step.undo.service, step.undo.operation, step.undo.parameters)
        except Exception as error:
            if is_missing(error):
                return False
            raise
        return True

    def keep(self, entries: Iterable[Entry]) -> list[Entry]:
        """Have these in the record too; those that were not in it."""
        wanted, new = list(entries), list[Entry]()

        def edit(record: Record) -> Record:
            new[:] = [entry for entry in wanted if entry not in record.entries]
            return record.having(wanted)

        if wanted:
            self._store.change(edit)
        return new

    def _strike(self, entries: list[Entry]) -> None:
        """Have what was refused out of the record again; a name too many does no harm there."""
        with suppress(Exception):
            self._store.change(lambda record: record.without(entries))

    def _keep_bucket(self, entries: list[Entry]) -> None:
        try:
            self.keep(entries)
        except Exception as error:
            # What no record lists, nobody would ever delete.
            why = explain(error, "")
            raise FailedError(
                f"was made, but could not be recorded: {why.message}",
                where=f"bucket {self._store.bucket}",
                cure=why.cure,
            ) from error

    def _undo_update(self, step: Step, undo: Call) -> bool:
        # SageMaker goes back by itself when the new version does not start; only one that started
        # and then proved wrong must be taken back here.
        before = undo.parameters["EndpointConfigName"]
        found = observe.endpoint(self._cloud, step.name)
        if step.wait is None or found is None or found.status != "InService":
            return False
        if found.config != step.wait.config:
            return False
        self._cloud.call(undo.service, undo.operation, undo.parameters)
        self._watch.until(Wait("endpoint", step.name, step.wait.seconds, str(before)))
        return True

    def _call(self, call: Call) -> None:
        if call.operation in ("push_image", "start_build"):
            self._make_image(call)
            return
        if call.operation == "keep_best":
            winner = keep_best(self._cloud, **call.parameters)
            self._progress.line(f"The best of the trials is {winner.job}")
        elif call.operation == "upload_file":
            self._upload(call)
        elif call.operation == "publish_metrics":
            publish_metrics(self._cloud, **call.parameters)
        elif call.operation == "put_waking_policy":
            put_waking_policy(self._cloud, **call.parameters)
        elif call.operation == "create_model_package":
            self._register(call)
        else:
            self._send(call)

    def _register(self, call: Call) -> None:
        """Its name carries a number that SageMaker gives, so it is recorded afterwards."""
        request = with_known_metrics(self._cloud, call.parameters)
        answer = self._send(replace(call, parameters=request))
        self.keep([Entry("model package", answer["ModelPackageArn"])])

    def _upload(self, call: Call) -> None:
        path = Path(call.parameters["Filename"])
        self._send(call, self._sent(call))
        if sha256(path) != call.parameters["ExtraArgs"]["Metadata"]["sha256"]:
            # Under this key it would stand for what it is not, for good.
            raise FailedError(
                "the file changed while it was being deployed",
                where=str(path),
                cure="Run the same command again.",
            )

    def _send(self, call: Call, sent: Sent | None = None) -> dict[str, Any]:
        end = self._clock() + _LAG_SECONDS
        pause = 0.5
        while True:
            try:
                return self._cloud.call(call.service, call.operation, call.parameters, sent)
            except Exception as error:
                if is_settled(error):
                    return {}
                if not is_lagging(error) or self._clock() > end:
                    raise
                self._sleep(pause)
                pause = min(2 * pause, 5.0)

    def _make_image(self, call: Call) -> None:
        if call.service == "codebuild":
            base: str | None = by_codebuild(
                self._cloud, call.parameters, self._progress, self._clock, self._sleep
            )
        else:
            files = serving_code() if self._cloud.account.local else image_code()
            tree = write_tree(files, self._build / "serving")
            base = self._cloud.push_image(**call.parameters, tree=tree)
        if base:
            self._progress.line(f"The image was built from {base}")
            assert self.current is not None
            self.keep([Entry("base image", f"{self.current.name} from {base}")])

    def _sent(self, call: Call) -> Sent:
        path = Path(call.parameters["Filename"])
        total = path.stat().st_size
        done = 0

        def sent(count: int) -> None:
            nonlocal done
            done += count
            detail = f"{path.name}, {short_size(done)} of {short_size(total)}"
            self._progress.advance("bytes", done, total, detail)

        return sent


def found(plan: Plan) -> list[Entry]:
    """What the plan found in place and belongs into the record: a name with our digest is ours.

    The bucket is left out, as it may be there for others, and so is a role that was given.
    """
    ours = set(KINDS) - {"bucket"} - (set() if plan.desired.role.policy else {"role"})
    return [Entry(item.kind, item.name) for item in plan.unchanged if item.kind in ours]
