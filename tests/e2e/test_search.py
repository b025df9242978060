"""A search by the service with real trainings: begun, left alone, attached to, and deployed."""

from __future__ import annotations

import json
import random

import pytest

from tests.e2e.house import House, Said

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
PROJECT = "PROJECT=projects/searched"
TOML = """\
name = "searched-by-the-service"

[data]
source = "rows.csv"
target = "late"

[training]
hyperparameters = { epochs = 4, units = 16, batch_size = 64, learning_rate = 0.01 }

[tuning]
strategy = "bayesian"
where = "service"
trials = 3
parallel = 3
[tuning.space]
dropout = [0.0, 0.4]
l2 = { min = 1e-6, max = 1e-2, scale = "log" }
"""


def write(house: House) -> None:
    """A small project in which delays follow from distance and carrier."""
    chance = random.Random(0)
    rows = []
    for _ in range(600):
        distance, carrier = chance.randint(100, 2000), chance.choice("ABC")
        late = distance / 2000 + (carrier == "A") + chance.gauss(0, 0.3) > 0.8
        rows.append(f"{distance},{carrier},{str(late).lower()}")
    project = house.folder / "projects/searched"
    project.mkdir(parents=True)
    (project / "rows.csv").write_text("distance,carrier,late\n" + "\n".join(rows) + "\n")
    (project / "project.toml").write_text(TOML)


@pytest.fixture(scope="module")
def interrupted(house: House) -> Said:
    write(house)
    return house.interrupted("tune", PROJECT, at="running")


@pytest.fixture(scope="module")
def tuned(interrupted: Said, house: House) -> Said:
    said = house.make("tune", PROJECT)
    assert said.code == 0, said.err
    return said


@pytest.fixture(scope="module")
def deployed(tuned: Said, house: House) -> Said:
    said = house.make("deploy", PROJECT)
    assert said.code == 0, said.err
    return said


def test_ctrl_c_leaves_the_search_alone_and_says_so(interrupted: Said) -> None:
    assert interrupted.code != 0
    assert "The tuning job searched-by-the-" in interrupted.err
    assert "goes on by itself" in interrupted.err
    assert "make tune PROJECT=projects/searched" in interrupted.err


def test_the_next_one_attaches_and_shows_all_trials(tuned: Said, house: House) -> None:
    assert "attach tuning job" in tuned.out
    trials = json.loads((house.folder / "build/searched-by-the-service/trials.json").read_text())
    assert len(trials) == 3
    assert all(trial["loss"] > 0 for trial in trials if trial["state"] == "finished")
    assert tuned.out.count("★") == 1


def test_what_is_deployed_is_the_best_trial_and_nothing_was_trained_again(
    deployed: Said, house: House
) -> None:
    build = house.folder / "build/searched-by-the-service"
    trials = json.loads((build / "trials.json").read_text())
    finished = [trial for trial in trials if trial["state"] == "finished"]
    best = min(finished, key=lambda trial: trial["loss"])
    manifest = json.loads((build / "bundle/manifest.json").read_text())
    assert manifest["training_job"] == best["job"]
    assert "tuning job" not in deployed.out.split("[3/5]")[1].split("[4/5]")[0]
    assert "InService and verified" in deployed.out


def test_it_is_destroyed(deployed: Said, house: House) -> None:
    said = house.make("destroy", PROJECT)
    assert said.code == 0
    assert "tuning job" in said.out
