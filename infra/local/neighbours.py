"""Operations of other services that clients of SageMaker need and moto does not have."""

from __future__ import annotations

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


def _members(form: dict[str, list[str]], name: str) -> list[str]:
    found: list[str] = []
    while each := form.get(f"{name}.member.{len(found) + 1}"):
        found.append(each[0])
    return found
