"""Counts as Prometheus reads them: its text format 0.0.4, for GET /metrics.

Names are what operators rely on; docs/operating.md lists them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from inference.metrics import BOUNDS, STAGES
from inference.reload import State

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[tuple[str, str], ...]
Worker = Mapping[str, Any]

# Of the ten classes of a decade, those up to 1, 2.5 and 5.
_SHOWN = [place for place in range(len(BOUNDS)) if place % 10 in (0, 4, 7)]


def text(workers: Sequence[Worker], state: State | None = None) -> bytes:
    """One page for what all `workers` have counted (`Books.snapshot` of each).

    Args:
        workers: one or more.
        state: of the pointer that the server follows, if it follows one.
    """
    lines: list[str] = []

    def family(name: str, kind: str, meaning: str, found: Iterable[tuple[Labels, float]]) -> None:
        lines.append(f"# HELP {name} {meaning}")
        lines.append(f"# TYPE {name} {kind}")
        lines.extend(f"{name}{_braces(labels)} {_number(value)}" for labels, value in found)

    def total(key: str) -> list[tuple[Labels, float]]:
        return [((), sum(worker[key] for worker in workers))]

    def by_column(key: str) -> list[tuple[Labels, float]]:
        counts: Counter[str] = Counter()
        for worker in workers:
            counts.update(worker["quality"][key])
        return [((("column", name),), count) for name, count in sorted(counts.items())]

    family(
        "inference_requests_total",
        "counter",
        "Requests answered, by HTTP status and code of the error.",
        _requests(workers),
    )
    family("inference_rows_total", "counter", "Rows answered.", total("rows"))
    _times(lines, workers)
    family(
        "inference_in_flight",
        "gauge",
        "Requests begun and not answered, by size of their body.",
        [
            ((("size", size),), sum(worker["in_flight"][size] for worker in workers))
            for size in ("small", "large")
        ],
    )
    family("inference_bytes_in_flight", "gauge", "Bytes of bodies held.", total("bytes"))
    versions = Counter(worker["version"] for worker in workers)
    family(
        "inference_model_info",
        "gauge",
        "Workers that answer with a version of the model.",
        [((("version", version),), count) for version, count in sorted(versions.items())],
    )
    family(
        "inference_quality_rows_total",
        "counter",
        "Rows whose values were looked at: all of them, or under load a sample.",
        [((), sum(worker["quality"]["rows"] for worker in workers))],
    )
    for name, key, meaning in (
        ("missing", "missing", "Values that were absent, by column."),
        ("unknown", "unknown", "Categories that training never saw, by column."),
        ("out_of_range", "outside", "Numbers beyond the bounds fitted in training, by column."),
    ):
        family(f"inference_values_{name}_total", "counter", meaning, by_column(key))
    if state:
        swaps, refusals, followed = state.swaps, state.refusals, int(state.problem is None)
        family("inference_swaps_total", "counter", "Bundles swapped in.", [((), swaps)])
        family("inference_swaps_refused_total", "counter", "Bundles refused.", [((), refusals)])
        family("inference_pointer_followed", "gauge", "1 while it is.", [((), followed)])
    return ("\n".join(lines) + "\n").encode()


def _requests(workers: Sequence[Worker]) -> list[tuple[Labels, float]]:
    counts: Counter[tuple[int, str]] = Counter()
    for worker in workers:
        counts[200, ""] += worker["answered"]
        for status, code, count in worker["errors"]:
            counts[status, code] += count
    return [
        ((("status", str(status)), ("code", code)), count)
        for (status, code), count in sorted(counts.items())
    ]


def _times(lines: list[str], workers: Sequence[Worker]) -> None:
    name = "inference_stage_seconds"
    lines.append(f"# HELP {name} Seconds of each stage of a good answer; total is all of it.")
    lines.append(f"# TYPE {name} histogram")
    for place, stage in enumerate(STAGES):
        classes = [sum(each) for each in zip(*(w["times"][place] for w in workers), strict=True)]
        below = list(accumulate(classes))
        for bound in _SHOWN:
            labels = _braces((("stage", stage), ("le", _number(BOUNDS[bound]))))
            lines.append(f"{name}_bucket{labels} {below[bound]}")
        lines.append(f"{name}_bucket{_braces((('stage', stage), ('le', '+Inf')))} {below[-1]}")
        seconds = sum(worker["sums"][place] for worker in workers)
        lines.append(f"{name}_sum{_braces((('stage', stage),))} {_number(seconds)}")
        lines.append(f"{name}_count{_braces((('stage', stage),))} {below[-1]}")


def _braces(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)
