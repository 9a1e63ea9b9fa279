"""Cost of the day-level families on a full market, in CPU milliseconds of compute per session.

10,500 symbols, built 63 sessions at a time and one alone. Beside them, on the same bars: what polars needs for the
same returns by rows, which knows neither sessions nor splits. Must: at most 10 ms a session.
"""

from __future__ import annotations

import os

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # read once, when polars is imported

import datetime as dt
import time
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from raypipe.calendar import Session, calendar
from raypipe.features import daily, filtered, symbols, weekly
from raypipe.schema.family import Family, Inputs
from raypipe.schema.frames import split_table
from raypipe.schema.tables import DAY_AGGS, REFERENCE, SPLITS
from tests.contracts.market import Market, read
from tests.features.bars import Fixed

SYMBOLS, CHUNK, BEFORE, MUST_MS = 10_500, 63, 95, 10.0
LAST = dt.date(2025, 12, 31)


@lru_cache(maxsize=1)
def market() -> Market:
    """Bronze and, built from it, the silver tables that the families read."""
    rng = np.random.default_rng(7)
    picked = np.sort(rng.choice(26**4, SYMBOLS * 20 // 19, replace=False))
    names = np.array(["".join(chr(65 + code // 26**k % 26) for k in (3, 2, 1, 0)) for code in picked.tolist()])
    sessions = calendar().between(calendar().offset(LAST, 1 - CHUNK - BEFORE), LAST)
    price = rng.lognormal(2.5, 1.2, len(names))
    bars: dict[dt.date | None, pa.Table] = {}
    for session in sessions:
        price = price * np.exp(rng.normal(0, 0.02, len(names)))
        bars[session.date] = day_bars(rng, session, names, price)
    pairs = sorted({(str(rng.choice(names)), sessions[int(rng.integers(len(sessions)))].date) for _ in range(400)})
    splits = SPLITS.build(
        {
            "symbol": pa.array([symbol for symbol, _ in pairs]).dictionary_encode(),
            "ex_session": pa.array([date for _, date in pairs], pa.date32()),
            "split_ratio": pa.array(np.full(len(pairs), 4.0)),
        }
    )
    made = Fixed(sessions, tables={DAY_AGGS.name: bars, SPLITS.name: {None: splits}, REFERENCE.name: {}})
    for family in (symbols.FAMILY, daily.FAMILY):
        table = family.compute(read(made, family, family.params(), sessions), family.params()).table
        parts = split_table(table, "session", list(bars))
        made = Fixed(sessions, tables={**made.tables, family.table(None).name: dict(zip(bars, parts, strict=True))})
    return made


def day_bars(rng: np.random.Generator, session: Session, names: np.ndarray, price: np.ndarray) -> pa.Table:
    here = np.flatnonzero(rng.random(len(names)) < 0.95)
    close, count = price[here], len(here)
    return DAY_AGGS.build(
        {
            "session": pa.array([session.date] * count, pa.date32()),
            "symbol": pa.array(names[here]).dictionary_encode(),
            "window_start_ns": pa.array(np.full(count, session.midnight_ns)),
            "open": pa.array(close * 1.01),
            "high": pa.array(close * 1.02),
            "low": pa.array(close * 0.98),
            "close": pa.array(close),
            "volume": pa.array(rng.lognormal(12, 2, count).round()),
            "transactions": pa.array(np.ones(count, np.int32)),
        }
    )


def inputs_of(family: Family, targets: Sequence[Session]) -> Inputs:
    return read(market(), family, family.params(), targets)


FAMILIES = pytest.mark.parametrize(
    "family", [symbols.FAMILY, daily.FAMILY, weekly.FAMILY, filtered.FAMILY], ids=lambda f: f.name
)


@FAMILIES
@pytest.mark.benchmark(group="63 sessions of 10,500 symbols, CPU seconds", timer=time.process_time)
def bench_chunk(benchmark: BenchmarkFixture, family: Family) -> None:
    inputs = inputs_of(family, market().sessions[-CHUNK:])
    rows = benchmark.pedantic(family.compute, args=(inputs, family.params()), rounds=5, warmup_rounds=1).table.num_rows
    cost = benchmark.stats.stats.median / CHUNK * 1e3
    benchmark.extra_info.update({"rows": f"{rows:,}", "CPU ms a session": round(cost, 2)})
    assert cost <= MUST_MS


@FAMILIES
@pytest.mark.benchmark(group="one session of 10,500 symbols, CPU seconds", timer=time.process_time)
def bench_single(benchmark: BenchmarkFixture, family: Family) -> None:
    inputs = inputs_of(family, market().sessions[-1:])
    benchmark.pedantic(family.compute, args=(inputs, family.params()), rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group="63 sessions of 10,500 symbols, CPU seconds", timer=time.process_time)
def bench_polars_returns(benchmark: BenchmarkFixture) -> None:
    tables = [market().table(DAY_AGGS.name)[session.date] for session in market().sessions[-CHUNK:]]
    frame = pl.from_arrow(pa.concat_tables(tables).unify_dictionaries())
    assert isinstance(frame, pl.DataFrame)

    def returns() -> None:
        prev = pl.col("close").shift(1).over("symbol")
        frame.with_columns(
            prev.alias("prev_close"),
            (pl.col("close") / prev - 1).alias("ret_d"),
            (pl.col("close") - prev).abs().alias("abs_change_d"),
            (pl.col("close") * pl.col("volume")).alias("dollar_volume"),
        )

    benchmark.pedantic(returns, rounds=5, warmup_rounds=1)
    benchmark.extra_info["CPU ms a session"] = round(benchmark.stats.stats.median / CHUNK * 1e3, 2)
