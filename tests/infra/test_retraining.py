"""A retraining as values and steps: names by digest, what is deployed, what a deployment keeps."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from infra import prepare, project
from infra.channels import Channel, local_channel
from infra.package import digest_of, file_of
from infra.plan import plan
from infra.prepare import Continuation, prepare_retraining
from infra.project import Location, Settings
from infra.record import Record, RecordStore
from infra.resources import Desired, Retrained
from infra.retraining import deployed, job_of, kept, retraining
from infra.steps import Step
from infra.teardown import teardown
from shared.errors import DataError, DeploymentError
from shared.retraining import Retraining
from tests.support import projects
from tests.support.deployments import deploy, planned
from tests.support.fake_cloud import FakeCloud

NEW = "distance,carrier,late\n1,A0,true\n"


class Place:
    """A small project that is deployed in a cloud in memory, and some new rows."""

    def __init__(self, directory: Path, toml: str = projects.TOML) -> None:
        self.directory = directory
        self.cloud = FakeCloud()
        self.settings = self.read(toml)
        self.rows = directory / "new.csv"
        self.rows.write_text(NEW)
        deploy(self.cloud, self.wanted(), directory)

    def read(self, toml: str) -> Settings:
        return project.load(projects.make(self.directory / "project", toml))

    def wanted(self) -> Desired:
        """What the project asks for, the record looked at."""
        artifacts = prepare.make_artifacts(self.settings, self.cloud)
        want = prepare.desired(self.settings, artifacts, self.cloud.account)
        return kept(self.cloud, want, self.record) if self.cloud.buckets else want

    @property
    def store(self) -> RecordStore:
        return RecordStore(self.cloud, sorted(self.cloud.buckets)[0], self.settings.name)

    @property
    def record(self) -> Record:
        return self.store.load()

    def retraining(self) -> Continuation:
        rows = Location(str(self.rows), (self.rows,))
        serving = deployed(self.cloud, self.settings.name, self.record)
        return prepare_retraining(self.settings, self.cloud, rows, serving, self.record)

    def retrained(self) -> Continuation:
        """The job is done, its model won, and serves."""
        made = self.retraining()
        deploy(self.cloud, made.plan.desired, self.directory)
        self.store.change(lambda record: dataclasses.replace(record, retrained=made.retrained))
        return made


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr("infra.prepare.ROOT", tmp_path)
    return Place(tmp_path)


def steps(continued: Continuation) -> list[tuple[str, str]]:
    return [(step.action, step.kind) for step in continued.plan.steps]


def job(continued: Continuation) -> dict[str, Any]:
    return next(
        dict(s.call.parameters) for s in continued.plan.steps if s.stage == "train" and s.call
    )


def test_a_retraining_uploads_the_new_rows_trains_and_would_update_the_endpoint(
    place: Place,
) -> None:
    made = place.retraining()
    assert steps(made) == [
        *[("create", "object")] * 3,
        ("create", "training job"),
        ("create", "object"),
        ("create", "model package"),
        ("create", "model"),
        ("create", "endpoint config"),
        ("update", "endpoint"),
    ]
    assert made.plan.of("endpoint")[-1].traffic
    names = {Path(step.name).name for step in made.plan.of("upload")}
    assert names == {"project.json", "retraining.json", "new.csv"}
    assert not made.changed


def test_its_job_reads_the_model_the_new_rows_and_the_old_ones(place: Place) -> None:
    request = job(place.retraining())
    channels = {
        one["ChannelName"]: one["DataSource"]["S3DataSource"]["S3Uri"]
        for one in request["InputDataConfig"]
    }
    serving = deployed(place.cloud, "small", place.record)
    assert channels.keys() == {"model", "new", "train", "project"}
    assert channels["model"] == serving.data
    assert channels["train"] == dict(place.wanted().job.channels)["train"]  # type: ignore[union-attr]
    assert request["HyperParameters"].keys() == {
        "sagemaker_program",
        "sagemaker_submit_directory",
    }
    base = place.wanted().job.request(1)  # type: ignore[union-attr]
    assert request["CheckpointConfig"] != base["CheckpointConfig"]


@pytest.mark.parametrize("change", ["rows", "settings", "model"])
def test_other_rows_settings_or_model_make_another_job(place: Place, change: str) -> None:
    want, artifacts = place.wanted(), prepare.make_artifacts(place.settings, place.cloud)
    file = place.directory / "retraining.json"

    def name(rows: str = NEW, settings: Retraining = Retraining(), model: str = "s3://b/m") -> str:
        place.rows.write_text(rows)
        file.write_text(settings.to_json())
        new = local_channel("new", (place.rows,))
        return retraining(want, artifacts, file_of(file), new, model).job.name(1)

    changes: dict[str, dict[str, Any]] = {
        "rows": {"rows": NEW + "2,B1,false\n"},
        "settings": {"settings": Retraining(epochs=9)},
        "model": {"model": "s3://b/other"},
    }
    assert name() == name()
    assert name() != name(**changes[change])
    assert want.job.name(1) not in (name(), name(**changes[change]))


def test_the_settings_of_a_retraining_are_no_part_of_the_projects_own_training(
    place: Place,
) -> None:
    before = place.wanted().job.name(1)
    place.settings = place.read(projects.TOML + "\n[retraining]\nepochs = 3\nmargin = 0.01\n")
    assert place.settings.retraining == Retraining(epochs=3, margin=0.01)
    assert place.wanted().job.name(1) == before
    assert planned(place.cloud, place.wanted()).steps == ()


def test_a_job_that_runs_is_attached_to_and_a_failed_one_resumed(place: Place) -> None:
    made = place.retraining()
    place.cloud.create_training_job(**job(made))
    assert ("attach", "training job") in steps(place.retraining())
    place.cloud.finish_job(made.plan.job, "Failed")
    again = place.retraining()
    assert again.plan.job == f"{made.plan.job}-2"
    assert job(again)["CheckpointConfig"] == job(made)["CheckpointConfig"]
    assert again.retrained.job == again.plan.job


def test_a_winner_that_serves_leaves_nothing_for_the_same_command(place: Place) -> None:
    made = place.retrained()
    again = place.retraining()
    assert again.plan.steps == ()
    assert again.retrained == made.retrained


def test_a_loser_leaves_nothing_to_train_and_the_endpoint_as_it_was(place: Place) -> None:
    made = place.retraining()
    place.cloud.create_training_job(**job(made))
    place.cloud.finish_job(made.plan.job, "Completed")
    again = place.retraining()
    assert not again.plan.trains
    assert planned(place.cloud, place.wanted()).of("endpoint") == ()


def test_a_deployment_of_an_unchanged_project_keeps_the_retrained_model(place: Place) -> None:
    made = place.retrained()
    unchanged = planned(place.cloud, place.wanted())
    assert unchanged.steps == ()
    assert unchanged.job == made.retrained.job
    reasons = {item.name: item.reason for item in unchanged.unchanged}
    assert f"went on from {made.retrained.parent}" in reasons[made.retrained.job]


def test_when_the_project_changes_it_is_trained_anew_and_the_plan_says_what_gives_way(
    place: Place,
) -> None:
    made = place.retrained()
    place.settings = place.read(projects.TOML.replace("epochs = 1", "epochs = 2"))
    anew = planned(place.cloud, place.wanted())
    assert anew.trains
    last = anew.of("endpoint")[-1]
    assert last.action == "update"
    assert f"{made.retrained.job}, which was retrained, gives way" in last.reason


def test_a_second_retraining_goes_on_from_the_first_and_stays_with_the_same_project(
    place: Place,
) -> None:
    first = place.retrained()
    place.rows.write_text(NEW + "3,A1,false\n")
    second = place.retrained()
    assert second.retrained.parent == first.retrained.job
    assert second.retrained.base == first.retrained.base == place.wanted().job.name(1)
    assert planned(place.cloud, place.wanted()).steps == ()


def test_a_retrained_model_comes_back_after_a_destruction_that_left_the_data(
    place: Place,
) -> None:
    made = place.retrained()
    teardown(place.cloud, place.store, place.record, lambda _: None)
    again = deploy(place.cloud, place.wanted(), place.directory)
    assert not again.trains
    assert again.serving.model.data == made.retrained.data


def test_where_its_bundle_is_gone_the_projects_own_model_takes_its_place(place: Place) -> None:
    made = place.retrained()
    del place.cloud.objects[made.retrained.data.removeprefix("s3://").partition("/")[2]]
    again = planned(place.cloud, place.wanted())
    assert again.job == made.retrained.parent
    assert [step.kind for step in again.steps] == ["endpoint"]


def test_a_project_that_changed_since_is_told_and_its_new_form_is_still_trained_later(
    place: Place,
) -> None:
    place.settings = place.read(projects.TOML.replace("epochs = 1", "epochs = 2"))
    made = place.retraining()
    assert made.changed
    place.retrained()
    assert planned(place.cloud, place.wanted()).trains


def test_new_rows_in_s3_are_read_by_a_policy_of_their_own_that_goes_with_the_role(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = Channel("new", digest_of(b"rows"), uri="s3://lake/arrivals/")
    own = prepare.channel
    monkeypatch.setattr(
        "infra.prepare.channel",
        lambda name, *rest: elsewhere if name == "new" else own(name, *rest),
    )
    made = place.retraining()
    reading: Step = made.plan.steps[0]
    assert (reading.kind, reading.name) == ("role policy", place.wanted().role.name)
    assert reading.call is not None
    assert '"arn:aws:s3:::lake/arrivals/*"' in reading.call.parameters["PolicyDocument"]
    deploy(place.cloud, made.plan.desired, place.directory)
    assert planned(place.cloud, place.wanted()).of("upload") == ()
    place.cloud.call("iam", "put_role_policy", reading.call.parameters)
    teardown(place.cloud, place.store, place.record, lambda _: None)
    assert place.cloud.roles == {}


def test_without_an_endpoint_there_is_nothing_to_go_on_from(place: Place) -> None:
    place.cloud.endpoints.clear()
    with pytest.raises(DeploymentError, match=r"nothing is deployed.*make deploy"):
        place.retraining()


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"EndpointStatus": "Updating"}, "is Updating"),
        ({"EndpointStatus": "Failed"}, "is Failed"),
        ({"EndpointConfigName": "theirs"}, "which this project did not make"),
    ],
)
def test_an_endpoint_that_is_not_at_rest_or_not_ours_is_not_gone_on_from(
    place: Place, state: dict[str, str], message: str
) -> None:
    place.cloud.endpoints["small"] |= state
    with pytest.raises(DeploymentError, match=message):
        place.retraining()


def test_a_record_keeps_which_model_won(place: Place) -> None:
    retrained = Retrained("small-1", "small-2", "s3://b/2", "small-1", "s3://b/1")
    place.store.change(lambda record: dataclasses.replace(record, retrained=retrained))
    assert place.record.retrained == retrained
    assert place.record.having([]).without([]).retrained == retrained


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("s3://b/small/jobs/small-0123456789ab-2/output/model.tar.gz", "small-0123456789ab-2"),
        ("s3://b/small/jobs/small-0123456789ab/output/model.tar.gz", "small-0123456789ab"),
        ("s3://b/elsewhere/model.tar.gz", None),
    ],
)
def test_a_bundle_tells_which_job_left_it(data: str, name: str | None) -> None:
    assert job_of(data) == name


def test_a_plan_without_a_retraining_is_as_it_always_was(place: Place) -> None:
    want = dataclasses.replace(place.wanted(), retrained=None)
    assert plan(want, prepare.observe(place.cloud, want)).steps == ()


@pytest.mark.parametrize("given", ["", "no-such.csv"])
def test_rows_that_are_not_given_or_not_there_are_refused(given: str) -> None:
    from infra.commands.retrain import new_rows

    with pytest.raises(DataError):
        new_rows(given)


def test_a_model_that_waits_for_its_approval_does_not_end_the_line_it_belongs_to(
    place: Place,
) -> None:
    first = place.retrained()
    place.rows.write_text(NEW + "2,A1,false\n")
    waiting = place.retraining().retrained
    place.store.change(lambda record: dataclasses.replace(record, retrained=waiting))
    place.rows.write_text(NEW + "3,A1,false\n")
    third = place.retraining().retrained
    assert (third.parent, third.base) == (first.retrained.job, first.retrained.base)
