"""The page of a search by the service: how it went, what was tried, and what came of it.

No single job saw all the trials, so no job's report can show them; this page is made here, from
what the tuning job tells. It opens offline. Here: how it looks. Not here: where trials are read.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from infra.importance import importance
from infra.table import cells
from infra.trials import Trial, best, counted, varied
from shared import files

if TYPE_CHECKING:
    from shared.problem import Tuning

PAGE = "tuning.html"
TRIALS = "trials.json"

_WIDTH, _HEIGHT, _MARGIN = 760, 260, 56
_LOG_FROM = 50.0
_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; display: block; overflow-x: auto }
th, td { padding: .2rem .9rem .2rem 0; text-align: left; white-space: nowrap }
th { border-bottom: 1px solid #8888 } tr.best { font-weight: 600 }
svg { max-width: 100%; height: auto } svg text { font-size: 12px; fill: currentColor }
"""


def write(folder: Path, title: str, tuning: Tuning, trials: Sequence[Trial]) -> Path:
    """Write tuning.html and trials.json into a folder, unless they are there; the page's path.

    Raises:
        StorageError: the disk refuses.
    """
    page, kept = folder / PAGE, folder / TRIALS
    plain = json.dumps([dataclasses.asdict(trial) for trial in trials], indent=1).encode()
    if not (page.is_file() and kept.is_file() and kept.read_bytes() == plain):
        shares = importance(tuning.space, trials)
        files.write(page, html(title, tuning.strategy, trials, shares).encode())
        files.write(kept, plain)
    return page


def html(
    title: str, strategy: str, trials: Sequence[Trial], shares: Mapping[str, float] | None = None
) -> str:
    """The page; without shares it says nothing of what mattered."""
    name = escape(title)
    body = [
        f"<h1>{name}</h1>",
        f"<p>A {escape(strategy)} search by the service: {escape(counted(trials))}.</p>",
        *(["<h2>What mattered</h2>", _bars(shares)] if shares else []),
        "<h2>History</h2>",
        _course(trials),
        "<h2>Trials</h2>",
        _table(trials),
        "<h2>Values and losses</h2>",
        _parallel(trials),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{name}: search</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _table(trials: Sequence[Trial]) -> str:
    titles, rows = cells(trials)
    head = "".join(f"<th>{escape(one)}</th>" for one in (*titles, "training job", "reason"))
    lines = []
    for trial, row in zip(trials, rows, strict=True):
        told = "".join(f"<td>{escape(cell)}</td>" for cell in (*row, trial.job, trial.reason or ""))
        mark = ' class="best"' if row[0] else ""
        lines.append(f"<tr{mark}>{told}</tr>")
    return f"<table><tr>{head}</tr>\n" + "\n".join(lines) + "</table>"


def _bars(shares: Mapping[str, float]) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{share:.0%}</td>"
        f'<td><svg width="300" height="12"><rect width="{300 * share:.0f}" height="12" '
        'fill="#2563eb"/></svg></td></tr>\n'
        for name, share in shares.items()
    )
    return f"<p>Share of the differences between the losses (fANOVA):</p><table>{rows}</table>"


def _course(trials: Sequence[Trial]) -> str:
    """Each trial's loss as a point, the best so far as a line."""
    scored = [(trial.number, trial.loss) for trial in trials if trial.loss is not None]
    if not scored:
        return "<p>No trial has a validation loss.</p>"
    losses = [loss for _, loss in scored]
    x = _scale(min(n for n, _ in scored), max(n for n, _ in scored), _MARGIN, _WIDTH - _MARGIN)
    y = _scale(min(losses), max(losses), _HEIGHT - _MARGIN, _MARGIN)
    points = "".join(
        f'<circle cx="{x(n):.1f}" cy="{y(loss):.1f}" r="4" fill="#2563eb">'
        f"<title>trial {n}: {loss:.5g}</title></circle>"
        for n, loss in scored
    )
    steps = zip((n for n, _ in scored), itertools.accumulate(losses, min), strict=True)
    line = " ".join(f"{x(n):.1f},{y(loss):.1f}" for n, loss in steps)
    bottom, left = _HEIGHT - _MARGIN, _MARGIN
    labels = "".join(
        f'<text x="{left - 6}" y="{y(loss) + 4:.1f}" text-anchor="end">{loss:.4g}</text>'
        for loss in sorted({min(losses), max(losses)})
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Loss by trial">'
        f'<path d="M{left} {_MARGIN}V{bottom}H{_WIDTH - _MARGIN}" fill="none" stroke="#8888"/>'
        f'<polyline points="{line}" fill="none" stroke="#ea580c" stroke-width="2"/>{points}{labels}'
        f'<text x="{_WIDTH - _MARGIN}" y="{bottom + 24}" text-anchor="end">trial</text></svg>'
    )


def _parallel(trials: Sequence[Trial]) -> str:
    """A line for each trial through its values, the best one's on top."""
    scored = [trial for trial in trials if trial.loss is not None]
    names = varied(scored)
    if len(scored) < 2 or not names:
        return "<p>There are too few trials to compare.</p>"
    columns = [[trial.values.get(name, "") for trial in scored] for name in names]
    heights = [_heights(column) for column in columns]
    heights.append(_heights([repr(trial.loss) for trial in scored]))
    x = _scale(0, len(names), _MARGIN, _WIDTH - _MARGIN)
    winner = best(trials)
    lines = [
        (
            trial is winner,
            " ".join(f"{x(at):.1f},{height[row]:.1f}" for at, height in enumerate(heights)),
        )
        for row, trial in enumerate(scored)
    ]
    drawn = "".join(
        f'<polyline points="{points}" fill="none" '
        + ('stroke="#ea580c" stroke-width="3"/>' if first else 'stroke="#2563eb66"/>')
        for first, points in sorted(lines)
    )
    axes = ""
    for at, name in enumerate([*names, "val_loss"]):
        texts = columns[at] if at < len(names) else [f"{trial.loss:.4g}" for trial in scored]
        marks = {round(height): text for height, text in zip(heights[at], texts, strict=True)}
        shown = marks if len(marks) <= 6 else {at: marks[at] for at in (min(marks), max(marks))}
        axes += (
            f'<path d="M{x(at):.1f} {_MARGIN}V{_HEIGHT - _MARGIN}" stroke="#8888"/>'
            f'<text x="{x(at):.1f}" y="{_MARGIN - 20}" text-anchor="middle">{escape(name)}</text>'
        ) + "".join(
            f'<text x="{x(at) + 6:.1f}" y="{height + 4}">{escape(text)}</text>'
            for height, text in shown.items()
        )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Values by trial">'
        f"{axes}{drawn}</svg>"
    )


def _heights(texts: Sequence[str]) -> list[float]:
    """Where the values lie on their axis: numbers by size, other values side by side."""
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        kinds = sorted(set(texts))
        numbers = [float(kinds.index(text)) for text in texts]
    else:
        if min(numbers) > 0 and max(numbers) / min(numbers) > _LOG_FROM:
            numbers = [math.log(number) for number in numbers]
    y = _scale(min(numbers), max(numbers), _HEIGHT - _MARGIN, _MARGIN)
    return [y(number) for number in numbers]


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    span = high - low

    def place(value: float) -> float:
        return start + (value - low) / span * (end - start) if span else (start + end) / 2

    return place
