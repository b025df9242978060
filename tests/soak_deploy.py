"""An endpoint changed again and again while clients ask it without a pause: `make soak-deploy`.

In turn: a new version by each kind of rollout, back by `rollback`, instances added, instances taken
away; until 50,000 requests were answered and everything was done at least once. The bundle is a
small one made for tests; container, local cloud, rollouts and requests are real. One line a change,
then a summary; exit 1 when a request failed, a change did not come about, or a version that should
have answered did not.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra import local
from tests.support import projects
from tests.support.driving import Load
from tests.support.quick_training import ROWS

ROOT = Path(__file__).parent.parent
REQUESTS = 50_000
PATIENCE = 1800.0
MOST_INSTANCES = 3
TOML = projects.TOML.split("[sources")[0] + "[tuning]\ntrials = 0\n"
ROLLOUTS = (
    '{ kind = "canary", bake = "2s", alarms = "none" }',
    '{ kind = "linear", percent = 50, wait = "1s", alarms = "none" }',
    '{ kind = "rolling", percent = 50, wait = "1s", alarms = "none" }',
    '{ kind = "all-at-once", bake = "1s", keep_old = "1s", alarms = "none" }',
)
INSTANCES = ("ml.c5.large", "ml.c5.xlarge", "ml.c5.2xlarge", "ml.m5.xlarge")


@dataclass
class Field:
    """The project under load, and its endpoint."""

    folder: Path

    @property
    def project(self) -> Path:
        """Where its project.toml is."""
        return self.folder / "project"

    def run(self, command: str) -> None:
        """Run a command as a process.

        Raises:
            SystemExit: it failed.
        """
        words = ["-m", "tests.support.quick_training", str(self.folder), command]
        done = subprocess.run(
            [sys.executable, *words, "--project", str(self.project)],
            cwd=ROOT, env=os.environ.copy(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            sys.exit(f"{command} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")

    def wants(self, instance: str, rollout: str) -> None:
        """Have project.toml ask for another config, and for a way to get there."""
        endpoint = f'[endpoint]\ninstance = "{instance}"\nrollout = {rollout}\n'
        (self.project / "project.toml").write_text(TOML + endpoint)


class Scaler:
    """Changes how many instances the endpoint has."""

    def __init__(self, sagemaker: Any) -> None:
        self._sagemaker = sagemaker

    def to(self, count: int) -> None:
        """Have so many, and wait until they are there."""
        self._sagemaker.update_endpoint_weights_and_capacities(
            EndpointName="small",
            DesiredWeightsAndCapacities=[
                {"VariantName": "AllTraffic", "DesiredInstanceCount": count}
            ],
        )
        while (found := self.look())["EndpointStatus"] != "InService":
            time.sleep(0.1)
        there = found["ProductionVariants"][0]["CurrentInstanceCount"]
        if there != count:
            sys.exit(f"{there} instances instead of {count}: {found.get('FailureReason')}")

    def look(self) -> dict[str, Any]:
        """The endpoint as it is."""
        found: dict[str, Any] = self._sagemaker.describe_endpoint(EndpointName="small")
        return found


def changes(field: Field, scaler: Scaler) -> Iterator[str]:
    """Change the endpoint, and say what was done; for ever."""
    for instance, rollout in zip(
        itertools.cycle(INSTANCES), itertools.cycle(ROLLOUTS), strict=False
    ):
        before = scaler.look()["EndpointConfigName"]
        field.wants(instance, rollout)
        field.run("deploy")
        new = scaler.look()["EndpointConfigName"]
        if new == before:
            sys.exit(f"the update to {instance} did not come about")
        yield f"update to {new} by {rollout}"
        scaler.to(MOST_INSTANCES)
        yield f"scaled out to {MOST_INSTANCES} instances"
        scaler.to(1)
        yield "scaled in to 1 instance"
        field.run("rollback")
        if scaler.look()["EndpointConfigName"] != before:
            sys.exit("the rollback did not bring the version before back")
        yield f"rollback to {before}"


def soak(folder: Path, requests: int) -> int:
    """Change the endpoint under load; how many requests failed."""
    field = Field(folder)
    projects.make(field.project, TOML)
    field.run("deploy")
    cloud = local.find(folder / "cloud")
    assert cloud is not None
    bodies = [json.dumps({"instances": [row]}).encode() for row in ROWS]
    scaler = Scaler(cloud.session().client("sagemaker"))
    started = time.monotonic()
    least = 4 * len(ROLLOUTS)
    with Load(cloud, "small", bodies, clients=4) as load:
        for number, change in enumerate(changes(field, scaler), start=1):
            took = time.monotonic() - started
            failed = len(load.failures)
            print(f"{took:5.0f} s  {load.sent:7,} requests  {failed} failed  {change}", flush=True)
            if number >= least and load.sent >= requests:
                break
            if failed or took > PATIENCE:
                break
    print(f"{load.sent:,} requests while the endpoint changed {number} times: ", end="")
    print(f"{len(load.failures)} failed.")
    for failure in load.failures[:10]:
        print(f"  {failure}")
    return len(load.failures) or int(load.sent < requests)


def main() -> int:
    """The soak, and an end for everything that it started."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=REQUESTS)
    wanted = parser.parse_args().requests
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            return int(bool(soak(folder, wanted)))
        finally:
            local.stop(folder / "cloud")


if __name__ == "__main__":
    sys.exit(main())
