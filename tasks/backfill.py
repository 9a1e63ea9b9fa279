"""``python -m tasks.backfill``: `raypipe run` on Ray, the entry point for ``ray job submit``.

::

    ray job submit --working-dir . -- python -m tasks.backfill --root s3://my-lake --start 2022-01-03 --end 2022-12-30

It takes the options of `raypipe run`, and always uses Ray: inside a job the job's cluster, elsewhere a Ray of its own.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import shlex
import sys
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from raypipe.config import Config, RunParams, load_config
from raypipe.pipeline.intake import ObjectState, acquire_configured
from raypipe.pipeline.model_run import ModelOrder, run_models, wants_models
from raypipe.pipeline.progress import LineProgress
from raypipe.pipeline.record import RunRecord
from raypipe.pipeline.session import INGEST, STOPPING, Order, Wish, require_lake, run_wish
from raypipe.pipeline.sweep_progress import LineWatch
from raypipe.pipeline.views import report_key
from tasks.cluster import default_address
from tasks.entry import RESUME, check_root, dates_of_text, day_of_text, entry_point, log, words_of_text
from tasks.runtime import RayExecutor

__all__ = ["main", "parser", "ray_executor"]


def parser() -> argparse.ArgumentParser:
    """The arguments: those of `raypipe run` that mean something here."""
    found = argparse.ArgumentParser("python -m tasks.backfill", description=__doc__.split("\n")[0], allow_abbrev=False)
    add = found.add_argument
    add("--start", "--start-date", type=day_of_text, metavar="DATE", help="first session")
    add("--end", "--end-date", type=day_of_text, metavar="DATE", help="last session")
    several: dict[str, Any] = {"nargs": "+", "action": "extend", "default": []}
    add("--dates", type=dates_of_text, metavar="DATE", help="exactly these sessions", **several)
    add(
        "--steps",
        type=words_of_text,
        metavar="STEP",
        help="only these steps, and stale inputs that they need",
        **several,
    )
    add("--force", action="store_true", help="build what is current too")
    add("--only", action="store_true", help="do not build inputs of other steps")
    add("--allow-holes", action="store_true", default=None, help="let a warm-up window miss sessions")
    add("--workers", type=int, metavar="N", help="jobs at a time; one per CPU otherwise")
    add("--address", metavar="ADDRESS", help="local, auto or host:port; auto inside a job, else local")
    add("--dq", choices=("warn", "fail", "off"), help="what data-quality findings do to the exit code")
    add("--root", metavar="LAKE", help="the lake: an absolute folder or s3://bucket/prefix")
    add("--config", type=Path, metavar="FILE", help="configuration instead of ./raypipe.yaml")
    add("--profile", metavar="NAME", help="values of configs/NAME.yaml, before those of ./raypipe.yaml")
    add("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="one configuration value")
    return found


def main(args: Sequence[str] | None = None) -> int:
    """Run a backfill.

    Parameters
    ----------
    args
        Arguments; those of the process if None.

    Returns
    -------
    The exit code, as `raypipe run` has it.
    """
    given = sys.argv[1:] if args is None else list(args)
    options = parser().parse_args(given)
    command = shlex.join(["python", "-m", "tasks.backfill", *given])
    return entry_point(lambda stop: _backfill(options, command, stop))


def _backfill(options: argparse.Namespace, command: str, stop: threading.Event) -> int:
    config = _configure(options)
    check_root(config)
    dates, steps = (tuple(itertools.chain.from_iterable(lists)) for lists in (options.dates, options.steps))
    if INGEST in (steps or config.run.steps):
        code, said = acquire_configured(config, (options.start, options.end), progress=_told, stop=stop)
        log.info("ingest: %s", said)
        if code in STOPPING:
            return code
    require_lake(config)
    models = wants_models(config, steps)
    wish = Wish(options.start, options.end, dates, steps, force=options.force, only=options.only)
    record = run_wish(config, wish, Order(command, ray_executor, LineProgress(log.info, log.warning), stop))
    _summarise(config, record)
    code = record.exit_code or 0
    return code if stop.is_set() or code > 1 or not models else code or _make_models(config, command, stop)


def _told(state: ObjectState) -> None:
    """A line for each file that went wrong."""
    if state.state in {"failed", "forbidden"}:
        log.warning("%s %s: %s", state.key, state.state, state.reason)


def _make_models(config: Config, command: str, stop: threading.Event) -> int:
    """Models after tables; the search on Ray lives beside the other tasks, and is looked up by name."""
    address, limit = config.run.address or default_address(), config.run.workers
    order = ModelOrder(
        executor=lambda _: importlib.import_module("tuning.executor").RaySweep(address, limit),
        watch=lambda plan: nullcontext(LineWatch(len(plan.jobs) + len(plan.skipped), log.info, log.warning)),
        say=log.info,
        command=command,
        stop=stop,
    )
    made = run_models(config, order)
    log.info("models of %s: %s; page: %s", made.target, made.status, made.page)
    return made.exit_code


def _configure(options: argparse.Namespace) -> Config:
    flags = {
        "lake.root": options.root,
        "run.executor": "ray",
        "run.workers": options.workers,
        "run.address": options.address,
        "run.dq": options.dq,
        "run.allow_holes": options.allow_holes,
    }
    config = load_config(options.config, profile=options.profile, sets=options.set, flags=flags)
    for warning in config.warnings:
        log.warning("warning: %s", warning)
    return config


def ray_executor(_: str, run: RunParams) -> RayExecutor:
    """Ray, whatever the configuration asks for: an executor that is not started yet."""
    address = run.address or default_address()
    log.info("starting on Ray, address %s", address)
    return RayExecutor(address, run.workers)


def _summarise(config: Config, record: RunRecord) -> None:
    for table, partition, reason in record.blocked:
        log.warning("%s %s blocked: %s", table, partition, reason)
    if not record.outcomes:
        log.info("nothing to do: everything is current" if not record.exit_code else RESUME)
        return
    counts = {status: sum(o.status == status for o in record.outcomes) for status in ("built", "failed", "cancelled")}
    said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    seconds = ((record.finished_ns or record.started_ns) - record.started_ns) / 1e9
    log.info("run %s %s: %s in %.0f s", record.run_id, record.status, said, seconds)
    log.info("report: %s/%s", config.lake.location.root, report_key(record.run_id))


if __name__ == "__main__":
    sys.exit(main())
