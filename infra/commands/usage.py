"""What is said of a command that is typed wrong: one line with what to give, and exit code 2."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import NoReturn

from shared.errors import nearest

_CHOICE = re.compile(r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)", re.DOTALL)
_OPTION = re.compile(r"argument --(\w+): (.*)", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """A parser that tells a mistake without a list of all options."""

    def error(self, message: str) -> NoReturn:
        """Say it, and end."""
        name = self.prog.removeprefix("python -m infra").replace(" help", "")
        self.exit(2, f"error: {_told(message)} (All options: python -m infra help{name})\n")


def whole(example: str) -> Callable[[str], int]:
    """A type of option: a whole number, 1 or more.

    Args:
        example: how it is typed.
    """

    def number(text: str) -> int:
        if text.isascii() and text.isdecimal() and int(text) > 0:
            return int(text)
        raise argparse.ArgumentTypeError(
            f"{text!r} is no whole number, 1 or more. For example: {example}"
        )

    return number


def _told(message: str) -> str:
    if choice := _CHOICE.fullmatch(message):
        what, given, listed = choice.groups()
        known = [one.strip().strip("'") for one in listed.split(",")]
        if what.startswith("--"):
            name = what.removeprefix("--")
            return (
                f"{name.upper()} (--{name}): {given!r} is none of {', '.join(known)}. "
                f"For example: {name.upper()}={known[0]}"
            )
        return f"there is no command {given!r}. {nearest(given, known)}"
    if option := _OPTION.fullmatch(message):
        return f"{option[1].upper()} (--{option[1]}): {option[2]}"
    return f"{message}."
