"""The HTTP server of the endpoint: GET /ping and POST /invocations.

    python -m inference.server

The parent reads the settings, proves the bundle and takes the port; then it starts the workers
(workers.py), and each proves the bundle once more before it listens, so an open port always
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
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence

from inference import counts, environment, handler, limits, logs, reload
from inference.application import Application
from inference.environment import Settings
from inference.exchange import Answerer
from inference.workers import ENDS, Crew
from shared.errors import KitError

log = logging.getLogger("inference")

Make = Callable[[reload.Shelf | None], Answerer]


def application(shelf: reload.Shelf | None) -> Application:
    """The application of one worker process, its bundle proved once more. Runs in the worker.

    Args:
        shelf: where later bundles come to lie; None: there will be none.

    Raises:
        KitError: the bundle is refused.
    """
    settings = environment.read()
    logging.config.dictConfig(logs.config(settings.log_level))
    limits.ROWS = settings.rows
    if shelf:
        return reload.follow(shelf, Application)
    return Application(handler.model_fn(settings.model_dir))


def _claim(settings: Settings) -> socket.socket:
    """A socket at the port; the first worker that is ready listens on it.

    Raises:
        KitError: the port is taken, or not to be had.
    """
    try:
        found = socket.getaddrinfo(settings.address, settings.port, type=socket.SOCK_STREAM)
        family, kind, _, _, place = found[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # A peer that is gone without a word is noticed after a while.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.bind(place)
    except OSError as error:
        raise KitError(
            f"The server cannot listen: {error.strerror}",
            where=f"{settings.address} port {settings.port}",
            cure="Stop what listens there, or set SERVER_ADDRESS and SAGEMAKER_BIND_TO_PORT",
        ) from error
    return listener


def _allow_connections() -> None:
    """Each connection is an open file; a process may often have 1,024 unless it asks for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * limits.CONNECTIONS
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


def main(arguments: Sequence[str] | None = None, make: Make = application) -> int:
    """Serve until SIGTERM or SIGINT; the exit code.

    Args:
        arguments: of the command line.
        make: makes what a worker answers with.
    """
    parser = argparse.ArgumentParser(
        prog="python -m inference.server",
        description="Answers GET /ping and POST /invocations with the model bundle.",
        epilog=f"environment variables:\n{environment.USAGE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(arguments)
    for number in ENDS:
        # The first process of a container would not hear them before its crew minds them.
        signal.signal(number, lambda *_: sys.exit(0))
    logging.config.dictConfig(logs.CONFIG)
    with contextlib.ExitStack() as stack:
        try:
            settings = environment.read()
            logging.config.dictConfig(logs.config(settings.log_level))
            listener = stack.enter_context(_claim(settings))
            watch = stack.enter_context(reload.Watch(settings)) if settings.pointer else None
            model_dir = watch.shelf.current() if watch else settings.model_dir
            version = handler.model_fn(model_dir).version
        except KitError as error:
            logs.event(log, logging.ERROR, "cannot start", reason=str(error))
            return 1
        except Exception:
            log.exception("cannot start")
            return 1
        _allow_connections()
        place = {
            "address": settings.address, "port": settings.port, "workers": settings.workers
        }  # fmt: skip
        logs.event(log, logging.INFO, "starting", model_version=version, **place)
        stack.enter_context(_counting(settings))
        made = functools.partial(make, watch.shelf if watch else None)
        code = Crew(listener, made, settings.workers).run()
        logs.event(log, logging.INFO, "stopped")
    return code


if __name__ == "__main__":
    sys.exit(main())
