"""Cost of the stacker per row and fold, of baselines per feature, and of a bundle from disk to predictions.

The aim for a bundle of three boosters, pooled and for 46 symbols: loaded and 46 rows predicted in 0.5 s after imports.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from raypipe.evaluation.baseline import baseline_of
from raypipe.models.stacking import STRATEGIES, Rows, forward_stack
from raypipe.training.bundle import load_bundle, write_bundle
from tests.training.bundles import draft, panel

pytestmark = [pytest.mark.bench, pytest.mark.benchmark(timer=time.process_time, group="stack")]

BASES, SYMBOLS, SESSIONS, FOLDS = 6, 46, 500, 5


def oof_rows() -> Rows:
    draw = np.random.default_rng(0)
    n = SESSIONS * SYMBOLS
    y = draw.integers(0, 2, n).astype(np.float32)
    z = draw.normal(size=(n, BASES)) + 0.3 * (2 * y[:, None] - 1)
    session = np.repeat(np.arange(SESSIONS), SYMBOLS)
    return Rows(z, np.empty((n, 0)), y, session * FOLDS // SESSIONS + 1, session * 10, session * 10 + 15)


def per_unit(benchmark: BenchmarkFixture, units: int, what: str) -> None:
    if benchmark.stats:
        benchmark.extra_info[f"us_per_{what}"] = benchmark.stats.stats.min * 1e6 / units


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_forward(benchmark, strategy):
    rows = oof_rows()
    benchmark.pedantic(forward_stack, args=(strategy, rows), rounds=2)
    per_unit(benchmark, len(rows.y) * FOLDS, "row_and_fold")


@pytest.mark.parametrize("symbols", [1, SYMBOLS])
def test_baseline(benchmark, symbols):
    values = np.random.default_rng(1).normal(size=1_250 * symbols).astype(np.float32)
    session = np.tile(np.arange(1_250), symbols)
    benchmark.pedantic(baseline_of, args=(values, session), rounds=5)
    per_unit(benchmark, 1, "feature")


def test_bundle(benchmark, tmp_path):
    symbols = tuple(f"S{i:02d}" for i in range(10))
    of = panel(symbols=symbols)
    made = draft(of, algorithms=("xgboost", "catboost", "lightgbm"))
    write_bundle(tmp_path / "b", made)

    def load_and_predict():
        return load_bundle(tmp_path / "b").predict(of)

    benchmark.pedantic(load_and_predict, rounds=3)
    per_unit(benchmark, len(made.models), "model")
