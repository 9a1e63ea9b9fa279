"""One run from request to record: plan, build, judge, report. The command line and the cluster tasks share it."""

from __future__ import annotations

import datetime as dt
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import raypipe
from raypipe.calendar import calendar
from raypipe.config import Config, RunParams
from raypipe.errors import DataQualityError, DeveloperError, NotYetError, RaypipeError, UsageError
from raypipe.lake.store import Lake
from raypipe.pipeline.drift import measure
from raypipe.pipeline.driver import Progress, RunResult, execute
from raypipe.pipeline.executor import Executor, Process, Serial
from raypipe.pipeline.keeping import Keeper
from raypipe.pipeline.machine import machine_facts
from raypipe.pipeline.nodes import ONCE
from raypipe.pipeline.plan import Plan, Request, make_plan
from raypipe.pipeline.provenance import lineage, origins, repeat_command
from raypipe.pipeline.quality import check_coverage
from raypipe.pipeline.record import RunRecord, chosen_run, new_run_id, read_record, unfinished, write_record
from raypipe.pipeline.stages import Stage, stage_named
from raypipe.pipeline.views import declared_tables, write_report
from raypipe.redact import redact

__all__ = [
    "INGEST",
    "MODELS",
    "STOPPING",
    "Observer",
    "Order",
    "Wish",
    "choose_executor",
    "cpus",
    "local_executor",
    "plan_retry",
    "plan_wish",
    "require_lake",
    "run_plan",
    "run_wish",
]

#: The step that acquires files before anything is planned.
INGEST = "ingest"
#: Exit codes of acquiring after which nothing is built: an endpoint that does not answer, and stopped.
STOPPING = frozenset({5, 130})
#: The step that makes models once all tables are built, and the steps of the tables that it reads.
MODELS, MODEL_TABLES = "models", ("model_panel", "targets", "bars_1d")
#: Projected CPU seconds below which starting workers, or Ray, costs more than it saves.
TINY, SMALL = 2.0, 30.0

#: (name, run section) -> the executor, not yet started.
ExecutorFactory = Callable[[str, RunParams], Executor]


class Observer(Protocol):
    """Told how a run goes."""

    def planned(self, plan: Plan, executor: str, workers: int) -> None:
        """The run starts."""
        ...

    def progress(self, progress: Progress) -> None:
        """A job ended."""
        ...


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asked for: a range or single sessions, steps, and how strictly. As in `Request` otherwise.

    Without steps, those of ``run.steps``.
    """

    start: dt.date | None = None
    end: dt.date | None = None
    dates: tuple[dt.date, ...] = ()
    steps: tuple[str, ...] = ()
    force: bool = False
    only: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """How a plan is to be carried out.

    Attributes
    ----------
    command
        The command line that repeats the run, for the record.
    make_executor
        Makes the executor of a name; the Ray edge passes one that knows Ray.
    observer
        Told how the run goes.
    stop
        Set when the user wants the run to end.
    models
        Target of the models that follow, for the record; empty if none do. See `raypipe.training.model_run`.
    """

    command: str
    make_executor: ExecutorFactory
    observer: Observer | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    models: str = ""


# --- executors ---------------------------------------------------------------------------------


def local_executor(name: str, run: RunParams) -> Executor:
    """An executor of this machine.

    Raises
    ------
    DeveloperError
        If the name is not ``serial`` or ``process``.
    """
    if name == "serial":
        return Serial()
    if name == "process":
        return Process(cpus(run))
    msg = f"{name!r} is not an executor of one machine"
    raise DeveloperError(msg)


def cpus(run: RunParams) -> int:
    """Jobs at a time on this machine: as asked, else one per CPU that this process may use."""
    if run.workers:
        return run.workers
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_executor(run: RunParams, cost: float) -> str:
    """The executor's name: as asked, or by what is cheapest to start for so much work.

    Parameters
    ----------
    run
        The run section; ``auto`` lets the work decide.
    cost
        Projected CPU seconds.

    Examples
    --------
    >>> choose_executor(RunParams(workers=4), cost=12.0)
    'process'
    >>> choose_executor(RunParams(address="auto"), cost=12.0)
    'ray'
    """
    if run.executor != "auto":
        return run.executor
    if run.address:
        return "ray"
    if run.workers == 1 or cost < TINY:
        return "serial"
    return "process" if cost < SMALL else "ray"


# --- plans -------------------------------------------------------------------------------------


def require_lake(config: Config) -> None:
    """Refuse a local lake whose folder does not exist: most likely its name is mistyped.

    Raises
    ------
    UsageError
        If it does not.
    """
    location = config.lake.location
    if location.is_local and not Path(location.root).is_dir():
        msg = f"there is no lake at {location.root}"
        raise UsageError(msg, hint="name it with --root, RAYPIPE_ROOT or lake.root; `raypipe ingest` makes one")


def plan_wish(config: Config, wish: Wish) -> Plan:
    """Compare what a person wants with what the lake holds; changes nothing.

    Raises
    ------
    UsageError
        If the range is empty, dates and a range are mixed, a date is no session, or a step is unknown.
    NotYetError
        If the lake has no input for one of the dates, or for any session of the range.
    """
    _check_range(wish)
    request = Request(
        start=wish.start,
        end=wish.end,
        steps=_table_steps(wish.steps or config.run.steps),
        items=_items_of_dates(config, wish.dates) if wish.dates else None,
        force=wish.force,
        only=wish.only,
        allow_holes=config.run.allow_holes,
    )
    plan = _plan(config, request)
    _check_inputs(plan, wish)
    return plan


def _table_steps(steps: Sequence[str]) -> tuple[str, ...]:
    """Steps of tables: that of models stands for the tables that they are made of; acquiring builds none."""
    own = tuple(step for step in steps if step not in (INGEST, MODELS))
    return tuple(dict.fromkeys((*own, *MODEL_TABLES))) if MODELS in steps else own


def plan_retry(config: Config, run_id: str | None = None) -> tuple[str, Plan]:
    """Plan exactly what a run left failed, blocked or undone.

    Parameters
    ----------
    config
        The configuration.
    run_id
        Which run; the last one if None.

    Returns
    -------
    The run's id and the plan.

    Raises
    ------
    UsageError
        If there is no such run.
    """
    lake = Lake(config.lake.location)
    name = chosen_run(lake, run_id, "retry")
    left = unfinished(read_record(lake, name))
    return name, _plan(config, Request(items=left, allow_holes=config.run.allow_holes))


def _plan(config: Config, request: Request) -> Plan:
    return make_plan(Lake(config.lake.location), config.params, request, workers=cpus(config.run))


def _check_range(wish: Wish) -> None:
    if wish.dates and (wish.start or wish.end):
        msg = "dates and a range exclude each other"
        raise UsageError(msg, hint="use --dates, or --start and --end")
    if wish.start and wish.end and wish.end < wish.start:
        msg = f"the end {wish.end} is before the start {wish.start}"
        raise UsageError(msg)


def _items_of_dates(config: Config, dates: Sequence[dt.date]) -> frozenset[tuple[str, str]]:
    """Every (table, partition) of some sessions: weekly tables by their Monday, once-tables whole."""
    sessions = [calendar().session(date) for date in dates]
    keys = {"week": {s.monday.isoformat() for s in sessions}, "once": {ONCE}, "session": {s.key for s in sessions}}
    tables = declared_tables(config)
    return frozenset((name, key) for name, table in tables.items() for key in keys.get(table.grain, ()))


def _check_inputs(plan: Plan, wish: Wish) -> None:
    known = {item.partition for item in plan.items}
    missing = [date.isoformat() for date in wish.dates if date.isoformat() not in known]
    if missing:
        msg = f"the lake has no file of {missing[0]}"
        raise NotYetError(msg, hint=f"fetch it: raypipe ingest --start {missing[0]} --end {missing[-1]}")
    if (wish.start or wish.end) and not known - {ONCE}:
        msg = f"the lake has no file of a session from {wish.start or 'the beginning'} to {wish.end or 'today'}"
        raise NotYetError(msg, hint="fetch them with raypipe ingest; raypipe check-missing says what there is")


# --- runs --------------------------------------------------------------------------------------


def run_wish(config: Config, wish: Wish, order: Order) -> RunRecord:
    """Plan and build what a person asked for; see `plan_wish` and `run_plan`."""
    return run_plan(config, plan_wish(config, wish), order)


def run_plan(config: Config, plan: Plan, order: Order) -> RunRecord:
    """Build what a plan says, and record it in the lake.

    The record is written when the run starts, so that a run whose driver dies can be retried, now and then while it
    goes on, and when it ends, with the page of the run beside it. A plan with nothing to build and nothing blocked
    leaves the lake as it was.

    Raises
    ------
    RaypipeError
        If its executor or its storage is lost; what was built stays.
    """
    lake = Lake(config.lake.location)
    name = choose_executor(config.run, plan.cost)
    record = _new_record(config, order, name, plan)
    if not plan.waves:
        return _without_work(lake, record, plan)
    with order.make_executor(name, config.run) as executor:
        record.executor, record.workers = executor.name, executor.workers
        return _carry_out(lake, record, plan, executor, order, config)


def _described(executor: Executor) -> str:
    """The executor's name, and which cluster it uses, so that nobody runs on another's without noticing."""
    cluster = getattr(executor, "cluster", None)
    return f"{executor.name} ({cluster})" if cluster else executor.name


def _new_record(config: Config, order: Order, executor: str, plan: Plan) -> RunRecord:
    now = time.time_ns()
    record = RunRecord(
        run_id=new_run_id(now),
        command=redact(order.command),
        executor=executor,
        workers=cpus(config.run),
        started_ns=now,
        config=config.masked(),
        code_version=raypipe.__version__,
        origin=origins(config),
        repeat=repeat_command(redact(order.command), config),
        versions={stage.name: stage.version for stage in _stages_of(plan)},
        machine=machine_facts(),
        lineage=lineage(plan),
        models={"target": order.models, "status": "pending"} if order.models else {},
    )
    record.plan(plan)
    return record


def _stages_of(plan: Plan) -> list[Stage]:
    names = {target.stage for wave in plan.waves for job in wave for target in job.targets}
    return [stage_named(name) for name in sorted(names)]


def _without_work(lake: Lake, record: RunRecord, plan: Plan) -> RunRecord:
    record.status, record.exit_code, record.finished_ns = "done", 0, time.time_ns()
    if plan.blocked:
        record.status, record.exit_code = "failed", 1
        write_record(lake, record)
    return record


def _carry_out(
    lake: Lake, record: RunRecord, plan: Plan, executor: Executor, order: Order, config: Config
) -> RunRecord:
    keeper = Keeper(lake, record, declared_tables(config))
    keeper.begin()
    if order.observer:
        order.observer.planned(plan, _described(executor), executor.workers)

    def progress(progress: Progress) -> None:
        keeper.note(progress)
        if order.observer:
            order.observer.progress(progress)

    try:
        result = execute(plan, executor, stop=order.stop, progress=progress)
    except RaypipeError as error:
        keeper.end(error.exit_code)
        raise
    gate = 0 if result.stopped else _judge(lake, record, result, config)
    keeper.end(result.exit_code or (1 if plan.blocked else gate), result)
    write_report(lake, record, config)
    return record


def _judge(lake: Lake, record: RunRecord, result: RunResult, config: Config) -> int:
    """The data-quality pass over what was built, and the look at features; 3 if the gate of the first is closed."""
    run = config.run
    if run.dq == "off":
        return 0
    record.drift = measure(lake, declared_tables(config), record.run_id, result.outcomes)
    found = check_coverage(lake, result.outcomes)
    record.quality = [finding.to_dict() for finding in found]
    closed = run.dq == "fail" and any(finding.level == "failed" for finding in found)
    return DataQualityError.exit_code if closed else 0
