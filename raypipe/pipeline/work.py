"""The worker's side: run one job and say what became of each target.

`run_job` is the module-level function that every executor maps. It never raises (but for Ctrl-C): whatever
goes wrong becomes the Outcome of the targets concerned, and the other targets go on.
"""

from __future__ import annotations

import datetime as dt
import itertools
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

import raypipe
from raypipe.calendar import Session, calendar
from raypipe.errors import RaypipeError, UserDataError
from raypipe.lake.manifest import Manifest
from raypipe.lake.store import Lake
from raypipe.pipeline.fingerprint import params_digest
from raypipe.pipeline.job import Failure, Job, Outcome, Target, failed_outcomes
from raypipe.pipeline.memory import collect, give_back_if_large, peak_rss_bytes, resident_bytes
from raypipe.pipeline.raw import ONCE
from raypipe.pipeline.stages import Built, Stage, family_catalog, stage_named, stage_of_table
from raypipe.schema.family import Inputs, Params, Read, Result
from raypipe.schema.frames import split_by_symbol, split_table
from raypipe.schema.spec import Table
from raypipe.schema.streams import Stream, WholeTable

__all__ = ["Work", "build_family", "compute_family", "run_job", "target_sessions"]

#: Long-lived workers collect garbage after large jobs; after every small one it cost a third of the run.
_COLLECT_ABOVE_CPU_SECONDS = 0.5


class Work:
    """What a stage's build function is given: the lake, the job, parameters, and tables in memory.

    Parameters
    ----------
    job
        The job being run.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.lake = Lake(job.location)
        self._memo: dict[tuple[str, str], pa.Table] = {}
        self._columns: dict[str, tuple[str, ...]] = {}
        own = [(span.table, span.first) for t in job.targets for span in t.needs if span.first == span.last]
        #: How many targets read each partition.
        self._wanted = Counter(own)

    def params(self, stage: Stage) -> Params:
        """The parameters of a stage, as the plan fixed them."""
        return stage.params(**self.job.params.get(stage.name, {}))

    def table(self, name: str) -> Table:
        """The declared table of that name, under this job's parameters."""
        stage = stage_of_table()[name]
        return stage.table(self.params(stage))

    def manifest(self, stage: Stage, target: Target, rows: int, facts: dict[str, str] | None = None) -> Manifest:
        """The footer of a target that is about to be written."""
        params = self.params(stage)
        return Manifest(
            table=target.table,
            partition=target.partition,
            fingerprint=target.fingerprint,
            version=stage.version,
            params=params_digest(params),
            schema=stage.table(params).digest,
            inputs=target.inputs,
            rows=rows,
            code_version=raypipe.__version__,
            facts=facts or {},
        )

    def wants(self, target: Target) -> bool:
        """Whether a later target of this job reads what this one makes."""
        return (target.table, target.partition) in self._wanted

    def part(self, name: str, table: pa.Table) -> pa.Table:
        """The columns of a table that targets of this job read: the others need not stay in memory."""
        columns = self._columns_read(name)
        return table.select(columns) if columns else table

    def _columns_read(self, name: str) -> tuple[str, ...]:
        if name not in self._columns:
            stages = {target.stage: stage_named(target.stage) for target in self.job.targets}
            reads = [read for stage in stages.values() for read in stage.reads(self.params(stage))]
            self._columns[name] = _columns(reads, name, own=True)
        return self._columns[name]

    def keep(self, target: Target, table: pa.Table) -> None:
        """Hand a table on to later targets of this job, if one needs it."""
        if self.wants(target):
            self._memo[(target.table, target.partition)] = self.part(target.table, table)

    def forget(self, partition: str) -> None:
        """Drop tables of a partition that no later target of this job needs."""
        for key in [key for key in self._memo if key[1] == partition]:
            del self._memo[key]

    def load(self, name: str, partition: str, columns: tuple[str, ...]) -> pa.Table:
        """Read an input: from memory if this job has it there, else from the lake, if it is still what was planned.

        What several targets read is read once.

        Raises
        ------
        PartitionError
            If the partition is missing, damaged, or another one than the plan saw.
        """
        if (name, partition) in self._memo:
            table = self._memo[(name, partition)]
            return table.select(columns) if columns else table
        spec = self.table(name)
        expected = {ref.partition: ref.fingerprint for ref in self.job.inputs.get(name, ())}
        history = expected[partition]
        if self._wanted[(name, partition)] < 2:  # noqa: PLR2004
            return self.lake.read(spec, partition, columns, fingerprint=history)
        self._memo[(name, partition)] = self.lake.read(spec, partition, self._columns_read(name), fingerprint=history)
        return self.load(name, partition, columns)

    def stream(self, name: str, partition: str, columns: tuple[str, ...]) -> Stream:
        """An input piece by piece; errors as of `load`, when it is walked."""
        if (name, partition) in self._memo:
            return WholeTable(self.load(name, partition, columns))
        expected = {ref.partition: ref.fingerprint for ref in self.job.inputs.get(name, ())}
        return self.lake.batches(self.table(name), partition, columns, fingerprint=expected[partition])


def target_sessions(table: Table, partition: str) -> list[Session]:
    """The calendar sessions of a partition: one, or those of its week; none of a symbol, or of a whole table."""
    if table.grain in ("symbol", "once"):
        return []
    date = dt.date.fromisoformat(partition)
    if table.grain == "week":
        return [calendar().session(day) for day in calendar().week(date)]
    return [calendar().session(date)]


def build_family(work: Work, targets: tuple[Target, ...]) -> Iterator[Built]:
    """Read what a family requires, compute all targets at once, commit each partition."""
    stage = stage_named(targets[0].stage)
    table = stage.table(work.params(stage))
    result, parts = compute_family(work, targets)
    first = targets[0].partition
    for target, part in zip(targets, parts, strict=True):
        manifest = work.manifest(stage, target, part.num_rows, dict(result.facts))
        receipt = work.lake.write(table, target.partition, part, manifest)
        work.keep(target, part)
        yield Built(target, receipt, tuple(f for f in result.findings if (f.partition or first) == target.partition))


def compute_family(work: Work, targets: tuple[Target, ...]) -> tuple[Result, list[pa.Table]]:
    """What a family makes of all targets at once, and the rows of each; nothing is written."""
    stage = stage_named(targets[0].stage)
    params = work.params(stage)
    table = stage.table(params)
    compute = family_catalog()[stage.name].compute
    if table.grain == "once":
        result = compute(_undated_inputs(work, stage, ()), params)
        return result, [result.table]
    if table.grain == "symbol":
        symbols = tuple(target.partition for target in targets)
        result = compute(_undated_inputs(work, stage, symbols), params)
        return result, split_by_symbol(result.table, symbols)
    sessions = tuple(itertools.chain.from_iterable(target_sessions(table, t.partition) for t in targets))
    result = compute(_inputs(work, stage, targets, sessions), params)
    dates = [dt.date.fromisoformat(target.partition) for target in targets]
    return result, split_table(result.table, table.split_column, dates)


def _inputs(work: Work, stage: Stage, targets: Sequence[Target], sessions: tuple[Session, ...]) -> Inputs:
    reads = stage.reads(work.params(stage))
    spans = [span for target in targets for span in target.needs]
    tables: dict[str, dict[dt.date | None, pa.Table]] = {}
    streams: dict[str, dict[dt.date, Stream]] = {}
    own = {session.date for session in sessions}
    dated = set(own)
    for name in dict.fromkeys(read.table for read in reads):
        if work.table(name).grain == "once":
            continue
        columns = {mine: _columns(reads, name, own=mine) for mine in (True, False)}
        wanted = [ref.partition for ref in work.job.inputs.get(name, ())]
        keys = [key for key in wanted if any(span.covers(name, key) for span in spans)]
        dates = {dt.date.fromisoformat(key): key for key in keys}
        if any(read.stream for read in reads if read.table == name):
            streams[name] = {date: work.stream(name, key, columns[True]) for date, key in dates.items()}
            continue
        tables[name] = {date: work.load(name, key, columns[date in own]) for date, key in dates.items()}
        dated.update(day for day in tables[name] if day is not None)
    before = max((read.before for read in reads), default=0)
    first, last = calendar().offset(sessions[0].date, -before), sessions[-1].date
    for read in reads:
        tables.update(_once(work, read, first, last))
    known = {date: calendar().session(date) for date in sorted(dated) if date in calendar()}
    return Inputs(targets=sessions, tables=tables, sessions=known, streams=streams)


def _undated_inputs(work: Work, stage: Stage, symbols: tuple[str, ...]) -> Inputs:
    """What a family of symbols, or of one file, reads: partitions of its symbols (or of all), and whole tables."""
    reads = stage.reads(work.params(stage))
    tables: dict[str, dict[dt.date | None, pa.Table]] = {}
    by_symbol: dict[str, dict[str, pa.Table]] = {}
    for name in dict.fromkeys(read.table for read in reads):
        columns = _columns(reads, name, own=True)
        keys = [ref.partition for ref in work.job.inputs.get(name, ())]
        if work.table(name).grain == "once":
            tables |= {name: {None: work.load(name, ONCE, columns)}} if keys else {}
        elif work.table(name).grain == "session":
            tables[name] = {dt.date.fromisoformat(key): work.load(name, key, columns) for key in keys}
        else:
            wanted = [key for key in keys if not symbols or key in symbols]
            by_symbol[name] = {key: work.load(name, key, columns) for key in wanted}
    return Inputs((), tables, symbols=symbols, by_symbol=by_symbol)


def _columns(reads: Sequence[Read], table: str, *, own: bool) -> tuple[str, ...]:
    """The columns of one table that its reads want together; empty means all.

    Sessions that are only looked back on need few of them: a window of 90 sessions is read in half the time.
    """
    wanted = [read.columns for read in reads if read.table == table and (own or read.before or read.after)]
    return () if () in wanted else tuple(dict.fromkeys(name for columns in wanted for name in columns))


def _once(work: Work, read: Read, first: dt.date, last: dt.date) -> dict[str, dict[dt.date | None, pa.Table]]:
    if work.table(read.table).grain != "once" or not work.job.inputs.get(read.table):
        return {}
    table = work.load(read.table, "all", read.columns)
    return {read.table: {None: read.rows(table, first, last) if read.rows else table}}


# --- one job -----------------------------------------------------------------------------------


def run_job(job: Job) -> list[Outcome]:
    """Build every target of a job.

    Returns
    -------
    One Outcome per target, in order. Exceptions, ``sys.exit`` and panics of native libraries become
    Outcomes; only KeyboardInterrupt passes.
    """
    try:
        work = Work(job)
    except Exception as error:  # noqa: BLE001 - the boundary: everything becomes an Outcome
        return failed_outcomes(job.targets, describe(error))
    outcomes: list[Outcome] = []
    failed: set[tuple[str, str]] = set()
    for targets in _batches(work, job.targets):
        ready = tuple(t for t in targets if not any(s.covers(*bad) for s in t.needs for bad in failed))
        blocked = tuple(t for t in targets if t not in ready)
        outcomes += failed_outcomes(blocked, Failure("BlockedError", "an input failed in the same job"), "blocked")
        outcomes += _run_batch(work, ready) if ready else []
        failed |= {(o.table, o.partition) for o in outcomes if o.status != "built"}
        if targets[-1] is _last_of_partition(job.targets, targets[-1].partition):
            work.forget(targets[-1].partition)
        give_back_if_large()
    if job.cost >= _COLLECT_ABOVE_CPU_SECONDS:
        collect()
    return outcomes


def run_job_json(text: str) -> str:
    """`run_job` for executors that carry text."""
    import json

    return json.dumps([outcome.to_dict() for outcome in run_job(Job.from_json(text))])


def _batches(work: Work, targets: tuple[Target, ...]) -> list[tuple[Target, ...]]:
    """Consecutive targets of one family are computed together, as many as its chunk allows.

    Sources, and tables that continue, are built one by one.
    """
    found: list[tuple[Target, ...]] = []
    for name, group in itertools.groupby(targets, key=lambda target: target.stage):
        stage = stage_named(name)
        together = name in family_catalog() and not stage.continues(work.params(stage))
        size, own = max(stage.chunk, 1) if together else 1, tuple(group)
        found += [own[i : i + size] for i in range(0, len(own), size)]
    return found


def _last_of_partition(targets: tuple[Target, ...], partition: str) -> Target:
    return [target for target in targets if target.partition == partition][-1]


def _run_batch(work: Work, targets: tuple[Target, ...]) -> list[Outcome]:
    """Build targets of one stage together; if that fails, one by one, so that one bad input fails alone."""
    try:
        return _build(work, targets)
    except UserDataError as error:
        if len(targets) == 1:
            return failed_outcomes(targets, describe(error))
        return [outcome for target in targets for outcome in _run_batch(work, (target,))]
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - SystemExit and native panics are not Exceptions
        return failed_outcomes(targets, describe(error))


def _build(work: Work, targets: tuple[Target, ...]) -> list[Outcome]:
    stage = stage_named(targets[0].stage)
    outcomes = []
    wall, cpu = time.perf_counter(), time.process_time()
    for built in stage.build(work, targets):
        now, now_cpu = time.perf_counter(), time.process_time()
        outcomes.append(_built(built, now - wall, now_cpu - cpu))
        wall, cpu = now, now_cpu
    return outcomes


def _built(built: Built, seconds: float, cpu_seconds: float) -> Outcome:
    return Outcome(
        stage=built.target.stage,
        table=built.target.table,
        partition=built.target.partition,
        status="built",
        reason=built.target.reason,
        rows=built.receipt.rows,
        bytes=built.receipt.bytes,
        sha256=built.receipt.sha256,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        peak_rss_bytes=peak_rss_bytes(),
        findings=built.findings,
        rss_bytes=resident_bytes(),
        columns=built.receipt.columns,
    )


def describe(error: BaseException) -> Failure:
    """An exception as values: one line for people, the trace for the log."""
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, RaypipeError):
        values = {name: str(value) for name, value in error.values.items()}
        return Failure(type(error).__name__, str(error), values, error.exit_code, trace)
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, SystemExit):
        text = f"the code called sys.exit({error.code})"
    return Failure(type(error).__name__, text, {}, 1, trace)


def plain(params: Params) -> dict[str, Any]:
    """Parameters as plain values, ready for JSON."""
    return params.model_dump(mode="json")
