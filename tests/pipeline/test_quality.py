"""Coverage against the sessions before: short sessions are named, usual ones are not."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raypipe.calendar import calendar
from raypipe.lake.location import Location
from raypipe.lake.manifest import Manifest
from raypipe.lake.store import Lake
from raypipe.pipeline.job import Outcome
from raypipe.pipeline.quality import check_coverage
from raypipe.schema.frames import date_array
from raypipe.schema.spec import Table
from raypipe.schema.tables import DAY_AGGS, MINUTE_AGGS

SESSIONS = calendar().dates(dt.date(2025, 9, 2), dt.date(2025, 9, 30))


def write(lake: Lake, table: Table, date: dt.date, symbols: int, minutes_before_close: int = 1) -> Outcome:
    session = calendar().session(date)
    last = session.close_ns - minutes_before_close * 60 * 10**9
    names = [f"S{i:03d}" for i in range(symbols)]
    price = pa.array(np.full(symbols, 10.0))
    columns = {
        "session": date_array(date, symbols),
        "symbol": pa.array(names).dictionary_encode(),
        "window_start_ns": pa.array(np.full(symbols, session.midnight_ns if table is DAY_AGGS else last)),
        **dict.fromkeys(("open", "high", "low", "close", "volume"), price),
        "transactions": pa.nulls(symbols, pa.int32()),
    }
    if table is MINUTE_AGGS:
        columns["segment"] = pa.array(["rth"] * symbols).dictionary_encode()
    facts = {"symbols": str(symbols), "last_ns": str(last), "rth_close_ns": str(session.close_ns)}
    manifest = Manifest(table.name, session.key, "f", 1, "p", table.digest, {}, symbols, "0", facts)
    lake.write(table, session.key, table.build(columns), manifest)
    return Outcome("day_aggs", table.name, session.key, "built")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(Location.parse(str(tmp_path)))


@pytest.mark.parametrize(("symbols", "level"), [(100, None), (96, None), (94, "warning"), (79, "failed")])
def test_fewer_symbols_than_usual(lake: Lake, symbols: int, level: str | None) -> None:
    for date in SESSIONS[:-1]:
        write(lake, DAY_AGGS, date, 100)
    found = check_coverage(lake, [write(lake, DAY_AGGS, SESSIONS[-1], symbols)])
    assert [f.level for f in found] == ([] if level is None else [level, level])
    assert {f.kind for f in found} <= {"few_rows", "few_symbols"}


def test_the_first_sessions_have_nothing_to_be_held_against(lake: Lake) -> None:
    outcomes = [
        write(lake, DAY_AGGS, date, symbols) for date, symbols in zip(SESSIONS[:4], (100, 1, 1, 1), strict=True)
    ]
    assert check_coverage(lake, outcomes) == []


def test_only_what_was_built_is_judged(lake: Lake) -> None:
    for date in SESSIONS:
        write(lake, DAY_AGGS, date, 100)
    write(lake, DAY_AGGS, SESSIONS[-2], 10)
    assert check_coverage(lake, [write(lake, DAY_AGGS, SESSIONS[-1], 100)]) == []


def test_an_early_close_is_not_short_of_bars(lake: Lake) -> None:
    """210 minutes of bars where the sessions before had 390."""
    sessions = calendar().dates(dt.date(2025, 11, 10), dt.date(2025, 11, 28))
    for date in sessions[:-1]:
        write(lake, MINUTE_AGGS, date, 390)
    rows = [f for f in check_coverage(lake, [write(lake, MINUTE_AGGS, sessions[-1], 210)]) if f.kind == "few_rows"]
    assert rows == []


@pytest.mark.parametrize(("minutes", "kinds"), [(15, []), (16, ["quiet_end"])])
def test_a_file_that_ends_before_the_close(lake: Lake, minutes: int, kinds: list[str]) -> None:
    found = check_coverage(lake, [write(lake, MINUTE_AGGS, SESSIONS[0], 3, minutes)])
    assert [f.kind for f in found] == kinds
