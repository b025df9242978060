"""The whole job: what it prints, what it leaves, and how it fails."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from shared import bundle
from shared.errors import DataError
from shared.hyperparameters import Choice, Hyperparameters, metric_definitions
from shared.problem import Problem, Split, Tuning
from shared.schema import Column, Task
from shared.transforms import Transforms
from tests.support import jobs
from training import data, environment, train
from training.data import Data
from training.preparation import Prepared, cross_validation, prepare

slow = pytest.mark.slow


def run(base: Path) -> int:
    """The exit code of a job in this process."""
    try:
        train.main(["--base", str(base)])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def failure(base: Path) -> str:
    return (base / "output/failure").read_text()


def weights(base: Path) -> list[bytes]:
    with np.load(base / "model/weights.npz", allow_pickle=False) as arrays:
        return [arrays[name].tobytes() for name in arrays.files]


def prepared_for(base: Path, table: pa.Table, project: Problem) -> tuple[Data, Prepared]:
    """The data of a job, and what its trials would start from."""
    job = environment.read(["--base", str(jobs.tree(base, table, project))])
    found = data.read(job, project)
    return found, prepare(job, project, found, Hyperparameters())


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, tensorflow: Any) -> tuple[Path, list[str]]:
    """A searched and trained job, and the lines that it printed."""
    import contextlib
    import io

    base = jobs.tree(tmp_path_factory.mktemp("job"), project=jobs.problem(tuning=jobs.SEARCH))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert run(base) == 0
    return base, printed.getvalue().splitlines()


@slow
def test_the_stages_are_announced_in_the_order_of_the_chapter(done: tuple[Path, list[str]]) -> None:
    stages = [line.split()[1] for line in done[1] if line.startswith("[stage]")]
    assert stages == [
        "read", "split", "transforms", "tune", "fit", "evaluate", "export", "bundle",
    ]  # fmt: skip


@slow
def test_each_trial_and_each_epoch_has_its_line(done: tuple[Path, list[str]]) -> None:
    trials = [line for line in done[1] if line.startswith("[trial]")]
    shape = r"\[trial\] [12]/2 val_loss=[0-9.]+ best=[0-9.]+ \{dropout=\S+, learning_rate=\S+\}.*"
    assert len(trials) == 2
    assert all(re.fullmatch(shape, line) for line in trials)
    epochs = [line for line in done[1] if line.startswith("[metric]")]
    assert [line.split()[1] for line in epochs[:3]] == ["epoch=1", "epoch=2", "epoch=3"]


@slow
def test_the_final_fit_repeats_the_best_trial(done: tuple[Path, list[str]]) -> None:
    trials = [line for line in done[1] if line.startswith("[trial]")]
    epochs = [line for line in done[1] if line.startswith("[metric] epoch=")]
    losses = [float(line.partition("val_loss=")[2].split()[0]) for line in epochs]
    assert f" best={min(losses):.4f} " in trials[-1]


@slow
def test_sagemakers_metric_definitions_read_every_metric_line(done: tuple[Path, list[str]]) -> None:
    text = "\n".join(done[1])
    found = {d["Name"]: re.findall(d["Regex"], text) for d in metric_definitions()}
    for name in ("train_loss", "val_loss", "val_auc", "test_auc", "test_accuracy"):
        assert found[name], name
        assert all(0 <= float(value) < 10 for value in found[name])


@slow
def test_the_result_is_the_last_line(done: tuple[Path, list[str]]) -> None:
    kind, _, text = done[1][-1].partition(" ")
    result = json.loads(text)
    assert kind == "[result]"
    assert result["test"]["auc"] > 0.9
    assert result["trials"] == 2
    assert result["bundle"] == bundle.load(done[0] / "model").manifest.digest


@slow
def test_the_bundle_answers_as_training_computed(done: tuple[Path, list[str]]) -> None:
    from training import export

    found = bundle.load(done[0] / "model")
    found.verify(export.run_onnx((done[0] / "model/model.onnx").read_bytes()))
    assert found.manifest.metrics.keys() == {"validation", "test", "baseline"}
    assert found.manifest.metrics["baseline"]["auc"] == 0.5
    assert found.manifest.libraries["keras"]
    assert found.schema.target.classes == (False, True)
    assert {table.source.name for table in found.sources} == {"shop"}


@slow
def test_the_report_and_its_figures_are_left_for_output(done: tuple[Path, list[str]]) -> None:
    folder = done[0] / "output/data"
    figures = json.loads((folder / "figures.json").read_text())
    assessment = figures["assessment"]
    assert assessment["scores"]["test"]["auc"] > 0.9
    assert assessment["baseline"]["test"]["auc"] == 0.5
    quality = json.loads((folder / "metrics.json").read_text())["binary_classification_metrics"]
    assert quality["auc"]["value"] == pytest.approx(assessment["scores"]["test"]["auc"])
    assert (folder / "constraints.json").is_file()
    assert len(json.loads((folder / "trials.json").read_text())) == 2
    assert figures["resolved"].items() >= {"taper": False, "numeric_bins": 48}.items()
    assert "<svg" in (folder / "report.html").read_text()
    assert not (done[0] / "output/failure").exists()


@slow
def test_a_finished_job_started_again_repeats_nothing_and_ends_the_same(
    done: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    before = weights(done[0])
    assert run(done[0]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("going on after epoch 3" in line for line in lines)
    assert sum(line.startswith("[metric]") for line in lines) == 1
    assert weights(done[0]) == before
    assert lines[-1].partition('"validation"')[2] == done[1][-1].partition('"validation"')[2]


@slow
@pytest.mark.usefixtures("tensorflow")
@pytest.mark.parametrize(("task", "metric"), [("multiclass", "accuracy"), ("regression", "r2")])
def test_the_other_tasks_train_too(task: Task, metric: str, tmp_path: Path) -> None:
    settings = {**jobs.QUICK, "epochs": 12, "learning_rate": 0.01}
    base = jobs.tree(tmp_path, project=jobs.problem(task), hyperparameters=settings)
    assert run(base) == 0
    assert bundle.load(base / "model").manifest.metrics["test"][metric] > 0.7


def with_other(part: str) -> pa.Table:
    """The rows of one split are all different: numbers, levels and targets."""
    table = jobs.table()
    there = np.array(table["part"].to_pylist()) == part
    price, weight = table["price"].to_numpy(), table["weight"].to_numpy()
    for name, column in {
        "price": np.where(there, 9 - 3 * price, price),
        "weight": pa.array(np.where(there, 10 * weight, weight), from_pandas=True),
        "fruit": np.where(there, "durian", table["fruit"].to_pylist()),
    }.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(column))
    return table


@slow
@pytest.mark.usefixtures("tensorflow")
def test_the_test_rows_decide_their_own_score_and_nothing_else(tmp_path: Path) -> None:
    project = jobs.problem("regression", tuning=jobs.SEARCH)
    bases = [
        jobs.tree(tmp_path / name, table, project)
        for name, table in {"a": jobs.table(), "b": with_other("test")}.items()
    ]
    assert [run(base) for base in bases] == [0, 0]
    for name in ("model/transforms.json", "model/golden.json", "output/data/trials.json"):
        assert (bases[0] / name).read_bytes() == (bases[1] / name).read_bytes(), name
    assert weights(bases[0]) == weights(bases[1])
    first, second = (bundle.load(base / "model").manifest.metrics for base in bases)
    assert first["validation"] == second["validation"]
    assert first["test"]["rmse"] < 2 < second["test"]["rmse"]


@slow
@pytest.mark.usefixtures("tensorflow")
def test_nothing_is_fitted_on_validation_rows(tmp_path: Path) -> None:
    project, prepared = jobs.problem("regression"), []
    for name, table in {"a": jobs.table(), "b": with_other("validation")}.items():
        job = environment.read(["--base", str(jobs.tree(tmp_path / name, table, project))])
        found = data.read(job, project)
        prepared.append(prepare(job, project, found, Hyperparameters()))
    first, second = prepared
    assert first.transforms == second.transforms
    assert first.target_transform == second.target_transform
    assert [mask.tolist() for mask in first.shape.seen] == [
        mask.tolist() for mask in second.shape.seen
    ]


@slow
@pytest.mark.usefixtures("tensorflow")
def test_a_trial_that_diverges_does_not_end_the_job(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search = dataclasses.replace(
        jobs.SEARCH,
        trials=3,
        space={"learning_rate": Choice((0.001, 0.01, 10.0)), "optimizer": Choice(("sgd",))},
    )
    settings = {**jobs.QUICK, "optimizer": "sgd", "learning_rate": 10.0, "layers": 3, "units": 256}
    project = jobs.problem("regression", tuning=search)
    base = jobs.tree(tmp_path, project=project, hyperparameters=settings)
    assert run(base) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("[trial] 1/3") and line.endswith("failed") for line in lines)
    assert json.loads(lines[-1].removeprefix("[result] "))["failed_trials"] >= 1


@slow
@pytest.mark.usefixtures("tensorflow")
def test_every_combination_of_a_grid_is_tried_in_folds_and_told_beforehand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search = Tuning(
        strategy="grid",
        folds=3,
        parallel=1,
        space={"learning_rate": Choice((0.001, 0.01)), "dropout": Choice((0.0, 0.2))},
    )
    base = jobs.tree(tmp_path, project=jobs.problem("regression", tuning=search))
    assert run(base) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "[stage] tune 4 trials, grid, 3 folds each" in lines
    assert sum(line.startswith("[trial] ") for line in lines) == 4
    trials = json.loads((base / "output/data/trials.json").read_text())
    assert all(np.shape(trial["losses"]) == (3, 3) for trial in trials)
    assert "± between folds" in (base / "output/data/report.html").read_text()


@slow
@pytest.mark.usefixtures("tensorflow")
def test_the_transforms_of_a_fold_are_fitted_on_its_own_training_rows(tmp_path: Path) -> None:
    search = dataclasses.replace(jobs.SEARCH, folds=3)
    found, prepared = prepared_for(tmp_path, jobs.table(), jobs.problem(tuning=search))
    folds = cross_validation(prepared)
    for fold in folds:
        own = Transforms.fit(fold.found.train.columns, found.schema.features)
        assert fold.transforms.to_json() == own.to_json()
        assert fold.target_transform is prepared.target_transform
        assert fold.rows["validation"].target.shape == fold.found.validation.target.shape
    assert len({fold.transforms.to_json() for fold in [prepared, *folds]}) == 4


@slow
@pytest.mark.usefixtures("tensorflow")
def test_a_fold_that_cannot_be_fitted_is_named(tmp_path: Path) -> None:
    table = jobs.table()
    weight = [None if row < 150 else 1.0 * row for row in range(600)]
    how = Split(
        "time",
        time="day",
        validation_from="1970-01-01T00:00:00.000400Z",
        test_from="1970-01-01T00:00:00.000500Z",
    )
    search = dataclasses.replace(jobs.SEARCH, folds=4)
    project = jobs.problem(tuning=search, split=how)
    _, prepared = prepared_for(tmp_path, table.set_column(0, "weight", pa.array(weight)), project)
    with pytest.raises(DataError, match=r"weight.*fold 1 of 4: .*fewer folds"):
        cross_validation(prepared)


@slow
@pytest.mark.usefixtures("tensorflow")
def test_the_report_counts_the_weights_that_l1_drove_to_zero(tmp_path: Path) -> None:
    settings = {**jobs.QUICK, "l1": 0.01, "epochs": 10}
    base = jobs.tree(tmp_path, hyperparameters=settings)
    assert run(base) == 0
    facts = json.loads((base / "output/data/figures.json").read_text())["facts"]
    zero, total = re.findall(r"[\d,]+", facts["weights that L1 drove to zero"])[:2]
    assert int(zero.replace(",", "")) > int(total.replace(",", "")) / 4


@slow
@pytest.mark.usefixtures("tensorflow")
def test_a_trial_trains_for_the_epochs_that_it_tries(tmp_path: Path) -> None:
    search = dataclasses.replace(jobs.SEARCH, trials=4, space={"epochs": Choice((2, 6))})
    settings = {**jobs.QUICK, "patience": 10}
    base = jobs.tree(tmp_path, project=jobs.problem(tuning=search), hyperparameters=settings)
    assert run(base) == 0
    trials = json.loads((base / "output/data/trials.json").read_text())
    tried = {(trial["values"]["epochs"], len(trial["losses"])) for trial in trials}
    assert tried == {(2, 2), (6, 6)}


@slow
@pytest.mark.usefixtures("tensorflow")
def test_doubly_encoded_hyperparameters_are_understood(tmp_path: Path) -> None:
    strings = {name: json.dumps(value) for name, value in {**jobs.QUICK, "epochs": 1}.items()}
    base = jobs.tree(tmp_path, hyperparameters={**strings, "activation": json.dumps("prelu")})
    assert run(base) == 0
    found = bundle.load(base / "model").manifest.hyperparameters
    assert found["activation"] == "prelu"
    assert found["epochs"] == 1


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"learning_rat": 0.1}, "'learning_rat': there is no such hyperparameter. Did you mean"),
        ({"dropout": 2}, "'dropout': 2 is not between 0 and 0.95"),
        ({"optimizer": "adamm"}, "Did you mean 'adam'?"),
    ],
)
def test_a_wrong_hyperparameter_is_named_in_the_failure_file(
    tmp_path: Path, hyperparameters: Mapping[str, object], message: str
) -> None:
    base = jobs.tree(tmp_path, hyperparameters=hyperparameters)
    assert run(base) == 1
    assert message in failure(base)
    assert not (base / "model").exists()


def test_bad_data_is_named_in_the_failure_file(tmp_path: Path) -> None:
    base = jobs.tree(tmp_path, jobs.table().drop_columns(["fruit"]))
    assert run(base) == 1
    assert "'fruit' is not a column" in failure(base)


def test_few_rows_to_score_on_are_told_as_soon_as_they_are_split(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = jobs.table(200).set_column(0, "weight", pa.nulls(200, pa.float64()))
    assert run(jobs.tree(tmp_path, table)) == 1  # ends at the transforms, without TensorFlow
    lines = [line for line in capsys.readouterr().out.splitlines() if "[warning]" in line]
    assert len(lines) == 1
    assert re.fullmatch(
        r"\[warning\] Scores on \d\d validation and \d\d test rows say little: .*", lines[0]
    )


def test_a_column_that_gives_the_answer_away_is_told_before_anything_is_fitted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = jobs.table()
    copy = table["price"].to_numpy() * 1.19
    table = table.set_column(0, "weight", pa.nulls(600, pa.float64()))
    table = table.append_column("gross", pa.array(copy))
    project = jobs.problem("regression")
    columns = (*project.columns, Column("gross", "numeric"))
    project = dataclasses.replace(project, columns=columns)
    assert run(jobs.tree(tmp_path, table, project)) == 1  # ends at the transforms
    lines = capsys.readouterr().out.splitlines()
    warned = next(i for i, line in enumerate(lines) if "[warning] Column 'gross' alone" in line)
    assert warned < lines.index("[stage] transforms")
    assert "set feature = false" in lines[warned]


@slow
@pytest.mark.usefixtures("tensorflow")
def test_a_threshold_that_the_validation_rows_chose_serves_and_makes_the_golden_rows(
    tmp_path: Path,
) -> None:
    base = jobs.tree(tmp_path, project=jobs.problem(threshold_rule="f1"))
    assert run(base) == 0
    found = bundle.load(base / "model")
    chosen = found.schema.target.threshold
    assert 0 < chosen < 1
    assert chosen != 0.5
    for answer in found.golden.predictions:
        assert answer["label"] == (answer["score"] >= chosen)
    figures = json.loads((base / "output/data/figures.json").read_text())["assessment"]
    assert figures["threshold"] == chosen
    quality = json.loads((base / "output/data/metrics.json").read_text())
    f1 = quality["binary_classification_metrics"]["f1"]["value"]
    assert f1 == pytest.approx(figures["scores"]["test"]["f1"])
    assert f1 == pytest.approx(found.manifest.metrics["test"]["f1"])


def test_an_all_missing_column_is_named_in_the_failure_file(tmp_path: Path) -> None:
    table = jobs.table()
    base = jobs.tree(tmp_path, table.set_column(0, "weight", pa.nulls(600, pa.float64())))
    assert run(base) == 1
    assert "'weight'" in failure(base)


def test_a_missing_project_is_named_in_the_failure_file(tmp_path: Path) -> None:
    base = jobs.tree(tmp_path)
    (base / "input/data/project/project.json").unlink()
    assert run(base) == 1
    assert "no project.json" in failure(base)


def test_a_bug_is_called_a_bug_and_its_traceback_goes_to_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(train.data, "read", broken)
    base = jobs.tree(tmp_path)
    assert run(base) == 1
    assert failure(base).startswith("This is a bug in the training code")
    assert "ZeroDivisionError: division by zero" in failure(base)
    assert "Traceback" not in failure(base)
    assert "Traceback" in capsys.readouterr().err


def test_a_full_disk_is_named_with_its_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(train.data, "read", full)
    base = jobs.tree(tmp_path)
    assert run(base) == 1
    assert failure(base) == "the disk: the disk is full. Free some space and try again"


def test_a_job_told_to_stop_says_that_it_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import signal

    def stopped(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(train.data, "read", stopped)
    before = signal.getsignal(signal.SIGTERM)
    try:
        base = jobs.tree(tmp_path)
        assert run(base) == 143
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "goes on after the last epoch" in failure(base)


def test_a_failure_fits_what_sagemaker_shows(tmp_path: Path) -> None:
    base = jobs.tree(tmp_path, hyperparameters={"x" + "é" * 5000: 1})
    assert run(base) == 1
    assert 1020 <= len((base / "output/failure").read_bytes()) <= 1024
    assert failure(base).startswith("hyperparameter 'xé")


def test_the_pinned_requirements_are_the_locked_versions() -> None:
    lock = (jobs.ROOT / "requirements/deploy.txt").read_text()
    for line in (jobs.ROOT / "training/requirements.txt").read_text().splitlines():
        if not line.startswith("#"):
            assert re.search(rf"^{re.escape(line)}\b", lock, re.MULTILINE), line
