"""Run records: ``runs/{run_id}/run.json`` in the lake, the machine's truth about a run.

It is written when a run starts (so that a run whose driver died can be retried) and again when it ends.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from raypipe.errors import UsageError
from raypipe.lake.names import check_run_id
from raypipe.lake.store import Lake
from raypipe.pipeline.job import Outcome
from raypipe.pipeline.plan import Plan

__all__ = [
    "RECORD_SCHEMA",
    "RunRecord",
    "by_stage",
    "chosen_run",
    "last_run",
    "new_run_id",
    "read_record",
    "record_key",
    "run_ids",
    "unfinished",
    "write_record",
]

#: 2: memory over time, columns, drift, machine, lineage and the whole command; 3: models. Records of 1 and 2 are read,
#: without them.
RECORD_SCHEMA = 3
_READABLE = (1, 2, 3)
_SUMMED = ("rows", "bytes", "seconds", "cpu_seconds")
#: Ids of runs that build tables, as `new_run_id` makes them; searches for models stand in ``runs/`` too.
_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")


@dataclass(slots=True)
class RunRecord:
    """One run.

    Attributes
    ----------
    run_id, command, executor, workers
        Which run, the command line that reproduces it, and who ran it.
    started_ns, finished_ns
        Nanoseconds UTC; ``finished_ns`` is None while it runs, or if its driver died.
    status, exit_code
        ``running``, ``done``, ``failed`` or ``stopped``.
    planned
        (table, partition) of everything the run set out to build.
    blocked
        (table, partition, reason) of what it could not even try.
    outcomes
        What became of each target.
    quality
        Data-quality findings over the whole run.
    config, origin
        Every configuration value, secrets masked; where those that are not defaults come from, and hashes of files.
    repeat
        The command with every value from files and environment spelled out.
    code_version, versions, machine
        Of raypipe; of each stage that ran; CPUs, memory, Python and libraries of the driver's machine.
    peak_rss_bytes, memory
        The driver's peak; memory of driver and workers over time, see `raypipe.pipeline.watch.MemoryTrace`.
    stages
        Per stage: partitions, rows, bytes, seconds, CPU seconds and peak memory of what it built.
    lineage
        Per table built and table read: first and last partition, how many, digest of their fingerprints.
    columns
        Per table: columns with nulls or one value only, see `raypipe.pipeline.watch.ColumnSums`.
    drift
        Per gold table: its features' newest values in short, see `raypipe.pipeline.drift`.
    models
        Of models that follow the tables: ``target``, ``status`` (``pending`` until they end), then ``exit_code`` and
        the search's ``run_id``; empty if none follow. ``exit_code`` of the record is that of the tables.
    """

    run_id: str
    command: str
    executor: str
    workers: int
    started_ns: int
    finished_ns: int | None = None
    status: str = "running"
    exit_code: int | None = None
    planned: list[tuple[str, str]] = field(default_factory=list)
    blocked: list[tuple[str, str, str]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    quality: list[dict[str, Any]] = field(default_factory=list)
    config: Mapping[str, Any] = field(default_factory=dict)
    code_version: str = ""
    peak_rss_bytes: int = 0
    origin: Mapping[str, Any] = field(default_factory=dict)
    repeat: str = ""
    versions: Mapping[str, int] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    memory: Mapping[str, Any] = field(default_factory=dict)
    stages: list[dict[str, Any]] = field(default_factory=list)
    lineage: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)
    drift: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """The document that is stored."""
        raw = {**asdict(self), "outcomes": [_stored(outcome) for outcome in self.outcomes]}
        return json.dumps({"schema": RECORD_SCHEMA, **raw}, indent=1, sort_keys=True)

    def plan(self, plan: Plan) -> None:
        """Note what the run sets out to do."""
        self.planned = [(item.table, item.partition) for item in plan.to_build]
        self.blocked = [(item.table, item.partition, item.reason) for item in plan.blocked]


def new_run_id(now_ns: int) -> str:
    """A name that sorts by start time: ``20250102T030405Z-1a2b3c``."""
    import datetime as dt

    moment = dt.datetime.fromtimestamp(now_ns // 10**9, dt.UTC)
    # Of the second, so that runs which begin in the same one sort too.
    part = (now_ns % 10**9 << 16) // 10**9
    return f"{moment:%Y%m%dT%H%M%SZ}-{part:04x}{secrets.token_hex(1)}"


def record_key(run_id: str) -> str:
    """Where a run's record stands in the lake."""
    return f"runs/{check_run_id(run_id)}/run.json"


def write_record(lake: Lake, record: RunRecord) -> str:
    """Store a record, replacing an earlier state of it. Returns its key."""
    key = record_key(record.run_id)
    lake.store.put_bytes(key, record.to_json().encode())
    return key


def read_record(lake: Lake, run_id: str) -> RunRecord:
    """Load the record of a run.

    Raises
    ------
    UsageError
        If there is none, or it was written by a newer raypipe.
    """
    key = record_key(run_id)
    if lake.store.stat(key) is None:
        msg = f"there is no run {run_id}"
        raise UsageError(msg, hint="`raypipe status` shows the lake; runs/ holds the records")
    raw = json.loads(lake.store.read(key))
    if raw.pop("schema", None) not in _READABLE:
        msg = f"run {run_id} was recorded by another version of raypipe"
        raise UsageError(msg, hint="use the version that made it")
    outcomes = [Outcome.from_dict(outcome) for outcome in raw.pop("outcomes")]
    planned = [tuple(item) for item in raw.pop("planned")]
    blocked = [tuple(item) for item in raw.pop("blocked")]
    return RunRecord(**raw, outcomes=outcomes, planned=planned, blocked=blocked)


def run_ids(lake: Lake) -> list[str]:
    """The ids of all runs that built tables, the latest first."""
    keys = (stat.key.split("/") for stat in lake.store.list("runs/") if stat.key.endswith("/run.json"))
    return sorted((key[1] for key in keys if len(key) == 3 and _RUN_ID.fullmatch(key[1])), reverse=True)  # noqa: PLR2004


def last_run(lake: Lake) -> str | None:
    """The id of the latest run, or None."""
    return next(iter(run_ids(lake)), None)


def chosen_run(lake: Lake, run_id: str | None, purpose: str) -> str:
    """The id that a person gave, else that of the latest run.

    Raises
    ------
    UsageError
        If there is no run yet; ``purpose`` says to do what.
    """
    name = run_id or last_run(lake)
    if name is None:
        msg = f"there is no run to {purpose}"
        raise UsageError(msg, hint="start one: raypipe run")
    return name


def by_stage(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """What each stage built, and what it cost, in the order of their first partitions."""
    found: dict[str, dict[str, Any]] = {}
    for outcome in outcomes:
        if outcome.status != "built":
            continue
        row = found.setdefault(outcome.stage, {"stage": outcome.stage, "partitions": 0, **dict.fromkeys(_SUMMED, 0)})
        row["partitions"] += 1
        for name in _SUMMED:
            row[name] = round(row[name] + getattr(outcome, name), 6)
        row["peak_rss_bytes"] = max(row.get("peak_rss_bytes", 0), outcome.peak_rss_bytes)
    return list(found.values())


def _stored(outcome: Outcome) -> dict[str, Any]:
    """An outcome as it is kept: its columns are summed up in the record."""
    raw = outcome.to_dict()
    del raw["columns"]
    return raw


def unfinished(record: RunRecord) -> frozenset[tuple[str, str]]:
    """What a run set out to build and did not: what a retry does."""
    built = {(outcome.table, outcome.partition) for outcome in record.outcomes if outcome.status == "built"}
    blocked = {(table, partition) for table, partition, _ in record.blocked}
    return frozenset({*record.planned, *blocked} - built)
