"""Progress of a search: a table that lives where somebody watches a terminal, else a few lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from raypipe.pipeline.study import StudyJob, StudyOutcome
    from raypipe.pipeline.sweep_plan import SweepPlan
    from raypipe.pipeline.sweep_run import Watch

__all__ = ["LineWatch", "live_watch"]

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


@contextmanager
def live_watch(plan: SweepPlan, warn: Callable[[str], None]) -> Iterator[Watch]:
    """A table of the studies that run, with their best score, above the sum of them all."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[best]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield _LiveWatch(plan, bars, warn)


class _LiveWatch:
    """One bar for all studies, and one for each that runs."""

    def __init__(self, plan: SweepPlan, bars: Progress, warn: Callable[[str], None]) -> None:
        self._bars, self._warn, self._configs = bars, warn, plan.params.n_configs
        self._all = bars.add_task("studies", total=len(plan.jobs) + len(plan.skipped), best="")
        self._own: dict[str, TaskID] = {}
        self._seen: dict[str, float] = {}

    def running(self, job: StudyJob, done: int, best: float | None) -> None:
        """A study goes on."""
        if job.name not in self._own:
            self._own[job.name] = self._bars.add_task(job.name, total=self._configs, best="")
        text = "" if best is None else f"best {best:.4f}"
        self._bars.update(self._own[job.name], completed=done, best=text)

    def ended(self, outcome: StudyOutcome) -> None:
        """A study ended."""
        task = self._own.pop(outcome.name, None)
        if task is not None:
            self._bars.remove_task(task)
        if outcome.value is not None:
            self._seen[outcome.algorithm] = max(outcome.value, self._seen.get(outcome.algorithm, outcome.value))
        best = ", ".join(f"{name} {value:.4f}" for name, value in self._seen.items())
        self._bars.update(self._all, advance=1, best=best)
        for line in troubles(outcome):
            self._warn(line)
