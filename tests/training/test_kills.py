"""A job killed with kill -9 at any point ends with the bits of one that nobody killed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.jobs import ROOT


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_jobs_killed_at_twenty_random_points_end_with_the_same_bits() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", "--kills", "20", "--spawned", "2", "--seed", "20"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=840,
        check=False,
    )
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "every job ended with the same bits"
