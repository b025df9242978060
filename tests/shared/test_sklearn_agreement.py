"""scikit-learn's transformers give the same numbers, where both can do the job."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import (
    OneHotEncoder,
    OrdinalEncoder,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from shared.schema import Column
from shared.transforms import Transforms
from shared.values import Array

RANDOM = np.random.default_rng(0)
DATA = {
    "normal": RANDOM.normal(50, 10, 1000),
    "lognormal": RANDOM.lognormal(size=1000),
    "small integers": RANDOM.integers(0, 5, 1000).astype(float),
    "mostly zero": np.where(RANDOM.random(1000) < 0.7, 0.0, RANDOM.random(1000)),
    "constant": np.full(1000, 3.0),
    "tiny": RANDOM.normal(size=1000) * 1e-30,
    "large": RANDOM.normal(size=1000) * 1e30,
}
UNSEEN = np.linspace(-100, 100, 501)


def ours(train: Array, asked: Array, **options: Any) -> Array:
    options = {"clip": None, "log": False} | options
    fitted = Transforms.fit({"x": train}, [Column("x", "numeric", **options)])
    return fitted.encode({"x": asked}).numeric[:, 0]


def theirs(transformer: Any, train: Array, asked: Array) -> Array:
    result: Array = transformer.fit(train[:, None]).transform(asked[:, None])[:, 0]
    return result


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("seen", [True, False], ids=["seen", "unseen"])
def test_standard_scaling_agrees(name: str, seen: bool) -> None:
    asked = DATA[name] if seen else DATA[name].mean() + UNSEEN / 100 * (DATA[name].std() or 1)
    expected = theirs(StandardScaler(), DATA[name], asked).astype(np.float32)
    assert np.allclose(ours(DATA[name], asked), expected, rtol=1e-6, atol=1e-6)


# scikit-learn takes an interquartile range of 0 or 1e-30 for 1.
@pytest.mark.parametrize("name", [name for name in DATA if name not in ("mostly zero", "tiny")])
def test_robust_scaling_agrees(name: str) -> None:
    expected = theirs(RobustScaler(), DATA[name], DATA[name]).astype(np.float32)
    assert np.allclose(ours(DATA[name], DATA[name], scale="robust"), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in DATA if name != "constant"])
def test_quantile_scaling_agrees_up_to_centre_and_spread(name: str) -> None:
    data = DATA[name]
    between = np.sort(data)[:-1] + np.diff(np.sort(data)) / 3
    asked = np.concatenate([data, between, [data.min() - 1, data.max() + 1]])
    expected = theirs(QuantileTransformer(n_quantiles=256), data, asked)
    found = ours(data, asked, scale="quantile") / np.sqrt(12) + 0.5
    assert np.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("impute", ["median", "mean"])
def test_imputing_agrees(impute: str) -> None:
    data = np.where(RANDOM.random(1000) < 0.2, np.nan, DATA["lognormal"])
    filled = SimpleImputer(strategy=impute).fit(data[:, None])
    stands = ours(data, filled.statistics_, impute=impute)[0]
    assert ours(data, np.array([np.nan]), impute=impute)[0] == pytest.approx(stands, abs=1e-12)


def test_levels_agree_up_to_their_order() -> None:
    data = np.array([f"level {int(n)}" for n in RANDOM.exponential(10, 2000)], dtype=object)
    asked = np.append(data, "never seen")
    fitted = Transforms.fit({"x": data}, [Column("x", "category", min_count=1, max_levels=10**6)])
    codes = fitted.encode({"x": asked}).codes[:, 0]
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    expected = encoder.fit(data[:, None]).transform(asked[:, None])[:, 0].astype(int)
    assert len(set(zip(codes.tolist(), expected.tolist(), strict=True))) == len(set(codes.tolist()))
    assert fitted.categories[0][1] == 3 + len(encoder.categories_[0])
    assert (codes[-1], expected[-1]) == (1, -1)


def test_the_same_levels_are_rare() -> None:
    data = np.array([f"level {int(n)}" for n in RANDOM.exponential(10, 2000)], dtype=object)
    fitted = Transforms.fit({"x": data}, [Column("x", "category", min_count=20)])
    encoder = OneHotEncoder(min_frequency=20).fit(data[:, None])
    assert set(fitted.vocabularies[0].rare) == set(encoder.infrequent_categories_[0])
