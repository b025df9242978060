"""init: the file it writes is a good one, says what was guessed, and is never overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra import project
from tests.support.quick_training import Said, command

ROWS = "".join(
    f"c{row:04d},2023-{1 + row // 28:02d}-{1 + row % 28:02d},{row % 60},"
    f"{['Rome', 'Oslo', 'Kyiv'][row % 3]},,7,{['yes', 'no'][row % 2]}\n"
    for row in range(300)
)
HEADER = 'id,"signed up",age,"the ""city""",empty,constant,churn\n'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "My Table.csv").write_text(HEADER + ROWS)
    return tmp_path


def init(*words: str, data: str = "My Table.csv", label: str = "churn") -> Said:
    return command("init", "--data", data, "--label", label, *words)


def test_the_file_it_writes_can_be_deployed(here: Path) -> None:
    said = init()
    assert said.code == 0, said.err
    assert "make deploy PROJECT=projects/my-table" in said.out
    settings = project.load(here / "projects/my-table")
    assert settings.problem.target.task == "binary"
    assert {column.name: column.kind for column in settings.problem.columns} == {
        "signed up": "datetime",
        "age": "numeric",
        'the "city"': "category",
    }
    assert settings.data.files == (here / "projects/my-table/../../My Table.csv",)


def test_what_is_left_out_is_a_comment_with_the_reason(here: Path) -> None:
    init()
    text = (here / "projects/my-table/project.toml").read_text()
    assert '# id = { kind = "category" }   # left out: every value is different' in text
    assert "# empty" in text
    assert "# constant" in text


def test_a_split_by_time_is_offered_and_works(here: Path) -> None:
    init()
    file = here / "projects/my-table/project.toml"
    text = file.read_text()
    random = next(line for line in text.splitlines() if line.startswith("split"))
    file.write_text(text.replace(random, "").replace("# split = ", "split = "))
    split = project.load(file).problem.split
    assert (split.by, split.time) == ("time", "signed up")


def test_a_project_that_is_there_is_not_overwritten(here: Path) -> None:
    init()
    file = here / "projects/my-table/project.toml"
    file.write_text("edited by hand")
    said = init()
    assert (said.code, file.read_text()) == (1, "edited by hand")
    assert "--name" in said.err
    assert init("--name", "another").code == 0


def test_a_missing_table_is_told_before_a_project_that_is_there(here: Path) -> None:
    init()
    (here / "My Table.csv").unlink()
    assert "My Table.csv: does not exist" in init().err


def test_the_project_has_the_name_it_is_given(here: Path) -> None:
    assert init("--name", "leavers").code == 0
    assert project.load(here / "projects/leavers").name == "leavers"


def test_a_regression_is_recognised_or_may_be_told(here: Path) -> None:
    assert "(regression)" in init(label="age", data="My Table.csv").out
    assert "(multiclass)" in init("--task", "multiclass", "--name", "ages", label="age").out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"data": ""}, "make init DATA=table.csv LABEL=column"),
        ({"label": ""}, "make init DATA=table.csv LABEL=column"),
        ({"data": "My Tabel.csv"}, "Did you mean 'My Table.csv'?"),
        ({"label": "chum"}, "'churn'"),
        ({"label": "constant"}, "the only value"),
        ({"label": "empty"}, "every value is missing"),
        ({"label": "signed up"}, "date"),
        ({"data": "s3://bucket/rows/"}, "on this machine only"),
    ],
)
def test_a_mistake_is_told_and_leaves_nothing(here: Path, words: dict[str, str], told: str) -> None:
    said = init(**words)
    assert said.code == 1
    assert told in said.err
    assert not (here / "projects").exists()


def test_a_name_that_cannot_be_one_is_told(here: Path) -> None:
    assert "Lower-case letters" in init("--name", "My Project").err


def test_odd_names_of_columns_survive(here: Path) -> None:
    names = ["a.b", "c d", 'e"f', "g\\h", "ключ"]
    table = here / "odd.csv"
    header = ",".join('"' + name.replace('"', '""') + '"' for name in [*names, "y"])
    body = "".join(
        ",".join([*(str(row * 1.5 + place) for place in range(5)), str(row % 2)]) + "\n"
        for row in range(40)
    )
    table.write_text(header + "\n" + body)
    assert init(data="odd.csv", label="y").code == 0
    columns = project.load(here / "projects/odd").problem.columns
    assert json.dumps([column.name for column in columns]) == json.dumps(names)


def test_a_table_at_home_is_found_again(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(here))
    said = init(data="~/My Table.csv")
    assert said.code == 0, said.err
    assert project.load(here / "projects/my-table").data.files


def test_a_column_that_is_nearly_numeric_is_remarked_on(here: Path) -> None:
    cells = [f"{row % 40}" for row in range(300)]
    cells[17] = "unknown"
    rows = "".join(f"{cell},{['yes', 'no'][row % 2]}\n" for row, cell in enumerate(cells))
    (here / "My Table.csv").write_text("price,churn\n" + rows)
    init()
    text = (here / "projects/my-table/project.toml").read_text()
    line = next(line for line in text.splitlines() if line.startswith("price"))
    assert "'unknown'" in line
