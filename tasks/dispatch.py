"""How jobs go out to the nodes and what they made comes back: a few as tasks, many at once through Ray Data.

Ray Data streams a large fan-out, but a data set takes 0.1 s to begin and looks for results every 0.1 s, and a row costs
some 15 ms of CPU. Between jobs that wait for each other that was a quarter of a run of 20 sessions; tasks take 2 ms.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from raypipe.pipeline.job import Job
from tasks.cluster import Node, working_nodes
from tasks.worker import run_row

__all__ = ["LARGE_FAN_OUT", "Dispatch", "Landed", "memory_classes", "memory_to_ask"]

#: Jobs that may start at once and go out through Ray Data.
LARGE_FAN_OUT = 32
#: Seconds until the caller can look at the stop event again, and for a data set to end.
GLANCE, FAREWELL = 0.2, 5.0


@dataclass(frozen=True, slots=True)
class Landed:
    """What came back for some jobs: the row of one, or none, and perhaps Ray's reason."""

    keys: tuple[str, ...]
    row: Mapping[str, str] | None = None
    error: BaseException | None = None


class Dispatch:
    """Jobs in flight.

    Parameters
    ----------
    fan_out
        So many jobs at once go out through Ray Data.
    **given
        What `tasks.worker.run_row` is given beside its row.
    """

    def __init__(self, fan_out: int, **given: Any) -> None:
        import ray

        self._fan_out, self._given = fan_out, given
        self._landed: queue.SimpleQueue[Landed] = queue.SimpleQueue()
        self._feeders: list[threading.Thread] = []
        self._over, self._heavy = threading.Event(), False
        run: Any = run_row  # a function of one row and of what is given beside it
        # Started again for as long as its worker dies; the ledger ends that.
        self._task = ray.remote(num_cpus=1, max_retries=-1, scheduling_strategy="SPREAD")(run)

    def send(self, jobs: Mapping[str, Job], starts: int) -> None:
        """Let jobs go, in their order; each may start so often."""
        rows = {key: {"key": key, "starts": starts, "job": job.to_json()} for key, job in jobs.items()}
        classes = memory_classes(jobs, working_nodes())
        if len(jobs) >= self._fan_out:
            given = self._dataset(rows, classes), tuple(jobs)
            self._feeders.append(threading.Thread(target=self._feed, args=given, daemon=True))
            self._feeders[-1].start()
            return
        wishes = {key: self._wish(one) for one in classes for key in one.jobs}
        for key, row in rows.items():
            future = self._task.options(memory=wishes[key]).remote(row, **self._given).future()
            future.add_done_callback(partial(self._land, key))

    def _wish(self, one: MemoryClass) -> int | None:
        """Bytes that a task asks for. Light ones fit beside each other, and ask for their share beside heavy ones only.

        Ray hands a worker on at once only between tasks that ask for the same; else it takes some 0.3 s.
        """
        self._heavy |= one.heavy
        return one.ask if self._heavy else None

    def land(self) -> Landed | None:
        """What came back next; None where nothing did for a while."""
        try:
            return self._landed.get(timeout=GLANCE)
        except queue.Empty:
            return None

    def close(self) -> None:
        """Expect nothing more. A data set has ended, unless the run was stopped while its tasks wait for a node."""
        self._over.set()
        for feeder in self._feeders:
            feeder.join(FAREWELL)

    def _land(self, key: str, future: Future[dict[str, str]]) -> None:
        error = future.exception()
        self._landed.put(Landed((key,), error=error) if error else Landed((key,), future.result()))

    # --- Ray Data --------------------------------------------------------------------------------

    def _dataset(self, rows: Mapping[str, Mapping[str, Any]], classes: Sequence[MemoryClass]) -> Any:
        """One row per job, each in a block of its own; jobs that need much memory are a data set beside the others."""
        import ray.data

        _configure_ray_data()
        mapped: Any = run_row  # with what it is given below, it is the function of one row that Ray Data wants
        made = []
        for one in classes:
            # Ray Data makes 200 blocks of any number of rows, and runs the rows of a block one after the other.
            dataset = ray.data.from_items([rows[key] for key in one.jobs], override_num_blocks=len(one.jobs))
            made.append(dataset.map(mapped, memory=one.ask, fn_kwargs=self._given))
        return made[0].union(*made[1:]) if len(made) > 1 else made[0]

    def _feed(self, dataset: Any, keys: tuple[str, ...]) -> None:
        """Ray Data's iterator cannot be waited on for a limited time, so it has a thread of its own."""
        error = None
        try:
            # A prefetched batch would be held back until the next job ends.
            for batch in dataset.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow"):
                for row in batch.to_pylist():
                    self._landed.put(Landed((row["key"],), row))
                if self._over.is_set():
                    return
        except BaseException as caught:  # noqa: BLE001 - it is told in the driver's thread
            error = caught
        # Ray Data drops the rows of a task that it could not run; whoever still waits for one is told here.
        self._landed.put(Landed(keys, error=error))


@dataclass(frozen=True, slots=True)
class MemoryClass:
    """Jobs that ask for the same memory: ``ask`` bytes each, None for no wish."""

    jobs: Mapping[str, Job]
    ask: int | None
    heavy: bool


def memory_classes(jobs: Mapping[str, Job], nodes: Sequence[Node]) -> list[MemoryClass]:
    """Jobs that need more than a CPU's share of some node's memory, and those that fit beside each other anywhere."""
    share = min((node.memory / node.cpus for node in nodes), default=float("inf"))
    heavy = {key: job for key, job in jobs.items() if job.memory > share}
    light = {key: job for key, job in jobs.items() if key not in heavy}
    found = (
        MemoryClass(group, memory_to_ask(group.values(), nodes), group is heavy) for group in (heavy, light) if group
    )
    return list(found)


def memory_to_ask(jobs: Iterable[Job], nodes: Sequence[Node]) -> int | None:
    """Bytes for each of some jobs, None for no wish; never more than the largest node has: they would wait forever."""
    wanted, largest = max(job.memory for job in jobs), max((node.memory for node in nodes), default=0)
    return (min(wanted, largest) if largest else wanted) or None


def _configure_ray_data() -> None:
    import ray.data

    context = ray.data.DataContext.get_current()
    # With the reservation, no task is submitted before a CPU is free and the scheduler looks again: 20 jobs of a second
    # on 2 CPUs take 12.2 s instead of 10.2. It guards the object store, and our rows are tiny.
    context.op_resource_reservation_enabled = False
    context.max_errored_blocks = -1  # a lost row is noticed at the end of `Dispatch._feed`, and tried again
    context.execution_no_progress_timeout_s = -1  # a job may take hours, and a cluster may have to grow first
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
