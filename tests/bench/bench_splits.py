"""Cost of splits, of their verifier and of selection, per row and beside the pieces that they are made of.

The aims, for 46 symbols x 1,509 sessions: splits in 0.2 CPU-s, the verifier in 1 CPU-s; for 250 features x 45,000 rows
in 5 folds, selection in 60 CPU-s.
"""

from __future__ import annotations

import datetime as dt
import time
from functools import cache

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from raypipe.calendar import calendar
from raypipe.dataset.matrix import Panel, Target
from raypipe.dataset.selection import select
from raypipe.dataset.splits import make_splits
from raypipe.dataset.verify import verify_splits
from raypipe.schema.modeling import CvParams, SelectionParams

pytestmark = [pytest.mark.bench, pytest.mark.benchmark(timer=time.process_time, group="splits")]

SCHEMES = ("walk_forward", "purged_kfold", "cpcv")
HORIZON = 20


@cache
def market(symbols: int, sessions: int, features: int) -> tuple[Panel, Target]:
    """Noise in which one feature says something."""
    rng = np.random.default_rng(3)
    days = calendar().between(dt.date(2018, 1, 2), dt.date(2023, 12, 29))[:sessions]
    opens, closes = (np.array([getattr(day, name) for day in days]) for name in ("open_ns", "close_ns"))
    symbol = np.repeat(np.arange(symbols, dtype=np.int16), sessions)
    session = np.tile(np.arange(sessions, dtype=np.int32), symbols)
    x = rng.normal(size=(len(session), features)).astype(np.float32)
    end = session + 1 + HORIZON
    known = end < sessions
    y = np.where(known, x[:, 0] + rng.normal(size=len(session)) > 0, np.nan).astype(np.float32)
    names = tuple(f"f{i:03d}" for i in range(features))
    dates = np.array([day.date for day in days], "datetime64[D]")
    panel = Panel(tuple(f"S{i:02d}" for i in range(symbols)), dates, symbol, session, closes[session], names, x)
    began, ended = (opens[np.minimum(at, sessions - 1)] for at in (session + 1, end))
    return panel, Target("direction_20d", "class", HORIZON, y, np.where(known, began, 0), np.where(known, ended, 0))


def tell(benchmark: BenchmarkFixture, rows: int) -> None:
    if benchmark.stats:
        benchmark.extra_info["ns_per_row"] = round(benchmark.stats.stats.min / rows * 1e9, 1)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_splits(benchmark: BenchmarkFixture, scheme: str) -> None:
    """46 symbols x 1,509 sessions, 97 features."""
    panel, target = market(46, 1_509, 97)
    cv = CvParams(scheme=scheme)
    benchmark.pedantic(make_splits, (panel, target, cv), {"holdout_start": dt.date(2023, 1, 3)}, rounds=3)
    tell(benchmark, panel.rows)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_verifier(benchmark: BenchmarkFixture, scheme: str) -> None:
    """The same splits, held against the data."""
    panel, target = market(46, 1_509, 97)
    data = make_splits(panel, target, CvParams(scheme=scheme), holdout_start=dt.date(2023, 1, 3)).to_json()
    benchmark.pedantic(verify_splits, (data, panel, target, calendar()), rounds=3)
    tell(benchmark, panel.rows)


def test_selection(benchmark: BenchmarkFixture) -> None:
    """250 features x 45,000 rows: five folds and all rows."""
    panel, target = market(45, 1_021, 250)
    splits = make_splits(panel, target, CvParams())
    benchmark.pedantic(select, (panel, target, splits, SelectionParams(), 42), rounds=1)
    tell(benchmark, panel.rows * 250)
