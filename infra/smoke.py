"""Verified predictions: the bundle's golden rows must come back the same through the endpoint.

The rows are synthetic and lie in the bundle with the predictions that training computed. Numbers
may differ by 1e-5 (relative above 1), everything else must be equal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from infra.client import Client, ContainerError
from shared.errors import DeploymentError, InputError

TOLERANCE = 1e-5


class WrongAnswerError(DeploymentError):
    """What serves is not what was trained."""


def verify(
    client: Client, records: Sequence[Mapping[str, Any]], expected: Sequence[Mapping[str, Any]]
) -> int:
    """Send `records` and compare with `expected`; the number of rows that agreed.

    Raises:
        WrongAnswerError: the endpoint refuses a row, fails at it, or answers something else.
        DeploymentError: it cannot be reached.
    """
    where = f"endpoint {client.endpoint}"
    try:
        answer = client.predict(records)
    except (InputError, ContainerError) as error:
        raise WrongAnswerError(
            f"does not take the model's own golden rows: {error}",
            where=where,
            cure="The serving code and the bundle do not fit together: deploy both again.",
        ) from error
    if len(answer.predictions) != len(expected):
        raise WrongAnswerError(
            f"answered {len(answer.predictions)} predictions for {len(expected)} golden rows",
            where=where,
        )
    for row, (got, wanted) in enumerate(zip(answer.predictions, expected, strict=True)):
        difference = differs(got, wanted)
        if difference:
            raise WrongAnswerError(
                f"golden row {row} came back different: {difference}",
                where=where,
                cure="What serves is not what was trained: compare the library versions in the "
                "bundle's manifest with the image's.",
            )
    return len(expected)


def differs(got: object, wanted: object, path: str = "") -> str | None:
    """How an answer differs from what was expected, or None."""
    if isinstance(wanted, Mapping) and isinstance(got, Mapping):
        if got.keys() != wanted.keys():
            return f"{path or 'the answer'} has {sorted(got)}, not {sorted(wanted)}"
        for key, value in wanted.items():
            found = differs(got[key], value, f"{path}.{key}" if path else str(key))
            if found:
                return found
        return None
    if _number(got) and _number(wanted):
        assert isinstance(got, int | float)
        assert isinstance(wanted, int | float)
        if math.isclose(got, wanted, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            return None
    elif type(got) is type(wanted) and got == wanted:
        return None
    return f"{path} is {got!r}, not {wanted!r}"


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
