"""Progress of a search as a table that lives where somebody watches a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from raypipe.training.sweep_progress import troubles

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from raypipe.training.study import StudyJob, StudyOutcome
    from raypipe.training.sweep_plan import SweepPlan
    from raypipe.training.sweep_run import Watch

__all__ = ["live_watch"]


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
