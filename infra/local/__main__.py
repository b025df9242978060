"""The local cloud from a shell: ``python -m infra.local start|stop|status|interrupt``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from infra import local
from infra.local.door import REPOSITORY
from shared.errors import KitError


def main() -> int:
    """Run one command; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.local",
        description="A local stand-in for AWS on 127.0.0.1: S3, IAM, Logs, SageMaker and more.",
    )
    parser.add_argument("command", choices=["start", "stop", "status", "interrupt"])
    parser.add_argument("job", nargs="?", help="interrupt: the managed spot training job")
    parser.add_argument(
        "--away",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="interrupt: how long there are no other instances (default: %(default)s)",
    )
    parser.add_argument(
        "--root",
        type=Path,
        default=REPOSITORY / ".local",
        help="its state directory (default: %(default)s)",
    )
    arguments = parser.parse_args()
    if (arguments.command == "interrupt") != (arguments.job is not None):
        parser.error("interrupt needs the name of a training job; the other commands take none")
    try:
        if arguments.command == "interrupt":
            return _interrupt(arguments.root, arguments.job, arguments.away)
        return _run(arguments.command, arguments.root)
    except KitError as error:
        print(error, file=sys.stderr)
        return 1


def _interrupt(root: Path, job: str, away: float) -> int:
    cloud = local.find(root)
    if cloud is None:
        print("The local cloud is not running.")
        return 1
    cloud.interrupt(job, away)
    print(f"The instances of {job} are being reclaimed; others come after {away:g} s.")
    return 0


def _run(command: str, root: Path) -> int:
    if command == "stop":
        stopped = local.stop(root)
        print(
            "The local cloud has stopped; what it held is gone."
            if stopped
            else "The local cloud was not running."
        )
        return 0
    cloud = local.ensure(root) if command == "start" else local.find(root)
    if cloud is None:
        print("The local cloud is not running.")
        return 1
    print(f"The local cloud runs at {cloud.url} (process {cloud.pid}, log {root / 'cloud.log'}).")
    print("To use it from other tools:")
    for name, value in cloud.environment().items():
        print(f"  export {name}={value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
