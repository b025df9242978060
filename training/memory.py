"""How much memory this job may still take, and giving back what it no longer needs."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

MACHINE = Path("/proc/meminfo")
# Limit and use of a container, as version 2 of Linux's control groups has them, and as 1 has.
GROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)


def available() -> int:
    """Bytes: what the machine has left, within the container's limit."""
    free = _machine()
    for limit, use in GROUPS:
        try:
            free = min(free, int(limit.read_text()) - int(use.read_text()))
        except (OSError, ValueError):  # there is no such group, or it has no limit
            continue
    return max(free, 0)


def release() -> None:
    """Give back what was freed and is kept for later: hundreds of megabytes after much reading."""
    import pyarrow

    pyarrow.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
    if trim:
        trim(0)


def _machine() -> int:
    """What Linux says is available; elsewhere half of what there is."""
    try:
        for line in MACHINE.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
