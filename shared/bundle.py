"""The model bundle: what is in model.tar.gz, sealed by digests and opened with distrust.

========================= ====================================================================
manifest.json             format, project, task, digests, libraries, metrics, hyperparameters
schema.json               columns and target
transforms.json           fitted transforms, and the target's
sources.json, sources/    source declarations; one .npz of plain arrays each
features.py               the project's own features: code, run when rows are first encoded
model.onnx, model.keras   the network
golden.json               synthetic rows with their encodings, outputs and predictions
openapi.json              what a client has to know, for people and programs (openapi.py)
code/, 1/                 only where a container wants them
========================= ====================================================================

The manifest is written last and names every other file with its SHA-256; its own digest covers the
rest of the manifest, so that no byte can change unnoticed. Here: writing, loading, packing and
unpacking. Not here: making golden rows (golden.py), running the network.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shared import archives, documents, files, networks, openapi, soundness, storage
from shared.errors import BundleError, KitError, ProjectError
from shared.feature_rules import FILE as FEATURES
from shared.feature_rules import digest as features_digest
from shared.features import Features, complete
from shared.golden import Golden, agree
from shared.inventory import Inventory
from shared.schema import Schema, Task
from shared.sources import Source, SourceTable
from shared.transforms import Encoded, TargetTransform, Transforms
from shared.values import Columns

FORMAT = 1
MANIFEST = "manifest.json"
MODEL = "model.onnx"
KERAS_MODEL = "model.keras"
MAX_MANIFEST = 16 << 20
MAX_DOCUMENT = 512 << 20


@dataclass(frozen=True)
class Manifest:
    """What the bundle is and holds.

    Args:
        format: 1.
        project: the project's name.
        task: binary, multiclass or regression.
        digest: SHA-256 of the rest of this manifest, the files' digests included: the version.
        files: SHA-256 of every other file, by its path in the bundle.
        libraries: versions of the libraries that trained it.
        training_job: its name, if it had one.
        parent: digest of the bundle whose weights this one continued, if any.
        metrics: numbers by split ("validation", "test") and name; "baseline" are those of always
            the same answer on the test rows.
        hyperparameters: as used, by name.
    """

    format: int
    project: str
    task: Task
    digest: str
    files: Mapping[str, str]
    libraries: Mapping[str, str]
    training_job: str | None
    parent: str | None
    metrics: Mapping[str, Mapping[str, float]]
    hyperparameters: Mapping[str, object]

    def sealed(self) -> Manifest:
        """The same with its digest computed."""
        text = documents.dumps(dataclasses.replace(self, digest=""))
        return dataclasses.replace(self, digest=hashlib.sha256(text.encode()).hexdigest())


@dataclass(frozen=True)
class Bundle:
    """A bundle whose every byte was checked."""

    path: Path
    manifest: Manifest
    schema: Schema
    transforms: Transforms
    target_transform: TargetTransform
    sources: tuple[SourceTable, ...]
    golden: Golden
    features: Features | None = None
    openapi: bytes | None = None

    def enrich(self, columns: Columns) -> Columns:
        """A request's columns → all that the transforms read: sources looked up, features made."""
        return complete(columns, self.sources, self.features)

    def encode(self, columns: Columns) -> Encoded:
        """A request's columns → the network's inputs: enriched, transforms applied."""
        return self.transforms.encode(self.enrich(columns))

    def verify(self, run: Callable[[Encoded], npt.NDArray[np.float32]]) -> None:
        """Replay the golden rows, together and one by one.

        Args:
            run: the network, from encoded rows to raw outputs.

        Raises:
            BundleError: an encoding differs in any bit, or an output by more than 1e-5; the message
                names row and column.
        """
        where, records = f"{self.path}, golden.json", self.golden.records
        try:
            together = self.encode(self.schema.from_records(records))
            # A row alone takes other steps than many, to the same bits.
            alone = [self.encode(self.schema.from_records([record])) for record in records]
        except KitError as error:
            raise BundleError(f"the golden rows are no rows: {error}", where=where) from error
        for encoded in (together, Encoded(*map(np.concatenate, zip(*alone, strict=True)))):
            agree(
                self.golden,
                encoded,
                run(encoded),
                numeric_names=self.transforms.numeric_names,
                categories=[name for name, _ in self.transforms.categories],
                where=where,
            )


def write(
    directory: Path,
    *,
    project: str,
    schema: Schema,
    transforms: Transforms,
    target_transform: TargetTransform,
    sources: Sequence[SourceTable],
    golden: Golden,
    model_files: Mapping[str, Path],
    hyperparameters: Mapping[str, object],
    metrics: Mapping[str, Mapping[str, float]],
    libraries: Mapping[str, str],
    training_job: str | None = None,
    parent: str | None = None,
    features: Features | None = None,
) -> Bundle:
    """Write a bundle, the manifest last, and load it again to prove it.

    Args:
        directory: is made if need be; may hold an older bundle of the same files, and what a
            writer left that was killed.
        model_files: local files by their path in the bundle; model.onnx must be among them.
        project: see Manifest.
        hyperparameters: see Manifest.
        metrics: see Manifest.
        libraries: see Manifest.
        training_job: see Manifest.
        parent: see Manifest.
        schema: see Bundle.
        transforms: see Bundle.
        target_transform: see Bundle.
        sources: see Bundle.
        golden: see Bundle.
        features: see Bundle.

    Raises:
        BundleError: model.onnx is not given, a name is not allowed, a number is not finite, or
            other files are in the directory.
        StorageError: the disk refuses.
    """
    if MODEL not in model_files:
        raise BundleError(f"{MODEL} is not given", where=str(directory))
    (directory / MANIFEST).unlink(missing_ok=True)
    for torn in directory.rglob(f"{files.TEMPORARY}*"):
        torn.unlink()
    texts = {
        "schema.json": schema.to_json(),
        "transforms.json": documents.dumps({"features": transforms, "target": target_transform}),
        "sources.json": documents.dumps([table.source for table in sources], indent=1),
        "golden.json": golden.to_json(),
        openapi.FILE: documents.dumps(openapi.document(project, schema, golden), indent=1),
    }
    if features is not None:
        texts[FEATURES] = features.source.decode()
    for name, text in texts.items():
        files.write(directory / name, text.encode())
    for table in sources:
        table.save(directory / _source_file(table.source))
    for name, path in model_files.items():
        archives.check_name(name, str(directory))
        storage.upload(path, directory / name)
    names = sorted([*texts, *(_source_file(table.source) for table in sources), *model_files])
    manifest = Manifest(
        format=FORMAT,
        project=project,
        task=schema.target.task,
        digest="",
        files={name: files.sha256(directory / name) for name in names},
        libraries=libraries,
        training_job=training_job,
        parent=parent,
        metrics=metrics,
        hyperparameters=hyperparameters,
    )
    try:
        text = documents.dumps(manifest.sealed(), indent=1)
    except (TypeError, ValueError) as exception:
        raise BundleError(f"not JSON: {exception}", where=MANIFEST) from exception
    files.write(directory / MANIFEST, text.encode())
    return load(directory)


def load(directory: Path) -> Bundle:
    """Open a bundle, checking every byte, and whether its parts make sense together.

    Beside the bundle's files there may be what platforms and desktops leave: anything hidden, a
    volume's lost+found, and below code/ what Python keeps of the modules there. It is not opened.

    Raises:
        BundleError: a file is missing, extra or changed, or is not what it should be. Whatever the
            files hold, there is no other error.
    """
    try:
        return _load(directory)
    except BundleError:
        raise
    except OSError as exception:
        raise BundleError(f"cannot be read: {exception}", where=str(directory)) from exception
    except Exception as exception:
        reason = exception.message if isinstance(exception, KitError) else repr(exception)[:200]
        place = getattr(exception, "where", None)
        raise BundleError(
            f"the bundle makes no sense: {reason}",
            where=f"{directory}, {place}" if place else str(directory),
            cure="Train the model again",
        ) from exception


def _load(directory: Path) -> Bundle:
    found = Inventory(directory)
    manifest = _manifest(found)
    found.check({**manifest.files, MANIFEST: None}, [MODEL])
    networks.check(directory / MODEL)
    text = found.read("schema.json", MAX_DOCUMENT)
    schema = Schema.from_json(text, "schema.json", BundleError)
    fitted = _document(found, "transforms.json", _Transforms)
    declared = _document(found, "sources.json", _Sources).sources
    golden = Golden.from_json(found.read("golden.json", MAX_DOCUMENT), "golden.json")
    if schema.target.task != manifest.task:
        raise BundleError(
            f"the task is {manifest.task}, but the schema says {schema.target.task}",
            where=str(directory / MANIFEST),
        )
    soundness.check(schema, fitted.features, fitted.target, declared, golden)
    return Bundle(
        path=directory,
        manifest=manifest,
        schema=schema,
        transforms=fitted.features,
        target_transform=fitted.target,
        sources=tuple(
            SourceTable.load(directory / _source_file(source), source) for source in declared
        ),
        golden=golden,
        features=_features(found, manifest, schema),
        openapi=_openapi(found, manifest),
    )


def pack(directory: Path, archive: Path) -> None:
    """Pack a bundle as a .tar.gz whose bytes depend on nothing but the bundle's files.

    Raises:
        BundleError: the directory is not a whole bundle.
        StorageError: the disk refuses.
    """
    names = [MANIFEST, *load(directory).manifest.files]
    with (
        files.atomic(archive) as file,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name in sorted(names):
            path = directory / name
            entry = tarfile.TarInfo(name)
            entry.size = path.stat().st_size
            entry.mode = 0o644
            with path.open("rb") as content:
                tar.addfile(entry, content)


def extract(
    archive: Path,
    directory: Path,
    *,
    max_bytes: int = archives.MAX_BYTES,
    max_files: int = archives.MAX_FILES,
) -> Bundle:
    """Unpack a .tar.gz of a bundle into a new directory, and load it.

    Everything is unpacked beside `directory` first, which appears only when all is well.

    Args:
        archive: the .tar.gz, not trusted.
        directory: must not exist, or be empty.
        max_bytes: unpacked, headers included.
        max_files: in the archive, folders included.

    Raises:
        BundleError: the archive holds anything but plain files and folders with plain relative
            names, holds a name twice, unpacks to too much, is damaged, or is not a bundle.
        StorageError: the disk refuses.
    """
    if directory.is_dir() and any(directory.iterdir()):
        raise BundleError("the directory is not empty", where=str(directory))
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=files.TEMPORARY, dir=directory.parent))
    except OSError as exception:
        raise files.disk_error(exception, directory) from exception
    try:
        archives.unpack(archive, fresh, max_bytes=max_bytes, max_files=max_files)
        loaded = load(fresh)
        # Nothing leaves things beside a bundle's files while it is packed.
        known = {MANIFEST, *loaded.manifest.files}
        for path in fresh.rglob("*"):
            name = path.relative_to(fresh).as_posix()
            if path.is_file() and name not in known:
                raise BundleError(f"the manifest does not know {name!r}", where=str(archive))
        fresh.chmod(0o755)
        fresh.replace(directory)
    except OSError as exception:
        raise files.disk_error(exception, archive) from exception
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return dataclasses.replace(loaded, path=directory)


@dataclass(frozen=True)
class _Transforms:
    features: Transforms
    target: TargetTransform


@dataclass(frozen=True)
class _Sources:
    sources: tuple[Source, ...]


def _features(found: Inventory, manifest: Manifest, schema: Schema) -> Features | None:
    """The bundle's features.py, whose bytes are those that the manifest names; it is not run yet.

    Raises:
        BundleError: it is there and the schema has no columns of it, or the other way round; or it
            is not what it may be.
    """
    expected = manifest.files.get(FEATURES)
    if (expected is None) == bool(schema.made_columns):
        made = ", ".join(column.name for column in schema.made_columns) or "nothing"
        where = str(found.directory / FEATURES)
        raise BundleError(f"the schema says that it makes {made}", where=where)
    if expected is None:
        return None
    source = found.read(FEATURES, MAX_DOCUMENT)
    if features_digest(source) != expected:
        raise BundleError("the file was changed: its digest differs", where=str(found.directory))
    try:
        return Features(source, schema)
    except ProjectError as error:
        raise BundleError(error.message, where=f"{found.directory}, {error.where}") from error


def _openapi(found: Inventory, manifest: Manifest) -> bytes | None:
    """The OpenAPI document; a bundle of an earlier version has none."""
    if openapi.FILE not in manifest.files:
        return None
    text = found.read(openapi.FILE, MAX_MANIFEST)
    if not isinstance(documents.loads(text, openapi.FILE, BundleError), dict):
        raise BundleError("not an OpenAPI document", where=str(found.directory / openapi.FILE))
    return text


def _source_file(source: Source) -> str:
    return f"sources/{source.name}.npz"


def _document(found: Inventory, name: str, kind: type[Any]) -> Any:
    data = documents.loads(found.read(name, MAX_DOCUMENT), name, BundleError)
    if kind is _Sources:
        data = {"sources": data}
    return documents.decode(kind, data, name, BundleError)


def _manifest(found: Inventory) -> Manifest:
    text = found.read(MANIFEST, MAX_MANIFEST)
    where = str(found.directory / MANIFEST)
    data = documents.loads(text, where, BundleError)
    if isinstance(data, dict) and data.get("format") != FORMAT:
        raise BundleError(
            f"the format is {documents.show(data.get('format'))}; this version reads {FORMAT}",
            where=where,
            cure="It has to be trained anew, with this version: `make deploy`",
        )
    manifest = documents.decode(Manifest, data, where, BundleError)
    sealed = manifest.sealed()
    if sealed.digest != manifest.digest or documents.dumps(sealed, indent=1).encode() != text:
        raise BundleError("the manifest was changed: its digest does not fit", where=where)
    return manifest
