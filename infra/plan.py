"""Desired and observed → steps. Pure: no call is made, so a plan can be printed and trusted.

A step is one AWS call as a value (service, operation, parameters), what to wait for afterwards, and
the call that takes back what it left when it failed. What needs no step is listed with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from infra.bucket import guards
from infra.endpoint_steps import endpoint_steps, old_alarms, refuse_a_stranger, serving_steps
from infra.image_steps import image_steps, of_image
from infra.observe import Observed, ObservedJob, canonical
from infra.registry import APPROVED, REJECTED, Version, package_steps
from infra.resources import Desired, Retrained
from infra.scaling import UNSCALED, governed, scaling_steps
from infra.serving import Serving
from infra.steps import MARGIN_SECONDS, Action, Call, StageName, Step, Unchanged, Wait
from infra.training_job import TrainingJob
from infra.tuning import TuningJob
from infra.tuning_steps import tuning_steps
from shared.errors import DeploymentError


@dataclass(frozen=True)
class Plan:
    """Everything to do, in order, and everything that needs nothing.

    Attributes:
        attempt: which attempt of the training or tuning job makes the model.
        serving: what the endpoint will run when the plan is done.
        version: under which what serves is registered; None where a step registers it.
        waits: whether it is registered only: nobody has approved it.
        rejected: what the project asks for, where somebody has decided that it must not serve.
            Either another version serves in its place, or the plan waits.
    """

    desired: Desired
    attempt: int
    serving: Serving
    steps: tuple[Step, ...]
    unchanged: tuple[Unchanged, ...] = field(default=())
    version: Version | None = None
    waits: bool = False
    rejected: Version | None = None

    @property
    def job(self) -> str:
        """Name of the training or tuning job whose model is served."""
        kept = self.desired.kept or self.desired.chosen
        return kept.job if kept else self.desired.job.name(self.attempt)

    def of(self, stage: StageName) -> tuple[Step, ...]:
        """The steps of one stage, in order."""
        return tuple(step for step in self.steps if step.stage == stage)

    def only(self, *stages: StageName) -> Plan:
        """What these stages of the same plan do, and nothing else."""
        kept = tuple(step for step in self.steps if step.stage in stages)
        return replace(self, steps=kept, unchanged=())

    @property
    def training(self) -> Plan:
        """The same plan as far as a trained model: without image and endpoint."""
        kept = [
            step
            for step in self.steps
            if step.stage in ("upload", "train") and not of_image(step, self.desired)
        ]
        return replace(self, steps=tuple(kept), waits=False, rejected=None)

    @property
    def image(self) -> Plan:
        """The same plan as far as the serving image, and what it lies in."""
        kept = [
            step
            for step in self.steps
            if step.kind in ("bucket", "bucket setting") or of_image(step, self.desired)
        ]
        return replace(self, steps=tuple(kept))

    @property
    def searches(self) -> bool:
        """Whether the service searches, by a tuning job."""
        return isinstance(self.desired.job, TuningJob)

    @property
    def trains(self) -> bool:
        """Whether a training or tuning job is started."""
        return any(step.stage == "train" and step.wait and step.call for step in self.steps)

    @property
    def traffic(self) -> bool:
        """Whether requests of a running endpoint are affected."""
        return any(step.traffic for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """The plan as plain data, for machines."""
        return {
            "project": self.desired.project,
            "target": "local" if self.desired.account.local else "aws",
            "region": self.desired.account.region,
            "account": self.desired.account.id,
            "touches_traffic": self.traffic,
            "waits_for_approval": self.waits,
            "rejected_version": self.rejected.number if self.rejected else None,
            "steps": [
                {
                    "action": step.action,
                    "kind": step.kind,
                    "name": step.name,
                    "reason": step.reason,
                    "touches_traffic": step.traffic,
                    "call": step.call.to_json() if step.call else None,
                    "undo": step.undo.to_json() if step.undo else None,
                }
                for step in self.steps
            ],
            "unchanged": [
                {"kind": item.kind, "name": item.name, "reason": item.reason}
                for item in self.unchanged
            ],
        }


def plan(desired: Desired, observed: Observed) -> Plan:
    """The steps that turn what is observed into what is desired.

    Raises:
        DeploymentError: an endpoint of the project's name exists that another project made; or
            the version that was chosen to serve was rejected.
    """
    steps: list[Step] = []
    same: list[Unchanged] = []
    refuse_a_stranger(desired, observed.endpoint)
    _bucket(desired, observed, steps, same)
    _role(desired, observed, steps, same)
    if not desired.chosen:
        _uploads(desired, observed, steps, same)
        image_steps(desired, observed, steps, same)
    if desired.chosen:
        attempt = max(len(observed.jobs), 1)
    elif desired.kept:
        attempt = _kept(desired.kept, observed.jobs, same)
    elif isinstance(desired.job, TuningJob):
        attempt = tuning_steps(desired.job, observed, steps, same)
    else:
        attempt = _training(desired.job, observed.jobs, steps, same)
    asked = desired.hosting.count
    desired = governed(desired, observed.endpoint, observed.scaling)
    serving = desired.serving(attempt, observed.endpoint.variants if observed.endpoint else ())
    made = desired.kept or desired.chosen
    package = desired.package(serving, made.job if made else desired.job.name(attempt))
    version = package_steps(package, observed.versions, steps, same)
    waits = desired.approval and (version is None or version.status != APPROVED)
    rejected = version if waits and version and version.status == REJECTED else None
    if rejected and desired.chosen:
        raise DeploymentError(
            "was rejected",
            where=f"version {rejected.number} of {desired.project}",
            cure=f"Approve it all the same: make approve VERSION={rejected.number}",
        )
    if not waits:
        serving_steps(serving, observed, steps, same)
        ending = len(steps)
        endpoint_steps(desired, serving.endpoint, observed, steps, same)
        anew = any(step.kind == "endpoint" and step.action == "replace" for step in steps[ending:])
        # What was registered for an endpoint may go with it, so it is registered again.
        seen = UNSCALED if anew and desired.scaling else observed.scaling
        scaling_steps(desired.project, desired.scaling, seen, steps, same)
        old_alarms(desired.project, serving.config.name, observed, steps)
        if desired.hosting.count != asked:
            same = [_unmoved(item, asked) for item in same]
    if desired.retrained and not desired.kept:
        steps = [_giving_way(step, desired.retrained) for step in steps]
    return Plan(desired, attempt, serving, tuple(steps), tuple(same), version, waits, rejected)


def _bucket(desired: Desired, observed: Observed, steps: list[Step], same: list[Unchanged]) -> None:
    name = desired.bucket.name
    if observed.bucket:
        same.append(Unchanged("bucket", name, "exists"))
        if observed.guarded or not desired.bucket.ours:
            return
    else:
        steps.append(
            Step(
                "upload",
                "create",
                "bucket",
                name,
                "does not exist",
                Call("s3", "create_bucket", desired.bucket.request()),
                undo=Call("s3", "delete_bucket", {"Bucket": name}),
            )
        )
    for reason, call in guards(desired.bucket):
        steps.append(Step("upload", "create", "bucket setting", name, reason, call))


def _role(desired: Desired, observed: Observed, steps: list[Step], same: list[Unchanged]) -> None:
    role = desired.role
    if role.policy is None:
        same.append(Unchanged("role", role.name, "given in [aws].role"))
        return
    if observed.role_policy is None:
        steps.append(
            Step(
                "upload",
                "create",
                "role",
                role.name,
                "does not exist",
                Call("iam", "create_role", role.request()),
            )
        )
    if observed.role_policy == canonical(role.policy):
        same.append(Unchanged("role", role.name, "exists, with the policy the project needs"))
        return
    steps.append(
        Step(
            "upload",
            "update" if observed.role_policy else "create",
            "role policy",
            role.name,
            "differs from what the project needs" if observed.role_policy else "does not exist",
            Call("iam", "put_role_policy", role.policy_request()),
        )
    )


def _uploads(
    desired: Desired, observed: Observed, steps: list[Step], same: list[Unchanged]
) -> None:
    for upload in desired.uploads:
        if upload.key in observed.objects:
            same.append(Unchanged("object", upload.key, "the same content is there"))
            continue
        steps.append(
            Step(
                "upload",
                "create",
                "object",
                upload.key,
                "new content",
                upload.call(),
                undo=Call("s3", "delete_object", {"Bucket": upload.bucket, "Key": upload.key}),
            )
        )


def _training(
    job: TrainingJob, jobs: tuple[ObservedJob, ...], steps: list[Step], same: list[Unchanged]
) -> int:
    """Add the training steps and return the attempt whose model is to be served."""
    last = jobs[-1] if jobs else None
    patience = job.seconds + MARGIN_SECONDS

    def step(action: Action, name: str, reason: str, wait: Wait, call: Call | None = None) -> None:
        steps.append(Step("train", action, "training job", name, reason, call, wait))

    if last and last.bundle:
        same.append(
            Unchanged("training job", last.name, "code, data, problem and settings are the same")
        )
        return len(jobs)
    if last and last.status == "InProgress":
        step("attach", last.name, "is running", Wait("training", last.name, patience))
        return len(jobs)
    if last and last.status == "Stopping":
        # Two jobs must never write the same checkpoints at once.
        step("attach", last.name, "is being stopped", Wait("ended", last.name, MARGIN_SECONDS))
    attempt = len(jobs) + 1
    reason = "code, data, problem or settings are new"
    if last:
        state = "whose bundle is gone" if last.status == "Completed" else f"({last.status})"
        reason = f"follows {last.name} {state} and resumes from its checkpoints"
    name = job.name(attempt)
    request = Call("sagemaker", "create_training_job", job.request(attempt))
    step("create", name, reason, Wait("training", name, patience), request)
    return attempt


def _kept(kept: Retrained, jobs: tuple[ObservedJob, ...], same: list[Unchanged]) -> int:
    """No training: a retrained model serves as long as what it began with is the same."""
    reason = f"went on from {kept.parent}; code, data, problem and settings are the same"
    same.append(Unchanged("training job", kept.job, reason))
    return max(len(jobs), 1)


def _unmoved(item: Unchanged, asked: int) -> Unchanged:
    if item.kind != "endpoint config":
        return item
    reason = f"{item.reason}; scaling decides the number of instances, and instances = {asked} not"
    return replace(item, reason=reason)


def _giving_way(step: Step, retrained: Retrained) -> Step:
    if step.kind != "endpoint" or step.action != "update":
        return step
    reason = f"{step.reason}; {retrained.job}, which was retrained, gives way to what is new"
    return replace(step, reason=reason)
