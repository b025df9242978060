"""Build the image that serves, and put it into the registry; nothing where it is there already.

On AWS it is built by this machine's Docker, or by AWS CodeBuild where there is none, which takes
some minutes. Its tag is the digest of what is in it. Deploy does the same on its way.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from infra.commands.deploy import Deployment, interruptible
from infra.commands.words import add_project, add_yes, facts, typed

if TYPE_CHECKING:
    from infra.aws import Cloud
    from infra.plan import Plan
    from infra.progress import Progress
    from infra.project import Settings
    from infra.record import RecordStore


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of image."""
    add_project(parser)
    add_yes(parser)


def run(args: argparse.Namespace) -> int:
    """Build it, or say why there is nothing to build."""
    from infra import project

    container = project.read(args.project).endpoint.container
    if container != "own":
        print(f'There is nothing to build: container = "{container}" is not an image of ours.')
        return 0
    return interruptible(Imaging(args))


class Imaging(Deployment):
    """One run of image."""

    command = "image"
    stages = ("upload",)

    def _plan(self, settings: Settings, cloud: Cloud) -> Plan:
        from infra.prepare import prepare

        return prepare(settings, cloud).image

    def _finish(
        self, cloud: Cloud, store: RecordStore, plan: Plan, build: Path, shown: Progress
    ) -> None:
        image = plan.desired.image
        assert image is not None
        built = any(step.kind == "image" for step in plan.steps)
        self._told = f"{image.uri} is in the registry{'' if built else ' already'}."

    def summary(self) -> str:
        """Where it is."""
        if self.declined:
            return "Nothing was changed."
        following = [(typed("deploy", self._args), "serve a model with it")]
        return f"\n{self._told}\n\nTry next:\n{facts(following)}"
