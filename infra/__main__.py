"""``python -m infra <command>``: deploy a project, look at it, use it, take it away.

Errors are one message on stderr and exit code 1; KIT_DEBUG=1 shows the traceback too. Ctrl-C is
130.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence

from infra.commands import (
    approve,
    batch,
    deploy,
    destroy,
    image,
    init,
    invoke,
    logs,
    openapi,
    package,
    plan,
    policy,
    promote,
    retrain,
    rollback,
    status,
    tune,
)
from infra.commands.usage import Parser
from shared.errors import KitError

COMMANDS = {
    "init": init,
    "plan": plan,
    "policy": policy,
    "package": package,
    "image": image,
    "tune": tune,
    "deploy": deploy,
    "retrain": retrain,
    "rollback": rollback,
    "promote": promote,
    "approve": approve,
    "invoke": invoke,
    "batch": batch,
    "openapi": openapi,
    "status": status,
    "logs": logs,
    "destroy": destroy,
}


def parser() -> Parser:
    """The command line."""
    root = Parser(
        prog="python -m infra",
        description="From a table of data to a tuned Keras network behind a SageMaker endpoint.",
        epilog="Help on one of them: python -m infra help deploy",
    )
    commands = root.add_subparsers(dest="command", metavar="command", required=True)
    for name, module in COMMANDS.items():
        title, _, rest = (module.__doc__ or "").partition("\n")
        sub = commands.add_parser(
            name,
            help=title.rstrip("."),
            description=f"{title}\n{rest}".rstrip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.arguments(sub)
    helper = commands.add_parser("help", help="this list, or the help of one command")
    helper.add_argument("about", nargs="?", choices=tuple(COMMANDS))
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    root = parser()
    args = root.parse_args(argv)
    if args.command == "help":
        root.parse_args([args.about, "--help"] if args.about else ["--help"])
    try:
        return int(COMMANDS[args.command].run(args))
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe has gone; Python must not complain again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        return fail(error, args.command)


def fail(error: Exception, command: str) -> int:
    """Say on stderr what went wrong."""
    from infra.failures import explain
    from shared.files import disk_error

    if os.environ.get("KIT_DEBUG"):
        traceback.print_exc()
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, KitError):
        error = disk_error(error, error.filename or f"python -m infra {command}")
    told = isinstance(error, KitError) or type(error).__module__.startswith(("botocore", "boto3"))
    if told:
        print(f"error: {explain(error, command)}", file=sys.stderr)
    else:
        print(
            f"error: {command} stopped at something it does not know: "
            f"{type(error).__name__}: {error}. KIT_DEBUG=1 shows where.",
            file=sys.stderr,
        )
    return 1


def program(argv: Sequence[str] | None = None) -> int:
    """The same as a process of its own: SIGTERM is like Ctrl-C, and any terminal will do."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    return main(argv)


if __name__ == "__main__":
    sys.exit(program())
