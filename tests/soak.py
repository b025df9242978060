"""Training jobs killed with kill -9, again and again, until they end: `make soak`.

A job is killed at a random point: some time after the beginning of a stage, or in the middle of
writing, renaming or deleting a file. It is started again with its checkpoint location, on the same
disk or on a fresh one, perhaps killed again, and when it has ended, its model has to have the same
bits as that of the job that nobody killed. One line a kill and a job, then a summary; exit 1 when a
bit differs, a job fails or one hangs.

Jobs are forked from this process, which has imported TensorFlow and runs no operation itself, so
that they start at once; `--spawned` of the kills hit jobs that are programs of their own. A whole
process group is killed, so the processes that a job starts for its trials go with it. Every job
draws its own moments, from the seed and its number.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from shared import bundle
from shared.hyperparameters import Choice
from shared.problem import Tuning
from tests.support import jobs

AT_ONCE = 2
AGAIN = 0.75
FRESH_DISK = 0.5
IN_A_WRITE = 0.4
PATIENCE = 300.0
BUCKET = "soak"
SETTINGS = {"units": 32, "batch_size": 8, "epochs": 6, "patience": 6, "dropout": 0.2}
STAGES = {"read": 1, "split": 1, "tune": 3, "fit": 3, "evaluate": 1, "export": 1, "bundle": 1}
"""How often each is drawn."""
TIMED = {bundle.MODEL, bundle.KERAS_MODEL, bundle.MANIFEST}
"""Files of a bundle that differ between equal models: they hold times and running numbers."""


@dataclass(frozen=True)
class Kind:
    """A job to kill.

    Args:
        tuning: its search.
        s3: whether it keeps checkpoints in S3 itself instead of in a folder.
        streamed: whether it treats its rows as more than memory holds.
    """

    tuning: Tuning
    s3: bool = False
    streamed: bool = False


KINDS = {
    "bayesian, checkpoints in a folder": Kind(jobs.SEARCH),
    "grid in folds, checkpoints in S3": Kind(
        Tuning(strategy="grid", folds=2, space={"learning_rate": Choice((0.003, 0.01))}), s3=True
    ),
    "streamed from the disk": Kind(Tuning(trials=0), streamed=True),
}


@dataclass(frozen=True)
class Moment:
    """When a run is killed.

    Args:
        stage: after the beginning of this one, if any.
        delay: that many seconds after.
        write: else at this file operation, counted from 1, and at which share of it.
    """

    stage: str | None = None
    delay: float = 0.0
    write: int = 0
    share: float = 0.0

    def __str__(self) -> str:
        if self.stage:
            return f"{self.delay:.2f} s after the beginning of {self.stage}"
        return f"at file operation {self.write}, {self.share:.0%} done"


@dataclass
class Run:
    """One process of a job."""

    pid: int
    log: Path
    moment: Moment | None
    started: float = field(default_factory=time.monotonic)
    seen: dict[str, float] = field(default_factory=dict)

    def look(self) -> None:
        """Note the stages that have begun; kill when the moment has come."""
        now = time.monotonic()
        for stage in stages(self.log):
            self.seen.setdefault(stage, now)
        due = self.moment and self.moment.stage in self.seen
        if due and self.moment and now - self.seen[self.moment.stage or ""] >= self.moment.delay:
            self.strike()
        elif now - self.started > PATIENCE:
            self.strike()
            sys.exit(f"a job hangs; its log is {self.log}")

    def strike(self) -> None:
        """Kill -9 the job and all its processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    @property
    def stage(self) -> str:
        """The last one that began."""
        return (stages(self.log) or ["start"])[-1]


@dataclass(frozen=True)
class Whole:
    """What a job leaves that nobody kills."""

    base: Path
    durations: Mapping[str, float]
    writes: int


def stages(log: Path) -> list[str]:
    """The stages that a log names, in order."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [line.split()[1] for line in lines if line.startswith("[stage] ")]


def location(kind: Kind, base: Path) -> str:
    """Where the job keeps its checkpoints."""
    return f"s3://{BUCKET}/{base.name}" if kind.s3 else str(base / "checkpoints")


def fork(kind: Kind, base: Path, log: Path, moment: Moment | None) -> Run:
    """Start a job as a child of this process."""
    pid = os.fork()
    if pid:
        return Run(pid, log, moment)
    try:
        os.setsid()
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
        os.dup2(1, 2)
        from training import streaming, train

        if kind.streamed:
            streaming.wanted = lambda cells, memory: True
        writes = Writes(moment)
        train.main(["--base", str(base), "--checkpoints", location(kind, base)])
        (base / "writes").write_text(str(writes.count))
        os._exit(0)
    except SystemExit as ended:
        os._exit(int(ended.code or 0))
    finally:
        os._exit(99)


def spawn(kind: Kind, base: Path, log: Path, moment: Moment) -> Run:
    """Start a job as a program of its own; the first two kinds are."""
    words = ("--base", str(base), "--checkpoints", location(kind, base))
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "training.train", *words],
            cwd=jobs.ROOT,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    process.returncode = 0  # it is waited for by its number, like the others
    return Run(process.pid, log, moment)


class Writes:
    """Counts what this process does to files, and dies in the middle of one such operation."""

    def __init__(self, moment: Moment | None) -> None:
        self.count = 0
        self._moment = moment
        for name in ("fsync", "replace", "unlink"):
            setattr(os, name, self._watched(getattr(os, name), cut=name == "fsync"))

    def _watched(self, real: Callable[..., Any], *, cut: bool) -> Callable[..., Any]:
        def operation(*given: Any, **more: Any) -> Any:
            self.count += 1
            moment = self._moment
            if moment is None or self.count != moment.write:
                return real(*given, **more)
            if cut and stat.S_ISREG(os.fstat(given[0]).st_mode):
                os.ftruncate(given[0], int(os.fstat(given[0]).st_size * moment.share))
            elif moment.share >= 0.5:
                real(*given, **more)
            os.killpg(0, signal.SIGKILL)
            return None

        return operation


class Job:
    """One job: killed, started again, and in the end compared."""

    def __init__(self, number: int, folder: Path, wholes: Mapping[str, Whole], seed: int) -> None:
        self.number = number
        self.kills = 0
        self._random = random.Random(f"{seed}-{number}")
        self._name = list(KINDS)[number % len(KINDS)]
        self._whole = wholes[self._name]
        self._base = folder / f"job-{number}"
        self._log = folder / f"job-{number}-0.log"
        shutil.copytree(self._whole.base / "input", self._base / "input")

    def start(self, *, kill: bool, spawned: bool) -> Run:
        """The next run; one that is to be killed draws its moment."""
        self._log = self._base.parent / f"{self._base.name}-{self.kills}.log"
        moment = self._moment(spawned) if kill and self.wants() else None
        kind = KINDS[self._name]
        if spawned and moment and not kind.streamed:
            return spawn(kind, self._base, self._log, moment)
        return fork(kind, self._base, self._log, moment)

    def wants(self) -> bool:
        """Whether it is killed once more: the first time always."""
        return self.kills == 0 or self._random.random() < AGAIN

    def killed(self, run: Run) -> str:
        """After a kill: what to say of it; half the time the next run has a new disk."""
        self.kills += 1
        fresh = self._random.random() < FRESH_DISK
        if fresh:
            for entry in self._base.iterdir():
                if entry.name not in ("input", "checkpoints"):
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        disk = "a fresh disk" if fresh else "the same disk"
        return f"job {self.number} in {run.stage}: {run.moment}; goes on with {disk}"

    def unlike(self) -> list[str]:
        """In what the finished model differs from the one of the job that nobody killed."""
        return unlike(self._whole.base, self._base) + [
            f"the log says: {line}"
            for line in self._log.read_text().splitlines()
            if not line.startswith("[")
        ]

    def _moment(self, spawned: bool) -> Moment:
        draw, whole = self._random, self._whole
        if not spawned and draw.random() < IN_A_WRITE:
            return Moment(write=draw.randint(1, whole.writes), share=draw.random())
        known = [stage for stage in STAGES if stage in whole.durations]
        stage = draw.choices(known, [STAGES[stage] for stage in known])[0]
        return Moment(stage=stage, delay=draw.uniform(0.0, whole.durations[stage]))


def unlike(whole: Path, base: Path) -> list[str]:
    """The names of what differs between two finished jobs."""
    found = []
    names = {
        p.relative_to(b) for b in (whole, base) for p in (b / "model").rglob("*") if p.is_file()
    }
    for name in sorted({*names, Path("output/data/trials.json")}):
        first, second = (
            (b / name).read_bytes() if (b / name).exists() else b"" for b in (whole, base)
        )
        if name.name not in TIMED and first != second:
            found.append(str(name))
    manifests = [bundle.load(b / "model").manifest for b in (whole, base)]
    for part in ("metrics", "hyperparameters", "libraries"):
        if getattr(manifests[0], part) != getattr(manifests[1], part):
            found.append(f"manifest.json, {part}")
    return found


def undisturbed(folder: Path) -> dict[str, Whole]:
    """Run one job of each kind to its end."""
    runs: dict[str, tuple[Run, Path]] = {}
    for place, (name, kind) in enumerate(KINDS.items()):
        base = jobs.tree(
            folder / f"whole-{place}", jobs.table(2000), jobs.problem(tuning=kind.tuning), SETTINGS
        )
        runs[name] = fork(kind, base, folder / f"whole-{place}.log", None), base
    waiting = {run.pid: run for run, _ in runs.values()}
    for run, code in ended(waiting):
        if code:
            sys.exit(f"the job that nobody kills failed:\n{run.log.read_text()}")
        run.seen["end"] = time.monotonic()
    return {
        name: Whole(base, durations(run.seen), int((base / "writes").read_text()))
        for name, (run, base) in runs.items()
    }


def durations(seen: Mapping[str, float]) -> dict[str, float]:
    """Seconds of each stage, from when each began."""
    names = list(seen)
    return {a: seen[b] - seen[a] for a, b in itertools.pairwise(names)}


def ended(waiting: dict[int, Run]) -> Iterator[tuple[Run, int]]:
    """Watch runs and kill them when it is time, until none is left; more may be added."""
    try:
        while waiting:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid in waiting:
                yield waiting.pop(pid), os.waitstatus_to_exitcode(status)
                continue
            for run in waiting.values():
                run.look()
            time.sleep(0.005)
    finally:
        for run in waiting.values():
            run.strike()


def soak(kills: int, spawned: int, seed: int, folder: Path) -> int:
    """Kill `kills` times; answers the exit code."""
    began = time.monotonic()
    wholes = undisturbed(folder)
    seconds = time.monotonic() - began
    print(f"{len(wholes)} jobs that nobody kills: {seconds:.0f} s", flush=True)
    done = started = compared = 0
    places: Counter[str] = Counter()
    unequal: list[str] = []
    waiting: dict[int, Run] = {}
    owners: dict[int, Job] = {}

    def start(job: Job) -> None:
        planned = sum(run.moment is not None for run in waiting.values())
        real = any(job.number == each for each in range(spawned)) and job.kills == 0
        run = job.start(kill=done + planned < kills, spawned=real)
        waiting[run.pid], owners[run.pid] = run, job

    for _ in range(AT_ONCE):
        start(Job(started, folder, wholes, seed))
        started += 1
    for run, code in ended(waiting):
        job = owners.pop(run.pid)
        if code == -signal.SIGKILL and run.moment:
            done += 1
            where = "in a file operation" if run.moment.write else run.stage
            places[where] += 1
            print(f"kill {done}/{kills}: {job.killed(run)}", flush=True)
            start(job)
            continue
        compared += 1
        wrong = [f"it ended with {code}, see {run.log}"] if code else job.unlike()
        verdict = f"DIFFERENT: {'; '.join(wrong)}" if wrong else "the same bits"
        print(f"job {job.number} was killed {job.kills} times: {verdict}", flush=True)
        unequal += [f"job {job.number}"] if wrong else []
        if done + sum(each.moment is not None for each in waiting.values()) < kills:
            start(Job(started, folder, wholes, seed))
            started += 1
    where = ", ".join(f"{count} {place}" for place, count in places.most_common())
    seconds = time.monotonic() - began
    print(f"{done} kills ({where}) of {compared} jobs in {seconds:.0f} s, seed {seed}")
    print(f"different: {', '.join(unequal)}" if unequal else "every job ended with the same bits")
    return int(bool(unequal) or done < kills)


@contextlib.contextmanager
def s3_server() -> Iterator[None]:
    """S3 on this machine, a process of its own; boto3 is told by its usual variables."""
    program = (
        "import sys\n"
        "from tests.support import s3\n"
        "with s3.server() as address:\n"
        "    print(address, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=jobs.ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        os.environ |= {
            "AWS_ENDPOINT_URL": server.stdout.readline().strip(),
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        import boto3

        boto3.client("s3").create_bucket(Bucket=BUCKET)
        try:
            yield
        finally:
            server.kill()


def main(words: Sequence[str] | None = None) -> NoReturn:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="how many (200)")
    parser.add_argument("--spawned", type=int, default=2, help="of programs of their own (2)")
    parser.add_argument("--seed", type=int, help="of the moments (a new one each time)")
    given = parser.parse_args(words)
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    print(f"seed {seed}: python -m tests.soak --kills {given.kills} --seed {seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    with s3_server():
        prepare()
        code = soak(given.kills, given.spawned, seed, folder)
    if code:
        print(f"what was left lies in {folder}", flush=True)
    else:
        shutil.rmtree(folder)
    sys.exit(code)


def prepare() -> None:
    """Import what jobs import, and run nothing of it."""
    from training.preparation import tensorflow_ready

    tensorflow_ready()
    import onnxruntime
    import optuna
    import pyarrow.parquet
    import sklearn.metrics

    from training import export, fit, network, train

    del onnxruntime, optuna, pyarrow, sklearn, export, fit, network, train


if __name__ == "__main__":
    main()
