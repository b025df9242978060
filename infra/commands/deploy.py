"""Train, tune, checkpoint, deploy and verify: everything that is not there yet.

Names in the cloud carry digests of what they are made from. What is there already is left alone, so
a second run changes nothing and takes seconds, and an interrupted one goes on where it was. The
endpoint counts as deployed when the model's golden rows come back through it with the predictions
that training computed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from infra.commands.usage import whole
from infra.commands.words import add_project, add_yes, confirmed, facts, place, typed
from infra.package import short
from infra.steps import STAGES, StageName

if TYPE_CHECKING:
    from infra.apply import CloudExecutor
    from infra.aws import Cloud
    from infra.evidence import Evidence
    from infra.plan import Plan
    from infra.progress import Progress
    from infra.project import Settings
    from infra.record import RecordStore
    from infra.registry import Version
    from infra.trials import Trial
    from shared.bundle import Bundle
    from shared.errors import DeploymentError


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of deploy."""
    add_project(parser)
    add_yes(parser)
    parser.add_argument(
        "--version",
        type=whole("make deploy VERSION=3"),
        metavar="N",
        help="let a registered version serve, in place of what the project asks for",
    )


def run(args: argparse.Namespace) -> int:
    """Deploy, and say where everything lies."""
    return interruptible(Deployment(args))


def interruptible(deployment: Deployment) -> int:
    """Run it, with an end for Ctrl-C too, and say what came of it."""
    from infra.progress import progress

    try:
        with progress(deployment.shown_stages) as shown:
            deployment.run(shown)
    except KeyboardInterrupt:
        print(f"\n{deployment.standing()}", file=sys.stderr)
        return 130
    print(deployment.summary())
    return 1 if deployment.declined else 0


class Deployment:
    """One run of deploy: what it is doing now, and what came of it.

    Attributes:
        command: how it is typed.
        stages: of the plan.
        trials, page: of a search by the service, and where its page is.
        declined: the plan was shown, and the answer was no.
    """

    command: ClassVar = "deploy"
    stages: ClassVar[tuple[StageName, ...]] = STAGES

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._started = time.monotonic()
        self._executor: CloudExecutor | None = None
        self._done: Done | None = None
        self._evidence: Evidence | None = None
        self.trials: tuple[Trial, ...] = ()
        self.page: Path | None = None
        self.declined = False
        self._waiting: int | None = None
        self._rejected: Version | None = None

    @property
    def shown_stages(self) -> int:
        """How many are shown: where it goes, the plan's, and for an endpoint the verification."""
        return 1 + len(self.stages) + ("endpoint" in self.stages)

    @property
    def _again(self) -> str:
        """How to type the same command once more."""
        return typed(self.command, self._args) + self._chosen

    @property
    def _chosen(self) -> str:
        return f" VERSION={self._version}" if self._version else ""

    @property
    def _version(self) -> int | None:
        number: int | None = getattr(self._args, "version", None)
        return number

    def run(self, shown: Progress) -> None:
        """Go through the stages."""
        from infra import project
        from infra.prepare import build_directory
        from infra.turns import alone

        settings = project.load(self._args.project)
        self._check(settings)
        build = build_directory(settings.name)
        with alone(build, self._again, shown):
            self._deploy(settings, build, shown)

    def _deploy(self, settings: Settings, build: Path, shown: Progress) -> None:
        from infra.apply import CloudExecutor, apply, found
        from infra.check import check
        from infra.evidence import Evidence
        from infra.lock import Lock
        from infra.proposal import rejected
        from infra.record import RecordStore
        from infra.resources import bucket_name

        target = self._args.target
        shown.stage("local cloud" if target == "local" else "AWS account")
        cloud = self._connect(settings)
        store = RecordStore(cloud, bucket_name(settings.aws, cloud.account), settings.name)
        with Lock(cloud, store, self._again, shown) as lock:
            plan = self._plan(settings, cloud)
            shown.done(place(target, cloud.account.region, cloud.account.id))
            if told := rejected(plan):
                shown.line(told)
            in_vain = plan.desired.hosting.security.without_effect
            if in_vain and target == "local":
                shown.line(in_vain)
            if plan.trains:
                check(settings)
            self._ask_quotas(cloud, plan, shown)
            if not self._confirmed(cloud, plan, shown):
                return

            def opened() -> None:
                """There is a bucket now, and so there can be a lock: the plan must still hold."""
                lock.acquire()
                if _outside(self._plan(settings, cloud)) != _outside(plan):
                    raise _overtaken(self._again)

            self._executor = CloudExecutor(
                cloud, store, shown, build, guard=lock.check, opened=opened
            )
            self._evidence = Evidence(cloud, store, plan, build, shown)
            with self._noted(store, plan), self._evidence.gathered(self._again):
                apply(plan, self._executor, shown, self.stages)
                self._executor.keep(found(plan))
                self._finish(cloud, store, plan, build, shown)
            self._follow_up(plan)

    def _follow_up(self, plan: Plan) -> None:
        """Do what comes after a verified endpoint; a deployment does what is left of it."""
        from infra.apply import follow_up

        assert self._executor is not None
        follow_up(plan, self._executor, typed("deploy", self._args) + self._chosen)

    def _connect(self, settings: Settings) -> Cloud:
        """The cloud; one on this machine is started."""
        from infra.aws import connect

        return connect(self._args.target, settings.aws)

    @contextmanager
    def _noted(self, store: RecordStore, plan: Plan) -> Iterator[None]:
        """Have a version that was rolled out, and failed at it, in the record as such."""
        from infra.releases import note_failure
        from infra.smoke import WrongAnswerError
        from infra.watch import FailedError
        from shared.errors import KitError

        assert self._executor is not None
        try:
            yield
        except (FailedError, WrongAnswerError) as failure:
            step = self._executor.current
            if step is None or step.kind == "endpoint":
                wrong = isinstance(failure, WrongAnswerError)
                try:
                    note_failure(store, plan, self._again, wrong=wrong)
                except KitError as unnoted:
                    failure.cure = f"{failure.cure or ''}\n{unnoted}".strip()
            raise

    def _check(self, settings: Settings) -> None:
        """Refuse a project with which the command can do nothing."""

    def _ask_quotas(self, cloud: Cloud, plan: Plan, shown: Progress) -> None:
        """Refuse what the account may not have, before anything is made or asked."""
        if not cloud.account.local:
            from infra import quotas

            for line in quotas.check(cloud, quotas.needs(plan)):
                shown.line(line)

    def _confirmed(self, cloud: Cloud, plan: Plan, shown: Progress, remark: str = "") -> bool:
        """Show the plan and ask, where it would change something on AWS.

        Args:
            cloud: where it goes.
            plan: what would be done.
            shown: gives way while it is asked.
            remark: what there is to say below the plan.

        Raises:
            DeploymentError: there is nobody to ask.
        """
        if cloud.account.local or not plan.steps or self._args.yes:
            return True
        from infra.commands.plan import priced, text
        from shared.errors import DeploymentError

        paid = [cost for cost in priced(plan, cloud) if cost.what in ("training", *self.stages)]
        with shown.aside():
            print(f"\n{text(plan, tuple(paid))}\n{remark}", flush=True)
            if not sys.stdin.isatty():
                raise DeploymentError(
                    "what is above would be done on AWS, and there is no terminal to ask on",
                    where=plan.desired.project,
                    cure=f"Say so beforehand: `{self._again} YES=1`, or --yes.",
                )
            self.declined = not confirmed("Do it?")
        return not self.declined

    def _plan(self, settings: Settings, cloud: Cloud) -> Plan:
        from infra.prepare import prepare

        return prepare(settings, cloud, self._version)

    def _look_back(self, cloud: Cloud, plan: Plan, build: Path) -> None:
        """Write the page of a search by the service."""
        from infra import history
        from infra.trials import children
        from infra.tuning import TuningJob

        job = plan.desired.job
        kinds = {step.kind for step in plan.steps} | {same.kind for same in plan.unchanged}
        if isinstance(job, TuningJob) and job.kind in kinds:
            names = [job.name(number) for number in range(1, plan.attempt + 1)]
            self.trials = children(cloud, names)
            self.page = history.write(build, plan.desired.project, job.tuning, self.trials)

    def _finish(
        self, cloud: Cloud, store: RecordStore, plan: Plan, build: Path, shown: Progress
    ) -> None:
        from infra.async_client import address
        from infra.outputs import fetch_report
        from infra.releases import note

        shown.stage("verify")
        if plan.waits:
            self._waiting, self._rejected = waiting(cloud, plan), plan.rejected
            shown.done("nothing was rolled out")
            self._look_back(cloud, plan, build)
            return
        bundle, rows = self._verify(cloud, plan, build)
        note(store, plan, self._again, metrics=bundle.manifest.metrics)
        shown.done(f"{rows} golden rows came back through the endpoint as training predicted them")
        self._look_back(cloud, plan, build)
        report = fetch_report(cloud, plan.serving.model.data, build)
        asynchronous = plan.serving.config.async_ is not None
        url = address(cloud, plan.desired.project, asynchronous=asynchronous)
        self._done = Done(plan, url, bundle, report)

    def _verify(self, cloud: Cloud, plan: Plan, build: Path) -> tuple[Bundle, int]:
        from infra.apply import withdraw
        from infra.outputs import fetch_bundle
        from infra.smoke import WrongAnswerError, asked, verify

        assert self._executor is not None
        bundle = fetch_bundle(cloud, plan.serving.model.data, build)
        client, golden = asked(cloud, plan.serving, bundle, build)
        try:
            return bundle, verify(client, golden.records, golden.predictions)
        except WrongAnswerError as failure:
            withdraw(plan, self._executor, failure)
            raise

    def standing(self) -> str:
        """After Ctrl-C: how things stand, and what the next run will do."""
        step = self._executor.current if self._executor else None
        again = self._again
        if step is None or step.stage == "upload":
            return f"Interrupted. Nothing is half-made; `{again}` goes on from here."
        if step.kind in ("training job", "tuning job"):
            return (
                f"Interrupted while waiting. The {step.kind} {step.name} goes on by itself; "
                f"`{again}` attaches to it, `{typed('destroy', self._args)}` stops it."
            )
        if step.stage == "after":
            return (
                f"Interrupted at: {step.title}. The endpoint serves, verified and recorded; "
                f"`{typed('deploy', self._args)}{self._chosen}` does what is left."
            )
        return (
            f"Interrupted at: {step.title}. SageMaker finishes what was asked of it; "
            f"`{again}` looks at what is there and goes on."
        )

    def _to_approve(self, version: int) -> str:
        """What to type where a version waits, or where it was rejected and no other is approved."""
        if self._rejected:
            return (
                f"\nThe project asks for version {version}, which was rejected, and no other is "
                f"approved: nothing was rolled out.\n\nTo go on:\n{facts(self._overrule(version))}"
            )
        following = [
            (f"{typed('approve', self._args)} VERSION={version}", "let it serve"),
            (self._again, "then: roll it out"),
        ]
        return (
            f"\nVersion {version} is registered and has to be approved before it serves "
            f"([deploy].require_approval).\n\nTo go on:\n{facts(following)}"
        )

    def _overrule(self, version: int) -> list[tuple[str, str]]:
        """What to type where the version that the project asks for was rejected."""
        return [
            (f"{typed('approve', self._args)} VERSION={version}", "let it serve all the same"),
            (f"{typed('retrain', self._args)} DATA=…", "train another on new rows"),
            (self._again, "or on other data, settings or code, once they are changed"),
        ]

    def summary(self) -> str:
        """What a person wants to know after a deployment."""
        from infra.outputs import scores
        from infra.trials import counted
        from infra.units import short_time

        if self.declined:
            return "Nothing was changed."
        if self._waiting is not None:
            return self._to_approve(self._waiting)
        assert self._done is not None
        plan, bundle = self._done.plan, self._done.bundle
        took = short_time(time.monotonic() - self._started)
        name = plan.serving.endpoint.name
        if plan.steps:
            head = f"{name} is InService and verified ({took})."
        else:
            head = f"No changes: {name} is InService and verified ({took})."
        report = os.path.relpath(self._done.report) if self._done.report else "none"
        own = not plan.desired.kept and not plan.desired.chosen
        rows = [
            ("endpoint", name),
            ("address", self._done.address),
            *scores(bundle.manifest.metrics),
            *([("checkpoints", plan.desired.job.checkpoints)] if own else []),
            ("bundle", f"{plan.serving.model.data} (digest {short(bundle.manifest.digest)})"),
            ("report", report),
            *(self._evidence.rows() if self._evidence else []),
        ]
        if plan.desired.kept:
            rows.insert(2, ("retrained", f"{plan.job}, from {plan.desired.kept.parent}"))
        if plan.rejected and plan.version:
            asked = f"version {plan.rejected.number}, which the project asks for, was rejected"
            rows.insert(1, ("serves", f"version {plan.version.number}: {asked}"))
        if self.page:
            rows.append(("search", f"{counted(self.trials)}: {os.path.relpath(self.page)}"))
        following = [
            (typed("invoke", self._args), "ask the endpoint for a prediction"),
            (typed("status", self._args), "see everything on one screen"),
            (typed("logs", self._args), "read what training and endpoint wrote"),
        ]
        if plan.rejected:
            following = self._overrule(plan.rejected.number) + following
        return f"\n{head}\n\n{facts(rows)}\n\nTry next:\n{facts(following)}"


def waiting(cloud: Cloud, plan: Plan) -> int:
    """The number of the version that a plan registered, or found, and that is to be approved."""
    from infra.registry import versions

    digest = plan.desired.package(plan.serving, plan.job).digest
    found = versions(cloud, plan.desired.project) or ()
    return next(version.number for version in found if version.digest == digest)


def _outside(plan: Plan) -> list[tuple[str, str, str]]:
    """What a plan does, its bucket aside."""
    return [
        (step.action, step.kind, step.name)
        for step in plan.steps
        if not step.kind.startswith("bucket")
    ]


def _overtaken(again: str) -> DeploymentError:
    from shared.errors import DeploymentError

    return DeploymentError(
        "something was made for this project while its plan was looked at",
        where="the account",
        cure=f"Run `{again}` again: it plans with what is there now.",
    )


@dataclass(frozen=True)
class Done:
    """What a finished deployment has to show."""

    plan: Plan
    address: str
    bundle: Bundle
    report: Path | None
