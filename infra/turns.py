"""One command at a time on this machine works on a project, since all share its build directory.

The operating system lets the file go with the process that holds it, however that ends, so nobody
waits for the dead. What stands in the file is for who waits: the lock itself is not in it. Not
here: commands on other machines (lock.py).
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import IO

from infra.lock import Holder
from infra.progress import Progress

NAME = "deploy.lock"
_PAUSE = 0.2


@contextmanager
def alone(
    build: Path, command: str, shown: Progress, sleep: Callable[[float], None] = time.sleep
) -> Iterator[None]:
    """A block that no other command of this machine runs for the same build directory meanwhile.

    Args:
        build: the project's build directory.
        command: as typed, told to others that wait.
        shown: where waiting is shown.
        sleep: time, so that a test need not wait.
    """
    build.mkdir(parents=True, exist_ok=True)
    with (build / NAME).open("a+") as file:
        _wait(file, build.name, shown, sleep)
        file.truncate(0)
        file.write(json.dumps(asdict(Holder.here(command))))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _wait(file: IO[str], project: str, shown: Progress, sleep: Callable[[float], None]) -> None:
    told = ""
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(file)
            words = _words(holder)
            if words != told:
                told = words
                shown.line(f"Another command is at work on {project} on this machine: {words}.")
                end = f", or: kill {holder.process}" if holder else ""
                shown.line(
                    "This one waits, and goes on by itself when that has ended. Ctrl-C ends the "
                    "waiting; nothing is changed."
                )
                shown.line(f"To end the other one, press Ctrl-C in its terminal{end}")
            shown.status(f"waits for {words}")
            sleep(_PAUSE)
        else:
            return


def _holder(file: IO[str]) -> Holder | None:
    """Who holds it, by the file's own words; None in the moment before those are written."""
    file.seek(0)
    try:
        return Holder(**json.loads(file.read()))
    except (ValueError, TypeError):
        return None


def _words(holder: Holder | None) -> str:
    if holder is None:
        return "one that has just begun"
    since = datetime.fromisoformat(holder.since).astimezone()
    return f"`{holder.command}` (process {holder.process}), since {since:%H:%M:%S}"
