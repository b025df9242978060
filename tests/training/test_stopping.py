"""A job told to stop ends at once, with its words and its code, wherever the signal arrives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared.errors import KitError
from tests.support import jobs
from training import stopping

SIGNALS = {signal.SIGTERM: 143, signal.SIGINT: 130}
PATIENCE = 240
STUCK = {
    "in a long call of another language": (
        "threading.Timer(0.5, print, ['begun'], {'flush': True}).start()",
        "hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)",
    ),
    "where everything is swallowed": ("Deaf()", "time.sleep(1000)"),
}


def each(number: signal.Signals) -> str:
    return number.name


def told(number: signal.Signals) -> None:
    """This process gets the signal, and waits for what comes of it."""
    os.kill(os.getpid(), number)
    time.sleep(PATIENCE)


@pytest.mark.parametrize("number", SIGNALS, ids=each)
def test_a_signal_raises_and_is_what_it_was_afterwards(number: signal.Signals) -> None:
    before = {each: signal.getsignal(each) for each in SIGNALS}
    with pytest.raises(stopping.Stopped) as stopped, stopping.heard(lambda _: None):
        told(number)
    assert stopped.value.code == SIGNALS[number]
    assert {each: signal.getsignal(each) for each in SIGNALS} == before


def test_an_error_that_somebody_made_of_the_signal_is_still_a_stop() -> None:
    def half_imported() -> None:
        try:
            told(signal.SIGTERM)
        except KeyboardInterrupt:
            raise ImportError("half imported") from None

    with pytest.raises(stopping.Stopped), stopping.heard(lambda _: None):
        half_imported()


def test_an_error_without_a_signal_stays_itself() -> None:
    with pytest.raises(KitError, match="wrong"), stopping.heard(lambda _: None):
        raise KitError("wrong")


@pytest.mark.slow
@pytest.mark.parametrize("stuck", STUCK)
@pytest.mark.parametrize("number", SIGNALS, ids=each)
def test_a_process_that_cannot_end_by_itself_is_ended(number: signal.Signals, stuck: str) -> None:
    first, then = STUCK[stuck]
    program = (
        "import hashlib, threading, time\n"
        "from training import stopping\n"
        "class Deaf:\n"
        "    def __del__(self):\n"
        "        print('begun', flush=True)\n"
        "        while True: pass\n"
        "stopping.GRACE = 0.1\n"
        "with stopping.heard(lambda code: print('last words', code, flush=True)):\n"
        f"    {first}\n"
        f"    {then}\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=jobs.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        try:
            assert process.wait(PATIENCE) == SIGNALS[number]
        finally:
            process.kill()
        assert process.stdout.read() == f"last words {SIGNALS[number]}\n"


def stopped_at(base: Path, line: str, number: signal.Signals) -> str:
    """What a job printed that got the signal after this line; it has to end by itself."""
    with subprocess.Popen(
        [sys.executable, "-m", "training.train", "--base", str(base)],
        cwd=jobs.ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            printed = ""
            while line not in printed:
                printed += process.stdout.readline()
            process.send_signal(number)
            assert process.wait(PATIENCE) == SIGNALS[number]
        finally:
            process.kill()
        return printed + process.stdout.read()


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS, ids=each)
def test_a_job_is_stopped_while_tensorflow_is_imported(
    number: signal.Signals, tmp_path: Path
) -> None:
    base = jobs.tree(tmp_path)
    assert "[stage] fit" not in stopped_at(base, "[stage] transforms", number)
    assert "goes on after the last epoch" in (base / "output/failure").read_text()


@pytest.mark.slow
def test_a_job_is_stopped_in_the_middle_of_a_long_epoch(tmp_path: Path) -> None:
    endless = {"layers": 6, "units": 1024, "batch_size": 1, "epochs": 1, "taper": False}
    base = jobs.tree(tmp_path, jobs.table(20_000), hyperparameters=endless)
    assert "epoch=1" not in stopped_at(base, "[stage] fit", signal.SIGTERM)
    assert "goes on after the last epoch" in (base / "output/failure").read_text()
