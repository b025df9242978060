"""From the trained network to the bundle: ONNX proven equal to Keras, golden rows included."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from shared import bundle, files, golden
from shared.hyperparameters import Hyperparameters
from shared.transforms import Encoded
from training import containers
from training.console import say
from training.preparation import Prepared, libraries

if TYPE_CHECKING:
    from training.fit import Trainer

PARITY_ROWS = 2000


def export_bundle(
    prepared: Prepared,
    trainer: Trainer,
    chosen: Hyperparameters,
    scores: Mapping[str, Mapping[str, float]],
    *,
    parent: str | None = None,
    documents: Mapping[str, str] | None = None,
) -> bundle.Bundle:
    """ONNX, proven equal to Keras; then the bundle, golden rows included.

    Args:
        prepared: the job.
        trainer: holds the network.
        chosen: the hyperparameters that it was built with.
        scores: for the manifest.
        parent: digest of the bundle whose weights it went on from.
        documents: further files of the bundle, text by name.
    """
    from training import export

    say("stage", "export")
    model = trainer.model
    network = export.to_onnx(model)
    by_keras, by_onnx = export.run_keras(model), export.run_onnx(network)
    validation = prepared.encoded["validation"]
    compared = {
        "the validation rows": Encoded(
            validation.numeric[:PARITY_ROWS], validation.codes[:PARITY_ROWS]
        ),
        "the edge rows": export.edge_rows(prepared.shape),
    }
    for name, some in compared.items():
        export.check_parity(by_keras, by_onnx, some, name)

    say("stage", "bundle")
    found, transforms = prepared.found, prepared.transforms
    rows = golden.make(
        found.schema,
        transforms,
        prepared.target_transform,
        found.tables,
        run=by_onnx,
        features=found.features,
    )
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / bundle.MODEL).write_bytes(network)
        model.save(here / bundle.KERAS_MODEL)
        export.save_weights(model, here / export.WEIGHTS)
        for name, text in (documents or {}).items():
            (here / name).write_text(text)
        container = prepared.problem.container
        if container == "tensorflow-serving":
            export.to_saved_model(model, here / containers.SAVED_MODEL)
            saved = export.run_saved_model(here / containers.SAVED_MODEL)
            for name, some in compared.items():
                export.check_parity(by_keras, saved, some, name, "SavedModel")
        for name, data in containers.files_for(container).items():
            files.write(here / name, data)
        written = bundle.write(
            prepared.job.model,
            project=prepared.problem.name,
            schema=found.schema,
            transforms=transforms,
            target_transform=prepared.target_transform,
            sources=found.tables,
            golden=rows,
            model_files={
                path.relative_to(here).as_posix(): path
                for path in sorted(here.rglob("*"))
                if path.is_file()
            },
            hyperparameters=dataclasses.asdict(chosen),
            metrics=scores,
            libraries=libraries(),
            training_job=prepared.job.job,
            parent=parent,
            features=found.features,
        )
    written.verify(by_onnx)
    return written
