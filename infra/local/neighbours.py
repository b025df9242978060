"""Operations of other services that clients of SageMaker need, and moto lacks or half has."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

NAMESPACE = "https://iam.amazonaws.com/doc/2010-05-08/"


def simulate_principal_policy(body: bytes, request_id: str) -> bytes | None:
    """IAM's answer to SimulatePrincipalPolicy; None when `body` asks for something else.

    The local cloud enforces no policies, so everything is allowed.
    """
    form = parse_qs(body.decode("utf-8", "replace"))
    if form.get("Action") != ["SimulatePrincipalPolicy"]:
        return None
    actions = _members(form, "ActionNames")
    resources = _members(form, "ResourceArns") or ["*"]
    results = "".join(
        f"<member><EvalActionName>{escape(action)}</EvalActionName>"
        f"<EvalResourceName>{escape(resource)}</EvalResourceName>"
        "<EvalDecision>allowed</EvalDecision><MatchedStatements/><MissingContextValues/></member>"
        for action in actions
        for resource in resources
    )
    return (
        f'<SimulatePrincipalPolicyResponse xmlns="{NAMESPACE}"><SimulatePrincipalPolicyResult>'
        f"<IsTruncated>false</IsTruncated><EvaluationResults>{results}</EvaluationResults>"
        "</SimulatePrincipalPolicyResult><ResponseMetadata>"
        f"<RequestId>{request_id}</RequestId></ResponseMetadata></SimulatePrincipalPolicyResponse>"
    ).encode()


def filter_log_events(body: bytes, logs: Any) -> bytes:
    """The body of Logs' FilterLogEvents in words that moto understands.

    Moto overlooks a prefix of stream names, and does not merge streams by time unless asked to,
    which is what AWS always does.
    """
    try:
        request = json.loads(body)
        prefix = request.pop("logStreamNamePrefix", None)
        group = request["logGroupName"]
    except (ValueError, AttributeError, KeyError):
        return body
    request["interleaved"] = True
    if prefix is not None:
        pages = logs.get_paginator("describe_log_streams")
        found = pages.paginate(logGroupName=group, logStreamNamePrefix=prefix)
        try:
            names = [each["logStreamName"] for page in found for each in page["logStreams"]]
        except logs.exceptions.ResourceNotFoundException:
            names = []
        request["logStreamNames"] = names or ["*"]  # no stream can have this name
    return json.dumps(request).encode()


def _members(form: dict[str, list[str]], name: str) -> list[str]:
    found: list[str] = []
    while each := form.get(f"{name}.member.{len(found) + 1}"):
        found.append(each[0])
    return found
