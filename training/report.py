"""The report of a training job: one HTML file that opens offline, and its figures as JSON.

Here: how it looks. Not here: what it says (evaluation.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from shared import documents, files
from training.evaluation import Diagnosis, History
from training.tuning import Trial, best

WIDTH, HEIGHT, MARGIN = 720, 280, 48
TICKS = 6
CURVES = (("train_loss", "training loss", "#2563eb"), ("val_loss", "validation loss", "#ea580c"))

STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse } th, td { padding: .25rem .9rem .25rem 0; text-align: left }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
tr.best { font-weight: 600 } thead th { border-bottom: 1px solid #8888 }
.verdict { border-left: 4px solid #16a34a; padding: .5rem 1rem; background: #8881 }
.verdict.over-fitting { border-color: #ea580c } .verdict.under-fitting { border-color: #2563eb }
svg { max-width: 100%; height: auto } svg text { font-size: 12px; fill: currentColor }
"""


@dataclass(frozen=True, kw_only=True)
class Content:
    """What the report says.

    Args:
        title: the project's name.
        facts: what else to state, by name.
        scores: by split, by metric.
        baseline: likewise, of an answer that is always the same.
        caution: what to hold against the scores, if anything.
        history: of the final fit.
        diagnosis: of the final fit.
        trials: of the search; none if there was none.
        importance: of the hyperparameters searched, where there are trials enough to tell.
        hyperparameters: of the final fit.
        resolved: what those became that are "auto".
    """

    title: str
    facts: Mapping[str, object]
    scores: Mapping[str, Mapping[str, float]]
    baseline: Mapping[str, Mapping[str, float]]
    caution: str | None
    history: History
    diagnosis: Diagnosis
    trials: Sequence[Trial]
    importance: Mapping[str, float]
    hyperparameters: Mapping[str, object]
    resolved: Mapping[str, object]


def write(folder: Path, content: Content) -> None:
    """Write report.html, metrics.json and trials.json into a folder, made if need be.

    Raises:
        StorageError: the disk refuses.
    """
    figures = documents.plain(content)
    trials = figures.pop("trials")
    files.write(folder / "metrics.json", documents.dumps(figures, indent=1).encode())
    files.write(folder / "trials.json", documents.dumps(trials, indent=1).encode())
    files.write(folder / "report.html", html(content).encode())


def html(content: Content) -> str:
    """The report as one page that needs nothing else."""
    diagnosis = content.diagnosis
    title = escape(content.title)
    body = "\n".join(
        [
            f"<h1>{title}</h1>",
            "<h2>Scores</h2>",
            _scores(content.scores, content.baseline),
            f"<p>{escape(content.caution)}</p>" if content.caution else "",
            "<h2>Does it over-fit?</h2>",
            f'<p class="verdict {diagnosis.verdict}">{escape(diagnosis.text)}</p>',
            curves(content.history, diagnosis.best_epoch),
            "<h2>Trials</h2>",
            _trials(content.trials),
            _importance(content.importance),
            _parallel(content.trials),
            "<h2>Hyperparameters of the final fit</h2>",
            _pairs({**content.hyperparameters, **_resolved(content.resolved)}),
            "<h2>Facts</h2>",
            _pairs({name: _counted(value) for name, value in content.facts.items()}),
        ]
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{title}: training report</title><style>{STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def curves(history: History, best_epoch: int) -> str:
    """Training and validation loss by epoch as an SVG, the kept epoch marked."""
    values = [record[name] for record in history for name, _, _ in CURVES]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    epochs = len(history)

    def x(epoch: int) -> float:
        share = (epoch - 1) / (epochs - 1) if epochs > 1 else 0.5
        return MARGIN + share * (WIDTH - 2 * MARGIN)

    def y(value: float) -> float:
        return HEIGHT - MARGIN - (value - low) / span * (HEIGHT - 2 * MARGIN)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Loss by epoch">']
    for step in range(5):
        value = low + span * step / 4
        parts.append(
            f'<line x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{y(value):.1f}" y2="{y(value):.1f}" '
            f'stroke="#8884"/><text x="4" y="{y(value) + 4:.1f}">{value:.4g}</text>'
        )
    stride = max(1, math.ceil(epochs / 12))
    for epoch in range(1, epochs + 1, stride):
        parts.append(
            f'<text x="{x(epoch):.1f}" y="{HEIGHT - MARGIN + 18}" text-anchor="middle">'
            f"{epoch}</text>"
        )
    parts.append(
        f'<line x1="{x(best_epoch):.1f}" x2="{x(best_epoch):.1f}" y1="{MARGIN}" '
        f'y2="{HEIGHT - MARGIN}" stroke="#16a34a" stroke-dasharray="4 4"/>'
        f'<text x="{x(best_epoch) + 4:.1f}" y="{MARGIN - 6}">kept: epoch {best_epoch}</text>'
    )
    for place, (name, label, colour) in enumerate(CURVES):
        points = [(x(e), y(record[name])) for e, record in enumerate(history, start=1)]
        line = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        dots = "".join(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3"/>' for px, py in points)
        left = MARGIN + 150 * place
        parts.append(
            f'<g fill="{colour}"><polyline points="{line}" fill="none" stroke="{colour}" '
            f'stroke-width="2"/>{dots}<rect x="{left}" y="12" width="12" height="12"/></g>'
            f'<text x="{left + 18}" y="22">{label}</text>'
        )
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">epoch</text></svg>')
    return "".join(parts)


def _scores(
    scores: Mapping[str, Mapping[str, float]], baseline: Mapping[str, Mapping[str, float]]
) -> str:
    rows = {**scores, **{f"{split}, always the same answer": v for split, v in baseline.items()}}
    names = sorted({name for values in rows.values() for name in values})
    return _table(
        ["split", *names],
        [[row, *(values.get(name, math.nan) for name in names)] for row, values in rows.items()],
    )


def _trials(trials: Sequence[Trial]) -> str:
    if not trials:
        return "<p>Nothing was searched: the hyperparameters are the project's own.</p>"
    names = sorted({name for trial in trials for name in trial.values})
    folds = any(len(epoch) > 1 for trial in trials for epoch in trial.losses)
    head = ["trial", "state", "val_loss", *(["± between folds"] if folds else []), "epochs", *names]
    rows: list[list[object]] = [
        [trial.number + 1, trial.state, trial.loss]
        + ([trial.spread] if folds else [])
        + [len(trial.losses)]
        + [trial.values.get(name, "") for name in names]
        for trial in trials
    ]
    table = _table(head, rows, best(trials).number)
    failures = [f"<p>Trial {t.number + 1} failed: {escape(t.error)}</p>" for t in trials if t.error]
    return table + "".join(failures)


def _importance(importance: Mapping[str, float]) -> str:
    if not importance:
        return ""
    rows = [[name, f"{share:.0%}"] for name, share in importance.items()]
    return (
        "<h2>What mattered</h2><p>The share of the differences between the finished trials' losses "
        "that each hyperparameter explains (fANOVA).</p>"
        + _table(["hyperparameter", "importance"], rows)
    )


def _parallel(trials: Sequence[Trial]) -> str:
    """One line for each trial through its values and its loss, as an SVG; the best one marked.

    An axis holds the values in their order, evenly spaced, so that numbers of any scale and words
    are read alike; the lowest stands at the bottom.
    """
    shown = [trial for trial in trials if trial.state != "failed"]
    names = sorted({name for trial in shown for name in trial.values})
    if len(shown) < 2 or not names:
        return ""
    axes = [[trial.values[name] for trial in shown] for name in names]
    axes.append([trial.loss for trial in shown])
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Trials by value">']
    heights = []
    for place, (name, values) in enumerate(zip([*names, "val_loss"], axes, strict=True)):
        x = MARGIN + place * (WIDTH - 2 * MARGIN) / (len(axes) - 1)
        order = sorted(set(values), key=lambda value: (isinstance(value, str), value))
        step = (HEIGHT - 2 * MARGIN) / max(len(order) - 1, 1)
        heights.append([(x, HEIGHT - MARGIN - step * order.index(value)) for value in values])
        ticks = order if len(order) <= TICKS else [order[0], order[-1]]
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{MARGIN}" y2="{HEIGHT - MARGIN}" '
            f'stroke="#8888"/><text x="{x:.1f}" y="20" text-anchor="middle">{escape(name)}</text>'
        )
        parts += [
            f'<text x="{x + 4:.1f}" y="{HEIGHT - MARGIN - step * order.index(value) - 3:.1f}">'
            f"{escape(_text(value))}</text>"
            for value in ticks
        ]
    winner = shown.index(best(shown))
    for number in sorted(range(len(shown)), key=lambda number: number == winner):
        points = " ".join(f"{axis[number][0]:.1f},{axis[number][1]:.1f}" for axis in heights)
        look = 'stroke="#ea580c" stroke-width="3"' if number == winner else 'stroke="#2563eb66"'
        parts.append(f'<polyline points="{points}" fill="none" {look}/>')
    said = "Each line is a trial, the thick one the best; every axis holds its values in order."
    return "".join([f"<p>{said}</p>", *parts, "</svg>"])


def _resolved(values: Mapping[str, object]) -> dict[str, str]:
    return {name: f"auto: {_text(value)}" for name, value in values.items()}


def _counted(value: object) -> object:
    return f"{value:,}" if isinstance(value, int) else value


def _pairs(pairs: Mapping[str, object]) -> str:
    rows = "".join(
        f"<tr><th>{escape(k)}</th><td>{escape(_text(v))}</td></tr>" for k, v in pairs.items()
    )
    return f"<table><tbody>{rows}</tbody></table>"


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]], marked: int | None = None) -> str:
    titles = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = []
    for number, row in enumerate(rows):
        cells = "".join(
            f'<td class="n">{escape(_text(cell))}</td>'
            if isinstance(cell, int | float)
            else f"<td>{escape(_text(cell))}</td>"
            for cell in row
        )
        kind = ' class="best"' if number == marked else ""
        lines.append(f"<tr{kind}>{cells}</tr>")
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.5g}" if math.isfinite(value) else "–"
    return str(value)
