"""[endpoint].mode, serverless, async, instances and scaling: how an endpoint takes its requests.

Here: what these settings mean, and which of them AWS would refuse together. Not here: scaling's own
calls (scaling.py), nor what an endpoint config looks like (serving.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from infra.serving import Async, Serverless
from shared.errors import ProjectError

if TYPE_CHECKING:
    from infra.sections import Aws, EndpointSection

# Where an asynchronous endpoint reads and writes, below the project's prefix.
FOLDER = "async"
SERVERLESS_MEMORY = range(1024, 6145, 1024)
SERVERLESS_CONCURRENCY = 200


def serverless(section: EndpointSection) -> Serverless | None:
    """Memory and concurrency of a serverless endpoint."""
    if section.mode != "serverless":
        return None
    asked = section.serverless
    return Serverless(asked.memory, asked.concurrency) if asked else Serverless(2048, 5)


def asynchronous(section: EndpointSection, prefix: str) -> Async | None:
    """Where an asynchronous endpoint answers.

    Args:
        section: [endpoint].
        prefix: s3:// location of the project, with a slash at its end.
    """
    if section.mode != "async":
        return None
    place = f"{prefix}{FOLDER}"
    asked = section.async_
    if asked is None:
        return Async(f"{place}/out", f"{place}/failed")
    return Async(
        f"{place}/out",
        f"{place}/failed",
        asked.concurrency,
        asked.notify_success,
        asked.notify_error,
    )


def refusals(section: EndpointSection, aws: Aws) -> Iterator[ProjectError]:
    """Everything that AWS would refuse, or that means nothing in this mode."""
    mode = section.mode
    for own, asked in (("serverless", section.serverless), ("async", section.async_)):
        if asked and mode != own:
            yield ProjectError(
                f'means nothing to mode = "{mode}"',
                where=f"endpoint.{own}",
                cure=f'Leave it out, or write mode = "{own}"',
            )
    if mode == "serverless":
        yield from _serverless(section, aws)
    elif mode == "async":
        yield from _async(section, aws)
    if section.scaling:
        yield from _scaling(section)


def _serverless(section: EndpointSection, aws: Aws) -> Iterator[ProjectError]:
    """What the developer guide lists as not there for serverless endpoints."""
    leave = 'Leave it out, or write mode = "realtime"'
    # What traffic cannot do is refused with the rollouts. `instance` is what a batch runs on.
    for key, given, why in (
        ("endpoint.instances", "instances" in section.model_fields_set, "it has no instances"),
        ("endpoint.scaling", section.scaling is not None, "it scales by itself"),
        ("aws.subnets", bool(aws.subnets), "it runs in no VPC of yours"),
        ("aws.network_isolation", aws.network_isolation, "it cannot be isolated"),
    ):
        if given:
            yield ProjectError(f"a serverless endpoint takes none: {why}", where=key, cure=leave)


def _async(section: EndpointSection, aws: Aws) -> Iterator[ProjectError]:
    for which in ("shadow", "ab"):
        if getattr(section, which):
            yield ProjectError(
                "an asynchronous endpoint has one version at a time",
                where=f"endpoint.{which}",
                cure='Leave it out and write rollout, or mode = "realtime"',
            )
    for key in ("notify_success", "notify_error"):
        topic = getattr(section.async_, key, None)
        region = topic.split(":")[3] if topic else None
        if region and aws.region and region != aws.region:
            yield ProjectError(
                f"is a topic of {region}, and the project goes to {aws.region}",
                where=f"endpoint.async.{key}",
                cure=f"Name a topic of {aws.region}",
            )


def _scaling(section: EndpointSection) -> Iterator[ProjectError]:
    scaling, place = section.scaling, "endpoint.scaling"
    assert scaling
    if section.mode == "serverless":
        return
    if section.instance.startswith("ml.t"):
        yield ProjectError(
            f"{section.instance} cannot be scaled, as it is burstable",
            where=place,
            cure="Choose another instance type, such as ml.m5.large",
        )
    if section.mode == "realtime" and scaling.min == 0:
        yield ProjectError(
            "only an asynchronous endpoint can be without instances",
            where=f"{place}.min",
            cure='Write 1 or more, or mode = "async"',
        )
    if scaling.max < max(scaling.min, 1):
        yield ProjectError(
            f"{scaling.max} is less than min, or 0", where=f"{place}.max", cure="Write more"
        )
    elif not max(scaling.min, 1) <= section.instances <= scaling.max:
        yield ProjectError(
            f"{section.instances} is not within scaling.min and scaling.max",
            where="endpoint.instances",
            cure="It is the number at the start: write one between them",
        )
    own = "backlog_per_instance" if section.mode == "async" else "invocations_per_instance"
    other = {
        "backlog_per_instance": "invocations_per_instance",
        "invocations_per_instance": "backlog_per_instance",
    }[own]
    if getattr(scaling, other) is not None:
        yield ProjectError(
            f'means nothing to mode = "{section.mode}"',
            where=f"{place}.{other}",
            cure=f"Write {own}",
        )
    for number, entry in enumerate(scaling.schedule):
        if entry.max < entry.min or (section.mode == "realtime" and entry.min == 0):
            yield ProjectError(
                "min is more than max, or 0 where there must be an instance",
                where=f"{place}.schedule[{number}]",
            )
