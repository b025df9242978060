"""What a person sees while something runs: stages, and within a stage how far it has got.

On a terminal, rich draws a spinner and bars; elsewhere, and under NO_COLOR, plain lines. Which of
the two is decided once, by `progress`. Nothing here knows about AWS.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import IO, TYPE_CHECKING, Protocol, Self

from infra.table import drawn, told
from infra.trials import Trial, best
from infra.units import short_time

if TYPE_CHECKING:
    from rich.progress import TaskID


class Progress(Protocol):
    """Shows what is going on. A context manager, since a terminal must be left as it was."""

    def stage(self, title: str) -> None:
        """A new stage begins; the one before is over."""

    def done(self, text: str = "") -> None:
        """The stage is over, with what came of it."""

    def status(self, text: str) -> None:
        """What is being waited for right now."""

    def line(self, text: str) -> None:
        """One line that stays."""

    def advance(self, what: str, done: int, total: int | None, detail: str = "") -> None:
        """So many of so many (None: nobody knows): bytes, trials, epochs, seconds."""

    def trials(self, found: Sequence[Trial], total: int | None) -> None:
        """The trials of a search so far, of so many (None: nobody knows)."""

    def aside(self) -> AbstractContextManager[None]:
        """Meanwhile others may write to the terminal, and read from it."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""


class Lines:
    """Plain lines: each says something new, none is ever redrawn."""

    def __init__(self, stages: int, out: IO[str] | None = None) -> None:
        self._out = out or sys.stdout
        self._stages = stages
        self._number = 0
        self._title = ""
        self._started = 0.0
        self._said = ""
        self._told: set[int] = set()

    def stage(self, title: str) -> None:
        """Print the stage's number and title."""
        self._number += 1
        self._title = title
        self._started = time.monotonic()
        self._say(f"[{self._number}/{self._stages}] {title}")

    def done(self, text: str = "") -> None:
        """Print what came of it and how long it took."""
        took = short_time(time.monotonic() - self._started)
        self._say(f"      {text or 'done'} ({took})")

    def status(self, text: str) -> None:
        """Print a status that differs from the last."""
        if text != self._said:
            self._say(f"      {text}")
        self._said = text

    def line(self, text: str) -> None:
        """Print the line."""
        self._say(f"      {text}")

    def advance(self, what: str, done: int, total: int | None, detail: str = "") -> None:
        """Print a count; not of bytes, since they come by the thousand, nor of seconds."""
        if what not in ("bytes", "seconds"):
            count = f"{done}/{total}" if total else f"{done}"
            self._say(f"      {what} {count} {detail}".rstrip())

    def trials(self, found: Sequence[Trial], total: int | None) -> None:
        """Print each trial once, when it has ended and, if it finished, its loss is known."""
        for trial in found:
            ended = trial.state in ("pruned", "failed") or trial.loss is not None
            if trial.state != "runs" and ended and trial.number not in self._told:
                self._told.add(trial.number)
                self.advance("trial", trial.number, total, told(trial, found))

    def aside(self) -> AbstractContextManager[None]:
        """Lines are in nobody's way."""
        return nullcontext()

    def __enter__(self) -> Self:
        """Nothing to prepare."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to put back."""

    def _say(self, text: str) -> None:
        print(text, file=self._out, flush=True)


class Screen:
    """A spinner for the stage that runs, a bar for what is counted, a tick for what is done."""

    def __init__(self, stages: int) -> None:
        from rich.console import Console
        from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

        from infra.columns import BarOfKnown, Bars, Detail

        self._console = Console(highlight=False)
        self._bars = Bars(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}"),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            BarOfKnown(bar_width=12),
            Detail(),
            console=self._console,
            transient=True,
        )
        self._stages = stages
        self._number = 0
        self._title = ""
        self._started = 0.0
        self._tasks: dict[str, TaskID] = {}

    def stage(self, title: str) -> None:
        """Start the spinner of a stage."""
        self._clear()
        self._number += 1
        self._title = title
        self._started = time.monotonic()
        self._task(title, None)

    def done(self, text: str = "") -> None:
        """Replace the spinner by a tick and what came of it."""
        took = short_time(time.monotonic() - self._started)
        self._clear()
        self._console.print(
            f"[green]✔[/] [bold]{self._title}[/]  {_plain(text or 'done')}  [dim]{took}[/]"
        )

    def status(self, text: str) -> None:
        """Show the status beside the spinner."""
        self._bars.update(self._task(self._title, None), detail=text)

    def line(self, text: str) -> None:
        """Print the line above the bars."""
        self._console.print(f"  [dim]{_plain(text)}[/]")

    def advance(self, what: str, done: int, total: int | None, detail: str = "") -> None:
        """Move the bar."""
        count = "" if what == "bytes" else f"{done}/{total}" if total else str(done)
        task = self._task(what, total)
        self._bars.update(task, completed=done, total=total, count=count, detail=detail)

    def trials(self, found: Sequence[Trial], total: int | None) -> None:
        """Move the bar, and draw the table anew."""
        ended = [trial for trial in found if trial.state != "runs"]
        lowest = best(ended)
        self.advance(
            "trial", len(ended), total, "" if lowest is None else f"best={lowest.loss:.5g}"
        )
        self._bars.table = drawn(found, self._console.height) if found else None

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Stop drawing for as long."""
        self._clear()
        self._bars.stop()
        try:
            yield
        finally:
            self._bars.start()

    def __enter__(self) -> Self:
        """Start drawing."""
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop drawing and leave the cursor where it belongs."""
        self._clear()
        self._bars.stop()

    def _task(self, what: str, total: int | None) -> TaskID:
        if what not in self._tasks:
            number = f"[bold]{self._number}/{self._stages}[/] " if what == self._title else "    "
            self._tasks[what] = self._bars.add_task(number + what, total=total, count="", detail="")
        return self._tasks[what]

    def _clear(self) -> None:
        self._bars.table = None
        for task in self._tasks.values():
            self._bars.remove_task(task)
        self._tasks.clear()


def plain() -> bool:
    """Whether nothing is to be drawn: no terminal, or one that wants or takes no colours."""
    return not sys.stdout.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"


def progress(stages: int) -> Progress:
    """The way of showing that fits where the output goes."""
    return Lines(stages) if plain() else Screen(stages)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
