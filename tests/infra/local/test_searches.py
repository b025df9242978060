from __future__ import annotations

import pytest

from infra.local.searches import Bayesian, Choices, Grid, Interval, Random, automatic

RATE = Interval("rate", 0.001, 1.0, "Logarithmic", whole=False)
LAYERS = Interval("layers", 1, 4, "Linear", whole=True)
KIND = Choices("kind", ("relu", "prelu"))


@pytest.mark.parametrize(
    ("dimension", "texts"),
    [
        (Interval("x", 0, 10, "Linear", whole=False), ["0.0", "5.0", "10.0"]),
        (Interval("x", 0.01, 1, "Logarithmic", whole=False), ["0.01", "0.1", "1.0"]),
        (Interval("x", 0.0, 0.99, "ReverseLogarithmic", whole=False), ["0.0", "0.9", "0.99"]),
        (Interval("n", 1, 3, "Linear", whole=True), ["1", "2", "3"]),
        (Interval("n", 1, 100, "Logarithmic", whole=True), ["1", "7", "100"]),
        (Choices("c", ("a", "b", "c")), ["a", "b", "c"]),
    ],
)
def test_positions_become_values_on_the_scale_of_a_range(
    dimension: Interval | Choices, texts: list[str]
) -> None:
    found = [dimension.text(position) for position in (0.0, 0.5, 1.0)]
    assert found == pytest.approx(texts) if isinstance(dimension, Choices) else True
    for text, wanted in zip(found, texts, strict=True):
        assert text == wanted or float(text) == pytest.approx(float(wanted))


def test_every_whole_number_is_as_likely_as_the_next() -> None:
    drawn = [LAYERS.text((n + 0.5) / 400) for n in range(400)]
    assert [drawn.count(str(n)) for n in range(1, 5)] == [100, 100, 100, 100]


def test_a_value_is_found_again_at_its_position() -> None:
    for dimension in (RATE, LAYERS, Interval("x", 0.0, 0.9, "ReverseLogarithmic", whole=False)):
        for position in (0.1, 0.4, 0.9):
            text = dimension.text(position)
            found = dimension.position(text)
            assert found is not None
            assert dimension.text(found) == text or float(dimension.text(found)) == pytest.approx(
                float(text)
            )
    assert RATE.position("2.0") is RATE.position("relu") is None


def test_a_range_over_two_decades_is_logarithmic_unless_told() -> None:
    assert automatic(0.001, 0.1) == "Logarithmic"
    assert automatic(0.0, 0.5) == automatic(16, 512) == "Linear"


def test_a_random_search_repeats_with_its_seed_and_never_within_itself() -> None:
    def draws(seed: int) -> list[object]:
        search = Random([LAYERS, KIND], seed)
        return [search.propose() for _ in range(9)]

    first = draws(1)
    assert first == draws(1) != draws(2)
    assert first[8] is None
    assert len({str(each) for each in first[:8]}) == 8


def test_a_grid_takes_every_combination_in_order() -> None:
    search = Grid([KIND, Choices("size", ("8", "16"))])
    found = [search.propose() for _ in range(5)]
    assert [each and (each["kind"], each["size"]) for each in found] == [
        ("relu", "8"),
        ("relu", "16"),
        ("prelu", "8"),
        ("prelu", "16"),
        None,
    ]


def objective(values: dict[str, str]) -> float:
    return (float(values["x"]) - 0.7) ** 2


def test_a_bayesian_search_does_better_than_chance_and_repeats_with_its_seed() -> None:
    space = [Interval("x", 0.0, 1.0, "Linear", whole=False)]

    def run(seed: int) -> list[float]:
        search, found = Bayesian(space, seed, maximize=False), []
        for _ in range(30):
            values = search.propose()
            assert values is not None
            found.append(objective(dict(values)))
            search.learn(values, found[-1])
        return found

    first = run(1)
    assert first == run(1)
    assert sorted(first[15:])[7] < sorted(first[:10])[5]


def test_a_bayesian_search_begins_where_its_parents_did_well() -> None:
    space = [Interval("x", 0.0, 1.0, "Linear", whole=False)]
    earlier = [({"x": str(n / 20)}, objective({"x": str(n / 20)})) for n in range(20)]
    outside = [({"x": "7"}, 0.0), ({"y": "1"}, 0.0)]
    search = Bayesian(space, 1, maximize=False, earlier=earlier + outside)
    drawn = [float((search.propose() or {})["x"]) for _ in range(4)]
    assert all(0.4 < x < 1.0 for x in drawn)


def test_a_bayesian_search_goes_on_after_a_job_without_a_result() -> None:
    search = Bayesian([KIND], 1, maximize=True)
    first = search.propose()
    assert first is not None
    search.learn(first, None)
    second = search.propose()
    assert second is not None
    assert {first["kind"], second["kind"]} == {"relu", "prelu"}
