"""What can be done to the local cloud and not to AWS, asked as AWS's operations are."""

from __future__ import annotations

import json
from typing import Any

from shared.errors import LocalCloudError

PREFIX = "LocalCloud."


def ask(session: Any, url: str, operation: str, parameters: dict[str, Any]) -> None:
    """Carry out one operation of the local cloud's own.

    Args:
        session: a boto3 session of it.
        url: its address.
        operation: such as ``InterruptTrainingJob``.
        parameters: as JSON.

    Raises:
        LocalCloudError: it refused; the message has its reason.
    """
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.httpsession import URLLib3Session

    request = AWSRequest(
        "POST",
        url,
        headers={"X-Amz-Target": PREFIX + operation, "Content-Type": "application/x-amz-json-1.1"},
        data=json.dumps(parameters),
    )
    credentials = session.get_credentials().get_frozen_credentials()
    SigV4Auth(credentials, "sagemaker", session.region_name).add_auth(request)
    answer = URLLib3Session(proxies={}).send(request.prepare())
    if answer.status_code != 200:
        raise LocalCloudError(
            f"the local cloud refused {operation}: {_message(answer.content)}",
            where=str(parameters.get("TrainingJobName", url)),
            cure="`.venv/bin/python -m infra.local status` shows where it runs.",
        )


def _message(content: bytes) -> str:
    try:
        found = json.loads(content)
        return str(found.get("message") or found.get("Message"))
    except (ValueError, AttributeError):
        return content.decode("utf-8", "replace")[:200]
