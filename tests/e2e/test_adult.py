"""The second project; its first deployment is interrupted and goes on."""

from __future__ import annotations

import pytest

from tests.e2e.house import House, Said

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
ADULT = "PROJECT=examples/adult"


@pytest.fixture(scope="module")
def interrupted(house: House) -> Said:
    return house.interrupted("deploy", ADULT, at="trial 1/")


@pytest.fixture(scope="module")
def deployed(interrupted: Said, house: House) -> Said:
    return house.make("deploy", ADULT)


def test_ctrl_c_says_how_things_stand_and_what_to_type(interrupted: Said) -> None:
    assert interrupted.code != 0
    assert "goes on by itself" in interrupted.err
    assert "make deploy PROJECT=examples/adult" in interrupted.err
    assert "Traceback" not in interrupted.err


def test_the_next_deploy_attaches_to_the_job_that_runs(deployed: Said) -> None:
    assert deployed.code == 0, deployed.err
    assert "attach training job" in deployed.out
    assert "create training job" not in deployed.out
    assert "adult is InService and verified" in deployed.out


def test_the_accuracy_is_what_the_readme_promises(deployed: Said) -> None:
    assert deployed.figure("test", "accuracy") >= 0.85


def test_it_is_destroyed(deployed: Said, house: House) -> None:
    assert house.make("destroy", ADULT).code == 0
