"""What features.py makes is learnt from and kept, and is checked before anything is fitted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared import bundle
from shared.errors import DataError, KitError, ProjectError
from shared.feature_rules import Declaration, digest
from shared.problem import Problem
from shared.schema import Column
from shared.transforms import Transforms
from tests.support import jobs
from training import data, environment, streaming, train

ROWS = jobs.table()
PROJECT = jobs.problem(features=jobs.MADE)


def read(
    base: Path,
    text: str | bytes = jobs.FEATURES,
    *,
    table: pa.Table = ROWS,
    made: Declaration | None = None,
    fits: bool = True,
) -> data.Data:
    """The rows of a job whose features.py is `text`."""
    source = text.encode() if isinstance(text, str) else text
    if made is None:
        made = dataclasses.replace(jobs.MADE, sha256=digest(source))
    project = jobs.problem(features=made)
    jobs.tree(base, table, project)
    (base / "features.py").write_bytes(source)
    job = environment.read(["--base", str(base), "--features", str(base / "features.py")], {})
    return data.read(dataclasses.replace(job, memory=1 << 40 if fits else 0), project)


def one(body: str) -> tuple[str, Declaration]:
    """A features.py that makes the number `made`."""
    text = f"import numpy as np\ndef features(columns):\n    return {{'made': {body}}}\n"
    return text, Declaration((Column("made", "numeric"),), digest(text.encode()))


def told(base: Path, error: type[KitError], body: str, **more: Any) -> str:
    text, made = one(body)
    with pytest.raises(error) as caught:
        read(base, text, made=made, **more)
    return str(caught.value)


def test_what_it_makes_stands_beside_the_columns_that_it_is_made_of(tmp_path: Path) -> None:
    found = read(tmp_path)
    columns = found.train.columns
    expected = columns["age"] * columns["shop.size"] / columns["weight"]
    assert columns["worn"].tobytes() == expected.tobytes()
    assert set(columns["abc"].tolist()) == {"a", "b", "c"}
    assert [column.name for column in found.schema.features][-2:] == ["worn", "abc"]
    assert found.features is not None


def test_streamed_it_makes_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "HELD", 50)
    whole, streamed = read(tmp_path / "whole"), read(tmp_path / "streamed", fits=False)
    fitted = Transforms.fit(whole.train.columns, whole.schema.features)
    assert streamed.transforms is not None
    assert streamed.transforms.to_json() == fitted.to_json()
    assert streamed.stream is not None
    blocks = [fitted.encode(columns).numeric for columns in streamed.stream.training()]
    assert np.concatenate(blocks).tobytes() == fitted.encode(whole.train.columns).numeric.tobytes()


@pytest.mark.parametrize("fits", [True, False])
def test_an_infinity_is_told_with_the_row_of_the_table(tmp_path: Path, fits: bool) -> None:
    sold: list[bool | None] = ROWS["sold"].to_pylist()
    sold[0] = None
    table = ROWS.set_column(ROWS.column_names.index("sold"), "sold", pa.array(sold))
    first = next(row for row in range(1, 600) if ROWS["age"][row].as_py() == 0)
    message = told(tmp_path, DataError, 'np.nan_to_num(columns["weight"]) / columns["age"]',
                   table=table, fits=fits)  # fmt: skip
    assert message.startswith(f"train, row {first}, column 'made': features.py makes ")
    assert "np.where" in message


@pytest.mark.parametrize("fits", [True, False])
def test_an_exception_is_told_with_line_and_row(tmp_path: Path, fits: bool) -> None:
    body = 'np.array([float(one) for one in columns["fruit"]])'
    message = told(tmp_path, ProjectError, body, fits=fits)
    assert "features.py, line 3, row 0: ValueError: could not convert string to float" in message
    assert f"at `return {{'made': {body}}}`" in message


@pytest.mark.parametrize("fits", [True, False])
def test_what_depends_on_other_rows_is_refused(tmp_path: Path, fits: bool) -> None:
    message = told(tmp_path, ProjectError, 'columns["age"] - columns["age"].mean()', fits=fits)
    assert "features.py, column 'made': of row 0 it makes" in message
    assert "alone" in message


def test_a_row_that_only_a_request_would_bring_is_tried_before_it_does(tmp_path: Path) -> None:
    body = 'np.array([float(len(one)) for one in columns["fruit"]])'
    message = told(tmp_path, ProjectError, body)
    assert "a request may bring a row with null in 'fruit', and for such a row it fails" in message


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda file: file.unlink(), "cannot be read: No such file or directory. By hand: --feat"),
        (lambda file: file.write_text("x = 1"), "is another than project.json speaks of"),
    ],
)
def test_code_and_project_have_to_be_of_one_state(
    tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    jobs.tree(tmp_path, project=PROJECT)
    file = tmp_path / "features.py"
    file.write_bytes(jobs.FEATURES)
    spoil(file)
    job = environment.read(["--base", str(tmp_path), "--features", str(file)], {})
    with pytest.raises(ProjectError) as caught:
        data.read(job, PROJECT)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_job_finds_it_beside_its_code() -> None:
    job = environment.read([], {})
    assert job.features == Path(environment.__file__).parents[1] / "features.py"


def test_a_project_says_it_in_its_json() -> None:
    assert Problem.from_json(PROJECT.to_json()) == PROJECT


@pytest.mark.slow
def test_a_job_packs_it_and_a_retraining_keeps_it(tmp_path: Path, tensorflow: Any) -> None:
    """The retraining's own project has none: what counts is the deployed model's."""
    file = tmp_path / "features.py"
    file.write_bytes(jobs.FEATURES)
    first = jobs.tree(tmp_path / "first", jobs.table(200, seed=5), PROJECT)
    train.main(["--base", str(first), "--features", str(file)])
    deployed = bundle.load(first / "model")
    assert (first / "model/features.py").read_bytes() == jobs.FEATURES
    assert "worn" in deployed.transforms.numeric_names
    second = jobs.tree(tmp_path / "second", hyperparameters={})
    for channel in ("new", "model"):
        (second / "input/data" / channel).mkdir()
    pq.write_table(jobs.table(400, seed=1), second / "input/data/new/new.parquet")
    bundle.pack(first / "model", second / "input/data/model/model.tar.gz")
    train.main(["--base", str(second)])
    went_on = bundle.load(second / "model")
    assert (second / "model/features.py").read_bytes() == jobs.FEATURES
    assert went_on.transforms == deployed.transforms
    assert went_on.manifest.parent == deployed.manifest.digest
    report = (second / "output/data/report.html").read_text()
    assert "features.py.*" in report
