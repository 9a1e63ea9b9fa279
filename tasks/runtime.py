"""The executor on Ray.

Ray carries keys to workers and receipts back. Workers read and write the lake themselves, so what Ray does not promise
(order, one attempt, one writer) the lake does not need.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self

from raypipe.errors import ClusterError
from raypipe.pipeline.executor import MAX_ATTEMPTS, Line, cancelled, given_up, parts, read_outcomes
from raypipe.pipeline.job import Job, Outcome, failed_outcomes
from raypipe.pipeline.work import describe, run_job_json
from tasks.cluster import Cluster, connect, default_address
from tasks.dispatch import LARGE_FAN_OUT, Dispatch, Landed
from tasks.visibility import Probe, exists
from tasks.worker import Ledger

__all__ = ["RayExecutor", "connect", "default_address"]

#: Seconds for the ledger to answer.
LEDGER_SECONDS = 30.0
LOST, LOST_HINT = "Ray gave no result for this", "Ray's own message stands above; then: raypipe retry"


class RayExecutor:
    """Runs jobs on a Ray cluster, or on a Ray of its own.

    A job whose worker died is started again. One that killed all its workers but the last is set aside and, when
    the others are done, tried once more alone and one partition at a time, because want of memory is the usual
    cause. Then it is reported as failed.

    Parameters
    ----------
    address
        ``local``, ``auto`` or ``host:port``; see `tasks.cluster.connect`.
    workers
        Jobs at a time; as many as CPUs if None.
    task
        What runs a job: its text -> the text of its outcomes. A module-level function, so that it travels by name.
    sees
        Whether the process that calls it sees a file; a module-level function.
    fan_out
        So many jobs that may start at once go out through Ray Data, fewer as tasks.
    """

    name = "ray"

    def __init__(
        self,
        address: str = "local",
        workers: int | None = None,
        *,
        task: Callable[[str], str] = run_job_json,
        sees: Callable[[str], bool] = exists,
        fan_out: int = LARGE_FAN_OUT,
    ) -> None:
        self._address, self._limit, self._task, self._sees = address, workers, task, sees
        self._fan_out = fan_out
        self._passes, self._exit = itertools.count(), ExitStack()
        self._probe: Probe | None = None
        self._ledger: Any = None
        self.cluster: Cluster | None = None
        self.workers = workers or 1

    def __enter__(self) -> Self:
        self.cluster = self._exit.enter_context(connect(self._address, self._limit))
        self.workers = self._limit or self.cluster.cpus or 1
        self._ledger = _start_ledger()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.__exit__(kind, error, trace)

    def run(self, jobs: Iterable[Job | None], stop: threading.Event) -> Iterator[list[Outcome]]:
        """Run the jobs, started in the order given.

        Raises
        ------
        UsageError
            If the lake is a folder that a node cannot see; nothing was started then.
        """
        line, suspects = Line(jobs), list[Job]()
        if line.head:
            self._prove_visible(line.head)
        limit = None if self._local else self._limit
        with self._dispatch() as dispatch:
            while line.head or not line.over:
                yield from self._pass(dispatch, MAX_ATTEMPTS - 1, limit, suspects.append).run(line, stop)
                alone = [part for job in suspects for part in parts(job)]
                suspects.clear()
                yield from self._pass(dispatch, 1, 1, None).run(Line(alone), stop)

    @contextmanager
    def _dispatch(self) -> Iterator[Dispatch]:
        probe = self._probe.path if self._probe else ""
        dispatch = Dispatch(self._fan_out, ledger=self._ledger, task=self._task, probe=probe, sees=self._sees)
        try:
            yield dispatch
        finally:
            dispatch.close()

    def _pass(
        self, dispatch: Dispatch, starts: int, at_a_time: int | None, set_aside: Callable[[Job], None] | None
    ) -> _Pass:
        return _Pass(f"{next(self._passes)}", dispatch, self._ledger, starts, at_a_time, set_aside)

    @property
    def _local(self) -> bool:
        return self.cluster is not None and self.cluster.is_local

    def _prove_visible(self, job: Job) -> None:
        if self._local or not job.location.is_local:
            return
        if self._probe is None:
            self._probe = Probe(job.location.root, self._sees)
            self._exit.callback(self._probe.remove)
        self._probe.ask_nodes()


class _Pass:
    """Jobs on their way that may each start equally often.

    Parameters
    ----------
    name
        By which the ledger knows it.
    dispatch, ledger
        Carries the jobs; counts their starts.
    starts, at_a_time
        How often a job may start, and how many are in flight (None: all that may start).
    set_aside
        Takes the jobs that killed all their workers; they are reported as failed if it is None.
    """

    def __init__(
        self,
        name: str,
        dispatch: Dispatch,
        ledger: Any,
        starts: int,
        at_a_time: int | None,
        set_aside: Callable[[Job], None] | None,
    ) -> None:
        self._name, self._dispatch, self._ledger, self._starts = name, dispatch, ledger, starts
        self._most, self._set_aside = at_a_time or float("inf"), set_aside
        self._flying: dict[str, Job] = {}
        self._numbers = itertools.count()
        self._stopped = False

    def run(self, line: Line, stop: threading.Event) -> Iterator[list[Outcome]]:
        """Run the jobs of a line until none is left that may start."""
        try:
            while line.head or self._flying:
                if stop.is_set():
                    yield from map(cancelled, line.clear())
                    yield from map(cancelled, self._recall())
                self._send(line)
                yield from self._land()
        except ClusterError as error:
            yield from (failed_outcomes(job.targets, describe(error)) for job in self._flying.values())

    def _send(self, line: Line) -> None:
        sent = {}
        while line.head and len(self._flying) < self._most:
            key = f"{self._name}/{next(self._numbers)}"
            sent[key] = self._flying[key] = line.take()
        if sent:
            with _cluster_errors():
                self._dispatch.send(sent, self._starts)

    def _land(self) -> Iterator[list[Outcome]]:
        landed = self._dispatch.land() if self._flying else None
        for key in landed.keys if landed else ():
            job = self._flying.pop(key, None)
            if landed and job:
                yield from self._outcomes(job, landed)

    def _outcomes(self, job: Job, landed: Landed) -> Iterator[list[Outcome]]:
        answer = landed.row["answer"] if landed.row else "lost"
        if answer == "run" and landed.row:
            yield read_outcomes(landed.row["outcomes"])
        elif answer == "stopped":
            yield cancelled(job)
        elif self._set_aside:
            self._set_aside(job)
        elif answer == "given up":
            yield given_up(job, MAX_ATTEMPTS)
        else:
            yield failed_outcomes(job.targets, describe(_lost(landed.error)))

    def _recall(self) -> Iterator[Job]:
        """The jobs in flight that did not start, once: the ledger lets none of them start any more."""
        if self._stopped:
            return
        self._stopped = True
        import ray

        with _cluster_errors():
            started = set(ray.get(self._ledger.stop.remote(self._name), timeout=LEDGER_SECONDS))
        for key in [key for key in self._flying if key not in started]:
            yield self._flying.pop(key)


def _lost(error: BaseException | None) -> ClusterError:
    return _stopped(error) if error else ClusterError(LOST, hint=LOST_HINT)


def _stopped(error: BaseException) -> ClusterError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ClusterError(f"Ray stopped: {reason}", hint="look at `ray status`, then: raypipe retry")


@contextmanager
def _cluster_errors() -> Iterator[None]:
    import ray

    try:
        yield
    except (ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
        raise _stopped(error) from error


def _start_ledger() -> Any:
    """On the driver's node, so that it is lost only with the driver.

    A soft wish for that node is passed over where the node has no CPUs, as heads often do.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Ledger)
    return actor.options(scheduling_strategy=here).remote()
