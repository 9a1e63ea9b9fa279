"""The driver's side: run a plan wave by wave, hold back what depends on a failure, keep the run's record."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from raypipe.pipeline.executor import Executor
from raypipe.pipeline.job import Failure, Job, Outcome, Target, failed_outcomes
from raypipe.pipeline.plan import Plan

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
    result = RunResult()
    total = sum(len(job.targets) for wave in plan.waves for job in wave)
    failed: set[tuple[str, str]] = set()
    for wave in plan.waves:
        for outcomes in _run_wave(wave, failed, executor, stop):
            result.outcomes += [outcome.light for outcome in outcomes]
            failed |= {(o.table, o.partition) for o in outcomes if o.status != "built"}
            if progress is not None:
                progress(Progress(len(result.outcomes), total, tuple(outcomes)))
    result.stopped = stop.is_set()
    return result


def _run_wave(
    wave: tuple[Job, ...], failed: set[tuple[str, str]], executor: Executor, stop: threading.Event
) -> Iterator[list[Outcome]]:
    ready = []
    for job in wave:
        held = _held(job, failed)
        for target, (table, partition) in held:
            failure = Failure("BlockedError", f"{table} {partition} failed", {"table": table, "partition": partition})
            yield failed_outcomes((target,), failure, "blocked")
        rest = job.without({(target.stage, target.partition) for target, _ in held})
        if rest.targets:
            ready.append(rest)
    if ready:
        yield from executor.run(ready, stop)


def _held(job: Job, failed: set[tuple[str, str]]) -> list[tuple[Target, tuple[str, str]]]:
    """Targets that cannot be built, and why: an input failed before, or is itself held back in this job."""
    held: list[tuple[Target, tuple[str, str]]] = []
    bad = set(failed)
    for target in job.targets:
        cause = _cause(target, bad)
        if cause:
            held.append((target, cause))
            bad.add((target.table, target.partition))
    return held


def _cause(target: Target, failed: set[tuple[str, str]]) -> tuple[str, str] | None:
    return next((bad for bad in sorted(failed) for span in target.needs if span.covers(*bad)), None)
