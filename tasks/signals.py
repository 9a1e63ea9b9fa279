"""``python -m tasks.signals``: `raypipe signals` on Ray, the entry point for ``ray job submit``.

::

    ray job submit --working-dir . -- python -m tasks.signals --root s3://my-lake --start-date 2026-01-05 --num-cpus 8

It takes the options of `raypipe signals`, and always uses Ray: in a job the cluster of the job, elsewhere its own.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shlex
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from raypipe.config import Config, load_config
from raypipe.errors import UsageError
from raypipe.pipeline.progress import LineProgress
from raypipe.pipeline.session import Order, require_lake, run_plan
from raypipe.pipeline.signals import SignalSessions, Wanted
from raypipe.pipeline.signals_run import Summary, run_signals
from tasks.backfill import ray_executor
from tasks.entry import check_root, dates_of_text, day_of_text, entry_point, log

__all__ = ["main", "parser"]


def parser() -> argparse.ArgumentParser:
    """The arguments: those of `raypipe signals` that mean something here."""
    found = argparse.ArgumentParser("python -m tasks.signals", description=__doc__.split("\n")[0], allow_abbrev=False)
    add = found.add_argument
    add("--start", "--start-date", type=day_of_text, metavar="DATE", help="first session")
    add("--end", "--end-date", type=day_of_text, metavar="DATE", help="last session")
    several: dict[str, Any] = {"nargs": "+", "action": "extend", "default": []}
    add("--dates", type=dates_of_text, metavar="DATE", help="exactly these sessions", **several)
    add("--dry-run", action="store_true", help="list each session and why it would be built; start nothing")
    add("--force", action="store_true", help="build silver and gold of the sessions again, never bronze")
    add("--cadence", choices=("event", "bar"), help="touches by trades, or by one-minute bars")
    add("--workers", "--num-cpus", type=int, metavar="N", help="sessions at a time; one per CPU otherwise")
    add("--address", metavar="ADDRESS", help="local, auto or host:port; auto inside a job, else local")
    add("--root", metavar="LAKE", help="the lake: an absolute folder or s3://bucket/prefix")
    add("--config", type=Path, metavar="FILE", help="configuration instead of ./raypipe.yaml")
    add("--profile", metavar="NAME", help="values of configs/NAME.yaml, before those of ./raypipe.yaml")
    add("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="one configuration value")
    add("--json", action="store_true", help="one JSON document on standard output")
    return found


def main(args: Sequence[str] | None = None) -> int:
    """Build signals.

    Parameters
    ----------
    args
        Arguments; those of the process if None.

    Returns
    -------
    The exit code, as `raypipe signals` has it.
    """
    given = sys.argv[1:] if args is None else list(args)
    options = parser().parse_args(given)
    command = shlex.join(["python", "-m", "tasks.signals", *given])
    return entry_point(lambda stop: _signals(options, command, stop))


def _signals(options: argparse.Namespace, command: str, stop: threading.Event) -> int:
    config = _configure(options)
    check_root(config)
    require_lake(config)
    dates = tuple(itertools.chain.from_iterable(options.dates))
    sessions = SignalSessions(config, Wanted(options.start, options.end, dates))
    if options.dry_run:
        return _list(sessions, as_json=options.json)
    order = Order(command, ray_executor, LineProgress(log.info, log.warning), stop)
    sessions, found = run_signals(sessions, lambda plan: run_plan(config, plan, order), force=options.force)
    for warning in (text for one in sessions.states for text in one.warnings):
        log.warning("warning: %s", warning)
    _tell(found, as_json=options.json)
    return found.exit_code


def _configure(options: argparse.Namespace) -> Config:
    flags = {
        "lake.root": options.root,
        "run.executor": "ray",
        "run.workers": options.workers,
        "run.address": options.address,
        "signals.touch.cadence": options.cadence,
    }
    config = load_config(options.config, profile=options.profile, sets=options.set, flags=flags)
    for warning in config.warnings:
        log.warning("warning: %s", warning)
    return config


def _list(sessions: SignalSessions, *, as_json: bool) -> int:
    if as_json:
        sys.stdout.write(json.dumps({"schema": 1, "sessions": [asdict(one) for one in sessions.listed]}) + "\n")
    for one in sessions.listed:
        log.info("%s %s %s", one.session, one.state, "; ".join((one.why, *one.warnings)).strip("; "))
    return 0 if any(one.buildable for one in sessions.listed) else UsageError.exit_code


def _tell(found: Summary, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps({"schema": 1, **found.to_dict()}) + "\n")
    for key, why in found.failed.items():
        log.error("%s failed: %s", key, why)
    counts = len(found.done), len(found.current), len(found.failed), found.rows
    log.info("sessions: %d done, %d current, %d failed; %d rows", *counts)


if __name__ == "__main__":
    sys.exit(main())
