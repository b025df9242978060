"""tune and retrain on AWS: they show what they will do, ask, and look at quotas, as deploy does."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from infra import prepare, project
from infra.record import RecordStore
from infra.resources import desired
from shared.retraining import OUTCOME, Decision, Outcome, Retraining
from tests.support import projects
from tests.support.deployments import deploy
from tests.support.fake_cloud import FakeCloud
from tests.support.quick_training import Said, command

TRAINING = "ml.m5.xlarge for training job usage"
SEARCH = projects.TOML.replace("trials = 1", 'trials = 2\nwhere = "service"')


class Place:
    """A project on AWS, new rows, and somebody (or nobody) at a terminal."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.cloud = FakeCloud(local=False)
        self.file = projects.make(directory / "project", projects.TOML)
        self.rows = directory / "new.csv"
        self.rows.write_text("distance,carrier,late\n1,A0,true\n")
        self.asked: list[str] = []
        self._patch = monkeypatch

    def deployed(self) -> None:
        settings = project.load(self.file)
        artifacts = prepare.make_artifacts(settings, self.cloud)
        deploy(self.cloud, desired(settings, artifacts, self.cloud.account), self.directory)

    def ended(self, *, wins: bool) -> None:
        """What the job of a retraining says."""
        said = Outcome(
            champion="c" * 64,
            settings=Retraining(),
            rows={"training": 21},
            scores={},
            shifts=(),
            decision=Decision("auc", 0.6, 0.7, 0.1, 0.01, 6, wins, "it was close"),
            memory="it has forgotten nothing",
        )
        (self.directory / OUTCOME).write_text(said.to_json())

    def answering(self, answer: str) -> None:
        terminal = io.StringIO()
        terminal.isatty = lambda: True  # type: ignore[method-assign]
        self._patch.setattr("sys.stdin", terminal)
        self._patch.setattr(
            "builtins.input", lambda question: self.asked.append(question) or answer
        )

    def run(self, name: str, *words: str) -> Said:
        rows = ("--data", str(self.rows)) if name == "retrain" else ()
        return command(name, "--project", str(self.file), "--target", "aws", *rows, *words)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    place = Place(tmp_path, monkeypatch)
    bundle = SimpleNamespace(
        path=tmp_path, schema=None, manifest=SimpleNamespace(digest="d" * 64, metrics={})
    )
    changes = {
        "sys.stdin": io.StringIO(),
        "infra.prepare.has_docker": lambda: True,
        "infra.prepare.ROOT": tmp_path,
        "infra.package.ROOT": tmp_path,
        "infra.package.training_code": lambda: {"train.py": b"code"},
        "infra.package.image_code": lambda: {"serve.py": b"code"},
        "infra.aws.find": lambda target, aws: place.cloud,
        "infra.aws.connect": lambda target, aws: place.cloud,
        "infra.outputs.fetch_bundle": lambda *where: bundle,
        "infra.outputs.fetch_report": lambda *where: None,
        "infra.check.check_new": lambda *rows: None,
    }
    for name, value in changes.items():
        monkeypatch.setattr(name, value)
    monkeypatch.setattr(place.cloud, "client", lambda service: None)
    return place


@pytest.mark.parametrize("toml", [projects.TOML, SEARCH], ids=["job", "service"])
def test_a_search_shows_what_it_would_do_and_without_a_terminal_starts_nothing(
    place: Place, toml: str
) -> None:
    place.file.write_text(toml)
    said = place.run("tune")
    assert said.code == 1
    kind = "tuning job" if toml == SEARCH else "training job"
    assert kind in said.out
    assert "Cost of the training" in said.out
    assert "Cost of the endpoint" not in said.out
    assert "`make tune PROJECT=" in said.err
    assert "YES=1" in said.err
    assert place.cloud.state == FakeCloud().state


@pytest.mark.parametrize("name", ["tune", "retrain"])
def test_no_means_that_nothing_is_changed(place: Place, name: str) -> None:
    if name == "retrain":
        place.deployed()
    before = set(place.cloud.jobs), set(place.cloud.configs)
    place.answering("n")
    said = place.run(name)
    assert said.code == 1
    assert len(place.asked) == 1
    assert "Nothing was changed." in said.out
    assert (set(place.cloud.jobs), set(place.cloud.configs)) == before


@pytest.mark.parametrize("words", [(), ("--yes",)], ids=["answered", "said beforehand"])
def test_yes_starts_the_search(place: Place, words: tuple[str, ...]) -> None:
    place.answering("y")
    place.cloud.job_ends = "Failed"
    said = place.run("tune", *words)
    assert len(place.asked) == (0 if words else 1)
    assert "the data has no rows" in said.err
    assert place.cloud.jobs


@pytest.mark.parametrize("name", ["tune", "retrain"])
def test_a_quota_that_is_too_small_is_told_before_anything_is_asked(
    place: Place, name: str
) -> None:
    if name == "retrain":
        place.deployed()
    before = set(place.cloud.jobs)
    place.answering("y")
    place.cloud.quotas = {TRAINING: 0}
    said = place.run(name)
    assert said.code == 1
    assert TRAINING in said.err
    assert (place.asked, set(place.cloud.jobs)) == ([], before)


def test_a_retraining_says_that_the_endpoint_changes_only_for_a_better_model(place: Place) -> None:
    place.deployed()
    said = place.run("retrain")
    assert said.code == 1
    assert "only if the new model wins" in said.out
    assert f"DATA={place.rows} YES=1" in said.err


def test_a_retraining_that_runs_no_more_asks_only_before_its_model_serves(place: Place) -> None:
    place.deployed()
    place.ended(wins=False)
    place.answering("y")
    assert place.run("retrain").code == 0
    assert len(place.asked) == 1
    assert place.run("retrain").code == 0
    assert len(place.asked) == 1

    place.ended(wins=True)
    place.answering("n")
    said = place.run("retrain")
    assert len(place.asked) == 2
    assert (said.code, "Nothing was changed." in said.out) == (1, True)
    bucket = sorted(place.cloud.buckets)[0]
    assert RecordStore(place.cloud, bucket, "small").load().retrained is None
