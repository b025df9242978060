"""The files in a bundle's directory: which there are, and whether they are the ones listed.

The directory is looked through before any file is opened, so that nothing in it can make its reader
wait or read without end. Here: names, kinds, sizes and digests. Not here: what the files say.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from shared import archives, documents, files
from shared.errors import BundleError

_COMPILED = re.compile(r"code/(.+/)?__pycache__/[^/]+\.pyc(\.[0-9]+)?", re.DOTALL)
"""Python writes such a file with a number behind its name first, then renames it."""


class Inventory:
    """The plain files of a directory.

    What platforms and desktops leave in one is passed over: anything hidden, a volume's lost+found,
    and below code/ what Python keeps of the modules there. The kit never opens it.

    Args:
        directory: with its folders; links are not followed.

    Raises:
        BundleError: there is something else than plain files and folders, or too many.
        OSError: it cannot be looked through.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._sizes: dict[str, int] = {}
        entries, folders = 0, [""]
        while folders:
            folder = folders.pop()
            with os.scandir(directory / folder) as listed:
                for entry in sorted(listed, key=lambda entry: entry.name):
                    entries += 1
                    if entries > archives.MAX_FILES:
                        raise BundleError("there are too many files", where=str(directory))
                    name = f"{folder}{entry.name}"
                    if _beside(name):
                        continue
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(found.st_mode):
                        folders.append(f"{name}/")
                    elif stat.S_ISREG(found.st_mode):
                        self._sizes[name] = found.st_size
                    else:
                        raise BundleError(
                            "neither a plain file nor a folder", where=self._place(name)
                        )

    def read(self, name: str, limit: int) -> bytes:
        """The content of a file.

        Raises:
            BundleError: it is not there, or has more than `limit` bytes.
            OSError: it cannot be read.
        """
        size = self._sizes.get(name)
        if size is None:
            raise BundleError("the file is missing", where=self._place(name))
        if size > limit:
            raise BundleError(f"{size} bytes are too many", where=self._place(name))
        return (self.directory / name).read_bytes()

    def check(self, digests: Mapping[str, str | None], needed: Iterable[str]) -> None:
        """Hold the files against a list.

        Args:
            digests: SHA-256 of each file by name; None: not to be compared.
            needed: names that must be in the list.

        Raises:
            BundleError: a file is missing, extra or changed, or all of them are too large.
            OSError: a file cannot be read.
        """
        for name in self._sizes:
            if name not in digests:
                raise BundleError("the manifest does not know this file", where=self._place(name))
        if sum(self._sizes.values()) > archives.MAX_BYTES:
            raise BundleError("the bundle has too many bytes", where=str(self.directory))
        for name in (*digests, *needed):
            archives.check_name(name, str(self.directory))
            if name not in self._sizes or name not in digests:
                raise BundleError("the file is missing", where=self._place(name))
        for name, digest in digests.items():
            if digest is not None and files.sha256(self.directory / name) != digest:
                raise BundleError(
                    "the file was changed: its digest differs", where=self._place(name)
                )

    def _place(self, name: str) -> str:
        """A file as a message can name it."""
        shown = name if name.isprintable() else documents.show(name)
        return f"{self.directory}/{shown}"


def _beside(name: str) -> bool:
    """Whether something may be there that is not the bundle's."""
    hidden = name.rpartition("/")[2].startswith(".")
    return hidden or name == "lost+found" or _COMPILED.fullmatch(name) is not None
