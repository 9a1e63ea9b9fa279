"""What the entry points of ``ray job submit`` share: arguments, configuration, logs, signals, errors and exit codes."""

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
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from raypipe.config import Config, RunParams, load_config
from raypipe.errors import RaypipeError, UsageError
from raypipe.pipeline.failures import describe
from raypipe.redact import RedactingFilter
from tasks.runtime import RayExecutor, default_address

__all__ = [
    "RESUME",
    "SEVERAL",
    "Call",
    "counted",
    "entry_point",
    "joined",
    "lake_arguments",
    "log",
    "new_parser",
    "ray_executor",
    "session_arguments",
    "words_of_text",
]

INTERRUPTED, TERMINATED = 130, 143
RESUME = "finish it with the same command, or with: raypipe retry"
#: Of an argument that takes words with spaces or commas between them, and may be given again; see `joined`.
SEVERAL: dict[str, Any] = {"nargs": "+", "action": "extend", "default": []}

log = logging.getLogger("raypipe.tasks")


# --- arguments ---------------------------------------------------------------------------------


def new_parser(module: str, text: str | None) -> argparse.ArgumentParser:
    """A parser of ``python -m module``, without arguments; the first line of a text says what it does."""
    return argparse.ArgumentParser(f"python -m {module}", description=(text or "").split("\n")[0], allow_abbrev=False)


def session_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--start``, ``--end`` and ``--dates``."""
    add = parser.add_argument
    add("--start", "--start-date", type=_day_of_text, metavar="DATE", help="first session")
    add("--end", "--end-date", type=_day_of_text, metavar="DATE", help="last session")
    add("--dates", type=_dates_of_text, metavar="DATE", help="exactly these sessions", **SEVERAL)


def lake_arguments(parser: argparse.ArgumentParser, what: str, *workers: str) -> None:
    """Add those of every entry point: who works, on which lake, by which configuration.

    Parameters
    ----------
    parser
        Gets them.
    what
        What workers do at a time.
    workers
        Other spellings of ``--workers``.
    """
    add = parser.add_argument
    add("--workers", *workers, type=int, metavar="N", help=f"{what} at a time; one per CPU otherwise")
    add("--address", metavar="ADDRESS", help="local, auto or host:port; auto inside a job, else local")
    add("--root", metavar="LAKE", help="the lake: an absolute folder or s3://bucket/prefix")
    add("--config", type=Path, metavar="FILE", help="configuration instead of ./raypipe.yaml")
    add("--profile", metavar="NAME", help="values of configs/NAME.yaml, before those of ./raypipe.yaml")
    add("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="one configuration value")


def joined(lists: Iterable[Iterable[Any]]) -> tuple[Any, ...]:
    """What was given to an argument of `SEVERAL`, in one row."""
    return tuple(itertools.chain.from_iterable(lists))


def words_of_text(text: str) -> list[str]:
    """Words with commas between them, for `argparse`."""
    return [word for word in text.split(",") if word]


def _dates_of_text(text: str) -> list[dt.date]:
    return [_day_of_text(word) for word in words_of_text(text)]


def _day_of_text(text: str) -> dt.date:
    """``YYYY-MM-DD`` and nothing else."""
    try:
        date = dt.date.fromisoformat(text)
    except ValueError:
        date = None
    if date is None or date.isoformat() != text:
        msg = f"{text!r} is no date; write YYYY-MM-DD"
        raise argparse.ArgumentTypeError(msg)
    return date


# --- the way of an entry point -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """What an entry point was called with.

    Attributes
    ----------
    options
        Its arguments.
    config
        The configuration that they name, with their values.
    command
        The command line that repeats it.
    stop
        Set by Ctrl-C.
    """

    options: argparse.Namespace
    config: Config
    command: str
    stop: threading.Event


def entry_point(
    parser: argparse.ArgumentParser,
    flags: Callable[[argparse.Namespace], Mapping[str, Any]],
    work: Callable[[Call], int],
    args: Sequence[str] | None = None,
) -> int:
    """Do the work of an entry point: signals are heeded, and what goes wrong is one line and an exit code.

    Parameters
    ----------
    parser
        Its arguments, `lake_arguments` among them.
    flags
        The arguments -> values of the configuration that they set, beside those of `lake_arguments`.
    work
        What it does; returns the exit code.
    args
        Arguments; those of the process if None.

    Returns
    -------
    The exit code.
    """
    given = sys.argv[1:] if args is None else list(args)
    options = parser.parse_args(given)
    command = shlex.join([*parser.prog.split(), *given])
    _log_to_stderr()
    stop = _heed_signals()
    try:
        return work(Call(options, _configure(options, flags(options)), command, stop))
    except Exception as error:  # noqa: BLE001 - the last boundary
        return _fail(error)


def _configure(options: argparse.Namespace, flags: Mapping[str, Any]) -> Config:
    """The configuration; Ray, whatever it asks for."""
    run = {"run.executor": "ray", "run.workers": options.workers, "run.address": options.address}
    every = {"lake.root": options.root, **run, **flags}
    config = load_config(options.config, profile=options.profile, sets=options.set, flags=every)
    for warning in config.warnings:
        log.warning("warning: %s", warning)
    _check_root(config)
    return config


def _check_root(config: Config) -> None:
    """Refuse a relative lake: a job runs in a copy of the code that is thrown away, and the lake with it."""
    if config.lake.location.is_local and not Path(config.lake.root).is_absolute():
        msg = f"the lake {config.lake.root!r} is relative to a folder that other nodes do not have"
        raise UsageError(msg, hint="name an absolute folder or s3://bucket/prefix with --root")


def _fail(error: Exception) -> int:
    """What the command line says of an error; the trace of a bug stands here, because a job has no other log."""
    shown = describe(error)
    log.error("error: %s", shown.line)
    if shown.hint:
        log.error("hint: %s", shown.hint)
    if shown.trace and not isinstance(error, RaypipeError | OSError):
        log.error("%s", shown.trace)
    return shown.exit_code


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


# --- what they do and say alike ----------------------------------------------------------------


def ray_executor(_: str, run: RunParams) -> RayExecutor:
    """Ray, whatever the configuration asks for: an executor that is not started yet."""
    address = run.address or default_address()
    log.info("starting on Ray, address %s", address)
    return RayExecutor(address, run.workers)


def counted(found: Iterable[str], states: Sequence[str]) -> str:
    """How many there are of each state, without those of which there are none.

    Examples
    --------
    >>> counted(["failed", "built", "built"], ("built", "failed", "cancelled"))
    '2 built, 1 failed'
    """
    counts = Counter(found)
    return ", ".join(f"{counts[state]} {state}" for state in states if counts[state])
