"""A plan in words: what a person reads before saying yes. Pure; `Plan.to_json` is for machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from infra.cost import Cost
from infra.plan import Plan
from infra.steps import Action

SIGNS = {"create": "+", "update": "~", "replace": "±", "attach": "…", "delete": "-"}
_COUNTED: dict[Action, str] = {
    "create": "to create",
    "update": "to update",
    "replace": "to replace",
    "delete": "to delete",
    "attach": "to wait for",
}


def table(plan: Plan) -> str:
    """Every step and everything that stays, a line each, with its reason."""
    lines: list[tuple[str, ...]] = [
        (SIGNS[step.action], step.action, step.kind, step.name, step.reason) for step in plan.steps
    ]
    lines += [("=", "keep", same.kind, same.name, same.reason) for same in plan.unchanged]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    return "\n".join(
        "  "
        + "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=False))
        + f"  {line[4]}"
        for line in lines
    )


def counted(plan: Plan) -> str:
    """3 to create, 1 to update, 8 unchanged."""
    actions = Counter(step.action for step in plan.steps)
    told = [f"{actions[action]} {words}" for action, words in _COUNTED.items() if actions[action]]
    return ", ".join([*told, f"{len(plan.unchanged)} unchanged"])


def traffic(plan: Plan) -> str:
    """What a client of the endpoint will notice of it."""
    steps = [step for step in plan.of("endpoint") if step.kind == "endpoint"]
    actions = [step.action for step in steps]
    if "update" in actions:
        return _beside(plan) or "Traffic moves to the new version. " + _rollout(plan)
    if "replace" in actions:
        serves = any(step.traffic for step in steps)  # it did not fail: it is to be another mode's
        why = "is deleted and" if serves else "has failed and is"
        return f"The endpoint {why} made again: until it is InService, requests find none."
    if "create" in actions:
        return "Traffic: there is no endpoint yet, so no request is touched."
    if actions:
        return "Traffic: an update that is under way is waited for."
    return "Traffic is not touched."


def rejected(plan: Plan) -> str:
    """What becomes of a version that was rejected; "" where none was."""
    if plan.rejected is None:
        return ""
    asked = f"The project asks for version {plan.rejected.number}, which was rejected"
    if plan.version is None or plan.waits:
        return f"{asked}, and no other is approved: nothing is rolled out."
    return f"{asked}: version {plan.version.number}, which is approved, serves."


def _beside(plan: Plan) -> str:
    """What a version gets that is put beside the one that serves; else nothing."""
    variants = plan.serving.config.variants
    if len(variants) == 1:
        return ""
    newest = variants[-1]
    share = f"{newest.weight / sum(one.weight for one in variants if not one.shadow):.0%}"
    gets = f"{share} of the traffic moves to the new version, the rest stays with the old one"
    if newest.shadow:
        gets = f"Traffic stays with the old version; the new one gets copies of {share} of it"
    return f"{gets}. Two fleets are paid for until promote or rollback. There is no gap."


def _rollout(plan: Plan) -> str:
    """How an update moves it, as its request says."""
    update = next(step.call for step in plan.steps if step.kind == "endpoint" and step.traffic)
    policy = update.parameters.get("DeploymentConfig", {}) if update else {}
    green = policy.get("BlueGreenUpdatePolicy", {}).get("TrafficRoutingConfiguration", {})
    if rolling := policy.get("RollingUpdatePolicy"):
        size = rolling["MaximumBatchSize"]
        unit = "%" if size["Type"] == "CAPACITY_PERCENT" else " instances"
        return f"Rolling: {size['Value']}{unit} at a time, with no gap."
    if green.get("Type") in ("CANARY", "LINEAR"):
        size = green.get("CanarySize") or green["LinearStepSize"]
        unit = "%" if size["Type"] == "CAPACITY_PERCENT" else " instances"
        share = f"{size['Value']}{unit}"
        way = f"Canary: first {share}, then all"
        if green["Type"] == "LINEAR":
            way = f"Linear: {share} at a time"
        return (
            f"{way}, {green['WaitIntervalInSeconds']} s apart; two fleets are paid for meanwhile. "
            "There is no gap."
        )
    return "All at once, when the new fleet answers; two fleets are paid for until then. No gap."


def money(found: Sequence[Cost], *, local: bool) -> str:
    """What it costs, a line each."""
    if local:
        return "Cost: none, as everything runs on this machine."
    return "\n".join(f"Cost of the {cost.what}: {cost.words}" for cost in found)
