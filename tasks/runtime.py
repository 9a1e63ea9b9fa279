"""The executor on Ray: the one place where Ray Data is used.

Ray carries keys to workers and receipts back. Workers read and write the lake themselves, so what Ray does not promise
(order, one attempt, one writer) the lake does not need.
"""

from __future__ import annotations

import itertools
import logging
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from raypipe.errors import ClusterError
from raypipe.pipeline.executor import MAX_ATTEMPTS, cancelled, given_up, parts, read_outcomes
from raypipe.pipeline.job import Job, Outcome, failed_outcomes
from raypipe.pipeline.work import describe, run_job_json
from tasks.cluster import Cluster, Node, connect, default_address, working_nodes
from tasks.visibility import Probe, exists
from tasks.worker import Ledger, run_row

__all__ = ["RayExecutor", "connect", "default_address"]

#: Seconds between two looks at the stop event, for the ledger to answer, and for a data set to end.
GLANCE, LEDGER_SECONDS, FAREWELL = 0.2, 30.0, 5.0
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
    """

    name = "ray"

    def __init__(
        self,
        address: str = "local",
        workers: int | None = None,
        *,
        task: Callable[[str], str] = run_job_json,
        sees: Callable[[str], bool] = exists,
    ) -> None:
        self._address, self._limit, self._task, self._sees = address, workers, task, sees
        self._passes, self._exit = itertools.count(), ExitStack()
        self._probe: Probe | None = None
        self._ledger: Any = None
        self.cluster: Cluster | None = None
        self.workers = workers or 1

    def __enter__(self) -> Self:
        self.cluster = self._exit.enter_context(connect(self._address, self._limit))
        self.workers = self._limit or self.cluster.cpus or 1
        self._ledger = _start_ledger()
        _configure_ray_data()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.__exit__(kind, error, trace)

    def run(self, jobs: Sequence[Job], stop: threading.Event) -> Iterator[list[Outcome]]:
        """Run the jobs of one wave, started in the order given.

        Raises
        ------
        UsageError
            If the lake is a folder that a node cannot see; nothing was started then.
        """
        self._prove_visible(jobs[0])
        limit = None if self._local else self._limit
        suspects: list[Job] = []
        yield from self._run_pass(jobs, _Pass(MAX_ATTEMPTS - 1, limit), stop, suspects.append)
        alone = [part for job in suspects for part in parts(job)]
        yield from self._run_pass(alone, _Pass(starts=1, at_a_time=1), stop, None)

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

    # --- one pass over some jobs -----------------------------------------------------------------

    def _run_pass(
        self, jobs: Sequence[Job], how: _Pass, stop: threading.Event, set_aside: Callable[[Job], None] | None
    ) -> Iterator[list[Outcome]]:
        """Run some jobs; those that kill their workers are set aside, or reported as failed if that is None."""
        name = str(next(self._passes))
        waiting = {f"{name}/{i}": job for i, job in enumerate(jobs)}
        if stop.is_set() or not waiting:
            yield from map(cancelled, waiting.values())
            return
        try:
            yield from self._collect(waiting, name, how, stop, set_aside)
        except ClusterError as error:
            yield from (failed_outcomes(job.targets, describe(error)) for job in waiting.values())
            return
        # Ray Data drops the rows of a task that it could not run; what is missing has to be noticed here.
        for job in waiting.values():
            if set_aside:
                set_aside(job)
            else:
                yield failed_outcomes(job.targets, describe(ClusterError(LOST, hint=LOST_HINT)))

    def _collect(
        self,
        waiting: dict[str, Job],
        name: str,
        how: _Pass,
        stop: threading.Event,
        set_aside: Callable[[Job], None] | None,
    ) -> Iterator[list[Outcome]]:
        told = False
        for row in _arrivals(self._dataset(waiting, how)):
            if stop.is_set() and not told:
                told = True
                yield from self._cancel_unstarted(waiting, name)
            job = waiting.pop(row["key"], None) if row else None
            if row and job:
                if row["answer"] == "given up" and set_aside:
                    set_aside(job)
                else:
                    yield _outcomes_of(job, row)
            if not waiting:
                return

    def _cancel_unstarted(self, waiting: dict[str, Job], name: str) -> Iterator[list[Outcome]]:
        import ray

        with _cluster_errors():
            started = set(ray.get(self._ledger.stop.remote(name), timeout=LEDGER_SECONDS))
        for key in [key for key in waiting if key not in started]:
            yield cancelled(waiting.pop(key))

    def _dataset(self, waiting: Mapping[str, Job], how: _Pass) -> Any:
        """One row per job, each in a block of its own; jobs that need much memory are a data set beside the others."""
        import ray.data

        nodes = working_nodes()
        probe = self._probe.path if self._probe else ""
        mapped: Any = run_row  # with what it is given below, it is the function of one row that Ray Data wants
        how_to: dict[str, Any] = {
            "fn_kwargs": {"ledger": self._ledger, "task": self._task, "probe": probe, "sees": self._sees}
        }
        if how.at_a_time:
            how_to["compute"] = ray.data.TaskPoolStrategy(size=min(how.at_a_time, len(waiting)))
        made = []
        for jobs in [waiting] if how.at_a_time else memory_classes(waiting, nodes):
            rows = [{"key": key, "starts": how.starts, "job": job.to_json()} for key, job in jobs.items()]
            # Ray Data makes 200 blocks of any number of rows, and runs the rows of a block one after the other.
            dataset = ray.data.from_items(rows, override_num_blocks=len(rows))
            made.append(dataset.map(mapped, memory=memory_to_ask(jobs.values(), nodes), **how_to))
        return made[0].union(*made[1:]) if len(made) > 1 else made[0]


def _outcomes_of(job: Job, row: Mapping[str, str]) -> list[Outcome]:
    if row["answer"] == "run":
        return read_outcomes(row["outcomes"])
    return cancelled(job) if row["answer"] == "stopped" else given_up(job, MAX_ATTEMPTS)


@dataclass(frozen=True, slots=True)
class _Pass:
    """How often a job may start, and how many at a time (None: as many as fit)."""

    starts: int
    at_a_time: int | None


def memory_classes(jobs: Mapping[str, Job], nodes: Sequence[Node]) -> list[dict[str, Job]]:
    """Jobs that need more than a CPU's share of some node's memory, and those that fit beside each other anywhere."""
    share = min((node.memory / node.cpus for node in nodes), default=float("inf"))
    heavy = {key: job for key, job in jobs.items() if job.memory > share}
    light = {key: job for key, job in jobs.items() if key not in heavy}
    return [group for group in (heavy, light) if group]


def memory_to_ask(jobs: Iterable[Job], nodes: Sequence[Node]) -> int | None:
    """Bytes for each of some jobs, None for no wish; never more than the largest node has: they would wait forever."""
    wanted, largest = max(job.memory for job in jobs), max((node.memory for node in nodes), default=0)
    return (min(wanted, largest) if largest else wanted) or None


# --- what comes back -----------------------------------------------------------------------------


def _arrivals(dataset: Any) -> Iterator[dict[str, str] | None]:
    """Rows as their tasks end; None where nothing came for a while, so that the caller can look at the stop event.

    Raises
    ------
    ClusterError
        If Ray gives up.
    """
    arrived: queue.SimpleQueue[dict[str, str] | BaseException | None] = queue.SimpleQueue()
    over = threading.Event()
    feeder = threading.Thread(target=_feed, args=(dataset, arrived, over), daemon=True)
    feeder.start()
    try:
        while True:
            try:
                row = arrived.get(timeout=GLANCE)
            except queue.Empty:
                yield None
                continue
            if row is None:
                return
            with _cluster_errors():
                if isinstance(row, BaseException):
                    raise row
            yield row
    finally:
        over.set()
        feeder.join(FAREWELL)  # it ends with the last row, unless the run was stopped while tasks wait for a node


def _feed(dataset: Any, arrived: queue.SimpleQueue[Any], over: threading.Event) -> None:
    """Ray Data's iterator cannot be waited on for a limited time, so it has a thread of its own."""
    try:
        # A prefetched batch would be held back until the next job ends.
        for batch in dataset.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow"):
            for row in batch.to_pylist():
                arrived.put(row)
            if over.is_set():
                return
        arrived.put(None)
    except BaseException as error:  # noqa: BLE001 - it is raised again in the driver's thread
        arrived.put(error)


@contextmanager
def _cluster_errors() -> Iterator[None]:
    import ray

    try:
        yield
    except (ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        msg = f"Ray stopped: {reason}"
        raise ClusterError(msg, hint="look at `ray status`, then: raypipe retry") from error


# --- settings ------------------------------------------------------------------------------------


def _start_ledger() -> Any:
    """On the driver's node, so that it is lost only with the driver.

    A soft wish for that node is passed over where the node has no CPUs, as heads often do.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Ledger)
    return actor.options(scheduling_strategy=here).remote()


def _configure_ray_data() -> None:
    import ray.data

    context = ray.data.DataContext.get_current()
    # With the reservation, no task is submitted before a CPU is free and the scheduler looks again: 20 jobs of a second
    # on 2 CPUs take 12.2 s instead of 10.2. It guards the object store, and our rows are tiny.
    context.op_resource_reservation_enabled = False
    context.max_errored_blocks = -1  # a lost row is noticed in `RayExecutor._run_pass`, and tried again
    context.execution_no_progress_timeout_s = -1  # a job may take hours, and a cluster may have to grow first
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
