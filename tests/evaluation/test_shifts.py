"""The best of N under shifts: against shifts made row by row, and uniform p-values on noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from raypipe.errors import DeveloperError
from raypipe.evaluation.scores import auc, group_aucs, rank_ic, spearman
from raypipe.evaluation.shifts import best_of_n, shift_offsets
from tests.reference.multiplicity import shifted_objective


def study(seed, *, n=6, sessions=60, symbols=5, regression=False, folds=3):
    rng = np.random.default_rng(seed)
    session, symbol = np.repeat(np.arange(sessions), symbols), np.tile(np.arange(symbols), sessions)
    y = rng.normal(size=len(session)).round(1) if regression else (rng.uniform(size=len(session)) < 0.5)
    p = rng.normal(size=(n, len(session))).round(1).astype(np.float32)
    return p, y.astype(np.float32), session * folds // sessions, session + 100, symbol


SCORES = {
    "class": (False, lambda y, p, _: auc(y, p)),
    "regression": (False, rank_ic),
    "over time": (True, lambda y, p, _: spearman(y, p)),
}


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("seed", range(2))
def test_a_shift_is_one_made_row_by_row(name, seed):
    one_symbol, score = SCORES[name]
    kind = "class" if name == "class" else "regression"
    p, y, *keys = study(seed, symbols=1 if one_symbol else 5, regression=kind == "regression")
    p[0, keys[0] == 2] = np.nan  # pruned after two folds
    found = best_of_n(p, y, *keys, horizon=3, kind=kind, one_symbol=one_symbol)
    values = [[shifted_objective(one, y, *keys, offset, score) for one in p] for offset in range(60)]
    assert found.observed == pytest.approx(max(values[0][1:]), abs=1e-12)
    assert found.null == pytest.approx([max(values[offset]) for offset in range(11, 50)], abs=1e-12)
    reached = sum(max(values[offset]) >= found.observed - 1e-12 for offset in range(11, 50))
    assert found.p_value == (1 + reached) / 40
    assert found.null_mean == found.null.mean()
    assert found.null_q95 == np.quantile(found.null, 0.95)


@given(st.integers(1, 300), st.integers(1, 25), st.integers(1, 60))
def test_offsets_are_distinct_and_far_from_home(sessions, horizon, shifts):
    found = shift_offsets(sessions, horizon, shifts, 0)
    every = np.arange(2 * horizon + 5, sessions - 2 * horizon - 5 + 1)
    assert len(found) == min(shifts, len(every))
    assert (np.diff(found) > 0).all()
    assert np.isin(found, every).all()


def test_gaps_leave_out_what_has_no_outcome():
    p, y, *keys = study(3, sessions=200, symbols=8)
    kept = np.random.default_rng(4).uniform(size=len(y)) < 0.8
    part = [one[kept] for one in keys]
    found = best_of_n(p[:, kept], y[kept], *part, horizon=1)
    score = SCORES["class"][1]
    exact = [max(shifted_objective(one, y[kept], *part, o, score) for one in p[:, kept]) for o in (7, 50, 101)]
    assert found.observed == pytest.approx(max(shifted_objective(one, y[kept], *part, 0, score) for one in p[:, kept]))
    # Ranks are those of the whole fold, so these differ by as much as a fifth of the rows may move a mean.
    assert found.null[np.array([7, 50, 101]) - 7] == pytest.approx(exact, abs=0.02)


def test_several_rows_of_a_symbol_and_session_stay_apart():
    p, y, *keys = study(5)
    folded = [keys[0], keys[1], np.zeros_like(keys[2])]
    assert best_of_n(p, y, *folded, horizon=1).null.tolist() == best_of_n(p, y, *keys, horizon=1).null.tolist()


def test_skill_is_found_and_rows_outside_of_folds_are_not_looked_at():
    p, y, *keys = study(6, sessions=300)
    p[2] += y
    found = best_of_n(p, y, *keys, horizon=1)
    assert found.p_value == 1 / (1 + len(found.null))
    more = [np.concatenate([keys[0], [-1, -1]]), *(np.concatenate([key, [0, 1]]) for key in keys[1:])]
    outside = best_of_n(np.pad(p, ((0, 0), (0, 2)), constant_values=np.nan), np.append(y, [0, 1]), *more, horizon=1)
    assert (outside.null == found.null).all()


def test_what_cannot_be_compared_has_no_p_value():
    p, y, *keys = study(7)
    assert np.isnan(best_of_n(p, y, *keys, horizon=20).p_value)  # 60 sessions are too few to shift
    p[:, keys[0] == 1] = np.nan
    none_complete = best_of_n(p, y, *keys, horizon=1)
    assert np.isnan([none_complete.p_value, none_complete.observed]).all()
    assert np.isnan(best_of_n(p[:0], y, *keys, horizon=1).p_value)
    empty = best_of_n(p[:, :0], y[:0], *(key[:0] for key in keys), horizon=1)
    assert np.isnan([empty.p_value, empty.null_mean, empty.null_q95]).all()


def test_a_fold_in_part_is_refused():
    p, y, *keys = study(8)
    p[1, 0] = np.nan
    with pytest.raises(DeveloperError, match="configuration 1 has predictions for a part of fold 0"):
        best_of_n(p, y, *keys, horizon=1)


def test_rows_know_no_order():
    p, y, *keys = study(9)
    order = np.random.default_rng(1).permutation(len(y))
    mixed = best_of_n(p[:, order], y[order], *(key[order] for key in keys), horizon=1)
    assert mixed.null.tolist() == best_of_n(p, y, *keys, horizon=1).null.tolist()


def test_reversals_are_flattered_by_folds_and_not_within_sessions():
    """The known limit: what is said follows the outcomes, and ranks are centred by a fold that has them all."""
    rng, sessions, symbols, memory = np.random.default_rng(5), 500, 10, 60
    session, symbol = np.repeat(np.arange(sessions), symbols), np.tile(np.arange(symbols), sessions)
    pooled, within = [], []
    for _ in range(40):
        moves = 0.6 * rng.normal(size=(sessions + memory + 1, 1)) + 0.8 * rng.normal(
            size=(sessions + memory + 1, symbols)
        )
        path = np.cumsum(np.vstack([np.zeros((1, symbols)), moves]), axis=0)
        past = (path[memory:-2] - path[: -memory - 2])[:sessions]
        y, p = (moves[memory : memory + sessions] > 0).ravel().astype(np.float32), -past.ravel()
        found = best_of_n(p[None], y, session * 3 // sessions, session, symbol, horizon=1, shifts=20)
        pooled.append(found.observed)
        within.append(np.nanmean(group_aucs(y, p, session)))
    error = [np.std(one) / np.sqrt(len(one)) for one in (pooled, within)]
    assert np.mean(pooled) - 0.5 > 3 * error[0]
    assert abs(np.mean(within) - 0.5) < 3 * error[1]


# --- on noise ------------------------------------------------------------------------------------


def noise_p_values(studies, horizon, seed, *, sessions=400, symbols=8, n=10):
    """p-values of studies without skill: one market factor, overlapping labels, persistent and alike predictions."""
    rng = np.random.default_rng(seed)
    session, symbol = np.repeat(np.arange(sessions), symbols), np.tile(np.arange(symbols), sessions)
    found = []
    for _ in range(studies):
        returns = 0.6 * rng.normal(size=(sessions + horizon, 1)) + 0.8 * rng.normal(size=(sessions + horizon, symbols))
        total = np.cumsum(returns, axis=0)
        y = (total[horizon:] > total[:-horizon])[:sessions].ravel().astype(np.float32)
        common, own = rng.normal(size=(1, sessions, symbols)), rng.normal(size=(n, sessions, symbols))
        p = np.cumsum(0.7 * common + 0.7 * own, axis=1)
        p[:, 10:] -= p[:, :-10].copy()  # ten sessions of memory
        keys = (session * 5 // sessions, session, symbol)
        found.append(best_of_n(p.reshape(n, -1), y, *keys, horizon=horizon, shifts=199).p_value)
    return np.array(found)


def test_p_values_on_noise_are_not_small():
    found = noise_p_values(40, 5, 1)
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert (found <= 0.05).mean() <= 0.15


@pytest.mark.slow
@pytest.mark.parametrize("horizon", [1, 5, 20])
def test_p_values_on_noise_are_uniform(horizon):
    found = noise_p_values(200, horizon, 2)
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert 0.02 <= (found <= 0.05).mean() <= 0.09
