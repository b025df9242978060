"""Whether the parts of a bundle fit each other, beyond what each of them allows by itself.

Digests say that nothing was changed since the manifest was written; they do not say that a sensible
program wrote it. What passes here encodes every good request to finite numbers, and its golden rows
say what its outputs mean. Here: fitted transforms, sources and golden rows against the schema. Not
here: digests (bundle.py), replaying golden rows (golden.py), the network's file (networks.py).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from shared import documents, predictions
from shared.clock import DAY, PERIODS, Clock
from shared.errors import BundleError, KitError
from shared.golden import Golden
from shared.scaling import HUGE, TINY, Scaling
from shared.schema import Schema
from shared.sources import Source
from shared.transforms import TargetTransform, Transforms

AGREEMENT = 1e-9
"""Between answers computed from the same outputs: libraries differ in the last bits of exp."""


def check(
    schema: Schema,
    transforms: Transforms,
    target_transform: TargetTransform,
    sources: Sequence[Source],
    golden: Golden,
) -> None:
    """Refuse parts that do not fit.

    Raises:
        BundleError: they do not; the message names the document and the part.
    """
    _check_target(schema, target_transform)
    _check_sources(schema, sources)
    _check_features(schema, transforms)
    for scaling in transforms.scalings:
        _check_scaling(scaling)
    for clock in transforms.clocks:
        _check_clock(clock, transforms.circles)
    for vocabulary in transforms.vocabularies:
        levels = vocabulary.levels + vocabulary.rare
        if len(set(levels)) < len(levels):
            _refuse("a level is there twice", "transforms.json", vocabulary.name)
    _check_golden(schema, transforms, target_transform, golden)


def _check_target(schema: Schema, target_transform: TargetTransform) -> None:
    target, fitted = schema.target, target_transform
    if target.task != "regression" and len(target.classes) < 2:
        _refuse("the target has no classes", "schema.json")
    if fitted.task != target.task:
        _refuse(f"it is for {fitted.task}, but the schema is for {target.task}", "transforms.json")
    _check_size("transforms.json", "target", fitted.spread, fitted.unit, [fitted.centre])


def _check_sources(schema: Schema, sources: Sequence[Source]) -> None:
    names = [source.name for source in sources]
    if len(set(names)) < len(names):
        _refuse("two sources have one name", "sources.json")
    if tuple(itertools.chain(*(source.named_columns for source in sources))) != (
        schema.source_columns
    ):
        _refuse("the sources have other columns than the schema says", "sources.json")
    kinds = {column.name: column.kind for column in schema.columns}
    for source in sources:
        for ours in source.keys:
            if kinds.get(ours) not in ("category", "numeric"):
                _refuse(f"the key {documents.show(ours)} is no column", "sources.json", source.name)
        if source.as_of and kinds.get(source.as_of[0]) != "datetime":
            _refuse("the time is no datetime column", "sources.json", source.name)


def _check_features(schema: Schema, transforms: Transforms) -> None:
    fitted = [
        *((part.name, ("numeric", "boolean")) for part in transforms.scalings),
        *((part.name, ("datetime",)) for part in transforms.clocks),
        *((part.name, ("category",)) for part in transforms.vocabularies),
    ]
    kinds = {column.name: column.kind for column in schema.features}
    for name, allowed in fitted:
        if kinds.pop(name, None) not in allowed:
            _refuse("the schema has no such feature, or it is there twice", "transforms.json", name)
    for name in kinds:
        _refuse("the feature was not fitted", "transforms.json", name)


def _check_scaling(scaling: Scaling) -> None:
    name = scaling.name
    numbers = [scaling.fill, scaling.low, scaling.high, scaling.centre, *scaling.knots]
    _check_size("transforms.json", name, scaling.spread, scaling.unit, numbers)
    if scaling.low > scaling.high:
        _refuse("the lowest value is above the highest", "transforms.json", name)
    if not len(scaling.knots) == len(scaling.lower) == len(scaling.upper):
        _refuse("the knots and their ranks differ in number", "transforms.json", name)
    _check_rising(scaling.knots, name)
    ranks = [rank for pair in zip(scaling.lower, scaling.upper, strict=True) for rank in pair]
    if any(not 0 <= rank <= 1 for rank in ranks) or ranks != sorted(ranks):
        _refuse("the ranks do not rise from 0 to 1", "transforms.json", name)


def _check_clock(clock: Clock, circles: Mapping[str, Sequence[Sequence[float]]]) -> None:
    name = clock.name
    for part in clock.parts:
        points = circles.get(part, ())
        if len(points) != PERIODS.get(part) or any(abs(x) > 1 for point in points for x in point):
            _refuse(f"the circle of {documents.show(part)} is none", "transforms.json", name)
    if len(clock.offsets) != len(clock.transitions) + 1:
        _refuse("the offsets do not fit the transitions", "transforms.json", name)
    if any(abs(offset) > DAY for offset in clock.offsets):
        _refuse("an offset is longer than a day", "transforms.json", name)
    if any(abs(moment) >= 1 << 62 for moment in (*clock.transitions, clock.first, clock.last)):
        _refuse("a moment is beyond all times", "transforms.json", name)
    _check_rising(clock.transitions, name)


def _check_golden(
    schema: Schema, transforms: Transforms, target_transform: TargetTransform, golden: Golden
) -> None:
    rows = len(golden.records)
    shapes = {
        "numeric": (golden.numeric.shape, (rows, len(transforms.numeric_names))),
        "codes": (golden.codes.shape, (rows, len(transforms.categories))),
    }
    if not rows:
        _refuse("there are no golden rows", "golden.json")
    for part, (found, needed) in shapes.items():
        if found != needed:
            _refuse(f"the shape is {found}, not {needed}", "golden.json", part)
    try:
        decoded = predictions.decode(golden.outputs, schema.target, target_transform)
    except KitError as error:
        _refuse(error.message, "golden.json", "outputs")
    answers = decoded.to_records()
    if len(answers) != rows or len(golden.predictions) != rows:
        _refuse("rows, outputs and predictions differ in number", "golden.json")
    for row, (ours, theirs) in enumerate(zip(answers, golden.predictions, strict=True)):
        if not _alike(ours, theirs):
            _refuse(
                f"the prediction is {documents.show(dict(theirs))}, "
                f"but the output means {documents.show(ours)}",
                "golden.json",
                f"row {row}",
            )


def _alike(ours: Any, theirs: Any) -> bool:
    """Whether two predictions are equal, numbers but for their last digits.

    Ours may tell more: a bundle can be older than what an answer tells today.
    """
    if isinstance(ours, dict):
        return (
            isinstance(theirs, Mapping)
            and next(iter(ours)) in theirs
            and all(_alike(ours.get(key), value) for key, value in theirs.items())
        )
    if isinstance(ours, float):
        return type(theirs) in (int, float) and math.isclose(
            ours, theirs, rel_tol=AGREEMENT, abs_tol=AGREEMENT
        )
    return type(ours) is type(theirs) and bool(ours == theirs)


def _check_size(
    document: str, part: str, spread: float, unit: float | None, numbers: Iterable[float]
) -> None:
    if not TINY <= spread <= HUGE or (unit is not None and not TINY <= unit <= HUGE):
        _refuse("the spread or the unit is too small or too large", document, part)
    if any(abs(number) > HUGE for number in numbers):
        _refuse("a number is too large", document, part)


def _check_rising(numbers: Sequence[float], name: str) -> None:
    if any(before >= after for before, after in itertools.pairwise(numbers)):
        _refuse("what must rise does not", "transforms.json", name)


def _refuse(reason: str, document: str, part: str | None = None) -> NoReturn:
    where = document if part is None else f"{document}, {documents.show(part)}"
    raise BundleError(reason, where=where, cure="Train the model again")
