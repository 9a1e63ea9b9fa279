"""``python -m tasks.backfill``: `raypipe run` on Ray, the entry point for ``ray job submit``.

::

    ray job submit --working-dir . -- python -m tasks.backfill --root s3://my-lake --start 2022-01-03 --end 2022-12-30

It takes the options of `raypipe run`, and always uses Ray: inside a job the job's cluster, elsewhere a Ray of its own.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from raypipe.config import Config
from raypipe.pipeline.intake import ObjectState, acquire_configured
from raypipe.pipeline.progress import LineProgress
from raypipe.pipeline.record import RunRecord
from raypipe.pipeline.session import INGEST, STOPPING, Order, Wish, require_lake, run_wish
from raypipe.pipeline.views import report_key
from raypipe.training.model_run import ModelOrder, models_after, wanted_models
from raypipe.training.sweep_progress import LineWatch
from tasks.entry import (
    RESUME,
    SEVERAL,
    Call,
    counted,
    entry_point,
    joined,
    lake_arguments,
    log,
    new_parser,
    ray_executor,
    session_arguments,
    words_of_text,
)
from tasks.runtime import default_address

__all__ = ["main", "parser"]


def parser() -> argparse.ArgumentParser:
    """The arguments: those of `raypipe run` that mean something here."""
    found = new_parser("tasks.backfill", __doc__)
    add = found.add_argument
    session_arguments(found)
    help_ = "only these steps, and stale inputs that they need"
    add("--steps", type=words_of_text, metavar="STEP", help=help_, **SEVERAL)
    add("--force", action="store_true", help="build what is current too")
    add("--only", action="store_true", help="do not build inputs of other steps")
    add("--allow-holes", action="store_true", default=None, help="let a warm-up window miss sessions")
    add("--dq", choices=("warn", "fail", "off"), help="what data-quality findings do to the exit code")
    lake_arguments(found, "jobs")
    return found


def main(args: Sequence[str] | None = None) -> int:
    """Run a backfill; see `tasks.entry.entry_point`. Returns the exit code that `raypipe run` has."""
    return entry_point(parser(), _flags, _backfill, args)


def _flags(options: argparse.Namespace) -> dict[str, Any]:
    return {"run.dq": options.dq, "run.allow_holes": options.allow_holes}


def _backfill(call: Call) -> int:
    options, config, stop = call.options, call.config, call.stop
    dates, steps = joined(options.dates), joined(options.steps)
    if INGEST in (steps or config.run.steps):
        code, said = acquire_configured(config, (options.start, options.end), progress=_told, stop=stop)
        log.info("ingest: %s", said)
        if code in STOPPING:
            return code
    require_lake(config)
    models = wanted_models(config, steps)
    wish = Wish(options.start, options.end, dates, steps, force=options.force, only=options.only)
    progress = LineProgress(log.info, log.warning)
    record = run_wish(config, wish, Order(call.command, ray_executor, progress, stop, models))
    _summarise(config, record)
    return _make_models(call, record) if models else record.exit_code or 0


def _told(state: ObjectState) -> None:
    """A line for each file that went wrong."""
    if state.state in {"failed", "forbidden"}:
        log.warning("%s %s: %s", state.key, state.state, state.reason)


def _make_models(call: Call, record: RunRecord) -> int:
    """Models after the tables of a record; the search on Ray lives elsewhere, and is looked up by name."""
    run = call.config.run
    order = ModelOrder(
        executor=lambda plan: importlib.import_module("tuning.executor").RaySweep.of(plan, run, default_address()),
        watch=lambda plan: nullcontext(LineWatch(len(plan.jobs) + len(plan.skipped), log.info, log.warning)),
        say=log.info,
        command=call.command,
        stop=call.stop,
    )
    made, code = models_after(call.config, record, order)
    if made is not None:
        log.info("models of %s: %s; page: %s", made.target, made.status, made.page)
    return code


def _summarise(config: Config, record: RunRecord) -> None:
    for table, partition, reason in record.blocked:
        log.warning("%s %s blocked: %s", table, partition, reason)
    if not record.outcomes:
        log.info("nothing to do: everything is current" if not record.exit_code else RESUME)
        return
    said = counted((outcome.status for outcome in record.outcomes), ("built", "failed", "cancelled"))
    seconds = ((record.finished_ns or record.started_ns) - record.started_ns) / 1e9
    log.info("run %s %s: %s in %.0f s", record.run_id, record.status, said, seconds)
    log.info("report: %s/%s", config.lake.location.root, report_key(record.run_id))


if __name__ == "__main__":
    sys.exit(main())
