"""Data that a job would fail on is told before anything is uploaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra import project
from infra.check import check
from shared.errors import DataError
from tests.support import projects


def told(directory: Path, rows: str, carriers: str = projects.CARRIERS) -> str:
    file = projects.make(directory, carriers=carriers)
    (directory / "rows.csv").write_text("distance,carrier,late\n" + rows)
    settings = project.load(file)
    with pytest.raises(DataError) as caught:
        check(settings)
    return str(caught.value)


def test_good_data_passes(tmp_path: Path) -> None:
    check(project.load(projects.make(tmp_path)))


def test_a_value_of_the_wrong_kind_is_told_with_file_row_and_column(tmp_path: Path) -> None:
    message = told(tmp_path, "1,A1,true\nfar,A1,false\n")
    assert f"{tmp_path}/rows.csv, row 1, column 'distance'" in message
    assert "'far'" in message


def test_one_class_only_is_told(tmp_path: Path) -> None:
    assert "two or more are needed" in told(tmp_path, "1,A1,true\n2,A1,true\n")


def test_a_column_without_any_value_is_told_with_what_to_do(tmp_path: Path) -> None:
    message = told(tmp_path, ",A1,true\n,A1,false\n")
    assert "column 'distance': every value is missing" in message
    assert "[data.columns]" in message


def test_a_source_s_column_without_any_value_is_told(tmp_path: Path) -> None:
    message = told(tmp_path, "1,A1,true\n2,A1,false\n", carriers="code,age\nA1,\n")
    assert "column 'age'" in message
    assert "[sources.carriers.columns]" in message
