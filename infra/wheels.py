"""The wheels that travel with the code of a training job that has no network.

AWS's training image lacks what training/requirements.txt names, and its toolkit would fetch it when
the job starts. A job under network isolation gets the wheels in its code archive instead, with a
requirements.txt that lets pip look nowhere else; what the image has in a version that will do, pip
leaves alone. They are downloaded on this machine, held to the hashes of requirements/isolated.txt,
and kept.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from infra.package import ROOT, digest_of, short
from shared.errors import DeploymentError

LOCK = ROOT / "requirements" / "isolated.txt"
FOLDER = "wheels"
# Of AWS's image: Python 3.12 for Linux, glibc 2.34.
_GLIBC = ("2_28", "2_27", "2_26", "2_24", "2_17")
PLATFORM = (
    *("--only-binary", ":all:", "--implementation", "cp", "--python-version", "3.12"),
    *(word for abi in ("cp312", "abi3", "none") for word in ("--abi", abi)),
    *(word for glibc in _GLIBC for word in ("--platform", f"manylinux_{glibc}_x86_64")),
    *("--platform", "manylinux2014_x86_64"),
)
_WORDS = 600


def _pip(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def vendored(
    requirements: bytes,
    cache: Path,
    pip: Callable[[Sequence[str]], subprocess.CompletedProcess[str]] = _pip,
) -> dict[str, bytes]:
    """The files to add to the code archive: the wheels, and a requirements.txt that names them.

    Args:
        requirements: what is asked for where there is a network.
        cache: a folder in which the wheels are kept.
        pip: runs pip with these words.

    Raises:
        DeploymentError: they cannot be fetched, or do not have the locked hashes.
    """
    lock = LOCK.read_bytes()
    place = cache / short(digest_of(lock))
    if not place.is_dir():
        _download(place, pip)
    wheels = {f"{FOLDER}/{path.name}": path.read_bytes() for path in sorted(place.glob("*.whl"))}
    head = f"--no-index\n--find-links {FOLDER}\n".encode()
    return {"requirements.txt": head + requirements, **wheels}


def _download(
    place: Path, pip: Callable[[Sequence[str]], subprocess.CompletedProcess[str]]
) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        there = Path(folder) / "wheels"
        words = ("download", "--quiet", "--disable-pip-version-check", "--no-deps")
        told = pip(
            [
                *words,
                "--require-hashes",
                *PLATFORM,
                "--dest",
                str(there),
                "--requirement",
                str(LOCK),
            ]
        )
        if told.returncode:
            raise DeploymentError(
                "the wheels that a job without a network brings along cannot be fetched: "
                f"{told.stderr.strip()[-_WORDS:]}",
                where="[aws].network_isolation",
                cure="Run the same command where pip reaches a package index; it keeps them.",
            )
        there.rename(place)
