"""Dealing out a column in the matrices is dealing it out before encoding; the worth follows."""

import numpy as np
import pytest

from shared.schema import Column, Schema, Target
from shared.transforms import Encoded, Transforms
from training.evaluation import permutation

RANDOM = np.random.default_rng(0)
ROWS = 400
COLUMNS = (
    Column("size", "numeric"),
    Column("price", "numeric", scale="quantile"),
    Column("fruit", "category"),
    Column("sold", "datetime", parts=("hour", "weekday")),
    Column("key", "category", feature=False),
)
ADDED = (Column("shop.size", "numeric"), Column("shop.town", "category"), Column("w.t", "numeric"))
SCHEMA = Schema(COLUMNS, ADDED, Target("worth", "regression"))


def columns() -> dict[str, np.ndarray]:
    times = np.datetime64("2020-01-01", "us") + RANDOM.integers(0, 10**13, ROWS)
    fruits = np.array(["apple", "pear", None], object)
    numbers = RANDOM.random((4, ROWS))
    numbers[0, RANDOM.random(ROWS) < 0.1] = np.nan
    return {
        "size": numbers[0],
        "price": numbers[1],
        "fruit": fruits[RANDOM.integers(0, 3, ROWS)],
        "sold": np.where(RANDOM.random(ROWS) < 0.1, np.datetime64("NaT"), times),
        "key": np.full(ROWS, "k", object),
        "shop.size": numbers[2],
        "shop.town": np.array(["x", "y"], object)[RANDOM.integers(0, 2, ROWS)],
        "w.t": numbers[3],
    }


def test_a_column_dealt_out_raw_and_one_dealt_out_encoded_are_the_same() -> None:
    data = columns()
    transforms = Transforms.fit(data, SCHEMA.features)
    encoded, where = transforms.encode(data), permutation.places(SCHEMA, transforms)
    order = RANDOM.permutation(ROWS)
    assert "key" not in where
    for name, (numeric, codes) in where.items():
        dealt = Encoded(encoded.numeric.copy(), encoded.codes.copy())
        dealt.numeric[:, numeric] = encoded.numeric[order][:, numeric]
        dealt.codes[:, codes] = encoded.codes[order][:, codes]
        own = [name] if name in data else [one for one in data if one.startswith(name[:-1])]
        raw = transforms.encode({**data, **{one: data[one][order] for one in own}})
        assert np.array_equal(dealt.numeric, raw.numeric), name
        assert np.array_equal(dealt.codes, raw.codes), name


def test_every_matrix_column_belongs_to_one_input() -> None:
    data = columns()
    transforms = Transforms.fit(data, SCHEMA.features)
    where = permutation.places(SCHEMA, transforms)
    alone = [place for name, place in where.items() if not name.endswith(".*")]
    numeric = sorted(place for numeric, _ in alone for place in numeric)
    assert numeric == list(range(len(transforms.numeric_names)))
    assert sorted(place for _, codes in alone for place in codes) == [0, 1]
    assert where["shop.*"] == (where["shop.size"][0], where["shop.town"][1])
    assert "w.*" not in where


def test_only_what_the_network_uses_is_worth_something() -> None:
    rows = Encoded(
        RANDOM.normal(size=(ROWS, 3)).astype(np.float32),
        RANDOM.integers(0, 2, (ROWS, 1)).astype(np.int32),
    )
    truth = 3 * rows.numeric[:, 0] + rows.codes[:, 0]

    def rmse(given: Encoded) -> float:
        answer = 3 * given.numeric[:, 0] + given.codes[:, 0]
        return float(np.sqrt(np.mean(np.square(answer - truth))))

    where = {"a": ([0], []), "b": ([1, 2], []), "c": ([], [0])}
    found = permutation.importance(where, rows, rmse, higher_is_better=False)
    assert [one.name for one in found] == ["a", "c", "b"]
    # Two draws of 3x differ by 3 sqrt 2; two of a fair coin by sqrt(1/2).
    assert found[0].mean == pytest.approx(3 * np.sqrt(2), rel=0.1)
    assert found[1].mean == pytest.approx(np.sqrt(0.5), rel=0.1)
    assert (found[2].mean, found[2].deviation) == (0, 0)
    assert found[0].deviation > 0


def test_a_loss_of_what_should_be_high_counts_as_worth() -> None:
    rows = Encoded(np.arange(ROWS, dtype=np.float32)[:, None], np.empty((ROWS, 0), np.int32))

    def right(given: Encoded) -> float:
        return float(np.mean(given.numeric[:, 0] == np.arange(ROWS)))

    found = permutation.importance({"a": ([0], [])}, rows, right, higher_is_better=True)
    assert found[0].mean == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("rows", "inputs", "taken"), [(300, 5, 300), (50_000, 5, 10_000), (50_000, 1000, 500)]
)
def test_the_more_inputs_the_fewer_rows(rows: int, inputs: int, taken: int) -> None:
    some = permutation.sample(rows, inputs)
    assert len(set(some.tolist())) == taken
    assert np.all(np.diff(some) > 0)
