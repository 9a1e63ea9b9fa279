"""Progress of a run: a bar where somebody watches a terminal, else a few lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from raypipe.cli.app import App
from raypipe.cli.present import safe
from raypipe.redact import redact

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from raypipe.pipeline.driver import Progress
    from raypipe.pipeline.plan import Plan
    from raypipe.pipeline.session import Observer

__all__ = ["counter", "observer"]


@contextmanager
def observer(app: App) -> Iterator[Observer]:
    """Something that shows how a run goes, as the options and the terminal want it."""
    from raypipe.pipeline.progress import LineProgress

    lines = LineProgress(app.notes.info, app.notes.warning)
    if not app.bars:
        yield lines
        return
    with _bar() as bar:
        yield _BarProgress(bar)


@contextmanager
def counter(app: App, doing: str) -> Iterator[Callable[[int, int], None]]:
    """Something that counts partitions, done and in all, for commands that build nothing."""
    from raypipe.pipeline.driver import Progress
    from raypipe.pipeline.progress import LineProgress

    if not app.bars:
        lines = LineProgress(app.notes.info, app.notes.warning)
        yield lambda done, total: lines.progress(Progress(done, total, ()))
        return
    with _bar() as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _bar() -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


class _BarProgress:
    """A bar; failures are printed above it."""

    def __init__(self, bar: RichProgress) -> None:
        self._bar = bar
        self._task = bar.add_task("starting", total=None)

    def planned(self, plan: Plan, executor: str, workers: int) -> None:
        """The run starts."""
        self._bar.update(self._task, description=f"{executor} x {workers}", total=len(plan.to_build))

    def progress(self, progress: Progress) -> None:
        """A job ended."""
        from rich.text import Text

        from raypipe.pipeline.progress import failure_line

        for outcome in progress.latest:
            if outcome.status == "failed" and outcome.error:
                line = failure_line(outcome.table, outcome.partition, outcome.error.message)
                self._bar.console.print(Text(safe(redact(line)), style="red"))
        self._bar.update(self._task, completed=progress.done, total=progress.total)
