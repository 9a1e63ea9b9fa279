"""Run records: ``runs/{run_id}/run.json`` in the lake, the machine's truth about a run.

It is written when a run starts (so that a run whose driver died can be retried) and again when it ends.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from raypipe.errors import UsageError
from raypipe.lake.names import check_run_id
from raypipe.lake.store import Lake
from raypipe.pipeline.job import Outcome
from raypipe.pipeline.plan import Plan

__all__ = ["RECORD_SCHEMA", "RunRecord", "last_run", "new_run_id", "read_record", "unfinished", "write_record"]

RECORD_SCHEMA = 1


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
    config
        Every configuration value, secrets masked.
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

    def to_json(self) -> str:
        """The document that is stored."""
        return json.dumps({"schema": RECORD_SCHEMA, **asdict(self)}, indent=1, sort_keys=True)

    def plan(self, plan: Plan) -> None:
        """Note what the run sets out to do."""
        self.planned = [(item.table, item.partition) for item in plan.to_build]
        self.blocked = [(item.table, item.partition, item.reason) for item in plan.blocked]


def new_run_id(now_ns: int) -> str:
    """A name that sorts by start time: ``20250102T030405Z-1a2b3c``."""
    import datetime as dt

    moment = dt.datetime.fromtimestamp(now_ns // 10**9, dt.UTC)
    return f"{moment:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


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
    if raw.pop("schema") != RECORD_SCHEMA:
        msg = f"run {run_id} was recorded by another version of raypipe"
        raise UsageError(msg, hint="use the version that made it")
    outcomes = [Outcome.from_dict(outcome) for outcome in raw.pop("outcomes")]
    planned = [tuple(item) for item in raw.pop("planned")]
    blocked = [tuple(item) for item in raw.pop("blocked")]
    return RunRecord(**raw, outcomes=outcomes, planned=planned, blocked=blocked)


def last_run(lake: Lake) -> str | None:
    """The id of the latest run, or None."""
    names = {stat.key.split("/")[1] for stat in lake.store.list("runs/") if stat.key.endswith("/run.json")}
    return max(names, default=None)


def unfinished(record: RunRecord) -> frozenset[tuple[str, str]]:
    """What a run set out to build and did not: what a retry does."""
    built = {(outcome.table, outcome.partition) for outcome in record.outcomes if outcome.status == "built"}
    blocked = {(table, partition) for table, partition, _ in record.blocked}
    return frozenset({*record.planned, *blocked} - built)
