"""A broken version is caught while clients ask, and none of them notices: `make demo-rollback`.

A small project is deployed to a local cloud of its own: trained, served, verified, all for real.
While two clients ask it without a pause, a second version is deployed as a canary: trained on a
table in which some upstream job has begun to write carriers in lower case. Nothing fails: its
golden rows agree, it answers every request with 200. But every carrier of the clients' requests is
one that it never saw, so its answers are worth little. Its own container says so in the metric
UnknownCategories, our alarm compares that with the old version's, and SageMaker goes back.

Exit 1 if the version is not rolled back by that alarm, if a single request failed, or if it takes
longer than three minutes.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from infra import local
from tests.support.driving import Load

ROOT = Path(__file__).parent.parent
NAME = "rollback-demo"
SECONDS = 180
CARRIERS = ("AA", "B6", "DL", "EV", "UA", "WN")
PROJECT = f"""\
name = "{NAME}"

[data]
source = "rows.csv"
target = "late"
task   = "binary"

[data.columns]
distance = {{ kind = "numeric" }}
carrier  = {{ kind = "category" }}

[training]
hyperparameters = {{ epochs = 5, learning_rate = 0.01, units = 16 }}

[tuning]
trials = 0

[endpoint]
rollout = {{ percent = 20, bake = "30s", thresholds = {{ period = "10s" }} }}
"""


def flights(count: int) -> list[tuple[int, str, bool]]:
    """Distance, carrier, late: always the same."""
    drawn = random.Random(0)
    rows = []
    for _ in range(count):
        distance, carrier = drawn.randint(50, 3000), drawn.choice(CARRIERS)
        often = 0.6 if carrier in ("B6", "EV") else 0.15
        rows.append((distance, carrier, drawn.random() < often + distance / 20_000))
    return rows


def table(rows: list[tuple[int, str, bool]], *, lower: bool) -> str:
    """The rows as CSV, carriers in lower case or as clients write them."""
    lines = [
        f"{distance},{carrier.lower() if lower else carrier},{str(late).lower()}"
        for distance, carrier, late in rows
    ]
    return "distance,carrier,late\n" + "\n".join(lines) + "\n"


def infra(folder: Path, command: str) -> tuple[int, str]:
    """Run a command as it is typed, showing what it prints; its exit code and its words."""
    own = {**os.environ, "LOCAL_CLOUD_ROOT": str(folder / "cloud"), "PYTHONUNBUFFERED": "1"}
    words = [sys.executable, "-m", "infra", command, "--project", str(folder / "project")]
    said = []
    with subprocess.Popen(
        words, cwd=ROOT, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(f"  | {line}", end="", flush=True)
            said.append(line)
    return process.returncode, "".join(said)


def demo(folder: Path) -> list[str]:
    """Go through it; what went wrong."""
    started = time.monotonic()
    rows, project = flights(3000), folder / "project"
    project.mkdir()
    (project / "project.toml").write_text(PROJECT)
    (project / "rows.csv").write_text(table(rows, lower=False))
    print("Version 1: trained on the table as it should be.", flush=True)
    code, _ = infra(folder, "deploy")
    if code:
        return ["version 1 could not be deployed"]
    cloud = local.find(folder / "cloud")
    assert cloud is not None
    sagemaker = cloud.session().client("sagemaker")
    before = sagemaker.describe_endpoint(EndpointName=NAME)["EndpointConfigName"]
    requests = [
        json.dumps({"instances": [{"distance": distance, "carrier": carrier}]}).encode()
        for distance, carrier, _ in rows
    ]
    (project / "rows.csv").write_text(table(rows, lower=True))
    print("\nTwo clients ask. Version 2: trained on carriers in lower case.", flush=True)
    with Load(cloud, NAME, requests, pause=0.005) as load:
        code, said = infra(folder, "deploy")
        asked = load.sent
        load.wait(asked + 200, 10)
    after = sagemaker.describe_endpoint(EndpointName=NAME)["EndpointConfigName"]
    took = time.monotonic() - started
    versions = ", ".join(f"{count} by {name}" for name, count in load.answers.items())
    print(f"\n{load.sent} requests: {len(load.failures)} failed; answered: {versions}")
    print(f"The endpoint runs on {after}, as before. All of it took {took:.0f} s.")
    checks = {
        "the deployment of version 2 was no failure": code != 0,
        "no alarm on unusual values went off": "-unusual-" in said and "went off" in said,
        "the endpoint does not run on version 1": before == after,
        "version 2 was never asked": len(load.answers) == 2,
        f"requests failed: {load.failures[:3]}": not load.failures,
        f"it took more than {SECONDS} s": took <= SECONDS,
    }
    return [wrong for wrong, good in checks.items() if not good]


def main() -> int:
    """The demonstration, and an end for everything that it started."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            wrong = demo(folder)
        finally:
            local.stop(folder / "cloud")
    for each in wrong:
        print(f"FAILED: {each}", file=sys.stderr)
    if not wrong:
        print("Caught, rolled back, and no client noticed.")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
