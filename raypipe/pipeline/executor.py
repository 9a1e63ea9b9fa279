"""Executors run jobs and yield what became of them. They decide where, never what.

`Serial` and `Process` live here; the Ray executor lives in ``tasks.runtime``. One contract suite runs against
all of them, and the lake they leave is byte-identical.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from types import TracebackType
from typing import Protocol, Self

from raypipe.pipeline.job import Failure, Job, Outcome, failed_outcomes
from raypipe.pipeline.work import run_job_json

__all__ = ["THREAD_CAPS", "Executor", "Line", "Process", "Serial", "read_outcomes", "start_worker"]

_THREAD_POOLS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "ARROW_IO_THREADS",
)
#: One owner of parallelism: jobs are the parallel axis, so every thread pool inside a worker has one thread.
THREAD_CAPS = dict.fromkeys(_THREAD_POOLS, "1")
#: A job whose worker dies this often is given up.
MAX_ATTEMPTS = 3


class Executor(Protocol):
    """Runs jobs.

    ``run`` yields the outcomes of each job as it ends, in any order, one list per job; a job that kills its
    worker is tried `MAX_ATTEMPTS` times and then reported as failed. When ``stop`` is set no further job is
    started; those not started are reported as cancelled.

    Among the jobs may be None: the next has to wait for outcomes of jobs given before, so it is asked for again
    when some were yielded.
    """

    name: str
    workers: int

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def run(self, jobs: Iterable[Job | None], stop: threading.Event) -> Iterator[list[Outcome]]:
        """Run the jobs, each as soon as it is given and there is room."""
        ...


class Line:
    """Jobs that come when they may start, and a look at the next.

    Parameters
    ----------
    jobs
        As an executor is given them.
    """

    def __init__(self, jobs: Iterable[Job | None]) -> None:
        self._jobs = iter(jobs)
        self._next: Job | None = None
        self.over = False

    @property
    def head(self) -> Job | None:
        """The next job; None if there is none, or none yet."""
        if self._next is None and not self.over:
            try:
                self._next = next(self._jobs)
            except StopIteration:
                self.over = True
        return self._next

    def take(self) -> Job:
        """The head, which leaves the line."""
        job, self._next = self.head, None
        assert job is not None
        return job

    def clear(self) -> Iterator[Job]:
        """Every job that may start, one by one; more may come when these have ended."""
        while self.head:
            yield self.take()


def read_outcomes(text: str) -> list[Outcome]:
    """Read what `run_job_json` returned."""
    import json

    return [Outcome.from_dict(raw) for raw in json.loads(text)]


def cancelled(job: Job) -> list[Outcome]:
    """The outcomes of a job that was never started."""
    return failed_outcomes(
        job.targets, Failure("Cancelled", "the run was stopped before this was started"), "cancelled"
    )


def given_up(job: Job, attempts: int) -> list[Outcome]:
    """The outcomes of a job that keeps killing its worker."""
    message = f"the worker died {attempts} times while building this; it may need more memory"
    return failed_outcomes(job.targets, Failure("WorkerDied", message))


def parts(job: Job) -> list[Job]:
    """A job cut into one per partition: the stages of one session may need each other, those of two do not."""
    keys = dict.fromkeys(target.partition for target in job.targets)
    return [replace(job, targets=tuple(t for t in job.targets if t.partition == key)) for key in keys]


class Serial:
    """Runs jobs one after the other in this process.

    Parameters
    ----------
    task
        What runs a job: its text -> the text of its outcomes.
    """

    name = "serial"
    workers = 1

    def __init__(self, task: Callable[[str], str] = run_job_json) -> None:
        self._task = task

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def run(self, jobs: Iterable[Job | None], stop: threading.Event) -> Iterator[list[Outcome]]:
        """Run the jobs in the order given."""
        for job in Line(jobs).clear():
            yield cancelled(job) if stop.is_set() else read_outcomes(self._task(job.to_json()))


class Process:
    """Runs jobs in worker processes of this machine.

    Parameters
    ----------
    workers
        How many processes.
    memory
        Bytes that the jobs in flight may need together; a job that needs more runs alone.
    task
        What runs a job: its text -> the text of its outcomes. A module-level function, so that it travels by name.
    """

    name = "process"

    def __init__(self, workers: int, memory: int | None = None, *, task: Callable[[str], str] = run_job_json) -> None:
        self.workers = workers
        self._task = task
        self._memory = memory or _machine_memory() * 4 // 5
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._discard_pool()

    def run(self, jobs: Iterable[Job | None], stop: threading.Event) -> Iterator[list[Outcome]]:
        """Run the jobs in the order given, with no more in flight than workers and memory allow."""
        line, suspects = Line(jobs), list[Job]()
        while line.head or not line.over:
            yield from self._flight(line, stop, suspects)
            # Whoever was in flight when a worker died is a suspect; alone, only the culprit fails again.
            while suspects:
                yield from self._alone(suspects.pop(0), stop)

    def _flight(self, line: Line, stop: threading.Event, suspects: list[Job]) -> Iterator[list[Outcome]]:
        flying: dict[Future[str], Job] = {}
        while line.head or flying:
            self._fill(line, flying, stop)
            if stop.is_set():
                yield from map(cancelled, line.clear())
            landed = wait(flying, return_when=FIRST_COMPLETED).done
            if any(isinstance(future.exception(), BrokenProcessPool) for future in landed):
                self._discard_pool()
                landed = set(flying)  # one dead worker ends the pool and every flight in it
            for future in landed:
                job = flying.pop(future)
                if isinstance(future.exception(), BrokenProcessPool):
                    suspects.append(job)
                else:
                    yield read_outcomes(future.result())

    def _fill(self, line: Line, flying: dict[Future[str], Job], stop: threading.Event) -> None:
        while line.head and self._fits(line.head, flying) and not stop.is_set():
            try:
                future = self._executor().submit(self._task, line.head.to_json())
            except BrokenProcessPool:
                # A worker died since the last look. With flights in the air they will say so; an idle pool is replaced.
                if flying:
                    return
                self._discard_pool()
            else:
                flying[future] = line.take()

    def _alone(self, job: Job, stop: threading.Event) -> Iterator[list[Outcome]]:
        """Try a suspect as it is, and if its worker dies again, each of its partitions by itself."""
        found = self._attempt(job, stop)
        if found is not None:
            yield found
            return
        for part in parts(job):
            found = self._attempt(part, stop)
            yield given_up(part, MAX_ATTEMPTS) if found is None else found

    def _attempt(self, job: Job, stop: threading.Event) -> list[Outcome] | None:
        """The outcomes, or None if the worker died."""
        if stop.is_set():
            return cancelled(job)
        try:
            return read_outcomes(self._executor().submit(self._task, job.to_json()).result())
        except BrokenProcessPool:
            self._discard_pool()
            return None

    def _fits(self, job: Job, flying: dict[Future[str], Job]) -> bool:
        used = sum(other.memory for other in flying.values())
        return not flying or (len(flying) < self.workers and used + job.memory <= self._memory)

    def _executor(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self.workers, get_context("spawn"), initializer=start_worker)
        return self._pool

    def _discard_pool(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


def start_worker() -> None:
    """Prepare a worker: thread caps before any library reads them, Ctrl-C left to the driver, die with it."""
    os.environ.update(THREAD_CAPS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()


def _die_with_parent() -> None:
    """Ask Linux to end this worker when the driver is killed; elsewhere it ends at its next job."""
    with contextlib.suppress(OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)


def _machine_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
