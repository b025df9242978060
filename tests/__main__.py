"""Everything that must hold before a change is done; the whole of `make test`.

Style (ruff), types (mypy), who may import whom (import-linter), the suite with coverage (pytest),
and its portable part once more under numpy 1.26, which AWS's serving image has.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
NUMPY1 = ROOT / ".venv-numpy1"
BIN = Path(sys.executable).parent

LINT = {
    "style": (str(BIN / "ruff"), "check", "."),
    "format": (str(BIN / "ruff"), "format", "--check", "."),
    "types": (sys.executable, "-m", "mypy"),
    "imports": (str(BIN / "lint-imports"),),
}
# Half of the suite's time is waiting for processes, so two workers help even on few cores; more
# would each import TensorFlow. Who gets what: tests/conftest.py.
SHARED_OUT = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
SUITE = (
    *(sys.executable, "-m", "pytest", *SHARED_OUT),
    *("--cov", "--cov-report=term", "--durations=10"),
)
PORTABLE = (str(NUMPY1 / "bin" / "python"), "-m", "pytest", "tests/shared/portable")


def run(name: str, command: tuple[str, ...]) -> bool:
    print(f"== {name}", flush=True)
    started = time.monotonic()
    # The suite starts hundreds of processes, and each would compile our modules anew.
    keeping = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, cwd=ROOT, env=keeping, check=False).returncode == 0
    print(
        f"== {name}: {'ok' if done else 'FAILED'} ({time.monotonic() - started:.0f} s)", flush=True
    )
    return done


def portable_suite() -> bool:
    if sys.version_info >= (3, 13):
        print("== numpy 1.26: left out, it has no wheel for Python 3.13 and later", flush=True)
        return True
    make = (sys.executable, "requirements/install.py", str(NUMPY1), "requirements/numpy1.txt")
    if not (NUMPY1 / "numpy1.stamp").exists() and not run("numpy 1.26 environment", make):
        return False
    return run("numpy 1.26", PORTABLE)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__)
    parser.add_argument("--lint", action="store_true", help="style, types and import rules only")
    lint_only = parser.parse_args().lint
    passed = [run(name, command) for name, command in LINT.items()]
    if not lint_only:
        # The suite comes last: its own closing line is the one to read.
        passed += [portable_suite(), run("suite", SUITE)]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
