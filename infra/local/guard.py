"""The small parent of every job and server: it ends the whole process group when it is told to.

Run as a script, without the site module, because it is started in front of each process and must
cost nothing: ``python -I -S guard.py <control fd> <report fd> <command> …``. It leads a new
process group, starts the command in it and reports ``started <pid>`` and ``ended <exit code>``.
On the control pipe ``T`` means: send SIGTERM to the command (and to nothing else, as a
container's stop does), ``K``: kill the group. The end of that pipe, which is what the daemon's
death looks like, means ``K``. However the command ends, what it started ends with it.
"""

import _thread
import os
import signal
import sys


def main() -> None:
    """Start the command, follow it, end its group."""
    control, report = int(sys.argv[1]), int(sys.argv[2])
    command = sys.argv[3:]
    os.set_inheritable(control, False)
    os.set_inheritable(report, False)
    child = os.fork()
    if child == 0:
        try:
            os.execvp(command[0], command)  # noqa: S606
        except OSError as error:
            os.write(2, f"cannot start {command[0]}: {error.strerror}\n".encode())
        os._exit(127)
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        os.write(report, f"started {child}\n".encode())
        _thread.start_new_thread(obey, (control, child))
        _, status = os.waitpid(child, 0)
        os.write(report, f"ended {os.waitstatus_to_exitcode(status)}\n".encode())
    finally:  # also when nobody is there any more to report to
        os.killpg(0, signal.SIGKILL)


def obey(control: int, child: int) -> None:
    """Do what the daemon says, until it is gone."""
    while os.read(control, 1) == b"T":
        os.kill(child, signal.SIGTERM)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
