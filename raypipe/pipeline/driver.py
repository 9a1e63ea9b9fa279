"""The driver's side: run a plan, and count what became of it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from raypipe.pipeline.executor import Executor
from raypipe.pipeline.job import Outcome
from raypipe.pipeline.plan import Plan
from raypipe.pipeline.schedule import Schedule

__all__ = ["Progress", "RunResult", "execute"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: targets done, targets in all, and the outcomes that just arrived."""

    done: int
    total: int
    latest: tuple[Outcome, ...]


@dataclass(slots=True)
class RunResult:
    """What became of a plan.

    Attributes
    ----------
    outcomes
        One per target, in the order in which they ended.
    stopped
        Whether the user stopped the run.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    stopped: bool = False

    def count(self, status: str) -> int:
        """How many targets ended so."""
        return sum(outcome.status == status for outcome in self.outcomes)

    @property
    def failures(self) -> list[Outcome]:
        """Outcomes that are not ``built``."""
        return [outcome for outcome in self.outcomes if outcome.status != "built"]

    @property
    def exit_code(self) -> int:
        """0 all built; 1 some failed; 5 if all failures are of storage or cluster; 130 stopped."""
        if self.stopped:
            return 130
        codes = {outcome.error.exit_code for outcome in self.outcomes if outcome.error and outcome.status == "failed"}
        if not self.failures:
            return 0
        return 5 if codes == {5} else 1


def execute(
    plan: Plan, executor: Executor, *, stop: threading.Event, progress: Callable[[Progress], None] | None = None
) -> RunResult:
    """Build what a plan says.

    Parameters
    ----------
    plan, executor
        What, and who runs it.
    stop
        Set by the user's Ctrl-C: nothing further is started.
    progress
        Called after each job, in this thread.
    """
    result, schedule = RunResult(), Schedule(plan)
    total = sum(len(job.targets) for wave in plan.waves for job in wave)
    for outcomes in itertools.chain(executor.run(schedule, stop), [()]):
        found = schedule.note(outcomes)
        result.outcomes += [outcome.light for outcome in found]
        if found and progress is not None:
            progress(Progress(len(result.outcomes), total, tuple(found)))
    result.stopped = stop.is_set()
    return result
