"""Search for hyperparameters: what deploy would do up to a trained model, with a table of trials.

The table is live on a terminal; elsewhere each trial is a line when it has ended. Nothing is
deployed; a later deploy takes the model that is there and trains nothing again. On AWS it asks
first, as a deployment does. Ctrl-C leaves the search running.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from infra.commands.deploy import Deployment, interruptible
from infra.commands.words import add_project, add_yes, facts, typed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.aws import Cloud
    from infra.plan import Plan
    from infra.progress import Progress
    from infra.project import Settings
    from infra.record import RecordStore
    from infra.trials import Trial


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of tune."""
    add_project(parser)
    add_yes(parser)


def run(args: argparse.Namespace) -> int:
    """Search, and show what came of it."""
    return interruptible(Search(args))


class Search(Deployment):
    """One run of tune."""

    command = "tune"
    stages = ("upload", "train")

    def _check(self, settings: Settings) -> None:
        from shared.errors import ProjectError

        if not settings.problem.tuning.count:
            raise ProjectError(
                "asks for no search",
                where=f"{settings.path}: tuning",
                cure="For example:\n[tuning]\ntrials = 12\n[tuning.space]\n"
                "dropout = [0.0, 0.2, 0.4]",
            )

    def _plan(self, settings: Settings, cloud: Cloud) -> Plan:
        from infra.prepare import prepare_search

        return prepare_search(settings, cloud)

    def _finish(
        self, cloud: Cloud, store: RecordStore, plan: Plan, build: Path, shown: Progress
    ) -> None:
        from infra.outputs import fetch_report

        self._look_back(cloud, plan, build)
        job = plan.desired.job
        self._job = job.name(plan.attempt)
        self._trials = self.trials if plan.searches else _told(cloud, self._job)
        self._report = fetch_report(cloud, job.model_data(plan.attempt), build)

    def summary(self) -> str:
        """The trials, the best of them, and where to read more."""
        if self.declined:
            return "Nothing was changed."
        from infra.trials import best, counted
        from infra.units import short_time

        took = short_time(time.monotonic() - self._started)
        winner = best(self._trials)
        rows = [("job", self._job)]
        if winner:
            rows += [("best", f"trial {winner.number}: val_loss {winner.loss:.5g}")]
            rows += [(f"  {name}", value) for name, value in winner.values.items()]
        for name, page in (("report", self._report), ("history", self.page)):
            if page:
                rows.append((name, os.path.relpath(page)))
        following = [(typed("deploy", self._args), "serve the best one; nothing is trained again")]
        told = counted(self._trials) or "its log tells of no trial"
        return (
            f"\nSearched: {told} ({took}).\n\n{_table(self._trials)}\n\n{facts(rows)}\n\n"
            f"Try next:\n{facts(following)}"
        )


def _told(cloud: Cloud, job: str) -> tuple[Trial, ...]:
    from infra.logs import LogTail
    from infra.resources import TRAINING_LOGS
    from infra.trials import from_lines

    return from_lines(LogTail(cloud, TRAINING_LOGS, f"{job}/").new_lines())


def _table(trials: Sequence[Trial]) -> str:
    from infra.progress import plain
    from infra.table import drawn, lined

    if plain():
        return lined(trials)
    from rich.console import Console

    console = Console(highlight=False, width=max(Console().width, 80))
    with console.capture() as captured:
        console.print(drawn(trials))
    return captured.get().rstrip("\n")
