from __future__ import annotations

import collections
import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.local_cloud import Bench

pytestmark = pytest.mark.slow


def change(bench: Bench, name: str, *changes: dict[str, Any]) -> None:
    bench.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name, DesiredWeightsAndCapacities=list(changes)
    )


def variant(bench: Bench, name: str) -> dict[str, Any]:
    found: dict[str, Any] = bench.settled(name)["ProductionVariants"][0]
    return found


def test_instances_come_and_go_under_load_without_a_failed_request(bench: Bench) -> None:
    name = bench.deploy()
    failures: list[Exception] = []
    enough = threading.Event()

    def ask() -> None:
        client = bench.cloud.session().client("sagemaker-runtime")
        while not enough.is_set():
            try:
                client.invoke_endpoint(EndpointName=name, Body=b"sleep 0.01")["Body"].read()
            except Exception as error:
                failures.append(error)

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for each in askers:
        each.start()
    change(bench, name, {"VariantName": "AllTraffic", "DesiredInstanceCount": 3})
    out = variant(bench, name)
    pids = {bench.about(name)["pid"] for _ in range(30)}
    change(bench, name, {"VariantName": "AllTraffic", "DesiredInstanceCount": 1})
    back = variant(bench, name)
    enough.set()
    for each in askers:
        each.join()
    assert out["CurrentInstanceCount"] == out["DesiredInstanceCount"] == 3
    assert back["CurrentInstanceCount"] == back["DesiredInstanceCount"] == 1
    assert len(pids) == 3
    assert failures == []
    bench.delete(name)


def test_weights_move_the_traffic_and_a_weight_of_zero_ends_it(bench: Bench) -> None:
    names = ("first", "second")
    variants = [bench.variant(bench.model({"NAME": each}), VariantName=each) for each in names]
    name = bench.endpoint(bench.config(*variants))

    def share() -> dict[bytes, int]:
        return dict(collections.Counter(bench.invoke(name, b"who") for _ in range(10)))

    assert share() == {b"first": 5, b"second": 5}
    change(bench, name, {"VariantName": "first", "DesiredWeight": 4})
    assert variant(bench, name)["CurrentWeight"] == 4
    assert share() == {b"first": 8, b"second": 2}
    change(bench, name, {"VariantName": "first", "DesiredWeight": 0})
    bench.settled(name)
    assert share() == {b"second": 10}
    assert bench.invoke(name, b"who", TargetVariant="first") == b"first"
    for wrong, words in (
        ({"VariantName": "third", "DesiredWeight": 1}, 'Could not find variant "third"'),
        ({"VariantName": "second", "DesiredWeight": 0}, "weight greater than 0"),
        ({"VariantName": "second", "DesiredInstanceCount": 0}, "must be at least 1"),
    ):
        with pytest.raises(ClientError, match=words):
            change(bench, name, wrong)
    bench.delete(name)
