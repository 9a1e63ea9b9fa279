"""A sweep: all studies of a plan, run by whoever is asked to, gone on with where an earlier start ended.

The name of a run is a hash of what it does. Starting it again reads the journals, checks that they are of the same
search, and runs what they lack.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import raypipe
from raypipe.errors import StorageError
from raypipe.lake.names import inside
from raypipe.lake.objects import is_missing, open_store
from raypipe.redact import redact
from raypipe.training.journal import check_header, read_study
from raypipe.training.study import StudyJob, StudyOutcome, header_of, outcome_of
from raypipe.training.study_data import StudyData
from raypipe.training.study_lock import locked
from raypipe.training.sweep_plan import StudyQueue, SweepPlan
from raypipe.training.sweep_results import SweepRecord, read_sweep, write_results, write_sweep
from raypipe.training.sweep_run import SweepExecutor, Watch

__all__ = ["SweepOrder", "run_sweep", "sweep_exit_code", "sweep_state"]


@dataclass(frozen=True, slots=True)
class SweepOrder:
    """How a sweep is to be carried out.

    Attributes
    ----------
    executor
        Who runs the studies.
    watch
        Told how it goes.
    command
        The command line that repeats it, for the record.
    stop
        Set when no further configuration is to start.
    fresh
        Whether an earlier start is moved aside instead of gone on with.
    """

    executor: SweepExecutor
    watch: Watch
    command: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    fresh: bool = False


def run_sweep(plan: SweepPlan, data: StudyData, order: SweepOrder) -> SweepRecord:
    """Run what the journals lack, and write the results.

    A sweep whose studies are over and whose results are written is left as it is.

    Parameters
    ----------
    plan, data
        The studies and their arrays.
    order
        Who runs them, and who is told.

    Raises
    ------
    UsageError
        If a journal is of another study (value ``field``), or another process runs this sweep; nothing was started.
    DataQualityError
        If a journal was edited (value ``line``); nothing was started.
    """
    with _claimed(plan, fresh=order.fresh):
        over = {} if order.fresh else sweep_state(plan, data)
        before = _finished(plan) if len(over) == len(plan.jobs) else None
        if before is not None:
            for outcome in (*plan.skipped, *over.values()):
                order.watch.ended(outcome)
            return before
        record = _new_record(plan, data, order)
        write_sweep(plan.location, record)
        for outcome in (*plan.skipped, *over.values()):
            _note(record, outcome, order.watch)
        queue = StudyQueue([job for job in plan.jobs if job.name not in over])
        if len(queue):
            for outcome in order.executor.run(plan, data, queue, order.watch, order.stop):
                _note(record, outcome, order.watch)
        for outcome in queue.rest():
            _note(record, outcome, order.watch)
        write_results(plan, data, record.studies)
        record.exit_code = sweep_exit_code(record.studies)
        stopped = any(one.status == "stopped" for one in record.studies)
        record.status = "stopped" if stopped else "failed" if record.exit_code else "done"
        record.finished_ns = time.time_ns()
        write_sweep(plan.location, record)
    return record


def _finished(plan: SweepPlan) -> SweepRecord | None:
    """The record of an earlier start that came to its end, results and all."""
    if open_store(plan.location).stat(f"{plan.key}/run.json") is None:
        return None
    record = read_sweep(plan.location, plan.run_id)
    return record if record.status in {"done", "failed"} and not _to_run(record) else None


def _to_run(record: SweepRecord) -> bool:
    return any(not one.over and one.status != "skipped" for one in record.studies)


def sweep_state(plan: SweepPlan, data: StudyData) -> dict[str, StudyOutcome]:
    """Check the journals that there are; by name, the studies that are over.

    Raises
    ------
    UsageError
        If one is of another study. Value: ``field``.
    DataQualityError
        If one was edited. Value: ``line``.
    """
    found = {}
    for job in plan.jobs:
        outcome = _outcome(job, data)
        if outcome is not None:
            found[job.name] = outcome
    return found


def _outcome(job: StudyJob, data: StudyData) -> StudyOutcome | None:
    """What became of a study that is over; None of one that is not, or has no journal."""
    try:
        study = read_study(job.location, job.key)
    except StorageError as error:
        if is_missing(error):
            return None
        raise
    check_header(study.header, header_of(job, data), job.key)
    return outcome_of(job, study.configs, study.final) if study.final else None


def sweep_exit_code(studies: Sequence[StudyOutcome]) -> int:
    """0 all done; 130 stopped; 1 if some failed or were skipped, or what all of these say alike (2, 3, 5)."""
    if any(one.status == "stopped" for one in studies):
        return 130
    codes = {one.exit_code or 1 for one in studies if one.status != "done"}
    return 0 if not codes else codes.pop() if len(codes) == 1 else 1


def _note(record: SweepRecord, outcome: StudyOutcome, watch: Watch) -> None:
    record.studies.append(outcome)
    watch.ended(outcome)


def _new_record(plan: SweepPlan, data: StudyData, order: SweepOrder) -> SweepRecord:
    return SweepRecord(
        run_id=plan.run_id,
        target=data.target,
        algorithms=dict(plan.algorithms),
        symbols=list(plan.symbols),
        params=plan.params.tracked(),
        hashes={
            "data": data.sha256,
            "splits": data.splits_sha256,
            "rows": data.data_sha256,
            "features": data.features_sha256,
        },
        executor=order.executor.name,
        workers=order.executor.workers,
        command=redact(order.command),
        code_version=raypipe.__version__,
        started_ns=time.time_ns(),
    )


# --- folders -----------------------------------------------------------------------------------


@contextlib.contextmanager
def _claimed(plan: SweepPlan, *, fresh: bool) -> Iterator[None]:
    """Keep other drivers out of the run's folder; on S3 nobody is kept out."""
    if not plan.location.is_local:
        if fresh:
            _copy_aside(plan)
        yield
        return
    folder = inside(Path(plan.location.root), plan.key)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside the folder, so that it can be moved while it is held.
    with locked(folder.with_name(f".{plan.run_id}.lock")):
        if fresh and folder.is_dir():
            folder.rename(folder.with_name(_aside(plan, [path.name for path in folder.parent.iterdir()])))
        yield


def _aside(plan: SweepPlan, taken: Sequence[str]) -> str:
    """The first free name for an earlier start."""
    number = 1
    while f"{plan.run_id}.old-{number}" in taken:
        number += 1
    return f"{plan.run_id}.old-{number}"


def _copy_aside(plan: SweepPlan) -> None:
    """Objects cannot be moved: all are copied, then all deleted, so that whatever is killed nothing is lost."""
    store = open_store(plan.location)
    taken = {stat.key.split("/")[1] for stat in store.list("runs/")}
    keys, target = [stat.key for stat in store.list(f"{plan.key}/")], f"runs/{_aside(plan, sorted(taken))}"
    for key in keys:
        store.put_bytes(f"{target}{key.removeprefix(plan.key)}", store.read(key))
    for key in keys:
        store.delete(key)
