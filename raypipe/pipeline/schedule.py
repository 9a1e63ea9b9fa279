"""Which job may start: each as soon as what it reads has ended, in the order of the plan."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter

from raypipe.pipeline.job import Failure, Job, Outcome, Target, failed_outcomes
from raypipe.pipeline.plan import Plan

__all__ = ["Schedule"]

Key = tuple[str, str]
_partition = itemgetter(0)


class Schedule:
    """The jobs of a plan, each as soon as what it reads has ended.

    Waves would leave workers idle at the end of each: the last job of one has to end before the next begins.

    Parameters
    ----------
    plan
        The plan. A job waits for jobs of earlier waves only, so that the first always may start.
    """

    def __init__(self, plan: Plan) -> None:
        self._jobs = [job for wave in plan.waves for job in wave]
        self._job_of = {(t.table, t.partition): i for i, job in enumerate(self._jobs) for t in job.targets}
        self._left = [len(job.targets) for job in self._jobs]
        self._waits = _waits(plan)
        self._followers: dict[int, list[int]] = defaultdict(list)
        for job, others in enumerate(self._waits):
            for other in others:
                self._followers[other].append(job)
        self._ready = [job for job, others in enumerate(self._waits) if not others]
        self._failed: set[Key] = set()
        self._held: list[Outcome] = []

    def __iter__(self) -> Iterator[Job | None]:
        """Jobs as they may start; None if the next has to wait for one that was given before."""
        for _ in self._jobs:
            while not self._ready:
                yield None
            job = self._without_held(self._jobs[heapq.heappop(self._ready)])
            if job.targets:
                yield job

    def note(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Take in what became of some targets; returns it, and those that were held back in the meantime."""
        for outcome in outcomes:
            self._ended(outcome.table, outcome.partition, built=outcome.status == "built")
        held, self._held = self._held, []
        return [*outcomes, *held]

    def _ended(self, table: str, partition: str, *, built: bool) -> None:
        if not built:
            self._failed.add((table, partition))
        job = self._job_of[table, partition]
        self._left[job] -= 1
        for follower in self._followers[job] if not self._left[job] else ():
            self._waits[follower].discard(job)
            if not self._waits[follower]:
                heapq.heappush(self._ready, follower)

    def _without_held(self, job: Job) -> Job:
        """The job less the targets that cannot be built because an input failed; these have ended."""
        held = _held(job, self._failed)
        for target, (table, partition) in held:
            failure = Failure("BlockedError", f"{table} {partition} failed", {"table": table, "partition": partition})
            self._held += failed_outcomes((target,), failure, "blocked")
            self._ended(target.table, target.partition, built=False)
        return job.without({(target.stage, target.partition) for target, _ in held})


def _waits(plan: Plan) -> list[set[int]]:
    """Per job, the jobs of earlier waves that build what it needs."""
    made: dict[str, list[tuple[str, int]]] = defaultdict(list)
    found: list[set[int]] = []
    for wave in plan.waves:
        first = len(found)
        found += [_makers(job, made) for job in wave]
        for number, job in enumerate(wave, first):
            for target in job.targets:
                made[target.table].append((target.partition, number))
        for partitions in made.values():
            partitions.sort()
    return found


def _makers(job: Job, made: Mapping[str, list[tuple[str, int]]]) -> set[int]:
    """The jobs that build what a job needs; ``made`` has, per table, its partitions and who builds them, sorted."""
    found: set[int] = set()
    for span in {span for target in job.targets for span in target.needs}:
        there = made.get(span.table, [])
        borders = bisect_left(there, span.first, key=_partition), bisect_right(there, span.last, key=_partition)
        found.update(number for _, number in there[slice(*borders)])
    return found


def _held(job: Job, failed: set[Key]) -> list[tuple[Target, Key]]:
    """Targets that cannot be built, and why: an input failed before, or is itself held back in this job."""
    held: list[tuple[Target, Key]] = []
    bad = set(failed)
    for target in job.targets:
        cause = _cause(target, bad)
        if cause:
            held.append((target, cause))
            bad.add((target.table, target.partition))
    return held


def _cause(target: Target, failed: set[Key]) -> Key | None:
    return next((bad for bad in sorted(failed) for span in target.needs if span.covers(*bad)), None)
