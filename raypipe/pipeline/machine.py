"""What a run ran on: the machine and the libraries, as facts in its record. No names of hosts or people."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

__all__ = ["machine_facts"]

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
