"""The report as one page: what stands where, in which words, and its style sheet.

The page needs nothing else: no script, no font, no picture from anywhere. It follows the reader's
light or dark setting. Not here: the charts (figures.py) and the tables (tables.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from training.evaluation.measures import HEADLINES
from training.report import figures
from training.report.tables import Cell, pairs, table, text
from training.tuning import Trial, best

if TYPE_CHECKING:
    from training.report import Content

MOST_SLICES, MOST_CLASSES, MOST_TRIALS = 20, 25, 200
VERDICTS = {"over-fitting": "warn", "under-fitting": "warn", "sound": "good"}

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --card: #f5f7fa; --ink: #1b2430; --soft: #5b6878;
  --grid: #dfe4ea; --a: #2563eb; --b: #c2410c; --good: #15803d; --warn: #b45309 }
@media (prefers-color-scheme: dark) { :root { --paper: #12161c; --card: #1b212a; --ink: #e4e9f0;
  --soft: #98a5b5; --grid: #2d3641; --a: #7aa7ff; --b: #fb923c; --good: #4ade80; --warn: #fbbf24 } }
* { box-sizing: border-box }
body { font: 15px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 64rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem }
h3 { font-size: 1rem; margin: 1.25rem 0 .25rem } p { margin: .4rem 0; max-width: 46rem }
.soft, caption, figcaption { color: var(--soft) } caption { text-align: left; padding: .3rem 0 }
nav { margin: .3rem 0 1rem } nav a { color: var(--a); margin-right: 1rem; text-decoration: none }
nav a:hover, nav a:focus { text-decoration: underline }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .75rem }
.card { background: var(--card); border-radius: 8px; padding: .7rem .9rem }
.card b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; line-height: 1.3 }
.card.good b { color: var(--good) } .card.warn b { color: var(--warn) }
.cards + .note { margin-top: .75rem }
.note { border-left: 4px solid var(--good); padding: .5rem 1rem; background: var(--card) }
.note.warn { border-color: var(--warn) } .note p { max-width: none }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 1rem }
figure { margin: .5rem 0 } figcaption { font-size: .9rem }
svg { width: 100%; max-width: 46rem; height: auto; display: block }
.charts figure { max-width: 34rem } svg text { font-size: 12px; fill: var(--soft) }
svg .name { fill: var(--ink) } .grid { stroke: var(--grid) } .axis { stroke: var(--soft) }
.line { fill: none; stroke-width: 2; stroke-linejoin: round } .line.thin { stroke-width: 1.2 }
.line.a, .key.a { stroke: var(--a) } .line.b, .key.b { stroke: var(--b) }
.chance { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 4 4 }
.mark { stroke: var(--good); stroke-dasharray: 4 4 } .mark.bad { stroke: var(--warn) }
.whisker { stroke: var(--ink) }
.dot.a, .bar.a { fill: var(--a) } .dot.b, .bar.b { fill: var(--b) } .faint { opacity: .45 }
.key { display: inline-block; width: 1.4em; height: .2em; vertical-align: middle;
  margin: 0 .35em 0 0 } .key.a { background: var(--a) } .key.b { background: var(--b) }
.wide { overflow-x: auto } table { border-collapse: collapse; margin: .4rem 0 }
th, td { padding: .28rem .9rem .28rem 0; text-align: left; vertical-align: top; font-weight: 400 }
thead th { border-bottom: 1px solid var(--soft); font-weight: 600; white-space: nowrap }
tbody tr + tr > * { border-top: 1px solid var(--grid) }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.best td { font-weight: 700 } .bad { color: var(--warn); font-weight: 600 }
td.heat { padding: .35rem .9rem; text-align: right;
  background: color-mix(in srgb, var(--a) calc(var(--heat) * 55%), transparent) }
.heat + td:not(.heat) { padding-left: .9rem }
@media print { body { max-width: none } nav { display: none } }
"""


def html(content: Content) -> str:
    """The whole page."""
    title = escape(content.title)
    sections = {
        "Scores": _scores(content),
        "Over-fitting": _diagnosis(content),
        "Errors": _errors(content),
        "Slices": _slices(content),
        "Inputs": _inputs(content),
        "Search": _search(content),
        "Settings": _settings(content),
    }
    links = "".join(f'<a href="#{name.lower()}">{name}</a>' for name in sections)
    body = "\n".join(
        f'<section id="{name.lower()}">{part}</section>' for name, part in sections.items()
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}: training report</title><style>{STYLE}</style></head>\n"
        f"<body><main>\n<header><h1>{title}</h1>"
        f'<p class="soft">Training report</p><nav aria-label="Sections">{links}</nav>'
        f"{_summary(content)}</header>\n{body}\n</main></body></html>\n"
    )


def _summary(content: Content) -> str:
    found, diagnosis = content.assessment, content.diagnosis
    cards = []
    name = HEADLINES[found.task].name
    if name in found.scores["test"]:
        always = found.baseline["test"][name]
        cards.append(("", text(found.scores["test"][name]), f"{name} on the test rows"))
        cards.append(("", text(always), f"{name} of always the same answer"))
    cards.append((VERDICTS[diagnosis.verdict], diagnosis.verdict, "from the curves"))
    cards.append(("", str(diagnosis.best_epoch), f"epoch kept, of {len(content.history)} trained"))
    if found.threshold is not None:
        how = f"chosen for {found.threshold_rule}" if found.threshold_rule else "fixed"
        cards.append(("", text(found.threshold), f"threshold, {how}"))
    worse = sum(one.worse for one in found.slices)
    if found.slices:
        cards.append(
            ("warn" if worse else "good", str(worse), f"of {len(found.slices)} slices worse")
        )
    drawn = "".join(
        f'<div class="card {look}"><b>{escape(value)}</b>{escape(words)}</div>'
        for look, value, words in cards
    )
    warned = "".join(f"<p>{escape(caution)}</p>" for caution in content.cautions)
    box = f'<div class="note warn" role="note">{warned}</div>' if warned else ""
    return f'<div class="cards">{drawn}</div>{box}'


def _scores(content: Content) -> str:
    found = content.assessment
    rows = {
        **found.scores,
        **{f"{split}, always the same answer": v for split, v in found.baseline.items()},
    }
    first = HEADLINES[found.task].name
    names = sorted(
        {name for values in rows.values() for name in values},
        key=lambda name: (name != first, name),
    )
    return "<h2>Scores</h2>" + table(
        ["split", *names],
        [
            [split, *(values.get(name, math.nan) for name in names)]
            for split, values in rows.items()
        ],
    )


def _diagnosis(content: Content) -> str:
    diagnosis, history = content.diagnosis, content.history
    name = f"val_{HEADLINES[content.assessment.task].name}"
    second = figures.headline(history, name, diagnosis.best_epoch)
    return (
        "<h2>Does it over-fit?</h2>"
        f'<div class="note {VERDICTS[diagnosis.verdict]}"><p>{escape(diagnosis.text)}</p></div>'
        '<div class="charts">'
        + _figure(
            figures.losses(history, diagnosis),
            '<span class="key a"></span>training loss, <span class="key b"></span>validation loss,'
            " both measured without dropout",
        )
        + (_figure(second, f"{escape(name)} by epoch") if second else "")
        + "</div>"
    )


def _errors(content: Content) -> str:
    found = content.assessment
    parts = ["<h2>Where it errs, on the test rows</h2>"]
    if found.task == "binary":
        share = _positive(found.confusion)
        error = found.scores["test"]["calibration_error"]
        charts = [
            _figure(
                figures.calibration(found.reliability),
                f"Calibration: on the dashed line a score is a share. Expected error {error:.4f}.",
            )
        ]
        if found.roc:
            area, ap = found.scores["test"]["auc"], found.scores["test"]["pr_auc"]
            charts = [
                _figure(figures.roc(found.roc), f"ROC, area {area:.4f}"),
                _figure(
                    figures.precision_recall(found.precision_recall, share),
                    f"Precision and recall, area {ap:.4f}; chance gives {share:.4f}",
                ),
                *charts,
            ]
        parts.append(f'<div class="charts">{"".join(charts)}</div>')
    if found.confusion:
        parts.append(_confusion(found.confusion, found.classes))
    if found.residuals is not None:
        left = figures.answers(found.residuals)
        right = figures.residuals(found.residuals)
        parts.append(
            '<div class="charts">'
            + _figure(left, "Tenths of the rows by answer: on the dashed line they are right")
            + _figure(right, f"Residuals of {len(found.residuals.dots)} rows")
            + "</div>"
        )
        parts.append(
            table(
                ["share of rows", "truth minus answer is at most"],
                [[f"{share:.0%}", value] for share, value in found.residuals.quantiles],
                caption="Quantiles of the residuals",
            )
        )
        parts.append(
            table(
                ["rows", "mean answer", "mean target", "rmse"],
                [[g.rows, g.predicted, g.observed, g.rmse] for g in found.residuals.groups],
                caption="Tenths of the rows by answer",
            )
        )
    return "".join(parts)


def _confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    order = sorted(range(len(classes)), key=lambda place: -sum(counts[place]))[:MOST_CLASSES]
    order.sort()
    rows = [
        [
            classes[true],
            *(
                Cell(counts[true][given], heat=counts[true][given] / max(sum(counts[true]), 1))
                for given in order
            ),
            counts[true][true] / max(sum(counts[true]), 1),
        ]
        for true in order
    ]
    few = f" The {len(order)} most frequent classes." if len(order) < len(classes) else ""
    return table(
        ["truth ↓ answer →", *(classes[place] for place in order), "share found"],
        rows,
        caption=f"Confusion: rows by true class and answer; full is all of a class.{few}",
    )


def _positive(counts: Sequence[Sequence[int]]) -> float:
    return sum(counts[1]) / max(sum(map(sum, counts)), 1)


def _slices(content: Content) -> str:
    found = content.assessment
    head = "<h2>How good it is for parts of the test rows</h2>"
    if not found.slices:
        return f"{head}<p>No category, boolean or datetime has two levels of 100 rows.</p>"
    name = HEADLINES[found.task].name
    worse = sum(one.worse for one in found.slices)
    said = (
        f"{worse} of {len(found.slices)} slices are worse than the other levels of their column "
        "by more than chance"
        if worse
        else f"None of {len(found.slices)} slices is worse than the other levels of its column by "
        "more than chance"
    )
    digits = ".4g" if found.task == "regression" else ".4f"
    means = [] if found.task == "multiclass" else ["observed", "predicted"]
    rows = [
        [
            one.column,
            one.level,
            one.rows,
            *(Cell(format(value, digits), "n") for value in (one.score, one.error, one.others)),
            Cell(format(one.gap, digits), "n bad" if one.worse else "n"),
            *(Cell(format(getattr(one, mean), digits), "n") for mean in means),
            Cell("yes", "bad") if one.worse else "no",
        ]
        for one in found.slices[:MOST_SLICES]
    ]
    return (
        f"{head}<p>{said} (5 % for all of them together). The worst are shown first; ± is one "
        "standard error.</p>"
        + table(["column", "level", "rows", name, "±", "others", "worse by", *means, "clear"], rows)
    )


def _inputs(content: Content) -> str:
    found = content.assessment
    head = "<h2>What the network relies on</h2>"
    name = HEADLINES[found.task].name
    drawn = figures.importance(found.importance, name)
    if not drawn:
        return f"{head}<p>The validation rows are all of one class, so it cannot be told.</p>"
    sources = any(one.name.endswith(".*") for one in found.importance)
    together = (
        ' A name with <b>.*</b> (<span class="key b"></span>) is all columns of a source, or of '
        "features.py, together: "
        "columns that say the same hide each other."
        if sources
        else " Columns that say the same hide each other."
    )
    return (
        f"{head}<p>How much worse {escape(name)} gets on validation rows when a column's values "
        f"are dealt out anew among them; the whisker is one standard deviation.{together}</p>"
        + _figure(drawn, "")
    )


def _search(content: Content) -> str:
    trials = content.trials
    if not trials:
        return (
            "<h2>The search</h2><p>Nothing was searched: the hyperparameters are the project's "
            "own.</p>"
        )
    parts = ["<h2>The search</h2>"]
    if history := figures.best_so_far(trials):
        said = (
            '<span class="key a"></span>a trial (faint: stopped early), '
            '<span class="key b"></span>the best so far'
        )
        parts.append(_figure(history, said))
    if content.importance:
        parts.append(
            "<h3>What mattered</h3><p>The share of the differences between the finished trials' "
            "losses that each hyperparameter explains (fANOVA).</p>"
        )
        parts.append(_figure(figures.shares(content.importance, "Importance of settings"), ""))
    if lines := figures.parallel(trials):
        said = "Each line is a trial, the thick one the best; every axis holds its values in order."
        parts.append(f"<h3>All values at once</h3>{_figure(lines, said)}")
    return "".join([*parts, _trials(trials)])


def _trials(trials: Sequence[Trial]) -> str:
    shown = sorted(trials, key=lambda trial: trial.loss)[:MOST_TRIALS]
    shown.sort(key=lambda trial: trial.number)
    names = sorted({name for trial in shown for name in trial.values})
    folds = any(len(epoch) > 1 for trial in shown for epoch in trial.losses)
    head = ["trial", "state", "val_loss", *(["± between folds"] if folds else []), "epochs", *names]
    rows: list[list[object]] = [
        [trial.number + 1, trial.state, trial.loss]
        + ([trial.spread] if folds else [])
        + [len(trial.losses)]
        + [trial.values.get(name, "") for name in names]
        for trial in shown
    ]
    caption = f"The best {len(shown)} of {len(trials)} trials" if len(shown) < len(trials) else ""
    failures = [f"<p>Trial {t.number + 1} failed: {escape(t.error)}</p>" for t in shown if t.error]
    marked = shown.index(best(shown))
    return table(head, rows, caption=caption, marked=marked) + "".join(failures)


def _settings(content: Content) -> str:
    resolved = {name: f"auto: {text(value)}" for name, value in content.resolved.items()}
    return (
        "<h2>Hyperparameters of the final fit</h2>"
        + pairs({**content.hyperparameters, **resolved})
        + "<h2>Facts</h2>"
        + pairs(content.facts)
    )


def _figure(drawn: str, caption: str) -> str:
    said = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f"<figure>{drawn}{said}</figure>"
