"""The local cloud from a shell: ``python -m infra.local start|stop|status``."""

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
    parser.add_argument("command", choices=["start", "stop", "status"])
    parser.add_argument(
        "--root",
        type=Path,
        default=REPOSITORY / ".local",
        help="its state directory (default: %(default)s)",
    )
    arguments = parser.parse_args()
    try:
        return _run(arguments.command, arguments.root)
    except KitError as error:
        print(error, file=sys.stderr)
        return 1


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
