"""Metric math: figures computed from metrics, for alarms and for GetMetricData.

Of CloudWatch's expressions, the arithmetic is offered: numbers, the ids of other queries, + - * / ^
and parentheses. A period for which one of the metrics has no value, or which divides by zero, has
none, as in CloudWatch.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from infra.local.series import SIMPLE, Metric, Store, is_percentile
from infra.local.wire import RefusalError

_OPERATIONS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,  # written ^
}
MOST_SIGNS = 2048


def dimensions(given: Mapping[str, Any]) -> dict[str, str]:
    """A request's Dimensions by name."""
    return {each["Name"]: each["Value"] for each in given.get("Dimensions", [])}


def check(queries: Sequence[Mapping[str, Any]]) -> None:
    """Refuse queries that cannot be answered.

    Raises:
        RefusalError: what is wrong with which.
    """
    ids = [each["Id"] for each in queries]
    for each in queries:
        if ids.count(each["Id"]) > 1:
            raise _invalid(f"The id {each['Id']} is used more than once.")
        if "AccountId" in each:
            raise _invalid("The local cloud does not offer metrics of other accounts.")
        if ("MetricStat" in each) == ("Expression" in each):
            raise _invalid(f"{each['Id']} must have either MetricStat or Expression.")
        if "MetricStat" in each:
            check_statistic(each["MetricStat"]["Stat"])
    # An expression may use what comes after it, but not, by any way round, itself.
    waiting = [each for each in queries if "Expression" in each]
    known = [each["Id"] for each in queries if "MetricStat" in each]
    while waiting:
        ready = [each for each in waiting if _names(each["Expression"]) <= {*known}]
        if not ready:
            raise _invalid(f"Error in expression '{waiting[0]['Id']}': unknown id, or a circle.")
        known += [each["Id"] for each in ready]
        waiting = [each for each in waiting if each not in ready]


def check_statistic(name: str) -> None:
    """Refuse a statistic that is not offered."""
    if name not in SIMPLE and not is_percentile(name):
        message = f"The local cloud does not offer the statistic {name}."
        raise RefusalError("InvalidParameterValue", message)


def compute(
    store: Store, queries: Sequence[Mapping[str, Any]], start: int, end: int
) -> dict[str, dict[int, float]]:
    """Each query's values by the beginning of their period.

    Args:
        store: the metrics.
        queries: checked.
        start: seconds since 1970.
        end: of the first second that is not looked at.
    """
    found: dict[str, dict[int, float]] = {}
    for each in queries:
        if "MetricStat" in each:
            asked = each["MetricStat"]
            named = asked["Metric"]
            metric = Metric.of(named["Namespace"], named["MetricName"], dimensions(named))
            period = asked["Period"]
            buckets = store.periods(metric, start - start % period, end, period, asked.get("Unit"))
            values = {begin: bucket.statistic(asked["Stat"]) for begin, bucket in buckets}
            found[each["Id"]] = {
                begin: value for begin, value in values.items() if value is not None
            }
    waiting = [each for each in queries if "Expression" in each]
    while waiting:
        ready = next(each for each in waiting if _names(each["Expression"]) <= {*found})
        found[ready["Id"]] = _expression(ready["Expression"], found)
        waiting.remove(ready)
    return found


def _expression(text: str, found: Mapping[str, Mapping[int, float]]) -> dict[int, float]:
    tree = _parsed(text)
    parts = [found[name] for name in _names(text)]
    moments = set.intersection(*(set(each) for each in parts)) if parts else set()
    values = {}
    for begin in sorted(moments):
        try:
            values[begin] = float(_value(tree, {name: found[name][begin] for name in _names(text)}))
        except (ArithmeticError, TypeError):  # 0 below the line; a root of a negative number
            continue
    return values


def _value(tree: ast.expr, values: Mapping[str, float]) -> Any:
    match tree:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name():
            return values[tree.id]
        case ast.UnaryOp():
            return -_value(tree.operand, values)
        case ast.BinOp():
            left, right = _value(tree.left, values), _value(tree.right, values)
            return _OPERATIONS[type(tree.op)](left, right)
    raise AssertionError(tree)


def _names(text: str) -> set[str]:
    return {each.id for each in ast.walk(_parsed(text)) if isinstance(each, ast.Name)}


def _parsed(text: str) -> ast.expr:
    """An expression's tree, of which each part is one that is offered.

    Raises:
        RefusalError: there is another in it, or it is none.
    """
    try:
        if len(text) > MOST_SIGNS or "**" in text:
            raise SyntaxError
        tree = ast.parse(text.strip().replace("^", "**"), mode="eval").body
        parts = list(ast.walk(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _invalid(f"Error in expression: cannot read '{text[:100]}'.") from None
    for each in parts:
        offered = (
            isinstance(each, ast.Name | ast.Load | ast.BinOp | ast.USub)
            or (isinstance(each, ast.Constant) and type(each.value) in (int, float))
            or (isinstance(each, ast.UnaryOp) and isinstance(each.op, ast.USub))
            or type(each) in _OPERATIONS
        )
        if not offered:
            raise _invalid(
                "The local cloud does not offer this in an expression: "
                f"{type(each).__name__} in '{text[:100]}'."
            )
    return tree


def _invalid(message: str) -> RefusalError:
    return RefusalError("ValidationError", message)
