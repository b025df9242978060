"""A search by the service through the commands, in a real local cloud with real child jobs.

A child is a program that hands out a ready bundle and says a loss; all else is what is deployed.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator

import pytest

from infra import local
from tests.support import projects
from tests.support.quick_search import CHILD
from tests.support.quick_training import Place, Said, command, ready

pytestmark = pytest.mark.slow

TOML = projects.TOML.split("[sources")[0] + textwrap.dedent(
    """\
    [training]
    hyperparameters = { epochs = 3 }

    [tuning]
    strategy = "grid"
    where = "service"
    [tuning.space]
    dropout = ["auto", 0.1, 0.2, 0.3]
    """
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("search")
    (directory / "train.py").write_text(CHILD)
    with ready(directory):
        yield Place(directory, TOML)


@pytest.fixture(scope="module")
def planned(place: Place) -> Said:
    return place.run("plan")


@pytest.fixture(scope="module")
def tuned(planned: Said, place: Place) -> Said:
    said = place.run("tune")
    assert said.code == 0, said.err
    return said


@pytest.fixture(scope="module")
def deployed(tuned: Said, place: Place) -> Said:
    said = place.run("deploy")
    assert said.code == 0, said.err
    return said


def test_the_plan_names_the_search_and_what_is_kept_of_it(planned: Said) -> None:
    assert "create  tuning job" in planned.out
    assert "the best trial's is kept here" in planned.out


def test_trials_are_told_as_they_end_and_in_a_table_with_the_best_marked(tuned: Said) -> None:
    assert "[3/3] train" in tuned.out
    for number in range(1, 5):
        assert f"trial {number}/4" in tuned.out
    assert "the loss is not finite" in tuned.out
    closing = tuned.out.split("Searched: 3 finished, 1 failed")[1]
    (best,) = [line for line in closing.splitlines() if line.startswith("★")]
    assert best.split()[3:] == ["0.2", *best.split()[4:-1], "0.4"]
    assert "make deploy" in closing


def test_the_page_and_the_best_trials_report_are_on_this_machine(tuned: Said, place: Place) -> None:
    build = place.directory / "build/small"
    page = (build / "tuning.html").read_text()
    assert "the loss is not finite" in page
    assert page.count("<circle") == 3
    assert [trial["state"] for trial in json.loads((build / "trials.json").read_text())].count(
        "failed"
    ) == 1
    assert (build / "report.html").read_text() == "<html>0.2</html>"


def test_tuning_again_searches_nothing_again(tuned: Said, place: Place) -> None:
    again = place.run("tune")
    assert again.code == 0, again.err
    assert "create" not in again.out
    assert "Searched: 3 finished, 1 failed" in again.out


def test_deploying_serves_the_best_and_trains_nothing(deployed: Said) -> None:
    assert "create tuning job" not in deployed.out
    assert "small is InService and verified" in deployed.out
    assert "3 finished, 1 failed" in deployed.out


def test_status_and_logs_know_the_search(deployed: Said, place: Place) -> None:
    status = place.run("status").out
    assert "Completed (3 finished, 1 failed)" in status
    assert "val_loss=0.41" in place.run("logs", "--training").out


def test_a_search_inside_the_job_is_told_from_its_log(deployed: Said, place: Place) -> None:
    toml = TOML.replace('"small"', '"inside"').replace('where = "service"', 'where = "job"')
    project = projects.make(place.directory / "inside", toml).parent
    for _ in range(2):  # the second time nothing runs any more
        said = command("tune", "--project", str(project))
        assert said.code == 0, said.err
        assert "Searched: 1 finished, 1 stopped early" in said.out
        assert "trial 2: val_loss 0.5" in said.out
        assert "build/inside/report.html" in said.out
    assert command("destroy", "--project", str(project)).code == 0


def test_a_project_without_a_search_is_told_how_to_have_one(place: Place) -> None:
    toml = TOML.split("[tuning]")[0].replace('"small"', '"none"')
    project = projects.make(place.directory / "none", toml).parent
    said = command("tune", "--project", str(project))
    assert said.code == 1
    assert "asks for no search" in said.err
    assert "[tuning.space]" in said.err


def test_destroying_ends_it(deployed: Said, place: Place) -> None:
    said = place.run("destroy")
    assert "tuning job" in said.out
    assert local.find(place.directory / "cloud") is None
