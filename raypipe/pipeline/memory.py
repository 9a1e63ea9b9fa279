"""The memory of a worker: how much it took, and giving back what it no longer needs."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from functools import lru_cache
from pathlib import Path

import pyarrow as pa

__all__ = ["collect", "give_back", "give_back_if_large", "peak_rss_bytes", "resident_bytes"]

#: Half of what a worker may take on a machine of 1 GB a core.
_LARGE_BYTES = 400 << 20
_STATM = Path("/proc/self/statm")


def peak_rss_bytes() -> int:
    """Peak resident memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def resident_bytes() -> int:
    """Resident memory of this process now, in bytes; its peak where the system does not tell."""
    if not _STATM.exists():
        return peak_rss_bytes()
    return int(_STATM.read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def collect() -> None:
    """Leave nothing behind in a long-lived worker. What the first job imported is never looked at again."""
    gc.collect()
    _freeze_imports()
    give_back()


def give_back_if_large() -> None:
    """Return free memory in the middle of a job, if the process has grown so far that it matters.

    Faulting the pages in again costs a seventh of a small session's time.
    """
    if resident_bytes() > _LARGE_BYTES:
        give_back()


def give_back() -> None:
    """Return free memory to the system: what one allocator holds back for itself, the other cannot use.

    Without it a full market's minute file left 75 MB of its text behind, under the features made of it.
    """
    pa.default_memory_pool().release_unused()
    trim = getattr(_c_library(), "malloc_trim", None)
    if trim is not None:
        trim(0)


@lru_cache(maxsize=1)
def _c_library() -> ctypes.CDLL:
    return ctypes.CDLL(None)


@lru_cache(maxsize=1)
def _freeze_imports() -> None:
    gc.freeze()
