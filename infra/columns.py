"""Columns of the progress display that rich does not bring; loaded with the screen only.

What must be read on a narrow terminal (stage, count, time) never shrinks; these two do.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text


class Bars(Progress):
    """The bars, and below them a table where there is one."""

    table: Table | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        """Bars first."""
        yield from super().get_renderables()
        if self.table is not None:
            yield self.table


class BarOfKnown(BarColumn):
    """A bar where the total is known, and nothing where it is not."""

    def render(self, task: Task) -> ProgressBar | Text:  # type: ignore[override]
        """The bar, or no text."""
        return super().render(task) if task.total else Text()


class Detail(ProgressColumn):
    """Free text on one line, cut with an ellipsis where the terminal ends."""

    def __init__(self) -> None:
        # A column that may wrap is the first to shrink; the text itself never wraps.
        super().__init__(Column(no_wrap=False))

    def render(self, task: Task) -> Text:
        """The task's detail."""
        return Text(task.fields["detail"], style="dim", no_wrap=True, overflow="ellipsis")
