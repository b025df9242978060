"""The table of a search's trials: as rich draws it on a terminal, and as plain lines.

Here: what stands in it. Not here: where trials are read (trials.py), nor the page (history.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from infra.trials import Trial, best, varied, word
from infra.units import short_time

if TYPE_CHECKING:
    from rich.table import Table

_COLORS = {"finished": "", "runs": "cyan", "pruned": "dim", "failed": "red"}
# What a table that is drawn anew all the time leaves free: the bars above it, its own head.
_ROOM = 10


def cells(trials: Sequence[Trial]) -> tuple[list[str], list[list[str]]]:
    """Titles and rows: number, state, what varies, time where known, loss, and a mark for the best.

    Without the job's own names: the number is enough to find a trial in `make status` or the page.
    """
    names = varied(trials)
    timed = any(trial.seconds is not None for trial in trials)
    titles = ["", "trial", "state", *names, *(["time"] if timed else []), "val_loss"]
    winner = best(trials)
    rows = []
    for trial in trials:
        row = ["★" if trial is winner else "", str(trial.number), word(trial.state)]
        row += [trial.values.get(name, "") for name in names]
        if timed:
            row.append("" if trial.seconds is None else short_time(trial.seconds))
        row.append("" if trial.loss is None else f"{trial.loss:.5g}")
        rows.append(row)
    return titles, rows


def drawn(trials: Sequence[Trial], height: int | None = None) -> Table:
    """The table for a terminal; where it is higher than `height` lines, the best and the last."""
    from rich.table import Table
    from rich.text import Text

    titles, rows = cells(trials)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in titles:
        table.add_column(title, no_wrap=True, header_style="dim")
    shown = list(zip(trials, rows, strict=True))
    room = len(shown) if height is None else max(height - _ROOM, 3)
    if len(shown) > room:
        winner = best(trials)
        kept = shown[-room:]
        shown = [pair for pair in shown if pair[0] is winner and pair not in kept] + kept
    for trial, row in shown:
        style = "bold green" if row[0] else _COLORS[trial.state]
        table.add_row(*(Text(cell) for cell in row), style=style)
    return table


def lined(trials: Sequence[Trial]) -> str:
    """The table as plain text."""
    titles, rows = cells(trials)
    widths = [max(len(line[at]) for line in (titles, *rows)) for at in range(len(titles))]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (titles, *rows)
    )


def told(trial: Trial, trials: Sequence[Trial]) -> str:
    """One trial in a line, with the best loss so far."""
    lowest = best(trials)
    values = ", ".join(f"{name}={value}" for name, value in trial.values.items())
    parts = [
        "" if trial.loss is None else f"val_loss={trial.loss:.5g}",
        "" if lowest is None else f"best={lowest.loss:.5g}",
        f"{{{values}}}",
        "" if trial.seconds is None else f"({short_time(trial.seconds)})",
        "" if trial.state == "finished" else word(trial.state),
        "" if trial.reason is None else f"- {trial.reason}",
    ]
    return " ".join(part for part in parts if part)
