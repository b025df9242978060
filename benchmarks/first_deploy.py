"""What a newcomer waits for, and what he gets: `make bench-first-deploy`.

In a fresh clone: the first `make deploy`, environment included; the same with the environment there
and nothing else; a third with nothing changed; then examples/adult. The packages come from the
network or from uv's cache, so the first figure depends on both.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, report

ROOT = Path(__file__).parent.parent


def make(clone: Path, *words: str) -> tuple[float, str]:
    """Seconds that a make command took, and what it printed."""
    free = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "PROJECT", "TARGET"))}
    started = time.monotonic()
    done = subprocess.run(
        ["make", *words], cwd=clone, env=free, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"make {' '.join(words)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return time.monotonic() - started, done.stdout


def score(output: str, metric: str) -> float:
    """One test score of the closing lines."""
    found = re.search(rf"^\s+test\s.*\b{metric} ([0-9.]+)", output, re.MULTILINE)
    if not found:
        sys.exit(f"the output names no test {metric}:\n{output[-2000:]}")
    return float(found.group(1))


def figures(clone: Path) -> Iterator[Figure]:
    """Measured one after the other, each printed as it comes."""
    seconds, _ = make(clone, "deploy")
    yield Figure("first make deploy, environment included", seconds, "s", "<=", 300, 180)
    make(clone, "destroy")
    seconds, said = make(clone, "deploy")
    yield Figure("make deploy with the environment there", seconds, "s", "<=", 120, 90)
    yield Figure("flights, test AUC", score(said, "auc"), "", ">=", 0.66, 0.688)
    seconds, _ = make(clone, "deploy")
    yield Figure("make deploy with nothing changed", seconds, "s", "<=", 8, 5)
    seconds, said = make(clone, "deploy", "PROJECT=examples/adult")
    yield Figure("make deploy PROJECT=examples/adult", seconds, "s", "<=", 120, 90)
    yield Figure("adult, test accuracy", score(said, "accuracy"), "", ">=", 0.85, 0.855)


def main() -> int:
    """Clone, measure, clean up."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "kit"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        try:
            return report(figures(clone))
        finally:
            make(clone, "clean")


if __name__ == "__main__":
    sys.exit(main())
