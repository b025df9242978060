"""Make a virtual environment and install a locked set of packages into it.

    python3 requirements/install.py ENVIRONMENT REQUIREMENTS

Needs nothing but the standard library: its `venv` makes the environment, pip installs uv into it,
and uv the rest, several times faster than pip; where uv cannot run, pip goes on alone. The stamp
(`<name of the requirements>.stamp` in the environment) comes last, so an interrupted run is simply
done again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import venv
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 13)


def fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)


def run(*command: str) -> bool:
    quiet = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    quiet.pop("VIRTUAL_ENV", None)
    return subprocess.run(command, env=quiet, check=False).returncode == 0


def make_environment(folder: Path, python: Path) -> None:
    if python.exists() and run(str(python), "-c", "import pip"):
        return
    print(f"environment: {folder} (Python {sys.version.split()[0]})", flush=True)
    try:
        venv.create(folder, with_pip=True, clear=True)
    except (subprocess.CalledProcessError, OSError) as error:
        fail(
            f"{folder}: cannot make a virtual environment ({error}). On Debian or Ubuntu: "
            "apt-get install python3-venv; then run the same command again"
        )


def install(python: Path, folder: Path, requirements: Path) -> None:
    bootstrap = Path(__file__).parent / "bootstrap.txt"
    uv = folder / "bin" / "uv"
    packages = sum("==" in line for line in requirements.read_text().splitlines())
    print(f"environment: installing from {requirements} (up to {packages} packages)", flush=True)
    if run(str(python), "-m", "pip", "install", "-q", "--require-hashes", "-r", str(bootstrap)):
        target = ("--python", str(python), "--require-hashes", "-r", str(requirements))
        # Where imports may not keep what they compile, each would compile TensorFlow anew.
        compiled = ("--compile-bytecode",) if sys.flags.dont_write_bytecode else ()
        if run(str(uv), "pip", "install", "-q", *compiled, *target):
            return
        print("environment: uv could not install; pip goes on alone, more slowly", flush=True)
    if not run(
        str(python), "-m", "pip", "install", "-q", "--require-hashes", "-r", str(requirements)
    ):
        fail(
            f"{requirements}: the packages could not be installed (see the lines above). Check the "
            "network or the disk and run the same command again"
        )


def main() -> None:
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        fail(
            f"Python {sys.version.split()[0]} is not supported: 3.11 to 3.13 are. "
            "Name one: make PYTHON=/path/to/python3.12 …"
        )
    folder, requirements = Path(sys.argv[1]), Path(sys.argv[2])
    python = folder / "bin" / "python"
    started = time.monotonic()
    make_environment(folder, python)
    install(python, folder, requirements)
    (folder / f"{requirements.stem}.stamp").touch()
    print(f"environment: ready after {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        fail("interrupted; run the same command again and it goes on")
