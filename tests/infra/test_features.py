"""features.py on this machine: read, tried on the data, and packed before anything is uploaded."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

import pytest

from infra import project
from infra.check import check
from infra.prepare import make_artifacts
from infra.resources import Account, desired
from shared.errors import DataError, KitError, ProjectError
from tests.support import projects
from tests.support.quick_training import command

TOML = projects.TOML.replace(
    "[training]", '[features.columns]\nper_year = { kind = "numeric" }\n\n[training]'
)
GOOD = """\
import numpy as np


def features(columns):
    age = columns["carriers.age"]
    return {"per_year": np.where(age > 0, columns["distance"] / age, np.nan)}
"""
ACCOUNT = Account("123456789012", "us-east-1", local=True)


def make(directory: Path, text: str | None = GOOD, toml: str = TOML) -> Path:
    file = projects.make(directory, toml)
    if text is not None:
        (directory / "features.py").write_text(text)
    return file


def told(directory: Path, text: str | None = GOOD, toml: str = TOML) -> str:
    """What a person is told who loads and checks the project."""
    file = make(directory, text, toml)
    with pytest.raises(KitError) as caught:
        check(project.load(file))
    assert isinstance(caught.value, ProjectError | DataError)
    return str(caught.value)


def job(file: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("infra.prepare.ROOT", file.parent)
    settings = project.load(file)
    return desired(settings, make_artifacts(settings, None), ACCOUNT).job.name(1)


def test_a_good_one_is_read_with_what_it_makes(tmp_path: Path) -> None:
    settings = project.load(make(tmp_path))
    assert settings.features == GOOD.encode()
    assert settings.problem.features is not None
    assert [column.name for column in settings.problem.features.columns] == ["per_year"]
    check(settings)


def test_it_travels_in_the_code_of_the_training_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = job(make(tmp_path), monkeypatch)
    with tarfile.open(tmp_path / "build/small/sourcedir.tar.gz") as archive:
        packed = archive.extractfile("features.py")
        assert packed is not None
        assert packed.read() == GOOD.encode()
    assert job(make(tmp_path), monkeypatch) == first
    assert job(make(tmp_path, GOOD + "# a remark\n"), monkeypatch) != first
    assert job(make(tmp_path, GOOD, TOML.replace("numeric", "category", 1)), monkeypatch) != first


@pytest.mark.parametrize(
    ("text", "toml", "message"),
    [
        (None, TOML, "features.py to make them"),
        (GOOD, projects.TOML, "features.py is there, and what it makes has to be declared"),
        ("def features(columns)\n", TOML, "features.py, line 1: is not Python: expected ':'"),
        ("import pandas\n" + GOOD, TOML, "features.py, line 1: imports pandas"),
        (GOOD, TOML.replace("per_year", "distance"), "two columns have this name"),
        (GOOD, TOML.replace("per_year", "late"), "the target cannot be an input"),
        (GOOD, TOML.replace("per_year", '"a.b"'), "a dot is for the columns of sources"),
        (GOOD, TOML.replace('per_year = { kind = "numeric" }', ""), "one column or more is needed"),
        (GOOD, TOML.replace('per_year = { kind = "num', 'per_year = { kin = "num'), "Did you mean"),
        (GOOD, TOML.replace("[features.columns]", "[features.column]"), "features.column"),
    ],
)
def test_what_can_be_seen_without_running_it_is_told_on_loading(
    tmp_path: Path, text: str | None, toml: str, message: str
) -> None:
    file = make(tmp_path, text, toml)
    with pytest.raises(ProjectError) as caught:
        project.load(file)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)


def test_loading_does_not_run_it(tmp_path: Path) -> None:
    project.load(make(tmp_path, "1 / 0\n" + GOOD))
    assert "features.py, line 1: ZeroDivisionError" in told(tmp_path, "1 / 0\n" + GOOD)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ('columns["distnce"]', "line 6, row 0: KeyError: 'distnce', at `return"),
        ('columns["distnce"]', "Did you mean 'distance'?"),
        ('columns["distance"] / age', "column 'per_year': features.py makes inf of this row"),
        ('columns["distance"][1:]', "shape (100,) is needed"),
        ('columns["distance"] / columns["distance"].max()', "alone"),
        ("np.array([float(one[1:]) for one in columns['carrier']])", "with null in 'carrier'"),
    ],
)
def test_it_is_tried_on_the_data_and_on_odd_rows(
    tmp_path: Path, expression: str, message: str
) -> None:
    text = GOOD.replace('np.where(age > 0, columns["distance"] / age, np.nan)', expression)
    assert text != GOOD
    said = told(tmp_path, text)
    assert message in said
    assert "features.py" in said


def test_a_plan_says_what_a_deployment_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_CLOUD_ROOT", str(tmp_path / "cloud"))
    monkeypatch.setattr("infra.prepare.ROOT", tmp_path)
    file = make(tmp_path / "project")
    assert command("plan", "--project", str(file)).code == 0
    make(tmp_path / "project", GOOD.replace("age > 0", "age > zero"))
    said = command("plan", "--project", str(file))
    assert (said.code, said.out) == (1, "")
    assert f"{tmp_path}/project/features.py, line 6, row 0: NameError" in said.err


def test_the_example_of_the_page_is_a_good_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/features.md").read_text()
    text, made = re.findall(r"```(?:python|toml)\n(.*?)```", page, re.DOTALL)[:2]
    rows = [f"{n},{n + 1},{n % 7},{'FGI'[n % 3]},{'DE'[n % 2]},{n % 3 == 0}" for n in range(60)]
    (tmp_path / "gems.csv").write_text("x,y,z,cut,color,sold\n" + "\n".join(rows) + "\n")
    (tmp_path / "features.py").write_text(text)
    own = f'name = "gems"\n[data]\nsource = "gems.csv"\ntarget = "sold"\n{made}'
    (tmp_path / "project.toml").write_text(own)
    settings = project.load(tmp_path)
    assert settings.problem.features is not None
    assert [one.name for one in settings.problem.features.columns] == ["flat", "cut and color"]
    check(settings)


def test_where_a_table_is_in_s3_the_training_job_tries_it(tmp_path: Path) -> None:
    toml = TOML.replace('"carriers.csv"', '"s3://bucket/carriers/"')
    check(project.load(make(tmp_path, GOOD.replace("age > 0", "age > zero"), toml)))
