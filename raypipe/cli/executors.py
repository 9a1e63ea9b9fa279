"""Executors by name. Ray's lives outside the library and is looked up by name, so nothing here imports ray."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raypipe.config import RunParams
    from raypipe.pipeline.executor import Executor

__all__ = ["make_executor"]


def make_executor(name: str, run: RunParams) -> Executor:
    """An executor that is not started yet; `ray` comes from ``tasks.runtime``."""
    from raypipe.pipeline.session import local_executor

    if name != "ray":
        return local_executor(name, run)
    executor: Executor = importlib.import_module("tasks.runtime").RayExecutor(run.address or "local", run.workers)
    return executor
