"""Whether the account may have as many instances as a plan needs, asked before anything is made.

Quotas are found by the names that Service Quotas gives them; no code of one is known here. Where
they may not be looked at, that is told, and the deployment goes on: AWS refuses by itself, only
later. How many instances others have running at the moment is not known.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from infra.aws import Cloud
from infra.failures import explain
from infra.plan import Plan
from infra.serving import VARIANT
from infra.tuning import TuningJob
from shared.errors import DeploymentError


@dataclass(frozen=True)
class Need:
    """Instances of one type that a plan needs for one use.

    Attributes:
        quota: as Service Quotas names it.
        count: without so many nothing goes.
        meanwhile: so many while traffic moves from one fleet to the other, or scaling adds some.
    """

    quota: str
    count: int
    meanwhile: int


def needs(plan: Plan) -> tuple[Need, ...]:
    """What the plan needs; nothing for what is there already."""
    most = plan.desired.scaling.bounds[1] if plan.desired.scaling else 0
    found: dict[str, Need] = {}
    if plan.trains:
        wanted = plan.desired.job
        job, parallel = (
            (wanted.job, wanted.parallel) if isinstance(wanted, TuningJob) else (wanted, 1)
        )
        use = "spot training job usage" if job.spot else "training job usage"
        count = job.instance_count * parallel
        name = f"{job.instance} for {use}"
        found[name] = Need(name, count, count)
    changes = [step for step in plan.of("endpoint") if step.kind == "endpoint" and step.call]
    if changes:
        moves = any(step.action == "update" for step in changes)
        for variant in plan.serving.config.variants:
            if variant.instance is not None:
                many = 2 * variant.count if moves else variant.count
                if variant.name == VARIANT:  # the one that is scaled
                    many = max(many, most)
                name = f"{variant.instance} for endpoint usage"
                others = found.get(name, Need(name, 0, 0))
                found[name] = Need(name, others.count + variant.count, others.meanwhile + many)
    return tuple(found.values())


def check(cloud: Cloud, wanted: Collection[Need]) -> list[str]:
    """Compare with the account's quotas; what there is to say about them.

    Raises:
        DeploymentError: a quota is too small for what is needed at least.
    """
    if not wanted:
        return []
    try:
        known = values(cloud, {need.quota for need in wanted})
    except Exception as error:
        return [f"Quotas are not checked: {explain(error, 'Service Quotas').message}."]
    said = []
    for need in wanted:
        quota = known.get(need.quota)
        if quota is None:
            said.append(f"Service Quotas does not list {need.quota!r}: it is not checked.")
        elif quota < need.count:
            raise DeploymentError(
                f"the account may have {quota:g} instances, and {need.count} are needed",
                where=f"quota {need.quota!r} in {cloud.account.region}",
                cure="Ask for more in the Service Quotas console, or choose another instance type.",
            )
        elif quota < need.meanwhile:
            said.append(
                f"The account may have {quota:g} instances ({need.quota}), and up to "
                f"{need.meanwhile} are needed at times: then AWS may refuse."
            )
    return said


def values(cloud: Cloud, names: Collection[str]) -> Mapping[str, float]:
    """The account's quotas of SageMaker that have these names.

    Raises:
        Exception: of botocore, where they may not be looked at.
    """
    found: dict[str, float] = {}
    token: dict[str, object] = {}
    while True:
        page = cloud.call(
            "service-quotas",
            "list_service_quotas",
            {"ServiceCode": "sagemaker", "MaxResults": 100, **token},
        )
        found |= {
            one["QuotaName"]: float(one["Value"])
            for one in page.get("Quotas", ())
            if one.get("QuotaName") in names and "Value" in one
        }
        if not page.get("NextToken") or len(found) == len(names):
            return found
        token = {"NextToken": page["NextToken"]}
