"""What it takes to find that nothing has changed: `make bench-deploy`.

The flights example is deployed once to a local cloud of its own; then `plan` and `deploy` are timed
as processes, as they are typed. The median of five counts, and the slowest is told.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, report
from infra import local

ROOT = Path(__file__).parent.parent
PROJECT = "examples/flights"
RUNS = 5


def infra(cloud: Path, command: str) -> tuple[float, str]:
    """Seconds that a command took, and what it printed."""
    own = {**os.environ, "LOCAL_CLOUD_ROOT": str(cloud)}
    words = [sys.executable, "-m", "infra", command, "--project", PROJECT]
    started = time.monotonic()
    done = subprocess.run(words, cwd=ROOT, env=own, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return time.monotonic() - started, done.stdout


def median(cloud: Path, command: str, said: str) -> float:
    """The median of several runs, each of which has to say that there is nothing to do."""
    taken = []
    for _ in range(RUNS):
        seconds, out = infra(cloud, command)
        if said not in out:
            sys.exit(f"{command} does not say {said!r}:\n{out}")
        taken.append(seconds)
    print(f"{command}: the slowest of {RUNS} took {max(taken):.2f} s", flush=True)
    return statistics.median(taken)


def figures(cloud: Path) -> Iterator[Figure]:
    """Measured one after the other, each printed as it comes."""
    seconds, _ = infra(cloud, "deploy")
    print(f"deploy: the first took {seconds:.0f} s", flush=True)
    plan = median(cloud, "plan", "No changes.")
    yield Figure("make plan with nothing changed", plan, "s", "<=", 5, 3)
    deploy = median(cloud, "deploy", "No changes:")
    yield Figure("make deploy with nothing changed", deploy, "s", "<=", 8, 5)


def main() -> int:
    """Deploy, measure, clean up."""
    with tempfile.TemporaryDirectory() as folder:
        cloud = Path(folder)
        try:
            return report(figures(cloud))
        finally:
            local.stop(cloud)


if __name__ == "__main__":
    sys.exit(main())
