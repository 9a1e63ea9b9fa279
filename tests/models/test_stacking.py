"""The stacker: laws of its strategies, and that no learner sees what it is scored on."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.errors import DeveloperError
from raypipe.models.stacking import (
    STRATEGIES,
    Calibrator,
    Meta,
    Rows,
    complete,
    fit_meta,
    fit_platt,
    forward_platt,
    forward_stack,
    to_z,
)

LEARNERS = STRATEGIES[1:]
#: Base 0 is noise, 1 weak, 2 strong.
STRENGTH = np.array([0.0, 0.5, 1.0])


def rows(n_sessions=200, symbols=6, *, horizon=1, folds=5, seed=3, regime=0) -> Rows:
    draw = np.random.default_rng(seed)
    n = n_sessions * symbols
    y = draw.integers(0, 2, n).astype(np.float32)
    z = draw.normal(size=(n, 3)) + STRENGTH * (2 * y[:, None] - 1)
    session = np.repeat(np.arange(n_sessions), symbols)
    fold = session * folds // n_sessions + 1
    extra = draw.normal(size=(n, regime))
    return Rows(z, extra, y, fold, session * 10, (session + horizon) * 10 + 5)


def loss(logit, y):
    return float(np.mean(np.logaddexp(0, logit) - y * logit))


# --- scales --------------------------------------------------------------------------------------


def test_logit_is_held_away_from_the_ends():
    got = to_z(np.array([0.0, 0.25, 1.0, np.nan]), "logit", np.zeros(4, int))
    far = np.log(1e-4 / (1 - 1e-4))
    np.testing.assert_allclose(got, [far, np.log(1 / 3), -far, np.nan], rtol=1e-12)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.1, 0.2, 0.5, np.nan])), min_size=1, max_size=40))
def test_ranks_are_those_of_the_session(pairs):
    from scipy.stats import rankdata

    session, p = np.array([s for s, _ in pairs]), np.array([p for _, p in pairs])
    expected = np.full(len(p), np.nan)
    for one in np.unique(session):
        here = (session == one) & ~np.isnan(p)
        if here.any():
            expected[here] = (rankdata(p[here]) - 0.5) / here.sum() - 0.5
    np.testing.assert_allclose(to_z(p, "rank", session), expected)
    np.testing.assert_allclose(to_z(np.column_stack([p, p]), "rank", session)[:, 1], expected)


def test_an_unknown_scale_is_refused():
    with pytest.raises(DeveloperError, match="probit"):
        to_z(np.zeros(2), "probit", np.zeros(2, int))


def test_a_missing_base_is_the_mean_of_the_others_if_half_are_there():
    nan = np.nan
    z = np.array([[1.0, 2, 3, 6], [1, nan, 3, nan], [nan, nan, nan, 6], [nan] * 4])
    np.testing.assert_array_equal(complete(z), [[1, 2, 3, 6], [1, 2, 3, 2], [nan] * 4, [nan] * 4])
    mean = fit_meta("mean", Rows(z, np.empty((4, 0)), *np.zeros((4, 4))))
    np.testing.assert_array_equal(mean.z(z, np.empty((4, 0))), [3, 2, nan, nan])


# --- laws of strategies ---------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_one_base_is_handed_on(strategy):
    data = rows()
    one = Rows(data.z[:, 2:], *(getattr(data, name) for name in Rows.__slots__[1:]))
    np.testing.assert_array_equal(fit_meta(strategy, one).z(one.z, one.regime), one.z[:, 0])


@pytest.mark.parametrize("l2", [1e12, np.inf])
def test_logistic_held_hard_is_the_mean_up_to_its_intercept(l2):
    data = rows()
    meta, mean = fit_meta("logistic", data, l2=l2), fit_meta("mean", data)
    np.testing.assert_allclose(meta.weights, 1 / 3, atol=1e-9)
    apart = meta.z(data.z, data.regime) - mean.z(data.z, data.regime)
    np.testing.assert_allclose(apart, apart[0], atol=1e-8)


def test_logistic_weighs_by_skill_and_never_below_zero():
    data = rows()
    free = fit_meta("logistic", Rows(-data.z, *(getattr(data, name) for name in Rows.__slots__[1:])), l2=0)
    assert (free.weights == 0).all()
    weights = fit_meta("logistic", data, l2=1e-3).weights
    assert weights[0] < weights[1] < weights[2]
    assert (weights >= 0).all()


def test_logistic_is_scikit_learns_where_bounds_do_not_bind():
    from sklearn.linear_model import LogisticRegression

    data = rows()
    strong = Rows(data.z[:, 1:], *(getattr(data, name) for name in Rows.__slots__[1:]))
    meta = fit_meta("logistic", strong, l2=0)
    other = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(strong.z, strong.y)
    np.testing.assert_allclose(meta.weights, other.coef_[0], rtol=1e-4)
    np.testing.assert_allclose(meta.intercept, other.intercept_[0], atol=1e-4)


def test_logistic_stands_where_no_step_helps():
    data, draw = rows(), np.random.default_rng(0)
    meta = fit_meta("logistic", data, l2=0.1)

    def objective(weights, intercept):
        return loss(data.z @ weights + intercept, data.y) + 0.05 * np.sum((weights - 1 / 3) ** 2)

    best = objective(meta.weights, meta.intercept)
    for _ in range(50):
        step = draw.normal(scale=0.01, size=4)
        assert objective(np.maximum(meta.weights + step[:3], 0), meta.intercept + step[3]) >= best


def test_a_net_sees_what_a_line_cannot():
    draw = np.random.default_rng(1)
    z = draw.normal(size=(4000, 2))
    y = (z[:, 0] * z[:, 1] > 0).astype(np.float32)
    data = Rows(z, np.empty((4000, 0)), y, np.ones(4000), np.zeros(4000), np.zeros(4000))
    net, line = fit_meta("meta-mlp", data), fit_meta("logistic", data)
    assert loss(net.z(z, data.regime), y) < 0.9 * loss(line.z(z, data.regime), y)


def test_the_gradient_of_a_net_is_that_of_its_loss():
    from scipy.optimize import check_grad

    from raypipe.models._meta import HIDDEN, _net_loss

    draw = np.random.default_rng(2)
    x, y = draw.normal(size=(1500, 2)), draw.integers(0, 2, 1500).astype(float)
    theta = draw.normal(size=2 * HIDDEN + 2 * HIDDEN + 1)
    assert check_grad(lambda t: _net_loss(t, x.T, y)[0], lambda t: _net_loss(t, x.T, y)[1], theta) < 1e-5


@pytest.mark.parametrize("strategy", LEARNERS)
def test_regime_columns_help_where_they_tell(strategy):
    data = rows(regime=1)
    told = Rows(data.z[:, :2], 3 * data.y[:, None] - 1.0 + data.regime, data.y, *data.z.T[:3])
    plain = Rows(told.z, np.empty((len(told.y), 0)), data.y, *data.z.T[:3])
    with_it, without = fit_meta(strategy, told), fit_meta(strategy, plain)
    assert loss(with_it.z(told.z, told.regime), told.y) < loss(without.z(plain.z, plain.regime), plain.y)
    gap = np.full((len(told.y), 1), np.nan)
    middle = np.full((len(told.y), 1), told.regime.mean())
    np.testing.assert_allclose(with_it.z(told.z, gap), with_it.z(told.z, middle), atol=1e-9)


@pytest.mark.parametrize("strategy", LEARNERS)
def test_one_class_teaches_nothing(strategy):
    data = rows()
    assert fit_meta(strategy, data.take(data.y == 1)) is None


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_fitted_strategy_survives_json_and_rows_do_not_depend_on_each_other(strategy):
    data = rows(regime=2)
    meta = fit_meta(strategy, data)
    again = Meta.from_dict(json.loads(json.dumps(meta.to_dict())))
    whole = meta.z(data.z, data.regime)
    np.testing.assert_array_equal(again.z(data.z, data.regime), whole)
    for size in (1, 7, 46):
        np.testing.assert_array_equal(meta.z(data.z[:size], data.regime[:size]), whole[:size])


@pytest.mark.parametrize("strategy", LEARNERS)
def test_equal_input_gives_equal_learners(strategy):
    one, other = (fit_meta(strategy, rows(), seed=5).to_dict() for _ in range(2))
    assert one == other


# --- calibration ----------------------------------------------------------------------------------


def test_platt_finds_the_line_that_made_the_labels():
    draw = np.random.default_rng(4)
    z = draw.normal(size=50_000)
    y = (draw.random(50_000) < 1 / (1 + np.exp(-(0.5 * z - 1)))).astype(np.float32)
    line = fit_platt(z, y)
    assert line.slope == pytest.approx(0.5, abs=0.05)
    assert line.intercept == pytest.approx(-1, abs=0.05)
    assert line.p(z).mean() == pytest.approx(y.mean(), abs=1e-3)


def test_platt_stays_finite_and_rising():
    z = np.linspace(-1, 1, 100)
    for y in (z > 0, z < 0):
        line = fit_platt(z, y.astype(np.float32))
        assert 0 < line.slope < 1e4
    assert fit_platt(z, np.ones(100)) is None
    assert np.isnan(Calibrator(1.0, 0.0).p(np.array([np.nan]))[0])
    np.testing.assert_array_equal(Calibrator(1.0, 0.0).p(np.array([-1e9, 1e9])), [0, 1])


# --- forward only ---------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", LEARNERS)
def test_the_first_fold_has_no_learner(strategy):
    data = rows()
    z = forward_stack(strategy, data)
    assert np.isnan(z[data.fold == 1]).all()
    assert not np.isnan(z[data.fold > 1]).any()
    assert not np.isnan(forward_stack("mean", data)).any()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("fold", [2, 4])
def test_what_comes_later_changes_no_earlier_fold(strategy, fold):
    data, draw = rows(horizon=5), np.random.default_rng(9)
    first = data.decision_ns[data.fold == fold].min()
    unknown = data.end_ns >= first
    y, z = data.y.copy(), data.z.copy()
    y[unknown] = draw.integers(0, 2, unknown.sum())
    z[data.fold > fold] = draw.normal(size=z[data.fold > fold].shape)
    changed = Rows(z, data.regime, y, data.fold, data.decision_ns, data.end_ns)
    here = data.fold <= fold
    one, other = forward_stack(strategy, data), forward_stack(strategy, changed)
    np.testing.assert_array_equal(one[here], other[here])
    np.testing.assert_array_equal(forward_platt(one, data)[here], forward_platt(other, changed)[here])


def test_labels_that_reach_into_the_fold_are_not_known_to_it():
    data = rows(horizon=5)
    known = data.before(3)
    assert data.end_ns[known].max() < data.decision_ns[data.fold == 3].min()
    assert (data.fold[~known & (data.fold < 3)] == 2).all()
    assert (~known & (data.fold < 3)).any()
