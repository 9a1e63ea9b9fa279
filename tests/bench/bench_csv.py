"""Cost of parsing a full-market minute file per row, beside polars and pyarrow on the same bytes, one thread each.

The aim is 750 MB/s of one core at the least (about 75 ns a row); the group's table shows the ratios.
"""

from __future__ import annotations

import io
import os

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # read once, when polars is imported

from collections.abc import Callable
from itertools import islice, product
from string import ascii_uppercase
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from raypipe.kernels.csv import Columns, Field, Status, ohlc_rules, parse_blocks

NAMES = ("ticker", "volume", "open", "close", "high", "low", "window_start", "transactions")
LAYOUT = [
    Field.SYMBOL,
    Field.VOLUME,
    Field.OPEN,
    Field.CLOSE,
    Field.HIGH,
    Field.LOW,
    Field.WINDOW_START,
    Field.TRANSACTIONS,
]
ROWS, SYMBOLS = 1_700_000, 10_500
ARROW_TYPES = {"ticker": pa.string(), "window_start": pa.int64(), "transactions": pa.int32()}
POLARS_TYPES = {"ticker": pl.String, "window_start": pl.Int64, "transactions": pl.Int32}


@pytest.fixture(scope="module")
def text() -> bytes:
    """A minute file as the vendor writes it: sorted, prices of 2 or 4 decimals, activity by Zipf's law."""
    rng = np.random.default_rng(7)
    activity = rng.permutation(1 / np.arange(1, SYMBOLS + 1) ** 0.7)
    per_symbol = np.maximum(1, np.minimum(960, activity / activity.sum() * ROWS * 1.15).astype(int))
    symbol = np.repeat(np.arange(SYMBOLS), per_symbol)
    rows = symbol.size
    place = np.arange(rows) - np.repeat(np.cumsum(per_symbol) - per_symbol, per_symbol)
    places = np.where(rng.random(rows) < 0.7, 100, 10_000)
    base = np.exp(rng.normal(3.3, 1.1, SYMBOLS))[symbol] * np.exp(rng.normal(0, 0.01, rows))
    price = [np.round(base * places * k) / places for k in (1.0, 1.0005, 1.001, 0.999)]
    names = np.array(["".join(letters) for letters in islice(product(ascii_uppercase, repeat=3), SYMBOLS)])
    columns: list[Any] = [
        names[symbol],
        np.exp(rng.normal(6.5, 1.8, rows)).astype(np.int64) + 1,
        *price,
        1_762_160_400_000_000_000 + place * (960 // per_symbol[symbol]) * 60_000_000_000,
        np.exp(rng.normal(2.2, 1.3, rows)).astype(np.int32) + 1,
    ]
    sink = io.BytesIO()
    pyarrow.csv.write_csv(
        pa.table(dict(zip(NAMES, columns, strict=True))), sink, pyarrow.csv.WriteOptions(quoting_style="none")
    )
    return sink.getvalue()


def by_kernel(text: bytes) -> list[Columns]:
    blocks = list(parse_blocks(np.frombuffer(text, np.uint8), text.index(b"\n") + 1, LAYOUT))
    assert all(block.status == Status.OK for _, block in blocks)
    return [columns for columns, _ in blocks]


def by_polars(text: bytes) -> pl.DataFrame:
    return pl.read_csv(text, schema={name: POLARS_TYPES.get(name, pl.Float64) for name in NAMES})


def by_pyarrow(text: bytes) -> pa.Table:
    types = {name: ARROW_TYPES.get(name, pa.float64()) for name in NAMES}
    convert = pyarrow.csv.ConvertOptions(column_types=types, null_values=[], strings_can_be_null=False)
    read = pyarrow.csv.ReadOptions(use_threads=False, block_size=4 << 20)
    return pyarrow.csv.read_csv(pa.BufferReader(text), read_options=read, convert_options=convert)


@pytest.mark.bench
@pytest.mark.benchmark(group="minute file of 1.7 M rows")
@pytest.mark.parametrize("parse", [by_kernel, by_polars, by_pyarrow])
def test_parse(benchmark: BenchmarkFixture, text: bytes, parse: Callable[[bytes], object]) -> None:
    benchmark.pedantic(parse, args=(text,), rounds=5, warmup_rounds=1)
    if benchmark.stats is not None:
        seconds, rows = benchmark.stats.stats.min, text.count(b"\n") - 1
        benchmark.extra_info["ns_per_row"] = round(seconds / rows * 1e9, 1)
        benchmark.extra_info["mb_per_second"] = round(len(text) / seconds / 1e6)


@pytest.mark.bench
def test_all_three_read_the_same(text: bytes) -> None:
    """To the last bit, on the whole file."""
    table, frame, blocks = by_pyarrow(text), by_polars(text), by_kernel(text)
    values = np.hstack([columns.values for columns in blocks])
    ours = dict(zip(("open", "high", "low", "close", "volume"), values, strict=True))
    ours["window_start"] = np.hstack([columns.window_start_ns for columns in blocks])
    ours["transactions"] = np.hstack([columns.transactions for columns in blocks])
    for name, column in ours.items():
        np.testing.assert_array_equal(column, table[name].to_numpy(), strict=True)
        np.testing.assert_array_equal(column, frame[name].to_numpy(), strict=True)
    names = [text[a:b].decode() for c in blocks for a, b in zip(c.symbol_start, c.symbol_end, strict=True)]
    lengths = np.hstack([np.diff(c.first_row, append=c.window_start_ns.size) for c in blocks])
    assert np.repeat(names, lengths).tolist() == table["ticker"].to_pylist() == frame["ticker"].to_list()


@pytest.mark.bench
def test_ohlc_rules(benchmark: BenchmarkFixture, text: bytes) -> None:
    columns = by_kernel(text)[0].values
    broken = benchmark(ohlc_rules, *columns)
    assert not broken.any()
    if benchmark.stats is not None:
        benchmark.extra_info["ns_per_row"] = round(benchmark.stats.stats.min / broken.size * 1e9, 2)
