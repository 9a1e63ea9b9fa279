"""Who runs the studies of a sweep: this process, several of this machine, or somebody who is asked to.

Executors decide where a study runs, never what it does; the journals that they leave are the same.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol

from raypipe.errors import RaypipeError
from raypipe.pipeline.executor import MAX_ATTEMPTS, start_worker
from raypipe.training.journal import ConfigResult, journal_progress
from raypipe.training.study import StudyJob, StudyOutcome, run_study
from raypipe.training.study_data import StudyData
from raypipe.training.sweep_plan import StudyQueue, SweepPlan

__all__ = ["ProcessSweep", "SerialSweep", "SweepExecutor", "Watch", "attempt_study"]

#: Seconds between looks at the journals of running studies.
_LOOK = 0.5
#: In the scratch folder: no further configuration is to start.
_STOP = "stop"
_SCRATCH = re.compile(r"raypipe-panel-(\d+)-.+")


class Watch(Protocol):
    """Told how a sweep goes."""

    def running(self, job: StudyJob, done: int, best: float | None) -> None:
        """A study has so many configurations, and this is the best objective."""
        ...

    def ended(self, outcome: StudyOutcome) -> None:
        """A study ended."""
        ...


class SweepExecutor(Protocol):
    """Runs the studies of a plan; yields what became of each as it ends.

    Jobs are taken from the queue, which holds back what has to wait, and the queue is told of each that ended. When
    ``stop`` is set no further configuration is started; what is left in the queue then is not started either.
    """

    name: str
    workers: int

    def run(
        self, plan: SweepPlan, data: StudyData, queue: StudyQueue, watch: Watch, stop: threading.Event
    ) -> Iterator[StudyOutcome]:
        """Run what is in the queue."""
        ...


def attempt_study(
    job: StudyJob,
    data: StudyData | None = None,
    *,
    stop: Callable[[], bool] | None = None,
    watch: Callable[[ConfigResult], None] | None = None,
) -> StudyOutcome:
    """Run a study; whatever goes wrong is its outcome, so that the others go on. Arguments as for `run_study`."""
    try:
        return run_study(job, data, stop=stop, watch=watch)
    except RaypipeError as error:
        return _broken(job, str(error), error.exit_code)
    except Exception as error:  # noqa: BLE001 -- a library that fails must not end the studies that do not use it
        return _broken(job, f"{type(error).__name__}: {error}", 1)


def _broken(job: StudyJob, reason: str, exit_code: int) -> StudyOutcome:
    return StudyOutcome(job.algorithm, job.scope, "failed", reason, exit_code=exit_code)


class SerialSweep:
    """One study after the other, in this process."""

    name = "serial"
    workers = 1

    def run(
        self,
        plan: SweepPlan,  # noqa: ARG002 -- jobs say all that is needed here
        data: StudyData,
        queue: StudyQueue,
        watch: Watch,
        stop: threading.Event,
    ) -> Iterator[StudyOutcome]:
        """See `SweepExecutor.run`."""
        while not stop.is_set() and (job := queue.next()) is not None:
            outcome = attempt_study(job, data, stop=stop.is_set, watch=_told(job, watch))
            yield outcome
            yield from queue.ended(job, outcome)


def _told(job: StudyJob, watch: Watch) -> Callable[[ConfigResult], None]:
    best: list[float] = []

    def told(one: ConfigResult) -> None:
        if one.state == "complete" and one.value is not None:
            best[:] = [max([*best, one.value])]
        watch.running(job, one.i + 1, best[0] if best else None)

    return told


class ProcessSweep:
    """Several studies at a time, each in a worker process; the arrays are mapped from files of this machine.

    Parameters
    ----------
    workers
        How many.
    """

    name = "process"

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def run(
        self,
        plan: SweepPlan,  # noqa: ARG002 -- jobs say all that is needed here
        data: StudyData,
        queue: StudyQueue,
        watch: Watch,
        stop: threading.Event,
    ) -> Iterator[StudyOutcome]:
        """See `SweepExecutor.run`."""
        try:
            with scratch_of(data) as folder:
                yield from self._run(_Flights(folder, watch), queue, stop)
        finally:
            self._discard()

    def _run(self, flights: _Flights, queue: StudyQueue, stop: threading.Event) -> Iterator[StudyOutcome]:
        while True:
            self._fill(flights, queue, stop)
            if not flights.flying and not flights.crashed:
                return
            if stop.is_set():
                flights.stop()
            for job, outcome in flights.landed():
                yield outcome
                yield from queue.ended(job, outcome)
            if flights.crashed:
                self._discard()
                flights.crashed = False

    def _fill(self, flights: _Flights, queue: StudyQueue, stop: threading.Event) -> None:
        # After a death suspects fly alone: then only the culprit dies again.
        room = 1 if flights.suspects else self.workers
        while not flights.crashed and len(flights.flying) < room:
            job = flights.suspect() or self._next(queue, stop)
            if job is None:
                return
            flights.start(self._workers(), job)

    def _next(self, queue: StudyQueue, stop: threading.Event) -> StudyJob | None:
        return None if stop.is_set() else queue.next()

    def _workers(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self.workers, get_context("spawn"), initializer=start_worker)
        return self._pool

    def _discard(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


class _Flights:
    """Studies in the air, and those whose worker died."""

    def __init__(self, folder: Path, watch: Watch) -> None:
        self.flying: dict[Future[StudyOutcome], StudyJob] = {}
        self.suspects: list[StudyJob] = []
        self.crashed = False
        self._folder, self._watch = folder, watch
        self._deaths: dict[str, int] = {}

    def suspect(self) -> StudyJob | None:
        return self.suspects.pop(0) if self.suspects else None

    def start(self, pool: ProcessPoolExecutor, job: StudyJob) -> None:
        try:
            self.flying[pool.submit(_work, replace(job, scratch=str(self._folder)))] = job
        except BrokenProcessPool:
            self.suspects.append(job)
            self.crashed = True

    def stop(self) -> None:
        (self._folder / _STOP).touch()

    def landed(self) -> Iterator[tuple[StudyJob, StudyOutcome]]:
        """Wait a moment; what ended, and progress of the others."""
        done = wait(self.flying, timeout=_LOOK, return_when=FIRST_COMPLETED).done
        for future in done:
            job, error = self.flying.pop(future), future.exception()
            if not isinstance(error, BrokenProcessPool):
                yield job, _broken(job, f"{type(error).__name__}: {error}", 1) if error else future.result()
                continue
            self.crashed = True
            self._deaths[job.name] = self._deaths.get(job.name, 0) + 1
            if self._deaths[job.name] < MAX_ATTEMPTS:
                self.suspects.append(job)
            else:
                yield job, _broken(job, f"its worker died {MAX_ATTEMPTS} times; it may need more memory", 1)
        for job in self.flying.values():
            self._watch.running(job, *journal_progress(job.location, job.key))


def _work(job: StudyJob) -> StudyOutcome:
    """In a worker: a study on mapped arrays, until the driver says stop."""
    flag = Path(job.scratch) / _STOP
    return attempt_study(job, _mapped(job.scratch), stop=flag.exists)


_maps: dict[str, StudyData] = {}


def _mapped(folder: str) -> StudyData:
    """The arrays of a scratch folder, mapped once per process."""
    if folder not in _maps:
        _maps.clear()
        _maps[folder] = StudyData.load(Path(folder))
    return _maps[folder]


# --- scratch -----------------------------------------------------------------------------------


@contextlib.contextmanager
def scratch_of(data: StudyData) -> Iterator[Path]:
    """The arrays as files of this machine, in a private folder that is removed in the end.

    Those of drivers that were killed are removed first.
    """
    _sweep_up()
    with tempfile.TemporaryDirectory(prefix=f"raypipe-panel-{os.getpid()}-") as name:
        data.save(Path(name))
        yield Path(name)


def _sweep_up() -> None:
    """Remove the folders of processes of ours that are gone."""
    with os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            found = _SCRATCH.fullmatch(entry.name)
            if found and entry.stat(follow_symlinks=False).st_uid == os.getuid() and not _alive(int(found.group(1))):
                shutil.rmtree(entry.path, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
