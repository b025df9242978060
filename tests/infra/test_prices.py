"""Prices: read from what AWS's price list answers, kept for a week, and never made up."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.validate import validate_parameters

from infra.aws import _price_list
from infra.prices import Component, Prices, read, request
from tests.support.fake_cloud import FakeCloud, refused

TODAY = date(2026, 11, 23)


def product(
    usage: str = "USE1-Host:ml.m5.large",
    usd: str = "0.1150000000",
    unit: str = "Hrs",
    component: str = "Hosting",
) -> str:
    """A product as GetProducts gives it: JSON in a text, the shape of the format aws_v1."""
    return json.dumps(
        {
            "product": {
                "productFamily": "ML Instance",
                "attributes": {
                    "regionCode": "us-east-1",
                    "servicecode": "AmazonSageMaker",
                    "usagetype": usage,
                    "location": "US East (N. Virginia)",
                    "component": component,
                    "instanceName": usage.rpartition(":")[2],
                    "instanceType": usage.rpartition(":")[2] + "-" + component,
                    "vCpu": "2",
                    "memory": "8 GiB",
                    "operation": "RunInstance",
                },
                "sku": "ABCDEFGHJKLMNPQR",
            },
            "serviceCode": "AmazonSageMaker",
            "terms": {
                "OnDemand": {
                    "ABCDEFGHJKLMNPQR.JRTCKXETXF": {
                        "priceDimensions": {
                            "ABCDEFGHJKLMNPQR.JRTCKXETXF.6YS6EN2CT7": {
                                "unit": unit,
                                "endRange": "Inf",
                                "description": f"{usd} per {unit}",
                                "appliesTo": [],
                                "rateCode": "ABCDEFGHJKLMNPQR.JRTCKXETXF.6YS6EN2CT7",
                                "beginRange": "0",
                                "pricePerUnit": {"USD": usd},
                            }
                        },
                        "sku": "ABCDEFGHJKLMNPQR",
                        "effectiveDate": "2026-11-01T00:00:00Z",
                        "offerTermCode": "JRTCKXETXF",
                        "termAttributes": {},
                    }
                }
            },
            "version": "20261101000000",
            "publicationDate": "2026-11-01T00:00:00Z",
        }
    )


class PriceList(FakeCloud):
    """A price list with these products; None: it cannot be reached."""

    def __init__(self, *products: str) -> None:
        super().__init__(local=False)
        self.products: tuple[str, ...] | None = products
        self.asked: list[dict[str, Any]] = []

    def get_products(self, **wanted: Any) -> dict[str, Any]:
        self.asked.append(wanted)
        if self.products is None:
            raise refused("GetProducts", "AccessDeniedException", "not authorized to perform it")
        return {"FormatVersion": "aws_v1", "PriceList": list(self.products)}


def test_the_price_of_an_hour_is_read() -> None:
    assert read([product()], "Hosting", "ml.m5.large") == 0.115


@pytest.mark.parametrize(
    ("products", "component"),
    [
        ([], "Hosting"),
        (["no json"], "Hosting"),
        (["[]"], "Hosting"),
        ([product(usage="USE1-Host:ml.m5.xlarge")], "Hosting"),
        ([product()], "Training"),
        ([product(unit="GB-Mo")], "Hosting"),
        ([product(usd="free")], "Hosting"),
        ([product(), product(usd="0.2")], "Hosting"),
    ],
)
def test_what_is_not_one_price_of_an_hour_is_none(
    products: list[str], component: Component
) -> None:
    assert read(products, component, "ml.m5.large") is None


def test_other_uses_of_the_instance_beside_it_change_nothing() -> None:
    others = [product(usage="USE1-Notebk:ml.m5.large", usd="0.2", component="Notebook")]
    assert read([*others, product()], "Hosting", "ml.m5.large") == 0.115


def test_the_request_is_one_that_the_price_list_takes() -> None:
    client = boto3.client(
        "pricing", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    shape = client.meta.service_model.operation_model("GetProducts").input_shape
    wanted = request("eu-central-1", "Training", "ml.m5.large")
    validate_parameters(wanted, shape)
    assert {one["Field"] for one in wanted["Filters"]} == {
        "regionCode",
        "component",
        "instanceName",
    }


def test_it_is_asked_where_there_is_one() -> None:
    there = boto3.session.Session().get_available_regions("pricing")
    for region in ("eu-west-1", "ap-southeast-2", "us-west-2", "sa-east-1"):
        assert _price_list(region) in there
    assert _price_list("eu-west-1") == "eu-central-1"


def test_a_price_is_kept_for_a_week_with_its_date(tmp_path: Path) -> None:
    cloud = PriceList(product())
    file = tmp_path / "prices.json"
    first = Prices(cloud, file, TODAY).hourly("Hosting", "ml.m5.large")
    assert (first.usd, first.at) == (0.115, "2026-11-23")
    cloud.products = (product(usd="0.2"),)
    assert Prices(cloud, file, date(2026, 11, 29)).hourly("Hosting", "ml.m5.large") == first
    assert len(cloud.asked) == 1
    later = Prices(cloud, file, date(2026, 11, 30)).hourly("Hosting", "ml.m5.large")
    assert (later.usd, later.at) == (0.2, "2026-11-30")


def test_an_old_price_is_better_than_none_and_says_how_old_it_is(tmp_path: Path) -> None:
    cloud = PriceList(product())
    file = tmp_path / "prices.json"
    Prices(cloud, file, TODAY).hourly("Hosting", "ml.m5.large")
    cloud.products = None
    price = Prices(cloud, file, date(2027, 1, 1)).hourly("Hosting", "ml.m5.large")
    assert (price.usd, price.at) == (0.115, "2026-11-23")


def test_where_it_cannot_be_asked_the_price_is_unknown_and_says_why(tmp_path: Path) -> None:
    cloud = PriceList()
    cloud.products = None
    price = Prices(cloud, tmp_path / "prices.json", TODAY).hourly("Hosting", "ml.m5.large")
    assert price.usd is None
    assert "not authorized" in price.why


def test_an_instance_that_is_not_on_the_list_is_named(tmp_path: Path) -> None:
    price = Prices(PriceList(), tmp_path / "prices.json", TODAY).hourly("Training", "ml.x9.huge")
    assert price.usd is None
    assert "ml.x9.huge for training in us-east-1" in price.why


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"format": 9}',
        '{"format": 1, "prices": {"us-east-1 Hosting ml.m5.large": {"usd": 1, "at": "then"}}}',
    ],
)
def test_a_spoilt_file_is_asked_for_anew(tmp_path: Path, text: str) -> None:
    file = tmp_path / "prices.json"
    file.write_text(text)
    assert Prices(PriceList(product()), file, TODAY).hourly("Hosting", "ml.m5.large").usd == 0.115
