"""The counts of several workers: each has a place, a successor goes on, totals never fall."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from inference import prometheus
from inference.counts import Place
from inference.emf import Periods
from inference.metrics import BOUNDS, STAGES
from tests.support import serving


def snapshot(answered: int, **others: Any) -> dict[str, Any]:
    classes = [[0] * (len(BOUNDS) + 1) for _ in STAGES]
    for row in classes:
        row[20] = answered
    return {
        "answered": answered,
        "rows": answered,
        "errors": [],
        "times": classes,
        "sums": [answered * 1e-3] * len(STAGES),
        "quality": {"rows": answered, "missing": {}, "unknown": {}, "outside": {}},
        "version": "0123",
        "in_flight": {"small": 0, "large": 0},
        "bytes": 0,
        **others,
    }


def test_two_workers_have_two_places_and_read_each_others_counts(tmp_path: Path) -> None:
    one, two = Place(tmp_path, 2), Place(tmp_path, 2)
    assert one.number != two.number
    one.write({"answered": 3})
    assert two.others() == [{"answered": 3}]
    assert one.others() == []


def test_a_successor_finds_the_counts_of_a_worker_that_was_killed(tmp_path: Path) -> None:
    survivor = Place(tmp_path, 2)
    program = f"""
import pathlib, signal
from inference.counts import Place
Place(pathlib.Path({str(tmp_path)!r}), 2).write({{"answered": 7}})
signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=serving.ROOT) as worker:
        while not survivor.others():
            assert worker.poll() is None
        worker.kill()
    assert Place(tmp_path, 2).found() == {"answered": 7}


def test_a_file_that_is_damaged_counts_as_none(tmp_path: Path) -> None:
    place = Place(tmp_path, 1)
    place.write({"answered": 1})
    (tmp_path / f"{place.number}.json").write_bytes(b"{")
    assert place.found() is None


def test_the_page_adds_up_all_workers_and_escapes_names() -> None:
    odd = {"rows": 2, "missing": {'a "b"\\c\n': 2}, "unknown": {}, "outside": {}}
    errors = [[400, "wrong_type", 2]]
    page = prometheus.text([snapshot(3), snapshot(4, errors=errors, quality=odd)]).decode()
    lines = page.splitlines()
    assert 'inference_requests_total{status="200",code=""} 7' in lines
    assert 'inference_requests_total{status="400",code="wrong_type"} 2' in lines
    assert 'inference_values_missing_total{column="a \\"b\\"\\\\c\\n"} 2' in lines
    assert 'inference_stage_seconds_bucket{stage="total",le="0.001"} 7' in lines
    assert 'inference_stage_seconds_bucket{stage="total",le="0.0005"} 0' in lines
    assert 'inference_stage_seconds_bucket{stage="total",le="+Inf"} 7' in lines
    assert 'inference_model_info{version="0123"} 2' in lines


def test_a_line_for_cloudwatch_tells_what_came_since_the_last(tmp_path: Path) -> None:
    periods = Periods("flights", "AllTraffic", snapshot(5))
    assert periods.line(snapshot(5), 0) is None
    errors = [[400, "no_rows", 1], [503, "overloaded", 4], [500, "internal_error", 2]]
    line = json.loads(periods.line(snapshot(8, errors=errors), 1_700_000_000_000) or b"")
    assert line["_aws"]["Timestamp"] == 1_700_000_000_000
    told = {
        name: line[name] for name in ("Requests", "Rows", "ClientErrors", "ServerErrors", "Refused")
    }
    assert told == {
        "Requests": 10, "Rows": 3, "ClientErrors": 1, "ServerErrors": 2, "Refused": 4,
    }  # fmt: skip
    assert line["Latency"]["Counts"] == [3]
    assert line["Latency"]["Values"][0] == pytest.approx(0.9)
    assert {each["Name"] for each in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]} <= set(line)
    assert periods.line(snapshot(8, errors=errors), 1) is None


def test_what_a_rollout_is_judged_by_is_told_of_each_fleet_alone() -> None:
    periods = Periods("flights", "AllTraffic", snapshot(0), "flights-0123", seconds=10)
    line = json.loads(periods.line(snapshot(1), 0) or b"")
    whole, own = line["_aws"]["CloudWatchMetrics"]
    assert line["EndpointConfigName"] == "flights-0123"
    assert own["Dimensions"] == [["EndpointName", "VariantName", "EndpointConfigName"]]
    assert [metric["Name"] for metric in own["Metrics"]] == [
        "QualityRows", "MissingValues", "UnknownCategories", "OutOfRange",
    ]  # fmt: skip
    told = [*whole["Metrics"], *own["Metrics"]]
    assert {metric["StorageResolution"] for metric in told} == {1}


def test_every_metric_stands_in_the_page_for_operators() -> None:
    page = (serving.ROOT / "docs/operating.md").read_text()
    text = prometheus.text([snapshot(1)]).decode()
    line = json.loads(Periods("", "", snapshot(0)).line(snapshot(1), 0) or b"")
    metrics = [each["Name"] for each in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]]
    names = re.findall(r"^# TYPE (\w+)", text, re.MULTILINE)
    assert len(metrics) == 16
    assert len(names) == 10
    for name in (*names, *metrics):
        assert f"`{name}`" in page, name
