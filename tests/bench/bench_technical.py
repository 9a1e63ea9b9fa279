"""Cost of technical features per row, beside TA-Lib per symbol and pandas per group, in CPU time of one thread.

The aims: 2,000 symbols x 80 sessions in 0.20 s (0.8 s with 80 partitions read and written), 4 us a row where the whole
memory of 260 sessions is there, and 50 times less than pandas.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from raypipe.calendar import Session, calendar
from raypipe.features.daily import DAILY
from raypipe.features.technical import FAMILY, TECHNICAL, TechnicalParams
from raypipe.kernels._jit import as_input
from raypipe.kernels.technical import INDICATORS, technical
from raypipe.lake.location import Location
from raypipe.lake.manifest import Manifest
from raypipe.lake.store import Lake
from raypipe.schema.family import Inputs
from raypipe.schema.frames import date_array, dictionary_array, split_table
from tests.reference.technical_libraries import BY_TALIB, by_pandas

pytestmark = [pytest.mark.bench, pytest.mark.benchmark(timer=time.process_time, group="technical")]

LAST = dt.date(2025, 2, 5)
SYMBOLS, SESSIONS, MEMORY, CHUNK = 2_000, 80, 260, 63
PANDAS_SYMBOLS = 40


def bars(sessions: int, symbols: int) -> dict[str, np.ndarray]:
    """Random walks, float64 (sessions, symbols) each."""
    rng = np.random.default_rng(7)
    close = np.round(20 * np.exp(np.cumsum(rng.normal(0, 0.02, (sessions, symbols)), axis=0)), 2) + 0.5
    high, low = (close + sign * rng.integers(0, 40, close.shape) / 100 for sign in (1, -1))
    return {"open": low, "high": high, "low": low, "close": close, "volume": rng.integers(1, 10**6, close.shape) * 1.0}


def day_tables(sessions: list[Session], symbols: int) -> dict[dt.date | None, pa.Table]:
    """`silver/daily` in the columns that technical features read."""
    names = pa.array([f"S{i:05d}" for i in range(symbols)])
    codes = np.arange(symbols, dtype=np.int32)
    columns = bars(len(sessions), symbols)
    return {
        session.date: pa.table(
            {"symbol": dictionary_array(codes, names)} | {name: values[i] for name, values in columns.items()}
        )
        for i, session in enumerate(sessions)
    }


def inputs(before: int, targets: int, symbols: int = SYMBOLS) -> Inputs:
    sessions = calendar().between(calendar().offset(LAST, 1 - before - targets), LAST)
    return Inputs(tuple(sessions[before:]), {DAILY.name: day_tables(sessions, symbols)})


def measure(benchmark: BenchmarkFixture, run: Callable[[], Any], rows: int, rounds: int = 5) -> Any:
    result = benchmark.pedantic(run, rounds=rounds, warmup_rounds=1)
    if benchmark.stats:
        benchmark.extra_info["us_per_row"] = round(benchmark.stats.stats.min / rows * 1e6, 3)
    return result


@pytest.mark.parametrize(
    ("before", "targets"), [(0, SESSIONS), (MEMORY - 1, CHUNK), (MEMORY - 1, 1)], ids=["lake of 80", "chunk", "one"]
)
def test_family(benchmark: BenchmarkFixture, before: int, targets: int) -> None:
    """Tables to table: all of a short lake, a chunk of sessions with the whole memory, and one session alone."""
    given = inputs(before, targets)
    rows = targets * SYMBOLS
    result = measure(benchmark, lambda: FAMILY.compute(given, TechnicalParams()), rows)
    assert result.table.num_rows == rows


def test_kernel(benchmark: BenchmarkFixture) -> None:
    """Arrays to arrays over the lake of 80: what TA-Lib's cost compares with."""
    columns = bars(SESSIONS, SYMBOLS)
    high, low, close, volume = (as_input(columns[name]) for name in ("high", "low", "close", "volume"))
    ratios = as_input(np.ones(close.shape))
    places = as_input(np.arange(close.size).reshape(close.shape))
    targets = as_input(np.arange(SESSIONS))
    out = np.empty((len(INDICATORS), close.size))
    measure(benchmark, lambda: technical(high, low, close, volume, ratios, targets, places, MEMORY, out), close.size)


def test_talib_per_symbol(benchmark: BenchmarkFixture) -> None:
    """TA-Lib over the lake of 80, symbol by symbol on ready arrays: no look-up, no table, no bands, flags or VWAP."""
    columns = bars(SESSIONS, SYMBOLS)
    symbols = [
        tuple(np.ascontiguousarray(columns[name][:, i]) for name in ("high", "low", "close", "volume"))
        for i in range(SYMBOLS)
    ]

    def run() -> None:
        for arrays in symbols:
            for of in BY_TALIB.values():
                of(*arrays)

    measure(benchmark, run, SESSIONS * SYMBOLS)


def test_pandas_per_group(benchmark: BenchmarkFixture) -> None:
    """Pandas, group by group, over a share of the lake of 80; and how many times our cost per row that is."""
    columns = {name: values.T.ravel() for name, values in bars(SESSIONS, PANDAS_SYMBOLS).items()}
    long = pd.DataFrame({"symbol": np.repeat(np.arange(PANDAS_SYMBOLS), SESSIONS), **columns})
    rows = len(long)
    found = measure(benchmark, lambda: long.groupby("symbol")[list(columns)].apply(by_pandas), rows, rounds=2)
    assert len(found) == rows
    given = inputs(0, SESSIONS)
    FAMILY.compute(given, TechnicalParams())
    start = time.process_time()
    FAMILY.compute(given, TechnicalParams())
    ours = (time.process_time() - start) / (SESSIONS * SYMBOLS)
    if benchmark.stats:
        benchmark.extra_info["times_our_cost"] = round(benchmark.stats.stats.min / rows / ours)


def test_read_compute_write(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """The lake of 80, from day partitions to feature partitions."""
    lake = Lake(Location.parse(str(tmp_path)))
    given = inputs(0, SESSIONS)
    for session in given.targets:
        table = full_daily(given.partitions(DAILY.name)[session.date], session)
        lake.write(DAILY, session.key, table, manifest(DAILY.name, session.key, DAILY.digest, table.num_rows))

    def run() -> None:
        columns = ("symbol", "open", "high", "low", "close", "volume")
        tables = {session.date: lake.read(DAILY, session.key, columns) for session in given.targets}
        result = FAMILY.compute(Inputs(given.targets, {DAILY.name: tables}), TechnicalParams())
        dates = [session.date for session in given.targets]
        for session, part in zip(given.targets, split_table(result.table, "session", dates), strict=True):
            facts = manifest(TECHNICAL.name, session.key, TECHNICAL.digest, part.num_rows)
            lake.write(TECHNICAL, session.key, part, facts)

    measure(benchmark, run, SESSIONS * SYMBOLS, rounds=3)


def full_daily(table: pa.Table, session: Session) -> pa.Table:
    """The other columns of `silver/daily`, null where they may be."""
    rows = table.num_rows
    ready = {
        "session": date_array(session.date, rows),
        "split_ratio": pa.array(np.ones(rows)),
        "close_in_band": pa.array(np.ones(rows, dtype=bool)),
        "dollar_volume": table["close"],
        "available_ns": pa.array(np.full(rows, session.ext_end_ns)),
        **{name: table[name] for name in table.column_names},
    }
    return DAILY.build({name: ready.get(name, pa.nulls(rows, DAILY[name].arrow.type)) for name in DAILY.names})


def manifest(table: str, partition: str, schema: str, rows: int) -> Manifest:
    return Manifest(table, partition, "f", 1, "p", schema, {}, rows, "1")
