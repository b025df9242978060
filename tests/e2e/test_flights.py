"""The default project from nothing to predictions and back to nothing."""

from __future__ import annotations

import json
import re
import socket

import pytest

from tests.e2e.house import House, Said

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def deployed(house: House) -> Said:
    return house.make("deploy")


def test_make_deploy_ends_with_a_verified_endpoint(deployed: Said) -> None:
    assert deployed.code == 0, deployed.err
    assert "flights is InService and verified" in deployed.out
    assert "golden rows came back through the endpoint" in deployed.out


def test_it_shows_its_stages_trials_and_epochs(deployed: Said) -> None:
    for shown in ("[1/5]", "[5/5]", "trial 6/6", "epoch 1", "InService"):
        assert shown in deployed.out


def test_the_scores_are_what_the_readme_promises(deployed: Said) -> None:
    assert deployed.figure("test", "auc") >= 0.66


def test_it_says_where_checkpoints_bundle_and_report_lie(deployed: Said, house: House) -> None:
    assert "s3://sagemaker-us-east-1-123456789012/flights/checkpoints/" in deployed.out
    assert "model.tar.gz" in deployed.out
    report = (house.folder / "build/flights/report.html").read_text()
    assert "<svg" in report
    assert "http://" not in report.replace("http://www.w3.org/", "")


def test_a_second_deploy_changes_nothing(deployed: Said, house: House) -> None:
    again = house.make("deploy")
    assert again.code == 0, again.err
    assert "No changes: flights is InService" in again.out


def test_the_plan_is_then_empty(deployed: Said, house: House) -> None:
    planned = house.make("plan")
    assert planned.code == 0, planned.err
    assert planned.out.rstrip().endswith("No changes.")


def test_make_invoke_predicts_one_flight(deployed: Said, house: House) -> None:
    invoked = house.make("invoke")
    assert invoked.code == 0, invoked.err
    assert '"label"' in invoked.out


def test_make_invoke_takes_a_row_of_ones_own(deployed: Said, house: House) -> None:
    flight = {
        "departure_scheduled": "2013-12-20T22:30:00Z",
        "carrier": "UA",
        "flight": 1,
        "tailnum": None,
        "origin": "EWR",
        "dest": "ORD",
        "distance": 719,
    }
    good = house.make("invoke", f"DATA={json.dumps(flight)}")
    bad = house.make("invoke", f"DATA={json.dumps({**flight, 'distance': 'far'})}")
    assert good.code == 0, good.err
    assert bad.code != 0
    assert "'distance'" in bad.err
    assert "Traceback" not in bad.err


def test_make_status_and_logs_show_the_endpoint(deployed: Said, house: House) -> None:
    status, logs = house.make("status"), house.make("logs")
    assert "flights is InService" in status.out
    assert "[result]" in logs.out
    assert '"event":"ready"' in logs.out


def test_new_serving_settings_update_the_endpoint_without_training_again(
    deployed: Said, house: House
) -> None:
    described = house.folder / "examples/flights/project.toml"
    before = described.read_text()
    described.write_text(before + '\n[endpoint]\ninstance = "ml.c5.large"\n')
    planned, updated = house.make("plan"), house.make("deploy")
    described.write_text(before)
    assert "update" in planned.out
    assert updated.code == 0, updated.err
    assert "trial" not in updated.out
    assert "flights is InService and verified" in updated.out


def test_make_destroy_takes_away_what_was_made(deployed: Said, house: House) -> None:
    address = re.search(r"127\.0\.0\.1:(\d+)", deployed.out)
    assert address
    destroyed = house.make("destroy")
    assert destroyed.code == 0, destroyed.err
    assert "InService" not in house.make("status").out
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(address.group(1))), timeout=5).close()
