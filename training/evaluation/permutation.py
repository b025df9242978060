"""What each input is worth to the trained network: how much worse it gets when the input lies.

A column's values are dealt out anew among the validation rows, a few times; how much the headline
loses is the column's worth. Columns that say the same hide each other: each alone seems worth
little, since the other still tells. So a source's columns are also dealt out together.

What a source or features.py gives is an input of its own: dealing out a key does not look anything
up again, nor does dealing out a column make anything of it anew. What features.py makes is also
dealt out together.

Encoding looks at one row at a time, so dealing out a raw column and encoding it gives the same as
encoding and dealing out what became of it: each row is encoded once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.feature_rules import FILE
from shared.schema import Schema
from shared.transforms import Encoded, Transforms

REPEATS = 3
MOST_ROWS, LEAST_ROWS = 10_000, 500
MOST_WORK = 500_000
SEED = 0

Places = tuple[Sequence[int], Sequence[int]]


@dataclass(frozen=True)
class Importance:
    """What some columns are worth.

    Args:
        name: the column; or the source, or features.py, with a dot and a star: all its columns
            together.
        mean: how much of the headline is lost, over the repeats; negative: chance.
        deviation: its standard deviation between the repeats.
    """

    name: str
    mean: float
    deviation: float


def places(schema: Schema, transforms: Transforms) -> dict[str, Places]:
    """Where each input lies in the matrices that the network reads: numeric and code columns.

    A source of two inputs or more is there, too, under its name with a dot and a star; and so is
    features.py.
    """
    numeric = {name: place for place, name in enumerate(transforms.numeric_names)}
    codes = {name: place for place, (name, _) in enumerate(transforms.categories)}
    found: dict[str, Places] = {}
    for column in schema.features:
        alone = dataclasses.replace(
            transforms,
            scalings=tuple(one for one in transforms.scalings if one.name == column.name),
            clocks=tuple(one for one in transforms.clocks if one.name == column.name),
            vocabularies=tuple(one for one in transforms.vocabularies if one.name == column.name),
        )
        found[column.name] = (
            [numeric[name] for name in alone.numeric_names],
            [codes[name] for name, _ in alone.categories],
        )
    together: dict[str, list[str]] = {}
    for column in schema.features:
        if column in schema.source_columns:
            together.setdefault(f"{column.name.split('.', 1)[0]}.*", []).append(column.name)
        if column in schema.made_columns:
            together.setdefault(f"{FILE}.*", []).append(column.name)
    for whole, names in together.items():
        if len(names) > 1:
            found[whole] = (
                [place for name in names for place in found[name][0]],
                [place for name in names for place in found[name][1]],
            )
    return found


def importance(
    where: Mapping[str, Places],
    rows: Encoded,
    score: Callable[[Encoded], float],
    *,
    higher_is_better: bool,
) -> list[Importance]:
    """What the inputs are worth, the most first.

    Args:
        where: what `places` found.
        rows: the validation rows, or those that `sample` took of them.
        score: the headline of the network's outputs for these rows, changed or not.
        higher_is_better: the direction of the headline.
    """
    random = np.random.default_rng(SEED)
    orders = [random.permutation(len(rows.numeric)) for _ in range(REPEATS)]
    whole = score(rows)
    sign = 1.0 if higher_is_better else -1.0
    found = []
    for name, (numeric, codes) in where.items():
        losses = []
        for order in orders:
            dealt = Encoded(rows.numeric.copy(), rows.codes.copy())
            dealt.numeric[:, numeric] = rows.numeric[order][:, numeric]
            dealt.codes[:, codes] = rows.codes[order][:, codes]
            losses.append(sign * (whole - score(dealt)))
        found.append(
            Importance(
                name,
                float(np.mean(losses)),
                float(np.std(losses, ddof=1)),
            )
        )
    return sorted(found, key=lambda one: -one.mean)


def sample(rows: int, inputs: int) -> npt.NDArray[np.int64]:
    """Places of the rows to measure by, ascending: all, or so few that it takes seconds at most.

    Args:
        rows: how many there are.
        inputs: how many columns and sources are to be dealt out.
    """
    most = min(max(MOST_WORK // (REPEATS * max(inputs, 1)), LEAST_ROWS), MOST_ROWS)
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(SEED).permutation(rows)[:most])
