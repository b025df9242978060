"""The serving image's own files and packages, and nothing else, answer as the server does."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import bundles, dockerfile, serving
from tests.support.dockerfile import ROOT
from tests.support.serving import Server

pytestmark = pytest.mark.slow

LIMIT = 250_000_000
BASE = "IMAGE_BASE"
TOOLS = ("buildah", "unshare", "chroot")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.build(tmp_path_factory.mktemp("model") / "model")


@contextmanager
def started(
    command: Sequence[str | Path], port: int, log: Path, environment: Mapping[str, str]
) -> Iterator[Server]:
    """A server that a test ends with SIGTERM, or that is killed."""
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, cwd="/", env=environment, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
        )
    server = Server(port, process, log)
    try:
        serving.wait_until_ready(server)
        yield server
    finally:
        process.kill()
        process.wait()


def variables(port: int) -> dict[str, str]:
    return {
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SERVER_ADDRESS": "127.0.0.1",
        "MODEL_SERVER_WORKERS": "1",
    }


def size(directory: Path) -> int:
    """Bytes of all files."""
    return sum(path.lstat().st_size for path in directory.rglob("*") if not path.is_symlink())


def make_environment(directory: Path, requirements: Path) -> None:
    """What the Dockerfile does, by the suite's own installer."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory], check=True)
    python = directory / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    install = (
        [uv, "pip", "install", "--compile-bytecode", "--python", python]
        if uv.exists()
        else [sys.executable, "-m", "pip", "--python", python, "install"]
    )
    subprocess.run([*install, "--quiet", "--require-hashes", "-r", requirements], check=True)


def test_a_fresh_environment_of_its_files_is_small_and_serves(bundle: Path, tmp_path: Path) -> None:
    environment, program = tmp_path / "environment", tmp_path / "program"
    make_environment(environment, ROOT / "requirements" / "serving.txt")
    assert size(environment) <= LIMIT
    dockerfile.install("serving", program)
    places = {"/opt/environment": environment, "/opt/program": program}
    port = serving.free_port()
    given = {
        **dockerfile.environment("serving", places),
        **variables(port),
        "SM_MODEL_DIR": str(bundle),
        "HOME": str(tmp_path / "nowhere"),
    }
    with started(dockerfile.command("serving"), port, tmp_path / "log", given) as server:
        assert server.invoke(bundles.ROW).json()["predictions"]
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
        assert server.log()[-1]["event"] == "stopped"


def buildah(*words: str | Path) -> str:
    """What buildah says; its images are built in a chroot, since there may be no containers."""
    variables = {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs"}
    done = subprocess.run(
        ["buildah", *words], env={**os.environ, **variables}, check=True, stdout=subprocess.PIPE
    )
    return done.stdout.decode().strip()


IN_A_READ_ONLY_ROOT = """
mount --bind "$1" "$1" && mount --bind "$2" "$1/opt/ml/model" && mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc" && mount -o remount,bind,ro "$1" || exit 99
root=$1; shift 2
exec chroot --userspec=10001:10001 "$root" /usr/bin/env "$@"
"""


@pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in TOOLS) or os.geteuid() != 0,
    reason=f"needs root and {', '.join(TOOLS)}",
)
@pytest.mark.skipif(
    BASE not in os.environ,
    reason=f"{BASE} names no base image that buildah has; docs/containers.md",
)
@pytest.mark.timeout(900)
def test_the_image_serves_as_nobody_with_nothing_to_write_to(bundle: Path, tmp_path: Path) -> None:
    own = [path for path in ("/etc/ssl/certs", "/etc/pip.conf") if Path(path).exists()]
    image = buildah(
        *("build", "--quiet", "--network", "host", "--target", "serving"),
        *("--file", dockerfile.FILE, "--build-arg", f"BASE={os.environ[BASE]}"),
        *(f"--volume={path}:{path}:ro" for path in own),
        ROOT,
    ).splitlines()[-1]
    container = buildah("from", image)
    try:
        root = Path(buildah("mount", container))
        assert size(root / "opt" / "environment") <= LIMIT
        (root / "opt/ml/model").mkdir(parents=True)
        port = serving.free_port()
        inside = {
            **dockerfile.environment("serving", {}),
            **variables(port),
            "PATH": "/opt/environment/bin:/opt/program:/usr/local/bin:/usr/bin:/bin",
        }
        mounted = shutil.copytree(bundle, tmp_path / "mounted")
        for path in (tmp_path, *tmp_path.parents[:2], mounted, *mounted.rglob("*")):
            path.chmod(0o755)
        command = (
            *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation=private"),
            *("sh", "-c", IN_A_READ_ONLY_ROOT, "sh", root, mounted, "-i"),
            *(f"{name}={value}" for name, value in inside.items()),
            *dockerfile.command("serving"),
        )
        with started(command, port, tmp_path / "log", dict(os.environ)) as server:
            assert server.invoke(bundles.ROW).json()["predictions"]
            first = server.log()[0]
            assert (first["event"], first["pid"]) == ("starting", 1)
            owners = {Path(f"/proc/{pid}").stat().st_uid for pid in children(server.process.pid)}
            assert owners == {10001}
    finally:
        buildah("rm", container)
        buildah("rmi", image)


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]
