"""Cost of what judges models: bounds, the best of N under shifts, halvings, and scores; beside naive forms.

The aims, on one core: best of 50 x 43,000 predictions over 1,000 shifts in 3 s; 1,000 resamples of 11,500 rows in
0.5 s; halvings of 150 candidates in 16 blocks in 0.5 s.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from sklearn.metrics import roc_auc_score

from raypipe.evaluation.bootstrap import block_weights, date_block_bootstrap
from raypipe.evaluation.multiplicity import pbo
from raypipe.evaluation.scores import auc
from raypipe.evaluation.shifts import best_of_n, shift_offsets

pytestmark = [pytest.mark.bench, pytest.mark.benchmark(timer=time.process_time, group="evaluation")]

SYMBOLS, N, SHIFTS, DRAWS = 46, 50, 1_000, 1_000


def rows(sessions: int, seed: int = 7, n: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    session, symbol = np.repeat(np.arange(sessions), SYMBOLS), np.tile(np.arange(SYMBOLS), sessions)
    p = rng.uniform(size=(n, len(session))).astype(np.float32)
    return session, symbol, (rng.uniform(size=len(session)) < 0.5).astype(np.float32), p


def tell(benchmark: BenchmarkFixture, **facts: Any) -> None:
    if benchmark.stats:
        seconds = benchmark.stats.stats.min
        benchmark.extra_info.update({"s": round(seconds, 3), **{k: round(seconds / v, 9) for k, v in facts.items()}})


@pytest.mark.parametrize("kind", ["class", "regression"])
@pytest.mark.parametrize("gaps", [False, True], ids=["whole", "gaps"])
def test_best_of_n(benchmark: BenchmarkFixture, kind: Any, gaps: bool) -> None:
    """Every configuration of a study against 1,000 shifts of its labels."""
    session, symbol, y, p = rows(43_000 // SYMBOLS + 220, n=N)
    kept = np.random.default_rng(1).uniform(size=len(y)) < (0.95 if gaps else 1.1)
    keys = ((session * 5 // (session.max() + 1))[kept], session[kept], symbol[kept])
    p, y = np.ascontiguousarray(p[:, kept]), y[kept]
    found = benchmark.pedantic(best_of_n, (p, y, *keys), {"horizon": 20, "kind": kind}, rounds=2, warmup_rounds=1)
    assert len(found.null) == SHIFTS
    tell(benchmark, s_per_shift=SHIFTS, s_per_score=SHIFTS * N)


def test_best_of_n_naive(benchmark: BenchmarkFixture) -> None:
    """The same by scikit-learn's AUC: four shifts of one configuration."""
    session, _, y, p = rows(1_154)
    fold, cells = session * 5 // (session.max() + 1), y.reshape(-1, SYMBOLS)
    offsets = shift_offsets(len(cells), 20, 4, 0)

    def run() -> None:
        for offset in offsets:
            moved = np.roll(cells, -offset, axis=0).ravel()
            for one in range(5):
                roc_auc_score(moved[fold == one], p[0, fold == one])

    benchmark.pedantic(run, rounds=2, warmup_rounds=1)
    tell(benchmark, s_per_score=len(offsets))


@pytest.mark.parametrize("sessions", [250, 1_250], ids=["hold-out", "all folds"])
def test_bootstrap(benchmark: BenchmarkFixture, sessions: int) -> None:
    """An AUC with its bounds."""
    session, _, y, p = rows(sessions)
    benchmark.pedantic(date_block_bootstrap, (session, y, p[0], 20), rounds=3, warmup_rounds=1)
    tell(benchmark, s_per_draw=DRAWS)


def test_bootstrap_naive(benchmark: BenchmarkFixture) -> None:
    """The same by scikit-learn's AUC with weights: ten draws."""
    session, _, y, p = rows(250)
    weights = block_weights(250, 40, 10, 0)

    def run() -> None:
        for one in weights:
            roc_auc_score(y, p[0], sample_weight=one[session])

    benchmark.pedantic(run, rounds=2, warmup_rounds=1)
    tell(benchmark, s_per_draw=len(weights))


def test_pbo(benchmark: BenchmarkFixture) -> None:
    """All 12,870 halvings."""
    scores = np.random.default_rng(7).normal(0.5, 0.02, (16, 150))
    benchmark.pedantic(pbo, (scores,), rounds=3, warmup_rounds=1)
    tell(benchmark)


@pytest.mark.parametrize("score", [auc, roc_auc_score], ids=["raypipe", "scikit-learn"])
def test_auc(benchmark: BenchmarkFixture, score: Any) -> None:
    """One AUC of 11,500 rows."""
    _, _, y, p = rows(250)
    benchmark.pedantic(score, (y, p[0]), rounds=5, warmup_rounds=1)
    tell(benchmark, s_per_row=len(y))
