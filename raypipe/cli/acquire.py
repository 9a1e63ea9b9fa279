"""Acquiring files as the first step of a run, and what is said of files while they come."""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from typing import TYPE_CHECKING

from raypipe.cli.app import App
from raypipe.cli.interrupts import graceful

if TYPE_CHECKING:
    from raypipe.acquisition.acquire import ObjectState
    from raypipe.config import Config

__all__ = ["FileWatch", "acquire_first", "counted"]


def acquire_first(app: App, config: Config, start: dt.date | None, end: dt.date | None) -> int:
    """The step `ingest` of a run; its exit code."""
    from raypipe.pipeline.intake import acquire_configured

    with graceful("the same command goes on where it stopped") as stop:
        code, said = acquire_configured(config, (start, end), progress=FileWatch(app), stop=stop)
    app.notes.info(f"ingest: {said}")
    return code


class FileWatch:
    """A line for each file that went wrong, and now and then how far things are."""

    SECONDS = 10.0

    def __init__(self, app: App) -> None:
        self._app, self._counts, self._last = app, Counter[str](), time.monotonic()

    def __call__(self, state: ObjectState) -> None:
        """A file came, or did not."""
        self._counts[state.state] += 1
        if state.state in {"failed", "forbidden"}:
            self._app.notes.warning(f"{state.key} {state.state}: {state.reason}")
        if time.monotonic() - self._last >= self.SECONDS:
            self._last = time.monotonic()
            self._app.notes.info(counted(self._counts))


def counted(counts: Counter[str] | dict[str, int]) -> str:
    """Files by state, in words."""
    return ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in counts.items()) or "no files"
