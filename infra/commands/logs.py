"""What the training job and the endpoint have written, the last lines first of one, then the other.

Progress bars are for deploy; here every line stands as it was written.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from infra.commands.usage import whole
from infra.commands.words import add_project, opened

if TYPE_CHECKING:
    from infra.aws import Cloud
    from infra.sections import ProjectFile

_PAUSE = 1.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of logs."""
    add_project(parser)
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--training", action="store_true", help="the last training job's log alone")
    only.add_argument("--endpoint", action="store_true", help="the endpoint's log alone")
    parser.add_argument(
        "--lines",
        type=whole("--lines 100"),
        default=30,
        metavar="N",
        help="lines of each (default: %(default)s)",
    )
    parser.add_argument("--follow", action="store_true", help="go on until Ctrl-C")


def run(args: argparse.Namespace) -> int:
    """Print the lines."""
    from infra.logs import last_lines

    found = opened(args)
    if found is None:
        return 0
    file, cloud = found
    places = _places(cloud, file, args)
    for title, group, prefix in places:
        lines = last_lines(cloud, group, prefix, max(args.lines, 0))
        print(f"== {title}")
        print("\n".join(lines) if lines else "(nothing yet)")
    if args.follow:
        follow(cloud, places)
    return 0


def follow(cloud: Cloud, places: list[tuple[str, str, str]]) -> None:
    """Print new lines as they come, until Ctrl-C."""
    from infra.logs import LogTail

    tails = [LogTail(cloud, group, prefix) for _, group, prefix in places]
    for tail in tails:
        tail.new_lines()
    while True:
        for tail in tails:
            for line in tail.new_lines():
                print(line, flush=True)
        time.sleep(_PAUSE)


def _places(
    cloud: Cloud, file: ProjectFile, args: argparse.Namespace
) -> list[tuple[str, str, str]]:
    from infra.record import RecordStore
    from infra.resources import ENDPOINT_LOGS, TRAINING_LOGS, bucket_name

    found = []
    if not args.endpoint:
        bucket = bucket_name(file.aws, cloud.account)
        job = RecordStore(cloud, bucket, file.name).load().last("training job", "tuning job")
        if job:
            # A tuning job's trials are training jobs whose names begin with its own.
            end = "/" if job.kind == "training job" else "-"
            found.append((f"{job.kind} {job.name}", TRAINING_LOGS, f"{job.name}{end}"))
    if not args.training:
        found.append((f"endpoint {file.name}", f"{ENDPOINT_LOGS}/{file.name}", ""))
    return found
