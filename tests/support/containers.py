"""Bundles as containers other than our own want them, made from plain ones."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path

from shared import bundle as bundles
from shared import documents, files


def with_files(bundle: Path, to: Path, further: Mapping[str, bytes]) -> Path:
    """A copy of a bundle that holds further files, sealed again: its version is another one."""
    manifest = bundles.load(bundle).manifest
    shutil.copytree(bundle, to)
    for name, data in further.items():
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        (to / name).write_bytes(data)
    digests = {name: files.sha256(to / name) for name in further}
    whole = dict(sorted({**manifest.files, **digests}.items()))
    sealed = dataclasses.replace(manifest, files=whole).sealed()
    (to / bundles.MANIFEST).write_text(documents.dumps(sealed, indent=1))
    return to
