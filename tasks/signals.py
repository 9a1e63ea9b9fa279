"""``python -m tasks.signals``: `raypipe signals` on Ray, the entry point for ``ray job submit``.

::

    ray job submit --working-dir . -- python -m tasks.signals --root s3://my-lake --start-date 2026-01-05 --num-cpus 8

It takes the options of `raypipe signals`, and always uses Ray: in a job the cluster of the job, elsewhere its own.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from raypipe.errors import UsageError
from raypipe.pipeline.progress import LineProgress
from raypipe.pipeline.session import Order, require_lake, run_plan
from raypipe.pipeline.signals import SignalSessions, Wanted
from raypipe.pipeline.signals_run import Summary, run_signals
from tasks.entry import Call, entry_point, joined, lake_arguments, log, new_parser, ray_executor, session_arguments

__all__ = ["main", "parser"]


def parser() -> argparse.ArgumentParser:
    """The arguments: those of `raypipe signals` that mean something here."""
    found = new_parser("tasks.signals", __doc__)
    add = found.add_argument
    session_arguments(found)
    add("--dry-run", action="store_true", help="list each session and why it would be built; start nothing")
    add("--force", action="store_true", help="build silver and gold of the sessions again, never bronze")
    add("--cadence", choices=("event", "bar"), help="touches by trades, or by one-minute bars")
    add("--json", action="store_true", help="one JSON document on standard output")
    lake_arguments(found, "sessions", "--num-cpus")
    return found


def main(args: Sequence[str] | None = None) -> int:
    """Build signals; see `tasks.entry.entry_point`. Returns the exit code that `raypipe signals` has."""
    return entry_point(parser(), lambda options: {"signals.touch.cadence": options.cadence}, _signals, args)


def _signals(call: Call) -> int:
    options, config = call.options, call.config
    require_lake(config)
    sessions = SignalSessions(config, Wanted(options.start, options.end, joined(options.dates)))
    if options.dry_run:
        return _list(sessions, as_json=options.json)
    order = Order(call.command, ray_executor, LineProgress(log.info, log.warning), call.stop)
    sessions, found = run_signals(sessions, lambda plan: run_plan(config, plan, order), force=options.force)
    for warning in (text for one in sessions.states for text in one.warnings):
        log.warning("warning: %s", warning)
    _tell(found, as_json=options.json)
    return found.exit_code


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
