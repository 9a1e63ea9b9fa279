"""Resampled scores against rows really repeated; blocks; and how often bounds refute what is true."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from raypipe.errors import DeveloperError
from raypipe.evaluation import bootstrap
from raypipe.evaluation.bootstrap import (
    AucForm,
    IcForm,
    block_weights,
    date_block_bootstrap,
    paired_bootstrap,
)
from raypipe.evaluation.scores import auc, rank_ic


def rows_of(seed, sessions=40, symbols=6, ragged=True):
    rng = np.random.default_rng(seed)
    session = np.repeat(np.arange(sessions), symbols)
    if ragged:
        session = session[rng.uniform(size=len(session)) < 0.7]
    p = rng.normal(size=len(session)).round(1)
    y = (p + rng.normal(size=len(p)) > 0).astype(np.float32)
    return session, y, p


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 99))
def test_a_draw_is_made_of_circular_blocks(sessions, block, seed):
    block = min(block, sessions)
    found = block_weights(sessions, block, 20, seed)
    first = np.random.default_rng(seed).integers(0, sessions, (20, math.ceil(sessions / block)))
    for weights, starts in zip(found, first, strict=True):
        laid = [(start + step) % sessions for start in starts for step in range(block)][:sessions]
        assert weights.tolist() == np.bincount(laid, minlength=sessions).tolist()


@pytest.mark.parametrize("chunk", [1, 3, 64, 1 << 18])
@pytest.mark.parametrize("seed", range(3))
def test_a_weighted_score_is_that_of_repeated_rows(seed, chunk, monkeypatch):
    monkeypatch.setattr(bootstrap, "_CHUNK", chunk)
    session, y, p = rows_of(seed)
    place = np.unique(session, return_inverse=True)[1]
    sessions = place.max() + 1
    weights = block_weights(sessions, 5, 30, seed)
    aucs, ics = (form(y, p, place, sessions).values(weights) for form in (AucForm, IcForm))
    for draw, a, b in zip(weights.astype(int), aucs, ics, strict=True):
        drawn = np.repeat(np.arange(sessions), draw)
        rows = np.concatenate([np.flatnonzero(place == one) for one in drawn])
        group = np.repeat(np.arange(len(drawn)), [(place == one).sum() for one in drawn])
        assert a == pytest.approx(auc(y[rows], p[rows]), abs=1e-12)
        assert b == pytest.approx(rank_ic(y[rows], p[rows], group), abs=1e-12)


@pytest.mark.parametrize("levels", [2, 20, 60, 300, 10_000])
def test_pairs_are_exact_however_many_ties_there_are(levels):
    rng = np.random.default_rng(levels)
    session, p = np.repeat(np.arange(30), 100), rng.integers(0, levels, 3_000) / 7
    y = (rng.uniform(size=3_000) < 0.4).astype(np.float32)
    assert AucForm(y, p, session, 30).values(np.ones((1, 30)))[0] == auc(y, p)


def test_one_block_of_all_sessions_moves_nothing():
    session, y, p = rows_of(4, ragged=False)
    moved = AucForm(y, p, session, 40).values(block_weights(40, 40, 50, 1))
    assert np.ptp(moved) == 0.0
    assert moved[0] == auc(y, p)


def test_independent_rows_get_the_error_that_is_known():
    rng = np.random.default_rng(5)
    session, p = np.arange(4_000), rng.normal(size=4_000)
    y = (rng.uniform(size=4_000) < 0.5).astype(np.float32)
    n1 = y.sum()
    known = math.sqrt(4_001 / (12 * n1 * (4_000 - n1)))
    assert date_block_bootstrap(session, y, p, 1).se == pytest.approx(known, rel=0.1)


def test_bounds_are_those_of_a_t_distribution():
    session, y, p = rows_of(6)
    found = date_block_bootstrap(session, y, p, 1)
    blocks = 40 // 5
    reach = stats.t.ppf(0.95, blocks - 1) * found.se * math.sqrt(blocks / (blocks - 1))
    assert found.value == auc(y, p)
    assert found.lower == pytest.approx(found.value - reach)
    assert found.upper == pytest.approx(found.value + reach)


def test_three_blocks_give_no_bounds():
    session, y, p = rows_of(7)
    found = date_block_bootstrap(session, y, p, 6)  # blocks of 12 in 40 sessions
    assert found.value == auc(y, p)
    assert np.isnan([found.se, found.lower, found.upper]).all()
    assert not np.isnan(date_block_bootstrap(session, y, p, 5).lower)


def test_what_has_no_score_has_no_bounds():
    session, y, p = rows_of(8)
    nothing = [date_block_bootstrap(session, 0 * y, p, 1), date_block_bootstrap(session[:0], y[:0], p[:0], 1)]
    assert all(math.isnan(value) for one in nothing for value in (one.value, one.se, one.lower, one.upper))
    with pytest.raises(DeveloperError, match="at least 2"):
        date_block_bootstrap(session, y, p, 1, draws=1)


@pytest.mark.parametrize("kind", ["class", "regression"])
def test_a_pair_shares_its_draws(kind):
    session, y, p = rows_of(9)
    other = np.random.default_rng(1).normal(size=len(p))
    nothing = paired_bootstrap(session, y, p, 3 * p + 1, 1, kind=kind)
    assert (nothing.value, nothing.se) == (0.0, 0.0)
    apart = [date_block_bootstrap(session, y, one, 1, kind=kind).value for one in (p, other)]
    assert paired_bootstrap(session, y, p, other, 1, kind=kind).value == pytest.approx(apart[0] - apart[1])


def test_equal_seeds_equal_numbers_and_rows_know_no_order():
    session, y, p = rows_of(10)
    order = np.random.default_rng(2).permutation(len(p))
    assert date_block_bootstrap(session, y, p, 2) == date_block_bootstrap(session, y, p, 2)
    assert date_block_bootstrap(session[order], y[order], p[order], 2) == date_block_bootstrap(session, y, p, 2)
    assert date_block_bootstrap(session, y, p, 2, seed=1) != date_block_bootstrap(session, y, p, 2)


# --- on what has no skill ------------------------------------------------------------------------


def false_alarms(horizon, studies, seed):
    """Share of studies without skill whose lower bound is above .5: persistent scores, overlapping labels."""
    rng, sessions, symbols = np.random.default_rng(seed), 250, 12
    session = np.repeat(np.arange(sessions), symbols)
    alarms = 0
    for _ in range(studies):
        returns = 0.6 * rng.normal(size=(sessions + horizon, 1)) + 0.8 * rng.normal(size=(sessions + horizon, symbols))
        total = np.cumsum(returns, axis=0)
        y = (total[horizon:] - total[:-horizon] > 0)[:sessions].astype(np.float32)
        drift = 0.6 * rng.normal(size=(sessions, 1)) + 0.8 * rng.normal(size=(sessions, symbols))
        p = np.apply_along_axis(lambda x: np.convolve(x, np.ones(20), "same"), 0, drift)
        alarms += date_block_bootstrap(session, y.ravel(), p.ravel(), horizon, draws=400).lower > 0.5
    return alarms / studies


def test_bounds_hold_without_skill():
    assert false_alarms(5, 60, 1) <= 0.15


@pytest.mark.slow
@pytest.mark.parametrize(("horizon", "most"), [(1, 0.09), (5, 0.09), (20, 0.12)])
def test_bounds_hold_without_skill_at_every_horizon(horizon, most):
    assert 0.01 <= false_alarms(horizon, 400, 2) <= most
