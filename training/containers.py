"""What a bundle holds for containers that are not our own: in `code/` the code that serves.

Here: which files, by container, and their bytes. Not here: the network as a container wants it
(export.py), nor the bundle around it all (delivery.py).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from shared.errors import TrainingError
from shared.problem import Container
from training.console import warn

ROOT = Path(__file__).resolve().parent.parent
SAVED_MODEL = "1"
"""The folder of the network for TensorFlow Serving, which takes its name for a version."""

TENSORFLOW_SERVING_PYTHON = (3, 12)
"""The Python of AWS's TensorFlow Serving 2.20 image."""

TEXTS: Mapping[Container, Mapping[str, str]] = {
    "own": {},
    "tensorflow-serving": {
        "code/inference.py": "from inference import tfserving\n\nhandler = tfserving.start()\n",
    },
    "toolkit": {
        "code/inference.py": "from inference import input_fn, model_fn, output_fn, predict_fn\n",
        # The toolkit installs these when the endpoint starts.
        "code/requirements.txt": "onnxruntime>=1.20\norjson>=3.10\n",
        # Without it Multi Model Server takes our manifest.json for its own, of an old format.
        "MAR-INF/MANIFEST.json": '{"specificationVersion": "1.0", "model": {"modelName": "model"}}',
    },
}


def files_for(container: Container) -> Mapping[str, bytes]:
    """The files of a bundle for `container` that are no part of the model, by name.

    Raises:
        TrainingError: the code that serves did not come with the code that trains, or a library
            that the container lacks is not here.
    """
    if container == "own":
        return {}
    found = {name: text.encode() for name, text in TEXTS[container].items()}
    found |= _serving()
    if container == "tensorflow-serving":
        found |= _libraries("orjson")
    return found


def _serving() -> dict[str, bytes]:
    """The packages `inference` and `shared`."""
    found = {
        f"code/{path.relative_to(ROOT).as_posix()}": path.read_bytes()
        for package in ("inference", "shared")
        for path in sorted((ROOT / package).rglob("*.py"))
    }
    if "code/inference/__init__.py" not in found:
        raise TrainingError(
            "the code that serves is not here, and this container takes it from the bundle",
            where=str(ROOT / "inference"),
            cure='Start the job with `make deploy`, or write container = "own"',
        )
    return found


def _libraries(name: str) -> dict[str, bytes]:
    """An installed library, for `code/lib`, so that the image need not fetch it when it starts."""
    if sys.version_info[:2] != TENSORFLOW_SERVING_PYTHON:
        here, there = (
            ".".join(map(str, version))
            for version in (sys.version_info[:2], TENSORFLOW_SERVING_PYTHON)
        )
        warn(f"{name} in code/lib is for Python {here}; AWS's TensorFlow Serving image has {there}")
    try:
        paths = metadata.files(name) or []
    except metadata.PackageNotFoundError:
        paths = []
    if not paths:
        raise TrainingError(
            f"{name}, which AWS's TensorFlow Serving image lacks, is not installed in this job",
            where="code/lib",
            cure=f"Add {name} to the requirements of the training code",
        )
    return {
        f"code/lib/{path.as_posix()}": path.read_binary()
        for path in paths
        if path.suffix in (".py", ".so") or "licenses" in path.parts
    }
