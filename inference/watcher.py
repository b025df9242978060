"""The watcher process: follows the pointer and proves what it names before any worker sees it.

    python -m inference.watcher FOLDER

A process of its own, so that boto3, an unpacked archive and a network that nobody has tried yet
burden neither the server nor its workers, and what makes it crash harms nobody. It ends when its
standard input does; a byte there makes it look at once.

Nothing that is fetched is trusted: the archive is opened with distrust, its digest must be the
pointer's, its golden rows must come out as in training, and clients of the deployed model must be
able to go on. A bundle or a pointer that fails is refused and not tried again until the pointer
changes or somebody asks; what may pass by itself (S3, credentials, a full disk) is tried again.
"""

from __future__ import annotations

import dataclasses
import logging
import logging.config
import os
import random
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from inference import contract, environment, handler, logs
from inference.reload import STATE, Shelf, State, delete_unused
from shared import bundle as bundles
from shared import documents, files, storage
from shared.bundle import Bundle
from shared.errors import BundleError, KitError, StorageError

POINTER_BYTES = 64 * 1024
JITTER = 0.1
LONGEST_PAUSE = 16
"""After failures the pause grows, to so many times the usual one."""

SWEEP_SECONDS = 1

RELEASE_SECONDS = 60
"""So long a third bundle waits for the last requests to the one before."""

ARCHIVE = "model.tar.gz"
UNDER_PROOF = "proving.json"

log = logging.getLogger("inference")


@dataclass(frozen=True)
class Pointer:
    """What the pointer says.

    Args:
        bundle: where the model.tar.gz lies, in S3 or on this machine.
        digest: of the bundle, from its manifest: 64 hexadecimal digits.
    """

    bundle: str
    digest: str

    def __post_init__(self) -> None:
        if not re.fullmatch("[0-9a-f]{64}", self.digest):
            raise BundleError("64 hexadecimal digits are needed", where="digest")


class Watcher:
    """Follows one pointer for one server.

    Args:
        pointer: where it is, in S3 or on this machine.
        shelf: where bundles go and the state is written.
    """

    def __init__(self, pointer: str, shelf: Shelf) -> None:
        self._pointer = pointer
        self._shelf = shelf
        self._s3: Any = None
        self._text = b""
        self._tag: str | None = None
        self._settled = False
        self._reported: tuple[bytes, str] | None = None
        deployed = _load(shelf.deployed)
        self._deployed = deployed.manifest.digest if deployed else ""
        self._state = shelf.read() or State(str(shelf.deployed), self._deployed)
        first = deployed or _load(Path(self._state.directory))
        self._schema = first.schema if first else None
        # A watcher that died left what it was proving; it is not what this one should die of.
        marked = shelf.path / UNDER_PROOF
        self._fatal = marked.read_bytes() if marked.exists() else None

    def look(self, *, told: bool = False) -> bool:
        """Read the pointer and do what it says.

        Args:
            told: somebody asked: what was refused before is tried again.

        Returns:
            False when something failed that may pass by itself.
        """
        try:
            if not self._read() and self._settled and not told:
                return True
            self._settled = False
            fresh = self._prepare(told)
            while self._changed_meanwhile():
                fresh = self._prepare(told)
        except StorageError as error:
            self._s3 = None  # the next one asks for credentials anew
            if (self._text, str(error)) != self._reported:
                logs.event(log, logging.WARNING, "pointer not followed", reason=str(error))
            self._reported = (self._text, str(error))
            self._write(dataclasses.replace(self._state, problem=str(error)))
            return False
        except KitError as error:
            logs.event(log, logging.ERROR, "bundle refused", reason=str(error))
            self._refuse(str(error))
        except Exception as error:
            log.exception("bundle refused")
            self._refuse(repr(error))
        else:
            self._publish(fresh)
        finally:
            self.sweep()
        self._settled, self._reported = True, None
        return True

    def sweep(self) -> bool:
        """Delete what nobody needs; whether an older bundle is still in use."""
        kept = {STATE, UNDER_PROOF, Path(self._state.directory).name}
        lingering = False
        for path in self._shelf.path.iterdir():
            if path.name not in kept:
                if path.is_dir():
                    lingering |= not delete_unused(path)
                else:
                    path.unlink(missing_ok=True)
        return lingering

    def run(self, seconds: float, wake: threading.Event) -> NoReturn:
        """Look for ever: each so many seconds, seldomer after failures, at once when woken."""
        pause = seconds
        while True:
            told = wake.is_set()
            wake.clear()
            pause = seconds if self.look(told=told) else min(2 * pause, LONGEST_PAUSE * seconds)
            due = time.monotonic() + pause * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
            while (left := due - time.monotonic()) > 0:
                if wake.wait(min(left, SWEEP_SECONDS) if self.sweep() else left):
                    break

    def _read(self) -> bool:
        """Read the pointer; whether it says something else than before."""
        client = self._client(self._pointer)
        found = storage.read_if_changed(self._pointer, self._tag, POINTER_BYTES, client)
        if found is None:
            return False
        before = self._text
        self._text, self._tag = found
        return self._text != before

    def _changed_meanwhile(self) -> bool:
        try:
            return self._read()
        except StorageError:  # what it said a moment ago was proved and will do
            return False

    def _prepare(self, told: bool) -> Bundle | None:
        """The bundle that the pointer names, proved; None when it is the one that is served."""
        if self._text == self._fatal and not told:
            raise BundleError("the process that proved this bundle before died of it")
        where = self._pointer
        pointer = documents.decode(
            Pointer, documents.loads(self._text, where, BundleError), where, BundleError
        )
        if pointer.digest == self._state.digest:
            return None
        marked = self._shelf.path / UNDER_PROOF
        files.write(marked, self._text)
        try:
            bundle = self._fetch(pointer)
            if bundle.manifest.digest != pointer.digest:
                raise BundleError(
                    f"its digest is {bundle.manifest.digest}, not {pointer.digest}",
                    where=pointer.bundle,
                )
            if self._schema is not None:
                contract.check(self._schema, bundle.schema)
            handler.Model(bundle)
            return bundle
        finally:
            marked.unlink()

    def _fetch(self, pointer: Pointer) -> Bundle:
        """The bundle, every byte of it checked, on this machine's disk."""
        if pointer.digest == self._deployed:
            return bundles.load(self._shelf.deployed)
        directory = self._shelf.path / pointer.digest
        if directory.exists():
            return bundles.load(directory)
        self._await_release()
        s3 = self._client(pointer.bundle)
        size = storage.size(pointer.bundle, s3)
        if 2 * size > shutil.disk_usage(self._shelf.path).free:
            raise StorageError(
                f"the disk has no room for a bundle of {size} bytes",
                where=str(self._shelf.path),
                cure="Free some space, or set TMPDIR to a larger place",
            )
        archive = self._shelf.path / ARCHIVE
        try:
            storage.download(pointer.bundle, archive, s3)
            return bundles.extract(archive, directory)
        finally:
            archive.unlink(missing_ok=True)

    def _await_release(self) -> None:
        """Wait until there is no bundle here but the one that is served."""
        deadline = time.monotonic() + RELEASE_SECONDS
        while self.sweep():
            if time.monotonic() > deadline:
                raise StorageError(
                    "the bundle before this one is still in use", where=str(self._shelf.path)
                )
            time.sleep(SWEEP_SECONDS)

    def _client(self, location: str) -> Any:
        """An S3 client with credentials of its own, if the location needs one."""
        if self._s3 is None and storage.is_s3(location):
            import boto3

            self._s3 = storage.client(boto3.session.Session())
        return self._s3

    def _publish(self, fresh: Bundle | None) -> None:
        state = dataclasses.replace(self._state, problem=None)
        if fresh is not None:
            self._schema = self._schema or fresh.schema
            state = dataclasses.replace(
                state,
                directory=str(fresh.path),
                digest=fresh.manifest.digest,
                swaps=state.swaps + 1,
            )
            version = fresh.manifest.digest[:12]
            logs.event(log, logging.INFO, "pointer followed", model_version=version)
        self._write(state)

    def _refuse(self, reason: str) -> None:
        refusals = self._state.refusals + 1
        self._write(dataclasses.replace(self._state, refusals=refusals, problem=reason))

    def _write(self, state: State) -> None:
        if state != self._state or self._shelf.read() is None:
            self._shelf.write(state)
            self._state = state


def _load(directory: Path) -> Bundle | None:
    try:
        return bundles.load(directory)
    except KitError:
        return None


def _listen(wake: threading.Event) -> None:
    """Wake for each byte on standard input; end the process with it."""
    while os.read(0, POINTER_BYTES):
        wake.set()
    os._exit(0)


def main(arguments: Sequence[str]) -> NoReturn:
    """Watch until standard input ends."""
    [folder] = arguments
    logging.config.dictConfig(logs.CONFIG)
    # A terminal's signals reach the whole group; when to end is the server's to say.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    wake = threading.Event()
    threading.Thread(target=_listen, args=(wake,), daemon=True).start()
    settings = environment.read()
    assert settings.pointer is not None
    shelf = Shelf(Path(folder), settings.model_dir)
    Watcher(settings.pointer, shelf).run(settings.pointer_seconds, wake)


if __name__ == "__main__":
    main(sys.argv[1:])
