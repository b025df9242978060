"""A house of its own for the tests that only need one, and for each that spoils its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.house import House, built


@pytest.fixture(scope="session")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every AWS call that was made in any house, a JSON object a line."""
    return tmp_path_factory.mktemp("calls") / "calls.jsonl"


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory, calls: Path) -> Iterator[House]:
    with built(tmp_path_factory.mktemp("house") / "kit", calls) as house:
        yield house


@pytest.fixture
def other_house(tmp_path_factory: pytest.TempPathFactory, calls: Path) -> Iterator[House]:
    with built(tmp_path_factory.mktemp("other") / "kit", calls) as house:
        yield house
