"""``python -m tasks.backfill``: `raypipe run` on Ray, the entry point for ``ray job submit``.

::

    ray job submit --working-dir . -- python -m tasks.backfill --root s3://my-lake --start 2022-01-03 --end 2022-12-30

It takes the options of `raypipe run`, and always uses Ray: inside a job the job's cluster, elsewhere a Ray of its own.
"""

from __future__ import annotations

import argparse
import datetime as dt
import itertools
import logging
import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from raypipe.config import Config, RunParams, load_config
from raypipe.errors import RaypipeError, UnavailableError, UsageError
from raypipe.pipeline.progress import LineProgress
from raypipe.pipeline.record import RunRecord
from raypipe.pipeline.session import Order, Wish, require_lake, run_wish
from raypipe.pipeline.views import report_key
from raypipe.redact import RedactingFilter
from tasks.cluster import default_address
from tasks.runtime import RayExecutor

__all__ = ["check_root", "dates_of_text", "day_of_text", "entry_point", "log", "main", "parser", "ray_executor"]

INTERRUPTED, TERMINATED = 130, 143
RESUME = "finish it with the same command, or with: raypipe retry"

log = logging.getLogger("raypipe.backfill")


def parser() -> argparse.ArgumentParser:
    """The arguments: those of `raypipe run` that mean something here."""
    found = argparse.ArgumentParser("python -m tasks.backfill", description=__doc__.split("\n")[0], allow_abbrev=False)
    add = found.add_argument
    add("--start", "--start-date", type=day_of_text, metavar="DATE", help="first session")
    add("--end", "--end-date", type=day_of_text, metavar="DATE", help="last session")
    several: dict[str, Any] = {"nargs": "+", "action": "extend", "default": []}
    add("--dates", type=dates_of_text, metavar="DATE", help="exactly these sessions", **several)
    add("--steps", type=_words, metavar="STEP", help="only these steps, and the stale inputs that they need", **several)
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


def entry_point(work: Callable[[threading.Event], int]) -> int:
    """Do the work of an entry point: signals are heeded, and what goes wrong is one line and an exit code.

    Parameters
    ----------
    work
        Gets the event that Ctrl-C sets; returns the exit code.
    """
    _log_to_stderr()
    stop = _heed_signals()
    try:
        return work(stop)
    except RaypipeError as error:
        log.error("error: %s", error)  # noqa: TRY400 - a traceback would hide the one line that matters
        return error.exit_code
    except OSError as error:
        log.error("error: %s", error)  # noqa: TRY400
        return UnavailableError.exit_code
    except Exception:  # noqa: BLE001 - the last boundary
        log.error("a bug in raypipe:\n%s", traceback.format_exc())  # noqa: TRY400 - redacted as one text
        return 1


def _backfill(options: argparse.Namespace, command: str, stop: threading.Event) -> int:
    config = _configure(options)
    check_root(config)
    require_lake(config)
    dates, steps = (tuple(itertools.chain.from_iterable(lists)) for lists in (options.dates, options.steps))
    wish = Wish(options.start, options.end, dates, steps, force=options.force, only=options.only)
    record = run_wish(config, wish, Order(command, ray_executor, LineProgress(log.info, log.warning), stop))
    _summarise(config, record)
    return record.exit_code or 0


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


def check_root(config: Config) -> None:
    """Refuse a relative lake: a job runs in a copy of the code that is thrown away, and the lake with it.

    Raises
    ------
    UsageError
        If the lake is a folder named relatively.
    """
    if config.lake.location.is_local and not Path(config.lake.root).is_absolute():
        msg = f"the lake {config.lake.root!r} is relative to a folder that other nodes do not have"
        raise UsageError(msg, hint="name an absolute folder or s3://bucket/prefix with --root")


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


# --- the process -----------------------------------------------------------------------------------


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.addFilter(RedactingFilter())
    root = logging.getLogger("raypipe")
    root.handlers, root.propagate = [handler], False
    root.setLevel(logging.INFO)


def _heed_signals() -> threading.Event:
    """SIGTERM ends at once: Ray kills a stopped job after three seconds, and nothing needs cleaning up for the lake."""
    stop = threading.Event()

    def terminate(_: int, __: FrameType | None) -> None:
        _leave(TERMINATED, f"terminated; {RESUME}")

    def interrupt(_: int, __: FrameType | None) -> None:
        if stop.is_set():
            _leave(INTERRUPTED, f"interrupted; {RESUME}")
        stop.set()
        os.write(2, b"stopping: what is in flight is finished first, Ctrl-C again exits now\n")

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, terminate)
        signal.signal(signal.SIGINT, interrupt)
    return stop


def _leave(code: int, text: str) -> NoReturn:
    os.write(2, f"{text}\n".encode())
    os._exit(code)


def day_of_text(text: str) -> dt.date:
    """``YYYY-MM-DD`` and nothing else, for `argparse`."""
    try:
        date = dt.date.fromisoformat(text)
    except ValueError:
        date = None
    if date is None or date.isoformat() != text:
        msg = f"{text!r} is no date; write YYYY-MM-DD"
        raise argparse.ArgumentTypeError(msg)
    return date


def dates_of_text(text: str) -> list[dt.date]:
    """Dates with commas between them, for `argparse`."""
    return [day_of_text(word) for word in _words(text)]


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


if __name__ == "__main__":
    sys.exit(main())
