"""What images/Dockerfile says, target by target."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).parents[2]
FILE = ROOT / "images" / "Dockerfile"


@dataclass(frozen=True)
class Stage:
    """One FROM and what follows it.

    Args:
        base: what it begins with.
        instructions: name in capitals and value, in order.
    """

    base: str
    instructions: tuple[tuple[str, str], ...]

    def values(self, name: str) -> list[str]:
        return [value for instruction, value in self.instructions if instruction == name]

    def words(self, name: str) -> list[list[str]]:
        return [shlex.split(value) for value in self.values(name)]


def stages() -> dict[str, Stage]:
    """Every stage by its name."""
    found: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    current: list[tuple[str, str]] = []
    for part in DockerfileParser(path=str(FILE)).structure:
        if part["instruction"] == "FROM":
            base, _, name = part["value"].split()
            current = []
            found[name] = (base, current)
        elif part["instruction"] != "COMMENT":
            current.append((part["instruction"], part["value"]))
    return {name: Stage(base, tuple(said)) for name, (base, said) in found.items()}


def lineage(name: str) -> list[Stage]:
    """A target's stages, from the base to itself."""
    known = stages()
    stage = known[name]
    return [*(lineage(stage.base) if stage.base in known else []), stage]


def copied(name: str) -> Iterator[tuple[str, str]]:
    """(source in the repository, place in the image) of everything that ends in a target."""
    for stage in lineage(name):
        for words in stage.words("COPY"):
            flags = [word for word in words if word.startswith("--")]
            *sources, place = (word for word in words if not word.startswith("--"))
            if flags:
                [flag] = flags
                assert sources == [place]
                for source, where in copied(flag.removeprefix("--from=")):
                    if where.startswith(f"{place}/"):
                        yield source, where
                continue
            for source in sources:
                directory = (ROOT / source).is_dir()
                yield source, place if directory else f"{place}{Path(source).name}"


def files(name: str) -> dict[str, Path]:
    """The repository's files that are in a target's /opt/program, by their name there."""
    found: dict[str, Path] = {}
    for source, place in copied(name):
        inside = place.removeprefix("/opt/program/")
        assert inside != place
        path = ROOT / source
        if not path.is_dir():
            found[inside] = path
            continue
        for each in sorted(path.rglob("*")):
            if each.is_file() and "__pycache__" not in each.parts:
                found[f"{inside}{each.relative_to(path).as_posix()}"] = each
    return found


def install(name: str, program: Path) -> None:
    """Put a target's /opt/program somewhere else."""
    for inside, path in files(name).items():
        (program / inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, program / inside)


def command(name: str) -> list[str]:
    """What a target starts."""
    [entrypoint] = [value for stage in lineage(name) for value in stage.values("ENTRYPOINT")]
    [arguments] = [value for stage in lineage(name) for value in stage.values("CMD")]
    return [*json.loads(entrypoint), *json.loads(arguments)]


def environment(name: str, moved: Mapping[str, Path]) -> dict[str, str]:
    """A target's variables, with its places moved and this machine's PATH as the base's."""
    found = {"PATH": os.environ["PATH"]}
    for stage in lineage(name):
        for words in stage.words("ENV"):
            for word in words:
                variable, _, value = word.partition("=")
                value = value.replace("${PATH}", found["PATH"])
                for place, path in moved.items():
                    value = value.replace(place, str(path))
                found[variable] = value
    return found
