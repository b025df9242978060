"""Upload what a training job needs, and print the job for the console and the AWS CLI.

Every field of the console's "Create training job" form, in its order, and the file for
`aws sagemaker create-training-job --cli-input-json file://…`. No job is started; one that is
started by hand under this name is the one that deploy finds, attaches to and serves. With --dry-run
nothing is uploaded.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.commands.deploy import Deployment, interruptible
from infra.commands.words import add_project, facts, typed

if TYPE_CHECKING:
    from infra.aws import Cloud
    from infra.plan import Plan
    from infra.progress import Progress
    from infra.project import Settings
    from infra.record import RecordStore

FILE = "create-training-job.json"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of package."""
    add_project(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be uploaded; nothing is"
    )


def run(args: argparse.Namespace) -> int:
    """Upload, and print the job."""
    return _rehearse(args) if args.dry_run else interruptible(Package(args))


class Package(Deployment):
    """One run of package."""

    command = "package"
    asks = False
    stages = ("upload",)

    def _plan(self, settings: Settings, cloud: Cloud) -> Plan:
        from infra.prepare import prepare_search

        return prepare_search(settings, cloud)

    def _finish(
        self, cloud: Cloud, store: RecordStore, plan: Plan, build: Path, shown: Progress
    ) -> None:
        self._told = told(plan, build)

    def summary(self) -> str:
        """The form, and what to type instead of filling it in."""
        following = [(typed("deploy", self._args), "waits for that job, and serves its model")]
        return f"\n{self._told}\n\nOnce it is started:\n{facts(following)}"


def _rehearse(args: argparse.Namespace) -> int:
    from infra import project
    from infra.aws import find
    from infra.prepare import build_directory, prepare, prepare_search

    settings = project.load(args.project)
    cloud = find(args.target, settings.aws)
    plan = prepare_search(settings, cloud) if cloud else prepare(settings, None).training
    steps = [step for step in plan.of("upload") if step.call]
    rows = [(f"{step.action} {step.kind}", f"{step.name}  ({step.reason})") for step in steps]
    print(f"To be done first:\n{facts(rows)}" if rows else "Everything is uploaded.")
    print(f"\n{told(plan, build_directory(settings.name))}")
    return 0


def told(plan: Plan, build: Path) -> str:
    """The form as text; the JSON is written beside the project's other packages."""
    from infra.console import form
    from shared.files import write

    request = job_request(plan)
    file = build / FILE
    write(file, f"{json.dumps(request, indent=1)}\n".encode())
    parts = [f"{part.title}\n{facts(part.fields)}" for part in form(request) if part.fields]
    shown = os.path.relpath(file)
    region = plan.desired.account.region
    command = f"aws sagemaker create-training-job --region {region} --cli-input-json file://{shown}"
    return "\n\n".join([*parts, f"The same without the form:\n  {command}"])


def job_request(plan: Plan) -> dict[str, Any]:
    """Parameters of the training job that the plan starts, or of its next attempt."""
    from infra.tuning import TuningJob

    job = plan.desired.job
    if isinstance(job, TuningJob):
        # One job with the project's own hyperparameters, where the service would search.
        return dict(job.job.request(1))
    return dict(job.request(plan.attempt if plan.trains else plan.attempt + 1))
