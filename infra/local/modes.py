"""What can be asked of an endpoint, and what it can become, by its mode.

The developer guide says that a real-time endpoint cannot be made serverless, and that a serverless
one can be made real-time. Whether an endpoint may become asynchronous by an update is not said; it
is refused here, so that no request waits where nobody looks.
"""

from __future__ import annotations

from infra.local.fleets import Fleet
from infra.local.serverless import LARGEST_PAYLOAD
from infra.local.wire import RefusalError, invalid, not_offered


def check_conversion(old: Fleet, new: Fleet) -> None:
    """An update that would change an endpoint's mode.

    Raises:
        RefusalError: it cannot.
    """
    if new.serverless and not old.serverless:
        raise invalid("An endpoint with instances cannot be converted to a serverless one.")
    if (new.asynchronous is None) != (old.asynchronous is None):
        raise not_offered("updates that make an endpoint asynchronous, or no longer so")


def check_invocation(name: str, fleet: Fleet, body: bytes) -> None:
    """A request to be answered at once.

    Raises:
        RefusalError: the endpoint takes none, or none as large.
    """
    if fleet.asynchronous is not None:
        message = f"Endpoint {name} is asynchronous; use InvokeEndpointAsync."
        raise RefusalError("ValidationError", message)
    if fleet.serverless and len(body) > LARGEST_PAYLOAD:
        message = f"HTTP content length exceeded {LARGEST_PAYLOAD} bytes."
        raise RefusalError("", message, 413)
