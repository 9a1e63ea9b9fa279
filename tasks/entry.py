"""What the entry points of ``ray job submit`` share: logs, signals, exit codes, and arguments that are read alike."""

from __future__ import annotations

import argparse
import datetime as dt
import logging
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

from raypipe.config import Config
from raypipe.errors import RaypipeError, UsageError
from raypipe.pipeline.failures import describe
from raypipe.redact import RedactingFilter

__all__ = ["RESUME", "check_root", "dates_of_text", "day_of_text", "entry_point", "log", "words_of_text"]

INTERRUPTED, TERMINATED = 130, 143
RESUME = "finish it with the same command, or with: raypipe retry"

log = logging.getLogger("raypipe.tasks")


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
    except Exception as error:  # noqa: BLE001 - the last boundary
        return _fail(error)


def _fail(error: Exception) -> int:
    """What the command line says of an error; the trace of a bug stands here, because a job has no other log."""
    shown = describe(error)
    log.error("error: %s", shown.line)
    if shown.hint:
        log.error("hint: %s", shown.hint)
    if shown.trace and not isinstance(error, RaypipeError | OSError):
        log.error("%s", shown.trace)
    return shown.exit_code


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
    return [day_of_text(word) for word in words_of_text(text)]


def words_of_text(text: str) -> list[str]:
    """Words with commas between them, for `argparse`."""
    return [word for word in text.split(",") if word]
