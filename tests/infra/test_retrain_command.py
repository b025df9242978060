"""make retrain against a real local cloud: who wins serves, who loses is kept, and nothing is lost.

Training is a program that hands out ready bundles; everything else is what is deployed for real.
"""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import package
from shared import bundle
from shared.retraining import OUTCOME, Decision, Outcome, Retraining, Shift
from tests.support import projects, quick_training
from tests.support.quick_training import Place, Said, installed, ready

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
TOML = projects.TOML.split("[sources")[0] + "[tuning]\ntrials = 0\n"
ROWS = "distance,carrier,late\n" + "".join(
    f"{90 + row},A{row % 3},{str(row % 2 < 1).lower()}\n" for row in range(30)
)
# A retraining hands out the bundle that is named after the file of its new rows.
PROGRAM = """\
import os, pathlib, shutil, time
here = pathlib.Path(__file__).parent
new = os.environ.get("SM_CHANNEL_NEW")
name = next(pathlib.Path(new).iterdir()).stem if new else "bundle"
print("[stage] go on" if new else "[stage] read", flush=True)
while new and pathlib.Path((here / "gate").read_text()).exists():
    time.sleep(0.05)
if new:
    assert (pathlib.Path(os.environ["SM_CHANNEL_MODEL"]) / "model.tar.gz").is_file()
    assert (pathlib.Path(os.environ["SM_CHANNEL_PROJECT"]) / "retraining.json").is_file()
    assert (pathlib.Path(os.environ["SM_CHANNEL_TRAIN"]) / "rows.csv").is_file()
shutil.copytree(here / name, os.environ["SM_MODEL_DIR"], dirs_exist_ok=True)
pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"], "report.html").write_text("<html>report</html>")
"""
WORDS = "challenger AUC 0.7 against champion 0.6 on 6 held-out new rows; wins by 0.1"


def outcome(champion: str, *, deploy: bool) -> Outcome:
    return Outcome(
        champion=champion,
        settings=Retraining(),
        rows={"training": 21},
        scores={},
        shifts=(Shift("carrier", "unknown", 0.0, 0.4, "Column 'carrier': 40.0% are new."),),
        decision=Decision("auc", 0.6, 0.7, 0.1, 0.01, 6, deploy, WORDS),
        memory="it has forgotten nothing",
    )


def candidate(base: Path, to: Path, *, deploy: bool) -> None:
    """A bundle like that in `base`, as a retraining would have made it."""
    found = bundle.load(base)
    document = to.parent / OUTCOME
    document.write_text(outcome(found.manifest.digest, deploy=deploy).to_json())
    bundle.write(
        to,
        project="small",
        schema=found.schema,
        transforms=found.transforms,
        target_transform=found.target_transform,
        sources=found.sources,
        golden=found.golden,
        model_files={bundle.MODEL: base / bundle.MODEL, OUTCOME: document},
        hyperparameters={},
        metrics={},
        libraries={},
        parent=found.manifest.digest,
    )


def code(directory: Path) -> dict[str, bytes]:
    """The archive of quick_training, with a bundle that wins and one that loses."""
    (directory / "train.py").write_text(PROGRAM)
    files = quick_training.code(directory)
    for name, deploy in (("win", True), ("lose", False)):
        if not (directory / name).exists():
            candidate(directory / "bundle", directory / name, deploy=deploy)
        for path in sorted((directory / name).rglob("*")):
            files[f"{name}/{path.relative_to(directory / name).as_posix()}"] = path.read_bytes()
    return files


class Deployed(Place):
    """A project that is deployed, and new rows."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, TOML)
        for name in ("win", "lose"):
            (directory / f"{name}.csv").write_text(ROWS)

    def retrain(self, name: str) -> Said:
        return self.run("retrain", "--data", str(self.directory / f"{name}.csv"))

    def line(self, name: str) -> str:
        """What status says of one thing."""
        found = re.search(rf"^  {name} +(.*)$", self.run("status").out, re.MULTILINE)
        return found[1] if found else ""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    directory = tmp_path_factory.mktemp("retrain")
    with ready(directory), pytest.MonkeyPatch.context() as patch:
        patch.setattr(package, "training_code", lambda: code(directory))
        place = Deployed(directory)
        before = place.retrain("win")
        assert before.code == 1
        assert "nothing is deployed that could go on learning" in before.err
        assert place.run("deploy").code == 0
        yield place


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (ROWS.replace("carrier", "carier"), "column 'carrier'"),
        (ROWS.replace("late", "later"), "the target is not there"),
        (ROWS.replace("false", "perhaps"), "A class that is new cannot be learnt by going on"),
        (ROWS.replace("90,", "far,"), "column 'distance'"),
    ],
)
def test_rows_of_another_kind_are_refused_before_anything_is_uploaded(
    place: Deployed, rows: str, told: str
) -> None:
    (place.directory / "bad.csv").write_text(rows)
    said = place.retrain("bad")
    assert said.code == 1
    assert told in said.err
    assert "bad.csv" in said.err
    assert "[2/" not in said.out


def test_a_model_that_loses_is_told_and_the_deployed_one_stays(place: Deployed) -> None:
    before = place.line("config")
    said = place.retrain("lose")
    assert said.code == 0, said.err
    assert f"{WORDS}: the deployed model stays" in said.out
    assert "small: the deployed model stays" in said.out
    assert "it has forgotten nothing" in said.out
    assert "Column 'carrier': 40.0% are new." in said.out
    assert place.line("config") == before
    assert place.line("last job").endswith("not deployed")
    assert place.run("plan").out.rstrip().endswith("No changes.")


def test_the_same_command_again_trains_nothing_and_says_the_same(place: Deployed) -> None:
    said = place.retrain("lose")
    assert said.code == 0
    assert "create" not in said.out
    assert f"{WORDS}: the deployed model stays" in said.out


def test_a_model_that_answers_wrongly_is_taken_back_and_forgotten(
    place: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = place.line("config")
    monkeypatch.setattr("infra.smoke.differs", lambda got, wanted: "score is 0, not 1")
    said = place.retrain("win")
    assert said.code == 1
    assert "golden row 0 came back different" in said.err
    assert place.line("config") == before
    assert place.line("retrained") == ""
    assert place.run("plan").out.rstrip().endswith("No changes.")


def test_a_model_that_wins_serves_and_deploy_keeps_it(place: Deployed) -> None:
    before = place.line("bundle")
    said = place.retrain("win")
    assert said.code == 0, said.err
    assert f"{WORDS}: deployed" in said.out
    assert "update endpoint small" in said.out
    assert "small: the new model serves and is verified" in said.out
    assert place.line("bundle") != before
    assert place.line("retrained").startswith("from small-")
    again = place.run("deploy").out
    assert "No changes: small is InService" in again
    assert "checkpoints" not in again  # the project's own job's, not the retraining's
    assert place.run("plan").out.rstrip().endswith("No changes.")


def test_the_winner_again_is_found_in_its_place(place: Deployed) -> None:
    said = place.retrain("win")
    assert said.code == 0, said.err
    assert "create" not in said.out
    assert "update" not in said.out
    assert "small: the new model serves and is verified" in said.out


def test_ctrl_c_leaves_the_job_running_and_the_same_command_attaches_to_it(place: Deployed) -> None:
    gate = place.directory / "gate"
    gate.touch()
    (place.directory / "lose.csv").write_text(ROWS + "1,B1,true\n")
    program = (
        "import sys\nfrom tests.infra import test_retrain_command as it\n"
        "sys.exit(it.process(sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(place.directory), str(place.project)],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert any("go on" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        gate.unlink()
    assert process.returncode == 130
    assert "goes on by itself" in err
    assert f"DATA={place.directory / 'lose.csv'}" in err
    assert "Traceback" not in err
    said = place.retrain("lose")
    assert said.code == 0, said.err
    assert "create training job" not in said.out


def process(arguments: list[str]) -> int:
    """retrain in a process of its own."""
    from infra.__main__ import program

    directory = Path(arguments[0])
    with installed(directory), pytest.MonkeyPatch.context() as patch:
        patch.setattr(package, "training_code", lambda: code(directory))
        words = ["retrain", "--project", arguments[1], "--data", str(directory / "lose.csv")]
        return program(words)


def test_an_outcome_reads_back_as_it_was_written() -> None:
    made = outcome("c" * 64, deploy=True)
    assert Outcome.from_json(made.to_json()) == made
    changed = dataclasses.replace(made.decision, deploy=False)
    assert Outcome.from_json(dataclasses.replace(made, decision=changed).to_json()) != made
