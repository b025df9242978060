"""What an hour of an instance costs, from AWS's Price List; kept in a file with its date.

Here: asking, reading the answer, keeping it. Not here: what a plan costs (cost.py). A price that
cannot be had is unknown, with the reason; none is ever guessed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from infra.aws import Cloud
from infra.failures import explain
from shared import files
from shared.errors import KitError

Component = Literal["Hosting", "Training"]
FRESH = timedelta(days=7)
_FORMAT = 1
# How the usage of a component is called on a bill: USE1-Host:ml.m5.large.
_USAGE: dict[Component, str] = {"Hosting": "Host", "Training": "Train"}


@dataclass(frozen=True)
class Price:
    """US dollars for an hour of one instance, on demand.

    Attributes:
        usd: None when it is unknown.
        at: the day on which AWS said so, in ISO 8601.
        why: why it is unknown.
    """

    usd: float | None = None
    at: str = ""
    why: str = ""


class Prices:
    """Prices of one region, asked for once a week.

    Args:
        cloud: of the account that asks; the Price List is the same for all.
        file: where they are kept; it may be deleted any time.
        today: the date, so that a test need not wait.
    """

    def __init__(self, cloud: Cloud, file: Path, today: date | None = None) -> None:
        self._cloud = cloud
        self._region = cloud.account.region
        self._file = file
        self._today = today or datetime.now(UTC).date()
        self._known = _read(file)

    def hourly(self, component: Component, instance: str) -> Price:
        """The price of an instance type for hosting or training. Never raises: it is unknown then.

        An old price is taken where a new one cannot be had, and carries its date.
        """
        key = f"{self._region} {component} {instance}"
        known = self._known.get(key)
        if known and known.at and self._today - date.fromisoformat(known.at) < FRESH:
            return known
        try:
            wanted = request(self._region, component, instance)
            answer = self._cloud.call("pricing", "get_products", wanted)
        except Exception as error:
            return known or Price(why=f"AWS's price list: {explain(error, '').args[0]}")
        usd = read(answer.get("PriceList", ()), component, instance)
        if usd is None:
            return known or Price(
                why=f"AWS's price list has no single price of {instance} for {component.lower()} "
                f"in {self._region}"
            )
        price = Price(usd, self._today.isoformat())
        self._known[key] = price
        self._keep()
        return price

    def _keep(self) -> None:
        document = {
            "format": _FORMAT,
            "prices": {key: asdict(price) for key, price in self._known.items()},
        }
        try:
            files.write(self._file, json.dumps(document, indent=1).encode())
        except KitError:
            return  # a disk that is full must not end a plan; it is asked for again


def request(region: str, component: Component, instance: str) -> dict[str, Any]:
    """Parameters of GetProducts."""
    wanted = {"regionCode": region, "component": component, "instanceName": instance}
    return {
        "ServiceCode": "AmazonSageMaker",
        "FormatVersion": "aws_v1",
        "Filters": [
            {"Type": "TERM_MATCH", "Field": field, "Value": value}
            for field, value in wanted.items()
        ],
    }


def read(products: Iterable[str], component: Component, instance: str) -> float | None:
    """The one hourly price on demand in a list of products; None when there is none, or several.

    Args:
        products: the texts of JSON that GetProducts gives.
        component: what for.
        instance: its type.
    """
    usage = f"{_USAGE[component]}:{instance}"
    found = set()
    for text in products:
        try:
            product = json.loads(text)
            kind = product["product"]["attributes"]["usagetype"]
            if kind != usage and not kind.endswith(f"-{usage}"):
                continue
            for offer in product["terms"]["OnDemand"].values():
                for dimension in offer["priceDimensions"].values():
                    if dimension["unit"].lower() in ("hrs", "hours", "hour"):
                        found.add(float(dimension["pricePerUnit"]["USD"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return found.pop() if len(found) == 1 else None


def _read(file: Path) -> dict[str, Price]:
    try:
        document = json.loads(file.read_bytes())
        if document["format"] != _FORMAT:
            return {}
        known = {str(key): Price(**price) for key, price in document["prices"].items()}
        for price in known.values():
            date.fromisoformat(price.at)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return known
