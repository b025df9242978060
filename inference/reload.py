"""Swapping in a newer bundle without dropping a request: the server's and the workers' side.

A watcher process beside the server (watcher.py) follows the pointer, fetches a bundle once for all
workers, proves it and writes its folder's name into a state file. Here: starting and waking that
process, and in each worker a thread that reads the state file, builds the model beside the event
loop and puts it in place of the old one. Who uses a bundle's folder holds a lock on it, which the
kernel lets go when the process ends however it does, so a folder is deleted once nobody needs it.

The watcher is told to look by a byte on its standard input (SIGHUP to the server writes it), and
ends when that input does: no watcher outlives its server.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, TypeVar

from inference import handler, logs
from inference.environment import Settings
from shared import bundle as bundles
from shared import documents, files
from shared.errors import BundleError, KitError

STATE = "state.json"
PREFIX = "sagemaker-keras-kit-models-"

START_SECONDS = 60
"""So long the start waits for the pointer's bundle; then the deployed one answers meanwhile."""

START_STEP = 0.02

LOOK_SECONDS = 0.2
"""A worker looks at the state file, a few hundred bytes in memory, as often."""

RESTART_SECONDS = 2
"""A watcher that ended by itself is started again after so long."""

RETRY_SECONDS = 30
"""A worker that could not load what the watcher had proved waits so long and tries again."""

log = logging.getLogger("inference")


@dataclass(frozen=True)
class State:
    """What the watcher knows; it alone writes it.

    Args:
        directory: of the bundle to serve.
        digest: the bundle's; "" when there was none to read.
        swaps: bundles taken over from the pointer since the server's start.
        refusals: bundles and pointers refused since then.
        problem: why the pointer is not followed at present; None when it is.
    """

    directory: str
    digest: str
    swaps: int = 0
    refusals: int = 0
    problem: str | None = None


class Shelf:
    """The folder in which fetched bundles lie beside the state file.

    Args:
        path: the folder, this server's own.
        deployed: the bundle that the server was deployed with, which is never deleted.
    """

    def __init__(self, path: Path, deployed: Path) -> None:
        self.path = path
        self.deployed = deployed

    def read(self) -> State | None:
        """The state; None before the watcher has looked for the first time."""
        try:
            text = (self.path / STATE).read_bytes()
        except FileNotFoundError:
            return None
        return documents.decode(State, documents.loads(text, STATE), STATE)

    def write(self, state: State) -> None:
        """Replace the state, atomically."""
        files.write(self.path / STATE, documents.dumps(state).encode())

    def current(self) -> Path:
        """The folder of the bundle to serve."""
        state = self.read()
        return Path(state.directory) if state else self.deployed

    def open(self) -> tuple[handler.Model, Path]:
        """The model to serve, proved, and its folder, which stays as long as the model is used.

        Raises:
            KitError: it cannot be loaded.
        """
        while True:
            directory = self.current()
            try:
                lock = hold(directory)
                try:
                    model = _prove(directory)
                except BaseException:
                    os.close(lock)
                    raise
                weakref.finalize(model, os.close, lock)
                return model, directory
            except (OSError, KitError):
                # A bundle may be replaced, and its folder deleted, between two of these lines.
                if self.current() == directory:
                    raise


def _prove(directory: Path) -> handler.Model:
    """The model in `directory`, which has answered a request as clients send it.

    The first answer pays for much that is made once: better here than by a client.
    """
    bundle = bundles.load(directory)
    model = handler.Model(bundle)
    row = handler.input_fn(documents.dumps(bundle.golden.records[0]), "application/json")
    handler.output_fn(handler.predict_fn(row, model), None)
    return model


def hold(directory: Path) -> int:
    """A descriptor that keeps the folder from being deleted until it is closed.

    Raises:
        BundleError: there is no such folder.
    """
    try:
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise BundleError(f"cannot be read: {error.strerror}", where=str(directory)) from error
    fcntl.flock(lock, fcntl.LOCK_SH)
    return lock


def delete_unused(directory: Path) -> bool:
    """Delete a folder unless somebody holds it; whether it is gone."""
    try:
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(directory)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True


class Watch:
    """The server's side: a watcher process as long as this context lasts.

    Args:
        settings: with a pointer.
    """

    def __init__(self, settings: Settings) -> None:
        for leftover in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            # Another server may delete it at the same moment; and whatever it is, start.
            with contextlib.suppress(OSError):
                if leftover.stat().st_uid == os.getuid():
                    delete_unused(leftover)
        self.shelf = Shelf(Path(tempfile.mkdtemp(prefix=PREFIX)), settings.model_dir)
        self._lock = hold(self.shelf.path)
        self._input, self._tell = os.pipe()
        os.set_blocking(self._tell, False)
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Self:
        self._keeper.start()
        self.listen()
        deadline = time.monotonic() + START_SECONDS
        while self.shelf.read() is None and time.monotonic() < deadline:
            time.sleep(START_STEP)
        return self

    def listen(self) -> None:
        """Let SIGHUP mean: look at the pointer now."""
        signal.signal(signal.SIGHUP, self._look_now)

    def _look_now(self, *_: object) -> None:
        with contextlib.suppress(BlockingIOError):  # it was told often enough
            os.write(self._tell, b"\n")

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._ended.set()
        os.close(self._tell)
        self._keeper.join()
        os.close(self._input)
        shutil.rmtree(self.shelf.path, ignore_errors=True)
        os.close(self._lock)

    def _keep(self) -> None:
        """Start the watcher, and another one when it ends by itself."""
        command = [sys.executable, "-m", "inference.watcher", str(self.shelf.path)]
        while not self._ended.is_set():
            # Nothing is inherited anyway; so said, no fork is needed, while workers may be forked.
            with subprocess.Popen(command, stdin=self._input, close_fds=False) as watcher:
                code = watcher.wait()
            if not self._ended.is_set():
                logs.event(log, logging.ERROR, "watcher ended", code=code)
                self._ended.wait(RESTART_SECONDS)


class Replaceable(Protocol):
    """What answers with `model`, the newest from `shelf`: the application."""

    model: handler.Model
    shelf: Shelf | None

    def swapped(self) -> None:
        """The model was replaced."""


A = TypeVar("A", bound=Replaceable)


def follow(shelf: Shelf, make: Callable[[handler.Model], A]) -> A:
    """A worker's application, whose model is replaced as long as the process lives.

    Is called in the thread of the event loop, before the loop runs.

    Args:
        shelf: where the models lie, the one to begin with and the later ones.
        make: the application of a model.

    Raises:
        KitError: the first model cannot be loaded.
    """
    model, directory = shelf.open()
    application = make(model)
    application.shelf = shelf
    follower = (shelf, directory, application, asyncio.get_event_loop())
    threading.Thread(target=_follow, args=follower, daemon=True).start()
    return application


def _follow(
    shelf: Shelf, directory: Path, application: Replaceable, loop: asyncio.AbstractEventLoop
) -> None:
    while not loop.is_closed():
        time.sleep(LOOK_SECONDS)
        try:
            if shelf.current() == directory:
                continue
            model, directory = shelf.open()
        except Exception as error:
            logs.event(log, logging.ERROR, "swap failed", reason=str(error))
            time.sleep(RETRY_SECONDS)
            continue
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(_swap, application, model)
        del model  # the application is to be the only one that has it


def _swap(application: Replaceable, model: handler.Model) -> None:
    before, application.model = application.model.version, model
    application.swapped()
    logs.event(log, logging.INFO, "swapped", model_version=model.version, before=before)
