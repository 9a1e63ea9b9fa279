"""Cost of the lake in CPU seconds of one core: commits, reads and footers, each beside plain pyarrow on the same rows.

Must: a minute table of 1.7 M rows written, hashed and read back in 0.32 CPU-s; a small partition in 6 ms;
the footers of 252 sessions x 6 tables, listing included, in 1.0 s.
"""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from raypipe.lake.location import Location
from raypipe.lake.manifest import InputSummary, Manifest
from raypipe.lake.store import Lake
from raypipe.schema.spec import Table
from raypipe.schema.tables import DAY_AGGS, MINUTE_AGGS

DAY = "2025-01-02"
ROUNDS = 5
ROWS, SYMBOLS, SESSIONS, TABLES = 1_700_000, 10_500, 252, 6
#: What the lake's writer is told, too; here for plain pyarrow.
PLAIN = {"compression": "zstd", "compression_level": 1, "write_page_checksum": True, "row_group_size": 262_144}


def market(table: Table, rows: int) -> pa.Table:
    """Random walks in cents of many symbols, a few of them traded every minute."""
    rng = np.random.default_rng(0)
    share = rng.pareto(0.8, SYMBOLS) + 0.05
    per = np.clip(share / share.sum() * rows * 1.6, 1, 930).astype(int) if rows > SYMBOLS else np.ones(SYMBOLS, int)
    per += -(-max(rows - per.sum(), 0) // SYMBOLS)
    symbol = np.repeat(np.arange(SYMBOLS, dtype=np.int32), per)[:rows]
    first = np.searchsorted(symbol, np.arange(SYMBOLS))
    close = np.cumsum(rng.integers(-2, 3, rows))
    close = np.maximum(close - close[first[symbol]] + rng.integers(300, 20_000, SYMBOLS)[symbol], 50)
    minute = (np.arange(rows) - first[symbol]).clip(max=1199)
    days = pa.array(np.full(rows, (dt.date.fromisoformat(DAY) - dt.date(1970, 1, 1)).days, np.int32)).view(pa.date32())
    names = pa.array([f"S{i:05d}" for i in range(SYMBOLS)])
    columns = {
        "session": days,
        "symbol": pa.DictionaryArray.from_arrays(symbol, names),
        "window_start_ns": pa.array(1_735_808_400_000_000_000 + 60_000_000_000 * minute),
        "open": pa.array((close + rng.integers(-1, 2, rows)) / 100),
        "high": pa.array((close + rng.integers(1, 3, rows)) / 100),
        "low": pa.array((close - rng.integers(1, 3, rows)) / 100),
        "close": pa.array(close / 100),
        "volume": pa.array(np.floor(rng.pareto(1.1, rows) * 150) + 1),
        "transactions": pa.array(rng.integers(1, 200, rows).astype(np.int32)),
        "segment": pa.DictionaryArray.from_arrays((minute // 400).astype(np.int32), pa.array(["post", "pre", "rth"])),
    }
    return table.build({name: columns[name] for name in table.names})


def manifest(table: Table, partition: str = DAY) -> Manifest:
    inputs = {"raw/minute_aggs": InputSummary("2024-12-26", DAY, 6, "d" * 64)}
    return Manifest(table.name, partition, "f" * 64, 1, "p" * 16, table.digest, inputs, code_version="0.1.0")


@pytest.fixture(scope="module")
def minute() -> pa.Table:
    return market(MINUTE_AGGS, ROWS)


@pytest.fixture(scope="module")
def daily() -> pa.Table:
    return market(DAY_AGGS, SYMBOLS)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(Location.parse(str(tmp_path)))


@pytest.mark.benchmark(group="write 1.7 M rows, CPU seconds", timer=time.process_time)
def bench_write_large(benchmark: BenchmarkFixture, lake: Lake, minute: pa.Table) -> None:
    def write() -> None:
        lake.write(MINUTE_AGGS, DAY, minute, manifest(MINUTE_AGGS))

    benchmark.pedantic(write, rounds=ROUNDS, warmup_rounds=2)


@pytest.mark.benchmark(group="write 1.7 M rows, CPU seconds", timer=time.process_time)
def bench_write_large_pyarrow(benchmark: BenchmarkFixture, tmp_path: Path, minute: pa.Table) -> None:
    path = tmp_path / "plain.parquet"
    benchmark.pedantic(pq.write_table, args=(minute, path), kwargs=PLAIN, rounds=ROUNDS, warmup_rounds=2)


@pytest.mark.benchmark(group="write 10,500 rows, CPU seconds", timer=time.process_time)
def bench_write_small(benchmark: BenchmarkFixture, lake: Lake, daily: pa.Table) -> None:
    def write() -> None:
        lake.write(DAY_AGGS, DAY, daily, manifest(DAY_AGGS))

    benchmark.pedantic(write, rounds=50, iterations=5, warmup_rounds=5)


@pytest.mark.benchmark(group="write 10,500 rows, CPU seconds", timer=time.process_time)
def bench_write_small_pyarrow(benchmark: BenchmarkFixture, tmp_path: Path, daily: pa.Table) -> None:
    def write() -> None:
        pq.write_table(daily, tmp_path / "plain.parquet", **PLAIN)

    benchmark.pedantic(write, rounds=50, iterations=5, warmup_rounds=5)


@pytest.mark.benchmark(group="read 1.7 M rows, CPU seconds", timer=time.process_time)
def bench_read(benchmark: BenchmarkFixture, lake: Lake, minute: pa.Table) -> None:
    lake.write(MINUTE_AGGS, DAY, minute, manifest(MINUTE_AGGS))
    benchmark.pedantic(lake.read, args=(MINUTE_AGGS, DAY), rounds=2 * ROUNDS, warmup_rounds=5)


@pytest.mark.benchmark(group="read 1.7 M rows, CPU seconds", timer=time.process_time)
def bench_read_pyarrow(benchmark: BenchmarkFixture, tmp_path: Path, minute: pa.Table) -> None:
    pq.write_table(minute, tmp_path / "plain.parquet", **PLAIN)

    def read() -> pa.Table:
        return pq.ParquetFile(tmp_path / "plain.parquet", pre_buffer=False).read(use_threads=False)

    benchmark.pedantic(read, rounds=2 * ROUNDS, warmup_rounds=5)


@pytest.fixture
def year(lake: Lake, daily: pa.Table) -> list[Table]:
    """Six tables of 252 partitions; the sizes of their footers are those of real ones."""
    tables = [replace(DAY_AGGS, name=f"bronze/table_{i}") for i in range(TABLES)]
    for table in tables:
        for i in range(SESSIONS):
            day = dt.date(2025, 1, 1) + dt.timedelta(i)
            rows = daily.slice(0, 5)
            dates = pa.array([day] * rows.num_rows, pa.date32())
            lake.write(
                table,
                day.isoformat(),
                rows.set_column(0, rows.schema.field(0), dates),
                manifest(table, day.isoformat()),
            )
    return tables


@pytest.mark.benchmark(group="footers of 252 sessions x 6 tables, seconds")
def bench_manifests(benchmark: BenchmarkFixture, lake: Lake, year: list[Table]) -> None:
    def read() -> int:
        return sum(len(lake.manifests(table)) for table in year)

    assert benchmark.pedantic(read, rounds=ROUNDS, warmup_rounds=1) == SESSIONS * TABLES


@pytest.mark.benchmark(group="footers of 252 sessions x 6 tables, seconds")
def bench_footers_pyarrow(benchmark: BenchmarkFixture, lake: Lake, year: list[Table]) -> None:
    def read() -> int:
        paths = [path for table in year for path in (Path(lake.location.root) / table.name).glob("*.parquet")]
        return sum(pq.read_metadata(path).metadata is not None for path in paths)

    assert benchmark.pedantic(read, rounds=ROUNDS, warmup_rounds=1) == SESSIONS * TABLES
