"""Scores against scikit-learn, scipy and every pair looked at; and their laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn import metrics

from raypipe.errors import DeveloperError
from raypipe.evaluation.scores import (
    auc,
    brier,
    ece,
    fold_value,
    group_aucs,
    group_ranks,
    log_loss,
    rank_ic,
    ranks,
    spearman,
)
from tests.reference import scores as naive

ROWS = st.integers(1, 40)
#: Few distinct values, so that ties are common.
LEVELS = st.integers(0, 6).map(lambda k: k / 6)


@st.composite
def predictions(draw):
    n = draw(ROWS)
    y = draw(hnp.arrays(np.float32, n, elements=st.sampled_from([0.0, 1.0])))
    p = draw(hnp.arrays(np.float64, n, elements=LEVELS))
    group = draw(hnp.arrays(np.int32, n, elements=st.integers(0, 4)))
    return y, p, group


@given(predictions())
def test_ranks_are_those_of_scipy(case):
    _, p, group = case
    assert np.array_equal(ranks(p), stats.rankdata(p))
    found = group_ranks(p, group)
    for one in np.unique(group):
        assert np.array_equal(found[group == one], stats.rankdata(p[group == one]))


@given(predictions())
def test_auc_counts_pairs(case):
    y, p, group = case
    assert auc(y, p) == pytest.approx(naive.auc(y, p), nan_ok=True, abs=1e-14)
    for one, found in enumerate(group_aucs(y, p, group)):
        mine = group == one
        assert found == pytest.approx(naive.auc(y[mine], p[mine]), nan_ok=True, abs=1e-14)


@given(predictions())
def test_a_monotone_map_leaves_the_auc_and_the_reverse_mirrors_it(case):
    y, p, _ = case
    value = auc(y, p)
    assert auc(y, np.exp(3 * p)) == pytest.approx(value, nan_ok=True)
    assert auc(y, -p) == pytest.approx(1 - value, nan_ok=True)
    assert auc(1 - y, p) == pytest.approx(1 - value, nan_ok=True)


@given(predictions())
def test_ece_keeps_ties_together_and_knows_no_order(case):
    y, p, group = case
    assert ece(y, p) == pytest.approx(naive.ece(y, p), abs=1e-7)  # labels are float32, and so are means of them
    order = np.argsort(group, kind="stable")
    assert ece(y[order], p[order]) == pytest.approx(ece(y, p))


def test_scores_are_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    p = rng.uniform(size=5_000).astype(np.float32)
    y = (rng.uniform(size=5_000) < p).astype(np.float32)
    assert auc(y, p) == pytest.approx(metrics.roc_auc_score(y, p), abs=1e-12)
    assert brier(y, p) == pytest.approx(metrics.brier_score_loss(y, p.astype(np.float64)), abs=1e-12)
    assert log_loss(y, p.astype(np.float64)) == pytest.approx(metrics.log_loss(y, p.astype(np.float64)), abs=1e-12)
    assert ece(y, p) < 0.03 < ece(y, p / 2)


def test_rank_ic_is_the_mean_of_the_sessions_that_say_something():
    rng = np.random.default_rng(2)
    session = np.repeat(np.arange(30, dtype=np.int32), 7)
    p, y = rng.integers(0, 5, 210).astype(np.float64), rng.integers(0, 4, 210).astype(np.float64)
    p[:7] = 1.0  # constant: nothing to say
    each = [stats.spearmanr(y[session == s], p[session == s]).statistic for s in range(1, 30)]
    assert rank_ic(y, p, session) == pytest.approx(np.mean(each))
    assert spearman(y, p) == pytest.approx(stats.spearmanr(y, p).statistic)


def test_a_fold_is_scored_by_its_kind():
    rng = np.random.default_rng(3)
    session = np.repeat(np.arange(20, dtype=np.int32), 5)
    p, y = rng.normal(size=100), rng.normal(size=100)
    up = (y > 0).astype(np.float32)
    assert fold_value("class", up, p, session, one_symbol=False) == auc(up, p)
    assert fold_value("regression", y, p, session, one_symbol=False) == rank_ic(y, p, session)
    assert fold_value("regression", y, p, session, one_symbol=True) == spearman(y, p)


def test_what_is_not_defined_is_nan():
    one, p = np.ones(4, np.float32), np.linspace(0, 1, 4)
    assert np.isnan(auc(one, p))
    assert auc(np.array([1.0, 0.0]), np.array([0.3, 0.3])) == 0.5
    assert np.isnan(spearman(one, p))
    assert np.isnan(rank_ic(p, p, np.arange(4)))
    assert np.isnan([f(p[:0], p[:0]) for f in (auc, brier, log_loss, ece, spearman)]).all()
    assert np.isnan(group_aucs(one, p, np.array([0, 0, 2, 2]))).tolist() == [True, True, True]


def test_certain_and_wrong_is_bad_but_finite():
    assert 30 < log_loss(np.array([0.0]), np.array([1.0])) < 40


@pytest.mark.parametrize("score", [auc, brier, log_loss, ece, spearman])
def test_predictions_that_are_no_numbers_are_refused(score):
    with pytest.raises(DeveloperError, match="row 1 and 0 more"):
        score(np.array([0.0, 1.0]), np.array([0.5, np.nan]))
    with pytest.raises(DeveloperError, match="shape"):
        score(np.zeros(2), np.zeros(3))
