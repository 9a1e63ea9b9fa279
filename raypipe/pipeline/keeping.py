"""The record of a run while the run goes on: what a driver had noted stands in the lake, also if it is killed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from raypipe.errors import StorageError
from raypipe.lake.store import Lake
from raypipe.pipeline.driver import Progress, RunResult
from raypipe.pipeline.job import Outcome
from raypipe.pipeline.memory import peak_rss_bytes
from raypipe.pipeline.record import RunRecord, by_stage, write_record
from raypipe.pipeline.watch import Watch
from raypipe.redact import redact
from raypipe.schema.spec import Table

__all__ = ["EVERY_SECONDS", "Keeper"]

#: Seconds from one writing of a record to the next, at least.
EVERY_SECONDS = 5.0
#: And at least so many times what the last one took: a record of many partitions on S3 may take its while.
_OF_ITS_TIME = 50


class Keeper:
    """Keeps the record of a run in its lake: each state of it replaces the one before, as one object.

    Parameters
    ----------
    lake, record
        Where, and which record; it is filled in place.
    tables
        Declared tables by name.
    clock
        Seconds.
    """

    def __init__(
        self,
        lake: Lake,
        record: RunRecord,
        tables: Mapping[str, Table],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lake, self._record, self._clock = lake, record, clock
        self._watch, self._seen, self._next = Watch(tables), list[Outcome](), 0.0

    def begin(self) -> None:
        """Write the record before the first job, so that a run can be retried whose driver dies."""
        self._write()

    def note(self, progress: Progress) -> None:
        """Note what arrived; write it if the last time is long enough ago."""
        self._seen.extend(outcome.light for outcome in progress.latest)
        self._watch.note(progress.done, progress.latest)
        if self._clock() >= self._next:
            with contextlib.suppress(StorageError):  # the jobs go on, and the end of the run tries again
                self._write()

    def end(self, exit_code: int, result: RunResult | None = None) -> None:
        """Write the record of a run that is over; without a result, of one that was broken off."""
        record, stopped = self._record, result is not None and result.stopped
        record.finished_ns, record.exit_code = time.time_ns(), exit_code
        record.status = "stopped" if stopped else "failed" if exit_code else "done"
        self._write(self._seen if result is None else result.outcomes)

    def _write(self, outcomes: Sequence[Outcome] | None = None) -> None:
        began, record = self._clock(), self._record
        record.outcomes = [_clean(outcome) for outcome in (self._seen if outcomes is None else outcomes)]
        self._watch.fill(record)
        record.peak_rss_bytes, record.stages = peak_rss_bytes(), by_stage(record.outcomes)
        write_record(self._lake, record)
        now = self._clock()
        self._next = now + max(EVERY_SECONDS, _OF_ITS_TIME * (now - began))


def _clean(outcome: Outcome) -> Outcome:
    """An outcome whose error tells no secret."""
    if outcome.error is None:
        return outcome
    values: Mapping[str, str] = {name: redact(value) for name, value in outcome.error.values.items()}
    message, trace = redact(outcome.error.message), redact(outcome.error.trace)
    return replace(outcome, error=replace(outcome.error, message=message, trace=trace, values=values))
