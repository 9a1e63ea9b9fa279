"""Cost of front contract, bars and touches of one busy session, at one and at four times the records.

Aims of one core: 0.15 CPU seconds for session and bars of 500,000 trades, 0.2 for touches; the cost is linear.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from raypipe.events.touches import FAMILY
from raypipe.schema.books import ES_TRADES
from raypipe.schema.frames import date_array, dictionary_array
from raypipe.schema.touches import ES_BARS, ES_SESSION, ES_SPY_RATIO, OPTION_GREEKS, globex_window
from tests.events.days import made_day
from tests.events.tape import SESSION, at, fronts, ratios, run

TRADES, PRINTS = 500_000, 600_000
Tables = dict[str, dict[dt.date | None, pa.Table]]


def trades(rng: np.random.Generator, count: int) -> pa.Table:
    """A walk of ticks, 40 % of trades at the nanosecond of the one before, 3 % in the next contract."""
    start_ns, _ = globex_window(SESSION)
    night = rng.integers(start_ns, at(0), count // 6)
    ts_ns = np.sort(np.concatenate([night, rng.integers(at(0), at(390), count - count // 6)]))
    same = np.flatnonzero(rng.random(count) < 0.4)[1:]
    ts_ns[same] = ts_ns[same - 1]
    # The range of a session does not depend on how many trades it is cut into.
    turns = rng.choice([-1, 0, 1], count, p=[0.15, 0.7, 0.15]) * (rng.random(count) < TRADES / count)
    back = rng.random(count) < 0.03
    ticks = 24_000 + np.cumsum(turns) + 220 * back
    return ES_TRADES.build(
        {
            "session": date_array(SESSION.date, count),
            "ts_event_ns": pa.array(np.sort(ts_ns)),
            "ts_recv_ns": pa.array(np.sort(ts_ns)),
            "instrument_id": pa.array((1 + back).astype(np.uint32)),
            "contract": dictionary_array(back.astype(np.int32), pa.array(["ESH5", "ESM5"])),
            "sequence": pa.array(np.arange(count, dtype=np.uint32)),
            "price_ticks": pa.array(ticks.astype(np.int32)),
            "size": pa.array(rng.integers(1, 9, count).astype(np.uint32)),
            "side": pa.array(rng.integers(-1, 2, count).astype(np.int8)),
            "action": pa.array(np.full(count, 84, np.uint8)),
            "flags": pa.array(np.zeros(count, np.uint8)),
        }
    )


def greeks(rng: np.random.Generator, count: int) -> pa.Table:
    """Prints of strikes around 600."""
    gamma, one = rng.exponential(50, count), pa.array(np.ones(count))
    strikes = 600 + np.clip(np.rint(rng.normal(0, 6, count)), -40, 40)
    return OPTION_GREEKS.build(
        {
            "session": date_array(SESSION.date, count),
            "ts_event_ns": pa.array(np.sort(rng.integers(at(0), at(390), count))),
            "strike_e3": pa.array((strikes * 1000).astype(np.int32)),
            "right": dictionary_array(rng.integers(0, 2, count).astype(np.int32), pa.array(["C", "P"])),
            "size": pa.array(rng.integers(1, 20, count).astype(np.uint32)),
            "aggressor": pa.array(rng.integers(-1, 2, count).astype(np.int8)),
            **dict.fromkeys(("spot", "iv", "delta", "gamma"), one),
            "iv_source": dictionary_array(np.zeros(count, np.int32), pa.array(["solved"])),
            "dealer_gamma": pa.array(gamma * rng.integers(-1, 2, count)),
            "gross_gamma": pa.array(gamma),
        }
    )


@lru_cache(maxsize=1)
def session(times: int) -> Tables:
    """The tables of one session with so many times the records of a busy one, and seven sessions before."""
    rng = np.random.default_rng(7)
    before = made_day(0).tables()
    made = fronts({ES_TRADES.name: {SESSION.date: trades(rng, TRADES * times)}})
    for name in (ES_BARS.name, ES_SESSION.name):
        made[name] = {**before[name], **made[name]}
    made[ES_SPY_RATIO.name] = {SESSION.date: ratios([(at(m), 10 + 0.001 * np.sin(m)) for m in range(-329, 390)])}
    made[OPTION_GREEKS.name] = {SESSION.date: greeks(rng, PRINTS * times)}
    return made


@pytest.mark.benchmark(group="session and bars")
@pytest.mark.parametrize("times", [1, 4])
def bench_front(benchmark: BenchmarkFixture, times: int) -> None:
    tables = {ES_TRADES.name: session(times)[ES_TRADES.name]}
    report(benchmark, times, lambda: fronts(tables))


@pytest.mark.benchmark(group="touches")
@pytest.mark.parametrize("cadence", ["event", "bar"])
@pytest.mark.parametrize("times", [1, 4])
def bench_touches(benchmark: BenchmarkFixture, times: int, cadence: str) -> None:
    tables, found = session(times), []

    def work() -> None:
        found.append(run(FAMILY, tables, levels={"kinds": range(14)}, touch={"cadence": cadence}).table.num_rows)

    report(benchmark, times, work)
    benchmark.extra_info["touches"] = found[-1]


def report(benchmark: BenchmarkFixture, times: int, work: Callable[[], object]) -> None:
    taken: list[float] = []

    def timed() -> None:
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)

    benchmark.pedantic(timed, rounds=5, warmup_rounds=1)
    benchmark.extra_info["cpu_seconds"] = round(min(taken), 4)
    benchmark.extra_info["ns_per_trade"] = round(min(taken) / (TRADES * times) * 1e9, 1)
