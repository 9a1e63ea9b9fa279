"""A year of full-market day files to daily and weekly tables, and one more session on top, in CPU seconds of one core.

Must: at most 15 CPU-s for 252 sessions of 10,500 symbols; a session added to a year at most 3 times one session alone;
a plan over 252 sessions and 6 tables with nothing to do at most 1.0 s.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from raypipe.lake.location import Location
from raypipe.lake.store import Lake
from raypipe.pipeline.driver import execute
from raypipe.pipeline.executor import Serial
from raypipe.pipeline.job import Job
from raypipe.pipeline.plan import Request, make_plan
from raypipe.pipeline.stages import stages
from raypipe.sources.polygon_keys import DAY, key_of
from raypipe.sources.synthetic import SynthParams, write_market

SESSIONS = 252
LAST = dt.date(2025, 1, 2)
#: The tables of the figure; the filtered names of each session are a table of their own and come on top.
TABLES = ("bronze/day_aggs", "silver/symbol_types", "silver/daily", "silver/weekly")
STEPS = ("symbols", "daily")


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """252 day files of about 10,500 symbols each, and one more."""
    folder = tmp_path_factory.mktemp("market")
    write_market(folder, SynthParams(sessions=1, symbols=10_500, activity=0.2, history=SESSIONS, start_date=LAST))
    return folder


def make_lake(market: Path, root: Path, sessions: int, *, last: bool = True) -> Lake:
    files = sorted((market / "us_stocks_sip/day_aggs_v1").rglob("*.csv.gz"))
    for path in files[-sessions:] if last else files[-sessions - 1 : -1]:
        link(market, root, path)
    return Lake(Location.parse(str(root)))


def link(market: Path, root: Path, path: Path) -> None:
    target = root / "raw" / path.relative_to(market)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.link(path, target)


def build(lake: Lake, tables: tuple[str, ...] = TABLES, start: dt.date | None = None) -> int:
    """Plan and build some tables, as ``raypipe run --start`` does."""
    params = {stage.name: stage.params() for stage in stages()}
    plan = make_plan(lake, params, Request(start=start, steps=STEPS))
    waves = tuple(tuple(kept for job in wave if (kept := only(job, tables)).targets) for wave in plan.waves)
    result = execute(replace(plan, waves=waves), Serial(), stop=threading.Event())
    assert not result.failures
    return len(result.outcomes)


def only(job: Job, tables: tuple[str, ...]) -> Job:
    return job.without({(t.stage, t.partition) for t in job.targets if t.table not in tables})


@pytest.mark.benchmark(group="a year of day files, CPU seconds (must: 15)", timer=time.process_time)
def bench_year(benchmark: BenchmarkFixture, market: Path, tmp_path: Path) -> None:
    lakes = iter([make_lake(market, tmp_path / str(i), SESSIONS) for i in range(2)])
    benchmark.pedantic(lambda: build(next(lakes)), rounds=2)


@pytest.mark.benchmark(group="one session, CPU seconds (must: added <= 3x alone)", timer=time.process_time)
def bench_session_alone(benchmark: BenchmarkFixture, market: Path, tmp_path: Path) -> None:
    lakes = iter([make_lake(market, tmp_path / str(i), 1) for i in range(6)])
    benchmark.pedantic(lambda: build(next(lakes), start=LAST), rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group="one session, CPU seconds (must: added <= 3x alone)", timer=time.process_time)
def bench_session_added(benchmark: BenchmarkFixture, market: Path, tmp_path: Path) -> None:
    lake = make_lake(market, tmp_path, SESSIONS, last=False)
    build(lake)

    def add() -> tuple[tuple[object, ...], dict[str, object]]:
        for table in TABLES:
            (tmp_path / table / f"date={LAST}.parquet").unlink(missing_ok=True)
        shutil.rmtree(tmp_path / "raw/us_stocks_sip/day_aggs_v1/2025", ignore_errors=True)
        link(market, tmp_path, market / key_of(DAY, LAST))
        return (lake, TABLES, LAST), {}

    assert benchmark.pedantic(build, setup=add, rounds=5, warmup_rounds=1) >= 3


@pytest.mark.benchmark(group="plan with nothing to do (must: 1.0 s)")
def bench_plan(benchmark: BenchmarkFixture, market: Path, tmp_path: Path) -> None:
    lake = make_lake(market, tmp_path, SESSIONS)
    params = {stage.name: stage.params() for stage in stages()}
    build(lake, (*TABLES, "silver/daily_filtered"))

    def plan() -> int:
        found = make_plan(lake, params, Request(steps=STEPS))
        assert not found.to_build
        return len(found.items)

    benchmark.extra_info["partitions"] = benchmark.pedantic(plan, rounds=5, warmup_rounds=1)
