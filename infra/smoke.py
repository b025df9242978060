"""Verified predictions: the bundle's golden rows must come back the same through the endpoint.

The rows are synthetic and lie in the bundle with the predictions that training computed. Numbers
may differ by 1e-5 (relative above 1), everything else must be equal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.async_client import AsyncClient
from infra.aws import Cloud
from infra.client import Client, ContainerError
from infra.serving import Serving
from shared.errors import DeploymentError, InputError

if TYPE_CHECKING:
    from shared.bundle import Bundle
    from shared.golden import Golden

TOLERANCE = 1e-5


class WrongAnswerError(DeploymentError):
    """What serves is not what was trained."""


def asked(cloud: Cloud, serving: Serving, bundle: Bundle, build: Path) -> tuple[Client, Golden]:
    """Whom to ask about a version that serves, and which golden rows.

    Beside the old version it is the new one's variant. A shadow's answers reach nobody, so there
    the old version is asked about its own rows; the shadow's container replayed its own at start.

    Args:
        cloud: where it serves.
        serving: what serves.
        bundle: of the new version.
        build: directory for what has to be fetched.
    """
    from infra.outputs import fetch_bundle

    name, runtime = serving.endpoint.name, cloud.client("sagemaker-runtime")
    first, newest = serving.config.variants[0], serving.config.newest
    if newest.shadow:
        model = cloud.call("sagemaker", "describe_model", {"ModelName": first.model})
        uri = model["PrimaryContainer"]["ModelDataUrl"]
        return Client(name, runtime), fetch_bundle(cloud, uri, build / "before").golden
    if serving.config.async_:
        return AsyncClient(name, cloud, serving.config.async_.output), bundle.golden
    return Client(name, runtime, None if newest is first else newest.name), bundle.golden


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
