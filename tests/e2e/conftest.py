"""A house of its own for the tests that only need one, and for each that spoils its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.house import House, built


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with built(tmp_path_factory.mktemp("house") / "kit") as house:
        yield house


@pytest.fixture
def other_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with built(tmp_path_factory.mktemp("other") / "kit") as house:
        yield house
