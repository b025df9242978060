"""What a plan's endpoint and training cost, from prices of an hour. Pure.

Instances are counted, since they are what is paid for by the hour. Left out, as they are small
beside that: storage, requests to S3, logs, alarms, and traffic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from infra.plan import Plan
from infra.prices import Component, Price
from infra.serving import VARIANT, Variant
from infra.tuning import TuningJob
from infra.units import short_time

HOURS_A_MONTH = 730
Hourly = Callable[[Component, str], Price]


@dataclass(frozen=True)
class Cost:
    """What one thing costs.

    Attributes:
        what: the endpoint, or one run of the training that the plan starts.
        per: what least and most are for.
        least, most: US dollars; None where the price is unknown, or not by the hour.
        detail: what is paid for: 2 × ml.m5.large.
        note: what is to be known about it: why it is unknown, or that it is an upper bound.
        at: the day of the price.
    """

    what: Literal["endpoint", "training"]
    per: Literal["hour", "run"]
    detail: str
    least: float | None = None
    most: float | None = None
    note: str = ""
    at: str = ""

    def to_json(self) -> dict[str, Any]:
        """The cost as plain data."""
        return {**asdict(self), "currency": "USD"}

    @property
    def words(self) -> str:
        """The cost in one line."""
        if self.least is None or self.most is None:
            return f"{self.detail}: {self.note}"
        span = _dollars(self.most)
        if self.per == "run":
            text = f"up to {span} a run"
        else:
            span = span if self.least == self.most else f"{_dollars(self.least)} to {span}"
            months = [_dollars(value * HOURS_A_MONTH, 2) for value in (self.least, self.most)]
            text = f"{span} an hour ({' to '.join(dict.fromkeys(months))} in {HOURS_A_MONTH} h)"
        rest = f"; {self.note}" if self.note else ""
        return f"{self.detail}: {text}{rest}; prices of {self.at}"


def costs(plan: Plan, hourly: Hourly) -> tuple[Cost, ...]:
    """What the endpoint costs once the plan is done, and the training that it starts.

    Args:
        plan: of a deployment to AWS.
        hourly: prices.
    """
    scaling = plan.desired.scaling
    bounds = scaling.bounds if scaling else None
    found = [
        _endpoint(variant, hourly, bounds if variant.name == VARIANT else None)
        for variant in plan.serving.config.variants
    ]
    if plan.trains:
        found.append(_training(plan, hourly))
    return tuple(found)


def _endpoint(variant: Variant, hourly: Hourly, bounds: tuple[int, int] | None) -> Cost:
    if variant.serverless or variant.instance is None:
        memory = variant.serverless.memory if variant.serverless else 0
        return Cost(
            "endpoint",
            "hour",
            f"serverless, {memory} MB",
            note="paid by the duration of each request, nothing while there is none",
        )
    least, most = bounds or (variant.count, variant.count)
    count = f"{least}" if least == most else f"{least} to {most}"
    detail = f"{count} × {variant.instance}"
    price = hourly("Hosting", variant.instance)
    if price.usd is None:
        return Cost("endpoint", "hour", detail, note=_unknown(price))
    return Cost("endpoint", "hour", detail, least * price.usd, most * price.usd, at=price.at)


def _training(plan: Plan, hourly: Hourly) -> Cost:
    wanted = plan.desired.job
    job, runs = (wanted.job, wanted.tuning.count) if isinstance(wanted, TuningJob) else (wanted, 1)
    each = f"{job.instance_count} × {job.instance} for {short_time(job.max_runtime)} at most"
    detail = f"{runs} trials, each {each}" if runs > 1 else each
    price = hourly("Training", job.instance)
    if price.usd is None:
        return Cost("training", "run", detail, note=_unknown(price))
    bound = runs * job.instance_count * job.max_runtime / 3600 * price.usd
    note = "spot capacity costs less, how much less AWS only says afterwards" if job.spot else ""
    return Cost("training", "run", detail, 0.0, bound, note, price.at)


def _unknown(price: Price) -> str:
    return f"price unknown ({price.why})"


def _dollars(amount: float, digits: int = 4) -> str:
    """12.5 → $12.50, 0.115 → $0.115."""
    text = f"{amount:,.{digits}f}"
    whole, _, rest = text.partition(".")
    return f"${whole}.{rest.rstrip('0'):0<2}"
