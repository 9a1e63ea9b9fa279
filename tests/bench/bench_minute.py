"""Cost of minute features and MACD of one full-market session, in CPU seconds of one core per million minute rows.

Each alone from bronze Parquet, reading and writing included, planning not; and all in one pass from csv.gz. Beside
MACD, on the same rows: the same lines by polars, grouped exponential means. Must: at most 0.10 each, 1.0 the pass, MACD
at most a fifth of polars.
"""

from __future__ import annotations

import os

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # read once, when polars is imported

import datetime as dt
import time
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from raypipe.lake.location import Location
from raypipe.lake.store import Lake
from raypipe.pipeline.job import Job
from raypipe.pipeline.plan import Request, make_plan
from raypipe.pipeline.stages import stages
from raypipe.pipeline.work import run_job
from raypipe.schema.tables import MINUTE_AGGS
from raypipe.sources.synthetic import SynthParams, write_market

SESSION = dt.date(2025, 11, 3)
FEATURES, MACD, JOIN = "silver/minute_features", "silver/macd_session_features", "silver/minute_features_plus_macd"
ROUNDS = 5
FIVE_NS = 300_000_000_000


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with 32 sessions of day bars, the last of them with about 1.7 M minute rows."""
    root = tmp_path_factory.mktemp("minute")
    write_market(root / "raw", SynthParams(sessions=1, symbols=10_500, activity=2.05, history=31, start_date=SESSION))
    made = Lake(Location.parse(str(root)))
    run(jobs_of(made, Request(steps=("daily", "minute", "macd", "join"))))
    return made


def jobs_of(lake: Lake, request: Request) -> list[Job]:
    params = {stage.name: stage.params() for stage in stages()}
    return [job for wave in make_plan(lake, params, request).waves for job in wave]


def run(jobs: Sequence[Job]) -> None:
    assert all(outcome.status == "built" for job in jobs for outcome in run_job(job))


def forced(lake: Lake, *tables: str) -> list[Job]:
    """The jobs that build some tables of the session, planned beforehand."""
    items = frozenset((table, SESSION.isoformat()) for table in tables)
    return jobs_of(lake, Request(items=items, force=True))


def minute_rows(lake: Lake) -> int:
    return lake.read(MINUTE_AGGS, SESSION.isoformat(), ("close",)).num_rows


def judge(benchmark: BenchmarkFixture, lake: Lake, jobs: Sequence[Job], must: float) -> None:
    benchmark.pedantic(run, args=(jobs,), rounds=ROUNDS, warmup_rounds=1)
    rows = minute_rows(lake)
    cost = benchmark.stats.stats.median / rows * 1e6
    benchmark.extra_info.update({"minute rows": f"{rows:,}", "CPU s per 1 M rows": round(cost, 3), "must": must})
    assert cost <= must


CPU = pytest.mark.benchmark(group="one session, CPU seconds", timer=time.process_time)


@CPU
def bench_minute_features(benchmark: BenchmarkFixture, lake: Lake) -> None:
    judge(benchmark, lake, forced(lake, FEATURES), 0.10)


@CPU
def bench_macd(benchmark: BenchmarkFixture, lake: Lake) -> None:
    judge(benchmark, lake, forced(lake, MACD), 0.10)


@CPU
def bench_session_pass(benchmark: BenchmarkFixture, lake: Lake) -> None:
    judge(benchmark, lake, forced(lake, MINUTE_AGGS.name, FEATURES, MACD, JOIN), 1.0)


def lines(bars: pl.LazyFrame) -> pl.LazyFrame:
    """What the table says of bars of one width, but for crossings and the rule of seasoned bars."""
    macd = pl.col("close").ewm_mean(span=12, adjust=False) - pl.col("close").ewm_mean(span=26, adjust=False)
    signal = pl.col("macd").ewm_mean(span=9, adjust=False)
    found = bars.with_columns(macd.over("symbol").alias("macd")).with_columns(signal.over("symbol").alias("signal"))
    hist = pl.col("macd") - pl.col("signal")
    return found.group_by("symbol", maintain_order=True).agg(
        pl.col("close", "macd", "signal").last(),
        hist.last().alias("hist"),
        hist.min().alias("low"),
        hist.max().alias("high"),
    )


@CPU
def bench_polars_macd(benchmark: BenchmarkFixture, lake: Lake, tmp_path: Path) -> None:
    key = lake.key(MINUTE_AGGS, SESSION.isoformat())
    source = Path(lake.location.root) / key

    def grouped() -> None:
        minute = pl.scan_parquet(source).select("symbol", "window_start_ns", "close")
        bucket = (pl.col("window_start_ns") // FIVE_NS).alias("bucket")
        five = minute.group_by("symbol", bucket, maintain_order=True).agg(pl.col("close").last())
        both = lines(minute).join(lines(five), on="symbol", suffix="__5m")
        both.collect().write_parquet(tmp_path / "polars.parquet", compression="zstd", compression_level=1)

    benchmark.pedantic(grouped, rounds=ROUNDS, warmup_rounds=1)
    ours, jobs = [], forced(lake, MACD)
    for _ in range(ROUNDS):
        before = time.process_time()
        run(jobs)
        ours.append(time.process_time() - before)
    ratio = benchmark.stats.stats.median / sorted(ours)[ROUNDS // 2]
    benchmark.extra_info.update({"times raypipe's cost": round(ratio, 1), "must": 5})
    assert ratio >= 5
