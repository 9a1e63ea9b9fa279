"""Cost of one full-market minute file from csv.gz to bronze Parquet, in CPU seconds of one core.

Beside it, on the same file: what polars and duckdb need to write a Parquet file of the same rows, without any check.
Must: at most 0.60 CPU-s, 0.85 of polars, 0.50 of duckdb, and 600 MB of memory.
"""

from __future__ import annotations

import os

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # read once, when polars is imported

import datetime as dt
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import duckdb
import polars as pl
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from raypipe.lake.location import Location
from raypipe.lake.store import Lake
from raypipe.pipeline.driver import execute
from raypipe.pipeline.executor import Serial
from raypipe.pipeline.plan import Request, make_plan
from raypipe.pipeline.stages import stages
from raypipe.schema.tables import MINUTE_AGGS
from raypipe.sources.polygon_keys import MINUTE, key_of
from raypipe.sources.synthetic import SynthParams, write_market

SESSION = dt.date(2025, 11, 3)
TABLE = MINUTE_AGGS.name
ROUNDS = 5
POLARS_TYPES = {
    "ticker": pl.Categorical,
    "volume": pl.Float64,
    **dict.fromkeys(("open", "close", "high", "low"), pl.Float64),
    "window_start": pl.Int64,
    "transactions": pl.Int32,
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with one raw minute file of about 1.7 M rows."""
    root = tmp_path_factory.mktemp("bronze")
    write_market(root / "raw", SynthParams(sessions=1, symbols=10_500, activity=2.05, history=0, start_date=SESSION))
    return Lake(Location.parse(str(root)))


@pytest.fixture(scope="module")
def raw(lake: Lake) -> Path:
    return Path(lake.location.root) / "raw" / key_of(MINUTE, SESSION)


def build(lake: Lake) -> int:
    params = {stage.name: stage.params() for stage in stages()}
    request = Request(items=frozenset({(TABLE, SESSION.isoformat())}), force=True)
    result = execute(make_plan(lake, params, request), Serial(), stop=threading.Event())
    assert not result.failures
    return result.outcomes[0].rows


@pytest.mark.benchmark(group="minute file to Parquet, CPU seconds", timer=time.process_time)
def bench_raypipe(benchmark: BenchmarkFixture, lake: Lake) -> None:
    rows = benchmark.pedantic(build, args=(lake,), rounds=ROUNDS, warmup_rounds=1)
    benchmark.extra_info["rows"] = f"{rows:,}"
    benchmark.extra_info["CPU ns a row"] = round(benchmark.stats.stats.median / rows * 1e9)


@pytest.mark.benchmark(group="minute file to Parquet, CPU seconds", timer=time.process_time)
def bench_polars(benchmark: BenchmarkFixture, raw: Path, tmp_path: Path) -> None:
    def convert() -> None:
        frame = pl.read_csv(raw, schema=POLARS_TYPES)
        frame.write_parquet(tmp_path / "polars.parquet", compression="zstd", compression_level=1)

    benchmark.pedantic(convert, rounds=ROUNDS, warmup_rounds=1)


@pytest.mark.benchmark(group="minute file to Parquet, CPU seconds", timer=time.process_time)
def bench_duckdb(benchmark: BenchmarkFixture, raw: Path, tmp_path: Path) -> None:
    target = tmp_path / "duckdb.parquet"
    with duckdb.connect(config={"threads": 1}) as connection:
        query = f"COPY (SELECT * FROM read_csv('{raw}')) TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
        benchmark.pedantic(connection.execute, args=(query,), rounds=ROUNDS, warmup_rounds=1)


def bench_peak_memory(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    """Peak memory of a fresh process that builds the file, start-up included."""
    command = [sys.executable, "-m", "raypipe", "--root", lake.location.root, "run", "--steps", "minute", "--force"]
    subprocess.run([*command, "--executor", "serial"], check=True, capture_output=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    with capsys.disabled():
        sys.stdout.write(f"\npeak memory, one minute file: {peak:,.0f} MB (must: 600)\n")
    assert peak < 600
