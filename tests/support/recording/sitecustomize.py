"""Notes every AWS call of a process and of those it starts, in the file that RECORD_CALLS names.

A folder of its own, for PYTHONPATH: Python imports `sitecustomize` by itself. botocore is wrapped
when it is imported, and not before, so that a process which makes no call pays nothing.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

FILE = os.environ.get("RECORD_CALLS")


def project() -> str:
    """The name of the project that `make` was called with."""
    import tomllib

    file = Path(os.environ.get("PROJECT", "")) / "project.toml"
    try:
        return str(tomllib.loads(file.read_text())["name"])
    except (OSError, ValueError, KeyError):
        return ""


def wrap(client: Any) -> None:
    original = client.BaseClient._make_api_call
    daemon = any("infra.local" in word for word in sys.orig_argv)

    def recorded(self: Any, operation: str, parameters: dict[str, Any]) -> Any:
        line = {
            "by": "daemon" if daemon else "laptop",
            "project": project(),
            "service": self.meta.service_model.signing_name,
            "operation": operation,
            "parameters": {
                name: value for name, value in parameters.items() if name not in ("Body", "body")
            },
        }
        descriptor = os.open(str(FILE), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, (json.dumps(line, default=str) + "\n").encode())
        os.close(descriptor)
        return original(self, operation, parameters)

    client.BaseClient._make_api_call = recorded


class Finder:
    """Wraps botocore.client when it is imported, once."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        if name != "botocore.client":
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        spec = importlib.util.find_spec(name)
        assert spec is not None
        loader = spec.loader
        assert loader is not None
        execute = loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            wrap(module)

        loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if FILE:
    sys.meta_path.insert(0, Finder())  # type: ignore[arg-type]
