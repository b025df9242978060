from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from infra.local.evaluation import Rule, judge

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BEGIN = int(datetime(2026, 11, 23, 11, 59, tzinfo=UTC).timestamp())
GOOD, BAD = 0.0, 2.0


def rule(evaluated: int = 3, needed: int | None = None, missing: str = "missing") -> Rule:
    return Rule("Sum", 10, evaluated, needed or evaluated, "GreaterThanThreshold", 1.0, missing)


def points(text: str) -> list[tuple[int, float | None]]:
    """A word such as 0-X--: good, missing, bad, missing, missing, the oldest first."""
    values = {"0": GOOD, "X": BAD, "-": None}
    return [(BEGIN + 10 * number, values[letter]) for number, letter in enumerate(text)]


def state(rule: Rule, text: str) -> str:
    verdict = judge(rule, points(text), NOW)
    return verdict.state if verdict else "as before"


@pytest.mark.parametrize(
    ("text", "missing", "ignore", "breaching", "not_breaching"),
    [
        ("0-X-X", "OK", "OK", "OK", "OK"),
        ("----0", "OK", "OK", "OK", "OK"),
        ("-----", "INSUFFICIENT_DATA", "as before", "ALARM", "OK"),
        ("0XX-X", "ALARM", "ALARM", "ALARM", "ALARM"),
        ("--X--", "ALARM", "as before", "ALARM", "OK"),
    ],
)
def test_three_of_three_with_missing_data_as_in_cloudwatchs_guide(
    text: str, missing: str, ignore: str, breaching: str, not_breaching: str
) -> None:
    wanted = {
        "missing": missing,
        "ignore": ignore,
        "breaching": breaching,
        "notBreaching": not_breaching,
    }
    assert {each: state(rule(missing=each), text) for each in wanted} == wanted


@pytest.mark.parametrize(
    ("text", "wanted"), [("00X0X", "ALARM"), ("XX000", "OK"), ("X0X00", "OK"), ("000X-", "OK")]
)
def test_two_of_three(text: str, wanted: str) -> None:
    assert state(rule(3, 2), text) == wanted


def test_an_alarm_says_how_many_values_crossed_the_threshold_and_which() -> None:
    verdict = judge(rule(1), points("00X"), NOW)
    assert verdict is not None
    assert verdict.reason == (
        "Threshold Crossed: 1 out of the last 1 datapoints [2.0 (23/11/26 11:59:20)] was greater "
        "than the threshold (1.0) (minimum 1 datapoint for OK -> ALARM transition)."
    )
    data = json.loads(verdict.data)
    assert data["recentDatapoints"] == [2.0]
    assert data["startDate"] == "2026-11-23T11:59:20.000+0000"


@pytest.mark.parametrize(
    ("evaluated", "needed", "missing", "text", "words"),
    [
        (3, 2, "missing", "00X0X", "2 out of the last 3 datapoints [2.0 (23/11/26 11:59:40), 2.0 "
         "(23/11/26 11:59:20)] were greater than the threshold (1.0) (minimum 2 datapoints for"),
        (1, 1, "missing", "000", "was not greater than the threshold (1.0) (minimum 1 datapoint "
         "for ALARM -> OK transition)."),
        (1, 1, "notBreaching", "---", "no datapoints were received for 1 period and 1 missing "
         "datapoint was treated as [NonBreaching]."),
        (3, 3, "breaching", "-----", "no datapoints were received for 3 periods and 3 missing "
         "datapoints were treated as [Breaching]."),
        (3, 2, "notBreaching", "----0", "1 datapoint [0.0 (23/11/26 11:59:40)] was not greater "
         "than the threshold (1.0) and 2 missing datapoints were treated as [NonBreaching]."),
        (2, 2, "missing", "----", "Insufficient Data: 2 datapoints were unknown."),
    ],
)  # fmt: skip
def test_the_reason_counts_like_cloudwatch(
    evaluated: int, needed: int, missing: str, text: str, words: str
) -> None:
    verdict = judge(rule(evaluated, needed, missing), points(text), NOW)
    assert verdict is not None
    assert words in verdict.reason
