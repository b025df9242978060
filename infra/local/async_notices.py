"""What an SNS topic is told of an asynchronous request's end.

The form is that of messages that users have published. How an answer is included is not
documented: here ``responseBody`` holds ``content`` in base64.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from infra.local.backlogs import Ticket
from infra.local.environment import REGION

LARGEST_BODY = 128 * 1024
KINDS = {
    "Completed": ("SuccessTopic", "SUCCESS_NOTIFICATION_TOPIC"),
    "Failed": ("ErrorTopic", "ERROR_NOTIFICATION_TOPIC"),
}
TOLD = ("Accept", "ContentType", "CustomAttributes", "InputLocation")


def notice(
    endpoint: str, ticket: Ticket, status: str, more: Mapping[str, Any], body: bytes
) -> tuple[str, str] | None:
    """The topic to be told and the message; None where nobody wants to know.

    Args:
        endpoint: its name.
        ticket: the request.
        status: Completed or Failed.
        more: what the message says besides.
        body: the answer, which is included where that was asked for and it is small enough.
    """
    config = ticket.config["OutputConfig"].get("NotificationConfig", {})
    kind, wanted = KINDS[status]
    topic = config.get(kind)
    if not topic:
        return None
    asked = {
        name[0].lower() + name[1:]: ticket.request[name] for name in TOLD if name in ticket.request
    }
    message = {
        "awsRegion": REGION,
        "eventTime": _iso(time.time()),
        "receivedTime": _iso(ticket.received),
        "invocationStatus": status,
        **more,
        "requestParameters": {**asked, "endpointName": endpoint},
        "inferenceId": ticket.inference_id,
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    if wanted in config.get("IncludeInferenceResponseIn", []) and len(body) <= LARGEST_BODY:
        encoded = base64.b64encode(body).decode()
        message["responseBody"] = {"content": encoded, "encoding": "BASE64"}
    return topic, json.dumps(message)


def _iso(moment: float) -> str:
    text = datetime.fromtimestamp(moment, UTC).replace(tzinfo=None)
    return f"{text.isoformat(timespec='milliseconds')}Z"
