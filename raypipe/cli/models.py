"""Models as part of `raypipe run` and `raypipe demo`: who runs their search, and what is said of the verdict."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from raypipe.cli.app import App
from raypipe.cli.present import table

if TYPE_CHECKING:
    from raypipe.config import Config
    from raypipe.training.model_run import ModelOrder, ModelRun
    from raypipe.training.sweep_plan import SweepPlan
    from raypipe.training.sweep_run import SweepExecutor, Watch

__all__ = ["model_document", "model_lines", "model_order", "sweep_executor", "sweep_watch"]

_RESUME = "resume with the same command"


@contextmanager
def model_order(app: App, config: Config) -> Iterator[ModelOrder]:
    """How models are made here: with progress, and Ctrl-C is heeded."""
    from raypipe.cli.interrupts import graceful
    from raypipe.training.model_run import ModelOrder

    with graceful(_RESUME) as stop:
        yield ModelOrder(
            executor=lambda plan: sweep_executor(config, plan),
            watch=lambda plan: sweep_watch(app, plan),
            say=app.notes.info,
            command=app.command_line,
            stop=stop,
        )


def sweep_executor(config: Config, plan: SweepPlan) -> SweepExecutor:
    """Ray's lives outside the library and is looked up by name, so nothing here imports ray."""
    from raypipe.pipeline.session import cpus
    from raypipe.training.sweep_run import ProcessSweep, SerialSweep

    workers = plan.params.max_concurrent or max(1, cpus(config.run) // plan.params.threads)
    name = config.run.executor
    if name == "ray" or (name == "auto" and config.run.address):
        executor: SweepExecutor = importlib.import_module("tuning.executor").RaySweep.of(plan, config.run)
        return executor
    serial = name == "serial" or (name == "auto" and min(workers, len(plan.jobs)) == 1)
    return SerialSweep() if serial else ProcessSweep(workers)


@contextmanager
def sweep_watch(app: App, plan: SweepPlan) -> Iterator[Watch]:
    """A live table on a terminal, else lines."""
    from raypipe.cli.tune_progress import live_watch
    from raypipe.training.sweep_progress import LineWatch

    if not app.bars:
        yield LineWatch(len(plan.jobs) + len(plan.skipped), app.notes.info, app.notes.warning)
        return
    with live_watch(plan, app.notes.warning) as watch:
        yield watch


def model_document(found: ModelRun) -> dict[str, Any]:
    """What became of the models, for JSON."""
    return asdict(found)


def model_lines(found: ModelRun) -> list[str]:
    """The decision table, the verdict and where things are."""
    rows = [(gate["name"], "pass" if gate["passed"] else "FAIL", gate["reason"]) for gate in found.gates]
    lines = [*table(("gate", "", "why"), rows), ""] if rows else []
    lines.append(f"models of {found.target}: {found.status} (search {found.run_id})")
    if found.bundle:
        lines.append(f"bundle: {found.bundle}")
    return [*lines, f"page: {found.page}"]
