"""Let the deployed model go on learning from new rows; it is replaced only by a model that wins.

The new rows are uploaded, and a training job goes on from the deployed bundle for a few epochs,
some of the project's own rows among them. Then both models answer rows that neither learnt from:
some of the new ones, held out. The new model is deployed if it wins by the margin of [retraining]
and by more than chance; else the deployed one stays. Either way it is said why, and the exit code
is 0. On AWS it asks first, as a deployment does.

The same command again does nothing new. A job that runs is attached to.
"""

from __future__ import annotations

import argparse
import os
import shlex
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from infra.commands.deploy import Deployment, interruptible, waiting
from infra.commands.words import add_project, add_yes, facts, place, typed
from infra.package import short

if TYPE_CHECKING:
    from infra.aws import Cloud
    from infra.prepare import Continuation
    from infra.progress import Progress
    from infra.project import Location, Settings
    from infra.record import RecordStore
    from shared.retraining import Outcome

ONLY_IF_IT_WINS = "What is to serve it is made only if the new model wins.\n"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of retrain."""
    add_project(parser)
    add_yes(parser)
    parser.add_argument(
        "--data",
        default="",
        metavar="ROWS",
        help="the new rows: a CSV or Parquet file, a folder, a glob, or s3://bucket/prefix",
    )


def run(args: argparse.Namespace) -> int:
    """Retrain, and say what came of it."""
    return interruptible(Retraining(args))


@dataclass(frozen=True)
class Came:
    """What came of a retraining.

    Attributes:
        words: the decision in a sentence.
        digest: of the new model's bundle, short.
        report: on this machine, if the job left one.
    """

    made: Continuation
    outcome: Outcome
    words: str
    digest: str
    report: Path | None


class Retraining(Deployment):
    """One run of retrain: what it is doing now, and what came of it."""

    command = "retrain"

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args)
        self._came: Came | None = None

    @property
    def shown_stages(self) -> int:
        """Where it goes, the plan's three, the decision, and the verification."""
        return 6

    def _check(self, settings: Settings) -> None:
        self._location = new_rows(self._args.data)

    def _deploy(self, settings: Settings, build: Path, shown: Progress) -> None:
        from infra.apply import CloudExecutor
        from infra.aws import find
        from infra.lock import Lock
        from infra.record import RecordStore
        from infra.resources import bucket_name
        from shared.errors import DeploymentError

        target = self._args.target
        shown.stage("deployed model")
        cloud = find(target, settings.aws)
        if cloud is None:
            raise DeploymentError(
                "the local cloud is not running, so nothing is deployed that could go on learning",
                where=settings.name,
                cure=f"Deploy it first: {typed('deploy', self._args)}",
            )
        store = RecordStore(cloud, bucket_name(settings.aws, cloud.account), settings.name)
        with Lock(cloud, store, self._again, shown) as lock:
            self._executor = CloudExecutor(cloud, store, shown, build, guard=lock.check)
            self._retrain(settings, cloud, store, build, shown)

    def _retrain(
        self, settings: Settings, cloud: Cloud, store: RecordStore, build: Path, shown: Progress
    ) -> None:
        from infra.apply import apply, found
        from infra.check import check_new
        from infra.outputs import fetch_bundle, fetch_report
        from infra.prepare import prepare_retraining
        from infra.retraining import deployed
        from shared.retraining import OUTCOME, Outcome

        assert self._executor is not None
        record = store.load()
        serving = deployed(cloud, settings.name, record)
        check_new(self._location, fetch_bundle(cloud, serving.data, build / "champion").schema)
        where = place(self._args.target, cloud.account.region, cloud.account.id)
        shown.done(f"{serving.job}, on {where}")

        made = prepare_retraining(settings, cloud, self._location, serving, record)
        if made.changed and made.plan.trains:
            shown.line(
                "The project asks for something else than what the deployed model was trained "
                f"with: `{typed('deploy', self._args)}` would train anew."
            )
        self._ask_quotas(cloud, made.plan, shown)
        begins = any(step.stage != "endpoint" for step in made.plan.steps)
        if begins and not self._confirmed(cloud, made.plan, shown, ONLY_IF_IT_WINS):
            return
        apply(made.plan, self._executor, shown, ("upload", "train"))
        self._executor.keep(found(made.plan))

        shown.stage("decision")
        challenger = fetch_bundle(cloud, made.retrained.data, build / "challenger")
        outcome = Outcome.from_json((challenger.path / OUTCOME).read_bytes())
        words = outcome.decision.words
        words += ": deployed" if outcome.decision.deploy else ": the deployed model stays"
        shown.done(words)
        if outcome.decision.deploy:
            self._replace(cloud, store, made, build, shown, asked=begins)
            if self.declined:
                return
        report = fetch_report(cloud, made.retrained.data, build / "challenger")
        self._came = Came(made, outcome, words, short(challenger.manifest.digest), report)

    def _replace(
        self,
        cloud: Cloud,
        store: RecordStore,
        made: Continuation,
        build: Path,
        shown: Progress,
        *,
        asked: bool,
    ) -> None:
        """Deploy the challenger; where it does not serve, the record keeps what it had.

        Args:
            cloud: where it goes.
            store: of the record.
            made: what was planned.
            build: directory of this machine.
            shown: hears how it goes.
            asked: whether somebody said yes to it already.
        """
        from infra.apply import apply, found
        from infra.evidence import Evidence
        from infra.observe import observe
        from infra.plan import plan
        from infra.releases import note
        from infra.retraining import deployed
        from infra.smoke import WrongAnswerError
        from infra.watch import FailedError
        from shared.errors import DeploymentError

        assert self._executor is not None
        before = store.load()
        serving, new = deployed(cloud, store.project, before), made.retrained
        if serving.data not in (new.parent_data, new.data):
            raise DeploymentError(
                f"serves {serving.job} by now, with which the new model was not compared",
                where=f"endpoint {store.project}",
                cure="Run the same command again: it goes on from that one.",
            )
        final = plan(made.plan.desired, observe(cloud, made.plan.desired))
        if not asked and not self._confirmed(cloud, final, shown):
            return
        if not final.rejected:
            store.change(lambda record: replace(record, retrained=new))
        try:
            self._evidence = Evidence(cloud, store, final, build, shown)
            with self._noted(store, final), self._evidence.gathered(self._again):
                apply(final, self._executor, shown, ("endpoint",))
                self._executor.keep(found(final))
                shown.stage("verify")
                if final.waits:
                    self._waiting, self._rejected = waiting(cloud, final), final.rejected
                    shown.done("nothing was rolled out")
                    return
                bundle, rows = self._verify(cloud, final, build)
            note(store, final, self._again, metrics=bundle.manifest.metrics)
        except (FailedError, WrongAnswerError):
            store.change(lambda record: replace(record, retrained=before.retrained))
            raise
        shown.done(f"{rows} golden rows came back through the endpoint as training predicted them")
        self._follow_up(final)

    @property
    def _again(self) -> str:
        return f"{super()._again} DATA={shlex.quote(self._args.data)}"

    def summary(self) -> str:
        """What a person wants to know after a retraining."""
        from infra.units import short_time

        if self.declined:
            return "Nothing was changed."
        assert self._came is not None
        made, outcome = self._came.made, self._came.outcome
        took = short_time(time.monotonic() - self._started)
        project, new = made.plan.desired.project, made.retrained
        deployed = outcome.decision.deploy
        head = "the new model serves and is verified" if deployed else "the deployed model stays"
        if self._waiting is not None:
            state = "which was rejected" if self._rejected else "to be approved"
            head = f"the new model is version {self._waiting}, {state}"
        rows = [
            ("decision", self._came.words),
            ("old rows", outcome.memory),
            *(("moved", shift.words) for shift in outcome.shifts if shift.words),
            ("went on from", new.parent),
            ("new model", f"{new.job} (bundle {self._came.digest})"),
            ("report", os.path.relpath(self._came.report) if self._came.report else "none"),
            *(self._evidence.rows() if self._evidence else []),
        ]
        following = [(typed("status", self._args), "see what is deployed")]
        if self._waiting is not None:
            approve = f"{typed('approve', self._args)} VERSION={self._waiting}"
            following = [(approve, "let it serve"), (typed("deploy", self._args), "roll it out")]
        return f"\n{project}: {head} ({took}).\n\n{facts(rows)}\n\nTry next:\n{facts(following)}"


def new_rows(data: str) -> Location:
    """The location that DATA names, relative to where the command is typed.

    Raises:
        DataError: none is given, or there is nothing.
    """
    from infra.channels import local_files
    from infra.project import Location
    from shared.errors import DataError

    if not data:
        raise DataError(
            "the new rows are not given",
            where="DATA",
            cure="For example: make retrain DATA=new.csv",
        )
    return Location(data) if data.startswith("s3://") else Location(data, local_files(data, Path()))
