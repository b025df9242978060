"""The sections of project.toml: what is told where a table belongs and another thing stands."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from infra import project
from infra.sections import EndpointSection, ProjectFile, RolloutSection, Section
from shared.errors import ProjectError
from tests.support import projects

TABLES = ("scaling", "serverless", "async", "rollout", "shadow", "ab")


def example(section: type[Section], key: str) -> str:
    field = section.model_fields[f"{key}_" if key == "async" else key]
    assert field.description
    return field.description.removeprefix("a table such as ")


@pytest.mark.parametrize("value", ['"20%"', "0.2", "true", '["canary"]'])
@pytest.mark.parametrize("key", TABLES)
def test_what_is_no_table_is_answered_with_one(key: str, value: str, tmp_path: Path) -> None:
    file = projects.make(tmp_path, f"{projects.TOML}\n[endpoint]\n{key} = {value}\n")
    with pytest.raises(ProjectError) as refused:
        project.load(file)
    assert f"endpoint.{key}: " in str(refused.value)
    assert f"it must be a table such as {{ {example(EndpointSection, key)[2:]}" in str(
        refused.value
    )


@pytest.mark.parametrize(
    ("section", "key"),
    [*((EndpointSection, key) for key in TABLES), (RolloutSection, "thresholds")],
)
def test_the_table_that_is_shown_is_one_that_is_taken(section: type[Section], key: str) -> None:
    written: dict[str, Any] = tomllib.loads(f"{key} = {example(section, key)}")
    assert section.model_validate(written).model_dump(by_alias=True)[key]


@pytest.mark.parametrize("key", ["data", "training", "tuning", "retraining", "endpoint", "aws"])
def test_a_section_that_is_no_table_is_told_how_one_is_written(key: str, tmp_path: Path) -> None:
    file = projects.make(tmp_path, f'name = "small"\n{key} = "rows.csv"\n')
    with pytest.raises(ProjectError) as refused:
        project.load(file)
    assert f"{key}: 'rows.csv' is not allowed; it must be a table [{key}]; below it" in str(
        refused.value
    )
    assert ProjectFile.model_fields[key].description in str(refused.value)
