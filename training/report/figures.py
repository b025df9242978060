"""The report's charts: what each one draws. How axes and lines are drawn is in charts.py."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from training.evaluation.calibration import Bin
from training.evaluation.curves import Points, Residuals
from training.evaluation.diagnosis import Diagnosis, History
from training.evaluation.permutation import Importance
from training.report.charts import Axes, opened, spread
from training.report.tables import text
from training.tuning import Trial, best

SQUARE = (320, 300)
DIAGONAL = [(0.0, 0.0), (1.0, 1.0)]
MOST_BARS, MOST_LINES, MOST_WITH_WORDS, TICKS = 25, 200, 500, 6
BAR = 22


def losses(history: History, diagnosis: Diagnosis) -> str:
    """Training and validation loss by epoch, with the kept epoch and where over-fitting begins."""
    names = ("train_loss", "val_loss")
    axes = Axes(
        "Training and validation loss by epoch",
        (1, len(history)),
        spread(record[name] for record in history for name in names),
        "epoch",
        "loss",
        whole=True,
    )
    axes.mark(diagnosis.best_epoch, f"kept: epoch {diagnosis.best_epoch}")
    if diagnosis.from_epoch is not None:
        axes.mark(
            diagnosis.from_epoch, f"over-fits from epoch {diagnosis.from_epoch}", "bad", row=1
        )
    for name, look in zip(names, ("a", "b"), strict=True):
        points = [(epoch, record[name]) for epoch, record in enumerate(history, start=1)]
        axes.line(points, look)
        for epoch, value in points:
            axes.dot((epoch, value), look, f"epoch {epoch}: {name} {value:.5g}", radius=3)
    return axes.svg()


def headline(history: History, name: str, best_epoch: int) -> str:
    """The headline on the validation rows by epoch; nothing where it was not measured."""
    points = [
        (epoch, record[name]) for epoch, record in enumerate(history, start=1) if name in record
    ]
    if not points:
        return ""
    axes = Axes(
        f"{name} by epoch",
        (1, len(history)),
        spread(value for _, value in points),
        "epoch",
        name,
        whole=True,
    )
    axes.mark(best_epoch, f"kept: epoch {best_epoch}")
    axes.line(points, "b")
    for epoch, value in points:
        axes.dot((epoch, value), "b", f"epoch {epoch}: {name} {value:.5g}", radius=3)
    return axes.svg()


def roc(points: Points) -> str:
    """The ROC curve."""
    axes = Axes(
        "ROC curve: the share of positives found against the share of false alarms",
        (0, 1), (0, 1), "false positive rate", "true positive rate", size=SQUARE,
    )  # fmt: skip
    axes.line(DIAGONAL, "chance")
    axes.line(points, "a")
    return axes.svg()


def precision_recall(points: Points, share: float) -> str:
    """Precision by recall; the dashed line is the share of positives, which chance gives."""
    axes = Axes(
        "Precision by recall",
        (0, 1), (0, 1), "recall", "precision", size=SQUARE,
    )  # fmt: skip
    axes.line([(0, share), (1, share)], "chance")
    axes.line(points, "a")
    return axes.svg()


def calibration(bins: Sequence[Bin]) -> str:
    """Observed share by mean score, with two standard errors; on the dashed line both agree."""
    axes = Axes(
        "Calibration: the observed share of positives by mean score",
        (0, 1), (0, 1), "mean score", "observed share", size=SQUARE,
    )  # fmt: skip
    axes.line(DIAGONAL, "chance")
    axes.line([(one.predicted, one.observed) for one in bins], "a thin")
    for one in bins:
        low, high = one.observed - 2 * one.error, one.observed + 2 * one.error
        axes.whisker(one.predicted, max(low, 0), min(high, 1), "a")
        said = f"{one.rows:,} rows: mean score {one.predicted:.3f}, observed {one.observed:.3f}"
        axes.dot((one.predicted, one.observed), "a", said)
    return axes.svg()


def answers(found: Residuals) -> str:
    """Mean target by mean answer, for tenths of the rows."""
    span = spread(value for one in found.groups for value in (one.predicted, one.observed))
    axes = Axes(
        "Mean target by mean answer, for tenths of the rows",
        span, span, "mean answer", "mean target",
    )  # fmt: skip
    axes.line([(span[0], span[0]), (span[1], span[1])], "chance")
    for one in found.groups:
        said = f"{one.rows:,} rows: answer {one.predicted:.5g}, target {one.observed:.5g}"
        axes.dot((one.predicted, one.observed), "a", said)
    return axes.svg()


def residuals(found: Residuals) -> str:
    """Residuals by answer, for some rows."""
    axes = Axes(
        "Residuals by answer",
        spread(x for x, _ in found.dots),
        spread(y for _, y in found.dots),
        "answer",
        "truth minus answer",
    )
    axes.dots(found.dots, "a faint", radius=2.5)
    axes.line([(min(x for x, _ in found.dots), 0), (max(x for x, _ in found.dots), 0)], "chance")
    return axes.svg()


def importance(found: Sequence[Importance], headline: str) -> str:
    """A bar for each input, with a whisker of one standard deviation; sources in another colour."""
    shown = found[:MOST_BARS]
    if not shown:
        return ""
    high = max(*(one.mean + one.deviation for one in shown), 1e-12)
    low = min(*(one.mean - one.deviation for one in shown), 0.0)
    names = min(26, max(len(one.name) for one in shown))
    left, width = 14 + 7.2 * names, 720
    scale = (width - left - 90) / (high - low)
    zero, height = left - low * scale, BAR * len(shown) + 8
    parts = [opened(f"What each input is worth: loss of {headline}", width, height)]
    for place, one in enumerate(shown):
        y = 4 + BAR * place
        from_, to = sorted((zero, zero + one.mean * scale))
        less, more = zero + (one.mean - one.deviation) * scale, one.mean + one.deviation
        middle = y + BAR / 2
        name = one.name if len(one.name) <= names else f"{one.name[: names - 1]}…"
        look = "b" if one.name.endswith(".*") else "a"
        end = zero + more * scale
        parts.append(
            f"<g><title>{escape(one.name)}: {one.mean:.5f} ± {one.deviation:.5f}</title>"
            f'<text x="{left - 8:.1f}" y="{middle + 4:.1f}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="bar {look}" x="{from_:.1f}" y="{y + 3}" '
            f'width="{max(to - from_, 0.5):.1f}" height="{BAR - 6}"/>'
            f'<line class="whisker" x1="{less:.1f}" x2="{end:.1f}" y1="{middle}" y2="{middle}"/>'
            f'<text x="{max(end, zero) + 6:.1f}" y="{middle + 4:.1f}">{text(round(one.mean, 5))}'
            f"</text></g>"
        )
    parts.append(f'<line class="axis" x1="{zero:.1f}" x2="{zero:.1f}" y1="0" y2="{height}"/></svg>')
    return "".join(parts)


def best_so_far(trials: Sequence[Trial]) -> str:
    """Each trial's loss by number, and the best until then; far worse ones lie on the edge."""
    shown = [trial for trial in trials if math.isfinite(trial.loss)]
    if len(shown) < 2:
        return ""
    found = sorted(trial.loss for trial in shown)
    low, median = found[0], found[len(found) // 2]
    top = min(found[-1], median + 4 * (median - low)) if median > low else found[-1]
    axes = Axes(
        "Validation loss by trial, and the best so far",
        (0.5, len(trials) + 0.5),
        spread([low, top]),
        "trial",
        "validation loss",
        size=(720, 260),
        whole=True,
    )
    lowest, steps = math.inf, []
    for trial in shown:
        if math.isfinite(lowest):
            steps.append((trial.number + 1.0, min(lowest, top)))
        lowest = min(lowest, trial.loss)
        steps.append((trial.number + 1.0, min(lowest, top)))
    axes.line(steps, "b")
    if len(shown) > MOST_WITH_WORDS:
        axes.dots([(trial.number + 1, min(trial.loss, top)) for trial in shown], "a", radius=2)
        return axes.svg()
    for trial in shown:
        said = f"trial {trial.number + 1}: {trial.loss:.5g} ({trial.state})"
        look = "a" if trial.state == "finished" else "a faint"
        axes.dot((trial.number + 1, min(trial.loss, top)), look, said)
    return axes.svg()


def parallel(trials: Sequence[Trial]) -> str:
    """One line for each trial through its values and its loss; the best one marked.

    An axis holds the values in their order, evenly spaced, so that numbers of any scale and words
    are read alike; the lowest stands at the bottom. The best 200 trials are shown.
    """
    shown = sorted((trial for trial in trials if trial.state != "failed"), key=lambda t: t.loss)
    shown = shown[:MOST_LINES]
    names = sorted({name for trial in shown for name in trial.values})
    if len(shown) < 2 or not names:
        return ""
    width, height, margin = 720, 300, 48
    axes = [[trial.values.get(name, "") for trial in shown] for name in names]
    axes.append([trial.loss for trial in shown])
    parts = [opened("Trials by their values and their loss", width, height)]
    heights = []
    for place, (name, values) in enumerate(zip([*names, "val_loss"], axes, strict=True)):
        x = margin + place * (width - 2.5 * margin) / (len(axes) - 1)
        order = sorted(set(values), key=lambda value: (isinstance(value, str), value))
        rank = {value: step for step, value in enumerate(order)}
        step = (height - 2 * margin) / max(len(order) - 1, 1)
        heights.append([(x, height - margin - step * rank[value]) for value in values])
        label = height - 14 if place % 2 else 24
        parts.append(
            f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{margin}" y2="{height - margin}"/>'
            f'<text class="name" x="{x:.1f}" y="{label}" text-anchor="middle">{escape(name)}</text>'
        )
        seen = order if len(order) <= TICKS else [order[0], order[-1]]
        parts += [
            f'<text x="{x + 4:.1f}" y="{height - margin - step * rank[value] - 3:.1f}">'
            f"{escape(text(value))}</text>"
            for value in seen
        ]
    winner = shown.index(best(shown))
    for number in sorted(range(len(shown)), key=lambda number: number == winner):
        points = " ".join(f"{axis[number][0]:.1f},{axis[number][1]:.1f}" for axis in heights)
        look = "b" if number == winner else "a thin faint"
        parts.append(f'<polyline class="line {look}" points="{points}"/>')
    return "".join([*parts, "</svg>"])


def shares(values: Mapping[str, float], label: str) -> str:
    """Shares of a whole as bars, the largest first."""
    found = sorted(values.items(), key=lambda pair: -pair[1])
    names = max((len(name) for name, _ in found), default=0)
    left, width, height = 14 + 7.2 * names, 720, BAR * len(found) + 8
    parts = [opened(label, width, height)]
    for place, (name, share) in enumerate(found):
        y = 4 + BAR * place
        end = left + share * (width - left - 70)
        parts.append(
            f'<text x="{left - 8:.1f}" y="{y + BAR / 2 + 4}" text-anchor="end">{escape(name)}'
            f'</text><rect class="bar a" x="{left:.1f}" y="{y + 3}" '
            f'width="{max(end - left, 0.5):.1f}" height="{BAR - 6}"/>'
            f'<text x="{end + 6:.1f}" y="{y + BAR / 2 + 4}">{share:.0%}</text>'
        )
    return "".join([*parts, "</svg>"])
