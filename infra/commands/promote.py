"""Have the version that serves beside the old one take its place.

What is promoted is what was tried: where code, data or settings have changed since, that is
deployed beside the old one first.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from infra.commands.deploy import Deployment, interruptible
from infra.commands.deploy import arguments as deploy_arguments
from infra.commands.words import typed
from infra.steps import StageName

if TYPE_CHECKING:
    from infra.aws import Cloud
    from infra.plan import Plan
    from infra.project import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of promote."""
    deploy_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Promote, and say what serves."""
    return interruptible(Promotion(args))


class Promotion(Deployment):
    """One run of promote: a deployment of the same model without the old one beside it."""

    command: ClassVar = "promote"
    stages: ClassVar[tuple[StageName, ...]] = ("endpoint",)

    def _connect(self, settings: Settings) -> Cloud:
        """The cloud; one that does not run serves nothing, so none is started."""
        from infra.aws import find
        from shared.errors import DeploymentError

        cloud = find(self._args.target, settings.aws)
        if cloud is None:
            raise DeploymentError(
                "the local cloud is not running, so no version serves that could be promoted",
                where=f"endpoint {settings.name}",
                cure=f"Deploy it: {typed('deploy', self._args)}",
            )
        return cloud

    def _plan(self, settings: Settings, cloud: Cloud) -> Plan:
        from infra.observe import endpoint, variants
        from infra.prepare import prepare
        from infra.serving import CANDIDATE
        from shared.errors import DeploymentError

        deploy = typed("deploy", self._args)
        seen = endpoint(cloud, settings.name)
        running = variants(cloud, seen.config) if seen else ()
        candidate = next((one for one in running if one.name == CANDIDATE), None)
        if candidate is None:
            raise DeploymentError(
                "no new version serves beside an old one, so there is none to promote",
                where=f"endpoint {settings.name}",
                cure=f"Write shadow or ab under [endpoint], and deploy a new version: {deploy}",
            )
        alone = settings.endpoint.model_copy(update={"shadow": None, "ab": None})
        plan = prepare(replace(settings, endpoint=alone), cloud, self._version)
        model = cloud.call("sagemaker", "describe_model", {"ModelName": candidate.model})
        tried, wanted = model["PrimaryContainer"], plan.serving.model
        if (tried["ModelDataUrl"], tried["Image"]) != (wanted.data, wanted.image):
            raise DeploymentError(
                "the project asks for another version by now than the one that was tried",
                where=f"model {candidate.model}",
                cure=f"Try that one first: {deploy}",
            )
        return plan.only(*self.stages, "after")
