"""Say what deploy would create, change or leave alone, and why. Nothing is changed.

While the local cloud is not running, everything is still to be created.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from infra.commands.words import add_project, place, typed

if TYPE_CHECKING:
    from infra.plan import Plan

_SIGNS = {"create": "+", "update": "~", "replace": "±", "attach": "…", "delete": "-"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of plan."""
    add_project(parser)
    parser.add_argument("--json", action="store_true", help="the plan as JSON, calls included")


def run(args: argparse.Namespace) -> int:
    """Print the plan."""
    from infra import project
    from infra.aws import find
    from infra.check import check
    from infra.prepare import prepare

    settings = project.load(args.project)
    cloud = find(args.target, settings.aws)
    plan = prepare(settings, cloud)
    if plan.trains:
        check(settings)
    if args.json:
        print(json.dumps(plan.to_json(), indent=1))
        return 0
    account = plan.desired.account
    print(f"{settings.name} on {place(args.target, account.region, account.id)}")
    if cloud is None:
        print("The local cloud is not running: deploy starts it, and everything is created.")
    print(_table(plan))
    print(_closing(plan, args))
    return 0


def _table(plan: Plan) -> str:
    lines: list[tuple[str, ...]] = [
        (_SIGNS[step.action], step.action, step.kind, step.name, step.reason) for step in plan.steps
    ]
    lines += [("=", "keep", same.kind, same.name, same.reason) for same in plan.unchanged]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    return "\n".join(
        "  "
        + "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=False))
        + f"  {line[4]}"
        for line in lines
    )


def _closing(plan: Plan, args: argparse.Namespace) -> str:
    if not plan.steps:
        return "No changes."
    traffic = (
        "requests move to the new version without a gap"
        if plan.traffic
        else "no running endpoint is touched"
    )
    count = len(plan.steps)
    return f"{count} step{'s' if count > 1 else ''}; {traffic}. To do it: {typed('deploy', args)}"
