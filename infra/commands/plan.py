"""Say what deploy would create, change, delete or leave alone, why, and what it costs.

Nothing is changed. While the local cloud is not running, everything is still to be created. Costs
are AWS's own prices of an hour, asked for once a week; what is not known is not told.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from infra.commands.words import add_project, place, typed

if TYPE_CHECKING:
    from infra.aws import Cloud
    from infra.cost import Cost
    from infra.plan import Plan


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
    found = priced(plan, cloud)
    if args.json:
        from infra.proposal import traffic

        costs = [cost.to_json() for cost in found]
        told = {**plan.to_json(), "traffic": traffic(plan), "costs": costs}
        print(json.dumps(told, indent=1))
        return 0
    account = plan.desired.account
    print(f"{settings.name} on {place(args.target, account.region, account.id)}")
    if cloud is None:
        print("The local cloud is not running: deploy starts it, and everything is created.")
    print(text(plan, found))
    print(f"To do it: {typed('deploy', args)}" if plan.steps else "No changes.")
    return 0


def priced(plan: Plan, cloud: Cloud | None) -> tuple[Cost, ...]:
    """What it costs on AWS; on this machine nothing does."""
    if cloud is None or plan.desired.account.local:
        return ()
    from infra.cost import costs
    from infra.package import ROOT
    from infra.prices import Prices

    return costs(plan, Prices(cloud, ROOT / "build" / "prices.json").hourly)


def text(plan: Plan, found: tuple[Cost, ...]) -> str:
    """The plan for a person: the steps with their reasons, how many, the traffic, the costs."""
    from infra.proposal import counted, money, rejected, table, traffic

    waits = f"\n{told}" if (told := rejected(plan)) else ""
    if plan.waits and not told:
        waits = "\nIt is registered only: a version serves when it was approved (make approve)."
    money_lines = money(found, local=plan.desired.account.local)
    return f"{table(plan)}\n\n{counted(plan)}.\n{traffic(plan)}{waits}\n{money_lines}"
