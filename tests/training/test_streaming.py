"""Data that does not fit into memory gives what it gives where it fits."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import table_files, tables, values
from shared.errors import DataError
from shared.problem import Problem, Split
from shared.schema import Column, Task
from shared.transforms import Transforms
from tests.support import jobs
from training import data, environment, memory, streaming

ROWS = jobs.table()
BY_TIME = Split(
    by="time",
    time="day",
    validation_from="1970-01-01T00:00:00.000400Z",
    test_from="1970-01-01T00:00:00.000500Z",
)
SPLITS = {"column": Split(by="column", column="part"), "random": Split(), "time": BY_TIME}


def read(base: Path, project: Problem, *, fits: bool) -> data.Data:
    job = environment.read([], {"SAGEMAKER_BASE_DIR": str(base)})
    return data.read(dataclasses.replace(job, memory=1 << 40 if fits else 0), project)


def place(base: Path, project: Problem, cuts: list[int], form: str = "parquet") -> Path:
    """A job's tree whose data is cut into several files."""
    jobs.tree(base, project=project)
    folder = base / "input/data/train"
    (folder / "fruit.parquet").unlink()
    for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, 600], strict=True)):
        part = ROWS.slice(start, end - start)
        if form == "parquet":
            pq.write_table(part, folder / f"{number}.parquet", row_group_size=100)
        else:
            pa_csv.write_csv(part, folder / f"{number}.csv")
    return base


def assert_alike(streamed: data.Data, whole: data.Data) -> None:
    assert streamed.schema == whole.schema
    assert streamed.dropped == whole.dropped
    assert streamed.stream is not None
    fitted = Transforms.fit(whole.train.columns, whole.schema.features)
    assert streamed.transforms is not None
    assert streamed.transforms.to_json() == fitted.to_json()
    for name, part in whole.parts.items():
        kept = streamed.parts[name]
        assert np.array_equal(sorted(kept.target), sorted(part.target))
    blocks = [fitted.encode(columns) for columns in streamed.stream.training()]
    order = np.lexsort(np.concatenate([block.numeric for block in blocks]).T)
    mine = np.concatenate([block.numeric for block in blocks])[order]
    theirs = fitted.encode(whole.train.columns).numeric
    assert mine.tobytes() == theirs[np.lexsort(theirs.T)].tobytes()
    assert len(streamed.stream.answers) == len(whole.train)


@pytest.mark.parametrize("by", SPLITS)
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_streamed_data_is_split_fitted_and_encoded_as_data_in_memory(
    tmp_path: Path, task: Task, by: str
) -> None:
    columns = (*jobs.COLUMNS, Column("day", "datetime"))
    project = jobs.problem(task, split=SPLITS[by], columns=columns)
    base = place(tmp_path, project, [100, 101, 350])
    assert_alike(read(base, project, fits=False), read(base, project, fits=True))


@settings(max_examples=15, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 599), max_size=4, unique=True).map(sorted),
    form=st.sampled_from(["parquet", "csv"]),
)
def test_the_blocks_in_which_the_data_comes_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], form: str
) -> None:
    project = jobs.problem()
    base = place(tmp_path_factory.mktemp("job"), project, cuts, form)
    streamed, whole = read(base, project, fits=False), read(base, project, fits=True)
    assert_alike(streamed, whole)
    for name, part in whole.parts.items():
        for column, array in part.columns.items():
            kept = streamed.parts[name].columns[column]
            assert np.array_equal(values.is_missing(kept), values.is_missing(array))
            assert kept.astype(str).tolist() == array.astype(str).tolist()


def test_rows_without_a_target_are_dropped_in_streamed_data_too(tmp_path: Path) -> None:
    sold = ROWS["sold"].to_pylist()
    sold[3] = sold[300] = None
    project = jobs.problem()
    jobs.tree(tmp_path, ROWS.set_column(ROWS.column_names.index("sold"), "sold", [sold]), project)
    assert_alike(read(tmp_path, project, fits=False), read(tmp_path, project, fits=True))


def test_of_a_large_split_a_seeded_sample_is_kept_to_score_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "HELD", 40)
    project = jobs.problem(split=Split())
    base = place(tmp_path, project, [250])
    first, second = (read(base, project, fits=False) for _ in range(2))
    assert {name: len(part) for name, part in first.parts.items()} == dict.fromkeys(
        ["training", "validation", "test"], 40
    )
    assert first.counts == (
        "420 training, 60 validation, 120 test; streamed from disk, scored on 40 validation and "
        "40 test rows"
    )
    for name, part in first.parts.items():
        again = second.parts[name]
        assert np.array_equal(part.columns["weight"], again.columns["weight"], equal_nan=True)
    whole = read(base, project, fits=True).parts["test"]
    whole_rows = set(zip(whole.columns["weight"], whole.target, strict=True))
    kept = first.parts["test"]
    known = ~np.isnan(kept.columns["weight"])
    pairs = zip(kept.columns["weight"][known], kept.target[known], strict=True)
    assert set(pairs) <= whole_rows


def test_a_mistake_in_streamed_data_names_file_row_and_column(tmp_path: Path) -> None:
    project = jobs.problem()
    base = place(tmp_path, project, [500], "csv")
    lines = (base / "input/data/train/1.csv").read_text().splitlines()
    weight, _, *rest = lines[41].split(",")
    lines[41] = ",".join([weight, "old", *rest])
    (base / "input/data/train/1.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"train/1\.csv, row 40, column 'age': .*not 'old'"):
        read(base, project, fits=False)


def test_quoted_line_ends_do_not_break_a_row_where_a_block_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"line {n}\nand {n}, too" for n in range(200)]
    written = "".join(f'{n},"{text}"\n' for n, text in enumerate(texts))
    (tmp_path / "a.csv").write_text("n,text\n" + written)
    for size in (64, 100, 333):
        monkeypatch.setattr(table_files, "LONGEST_ROW", size)
        blocks = list(tables.blocks(tmp_path / "a.csv", rows=7))
        assert len(blocks) > 28
        assert [text for block in blocks for text in block["text"].to_pylist()] == texts
    bad = tables.blocks(tmp_path / "a.csv", rows=7)
    counted = [Column("n", "numeric"), Column("text", "numeric")]
    next(bad)
    with pytest.raises(DataError, match=r"a\.csv, row 7, column 'text'"):
        tables.to_columns(next(bad), counted, "here")


def test_only_the_columns_that_are_asked_for_are_read(tmp_path: Path) -> None:
    base = place(tmp_path, jobs.problem(), [100], "csv")
    for location in (base / "input/data/train", jobs.tree(tmp_path / "b") / "input/data/train"):
        table = tables.read(location, ["sold", "age"])
        assert table.column_names == ["age", "sold"]
        assert table.num_rows == 600


@pytest.mark.parametrize(("cells", "bytes_free", "streams"), [
    (1_000_000, 2 << 30, False),
    (100_000_000, 2 << 30, True),
    (100_000_000, 64 << 30, False),
    (1, 0, True),
])  # fmt: skip
def test_what_does_not_fit_into_memory_is_streamed(
    cells: int, bytes_free: int, streams: bool
) -> None:
    assert streaming.wanted(cells, bytes_free) is streams


def test_the_size_of_a_table_is_known_before_it_is_read(tmp_path: Path) -> None:
    base = place(tmp_path, jobs.problem(), [100])
    assert tables.cells(base / "input/data/train") == 600 * ROWS.num_columns
    text = place(tmp_path / "csv", jobs.problem(), [100], "csv") / "input/data/train"
    assert 600 * ROWS.num_columns <= tables.cells(text) <= 4 * 600 * ROWS.num_columns


def test_folds_of_streamed_data_are_refused_with_a_cure(tmp_path: Path) -> None:
    project = jobs.problem()
    found = read(place(tmp_path, project, []), project, fits=False)
    with pytest.raises(DataError, match=r"folds = 3: folds need all rows in memory.*folds = 1"):
        data.folds(found, project.split, 3)


def test_files_dealt_out_over_several_instances_are_refused_with_a_cure(tmp_path: Path) -> None:
    project = jobs.problem()
    config = place(tmp_path, project, []) / "input/config"
    (config / "resourceconfig.json").write_text(
        '{"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]}'
    )
    (config / "inputdataconfig.json").write_text(
        '{"train": {"S3DistributionType": "ShardedByS3Key"}, "project": {}}'
    )
    with pytest.raises(DataError, match=r"only its own files.*FullyReplicated"):
        read(tmp_path, project, fits=True)


def test_a_job_may_take_three_quarters_of_the_machine_or_of_its_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def under(limit: str) -> int:
        (tmp_path / "limit").write_text(limit)
        return memory.allowance()

    monkeypatch.setattr(memory, "LIMITS", ())
    machine = memory.allowance()
    monkeypatch.setattr(memory, "LIMITS", [tmp_path / "none", tmp_path / "limit"])
    assert under("4000000\n") == 3_000_000
    assert under("max\n") == under(f"{1 << 62}\n") == machine > 0


def test_a_table_in_s3_is_streamed_file_by_file(monkeypatch: pytest.MonkeyPatch) -> None:
    from moto import mock_aws

    from shared import storage

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        storage.client().create_bucket(Bucket="bucket")
        for part in range(3):
            storage.write_bytes(f"s3://bucket/data/{part}.csv", f"a,b\n{part},x\n1,y\n".encode())
        place = "s3://bucket/data/"
        assert [b["a"].to_pylist() for b in tables.blocks(place)] == [[str(n), "1"] for n in "012"]
        assert tables.column_names(place) == ["a", "b"]
        assert 3 <= tables.cells(place) <= 12
        second = list(tables.blocks(place))[1]
        with pytest.raises(DataError, match=r"s3://bucket/data/1\.csv, row 0, column 'b'"):
            tables.to_columns(second, [Column("b", "numeric")], "here")


def test_a_table_may_be_given_in_s3_by_hand() -> None:
    job = environment.read(["--channel", "train=s3://bucket/data", "--channel", "project=x"], {})
    assert job.table("train") == "s3://bucket/data"
    with pytest.raises(DataError, match="s3://bucket/data: the channel 'train' has to be a folder"):
        job.channel("train")
