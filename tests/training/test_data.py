"""Data is split before anything is fitted, and data that cannot be learnt from is refused."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from shared.errors import DataError
from shared.problem import Split
from shared.schema import Column
from tests.support import jobs
from training import data, environment

ROWS = jobs.table()


def read(base: Path, table: pa.Table = ROWS, **changes: object) -> data.Data:
    project = jobs.problem(**changes)  # type: ignore[arg-type]
    jobs.tree(base, table, project)
    return data.read(environment.read([], {"SAGEMAKER_BASE_DIR": str(base)}), project)


def replaced(name: str, values: object) -> pa.Table:
    return ROWS.set_column(ROWS.column_names.index(name), name, pa.array(values))


def test_a_split_by_column_follows_the_column(tmp_path: Path) -> None:
    found = read(tmp_path)
    counts = {name: len(part) for name, part in found.parts.items()}
    expected = [ROWS["part"].to_pylist().count(word) for word in ("train", "validation", "test")]
    assert list(counts.values()) == expected


def test_without_validation_rows_a_seeded_share_of_the_training_rows_serves(tmp_path: Path) -> None:
    words = ["test" if word == "test" else "train" for word in ROWS["part"].to_pylist()]
    table, how = replaced("part", words), Split(by="column", column="part", validation=0.25, seed=4)
    first, second = data.split(table, how), data.split(table, how)
    assert len(first["validation"]) == round(0.25 * words.count("train"))
    assert not set(first["validation"]) & set(first["training"])
    assert np.array_equal(first["validation"], second["validation"])


def test_a_split_by_time_puts_the_later_rows_last() -> None:
    how = Split(
        by="time",
        time="day",
        validation_from="1970-01-01T00:00:00.000400Z",
        test_from="1970-01-01T00:00:00.000500Z",
    )
    rows = data.split(ROWS, how)
    assert rows["training"].tolist() == list(range(400))
    assert rows["validation"].tolist() == list(range(400, 500))
    assert rows["test"].tolist() == list(range(500, 600))


def test_a_random_split_uses_every_row_once() -> None:
    rows = data.split(ROWS, Split(by="random", validation=0.1, test=0.2, seed=3))
    assert {name: len(places) for name, places in rows.items()} == {
        "training": 420,
        "validation": 60,
        "test": 120,
    }
    assert sorted(np.concatenate(list(rows.values()))) == list(range(600))


def test_rows_of_a_split_by_time_stand_in_the_order_of_time() -> None:
    how = Split("time", time="day", validation_from="1970-01-01", test_from="1970-01-02")
    shuffled = np.random.default_rng(0).permutation(600)
    early = replaced("day", pa.array(shuffled - 300, pa.timestamp("us")))
    rows = data.split(early, how)
    assert shuffled[rows["training"]].tolist() == list(range(300))
    assert shuffled[rows["validation"]].tolist() == list(range(300, 600))


@pytest.mark.parametrize("by", ["random", "column"])
def test_each_row_validates_in_one_fold_and_each_class_evenly(tmp_path: Path, by: str) -> None:
    how = {"random": Split(), "column": Split(by="column", column="part")}[by]
    target = jobs.TARGETS["multiclass"]
    found = read(tmp_path, target=target, split=how)
    folds = data.folds(found, how, 4)
    within = [found.train] if by == "column" else [found.train, found.validation]
    weights = np.sort(np.concatenate([part.columns["weight"] for part in within]))
    validated = np.concatenate([fold.validation.columns["weight"] for fold in folds])
    assert np.array_equal(np.sort(validated), weights, equal_nan=True)
    for fold in folds:
        together = [fold.train.columns["weight"], fold.validation.columns["weight"]]
        assert np.array_equal(np.sort(np.concatenate(together)), weights, equal_nan=True)
    counts = np.stack([np.bincount(fold.validation.target, minlength=3) for fold in folds])
    assert np.ptp(counts, axis=0).max() <= 1


def test_folds_of_a_split_by_time_never_learn_from_what_comes_after(tmp_path: Path) -> None:
    how = Split(
        by="time",
        time="day",
        validation_from="1970-01-01T00:00:00.000400Z",
        test_from="1970-01-01T00:00:00.000500Z",
    )
    columns = (*jobs.COLUMNS, Column("day", "datetime"))
    table = ROWS.take(np.random.default_rng(0).permutation(600))
    folds = data.folds(read(tmp_path, table, split=how, columns=columns), how, 4)
    days = [[part.columns["day"] for part in (fold.train, fold.validation)] for fold in folds]
    for before, after in days:
        assert before.max() < after.min()
        assert len(after) == 100
    assert [len(before) for before, _ in days] == [100, 200, 300, 400]


def test_folds_without_rows_enough_are_refused(tmp_path: Path) -> None:
    found = read(tmp_path)
    with pytest.raises(DataError, match=r"folds = 300: a fold has .* Use fewer folds"):
        data.folds(found, Split(by="column", column="part"), 300)


def test_sources_are_joined_and_classes_found(tmp_path: Path) -> None:
    found = read(tmp_path, target=jobs.TARGETS["multiclass"])
    assert found.schema.target.classes == ("bad", "fair", "good")
    shop, size = found.train.columns["shop"], found.train.columns["shop.size"]
    assert all(size[shop == "s2"] == 3.0)
    assert np.isnan(size[shop == "s4"]).all()


def test_rows_without_a_target_are_dropped_and_counted(tmp_path: Path) -> None:
    values = ROWS["sold"].to_pylist()
    values[3] = values[5] = None
    found = read(tmp_path, replaced("sold", values))
    assert found.dropped == 2
    assert sum(map(len, found.parts.values())) == 598


def test_the_usual_words_for_missing_are_no_classes_of_a_target_of_numbers(tmp_path: Path) -> None:
    texts = [str(int(sold)) for sold in ROWS["sold"].to_pylist()]
    found = read(tmp_path, replaced("sold", ["NA", "?", *texts[2:]]))
    assert found.dropped == 2
    assert found.schema.target.classes == (0, 1)


def test_a_mistake_is_counted_as_the_file_counts_it_though_rows_are_dropped(tmp_path: Path) -> None:
    sold, ages = ROWS["sold"].to_pylist(), [str(age) for age in ROWS["age"].to_pylist()]
    ages[40] = "old"
    table = replaced("sold", [None] * 10 + sold[10:])
    table = table.set_column(table.column_names.index("age"), "age", pa.array(ages))
    with pytest.raises(DataError, match=r"fruit\.parquet, row 40, column 'age'"):
        read(tmp_path, table)


@pytest.mark.parametrize(
    ("table", "changes", "message"),
    [
        (ROWS.drop_columns(["sold"]).append_column("solt", ROWS["sold"]), {}, "'solt'"),
        (replaced("sold", [True] * 600), {}, "the only value is"),
        (replaced("sold", [None] * 600), {}, "every value is missing"),
        (
            replaced("price", [None] * 600),
            {"target": jobs.TARGETS["regression"]},
            "no row has a target",
        ),
        (replaced("part", ["train"] * 600), {}, "the test split has 0 rows"),
        (replaced("part", ["tset"] * 600), {}, "it holds tset"),
        (
            replaced("sold", [word == "test" for word in ROWS["part"].to_pylist()]),
            {},
            "all training rows are of one class, False",
        ),
        (ROWS.slice(0, 20), {}, "20 or more are needed"),
        (
            ROWS,
            {"split": Split(by="column", column="parts")},
            "'parts': the split needs this column. Did you mean 'part'",
        ),
        (
            replaced("day", [None, *ROWS["day"].to_pylist()[1:]]),
            {
                "split": Split(
                    "time", time="day", validation_from="2001-01-01", test_from="2002-01-01"
                )
            },
            "1 rows have no time",
        ),
        (
            replaced("price", [1.0] * 600),
            {"target": jobs.TARGETS["regression"]},
            "all training rows have the same value",
        ),
    ],
)
def test_data_that_cannot_be_learnt_from_is_refused(
    tmp_path: Path, table: pa.Table, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, table, **changes)


def test_a_class_without_training_rows_is_named(tmp_path: Path) -> None:
    parts, grades = ROWS["part"].to_pylist(), ROWS["grade"].to_pylist()
    odd = ["odd" if part == "test" else grade for part, grade in zip(parts, grades, strict=True)]
    with pytest.raises(DataError, match="no training row is of class 'odd'"):
        read(tmp_path, replaced("grade", odd), target=jobs.TARGETS["multiclass"])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    jobs.tree(tmp_path)
    (tmp_path / "input/data/train/fruit.parquet").unlink()
    job = environment.read([], {"SAGEMAKER_BASE_DIR": str(tmp_path)})
    with pytest.raises(DataError, match="input/data/train: there is no CSV or Parquet file"):
        data.read(job, jobs.problem())
