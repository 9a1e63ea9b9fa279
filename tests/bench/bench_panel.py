"""Cost of the technical panel per value: the kernel, pandas for 30 of its columns, and reading to writing in a lake.

The aims: 100 symbols x 2,700 sessions x 92 columns in 0.25 CPU-s of kernel, and in 1.0 CPU-s with the partitions read
and written.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from raypipe.features.bars_1d import BARS_1D
from raypipe.features.panel_technical import FAMILY, PANEL_TECHNICAL, PanelTechnicalParams
from raypipe.features.ta_windows import KEPT_BYTES, TA_COLUMNS, TA_WINDOWS, TaBars, TaColumns
from raypipe.kernels._jit import as_input
from raypipe.kernels.panel import PANEL_COLUMNS, panel
from raypipe.lake.location import Location
from raypipe.lake.manifest import Manifest
from raypipe.lake.store import Lake
from raypipe.schema.family import Inputs
from raypipe.schema.spec import Table
from tests.features.daily_bars import bars_table, walk

pytestmark = [pytest.mark.bench, pytest.mark.benchmark(timer=time.process_time, group="panel")]

SYMBOLS, SESSIONS, PANDAS_SYMBOLS = 100, 2_700, 10
#: The test calendar is shorter than ten years: a symbol's rows are those of two halves.
HALF = 1_250
NAMES = ("open", "high", "low", "close", "volume", "div_factor")


def tell(benchmark: BenchmarkFixture, values: int) -> None:
    if benchmark.stats:
        benchmark.extra_info["ns_per_value"] = round(benchmark.stats.stats.min / values * 1e9, 2)


@pytest.mark.parametrize(("symbols", "sessions"), [(SYMBOLS, SESSIONS), (2_000, 250)], ids=["long", "many"])
def test_kernel(benchmark: BenchmarkFixture, symbols: int, sessions: int) -> None:
    """Arrays to arrays."""
    rng = np.random.default_rng(7)
    walks = [walk(rng, sessions) for _ in range(symbols)]
    columns = [as_input(np.concatenate([one[name] for one in walks])) for name in NAMES]
    starts = as_input(np.arange(symbols + 1) * sessions)
    out = np.empty((len(PANEL_COLUMNS), symbols * sessions), np.float32)
    benchmark.pedantic(panel, (*columns, starts, out), rounds=3, warmup_rounds=1)
    tell(benchmark, out.size)


@pytest.mark.parametrize("kept", [0, KEPT_BYTES], ids=["made", "kept"])
def test_windows(benchmark: BenchmarkFixture, kept: int) -> None:
    """The nine columns of a configuration of a search over windows, of 46 symbols: made anew, and found again."""
    rng = np.random.default_rng(7)
    bars = TaBars.of([bars_table(walk(rng, HALF)) for _ in range(46)])
    symbol = np.repeat(np.arange(46), HALF)
    columns = TaColumns(bars.rows(symbol, bars.days, bars.known_ns), kept_bytes=kept)
    usual = {name: at for name, (_, _, at) in TA_WINDOWS.items()}
    benchmark.pedantic(columns.of, (usual,), rounds=10, warmup_rounds=1)
    tell(benchmark, len(TA_COLUMNS) * len(symbol))


def test_pandas(benchmark: BenchmarkFixture) -> None:
    """30 columns of means, deviations, skews and extremes, symbol by symbol."""
    rng = np.random.default_rng(7)
    walks = [pd.DataFrame(walk(rng, SESSIONS)) for _ in range(PANDAS_SYMBOLS)]

    def run() -> None:
        for bars in walks:
            close, volume = bars["close"] * bars["div_factor"], bars["volume"]
            r = close.pct_change()
            found = [close / close.shift(w) - 1 for w in (1, 5, 10, 20, 50, 100)]
            found += [close / close.rolling(w).mean() - 1 for w in (5, 10, 20, 50, 100, 200)]
            found += [r.rolling(w).std() for w in (5, 10, 20, 50, 100, 252)]
            found += [volume / volume.rolling(w).mean() for w in (5, 10, 20, 50)]
            found += [r.rolling(w).skew() for w in (20, 60)] + [r.rolling(w).kurt() for w in (20, 60)]
            found += [r.rolling(w).corr(r.shift()) for w in (20, 60)]
            found += [close / close.rolling(252).max() - 1, close.rolling(200).min()]
            assert len(found) == 30

    benchmark.pedantic(run, rounds=2, warmup_rounds=1)
    tell(benchmark, 30 * PANDAS_SYMBOLS * SESSIONS)


def manifest(table: Table, partition: str) -> Manifest:
    return Manifest(table.name, partition, "f", 1, "p", table.digest, {}, 0, "0", {})


def test_in_a_lake(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Read, compute, write: one partition per symbol, as a run does it."""
    lake, rng = Lake(Location.parse(str(tmp_path))), np.random.default_rng(7)
    names = [f"S{i:03d}" for i in range(2 * SYMBOLS)]
    for name in names:
        lake.write(BARS_1D, name, bars_table(walk(rng, HALF), name), manifest(BARS_1D, name))
    columns = FAMILY.requires(PanelTechnicalParams())[0].columns

    def run() -> None:
        for name in names:
            rows: pa.Table = lake.read(BARS_1D, name, columns)
            given = Inputs((), {}, symbols=(name,), by_symbol={BARS_1D.name: {name: rows}})
            found = FAMILY.compute(given, PanelTechnicalParams()).table
            lake.write(PANEL_TECHNICAL, name, found, manifest(PANEL_TECHNICAL, name))

    benchmark.pedantic(run, rounds=2, warmup_rounds=1)
    tell(benchmark, len(PANEL_COLUMNS) * len(names) * HALF)
