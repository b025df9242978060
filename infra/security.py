"""What [aws] says of keys, networks and isolation, as the parts of requests that carry it.

Here: the values. Not here: who may do what (policy.py), and the wheels that an isolated job brings
along (wheels.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.requests import Request

if TYPE_CHECKING:
    from infra.sections import Aws

# Their disks are part of the machine, always encrypted by it, and the service takes no key for
# them: families with a "d" behind the generation, and these.
_OWN_DISKS = re.compile(r"ml\.([a-z]+\d[a-z]*d[a-z]*|g[5-9]e?|g7|p[5-9].*|trn\d.*)\.[a-z0-9-]+")


def has_own_disks(instance: str) -> bool:
    """Whether an instance type keeps its data on disks of the machine itself."""
    return _OWN_DISKS.fullmatch(instance) is not None


@dataclass(frozen=True)
class Security:
    """Keys, network and isolation of everything that a project runs.

    Attributes:
        kms_key: ARN of the key for objects, disks and outputs; None: AWS's own keys.
        subnets, security_groups: of a VPC; both or neither.
        isolated: containers have no network at all.
    """

    kms_key: str | None = None
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    isolated: bool = False

    @classmethod
    def of(cls, aws: Aws) -> Security:
        """What the section says."""
        return cls(
            aws.kms_key, tuple(aws.subnets), tuple(aws.security_groups), aws.network_isolation
        )

    @property
    def network(self) -> Request:
        """VpcConfig and EnableNetworkIsolation of a job or a model, where they are asked for."""
        parts: Request = {}
        if self.subnets:
            parts["VpcConfig"] = {
                "SecurityGroupIds": list(self.security_groups),
                "Subnets": list(self.subnets),
            }
        if self.isolated:
            parts["EnableNetworkIsolation"] = True
        return parts

    @property
    def outputs(self) -> Request:
        """The key of what a job leaves in S3."""
        return {"KmsKeyId": self.kms_key} if self.kms_key else {}

    @property
    def without_effect(self) -> str | None:
        """What a deployment to the local cloud should say: what is asked for in vain there."""
        vain = [
            name
            for name, given in (
                ("kms_key", self.kms_key),
                ("subnets and security_groups", self.subnets),
                ("network_isolation", self.isolated),
            )
            if given
        ]
        if not vain:
            return None
        return f"Not enforced by the local cloud: {', '.join(vain)} of [aws]"

    def volume(self, instance: str) -> str | None:
        """The key of an instance's disk; None where there is none, or the service takes none."""
        return None if has_own_disks(instance) else self.kms_key


OPEN = Security()
