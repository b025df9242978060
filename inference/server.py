"""The HTTP server of the endpoint: GET /ping and POST /invocations, on granian (RSGI).

    python -m inference.server

The parent reads the settings, proves the bundle and checks that the port is free; then granian
starts the workers, and each proves the bundle once more before it listens, so an open port always
answers. A dead worker is replaced; when one dies again within seconds the server ends, for the
platform to start it anew. SIGTERM finishes the requests under way and exits 0.

How a request is answered is not known here: that is `inference.application`.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import logging
import logging.config
import multiprocessing
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection, parent_process

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from inference import counts, environment, handler, limits, logs, reload
from inference.application import FAREWELL, Application
from inference.environment import Settings
from shared.errors import KitError

DRAIN_SECONDS = 20
"""How long requests under way may take after SIGTERM; SageMaker kills after 30."""

FAREWELL_SECONDS = 1.0
"""After SIGTERM the workers go on for so long, and ask clients to leave with every answer: a client
that has just sent its next request over a kept connection would otherwise find it closed."""

CONNECTIONS = 1024
"""Connections that one worker holds open, and as many more that may wait to be accepted: far more
than requests in flight, so that a client too many is told so and does not wait unheard."""

log = logging.getLogger("inference")


def application(shelf: reload.Shelf | None) -> Application:
    """The application of one worker process, its bundle proved once more. Runs in the worker.

    Args:
        shelf: where later bundles come to lie; None: there will be none.
    """
    # A forked worker inherits the parent's handlers, which only wake the parent.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    limits.ROWS = environment.read().rows
    try:
        if shelf:
            return reload.follow(shelf, Application)
        return Application(handler.model_fn(environment.read().model_dir))
    except KitError as error:
        logs.event(log, logging.ERROR, "worker cannot start", reason=str(error))
        sys.exit(1)


def _end_with_parent() -> None:
    """Drain this worker when its parent is gone, however it went: no worker outlives the server."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


def _claim(settings: Settings) -> None:
    """Fail when the port is taken.

    Granian's own sockets share a port (SO_REUSEPORT), so two servers would silently split requests.
    """
    try:
        found = socket.getaddrinfo(settings.address, settings.port, type=socket.SOCK_STREAM)
        family, kind, _, _, place = found[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        raise KitError(
            f"The server cannot listen: {error.strerror}",
            where=f"{settings.address} port {settings.port}",
            cure="Stop what listens there, or set SERVER_ADDRESS and SAGEMAKER_BIND_TO_PORT",
        ) from error


def _farewell(end: Callable[[], None]) -> Callable[..., None]:
    """A handler of SIGTERM in the parent: the workers say goodbye, then comes `end`."""
    # Workers that are still starting inherit this; they have nobody to say it to.
    signal.signal(FAREWELL, signal.SIG_IGN)
    told = threading.Event()

    def handle(*_: object) -> None:
        if not told.is_set():
            told.set()
            workers = [each.pid for each in multiprocessing.active_children() if each.pid]
            for worker in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, FAREWELL)
            timer = threading.Timer(FAREWELL_SECONDS, end)
            timer.daemon = True
            timer.start()

    return handle


def _allow_connections() -> None:
    """Each connection is an open file; a process may often have 1,024 unless it asks for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * CONNECTIONS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@contextlib.contextmanager
def _counting(settings: Settings) -> Iterator[None]:
    """A folder in which the workers leave their counts; without one, each tells its own."""
    if settings.counts:
        yield
        return
    try:
        folder = counts.make()
    except OSError as error:
        logs.event(log, logging.WARNING, "workers count apart", reason=str(error))
        yield
        return
    with folder as name:
        os.environ[environment.COUNTS_DIR] = name
        yield


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m inference.server",
        description="Answers GET /ping and POST /invocations with the model bundle.",
        epilog=f"environment variables:\n{environment.USAGE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(arguments)
    logging.config.dictConfig(logs.CONFIG)
    with contextlib.ExitStack() as stack:
        try:
            settings = environment.read()
            logging.config.dictConfig(logs.config(settings.log_level))
            _claim(settings)
            watch = stack.enter_context(reload.Watch(settings)) if settings.pointer else None
            model_dir = watch.shelf.current() if watch else settings.model_dir
            version = handler.model_fn(model_dir).version
        except KitError as error:
            logs.event(log, logging.ERROR, "cannot start", reason=str(error))
            return 1
        except Exception:
            log.exception("cannot start")
            return 1
        _serve(settings, version, watch)
    return 0


def _serve(settings: Settings, version: str, watch: reload.Watch | None) -> None:
    server = Granian(
        "inference.server",
        address=settings.address,
        port=settings.port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=settings.workers,
        backlog=CONNECTIONS,
        backpressure=CONNECTIONS,
        http1_settings=HTTP1Settings(header_read_timeout=limits.BODY_SECONDS * 1000),
        respawn_failed_workers=True,
        workers_kill_timeout=DRAIN_SECONDS,
        log_level=LogLevels.warning,
        log_dictconfig=logs.config(settings.log_level),
    )
    _allow_connections()
    server.signal_handler_interrupt = _farewell(server.signal_handler_interrupt)
    place = {"address": settings.address, "port": settings.port, "workers": settings.workers}
    logs.event(log, logging.INFO, "starting", model_version=version, **place)
    if watch:
        server.on_startup(watch.listen)  # granian itself takes SIGHUP as a wish for new workers
    loader = functools.partial(application, watch.shelf if watch else None)
    with _counting(settings):
        server.serve(target_loader=loader, wrap_loader=False)
    logs.event(log, logging.INFO, "stopped")


if __name__ == "__main__":
    sys.exit(main())
