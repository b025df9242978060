"""Commands run in the tests' process, each with clients of its own."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest
from botocore.loaders import JSONFileLoader


@pytest.fixture(scope="package", autouse=True)
def apis_read_once() -> Iterator[None]:
    """botocore reads its descriptions of AWS, megabytes of JSON, for each session; here for all."""
    read = functools.cache(JSONFileLoader().load_file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda self, path: read(path))
        yield
