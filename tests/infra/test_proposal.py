"""A plan in words: what happens to the traffic is said as the request will have it."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.plan import Plan
from infra.proposal import counted, table, traffic
from tests.support import projects
from tests.support.deployments import deploy, planned, wanted
from tests.support.fake_cloud import FakeCloud

WAYS = {
    "": "All at once",
    'rollout = { kind = "canary", percent = 20 }': "Canary: first 20%, then all, 600 s apart",
    'rollout = { kind = "linear", percent = 25 }': "Linear: 25% at a time",
    'rollout = { kind = "rolling", percent = 25 }': "Rolling: 25% at a time",
}


def update(directory: Path, toml: str = projects.TOML) -> Plan:
    """The plan of a second version."""
    cloud = FakeCloud()
    deploy(cloud, wanted(directory / "first"), directory / "build")
    return planned(cloud, wanted(directory / "second", serving="6" * 64, toml=toml))


def seen(directory: Path, status: str) -> Plan:
    """The plan for an endpoint of that status on the wanted config."""
    cloud = FakeCloud()
    want = wanted(directory / "first")
    deploy(cloud, want, directory / "build")
    cloud.endpoints["small"]["EndpointStatus"] = status
    return planned(cloud, want)


BESIDE = {
    "shadow = { share = '20%' }": "Traffic stays with the old version; the new one gets copies of",
    "ab = { share = '10%' }": "10% of the traffic moves to the new version, the rest stays",
}


@pytest.mark.parametrize("way", WAYS)
def test_an_update_says_how_the_traffic_moves(tmp_path: Path, way: str) -> None:
    said = traffic(update(tmp_path, projects.TOML + f"[endpoint]\n{way}\n"))
    assert "moves to the new version" in said
    assert WAYS[way] in said
    assert "o gap" in said


@pytest.mark.parametrize("way", BESIDE)
def test_a_version_beside_the_old_one_says_what_it_gets(tmp_path: Path, way: str) -> None:
    said = traffic(update(tmp_path, projects.TOML + f"[endpoint]\n{way}\n"))
    assert said.startswith(BESIDE[way])
    assert "promote or rollback" in said


def test_where_nothing_changes_no_traffic_is_touched(tmp_path: Path) -> None:
    assert traffic(seen(tmp_path, "InService")) == "Traffic is not touched."


def test_a_first_endpoint_has_no_traffic_yet(tmp_path: Path) -> None:
    assert "no endpoint yet" in traffic(planned(FakeCloud(), wanted(tmp_path)))


def test_an_endpoint_that_failed_is_out_of_service_until_it_is_made_again(tmp_path: Path) -> None:
    made = seen(tmp_path, "Failed")
    assert traffic(made).startswith("The endpoint has failed and is made again: until")
    assert "±  replace  endpoint" in table(made)


def test_an_endpoint_of_another_mode_is_not_said_to_have_failed(tmp_path: Path) -> None:
    made = update(tmp_path, projects.TOML + '[endpoint]\nmode = "serverless"\n')
    assert traffic(made).startswith("The endpoint is deleted and made again: until")


def test_an_update_under_way_is_waited_for(tmp_path: Path) -> None:
    made = seen(tmp_path, "Updating")
    assert "waited for" in traffic(made)
    assert counted(made).startswith("1 to wait for, ")


def test_steps_are_counted_by_what_they_do(tmp_path: Path) -> None:
    assert counted(update(tmp_path)) == "5 to create, 1 to update, 8 unchanged"


def test_what_stays_is_listed_with_its_reason(tmp_path: Path) -> None:
    made = update(tmp_path)
    lines = table(made).splitlines()
    assert len(lines) == len(made.steps) + len(made.unchanged)
    assert all(item.reason in table(made) for item in made.unchanged)
