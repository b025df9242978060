"""Approve a registered version, so that deploy may let it serve.

Without a number it is the newest version, where that waits. Who approves, and when, is kept with
the version. Needed only where [deploy].require_approval is true.
"""

from __future__ import annotations

import argparse
import getpass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from infra.commands.usage import whole
from infra.commands.words import add_project, opened, typed

if TYPE_CHECKING:
    from infra.aws import Cloud


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of approve."""
    add_project(parser)
    parser.add_argument(
        "--version", type=whole("make approve VERSION=3"), metavar="N", help="the version's number"
    )


def run(args: argparse.Namespace) -> int:
    """Approve one version."""
    from infra.failures import explain
    from infra.registry import APPROVED, REJECTED, approve, numbered, versions
    from shared.errors import DeploymentError

    found = opened(args)
    if found is None:
        return 1
    file, cloud = found
    known = versions(cloud, file.name)
    if not known:
        raise DeploymentError(
            "no version is registered", where=file.name, cure=f"Run `{typed('deploy', args)}`."
        )
    version = numbered(known, args.version, file.name) if args.version else known[0]
    if version.status == REJECTED and not args.version:
        raise DeploymentError(
            "was rejected",
            where=f"version {version.number} of {file.name}",
            cure=f"Approve it all the same: {typed('approve', args)} VERSION={version.number}",
        )
    if version.status == APPROVED:
        print(f"Version {version.number} of {file.name} is approved already.")
    else:
        who, when = _who(cloud), datetime.now(UTC).isoformat(timespec="seconds")
        try:
            approve(cloud, version, who, when)
        except Exception as error:
            raise explain(error, f"Approving version {version.number}") from error
        print(f"Version {version.number} of {file.name} is approved, by {who}.")
    again = typed("deploy", args)
    print(f"Deploy it: {again}" + ("" if version == known[0] else f" VERSION={version.number}"))
    return 0


def _who(cloud: Cloud) -> str:
    """Whose credentials these are; on this machine, who is logged in."""
    if cloud.account.local:
        return getpass.getuser()
    return str(cloud.call("sts", "get_caller_identity", {})["Arn"])
