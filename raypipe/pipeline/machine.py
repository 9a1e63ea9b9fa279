"""What a run ran on: the machine and the libraries, as facts in its record; and how many of its threads are used.

No names of hosts or people.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

__all__ = ["machine_facts", "one_thread"]

#: What results or speed may depend on.
_LIBRARIES = (
    *("numpy", "pyarrow", "numba", "pandas", "pydantic", "ray", "boto3", "exchange-calendars", "scikit-learn"),
    *("xgboost", "lightgbm", "catboost", "optuna", "scipy"),
)


def machine_facts() -> dict[str, Any]:
    """System, processor, CPUs that this process may use, memory in bytes, Python, and versions of libraries."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": platform.machine(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": ".".join(map(str, sys.version_info[:3])),
        "libraries": {name: found for name in _LIBRARIES if (found := _version(name))},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Products of matrices take one thread of this process, as they do in workers; also a decorator.

    Small ones gain nothing by a second one, which waits for its turn by counting: stacking took three times the CPU
    time, and on a machine that was busy twice as long.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield
