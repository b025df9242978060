"""Data that a job would fail on is told before anything is uploaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra import project
from infra.check import check
from shared.errors import DataError
from tests.support import projects
from tests.support.quick_training import command


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
    assert message.endswith(f"change in {tmp_path}/project.toml: data.columns.distance")


def test_one_class_only_is_told(tmp_path: Path) -> None:
    message = told(tmp_path, "1,A1,true\n2,A1,true\n")
    assert "two or more are needed" in message
    assert f"{tmp_path}/project.toml: data.target and data.task" in message


def test_a_column_without_any_value_is_told_with_what_to_do(tmp_path: Path) -> None:
    message = told(tmp_path, ",A1,true\n,A1,false\n")
    assert "column 'distance': every value is missing" in message
    assert f"{tmp_path}/project.toml: data.columns.distance" in message


def test_a_source_s_column_without_any_value_is_told(tmp_path: Path) -> None:
    message = told(tmp_path, "1,A1,true\n2,A1,false\n", carriers="code,age\nA1,\n")
    assert "column 'age'" in message
    assert f"{tmp_path}/project.toml: sources.carriers.columns.age" in message


def test_a_plan_that_would_train_does_not_promise_what_deploy_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_CLOUD_ROOT", str(tmp_path / "cloud"))
    monkeypatch.setattr("infra.prepare.ROOT", tmp_path)
    file = projects.make(tmp_path)
    assert command("plan", "--project", str(file)).code == 0
    (tmp_path / "rows.csv").write_text("distance,carrier,late\n1,A1,true\nfar,A1,false\n")
    said = command("plan", "--project", str(file))
    assert (said.code, said.out) == (1, "")
    assert "'far'" in said.err
