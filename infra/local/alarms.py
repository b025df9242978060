"""CloudWatch's metric alarms, evaluated on the metrics of this cloud.

Each alarm is judged whenever one of its periods ends. What an alarm's actions do is registered by
the service that their ARNs name; an alarm with another action is refused.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from infra.local import evaluation, figures
from infra.local.alarm_checks import ACTIONS, check, invalid, period_of, service_of
from infra.local.environment import ACCOUNT, REGION
from infra.local.figures import dimensions
from infra.local.series import Store
from infra.local.state import Answer, Cloud, Operation, log_exception, now
from infra.local.tags import as_pairs
from infra.local.wire import RefusalError

TICK = 0.25
COMPACTING = 60.0

Action = Callable[["Alarm", str], None]


@dataclass
class Alarm:
    """One alarm.

    Attributes:
        request: PutMetricAlarm's.
        state: OK, ALARM or INSUFFICIENT_DATA, and why, since when.
        alarmed: when it was last in ALARM, in seconds since 1970.
        judged: the end of the last period that it was judged by.
    """

    name: str
    request: Mapping[str, Any]
    updated: datetime
    state: str = evaluation.INSUFFICIENT
    reason: str = "Unchecked: Initial alarm creation"
    data: str = "{}"
    since: datetime = field(default_factory=now)
    alarmed: float = 0.0
    judged: int = 0

    @property
    def arn(self) -> str:
        """Its ARN."""
        return f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{self.name}"

    @property
    def queries(self) -> list[Mapping[str, Any]]:
        """What it watches, as GetMetricData would be asked; the first is what counts."""
        given = self.request
        if "Metrics" in given:
            return sorted(given["Metrics"], key=lambda each: not each.get("ReturnData", True))
        metric = {name: given[name] for name in ("Namespace", "MetricName")}
        stat = {
            "Metric": {**metric, "Dimensions": given.get("Dimensions", [])},
            "Period": given["Period"],
            "Stat": given.get("Statistic") or given["ExtendedStatistic"],
            **({"Unit": given["Unit"]} if "Unit" in given else {}),
        }
        return [{"Id": "m1", "MetricStat": stat}]

    @property
    def rule(self) -> evaluation.Rule:
        """When it is an alarm."""
        given, first = self.request, self.queries[0]
        return evaluation.Rule(
            first["MetricStat"]["Stat"] if "MetricStat" in first else first["Expression"],
            period_of(self.queries),
            given["EvaluationPeriods"],
            given.get("DatapointsToAlarm", given["EvaluationPeriods"]),
            given["ComparisonOperator"],
            given["Threshold"],
            given.get("TreatMissingData", "missing"),
        )

    def values(self, store: Store, start: int, end: int) -> Mapping[int, float]:
        """What it watches, by the beginning of each period from `start` to before `end`."""
        queries = self.queries
        return figures.compute(store, queries, start, end)[queries[0]["Id"]]

    def describe(self) -> dict[str, Any]:
        """DescribeAlarms' answer."""
        names = (*ACTIONS.values(), "Dimensions")
        lists: dict[str, Any] = {name: [] for name in names}
        return {
            "ActionsEnabled": True,
            **lists,
            **self.request,
            "AlarmArn": self.arn,
            "AlarmConfigurationUpdatedTimestamp": self.updated,
            "StateValue": self.state,
            "StateReason": self.reason,
            "StateReasonData": self.data,
            "StateUpdatedTimestamp": self.since,
            "StateTransitionedTimestamp": self.since,
        }


class Alarms:
    """Every alarm of this cloud.

    Args:
        cloud: the cloud.
        clock: seconds since 1970.
    """

    def __init__(self, cloud: Cloud, clock: Callable[[], float] = time.time) -> None:
        self._cloud = cloud
        self._clock = clock
        self._lock = threading.RLock()
        self._alarms: dict[str, Alarm] = {}
        self.actions: dict[str, Action] = {"sns": self._notify}

    def operations(self) -> dict[str, Operation]:
        """What this answers, by the operation's name."""
        return {
            "PutMetricAlarm": self.put,
            "DescribeAlarms": self.describe,
            "DescribeAlarmsForMetric": self.for_metric,
            "DeleteAlarms": self.delete,
            "SetAlarmState": self.set_state,
            "EnableAlarmActions": lambda request: self._enable(request, enabled=True),
            "DisableAlarmActions": lambda request: self._enable(request, enabled=False),
        }

    def watch(self) -> None:
        """Judge alarms from now on, in a thread."""
        threading.Thread(target=self._watch, daemon=True).start()

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those of the names that no alarm has."""
        with self._lock:
            return [name for name in names if name not in self._alarms]

    def sounding(self, names: Iterable[str], since: float) -> list[Alarm]:
        """Those of the alarms that are in ALARM, or were at any moment since."""
        with self._lock:
            found = [self._alarms[name] for name in names if name in self._alarms]
        return [each for each in found if each.state == "ALARM" or each.alarmed >= since]

    def acting(self, arn: str) -> list[Alarm]:
        """The alarms whose actions an ARN is, those with actions switched off left out."""
        with self._lock:
            return [
                each
                for each in self._alarms.values()
                if arn in each.request.get("AlarmActions", [])
                and each.request.get("ActionsEnabled", True)
            ]

    def put(self, request: dict[str, Any]) -> None:
        """Keep an alarm; one of this name goes on with its state and another rule."""
        check(request, self.actions)
        self.keep(request)

    def keep(self, request: dict[str, Any]) -> None:
        """Keep an alarm that need not be checked."""
        tags = as_pairs(request.pop("Tags", []))
        with self._lock:
            old = self._alarms.get(request["AlarmName"])
            alarm = Alarm(request["AlarmName"], request, now())
            if old:
                alarm.state, alarm.reason, alarm.data = old.state, old.reason, old.data
                alarm.since, alarm.alarmed = old.since, old.alarmed
            else:
                self._cloud.tags[alarm.arn] = tags
            self._alarms[alarm.name] = alarm

    def describe(self, request: dict[str, Any]) -> Answer:
        """The alarms that a request names, by name, a page of them."""
        for name in ("ChildrenOfAlarmName", "ParentsOfAlarmName"):
            if name in request:
                raise invalid(f"The local cloud does not offer {name}.")
        names, prefix = request.get("AlarmNames"), request.get("AlarmNamePrefix", "")
        state, action = request.get("StateValue"), request.get("ActionPrefix", "")
        if "MetricAlarm" not in request.get("AlarmTypes", ["MetricAlarm"]):
            return {"CompositeAlarms": []}
        with self._lock:
            found = [
                each
                for each in sorted(self._alarms.values(), key=lambda each: each.name)
                if (names is None or each.name in names)
                and each.name.startswith(prefix)
                and (state is None or each.state == state)
                and any(one.startswith(action) for one in each.request.get("AlarmActions", [""]))
                and each.name > request.get("NextToken", "")
            ]
            size = request.get("MaxRecords", 50)
            token = found[size - 1].name if len(found) > size else None
            described = [each.describe() for each in found[:size]]
        return {"MetricAlarms": described, "CompositeAlarms": [], "NextToken": token}

    def for_metric(self, request: dict[str, Any]) -> Answer:
        """The alarms on a metric."""
        narrower = ("Statistic", "ExtendedStatistic", "Period", "Unit")
        with self._lock:
            return {
                "MetricAlarms": [
                    each.describe()
                    for each in self._alarms.values()
                    if each.request.get("MetricName") == request["MetricName"]
                    and each.request["Namespace"] == request["Namespace"]
                    and dimensions(each.request) == dimensions(request)
                    and all(
                        each.request.get(name) == request[name]
                        for name in narrower
                        if name in request
                    )
                ]
            }

    def delete(self, request: dict[str, Any]) -> None:
        """Forget alarms: all that are named, or none when one of them is not there."""
        with self._lock:
            if self.missing(request["AlarmNames"]):
                raise RefusalError("ResourceNotFound", "Unknown", 404)
            for name in request["AlarmNames"]:
                self._cloud.tags.pop(self._alarms.pop(name).arn, None)

    def set_state(self, request: dict[str, Any]) -> None:
        """Put an alarm into a state until it is judged again."""
        data = request.get("StateReasonData", "{}")
        try:
            json.loads(data)
        except ValueError:
            raise RefusalError("InvalidFormat", "StateReasonData is not JSON.") from None
        with self._lock:
            alarm = self._alarms.get(request["AlarmName"])
            if alarm is None:
                raise RefusalError("ResourceNotFound", "Unknown", 404)
        verdict = evaluation.Verdict(request["StateValue"], request["StateReason"], data)
        self._become(alarm, verdict)

    def _enable(self, request: dict[str, Any], *, enabled: bool) -> None:
        with self._lock:
            for name in request["AlarmNames"]:
                if name in self._alarms:
                    alarm = self._alarms[name]
                    alarm.request = {**alarm.request, "ActionsEnabled": enabled}

    def judge(self) -> None:
        """Judge each alarm of which a period has ended since the last time."""
        moment = self._clock()
        with self._lock:
            alarms = list(self._alarms.values())
        for alarm in alarms:
            end = int(moment) - int(moment) % alarm.rule.period
            if end > alarm.judged:
                alarm.judged = end
                verdict = _verdict(alarm, self._cloud.metrics, end)
                if verdict:
                    self._become(alarm, verdict)

    def _become(self, alarm: Alarm, verdict: evaluation.Verdict) -> None:
        with self._lock:
            changed = verdict.state != alarm.state
            if verdict.state == "ALARM":
                alarm.alarmed = self._clock()
            if changed:
                alarm.state, alarm.since = verdict.state, now()
                alarm.reason, alarm.data = verdict.reason, verdict.data
        if changed and alarm.request.get("ActionsEnabled", True):
            for arn in alarm.request.get(ACTIONS[alarm.state], []):
                self._act(alarm, arn)

    def _act(self, alarm: Alarm, arn: str) -> None:
        try:
            self.actions[service_of(arn)](alarm, arn)
        except Exception:  # what an alarm tells, and whether it is heard, are two things
            log_exception()

    def _watch(self) -> None:
        compacted = self._clock()
        while True:
            time.sleep(TICK)
            try:
                self.judge()
                if self._clock() - compacted > COMPACTING:
                    compacted = self._clock()
                    self._cloud.metrics.compact(compacted)
            except Exception:  # one alarm must not end them all
                log_exception()

    def _notify(self, alarm: Alarm, topic: str) -> None:
        """Tell an SNS topic."""
        message = {
            "AlarmName": alarm.name,
            "AlarmDescription": alarm.request.get("AlarmDescription"),
            "AWSAccountId": ACCOUNT,
            "NewStateValue": alarm.state,
            "NewStateReason": alarm.reason,
            "StateChangeTime": alarm.since.isoformat(timespec="milliseconds"),
            "AlarmArn": alarm.arn,
        }
        subject = f'{alarm.state}: "{alarm.name}"'[:100]
        sns = self._cloud.client("sns")
        sns.publish(TopicArn=topic, Subject=subject, Message=json.dumps(message))


def _verdict(alarm: Alarm, store: Store, end: int) -> evaluation.Verdict | None:
    rule, queries = alarm.rule, alarm.queries
    start = end - rule.periods * rule.period
    found = alarm.values(store, start, end)
    if alarm.request.get("EvaluateLowSampleCountPercentile") == "ignore" and found:
        part = float(rule.statistic[1:]) / 100
        needed = 10 / (1 - part) if 0.5 <= part < 1 else 10 / part if 0 < part < 0.5 else 0
        stat = {**queries[0]["MetricStat"], "Stat": "SampleCount"}
        counts = figures.compute(store, [{"Id": "n", "MetricStat": stat}], start, end)["n"]
        if sum(counts.values()) < needed:
            return None
    points = [(begin, found.get(begin)) for begin in range(start, end, rule.period)]
    return evaluation.judge(rule, points, now())
