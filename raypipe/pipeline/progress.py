"""Progress as plain lines, for logs: few of them, whatever the number of jobs."""

from __future__ import annotations

import time
from collections.abc import Callable

from raypipe.pipeline.driver import Progress
from raypipe.pipeline.plan import Plan

__all__ = ["LineProgress", "failure_line"]

#: Seconds: no two progress lines are closer than the first, and none is missing for longer than the second.
SHORTEST, LONGEST = 10.0, 60.0
STEP = 0.1
#: Failures reported one by one; the record has them all.
MAX_FAILURES = 20


class LineProgress:
    """Turns the progress of a run into lines: one per tenth of the work, at most one in ten seconds.

    Parameters
    ----------
    say, warn
        Take one line of information, or of failure.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self, say: Callable[[str], None], warn: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._say, self._warn, self._clock = say, warn, clock
        self._last, self._next_share, self._failures = clock(), STEP, 0

    def planned(self, plan: Plan, executor: str, workers: int) -> None:
        """The run starts."""
        jobs = sum(len(wave) for wave in plan.waves)
        self._say(
            f"building {len(plan.to_build)} partitions in {jobs} jobs, about {plan.cost:.0f} CPU-s, "
            f"executor {executor} with {workers} worker{'s' if workers != 1 else ''}"
        )

    def progress(self, progress: Progress) -> None:
        """A job ended."""
        for outcome in progress.latest:
            if outcome.status == "failed" and outcome.error:
                self._failed(failure_line(outcome.table, outcome.partition, outcome.error.message))
        share, waited = progress.done / max(progress.total, 1), self._clock() - self._last
        if progress.done < progress.total and waited >= (SHORTEST if share >= self._next_share else LONGEST):
            self._last, self._next_share = self._clock(), share + STEP
            self._say(f"{progress.done} of {progress.total} partitions ({share:.0%})")

    def _failed(self, line: str) -> None:
        self._failures += 1
        if self._failures <= MAX_FAILURES:
            self._warn(line)
        if self._failures == MAX_FAILURES:
            self._warn("further failures are not shown one by one; the run's record has them all")


def failure_line(table: str, partition: str, message: str) -> str:
    """One line about one failed partition."""
    return f"{table} {partition} failed: {message}"
