"""A batch: every row comes back in its place, with its prediction or with what is wrong with it."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from botocore.validate import validate_parameters
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.batch import (
    Part,
    Split,
    TransformJob,
    answered,
    digest,
    joined,
    split,
)
from infra.batch_output import Outcome, write
from infra.batch_rows import Table, opened
from infra.commands.batch import _is_answered
from infra.security import Security
from shared import bundle as bundles
from shared.bundle import Bundle
from shared.errors import DataError, DeploymentError, InputError
from shared.schema import Target
from tests.support import bundles as small
from tests.support.bundles import ROW, TARGETS
from tests.support.fake_cloud import FakeCloud

LONGEST = 6 << 20
NAMES = tuple(column.name for column in small.COLUMNS)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    place = tmp_path_factory.mktemp("bundle") / "bundle"
    return bundles.load(small.build(place, features=small.FEATURES))


def table(path: Path, bundle: Bundle, content: str | bytes | Sequence[Any]) -> Table:
    """A file of rows: text as it is, objects as JSON Lines."""
    if not isinstance(content, str | bytes):
        content = "".join(json.dumps(row) + "\n" for row in content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return opened(path.name, path, bundle.schema)


def sent(made: Split) -> list[Any]:
    """The rows that go to the job, as they stand in the parts."""
    return [json.loads(line) for part in made.parts for line in part.path.read_bytes().splitlines()]


def written(
    found: Sequence[Table],
    made: Split,
    answers: Sequence[Mapping[str, Any] | InputError],
    output: Path,
    keep: Sequence[str] | None = None,
    *,
    target: Target = TARGETS["binary"],
) -> tuple[Outcome, str]:
    """What the output says."""
    errors = output.with_name("errors.jsonl")
    came = write(joined(found, made, answers), output, errors, keep, target)
    return came, output.read_text()


def echoing(made: Split) -> list[Mapping[str, Any]]:
    """What a container that answers with what it is sent would answer."""
    return [{"label": True, "score": 0.5, "row": row} for row in sent(made)]


# Rows of which some are good, some are not, and some are no rows at all.
def lines() -> st.SearchStrategy[list[str]]:
    good = st.builds(
        lambda distance, carrier: json.dumps({**ROW, "distance": distance, "carrier": carrier}),
        st.floats(-1e6, 1e6),
        st.sampled_from(["UA", "a\nb", '"', "", "x,y"]),
    )
    bad = st.sampled_from(
        [
            json.dumps({**ROW, "distance": "far"}),
            json.dumps({**ROW, "origin": None}),
            json.dumps({name: ROW[name] for name in NAMES[1:]}),
            json.dumps({**ROW, "carrier": "é"}),  # features.py fails
            '{"distance": NaN}',
            "[1, 2]",
            "{",
            '{"carrier": "\\ud800"}',
        ]
    )
    return st.lists(st.one_of(good, good, bad), min_size=1, max_size=40)


@settings(deadline=None, max_examples=60)
@given(rows=lines(), most=st.integers(1, 7))
def test_every_row_comes_back_once_in_order_and_the_bad_ones_are_marked(
    bundle: Bundle, rows: list[str], most: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = [table(Path(folder) / "a.jsonl", bundle, "\n".join(rows))]
        made = split(found, bundle, Path(folder) / "parts", most_rows=most)
        came, text = written(found, made, echoing(made), Path(folder) / "out.jsonl")
        assert all(0 < part.rows <= most for part in made.parts)
        results = [json.loads(line) for line in text.splitlines()]
        assert len(results) == came.rows == len(rows)
        for row, result in zip(rows, results, strict=True):
            good = _is_good(row)
            assert ("prediction" in result) == good
            assert ("error" in result) != good
            if good:
                echoed, asked = result["prediction"]["row"], json.loads(row)
                assert echoed["distance"] == asked["distance"]
                assert echoed["carrier"] == (asked["carrier"] or None)
        assert came.failed == sum(not _is_good(row) for row in rows)


def _is_good(row: str) -> bool:
    return (
        row.startswith('{"distance"')
        and "far" not in row
        and row.count("null") == 1
        and ("\\u00e9" not in row and "NaN" not in row)
    )


def test_what_is_sent_is_what_the_row_says_whatever_the_format(
    bundle: Bundle, tmp_path: Path
) -> None:
    rows = small.rows(50)
    text = io.StringIO()
    writer = csv.DictWriter(text, [*NAMES, "id"])
    writer.writeheader()
    for number, row in enumerate(rows):
        writer.writerow({**row, "id": number})
    arrow = pa.Table.from_pylist(rows).append_column("id", pa.array(range(50)))
    pa.parquet.write_table(arrow, tmp_path / "a.parquet")
    found = [
        table(tmp_path / "a.csv", bundle, text.getvalue()),
        table(tmp_path / "a.jsonl", bundle, rows),
        opened("a.parquet", tmp_path / "a.parquet", bundle.schema),
    ]
    made = [split([one], bundle, tmp_path / one.path.suffix[1:]) for one in found]
    assert sent(made[0]) == sent(made[1]) == sent(made[2])
    assert not any(one.mistakes for one in made)
    assert made[0].unknown == made[2].unknown == ("id",)
    again = bundle.schema.from_records(sent(made[0]))
    original = bundle.schema.from_records(rows)
    for name in NAMES:
        np.testing.assert_array_equal(again[name], original[name])


def test_a_cell_that_goes_on_in_the_next_line_stays_one_row(bundle: Bundle, tmp_path: Path) -> None:
    head = ",".join(NAMES)
    rest = "1,true"
    found = [
        table(
            tmp_path / "a.csv",
            bundle,
            f'{head}\n5,2,{rest},"U\nA",JFK,2013-07-01\n6,2,{rest},"say ""x"", y",JFK,\n',
        )
    ]
    made = split(found, bundle, tmp_path / "parts")
    assert [row["carrier"] for row in sent(made)] == ["U\nA", 'say "x", y']
    _, out = written(found, made, echoing(made), tmp_path / "out.csv", ["carrier"])
    read = list(csv.DictReader(io.StringIO(out)))
    assert [row["carrier"] for row in read] == ["U\nA", 'say "x", y']
    assert read[0]["prediction.score"] == "0.5"
    assert read[0]["error"] == ""


BAD = {
    "another number of cells": (b"5,2,1,true,UA,JFK", "wrong_cells"),
    "no number": (b"far,2,1,true,UA,JFK,", "wrong_type"),
    "no date": (b"5,2,1,true,UA,JFK,yesterday", "bad_date"),
    "no UTF-8": (b"5,2,1,true,\xff,JFK,", "wrong_charset"),
    "nothing where a value is needed": (b"5,2,1,true,UA,,", "null"),
    "a text too long": (b"5,2,1,true," + b"x" * 10_001 + b",JFK,", "text_too_long"),
    "features.py fails": ("5,2,1,true,é,JFK,".encode(), "features_failed"),
    "features.py makes infinity": (b"1e200,2,1,true,UA,JFK,", "not_finite"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_of_csv_costs_its_row_alone(name: str, bundle: Bundle, tmp_path: Path) -> None:
    line, code = BAD[name]
    good = b"5,2,1,true,UA,JFK,\n"
    content = ",".join(NAMES).encode() + b"\n" + good * 3 + line + b"\n" + good * 3
    made = split([table(tmp_path / "a.csv", bundle, content)], bundle, tmp_path / "parts")
    assert {place: error.code for place, error in made.mistakes.items()} == {3: code}
    assert len(sent(made)) == 6
    assert made.mistakes[3].row is None


def test_a_row_larger_than_a_request_is_a_bad_row(bundle: Bundle, tmp_path: Path) -> None:
    rows = [ROW, {**ROW, "carrier": "x" * 500}, ROW]
    found = [table(tmp_path / "a.jsonl", bundle, rows)]
    made = split(found, bundle, tmp_path / "parts", longest=400)
    assert made.mistakes[1].code == "too_large"
    assert len(sent(made)) == 2


def test_parts_are_bounded_in_bytes_and_the_same_every_time(bundle: Bundle, tmp_path: Path) -> None:
    found = [table(tmp_path / "a.jsonl", bundle, small.rows(200))]
    first = split(found, bundle, tmp_path / "first", most_bytes=2000)
    again = split(found, bundle, tmp_path / "again", most_bytes=2000)
    assert len(first.parts) > 5
    assert all(part.path.stat().st_size <= 2000 for part in first.parts)
    read = [[part.path.read_bytes() for part in made.parts] for made in (first, again)]
    assert read[0] == read[1]


def test_times_and_decimals_of_parquet_are_carried_as_text(bundle: Bundle, tmp_path: Path) -> None:
    row = {
        **ROW,
        "departure": datetime(2013, 7, 1, 15, 30),
        "tax": Decimal("1.10"),
        "x": float("nan"),
    }
    pa.parquet.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    found = [opened("a.parquet", tmp_path / "a.parquet", bundle.schema)]
    made = split(found, bundle, tmp_path / "parts")
    _, text = written(found, made, echoing(made), tmp_path / "out.jsonl")
    result = json.loads(text)
    assert result["tax"] == "1.10"
    assert result["x"] is None
    assert result["departure"].startswith("2013-07-01 15:30:00")
    assert result["prediction"]["row"]["departure"] == "2013-07-01T15:30:00.000000"


def test_a_column_that_the_model_needs_is_asked_for_before_anything_is_read(
    bundle: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"column 'origin'.*Did you mean 'orgin'"):
        table(tmp_path / "a.csv", bundle, ",".join(NAMES).replace("origin", "orgin") + "\n")


@pytest.mark.parametrize("content", ["", ",".join(NAMES) + "\n"])
def test_a_file_without_rows_is_refused(content: str, bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        split([table(tmp_path / "a.csv", bundle, content)], bundle, tmp_path / "parts")


def test_of_a_part_that_failed_the_rows_say_so_and_the_others_are_answered(
    bundle: Bundle, tmp_path: Path
) -> None:
    found = [table(tmp_path / "a.jsonl", bundle, [ROW] * 5)]
    made = split(found, bundle, tmp_path / "parts", most_rows=2)
    answers = {part.name: b'{"label": true, "score": 0.5}\n' * part.rows for part in made.parts}
    del answers["part-00001.jsonl"]
    came, text = written(
        found,
        made,
        list(answered(made.parts, _opening(answers, tmp_path), "job")),
        tmp_path / "o.jsonl",
    )
    results = [json.loads(line) for line in text.splitlines()]
    assert ["error" in result for result in results] == [False, False, True, True, False]
    assert came.codes == (("part_failed", 2),)
    assert "log of job" in results[2]["error"]["message"]
    listed = [json.loads(line) for line in (tmp_path / "errors.jsonl").read_text().splitlines()]
    assert [(one["file"], one["row"]) for one in listed] == [("a.jsonl", 2), ("a.jsonl", 3)]


@pytest.mark.parametrize("content", [b'{"label": true}\n', b"what?\nwhat?\n", b"[1]\n[2]\n"])
def test_answers_that_are_not_the_models_are_refused(content: bytes, tmp_path: Path) -> None:
    parts = [Part(tmp_path / "part-00000.jsonl", 2)]
    with pytest.raises(DeploymentError, match="part-00000"):
        list(answered(parts, _opening({"part-00000.jsonl": content}, tmp_path), "job"))


def _opening(answers: Mapping[str, bytes], folder: Path) -> Callable[[Part], Path | None]:
    def opening(part: Part) -> Path | None:
        if part.name not in answers:
            return None
        path = folder / part.answer
        path.write_bytes(answers[part.name])
        return path

    return opening


ANSWERS: dict[str, tuple[Mapping[str, Any], list[str]]] = {
    "binary": (
        {"label": True, "score": 0.75, "scores": {"false": 0.25, "true": 0.75}},
        ["true", "0.75", "0.25", "0.75"],
    ),
    "multiclass": (
        {"label": "first", "score": 0.5, "scores": {"economy": 0.2, "first": 0.5, "second": 0.3}},
        ["first", "0.5", "0.2", "0.5", "0.3"],
    ),
    "regression": ({"value": -1.5e-7}, ["-1.5e-07"]),
}


@pytest.mark.parametrize("task", ANSWERS)
def test_csv_has_a_column_for_each_part_of_a_prediction(
    task: Any, bundle: Bundle, tmp_path: Path
) -> None:
    answer, cells = ANSWERS[task]
    found = [table(tmp_path / "a.jsonl", bundle, [ROW])]
    made = split(found, bundle, tmp_path / "parts")
    _, text = written(found, made, [answer], tmp_path / "o.csv", ["origin"], target=TARGETS[task])
    header, row = csv.reader(io.StringIO(text))
    assert row == ["JFK", *cells, ""]
    assert header[0] == "origin"
    assert header[-1] == "error"


def test_json_lines_become_csv_only_with_columns_named(bundle: Bundle, tmp_path: Path) -> None:
    found = [table(tmp_path / "a.jsonl", bundle, [ROW])]
    made = split(found, bundle, tmp_path / "parts")
    with pytest.raises(DataError, match="KEEP=id"):
        written(found, made, echoing(made), tmp_path / "out.csv")


@pytest.mark.parametrize("name", ["prediction", "error"])
def test_a_column_of_the_name_of_what_is_added_is_not_overwritten(
    name: str, bundle: Bundle, tmp_path: Path
) -> None:
    found = [table(tmp_path / "a.jsonl", bundle, [{**ROW, name: 1}])]
    made = split(found, bundle, tmp_path / "parts")
    with pytest.raises(DataError, match=name):
        written(found, made, echoing(made), tmp_path / "out.jsonl")


def jobs() -> Iterator[TransformJob]:
    key = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd"
    plain = TransformJob("p" * 32, "d" * 64, "model", "bucket", "ml.m5.large")
    yield plain
    yield TransformJob(
        *("small", "d" * 64, "model", "bucket", "ml.m5.large"), Security(key), (("a", "b"),)
    )


@pytest.mark.parametrize("job", [*jobs()])
def test_the_job_is_one_that_sagemaker_takes(job: TransformJob) -> None:
    client = boto3.client(
        "sagemaker", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    shape = client.meta.service_model.operation_model("CreateTransformJob").input_shape
    for attempt in (1, 12):
        validate_parameters(job.request(attempt), shape)
        assert len(job.name(attempt)) <= 63
    assert job.answers(1) != job.answers(2)


def test_another_model_other_rows_and_another_way_to_split_them_are_another_job(
    bundle: Bundle, tmp_path: Path
) -> None:
    rows = small.rows(20)
    found = [table(tmp_path / "a.jsonl", bundle, rows)]
    renamed = [table(tmp_path / "b.jsonl", bundle, rows)]
    fewer = [table(tmp_path / "c.jsonl", bundle, rows[1:])]
    made = [
        split(tables, bundle, tmp_path / str(number), most_rows=most)
        for number, (tables, most) in enumerate(
            [(found, 10), (found, 10), (renamed, 10), (found, 9), (fewer, 10)]
        )
    ]
    first, again, same_rows, *others = (digest("model", one.parts) for one in made)
    assert first == again == same_rows
    assert len({first, digest("other", made[0].parts), *others}) == 4


def test_a_job_that_outlived_its_answers_is_followed_by_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cloud, job = FakeCloud(), next(jobs())
    cloud.client = lambda service: None  # type: ignore[method-assign]
    parts = [Part(Path("part-00000.jsonl"), 3), Part(Path("part-00001.jsonl"), 1)]
    there = [f"s3://bucket/{job.answers(1)}{part.answer}" for part in parts]
    monkeypatch.setattr("shared.storage.list_files", lambda place, client: there)
    assert _is_answered(cloud, job, 1, parts)
    there.pop()
    assert not _is_answered(cloud, job, 1, parts)
