"""What the pages promise is what the code has."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from inference import environment, limits
from shared.hyperparameters import Hyperparameters

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_hyperparameter_stands_in_the_reference_with_its_default() -> None:
    page = (ROOT / "docs/project.md").read_text()
    for knob in dataclasses.fields(Hyperparameters):
        assert f"| `{knob.name}` | `{json.dumps(knob.default)}` |" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not link.startswith("http"):
            assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    benches = {
        f"bench-{script.stem.replace('_', '-')}" for script in (ROOT / "benchmarks").glob("*.py")
    }
    for named in re.findall(r"\bmake ([a-z][a-z-]+)", page.read_text()):
        assert named in targets | benches, named


ONLY_THERE = {"not_served", "unknown_request", "unknown_class"}
"""Codes of other containers, of measures that no client asks for, and of training data."""


def test_every_code_of_a_refusal_stands_in_the_table_of_statuses() -> None:
    page = (ROOT / "docs/serving.md").read_text()
    raised = re.compile(
        r"(?:InputError|UnavailableError|Mistake|_too_much|_invalid)\(\s*(?:[^\"()]+,\s*)?\"([a-z_]+)\""
    )
    scripts = [*(ROOT / "inference").rglob("*.py"), *(ROOT / "shared").glob("*.py")]
    codes = {code for script in scripts for code in raised.findall(script.read_text())}
    assert len(codes) > 30
    assert {code for code in codes if f"`{code}`" not in page} <= ONLY_THERE


def test_every_variable_and_limit_of_the_server_stands_in_operating() -> None:
    page = (ROOT / "docs/operating.md").read_text()
    named = re.findall(r"^  ([A-Z_]{8,})", environment.USAGE, re.MULTILINE)
    assert "SAGEMAKER_BATCH" in named
    for variable in named:
        assert f"`{variable}`" in page, variable
    for row in (
        f"| body | {limits.BODY_BYTES:,} bytes",
        f"| requests in flight in one worker | {limits.IN_FLIGHT} |",
        f"| time in which a body must arrive | {limits.BODY_SECONDS} seconds |",
        f"8 KiB of a type that is no text | {limits.LARGE_IN_FLIGHT} |",
    ):
        assert row in page, row
