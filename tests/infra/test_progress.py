"""Progress: plain lines where nobody watches, and what a training log's lines become."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from infra.logs import LogTail, last_lines
from infra.progress import Lines, Screen, progress
from infra.steps import Wait
from infra.watch import Watch, _words
from tests.support.deployments import Clock
from tests.support.fake_cloud import FakeCloud

LOG = [
    "Epoch 1/5 noise of a library",
    "[stage] tune 2 trials",
    "[trial] 1/2 val_loss=0.5 best=0.5 {dropout=0.2}",
    "[metric] epoch=1 train_loss=0.6 val_loss=0.5",
    "[metric] epoch=4 val_loss=0.5 test_loss=0.51",
    "[diagnosis] The network over-fits.",
]


def watched(log: list[str]) -> str:
    cloud, out, clock = FakeCloud(), io.StringIO(), Clock()
    cloud.logs["job/algo-1-1"] = log
    cloud.jobs["job"] = {
        "TrainingJobStatus": "InProgress",
        "SecondaryStatus": "Training",
        "ModelArtifacts": {"S3ModelArtifacts": "s3://bucket/model.tar.gz"},
    }
    Watch(cloud, Lines(5, out), clock, clock.sleep).until(Wait("training", "job", 60))
    return out.getvalue()


def test_stages_trials_epochs_and_the_diagnosis_of_a_job_are_shown() -> None:
    shown = watched(LOG)
    assert "trial 1/2 val_loss=0.5 best=0.5 {dropout=0.2}" in shown
    assert "epoch 1 train_loss=0.6 val_loss=0.5" in shown
    assert "tune 2 trials" in shown
    assert "over-fits" in shown


def test_other_lines_and_the_closing_metrics_are_not() -> None:
    shown = watched(LOG)
    assert "noise" not in shown
    assert "test_loss" not in shown


def test_each_line_is_shown_once() -> None:
    assert watched(LOG).count("trial 1/2") == 1


def test_a_tail_gives_new_lines_only() -> None:
    cloud = FakeCloud()
    cloud.logs["job/1"] = ["a", "b"]
    tail = LogTail(cloud, "group", "job/")
    assert tail.new_lines() == ["a", "b"]
    assert tail.new_lines() == []
    cloud.logs["job/1"].append("c")
    assert tail.new_lines() == ["c"]


def test_the_last_lines_reach_back_over_streams() -> None:
    cloud = FakeCloud()
    cloud.logs = {"1": ["a", "b"], "2": ["c"]}
    assert last_lines(cloud, "group", "", 2) == ["b", "c"]
    assert last_lines(cloud, "group", "none", 2) == []


def test_lines_of_metrics_are_left_out_and_count_for_nothing() -> None:
    cloud = FakeCloud()
    cloud.logs["a"] = ["said", *['{"_aws":{"Timestamp":1}}'] * 40, "last"]
    assert last_lines(cloud, "group", "", 2) == ["said", "last"]
    assert LogTail(cloud, "group").new_lines() == ["said", "last"]


def test_without_a_terminal_there_are_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    assert isinstance(progress(5), Lines)


@pytest.mark.parametrize(("no_color", "kind"), [(True, Lines), (False, Screen)])
def test_a_terminal_gets_bars_unless_no_color_is_set(
    monkeypatch: pytest.MonkeyPatch, *, no_color: bool, kind: type
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    assert isinstance(progress(5), kind)


def test_plain_lines_never_hold_control_characters() -> None:
    out = io.StringIO()
    with Lines(2, out) as shown:
        shown.stage("train")
        shown.advance("bytes", 1, 2)
        shown.advance("trial", 1, 4, "best=0.5")
        shown.status("InProgress")
        shown.status("InProgress")
        shown.done("3 files")
    text = out.getvalue()
    assert text.isprintable() or set(text) - {"\n"} == set(text.replace("\n", ""))
    assert "\r" not in text
    assert "\x1b" not in text
    assert text.count("InProgress") == 1
    assert "bytes" not in text


def test_the_screen_shows_stages_and_survives_markup(capsys: pytest.CaptureFixture[str]) -> None:
    with Screen(2) as shown:
        shown.stage("train")
        shown.status("Training")
        shown.advance("trial", 1, 4, "{dropout=[0.2]}")
        shown.advance("epoch", 1, None, "val_loss=0.5")
        shown.line("a [bold]line[/] of somebody else")
        shown.done("training job [x] is complete")
    text = capsys.readouterr().out
    assert "a [bold]line[/] of somebody else" in text
    assert "training job [x] is complete" in text


def test_on_a_narrow_terminal_the_time_stays_and_the_text_is_cut() -> None:
    with Screen(5) as shown:
        shown.stage("train")
        shown.status("Downloading " * 9)
        shown.advance("trial", 11, 24, "val_loss=0.5 best=0.5 {dropout=0.2, learning_rate=0.003}")
        shown.advance("epoch", 7, None, "val_loss=0.5 " * 9)
        out = io.StringIO()
        Console(width=60, file=out).print(shown._bars.make_tasks_table(shown._bars.tasks))
    lines = out.getvalue().splitlines()
    assert len(lines) == 3
    for line, count in zip(lines, ("1/5 train", "trial 11/24", "epoch 7"), strict=True):
        assert count in " ".join(line.split())
        assert "0:00:00" in line
        assert "…" in line
    assert "━" in lines[1]
    assert "━" not in lines[0] + lines[2]


def test_of_a_job_s_status_only_the_word_is_shown() -> None:
    job = {
        "TrainingJobStatus": "InProgress",
        "SecondaryStatus": "Training",
        "SecondaryStatusTransitions": [{"StatusMessage": "Training image download completed."}],
    }
    assert _words(job) == "Training"


def test_empty_pages_of_a_log_are_passed_over() -> None:
    cloud = FakeCloud()
    cloud.sparse = True
    cloud.logs["job/1"] = ["a"]
    tail = LogTail(cloud, "group", "job/")
    assert [*tail.new_lines(), *tail.new_lines()] == ["a"]


def test_the_last_lines_are_found_behind_many_streams() -> None:
    cloud = FakeCloud()
    cloud.logs = {f"{number:03}": [str(number)] for number in range(120)}
    assert last_lines(cloud, "group", "", 1) == ["119"]


def test_no_lines_asked_for_are_none() -> None:
    cloud = FakeCloud()
    cloud.logs = {"1": ["a"]}
    assert last_lines(cloud, "group", "", 0) == []
    assert "get_log_events" not in cloud.calls
