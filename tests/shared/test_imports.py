"""Importing shared loads numpy and nothing heavier."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import shared

HEAVY = (
    "tensorflow", "keras", "pandas", "sklearn", "scipy", "pyarrow", "boto3", "botocore", "optuna",
    "onnx", "onnxruntime", "sagemaker", "zoneinfo", "training", "inference", "infra",
)  # fmt: skip


def test_importing_every_module_of_shared_loads_numpy_only() -> None:
    modules = [f"shared.{module.name}" for module in pkgutil.iter_modules(shared.__path__)]
    program = f"import sys, {', '.join(modules)}; print(*(m for m in {HEAVY} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == []
