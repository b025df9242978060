"""Labelled rows for a model that exists: what is taken, and what is refused with its cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared import arrivals
from shared.errors import DataError
from shared.schema import Column, Schema, Target

COLUMNS = (Column("distance", "numeric"), Column("carrier", "category"))
LATE = Schema(COLUMNS, (), Target("late", "binary", (False, True)))
FARE = Schema(COLUMNS, (), Target("fare", "multiclass", ("first", "second")))
DELAY = Schema(COLUMNS, (), Target("delay", "regression"))
ROWS = (
    "distance,carrier,late,fare,delay,more\n5,UA,true,first,3.5,x\n,B6,,,,x\n7,,false,second,0,x\n"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "new.csv"
    file.write_text(ROWS)
    return file


@pytest.mark.parametrize(
    ("schema", "target"), [(LATE, [1, 0]), (FARE, [0, 1]), (DELAY, [3.5, 0.0])]
)
def test_rows_without_a_target_are_dropped_and_counted(
    file: Path, schema: Schema, target: list[float]
) -> None:
    found = arrivals.read(file, schema, "the new rows")
    assert found.target.tolist() == target
    assert found.dropped == 1
    assert found.columns.keys() == {"distance", "carrier"}
    assert found.columns["carrier"].tolist() == ["UA", None]
    assert found.table.num_rows == len(found) == 2
    assert "more" in found.table.column_names


@pytest.mark.parametrize(
    ("old", "new", "schema", "message"),
    [
        ("distance", "distanse", LATE, r"the new rows, column 'distance': a column that the model "
         r"needs is not there\. Did you mean 'distanse'"),
        ("late", "later", LATE, r"column 'late': the target is not there\. Did you mean 'later'"),
        ("second", "third", FARE, r"new rows, row 2, column 'fare': 'third' is none of the model's "
         r"classes, \['first', 'second'\].*run `make deploy`"),
        ("false", "perhaps", LATE, r"A class that is new cannot be learnt by going on"),
        ("7,,", "far,,", LATE, r"new\.csv, row 2, column 'distance'"),
    ],
)  # fmt: skip
def test_what_the_model_was_not_made_for_is_refused(
    file: Path, old: str, new: str, schema: Schema, message: str
) -> None:
    file.write_text(ROWS.replace(old, new))
    with pytest.raises(DataError, match=message):
        arrivals.read(file, schema, "the new rows")


def test_a_number_that_is_none_is_no_matter_of_classes(file: Path) -> None:
    file.write_text(ROWS.replace("3.5", "soon"))
    with pytest.raises(DataError) as caught:
        arrivals.read(file, DELAY, "the new rows")
    assert "class" not in str(caught.value)


def test_rows_of_which_none_has_a_target_are_refused(file: Path) -> None:
    file.write_text("distance,carrier,late\n1,UA,\n")
    with pytest.raises(DataError, match=r"the new rows, column 'late': no row has a target"):
        arrivals.read(file, LATE, "the new rows")
