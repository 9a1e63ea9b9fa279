"""Overfitting by halvings and deflated Sharpe ratios, against naive forms, published values and their laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from raypipe.evaluation.multiplicity import (
    Moments,
    block_places,
    block_scores,
    dsr,
    effective_trials,
    iid_null_sd,
    luck,
    pbo,
    psr,
)
from raypipe.evaluation.scores import auc, rank_ic
from tests.reference import multiplicity as naive

# --- halvings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", [4, 6, 8])
@pytest.mark.parametrize("digits", [1, 6])
def test_pbo_is_that_of_every_halving(blocks, digits):
    rng = np.random.default_rng(blocks)
    scores = rng.normal(0.5, 0.1, (blocks, 7)).round(digits)
    assert pbo(scores) == pytest.approx(naive.pbo(scores), abs=1e-15)


def test_a_dominant_configuration_is_not_overfitted():
    scores = np.random.default_rng(1).normal(0.5, 0.02, (16, 30))
    scores[:, 4] += 0.3
    assert pbo(scores) == 0.0


def test_noise_is_a_toss_of_a_coin():
    rng = np.random.default_rng(2)
    assert np.mean([pbo(rng.normal(size=(16, 20))) for _ in range(30)]) == pytest.approx(0.5, abs=0.1)


def test_what_holds_in_one_half_only_is_overfitted():
    scores = np.random.default_rng(9).normal(size=(16, 20))
    assert pbo(scores - scores.mean(axis=0)) == 1.0


def test_without_a_choice_there_is_no_overfitting_to_speak_of():
    assert math.isnan(pbo(np.ones((16, 1))))
    assert math.isnan(pbo(np.ones((2, 5))))
    assert math.isnan(pbo(np.empty((0, 5))))
    assert pbo(np.ones((4, 5))) == 0.0


def test_blocks_without_a_score_are_left_out():
    scores = np.random.default_rng(3).normal(size=(6, 5))
    scores[:, 2] += 9
    scores[1] = np.nan
    assert pbo(scores) == 0.0


@given(st.integers(1, 400), st.integers(1, 30))
def test_blocks_are_even_contiguous_and_as_long_as_a_label(sessions, horizon):
    place, blocks = block_places(np.arange(sessions) * 3, horizon)
    assert blocks % 2 == 0
    assert blocks <= 16
    if blocks:
        size = np.bincount(place)
        assert (np.diff(place) >= 0).all()
        assert np.ptp(size) <= 1
        assert size.min() >= max(10, horizon)
    assert blocks > 0 or sessions < 4 * max(10, horizon)


@pytest.mark.parametrize("kind", ["class", "regression"])
def test_scores_of_blocks_are_those_of_their_rows(kind):
    rng = np.random.default_rng(4)
    session = np.repeat(np.arange(170), 5)
    p, y = rng.normal(size=(3, 850)), rng.integers(0, 2, 850).astype(np.float64)
    found = block_scores(p, y, session, 1, kind=kind)
    place, blocks = block_places(session, 1)
    assert found.shape == (blocks, 3)
    for block in range(blocks):
        mine = place == block
        each = [auc(y[mine], q[mine]) if kind == "class" else rank_ic(y[mine], q[mine], session[mine]) for q in p]
        assert found[block] == pytest.approx(each)
    assert block_scores(p, y, session // 20, 1, kind=kind).shape == (0, 3)


# --- Sharpe ratios -------------------------------------------------------------------------------

#: The worked example of Bailey and Lopez de Prado (2014): annual 2.5 over five years, skew -3, kurtosis 10.
EXAMPLE = Moments(2.5 / math.sqrt(250), -3.0, 10.0, 1_250)


def test_published_values():
    assert luck(0.5 / 250, 100) == pytest.approx(0.1132, abs=5e-5)
    assert dsr(EXAMPLE, 0.5 / 250, 100) == pytest.approx(0.9004, abs=5e-5)
    assert dsr(EXAMPLE, 0.5 / 250, 46) == pytest.approx(0.9505, abs=5e-5)
    assert dsr(Moments(EXAMPLE.sharpe, 0.0, 3.0, 1_250), 0.5 / 250, 88) == pytest.approx(0.9505, abs=5e-5)


def test_moments_are_those_of_scipy():
    returns = np.random.default_rng(5).standard_t(4, 500) * 0.01 + 0.001
    found = Moments.of(returns)
    assert found.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1))
    assert found.skew == pytest.approx(stats.skew(returns))
    assert found.kurtosis == pytest.approx(stats.kurtosis(returns, fisher=False))


def test_one_trial_is_not_deflated():
    assert dsr(EXAMPLE, 0.5, 1.0) == psr(EXAMPLE)
    assert dsr(EXAMPLE, math.nan, 1.0) == psr(EXAMPLE)
    assert math.isnan(dsr(EXAMPLE, math.nan, 2.0))


@given(st.floats(1, 1e4), st.floats(0, 1e4), st.floats(1e-6, 1))
def test_luck_grows_with_trials_and_never_helps(trials, more, variance):
    assert 0.0 <= luck(variance, trials) <= luck(variance, trials + more)
    assert dsr(EXAMPLE, variance, trials + more) <= dsr(EXAMPLE, variance, trials) <= psr(EXAMPLE)


def test_luck_is_what_the_best_of_many_reaches():
    best = np.random.default_rng(6).normal(0, 0.2, (4_000, 50)).max(axis=1)
    assert luck(0.04, 50) == pytest.approx(best.mean(), rel=0.02)


def test_without_variation_there_is_no_ratio():
    for returns in (np.zeros(100), np.full(100, 0.01), np.array([0.1]), np.array([])):
        assert math.isnan(psr(Moments.of(returns)))


# --- trials --------------------------------------------------------------------------------------


def test_trials_count_as_far_as_their_books_differ():
    rng = np.random.default_rng(7)
    one, many = rng.normal(size=(1, 5_000)), rng.normal(size=(10, 5_000))
    assert effective_trials(200, np.repeat(one, 10, axis=0)) == pytest.approx(20)
    assert effective_trials(200, many) == pytest.approx(200, rel=0.02)
    eigen = np.linalg.eigvalsh(np.corrcoef(many + one))
    assert effective_trials(200, many + one) == pytest.approx(200 / 10 * eigen.sum() ** 2 / (eigen**2).sum())


def test_unknown_likeness_counts_all_trials():
    book = np.random.default_rng(8).normal(size=(1, 100))
    assert effective_trials(7, book) == 7.0
    assert effective_trials(7, np.empty((0, 100))) == 7.0
    assert effective_trials(7, np.vstack([book, np.zeros((3, 100))])) == 7.0
    assert effective_trials(0, book) == 1.0
    assert effective_trials(2, np.repeat(book, 5, axis=0)) == 1.0


def test_the_error_of_independent_rows():
    assert iid_null_sd(10, 20) == math.sqrt(31 / (12 * 200))
    assert math.isnan(iid_null_sd(0, 20))
