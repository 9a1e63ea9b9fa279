"""Rows of the sessions before those that a run built: what a nightly run of one session is held against."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from raypipe.errors import PartitionError
from raypipe.lake.store import Lake
from raypipe.pipeline.job import Outcome
from raypipe.schema.spec import Table

__all__ = ["COVERAGE_SESSIONS", "rows_before"]

#: Sessions whose median is what is usual.
COVERAGE_SESSIONS = 20
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_READERS = 8


def rows_before(lake: Lake, tables: Mapping[str, Table], outcomes: Iterable[Outcome]) -> dict[str, dict[str, int]]:
    """Per table the rows of sessions that precede those built, from footers.

    Returns
    -------
    As many sessions as are missing to `COVERAGE_SESSIONS` before the newest one built; none where a run built enough
    itself. Damaged partitions are passed over: other parts of the page name them.
    """
    built: dict[str, set[str]] = defaultdict(set)
    for outcome in outcomes:
        if outcome.status == "built" and outcome.table in tables and _DATE.fullmatch(outcome.partition):
            built[outcome.table].add(outcome.partition)
    found = {}
    for name, own in built.items():
        wanted = COVERAGE_SESSIONS + 1 - len(own)
        if wanted <= 0:
            continue
        earlier = [key for key in lake.partitions(tables[name]) if key < max(own) and key not in own]
        found[name] = _rows(lake, tables[name], earlier[-wanted:])
    return found


def _rows(lake: Lake, table: Table, partitions: list[str]) -> dict[str, int]:
    with ThreadPoolExecutor(_READERS) as pool:
        rows = pool.map(lambda partition: _rows_of(lake, table, partition), partitions)
        return {partition: n for partition, n in zip(partitions, rows, strict=True) if n is not None}


def _rows_of(lake: Lake, table: Table, partition: str) -> int | None:
    try:
        manifest = lake.manifest(table, partition)
    except PartitionError:
        return None
    return manifest.rows if manifest else None
