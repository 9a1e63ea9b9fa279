"""Cost of option prints: the flat file to bronze rows beside pyarrow's parser, greeks per print, fuel per query.

The aims on one core: at most 1.5 times pyarrow on the same columns, 2 M prints a second for volatility and greeks,
0.40 s for a session of 600,000 prints.
"""

from __future__ import annotations

import datetime as dt
import gzip
import io
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from raypipe.calendar import calendar
from raypipe.features.option_greeks import FAMILY
from raypipe.kernels.fuel import fuel_at, fuel_book, fuel_effect_at
from raypipe.kernels.greeks import Market, print_greeks
from raypipe.schema.books import ES_TRADES, SPY_OPTION_TRADES
from raypipe.schema.family import Inputs
from raypipe.schema.frames import constant_dictionary, date_array
from raypipe.schema.signals import OptionParams
from raypipe.schema.touches import ES_SESSION, ES_SPY_RATIO
from raypipe.sources.options import OptionFile, OptionTrades

SESSION = calendar().session(dt.date(2025, 12, 16))
PRINTS, TRADES, RATIO = 600_000, 500_000, 10.07
TYPES = {
    "ticker": pa.string(),
    "conditions": pa.string(),
    "correction": pa.int32(),
    "exchange": pa.int32(),
    "price": pa.float64(),
    "sip_timestamp": pa.int64(),
    "size": pa.int64(),
}


@pytest.fixture(scope="module")
def prints() -> dict[str, np.ndarray]:
    """Prints around a walk, by contract and time as the vendor sorts them."""
    rng = np.random.default_rng(7)
    ts = np.sort(rng.integers(SESSION.open_ns, SESSION.close_ns, PRINTS))
    spot = 690 + np.cumsum(rng.normal(0, 0.004, PRINTS))
    strike, call = np.rint(spot + rng.normal(0, 4, PRINTS)).astype(int), rng.random(PRINTS) < 0.5
    ahead = np.where(call, spot - strike, strike - spot)
    left = np.sqrt((SESSION.close_ns - ts) / 23.4e12)
    price = np.maximum(np.round(np.maximum(ahead, 0) + 1.5 * left * np.exp(-np.abs(ahead) / 3), 2), 0.01)
    order = np.lexsort((ts, strike, ~call))
    made = {"ts": ts, "strike": strike, "call": call, "price": price, "size": rng.integers(1, 40, PRINTS)}
    return {name: values[order] for name, values in made.items()}


@pytest.fixture(scope="module")
def body(prints: dict[str, np.ndarray]) -> bytes:
    rng = np.random.default_rng(8)
    day = SESSION.date.strftime("%y%m%d")
    right = np.where(prints["call"], "C", "P")
    columns = {
        "ticker": [f"O:SPY{day}{r}{k * 1000:08d}" for r, k in zip(right, prints["strike"].tolist(), strict=True)],
        "conditions": rng.choice(["209", "227", "219", "232", "233"], PRINTS),
        "correction": np.zeros(PRINTS, np.int64),
        "exchange": rng.integers(300, 325, PRINTS),
        "price": prints["price"],
        "sip_timestamp": prints["ts"],
        "size": prints["size"],
    }
    sink = io.BytesIO()
    pyarrow.csv.write_csv(pa.table(columns), sink, pyarrow.csv.WriteOptions(quoting_style="none"))
    return gzip.compress(sink.getvalue().replace(b'"', b""), 6)


@pytest.fixture(scope="module")
def bronze(body: bytes) -> pa.Table:
    return by_raypipe(body)


def by_raypipe(body: bytes) -> pa.Table:
    return OptionTrades([OptionFile("x.csv.gz", lambda: io.BytesIO(body))], SESSION, OptionParams()).table()


def by_pyarrow(body: bytes) -> pa.Table:
    convert = pyarrow.csv.ConvertOptions(column_types=TYPES, null_values=[], strings_can_be_null=False)
    read = pyarrow.csv.ReadOptions(use_threads=False, block_size=8 << 20)
    text = pa.CompressedInputStream(pa.BufferReader(body), "gzip")
    return pyarrow.csv.read_csv(text, read_options=read, convert_options=convert)


def per_unit(benchmark: BenchmarkFixture, units: int, name: str = "ns_per_print") -> None:
    if benchmark.stats is not None:
        benchmark.extra_info[name] = round(benchmark.stats.stats.min / units * 1e9, 1)


@pytest.mark.bench
@pytest.mark.benchmark(group="flat file of 600,000 option prints")
@pytest.mark.parametrize("read", [by_raypipe, by_pyarrow])
def test_flat_file(benchmark: BenchmarkFixture, body: bytes, read: Callable[[bytes], pa.Table]) -> None:
    table = benchmark.pedantic(read, args=(body,), rounds=5, warmup_rounds=2)
    assert table.num_rows == PRINTS
    per_unit(benchmark, PRINTS)


@pytest.mark.bench
@pytest.mark.benchmark(group="greeks")
def test_volatility_and_greeks(benchmark: BenchmarkFixture, prints: dict[str, np.ndarray]) -> None:
    left = SESSION.close_ns + 900 * 10**9 - prints["ts"]
    spot = np.full(PRINTS, 690.0)
    args = (prints["price"], spot, prints["strike"] * 1000, left, prints["call"], 0.2, Market(0.045))
    benchmark.pedantic(print_greeks, args=args, rounds=5, warmup_rounds=1)
    per_unit(benchmark, PRINTS)


@pytest.mark.bench
@pytest.mark.benchmark(group="greeks")
def test_option_greeks(benchmark: BenchmarkFixture, bronze: pa.Table) -> None:
    """The family, from tables to the table."""
    inputs = market(bronze)
    result = benchmark.pedantic(FAMILY.compute, args=(inputs, FAMILY.params()), rounds=5, warmup_rounds=1)
    assert result.table.num_rows == PRINTS
    per_unit(benchmark, PRINTS)


def market(bronze: pa.Table) -> Inputs:
    rng = np.random.default_rng(9)
    ts = np.sort(rng.integers(SESSION.open_ns, SESSION.close_ns, TRADES))
    ticks = np.rint((690 * RATIO + np.cumsum(rng.normal(0, 0.02, TRADES))) * 4)
    trades = {"ts_event_ns": ts, "instrument_id": np.full(TRADES, 5, np.uint32), "price_ticks": ticks.astype(np.int32)}
    minutes = np.arange(SESSION.ext_start_ns, SESSION.ext_end_ns, 60 * 10**9)
    row = {"front_instrument_id": pa.array([5], pa.uint32()), "front_contract": constant_dictionary("ESH6", 1)}
    tables = {
        SPY_OPTION_TRADES.name: bronze,
        ES_TRADES.name: pa.table(trades),
        ES_SESSION.name: pa.table({"session": date_array(SESSION.date, 1), **row}),
        ES_SPY_RATIO.name: pa.table({"valid_from_ns": minutes, "ratio": np.full(len(minutes), RATIO)}),
    }
    return Inputs((SESSION,), {name: {SESSION.date: table} for name, table in tables.items()})


@pytest.mark.bench
@pytest.mark.benchmark(group="fuel")
@pytest.mark.parametrize("what", ["book", "touches", "grid"])
def test_fuel(benchmark: BenchmarkFixture, prints: dict[str, np.ndarray], what: str) -> None:
    """The prints put by strike; a thousand touches; their grids of 65 moments."""
    order = np.argsort(prints["ts"], kind="stable")
    ts, strike, size = prints["ts"][order], (prints["strike"][order] * 1000).astype(np.int32), prints["size"][order]
    gamma = np.random.default_rng(1).normal(0, 100, PRINTS)
    columns = (ts, strike, ~prints["call"][order], size, np.ones(PRINTS, np.int8), gamma, np.abs(gamma))
    book = fuel_book(*columns, SESSION.open_ns)
    rng = np.random.default_rng(2)
    level, moment = 690 + rng.normal(0, 3, 1000), rng.integers(SESSION.open_ns, SESSION.close_ns, 1000)
    grid = (moment[:, None] + np.arange(-64, 1) * 250_000_000).ravel()
    calls: dict[str, tuple[Callable[[], object], int]] = {
        "book": (lambda: fuel_book(*columns, SESSION.open_ns), PRINTS),
        "touches": (lambda: fuel_at(book, moment, level, 2.0, 5e4), len(moment)),
        "grid": (lambda: fuel_effect_at(book, grid, np.repeat(level, 65), 2.0, 1e4), len(grid)),
    }
    run, units = calls[what]
    benchmark.pedantic(run, rounds=5, warmup_rounds=1)
    per_unit(benchmark, units, "ns_per_unit")
