"""How much memory this job may take, and giving back what it no longer needs.

The share is one of what there is, not of what happens to be free: a job that is started again on
the same kind of instance must decide as it did before, or its checkpoints would be another job's.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

SHARE = 0.75
# Limits of a container, as version 2 of Linux's control groups has them, and as version 1.
LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def allowance() -> int:
    """Bytes: three quarters of the machine's memory, or of the container's limit."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in LIMITS:
        with contextlib.suppress(OSError, ValueError):  # there is none, or it says "max"
            total = min(total, int(limit.read_text()))
    return int(SHARE * total)


def release() -> None:
    """Give back what was freed and is kept for later: hundreds of megabytes after much reading."""
    import pyarrow

    pyarrow.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
    if trim:
        trim(0)
