"""Ctrl-C and SIGTERM. Nothing needs to be cleaned up for the lake to be right; this is only about being polite."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["RESUME", "graceful", "terminable"]

RESUME = "resume with: raypipe retry"
INTERRUPTED, TERMINATED = 130, 143


@contextmanager
def graceful(resume: str = RESUME) -> Iterator[threading.Event]:
    """First Ctrl-C: the event is set and what is in flight may finish. Second: the process ends at once.

    Parameters
    ----------
    resume
        What the user is told.
    """
    stop = threading.Event()

    def interrupt(_: int, __: FrameType | None) -> None:
        if stop.is_set():
            _leave(INTERRUPTED, f"interrupted; {resume}")
        stop.set()
        _say(f"stopping: what is in flight is finished first, Ctrl-C again exits now; {resume}")

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    _quiet_tracker()
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM ends the process at once with 143: schedulers wait about three seconds before they kill."""

    def terminate(_: int, __: FrameType | None) -> None:
        _leave(TERMINATED, f"terminated; {RESUME}")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _quiet_tracker() -> None:
    """Python's resource tracker outlives a process that ends at once, and warns of what it then tidies up."""
    option = "ignore:resource_tracker:UserWarning"
    if option not in sys.warnoptions:
        sys.warnoptions.append(option)  # handed on to the tracker when it is started


def _say(text: str) -> None:
    """Straight to the descriptor: a signal may arrive in the middle of another write to the stream."""
    os.write(2, f"{text}\n".encode())


def _leave(code: int, text: str) -> None:
    _say(text)
    os._exit(code)
