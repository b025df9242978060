"""Print the least that deploying, running and calling this project need, as IAM policies.

Without --of, all of them as one JSON document, with a reason for every action; with it, one policy
as IAM takes it: --of deployer > policy.json. Nothing is changed.
"""

from __future__ import annotations

import argparse
import json

from infra.commands.words import add_project

NAMES = ("deployer", "execution", "invoke", "bucket")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of policy."""
    add_project(parser)
    parser.add_argument(
        "--of",
        choices=NAMES,
        help="deployer: whoever types make; execution: the role of jobs and endpoint; invoke: who "
        "only asks for predictions; bucket: the policy of the bucket that a deployment makes",
    )


def run(args: argparse.Namespace) -> int:
    """Print them."""
    from infra import project
    from infra.aws import find
    from infra.grants import document, reasons
    from infra.permissions import deploying, invoking
    from infra.policy import bucket_policy
    from infra.prepare import prepare

    settings = project.load(args.project)
    desired = prepare(settings, find(args.target, settings.aws)).desired
    grants = {
        "deployer": deploying(desired),
        "execution": desired.role.grants,
        "invoke": invoking(desired),
    }
    bucket = bucket_policy(desired.bucket.name)
    if args.of:
        chosen = bucket if args.of == "bucket" else document(grants[args.of])
        print(json.dumps(chosen, indent=1))
        return 0
    told = {
        name: {"policy": document(each), "reasons": reasons(each)} for name, each in grants.items()
    }
    print(json.dumps({**told, "bucket": {"policy": bucket}}, indent=1))
    return 0
