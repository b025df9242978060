"""Trials as they are read from a tuning job's children or a job's log, and as they are shown."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from infra import table, trials
from infra.keeping import keep_best
from infra.progress import Lines, Screen
from infra.trials import Trial
from infra.tuning import TuningJob
from shared.errors import DeploymentError
from tests.support import projects
from tests.support.deployments import wanted
from tests.support.fake_cloud import FakeCloud

BEGUN = datetime(2030, 1, 1, tzinfo=UTC)


class Children(FakeCloud):
    """A cloud in which one tuning job has these children."""

    def __init__(self, *summaries: dict[str, Any]) -> None:
        super().__init__()
        for number, summary in enumerate(summaries, start=1):
            self.jobs[f"job-{number}"] = {
                "TrainingJobName": f"job-{number}",
                "TrainingJobStatus": "Completed",
                "TunedHyperParameters": {},
                "TuningJob": "search",
                **summary,
            }


def loss(value: float) -> dict[str, Any]:
    return {"FinalHyperParameterTuningJobObjectiveMetric": {"MetricName": "m", "Value": value}}


def trial(number: int, value: float | None = None, **changes: Any) -> Trial:
    return replace(Trial(number, "finished", {"dropout": f"0.{number}"}, value), **changes)


def test_children_come_from_all_pages_in_the_order_in_which_they_began() -> None:
    found = trials.children(Children(*[loss(0.1)] * 5), ["search"])
    assert [one.job for one in found] == ["job-1", "job-2", "job-3", "job-4", "job-5"]
    assert [one.number for one in found] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("InProgress", "runs"),
        ("Completed", "finished"),
        ("Stopped", "pruned"),
        ("Failed", "failed"),
    ],
)
def test_a_childs_status_is_a_trials_state(status: str, state: str) -> None:
    (found,) = trials.children(Children({"TrainingJobStatus": status}), ["search"])
    assert found.state == state


def test_a_childs_values_are_read_as_people_write_them() -> None:
    values = {
        "learning_rate": "0.00123456789",
        "activation": '"relu"',
        "layers": '"auto"',
        "batch_norm": "true",
        "_tuning_objective_metric": "val_loss",
    }
    (found,) = trials.children(Children({"TunedHyperParameters": values}), ["search"])
    assert found.values == {
        "activation": "relu",
        "batch_norm": "true",
        "layers": "auto",
        "learning_rate": "0.001235",
    }


def test_a_tuning_job_has_so_many_children_as_asked_or_as_a_grid_has_combinations() -> None:
    lists = [{"Name": "a", "Values": ["1", "2"]}, {"Name": "b", "Values": ["1", "2", "3"]}]
    config: dict[str, Any] = {"ParameterRanges": {"CategoricalParameterRanges": lists}}
    assert trials.asked_for({"ResourceLimits": {}, **config}) == 6
    assert trials.asked_for({"ResourceLimits": {"MaxNumberOfTrainingJobs": 4}, **config}) == 4


def test_a_child_that_runs_has_trained_until_now() -> None:
    running = {"TrainingJobStatus": "InProgress", "TrainingStartTime": BEGUN}
    ended = {"TrainingStartTime": BEGUN, "TrainingEndTime": BEGUN + timedelta(seconds=5)}
    found = trials.children(Children(running, ended), ["search"], BEGUN + timedelta(seconds=9))
    assert [one.seconds for one in found] == [9, 5]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "[trial] 3/12 val_loss=0.4100 best=0.4000 {dropout=0.2, activation=relu}",
            Trial(3, "finished", {"dropout": "0.2", "activation": "relu"}, 0.41),
        ),
        (
            "[trial] 4/12 val_loss=0.5 best=0.4 {dropout=0.3} pruned",
            Trial(4, "pruned", {"dropout": "0.3"}, 0.5),
        ),
        ("[trial] 5/12 val_loss=inf best=0.4 {lr=1} failed", Trial(5, "failed", {"lr": "1"})),
        ("[metric] epoch=3 val_loss=0.4", None),
        ("[stage] tune 12 trials", None),
    ],
)
def test_a_line_of_a_job_tells_of_a_trial(line: str, expected: Trial | None) -> None:
    assert trials.from_line(line) == expected


def test_a_jobs_trials_are_those_of_its_log_each_once() -> None:
    first = "[trial] 1/2 val_loss=0.5 best=0.5 {dropout=0.1}"
    second = "[trial] 2/2 val_loss=0.4 best=0.4 {dropout=0.2}"
    found = trials.from_lines([second, first, "noise", first])
    assert [one.loss for one in found] == [0.5, 0.4]


def test_the_best_is_the_finished_one_of_the_lowest_loss_and_the_earliest_of_equals() -> None:
    found = [trial(1, 0.5), trial(2, 0.4), trial(3, 0.4), trial(4, 0.1, state="pruned"), trial(5)]
    assert trials.best(found) == found[1]
    assert trials.best([trial(1, state="failed")]) is None


def searched(cloud: FakeCloud, want: TuningJob) -> str:
    """A finished tuning job's name."""
    request: Any = want.request(1)
    cloud.create_hyper_parameter_tuning_job(**request)
    cloud.finish_search(want.name(1), "Completed")
    return want.name(1)


@pytest.fixture
def want(tmp_path: Path) -> TuningJob:
    toml = projects.TOML.replace("trials = 1", 'trials = 3\nwhere = "service"')
    found = wanted(tmp_path / "project", toml=toml).job
    assert isinstance(found, TuningJob)
    return found


def test_what_the_best_child_left_is_copied_bundle_last(want: TuningJob) -> None:
    cloud = FakeCloud()
    name = searched(cloud, want)
    winner = keep_best(cloud, [name], "bucket", "kept/output/model.tar.gz")
    assert winner.loss == 0.4
    assert cloud.objects["kept/output/model.tar.gz"].decode() == winner.job
    assert cloud.objects["kept/output/output.tar.gz"].decode() == winner.job
    assert list(cloud.objects)[-1] == "kept/output/model.tar.gz"


def test_a_child_without_a_report_is_kept_all_the_same(want: TuningJob) -> None:
    cloud = FakeCloud()
    name = searched(cloud, want)
    for key in [key for key in cloud.objects if key.endswith("output.tar.gz")]:
        del cloud.objects[key]
    keep_best(cloud, [name], "bucket", "kept/output/model.tar.gz")
    assert "kept/output/model.tar.gz" in cloud.objects


def test_the_best_of_a_search_that_went_on_may_be_of_its_first_part(want: TuningJob) -> None:
    cloud = FakeCloud()
    first = searched(cloud, want)
    cloud.losses = [0.7]
    request: Any = want.request(2)
    cloud.create_hyper_parameter_tuning_job(**request)
    cloud.finish_search(want.name(2), "Completed")
    winner = keep_best(cloud, [first, want.name(2)], "bucket", "kept/model.tar.gz")
    assert winner.job.startswith(f"{first}-0")


def test_where_no_child_finished_the_reason_of_one_is_told(want: TuningJob) -> None:
    cloud = FakeCloud()
    cloud.losses = [None, None]
    name = searched(cloud, want)
    with pytest.raises(DeploymentError) as caught:
        keep_best(cloud, [name], "bucket", "kept/model.tar.gz")
    assert "2 failed" in str(caught.value)
    assert "the loss is not finite" in str(caught.value)
    assert "kept/model.tar.gz" not in cloud.objects


def test_a_bundle_that_is_gone_is_passed_over(want: TuningJob) -> None:
    cloud = FakeCloud()
    name = searched(cloud, want)
    best = trials.best(trials.children(cloud, [name]))
    assert best
    (key,) = [key for key in cloud.objects if best.job in key and "model.tar.gz" in key]
    del cloud.objects[key]
    assert keep_best(cloud, [name], "bucket", "kept/model.tar.gz").loss == 0.5


def test_the_table_shows_what_varies_and_marks_the_best() -> None:
    same = {"epochs": "5"}
    found = [
        trial(1, 0.5, values={"dropout": "0.1", **same}, seconds=61.0),
        trial(2, 0.41, values={"dropout": "0.2", **same}, seconds=9.0),
        trial(3, state="runs", values={"dropout": "0.3", **same}, seconds=1.0),
    ]
    lines = table.lined(found).splitlines()
    assert lines[0].split() == ["trial", "state", "dropout", "time", "val_loss"]
    assert lines[1].split() == ["1", "finished", "0.1", "1", "min", "1", "s", "0.5"]
    assert lines[2].split()[0] == "★"
    assert lines[2].split()[-1] == "0.41"
    assert "running" in lines[3]


def test_a_table_higher_than_the_terminal_keeps_the_best_and_the_last() -> None:
    found = [trial(number, 1 / number if number != 2 else 0.0) for number in range(1, 41)]
    out = io.StringIO()
    Console(width=80, file=out).print(table.drawn(found, 20))
    numbers = [line.replace("★", "").split()[0] for line in out.getvalue().splitlines()[1:]]
    assert numbers == ["2", *(str(number) for number in range(31, 41))]


def test_plain_lines_tell_each_trial_once_when_it_has_ended() -> None:
    out = io.StringIO()
    shown = Lines(5, out)
    running, ended = trial(1, state="runs"), trial(1, 0.5, job="job-1")
    failed = trial(2, state="failed", reason="no rows")
    shown.trials([running], 4)
    assert out.getvalue() == ""
    shown.trials([trial(1)], 4)  # its status is known before its loss
    assert out.getvalue() == ""
    shown.trials([ended, trial(2, state="runs")], 4)
    shown.trials([ended, failed], 4)
    assert [line.strip() for line in out.getvalue().splitlines()] == [
        "trial 1/4 val_loss=0.5 best=0.5 {dropout=0.1}",
        "trial 2/4 best=0.5 {dropout=0.2} failed - no rows",
    ]


def test_the_screen_draws_the_table_below_the_bars_until_the_stage_ends() -> None:
    with Screen(3) as shown:
        shown.stage("train")
        shown.trials([trial(1, 0.5), trial(2, state="runs")], 4)
        out = io.StringIO()
        Console(width=80, file=out).print(*shown._bars.get_renderables())
        assert "trial 1/4" in " ".join(out.getvalue().split())
        assert "dropout" in out.getvalue()
        shown.done()
        assert shown._bars.table is None
