"""SIGTERM and Ctrl-C end a job within seconds, wherever they arrive.

Python runs a signal's handler between two steps of Python code, so not before an epoch is over
(one call into TensorFlow), and what it raises may be swallowed by whoever was importing. Therefore
a thread waits beside: the operating system's own handler writes the signal's number to a pipe at
once, and where the job has not ended by itself after GRACE seconds the thread ends it. That costs
nothing: a job goes on after its last checkpoint however it ended.

Not here: what a stopped job says (train.py).
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import NoReturn

GRACE = 3.0
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(KeyboardInterrupt):
    """The job was told to stop.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.code = exit_code(number)


def exit_code(number: int) -> int:
    """The exit code of a process that a signal ended, as shells have it."""
    return 128 + number


@contextlib.contextmanager
def heard(last_words: Callable[[int], None]) -> Iterator[None]:
    """Within, a signal raises Stopped; GRACE seconds later the process ends in any case.

    Args:
        last_words: called with the exit code before the process is ended so.

    Raises:
        Stopped: a signal arrived.
    """
    arrived: list[int] = []
    ended = threading.Event()
    read, write = os.pipe()
    os.set_blocking(write, False)

    def stop(number: int, _: object) -> NoReturn:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        arrived.append(number)
        raise Stopped(number)

    def watch() -> None:
        number = 0
        while number not in SIGNALS:
            number = os.read(read, 1)[0]
            if not number:
                return
        if not ended.wait(GRACE):
            last_words(exit_code(number))
            os._exit(exit_code(number))

    before = {each: signal.signal(each, stop) for each in SIGNALS}
    earlier = signal.set_wakeup_fd(write)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except Exception as exception:
        if arrived:  # somebody made an error of his own of it
            raise Stopped(arrived[0]) from exception
        raise
    finally:
        ended.set()
        signal.set_wakeup_fd(earlier)
        for each, handler in before.items():
            signal.signal(each, handler)
        os.write(write, b"\0")
        watcher.join()
        os.close(read)
        os.close(write)
