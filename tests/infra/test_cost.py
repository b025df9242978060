"""What a plan costs: instances times hours times prices, bounds said to be bounds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from infra.commands.plan import text
from infra.cost import Cost, costs
from infra.observe import Observed
from infra.plan import Plan, plan
from infra.prices import Component, Price
from infra.resources import Desired
from infra.serving import Serverless
from tests.support import projects
from tests.support.deployments import ACCOUNT, wanted

AWS = replace(ACCOUNT, local=False)


def hourly(component: Component, instance: str) -> Price:
    """Prices that are easy to reckon with."""
    return Price({"Hosting": 0.1, "Training": 0.6}[component], "2026-11-23")


def unknown(component: Component, instance: str) -> Price:
    return Price(why="AWS's price list: not allowed")


def planned(directory: Path, toml: str = projects.TOML) -> Plan:
    return plan(wanted(directory, toml=toml, account=AWS), Observed())


def of(found: tuple[Cost, ...], what: str) -> Cost:
    return next(cost for cost in found if cost.what == what)


def test_the_endpoint_costs_its_instances_by_the_hour(tmp_path: Path) -> None:
    cost = of(costs(planned(tmp_path), hourly), "endpoint")
    assert (cost.least, cost.most, cost.per) == (0.1, 0.1, "hour")
    assert cost.words == "1 × ml.m5.large: $0.10 an hour ($73.00 in 730 h); prices of 2026-11-23"


def test_scaling_gives_a_least_and_a_most(tmp_path: Path) -> None:
    toml = projects.TOML + "[endpoint]\nscaling = { min = 1, max = 4 }\n"
    cost = of(costs(planned(tmp_path, toml), hourly), "endpoint")
    assert (cost.least, cost.most) == (0.1, 0.4)
    assert "1 to 4 × ml.m5.large: $0.10 to $0.40 an hour" in cost.words


def test_a_schedule_s_bounds_count_too(tmp_path: Path) -> None:
    night = '{ at = "cron(0 22 * * ? *)", min = 1, max = 2 }'
    day = '{ at = "cron(0 7 * * ? *)", min = 2, max = 8 }'
    toml = f"[endpoint]\nscaling = {{ min = 1, max = 4, schedule = [{night}, {day}] }}\n"
    cost = of(costs(planned(tmp_path, projects.TOML + toml), hourly), "endpoint")
    assert cost.detail == "1 to 8 × ml.m5.large"


def test_a_training_job_costs_at_most_its_longest_runtime(tmp_path: Path) -> None:
    cost = of(costs(planned(tmp_path), hourly), "training")
    assert cost.most == pytest.approx(0.1)  # ten minutes at 0.6
    assert "up to $0.10 a run" in cost.words


def test_of_spot_no_discount_is_promised(tmp_path: Path) -> None:
    toml = projects.TOML.replace("[training]", "[training]\nspot = true")
    cost = of(costs(planned(tmp_path, toml), hourly), "training")
    assert cost.most == pytest.approx(0.1)
    assert "only says afterwards" in cost.words


def test_a_search_by_the_service_costs_all_its_jobs(tmp_path: Path) -> None:
    toml = projects.TOML.replace("trials = 1", 'trials = 2\nwhere = "service"')
    cost = of(costs(planned(tmp_path, toml), hourly), "training")
    assert cost.most == pytest.approx(0.2)
    assert cost.detail.startswith("2 trials")


def test_where_nothing_is_trained_no_training_is_paid(tmp_path: Path) -> None:
    made = planned(tmp_path)
    kept = tuple(step for step in made.steps if step.stage != "train")
    assert [cost.what for cost in costs(replace(made, steps=kept), hourly)] == ["endpoint"]


def test_an_unknown_price_is_said_to_be_unknown(tmp_path: Path) -> None:
    for cost in costs(planned(tmp_path), unknown):
        assert (cost.least, cost.most) == (None, None)
        assert "price unknown (AWS's price list: not allowed)" in cost.words


def test_serverless_is_not_paid_by_the_hour(tmp_path: Path) -> None:
    made = planned(tmp_path)
    config = made.serving.config
    variant = replace(config.newest, instance=None, serverless=Serverless(2048, 5))
    serving = replace(made.serving, config=replace(config, variants=(variant,)))
    cost = of(costs(replace(made, serving=serving), hourly), "endpoint")
    assert cost.most is None
    assert "paid by the duration" in cost.words


def test_this_machine_costs_nothing(want: Desired) -> None:
    assert "Cost: none" in text(plan(want, Observed()), ())


@pytest.fixture
def want(tmp_path: Path) -> Desired:
    return wanted(tmp_path)


def test_a_candidate_is_not_scaled(tmp_path: Path) -> None:
    toml = projects.TOML + "[endpoint]\nscaling = { min = 1, max = 4 }\n"
    made = planned(tmp_path, toml)
    variant = made.serving.config.newest
    both = (variant, replace(variant, name="Candidate"))
    config = replace(made.serving.config, variants=both)
    made = replace(made, serving=replace(made.serving, config=config))
    assert [cost.detail.partition(" ×")[0] for cost in costs(made, hourly)[:2]] == ["1 to 4", "1"]
