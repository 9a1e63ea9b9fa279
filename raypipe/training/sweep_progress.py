"""Progress of a search as a few lines, for those who read logs."""

from __future__ import annotations

import time
from collections.abc import Callable

from raypipe.training.study import StudyJob, StudyOutcome

__all__ = ["LineWatch", "troubles"]

#: Seconds: no two lines are closer than the first, and none is missing for longer than the second.
SHORTEST, LONGEST = 10.0, 60.0
STEP = 0.1


class LineWatch:
    """Lines: failures at once, the rest once per tenth of the studies.

    Parameters
    ----------
    total
        Studies in all.
    say, warn
        Take one line of information, or of failure.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self,
        total: int,
        say: Callable[[str], None],
        warn: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total, self._say, self._warn, self._clock = total, say, warn, clock
        self._done, self._last, self._next_share = 0, clock(), STEP

    def running(self, job: StudyJob, done: int, best: float | None) -> None:
        """A study goes on; said if nothing was said for long."""
        if self._clock() - self._last >= LONGEST:
            self._last = self._clock()
            score = "" if best is None else f", best {best:.4f}"
            self._say(f"{self._done} of {self._total} studies; {job.name}: {done} configurations{score}")

    def ended(self, outcome: StudyOutcome) -> None:
        """A study ended."""
        self._done += 1
        for line in troubles(outcome):
            self._warn(line)
        share = self._done / max(self._total, 1)
        due = self._clock() - self._last >= SHORTEST and share >= self._next_share
        if due and self._done < self._total:
            self._last, self._next_share = self._clock(), share + STEP
            self._say(f"{self._done} of {self._total} studies ({share:.0%})")


def troubles(outcome: StudyOutcome) -> list[str]:
    """What is worth a warning of a study that ended."""
    bad = [f"{outcome.name} {outcome.status}: {outcome.reason}"] if outcome.status in {"failed", "skipped"} else []
    return [*outcome.warnings, *bad]
