"""Container images without containers: a copy of a source tree, and the commands it offers.

A push copies the tree to ``images/<digest>/tree`` in the work folder; the digest covers names,
contents, executable bits and commands, and registers a manifest that carries this digest with the
local ECR. The daemon asks ECR for the manifest, so what ECR lists is what can be run. Besides
pushed images the daemon knows one that it did not get from anybody: AWS's TensorFlow training
image, for which its own Python interpreter stands in.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local.environment import ACCOUNT, REGION

MEDIA_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
REGISTRY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
_URI = re.compile(
    r"(?P<registry>[^/]+)/(?P<repository>[^:@]+)(?::(?P<tag>[^@]+))?(?:@(?P<digest>.+))?"
)
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc")


@dataclass(frozen=True)
class Image:
    """What can be run of an image.

    Attributes:
        uri: as it was asked for.
        digest: of its content.
        tree: its files, or None for the stand-in of AWS's training image.
        commands: ``train`` and ``serve``, as argument lists.
    """

    uri: str
    digest: str
    tree: Path | None
    commands: Mapping[str, Sequence[str]]

    def command(self, name: str) -> list[str] | None:
        """The arguments that start the image as `name`; its Python is the daemon's own."""
        found = self.commands.get(name)
        if not found:
            return None
        program = sys.executable if found[0] in ("python", "python3") else found[0]
        return [program, *found[1:]]


def push(
    ecr: Any,
    store: Path,
    name: tuple[str, str],
    tree: Path,
    commands: Mapping[str, Sequence[str]],
) -> str:
    """Copy a tree into the store and register it as (repository, tag); the image's URI."""
    repository, tag = name
    content = {"commands": {name: list(words) for name, words in sorted(commands.items())}}
    store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store) as place:
        copy = Path(place) / "image"
        shutil.copytree(tree, copy / "tree", ignore=_LEFT_OUT)
        (copy / "image.json").write_text(json.dumps(content))
        digest = _digest(copy)
        try:
            copy.rename(store / digest)
        except OSError:
            if not (store / digest).is_dir():  # else it is there already, with the same content
                raise
    with contextlib.suppress(ecr.exceptions.RepositoryAlreadyExistsException):
        ecr.create_repository(repositoryName=repository)
    part = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 0}
    manifest = {
        "schemaVersion": 2,
        "mediaType": MEDIA_TYPE,
        "config": {**part, "digest": f"sha256:{digest}"},
        "layers": [],
    }
    if _manifest(ecr, repository, {"imageTag": tag}) != manifest:
        with contextlib.suppress(ecr.exceptions.ImageAlreadyExistsException):
            ecr.put_image(
                repositoryName=repository,
                imageTag=tag,
                imageManifest=json.dumps(manifest),
                imageManifestMediaType=MEDIA_TYPE,
            )
    return f"{REGISTRY}/{repository}:{tag}"


def has(ecr: Any, store: Path, repository: str, tag: str) -> bool:
    """Whether an image was pushed under this name and can be run."""
    return _stored(ecr, store, f"{REGISTRY}/{repository}:{tag}") is not None


def resolve(ecr: Any, store: Path, uri: str) -> Image | None:
    """What a URI stands for; None when there is no such image here."""
    match = _URI.fullmatch(uri)
    if not match:
        return None
    if match["registry"] == REGISTRY:
        return _stored(ecr, store, uri)
    if match["repository"].split("/")[-1] == "tensorflow-training":
        return Image(uri, "local-python", None, {})
    return None


def _stored(ecr: Any, store: Path, uri: str) -> Image | None:
    match = _URI.fullmatch(uri)
    assert match is not None
    wanted = (
        {"imageDigest": match["digest"]}
        if match["digest"]
        else {"imageTag": match["tag"] or "latest"}
    )
    manifest = _manifest(ecr, match["repository"], wanted)
    if manifest is None:
        return None
    digest = manifest["config"]["digest"].removeprefix("sha256:")
    place = store / digest
    if not re.fullmatch(r"[0-9a-f]{64}", digest) or not (place / "image.json").exists():
        return None
    commands = json.loads((place / "image.json").read_text())["commands"]
    return Image(uri, digest, place / "tree", commands)


def _manifest(ecr: Any, repository: str, image: Mapping[str, str]) -> Any:
    try:
        found = ecr.batch_get_image(repositoryName=repository, imageIds=[dict(image)])["images"]
    except ecr.exceptions.RepositoryNotFoundException:
        return None
    return json.loads(found[0]["imageManifest"]) if found else None


def _digest(directory: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(each for each in directory.rglob("*") if each.is_file()):
        name = path.relative_to(directory).as_posix()
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        executable = bool(path.stat().st_mode & 0o100)
        total.update(f"{name}\0{content}\0{executable}\n".encode())
    return total.hexdigest()
