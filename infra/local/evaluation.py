"""What the state of an alarm is, by the last values of its metric, and CloudWatch's words for it.

CloudWatch looks at somewhat more periods than an alarm counts, so that an older value makes up for
one that is missing; what is missing then is treated as the alarm says. The rules and the examples
that the tests hold to are those of "Configuring how CloudWatch alarms treat missing data" in its
user guide.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

OPERATORS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "LessThanThreshold": (operator.lt, "less than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
}
MISSING = {"breaching": "Breaching", "notBreaching": "NonBreaching", "missing": "", "ignore": ""}
MORE_PERIODS = 2

OK, ALARM, INSUFFICIENT = "OK", "ALARM", "INSUFFICIENT_DATA"


@dataclass(frozen=True)
class Rule:
    """When an alarm is one.

    Attributes:
        statistic: of each period.
        period: in seconds.
        evaluated: how many periods count.
        needed: how many of them must break the threshold.
        comparison: of OPERATORS.
        missing: of MISSING.
    """

    statistic: str
    period: int
    evaluated: int
    needed: int
    comparison: str
    threshold: float
    missing: str

    @property
    def periods(self) -> int:
        """How many periods are looked at."""
        return self.evaluated + MORE_PERIODS

    def breaks(self, value: float) -> bool:
        """Whether a value is beyond the threshold."""
        return OPERATORS[self.comparison][0](value, self.threshold)


@dataclass(frozen=True)
class Verdict:
    """An alarm's state and why; ``data`` is the JSON of StateReasonData."""

    state: str
    reason: str
    data: str


Point = tuple[int, float | None]


def judge(rule: Rule, points: Sequence[Point], now: datetime) -> Verdict | None:
    """The state by the last `rule.periods` periods; None: it stays as it is.

    Args:
        rule: the alarm's.
        points: the beginning of each period and its value, the oldest first.
        now: the present.
    """
    known = [(begin, value) for begin, value in points if value is not None][-rule.evaluated :]
    breaking = [point for point in known if rule.breaks(point[1])]
    lacking = rule.evaluated - len(known)
    if rule.missing in ("missing", "ignore"):
        state = _by_the_known(rule, len(known), len(breaking))
        if state is None:
            return None
        if state == INSUFFICIENT:
            what = "datapoint was" if rule.evaluated == 1 else "datapoints were"
            text = f"Insufficient Data: {rule.evaluated} {what} unknown."
            return Verdict(state, text, _data(rule, known, now))
    else:
        count = len(breaking) + (lacking if rule.missing == "breaching" else 0)
        state = ALARM if count >= rule.needed else OK
    return Verdict(state, _reason(rule, state, known, lacking), _data(rule, known, now))


def _by_the_known(rule: Rule, known: int, breaking: int) -> str | None:
    if rule.missing == "ignore":
        if breaking >= rule.needed:
            return ALARM
        return OK if known - breaking > rule.evaluated - rule.needed else None
    if not known:
        return INSUFFICIENT
    return ALARM if breaking >= min(rule.needed, known) else OK


def _reason(rule: Rule, state: str, known: Sequence[tuple[int, float]], lacking: int) -> str:
    phrase = OPERATORS[rule.comparison][1]
    negation = "" if state == ALARM else "not "
    fitting = [point for point in known if rule.breaks(point[1]) == (state == ALARM)]
    were = "was" if len(fitting) == 1 else "were"
    values = ", ".join(f"{value!r} ({_moment(begin)})" for begin, value in reversed(fitting))
    crossed = f"{were} {negation}{phrase} the threshold ({float(rule.threshold)!r})"
    if not lacking:
        least = rule.needed if state == ALARM else rule.evaluated - rule.needed + 1
        change = "OK -> ALARM" if state == ALARM else "ALARM -> OK"
        points = "datapoint" if least == 1 else "datapoints"
        return (
            f"Threshold Crossed: {len(fitting)} out of the last {rule.evaluated} datapoints "
            f"[{values}] {crossed} (minimum {least} {points} for {change} transition)."
        )
    treated = MISSING[rule.missing]
    missing = f"{lacking} missing {'datapoint was' if lacking == 1 else 'datapoints were'}"
    rest = f" and {missing} treated as [{treated}]" if treated else ""
    if not fitting:
        periods = "period" if lacking == 1 else "periods"
        return f"Threshold Crossed: no datapoints were received for {lacking} {periods}{rest}."
    points = "datapoint" if len(fitting) == 1 else "datapoints"
    return f"Threshold Crossed: {len(fitting)} {points} [{values}] {crossed}{rest}."


def _moment(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%d/%m/%y %H:%M:%S")


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}+0000"


def _data(rule: Rule, known: Sequence[tuple[int, float]], now: datetime) -> str:
    content: dict[str, object] = {"version": "1.0", "queryDate": _iso(now)}
    if known:
        content["startDate"] = _iso(datetime.fromtimestamp(known[0][0], UTC))
    return json.dumps(
        {
            **content,
            "statistic": rule.statistic,
            "period": rule.period,
            "recentDatapoints": [value for _, value in known],
            "threshold": rule.threshold,
        }
    )
