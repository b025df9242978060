"""The steps that bring our serving image into the registry, and those of them `make image` takes.

    local cloud   the tree itself is handed over
    Docker here   repository, then build and push
    elsewhere     repository, a role and a project for CodeBuild, the source, then a build

Pure. The repository is shared by every project of the account and stays.
"""

from __future__ import annotations

from infra.observe import Observed
from infra.requests import Request
from infra.resources import Desired, Image
from infra.steps import Call, Step, Unchanged

_KINDS = ("image repository", "build project", "image")


def image_steps(
    desired: Desired, observed: Observed, steps: list[Step], same: list[Unchanged]
) -> None:
    """Add what brings our serving image into the registry."""
    # Before training, so that a build that fails is not first told an hour later.
    image = desired.image
    if image is None:
        same.append(Unchanged("image", desired.served_by, "is AWS's own"))
        return
    name = f"{image.repository}:{image.tag}"
    if observed.image:
        same.append(Unchanged("image", name, "the same serving code is there"))
        return
    if not desired.account.local:
        call = Call("ecr", "create_repository", _repository(image, desired.bucket.kms_key))
        why = "holds the serving images of all projects"
        steps.append(Step("upload", "create", "image repository", image.repository, why, call))
    if image.build:
        _build_steps(image, steps)
    push = {"repository": image.repository, "tag": image.tag}
    how = "by AWS CodeBuild" if image.build else "on this machine"
    call = (
        Call("codebuild", "start_build", image.build.start())
        if image.build
        else Call("registry", "push_image", push)
    )
    steps.append(
        Step("upload", "create", "image", name, f"the serving code is new; built {how}", call)
    )


def of_image(step: Step, desired: Desired) -> bool:
    """Whether a step is there for the image alone."""
    build = desired.image.build if desired.image else None
    names = (build.role.name, build.source.key) if build else ()
    return step.kind in _KINDS or step.name in names


def _repository(image: Image, kms_key: str | None) -> Request:
    encryption = {"encryptionType": "KMS", "kmsKey": kms_key} if kms_key else None
    return {
        "repositoryName": image.repository,
        "imageTagMutability": "IMMUTABLE",  # a tag is a digest of what is in it
        "imageScanningConfiguration": {"scanOnPush": True},
        **({"encryptionConfiguration": encryption} if encryption else {}),
    }


def _build_steps(image: Image, steps: list[Step]) -> None:
    build = image.build
    assert build is not None
    role, why = build.role, "CodeBuild makes the image as this role"

    def add(kind: str, name: str, reason: str, call: Call, undo: Call | None = None) -> None:
        steps.append(Step("upload", "create", kind, name, reason, call, undo=undo))

    named = {"RoleName": role.name}
    create = Call("iam", "create_role", role.request())
    add("role", role.name, why, create, Call("iam", "delete_role", named))
    add("role policy", role.name, why, Call("iam", "put_role_policy", role.policy_request()))
    source = build.source
    add("object", source.key, "what the image is built from", source.call())
    add(
        "build project",
        build.name,
        "there is no Docker on this machine",
        Call("codebuild", "create_project", build.request()),
        Call("codebuild", "delete_project", {"name": build.name}),
    )
