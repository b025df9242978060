"""What a bundle holds for containers that are not our own: the code that serves, in `code/`.

Here: which files, by container, and their bytes. Not here: the network as these containers want it
(export.py), nor the bundle around it all (delivery.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from shared.errors import TrainingError

ROOT = Path(__file__).resolve().parent.parent

TOOLKIT = {
    "code/inference.py": "from inference import input_fn, model_fn, output_fn, predict_fn\n",
    # The toolkit installs these when the endpoint starts.
    "code/requirements.txt": "onnxruntime>=1.20\norjson>=3.10\n",
    # Without it Multi Model Server takes our manifest.json for its own, of an old format.
    "MAR-INF/MANIFEST.json": '{"specificationVersion": "1.0", "model": {"modelName": "model"}}\n',
}


def toolkit() -> Mapping[str, bytes]:
    """The files of a bundle for the inference toolkit, by their names in it.

    Raises:
        TrainingError: the code that serves did not come with the code that trains.
    """
    return {**{name: text.encode() for name, text in TOOLKIT.items()}, **_serving()}


def _serving() -> dict[str, bytes]:
    """The packages `inference` and `shared`, as `code/` holds them."""
    found = {}
    for package in ("inference", "shared"):
        for path in sorted((ROOT / package).rglob("*.py")):
            found[f"code/{path.relative_to(ROOT).as_posix()}"] = path.read_bytes()
    if "code/inference/__init__.py" not in found:
        raise TrainingError(
            "the code that serves is not here, and this container takes it from the bundle",
            where=str(ROOT / "inference"),
            cure='Start the job with `make deploy`, or write container = "own"',
        )
    return found
