"""What all tests need of the process that they run in, and how two workers share them out."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent
# The quick ones come last and fill up the end, when one worker has nothing left.
LONGEST_FIRST = ("e2e/", "training/", "infra/local/", "inference/", "infra/", "fuzz/", "images/")

# A shell that starts the suite in the background has it ignore Ctrl-C; so would every program that
# a test starts, and then interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        file = item.path.relative_to(ROOT).as_posix()
        return next(
            (place for place, folder in enumerate(LONGEST_FIRST) if file.startswith(folder)),
            len(LONGEST_FIRST),
        )

    items.sort(key=rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A worker gets a whole file, for its tests share what they set up; and e2e as one: a house."""
    from xdist.scheduler import LoadFileScheduling

    class ByHouse(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "e2e" if nodeid.startswith("tests/e2e/") else super()._split_scope(nodeid)

    return ByHouse(config, log)
