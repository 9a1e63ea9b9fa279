"""Cost of events, their state and their labels per million minute rows, from bronze Parquet to committed partition.

Aims of one core: labels 0.15 CPU seconds per million rows, state 0.10, events a small part; the second figure is that
of reading the columns alone, in the same run.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from raypipe.lake.location import Location
from raypipe.lake.store import Lake
from raypipe.pipeline.driver import execute
from raypipe.pipeline.executor import Serial
from raypipe.pipeline.plan import Request, make_plan
from raypipe.pipeline.stages import stages
from raypipe.schema.family import Params
from raypipe.schema.tables import MINUTE_AGGS
from raypipe.sources.synthetic import SynthParams, write_market

SESSIONS, SYMBOLS, HISTORY = 2, 3_000, 62


def params() -> dict[str, Params]:
    """Defaults, as a plan takes them."""
    return {stage.name: stage.params() for stage in stages()}


def run(lake: Lake, **request: Any) -> float:
    """Build what a request wants; CPU seconds that its jobs took."""
    plan = make_plan(lake, params(), Request(**request))
    result = execute(plan, Serial(), stop=threading.Event())
    assert not result.failures, result.failures[0].error
    return sum(outcome.cpu_seconds for outcome in result.outcomes)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Two sessions of 3,000 busy symbols, built to the end."""
    root = tmp_path_factory.mktemp("events")
    params = SynthParams(sessions=SESSIONS, symbols=SYMBOLS, history=HISTORY, activity=3.0, datasets=("equities",))
    write_market(root / "raw", params)
    made = Lake(Location.parse(str(root)))
    run(made)
    return made


def last_session(lake: Lake) -> str:
    return lake.partitions(MINUTE_AGGS)[-1]


def rebuild(lake: Lake, table: str) -> float:
    session = last_session(lake)
    day = dt.date.fromisoformat(session)
    return run(lake, start=day, end=day, items=frozenset({(table, session)}), force=True)


@pytest.mark.benchmark(group="one session from bronze")
@pytest.mark.parametrize("table", ["gold/events", "gold/event_features", "gold/event_labels", "gold/ml_dataset"])
def bench_family(benchmark: BenchmarkFixture, lake: Lake, table: str) -> None:
    report(benchmark, lake, lambda: rebuild(lake, table))


@pytest.mark.benchmark(group="one session from bronze")
def bench_reading_alone(benchmark: BenchmarkFixture, lake: Lake) -> None:
    columns = ("symbol", "window_start_ns", "open", "high", "low", "close", "volume")

    def read() -> float:
        start = time.process_time()
        lake.read(MINUTE_AGGS, last_session(lake), columns)
        return time.process_time() - start

    report(benchmark, lake, read)


def report(benchmark: BenchmarkFixture, lake: Lake, work: Callable[[], float]) -> None:
    taken: list[float] = []
    benchmark.pedantic(lambda: taken.append(work()), rounds=5, warmup_rounds=1)
    if benchmark.stats is not None:
        rows = lake.read(MINUTE_AGGS, last_session(lake), ("window_start_ns",)).num_rows
        benchmark.extra_info["cpu_seconds_per_million_rows"] = round(min(taken) / rows * 1e6, 3)
