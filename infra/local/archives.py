"""Archives (tar.gz): opened without trusting them; the same files make the same bytes."""

from __future__ import annotations

import gzip
import shutil
import tarfile
from pathlib import Path

from shared import archives
from shared.errors import KitError


class UntrustedError(KitError):
    """An archive that is damaged, or would write where it must not."""


def extract(archive: Path, directory: Path) -> None:
    """Unpack regular files and directories, and nothing else.

    Raises:
        UntrustedError: not an archive, links or devices in it, a member outside `directory`,
            or more content than the disk has room for.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        room = shutil.disk_usage(directory).free
        archives.unpack(archive, directory, max_bytes=room, executable=True, error=UntrustedError)
    except OSError as error:
        raise UntrustedError(str(error)) from None


def pack(directory: Path, archive: Path) -> None:
    """Everything below `directory`, sorted, without owners or times."""
    with (
        archive.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as members,
    ):
        for path in sorted(directory.rglob("*")):
            if not (path.is_file() or path.is_dir()):
                continue
            member = members.gettarinfo(str(path.resolve()), path.relative_to(directory).as_posix())
            member.uid = member.gid = member.mtime = 0
            member.uname = member.gname = ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            if member.isdir():
                members.addfile(member)
            else:
                member.type, member.linkname = tarfile.REGTYPE, ""
                with path.open("rb") as content:
                    members.addfile(member, content)
