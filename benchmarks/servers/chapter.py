"""The flights pipeline as people write it: pandas for look-ups, scikit-learn for transforms, Keras.

It computes what the bundle's own transforms compute, from the fitted parameters in it, so that both
give the same predictions. It imports nothing of the kit.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

DATA = Path(__file__).parents[2] / "examples" / "flights" / "data"
TIME = "departure_scheduled"
ZONE = "America/New_York"
TEXTS = ["carrier", "flight", "tailnum", "origin", "dest"]
MISSING, UNKNOWN, RARE, FIRST = range(4)


class Chapter:
    """Bytes → predictions.

    Args:
        bundle: directory with transforms.json and model.keras.
    """

    def __init__(self, bundle: Path) -> None:
        import keras

        fitted = json.loads((bundle / "transforms.json").read_bytes())["features"]
        target = json.loads((bundle / "schema.json").read_bytes())["target"]
        manifest = json.loads((bundle / "manifest.json").read_bytes())
        self._classes, self._threshold = target["classes"], target["threshold"]
        self._version = manifest["digest"][:12]
        self._numbers = _numbers(fitted["scalings"])
        self._levels = {one["name"]: _codes(one) for one in fitted["vocabularies"]}
        self._model = keras.saving.load_model(bundle / "model.keras", compile=False)
        weather = pd.read_parquet(DATA / "weather.parquet").sort_values("time_hour")
        self._weather = weather.drop_duplicates(["origin", "time_hour"], keep="last").add_prefix(
            "weather."
        )
        self._planes = pd.read_parquet(DATA / "planes.parquet").add_prefix("plane.")
        self._airports = pd.read_parquet(DATA / "airports.parquet").add_prefix("airport.")

    def __call__(self, body: bytes, content_type: str) -> bytes:
        """One prediction a row, as JSON."""
        scores = self.predict(self.frame(body, content_type)).tolist()
        predictions = [
            {
                "label": self._classes[score >= self._threshold],
                "score": score,
                "scores": {"false": 1 - score, "true": score},
            }
            for score in scores
        ]
        return json.dumps({"predictions": predictions, "model_version": self._version}).encode()

    def frame(self, body: bytes, content_type: str) -> pd.DataFrame:
        """The rows of a body."""
        if content_type == "text/csv":
            rows = pd.read_csv(io.BytesIO(body), dtype=dict.fromkeys(TEXTS, str))
        elif content_type == "application/x-parquet":
            rows = pd.read_parquet(io.BytesIO(body))
        else:
            rows = pd.DataFrame(json.loads(body)["instances"])
        rows[TEXTS] = rows[TEXTS].astype(str).where(rows[TEXTS].notna(), None)
        rows[TIME] = pd.to_datetime(rows[TIME], utc=True).astype("datetime64[us, UTC]")
        return rows

    def predict(self, rows: pd.DataFrame) -> Any:
        """Probabilities, [n]."""
        joined = self._looked_up(rows)
        numeric = np.hstack([self._numbers.transform(joined), _circles(joined[TIME])])
        codes = np.column_stack(
            [
                joined[name].map(levels).fillna(UNKNOWN).mask(joined[name].isna(), MISSING)
                for name, levels in self._levels.items()
            ]
        )
        inputs = [numeric.astype("float32"), codes.astype("int32")]
        return self._model.predict(inputs, verbose=0)[:, 0]

    def _looked_up(self, rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows.reset_index(names="row").sort_values(TIME)
        rows = pd.merge_asof(
            rows,
            self._weather,
            left_on=TIME,
            right_on="weather.time_hour",
            left_by="origin",
            right_by="weather.origin",
            tolerance=pd.Timedelta("2h"),
        )
        rows = rows.merge(self._planes, "left", left_on="tailnum", right_on="plane.tailnum")
        rows = rows.merge(self._airports, "left", left_on="dest", right_on="airport.faa")
        return rows.sort_values("row")


def _numbers(scalings: list[dict[str, Any]]) -> ColumnTransformer:
    """Fill, clip, logarithm, scale; then who was missing. What was fitted in training is set."""
    plain = [one for one in scalings if one["unit"] is None]
    logs = [one for one in scalings if one["unit"] is not None]
    flagged = [one["name"] for one in plain + logs if one["indicator"]]
    parts = [("plain", _scaled(plain, None), [one["name"] for one in plain])]
    if logs:
        units = np.array([one["unit"] for one in logs])
        parts.append(("logs", _scaled(logs, units), [one["name"] for one in logs]))
    indicator = MissingIndicator(features="all")
    indicator.fit(pd.DataFrame(np.zeros((1, len(flagged))), columns=flagged))
    parts.append(("missing", indicator, flagged))
    joined = ColumnTransformer(parts)
    names = [one["name"] for one in plain + logs]
    joined.fit(pd.DataFrame(np.zeros((2, len(names))), columns=names))
    for name, these in (("plain", plain), ("logs", logs)):
        if these:
            _set(joined.named_transformers_[name], these)
    return joined


def _scaled(scalings: list[dict[str, Any]], units: Any) -> Pipeline:
    low, high = (np.array([one[key] for one in scalings]) for key in ("low", "high"))
    steps = [
        ("fill", SimpleImputer(strategy="constant", fill_value=0.0)),
        ("clip", FunctionTransformer(np.clip, kw_args={"a_min": low, "a_max": high})),
    ]
    if units is not None:
        steps.append(("log", FunctionTransformer(_logarithm, kw_args={"units": units})))
    return Pipeline([*steps, ("scale", StandardScaler())])


def _logarithm(x: Any, units: Any) -> Any:
    return np.log1p(x / units)


def _set(pipeline: Pipeline, scalings: list[dict[str, Any]]) -> None:
    pipeline["fill"].statistics_ = np.array([one["fill"] for one in scalings])
    scaler = pipeline["scale"]
    scaler.mean_ = np.array([one["centre"] for one in scalings])
    scaler.scale_ = np.array([one["spread"] for one in scalings])


def _codes(vocabulary: dict[str, Any]) -> dict[str, int]:
    codes = dict.fromkeys(vocabulary["rare"], RARE)
    return codes | {level: FIRST + place for place, level in enumerate(vocabulary["levels"])}


def _circles(times: pd.Series) -> Any:
    """Sine and cosine of the minute of the day and of the weekday, at the airport's clock."""
    local = times.dt.tz_convert(ZONE)
    minutes = local.dt.hour * 60 + local.dt.minute
    angles = [2 * np.pi * minutes / 1440, 2 * np.pi * local.dt.weekday / 7]
    return np.column_stack([f(angle) for angle in angles for f in (np.sin, np.cos)])
