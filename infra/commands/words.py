"""What commands share: opening a project, a command as typed, a table of facts, a question."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.aws import Cloud
    from infra.sections import ProjectFile

DEFAULT_PROJECT = "examples/flights"


def add_project(parser: argparse.ArgumentParser) -> None:
    """The two options that every command but init has."""
    parser.add_argument(
        "--project",
        default=DEFAULT_PROJECT,
        metavar="DIR",
        help="directory with a project.toml, or the file itself (default: %(default)s)",
    )
    parser.add_argument(
        "--target",
        choices=("local", "aws"),
        default="local",
        help="local: the local cloud on this machine, no account needed; aws: your AWS account "
        "(default: %(default)s)",
    )


def add_yes(parser: argparse.ArgumentParser) -> None:
    """The option of every command that asks before it changes or starts something on AWS."""
    parser.add_argument("--yes", action="store_true", help="do not ask before changing AWS")


def opened(args: argparse.Namespace, *, quiet: bool = False) -> tuple[ProjectFile, Cloud] | None:
    """The project's file and its cloud; None where the local cloud is not running.

    Args:
        args: of the command line.
        quiet: do not say so.
    """
    from infra import project
    from infra.aws import find

    file = project.read(args.project)
    cloud = find(args.target, file.aws)
    if cloud is None and not quiet:
        print(
            f"{file.name}: The local cloud is not running, so nothing is deployed. "
            f"Deploy it: {typed('deploy', args)}"
        )
    return (file, cloud) if cloud else None


def typed(command: str, args: argparse.Namespace) -> str:
    """How to type another command for the same project and target."""
    words = [f"make {command}"]
    if args.project.rstrip("/") != DEFAULT_PROJECT:
        words.append(f"PROJECT={shlex.quote(args.project.rstrip('/'))}")
    if args.target != "local":
        words.append(f"TARGET={args.target}")
    return " ".join(words)


def facts(rows: Sequence[tuple[str, str]]) -> str:
    """Names and values in two columns."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)


def place(target: str, region: str, account: str) -> str:
    """Where a deployment is, in words."""
    return "the local cloud on this machine" if target == "local" else f"AWS {account} in {region}"


def confirmed(question: str) -> bool:
    """Ask on a terminal; without one the answer is no."""
    if not sys.stdin.isatty():
        return False
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
