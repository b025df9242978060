"""Going on from a deployed model: the same network, new rows, and a decision."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from shared import bundle
from shared.arrivals import Arrivals
from shared.errors import BundleError, DataError
from shared.problem import Problem, Split
from shared.retraining import OUTCOME, SETTINGS, Outcome, Retraining
from shared.transforms import Encoded
from tests.support import jobs
from training import champion, data, environment, streaming, train
from training.material import read, split_new

slow = pytest.mark.slow
QUICK = {"epochs": 2, "learning_rate_factor": 1.0, "old_share": 0.5}


def run(base: Path) -> tuple[int, list[str]]:
    """The exit code of a job in this process, and the lines that it printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            train.main(["--base", str(base)])
        except SystemExit as ended:
            return int(ended.code or 0), printed.getvalue().splitlines()
    return 0, printed.getvalue().splitlines()


def tree(
    base: Path,
    model: Path,
    new: pa.Table,
    *,
    settings: Mapping[str, Any] = QUICK,
    project: Problem | None = None,
) -> Path:
    """A retraining job's tree: it goes on from the bundle in `model` with the rows `new`."""
    jobs.tree(base, project=project, hyperparameters={})
    shutil.rmtree(base / "input/data/source_shop")
    for channel in ("new", "model"):
        (base / "input/data" / channel).mkdir()
    pq.write_table(new, base / "input/data/new/new.parquet")
    (base / "input/data/project" / SETTINGS).write_text(json.dumps(settings))
    bundle.pack(model, base / "input/data/model/model.tar.gz")
    return base


def outcome(base: Path) -> Outcome:
    return Outcome.from_json((base / "model" / OUTCOME).read_bytes())


def failure(base: Path) -> str:
    return (base / "output/failure").read_text()


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory, tensorflow: Any) -> Path:
    """A small bundle, trained for one epoch on few rows: much is left to learn."""
    base = jobs.tree(tmp_path_factory.mktemp("deployed"), jobs.table(200, seed=5))
    assert run(base)[0] == 0
    return base / "model"


@pytest.fixture(scope="module")
def retrained(
    deployed: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str], Outcome]:
    base = tree(tmp_path_factory.mktemp("retrained"), deployed, jobs.table(800, seed=1))
    code, lines = run(base)
    assert code == 0, failure(base)
    return base, lines, outcome(base)


@slow
@pytest.mark.parametrize("numbers", ["piecewise_linear", "periodic"])
def test_the_network_rebuilt_from_a_bundle_answers_as_the_deployed_one(
    numbers: str, deployed: Path, tmp_path: Path
) -> None:
    from training import export, network

    model = deployed
    if numbers == "periodic":
        settings = {**jobs.QUICK, "epochs": 1, "numeric_embedding": numbers, "batch_norm": True}
        base = jobs.tree(tmp_path, jobs.table(300), hyperparameters=settings)
        assert run(base)[0] == 0
        model = base / "model"
    bundle.pack(model, tmp_path / "model.tar.gz")
    opened = champion.open_champion(tmp_path / "model.tar.gz")
    rebuilt = network.build(opened.hyperparameters, opened.shape())
    opened.load(rebuilt)
    random = np.random.default_rng(0)
    slots = [slots for _, slots in opened.bundle.transforms.categories]
    rows = Encoded(
        random.normal(0, 2, (500, opened.shape().numeric)).astype(np.float32),
        np.stack([random.integers(0, n, 500) for n in slots], axis=1).astype(np.int32),
    )
    np.testing.assert_allclose(export.run_keras(rebuilt)(rows), opened.answer(rows), atol=1e-5)


@slow
def test_the_stages_are_announced_in_their_order(
    retrained: tuple[Path, list[str], Outcome],
) -> None:
    stages = [line.split()[1] for line in retrained[1] if line.startswith("[stage]")]
    assert stages == ["go", "split", "fit", "evaluate", "export", "bundle"]
    kinds = [line.split("]")[0] for line in retrained[1]]
    assert kinds.index("[drift") < kinds.index("[decision") < kinds.index("[memory")
    assert kinds[-1] == "[result"


@slow
def test_the_challenger_wins_on_new_rows_that_neither_learnt_from(
    retrained: tuple[Path, list[str], Outcome],
) -> None:
    base, lines, came = retrained
    assert came.decision.deploy
    assert came.decision.challenger > came.decision.champion
    held_out = pc.sum(pc.equal(jobs.table(800, seed=1)["part"], "test")).as_py()
    assert came.decision.rows == came.rows["test"] == held_out
    assert came.rows["rehearsed"] == came.rows["training"] or came.rows["rehearsed"] > 300
    assert came.scores["champion"].keys() == came.scores["challenger"].keys() == {"new", "old"}
    assert came.scores["champion"]["new"]["auc"] == came.decision.champion
    assert f"[decision] {came.decision.words}: deploy it" in lines
    assert came.decision.words in (base / "output/data/report.html").read_text()


@slow
def test_the_bundle_keeps_what_the_champion_had_and_names_it_as_its_parent(
    deployed: Path, retrained: tuple[Path, list[str], Outcome]
) -> None:
    from training import export

    old, new = bundle.load(deployed), bundle.load(retrained[0] / "model")
    assert new.manifest.parent == old.manifest.digest == retrained[2].champion
    assert new.manifest.hyperparameters == old.manifest.hyperparameters
    for name in ("schema.json", "transforms.json", "sources.json", "sources/shop.npz"):
        assert new.manifest.files[name] == old.manifest.files[name], name
    assert new.manifest.files["weights.npz"] != old.manifest.files["weights.npz"]
    new.verify(export.run_onnx((retrained[0] / "model/model.onnx").read_bytes()))


@slow
def test_a_retrained_bundle_can_itself_be_gone_on_from(
    retrained: tuple[Path, list[str], Outcome], tmp_path: Path
) -> None:
    base = tree(tmp_path, retrained[0] / "model", jobs.table(400, seed=2))
    assert run(base)[0] == 0, failure(base)
    assert outcome(base).champion == bundle.load(retrained[0] / "model").manifest.digest


@slow
def test_rows_whose_answers_say_nothing_leave_the_champion_where_it_is(
    retrained: tuple[Path, list[str], Outcome], tmp_path: Path
) -> None:
    table = jobs.table(400, seed=3)
    shuffled = np.random.default_rng(0).permutation(table["sold"].to_numpy(zero_copy_only=False))
    table = table.set_column(table.column_names.index("sold"), "sold", pa.array(shuffled))
    base = tree(tmp_path, retrained[0] / "model", table, settings={**QUICK, "margin": 0.02})
    code, lines = run(base)
    assert code == 0
    assert not outcome(base).decision.deploy
    assert any(line.endswith("keep the champion") for line in lines)


@slow
def test_a_retraining_that_was_killed_goes_on_and_ends_with_the_same_bits(
    deployed: Path,
    retrained: tuple[Path, list[str], Outcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from training import fit

    base = tree(tmp_path, deployed, jobs.table(800, seed=1))
    run_epoch = fit.Trainer.run_epoch

    def killed(trainer: fit.Trainer) -> dict[str, float]:
        if trainer.epochs == 1:
            raise ZeroDivisionError
        return run_epoch(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(fit.Trainer, "run_epoch", killed)
        assert run(base)[0] == 1
    code, lines = run(base)
    assert code == 0
    assert any("going on after epoch 1" in line for line in lines)
    whole = (retrained[0] / "model/weights.npz").read_bytes()
    assert (base / "model/weights.npz").read_bytes() == whole
    assert outcome(base) == retrained[2]


@slow
@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_the_other_tasks_go_on_too(task: Any, tmp_path: Path, tensorflow: Any) -> None:
    project = jobs.problem(task)
    first = jobs.tree(tmp_path / "first", jobs.table(200, seed=5), project)
    assert run(first)[0] == 0
    base = tree(tmp_path / "next", first / "model", jobs.table(800, seed=1), project=project)
    assert run(base)[0] == 0, failure(base)
    came = outcome(base)
    assert came.decision.metric == {"multiclass": "accuracy", "regression": "rmse"}[task]
    assert came.decision.deploy


@slow
def test_new_rows_that_differ_are_told_before_the_fit(deployed: Path, tmp_path: Path) -> None:
    table = jobs.table(400, seed=4)
    fruit = pa.array(["durian"] * table.num_rows)
    table = table.set_column(table.column_names.index("fruit"), "fruit", fruit)
    base = tree(tmp_path, deployed, table, settings={**QUICK, "epochs": 1})
    code, lines = run(base)
    assert code == 0
    told = next(line for line in lines if "[warning] Column 'fruit'" in line)
    assert "every new row holds a level that training never saw (durian)" in told
    assert lines.index(told) < next(i for i, line in enumerate(lines) if "[stage] fit" in line)
    assert any(one.column == "fruit" and one.new == 1.0 for one in outcome(base).shifts)


def without(table: pa.Table, name: str) -> pa.Table:
    return table.drop_columns([name])


def with_class(table: pa.Table) -> pa.Table:
    grade = pa.array(["superb", *table["grade"].to_pylist()[1:]])
    return table.set_column(table.column_names.index("grade"), "grade", grade)


MISTAKES = {
    "a column is not there": (lambda table: without(table, "age"), "column 'age'"),
    "the target is not there": (lambda table: without(table, "sold"), "the target is not there"),
    "too few rows": (lambda table: table.slice(0, 12), "12 new rows leave"),
    "one class held out": (
        lambda table: table.filter(pc.or_(table["sold"], pc.not_equal(table["part"], "test"))),
        "on which champion and challenger cannot be compared",
    ),
    "no target at all": (
        lambda table: table.set_column(
            table.column_names.index("sold"), "sold", pa.nulls(table.num_rows, pa.bool_())
        ),
        "no row has a target",
    ),
    "text for a class": (
        lambda table: table.set_column(
            table.column_names.index("sold"), "sold", pa.array(["perhaps"] * table.num_rows)
        ),
        "A class that is new cannot be learnt by going on",
    ),
}


@slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_rows_that_the_model_was_not_made_for_are_refused(
    mistake: str, deployed: Path, tmp_path: Path
) -> None:
    change, message = MISTAKES[mistake]
    base = tree(tmp_path, deployed, change(jobs.table(400, seed=4)))
    assert run(base)[0] == 1
    assert message in failure(base)
    assert not (base / "model").exists()


@slow
def test_a_bundle_that_was_changed_is_refused(deployed: Path, tmp_path: Path) -> None:
    spoilt = Path(shutil.copytree(deployed, tmp_path / "spoilt"))
    base = tree(tmp_path / "job", deployed, jobs.table(400))
    (spoilt / "weights.npz").write_bytes(b"something else")
    archive = base / "input/data/model/model.tar.gz"
    shutil.make_archive(str(archive).removesuffix(".tar.gz"), "gztar", spoilt)
    assert run(base)[0] == 1
    assert "weights.npz: the file was changed" in failure(base)


@slow
def test_a_bundle_of_another_format_is_refused_with_its_cure(
    deployed: Path, tmp_path: Path
) -> None:
    old = Path(shutil.copytree(deployed, tmp_path / "old"))
    manifest = old / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 0'))
    shutil.make_archive(str(tmp_path / "model"), "gztar", old)
    with pytest.raises(BundleError, match=r"the format is 0; this version reads 1.*make deploy"):
        champion.open_champion(tmp_path / "model.tar.gz")


@slow
def test_weights_of_another_network_are_refused(deployed: Path, tensorflow: Any) -> None:
    from training import network

    found = bundle.load(deployed)
    hyperparameters = champion.Hyperparameters(units=32, layers=1)
    other = champion.Champion(found, b"", (deployed / "weights.npz").read_bytes(), hyperparameters)
    with pytest.raises(BundleError, match=r"another network's.*make deploy"):
        other.load(network.build(hyperparameters, other.shape()))


def test_hyperparameters_are_the_deployed_models_and_cannot_be_given(tmp_path: Path) -> None:
    base = jobs.tree(tmp_path)
    (base / "input/data/model").mkdir()
    assert run(base)[0] == 1
    assert "a retraining takes its hyperparameters from the deployed model" in failure(base)


def test_a_channel_without_a_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no model\.tar\.gz"):
        champion.open_champion(tmp_path)


def arrived(table: pa.Table) -> Arrivals:
    return Arrivals(table, {}, np.zeros(table.num_rows), 0)


def test_by_time_the_last_new_rows_are_held_out_whatever_the_projects_limits() -> None:
    how = Split("time", time="day", validation_from="1980-01-01", test_from="1981-01-01")
    table = jobs.table(100).take(np.random.default_rng(0).permutation(100))
    rows = split_new(arrived(table), how)
    day = table["day"].to_numpy()
    assert {name: len(places) for name, places in rows.items()} == {
        "training": 70,
        "validation": 10,
        "test": 20,
    }
    assert day[rows["training"]].max() < day[rows["validation"]].min()
    assert day[rows["validation"]].max() < day[rows["test"]].min()


def test_new_rows_of_one_moment_cannot_be_split_by_time() -> None:
    how = Split("time", time="day", validation_from="1980-01-01", test_from="1981-01-01")
    table = jobs.table(100)
    day = pa.array([0] * 100, pa.timestamp("us"))
    table = table.set_column(table.column_names.index("day"), "day", day)
    with pytest.raises(DataError, match="too few different times"):
        split_new(arrived(table), how)


@pytest.mark.parametrize("there", [True, False])
def test_the_column_of_a_split_is_obeyed_where_the_new_rows_have_it(there: bool) -> None:
    table = jobs.table(300)
    how = Split("column", column="part", test=0.5)
    rows = split_new(arrived(table if there else table.drop_columns(["part"])), how)
    says = np.array(table["part"].to_pylist())
    assert (set(says[rows["test"]]) == {"test"}) is there
    assert there or len(rows["test"]) == 150


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"old_share": 1.0}, "old_share: 1.0 is not allowed; it must be 0 or more and less than 1"),
        ({"epochs": 0}, "epochs: 0 is not allowed"),
        ({"epocs": 1}, "unknown key 'epocs'"),
    ],
)
def test_settings_out_of_bounds_are_refused(settings: Mapping[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=re.escape(message)):
        Retraining.from_json(json.dumps(settings))


def test_settings_and_outcome_read_back_as_they_were_written() -> None:
    settings = Retraining(epochs=3, old_share=0.25)
    assert Retraining.from_json(settings.to_json()) == settings
    assert dataclasses.replace(settings, epochs=5) != settings


def test_old_rows_are_read_in_blocks_and_of_very_many_only_some_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = jobs.problem("regression")
    base = jobs.tree(tmp_path, jobs.table(600), project, hyperparameters={})
    (base / "input/data/new").mkdir()
    pq.write_table(jobs.table(200, seed=1), base / "input/data/new/new.parquet")
    for start in (0, 250, 500):  # each file is a block
        part = jobs.table(600).slice(start, 250)
        pq.write_table(part, base / f"input/data/train/{start:03d}.parquet")
    (base / "input/data/train/fruit.parquet").unlink()
    job = environment.read(["--base", str(base)])
    found = data.read(job, project)
    model = SimpleNamespace(features=None, schema=found.schema, sources=found.tables)

    def material() -> Any:
        return read(job, project, model, old_share=0.5, seed=0)  # type: ignore[arg-type]

    whole = material()
    for name in ("training", "test"):
        np.testing.assert_array_equal(whole.old[name].target, found.parts[name].target)
        for column, array in found.parts[name].columns.items():
            np.testing.assert_array_equal(whole.old[name].columns[column], array)
    assert len(whole.rehearsed) == len(whole.parts["training"])
    monkeypatch.setattr(streaming, "HELD", 50)
    some = material()
    assert [len(part) for part in some.old.values()] == [50, 50]
    assert set(some.old["training"].target) < set(whole.old["training"].target)
    assert len(some.rehearsed) == 50
