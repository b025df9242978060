"""The model that is deployed: opened with distrust, scored as it serves, rebuilt to go on learning.

The network is built again from the bundle's hyperparameters and the widths of its transforms, and
its weights are read as plain arrays, so no code comes out of the archive. That it is the same
network is proved by the bundle's own golden rows before it learns anything.

Here: that. Not here: what it then learns (retrain.py).
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from shared import bundle, documents, hyperparameters
from shared.arrivals import ANEW
from shared.bundle import Bundle
from shared.errors import BundleError, CheckpointError, DataError
from shared.hyperparameters import Hyperparameters
from shared.transforms import Encoded
from training.checkpoints import decode_arrays

if TYPE_CHECKING:
    import keras

    from training.network import Shape

ARCHIVE = "model.tar.gz"
WEIGHTS = "weights.npz"
CHUNK = 1024


@dataclass(frozen=True)
class Champion:
    """A deployed model.

    Args:
        bundle: its bundle, every byte checked; the files themselves are gone.
        onnx: the network as it serves.
        weights: those of the network's variables, as `export.save_weights` writes them.
        hyperparameters: that its network was built with.
    """

    bundle: Bundle
    onnx: bytes
    weights: bytes
    hyperparameters: Hyperparameters

    @property
    def digest(self) -> str:
        """The version of the bundle."""
        return self.bundle.manifest.digest

    def shape(self) -> Shape:
        """What its network fits.

        All slots count as seen and quantiles are zeros: both decide initial weights alone, and the
        bundle's weights take their place.
        """
        from training.network import Shape

        transforms, target = self.bundle.transforms, self.bundle.schema.target
        numbers = len(transforms.numeric_names)
        return Shape(
            numeric=numbers,
            seen=tuple(np.ones(slots, dtype=np.bool_) for _, slots in transforms.categories),
            outputs=len(target.classes) if target.task == "multiclass" else 1,
            task=target.task,
            quantiles=np.zeros((numbers, 1), dtype=np.float32),
        )

    def load(self, model: keras.Model) -> None:
        """Give a network its weights, and prove by the golden rows that it answers the same.

        Args:
            model: `network.build` of its hyperparameters and shape.

        Raises:
            BundleError: the weights are another network's, or it answers something else.
        """
        from training.export import run_keras

        where = f"{ARCHIVE}, {WEIGHTS}"
        names = [variable.path for variable in model.variables]
        try:
            arrays = list(decode_arrays(self.weights, names, where).values())
        except CheckpointError as error:
            raise BundleError(error.message, where=where, cure=_CURE) from None
        if [array.shape for array in arrays] != [tuple(v.shape) for v in model.variables]:
            raise BundleError("the weights are another network's", where=where, cure=_CURE)
        for variable, array in zip(model.variables, arrays, strict=True):
            variable.assign(array)
        self.bundle.verify(run_keras(model))

    def answer(self, rows: Encoded) -> npt.NDArray[np.float32]:
        """The network's outputs, as the endpoint computes them."""
        from training.export import run_onnx

        run = run_onnx(self.onnx)
        starts = range(0, max(len(rows.codes), 1), CHUNK)
        parts = [slice(start, start + CHUNK) for start in starts]
        return np.concatenate([run(Encoded(rows.numeric[p], rows.codes[p])) for p in parts])


def open_champion(channel: Path) -> Champion:
    """The deployed model from the channel `model`, which holds its model.tar.gz.

    Raises:
        DataError: the channel holds no model.tar.gz.
        BundleError: it cannot be trusted, is of another version, or was not trained by this kit.
    """
    archive = channel / ARCHIVE if channel.is_dir() else channel
    if not archive.is_file():
        raise DataError(f"the channel `model` holds no {ARCHIVE}", where=str(channel))
    with tempfile.TemporaryDirectory() as folder:
        opened = bundle.extract(archive, Path(folder) / "bundle")
        if WEIGHTS not in opened.manifest.files:
            raise BundleError(
                f"it holds no {WEIGHTS} to go on from", where=str(archive), cure=_CURE
            )
        return Champion(
            opened,
            (opened.path / bundle.MODEL).read_bytes(),
            (opened.path / WEIGHTS).read_bytes(),
            _knobs(opened.manifest.hyperparameters, str(archive)),
        )


_CURE = f"The model cannot be gone on from with this version: {ANEW}"


def _knobs(given: Mapping[str, Any], where: str) -> Hyperparameters:
    for name in given:
        if name not in hyperparameters.NAMES:
            raise BundleError(
                f"its hyperparameter {documents.show(name)} is not known here",
                where=where,
                cure=_CURE,
            )
    return documents.decode(Hyperparameters, dict(given), f"{where}, hyperparameters", BundleError)
