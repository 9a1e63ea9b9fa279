"""Books against a session-by-session account, and what must hold of weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from raypipe.errors import DeveloperError
from raypipe.evaluation.books import Costs, book_form, book_of, neutral_weights, sharpe, timing_weights
from tests.reference import multiplicity as naive

SHAPE = st.tuples(st.integers(1, 12), st.integers(1, 8))


@pytest.mark.parametrize("horizon", [1, 5, 30])
@pytest.mark.parametrize("gaps", [0.0, 0.2])
def test_a_book_is_its_account(horizon, gaps):
    rng = np.random.default_rng(horizon)
    weights = neutral_weights(rng.normal(size=(40, 7)))
    opens = np.exp(rng.normal(0, 0.02, (41, 7)).cumsum(axis=0))
    opens[rng.uniform(size=opens.shape) < gaps] = np.nan
    book = book_of(weights, opens, horizon, Costs(7, 90), "neutral")
    gross, net, turnover, carried = naive.book(weights, opens, horizon, 7, 90)
    if not gaps:  # else the account earns at the next price what the book does, seen from the last price
        assert book.gross == pytest.approx(gross)
        assert book.net == pytest.approx(net)
    assert book.turnover == pytest.approx(turnover)
    assert book.carried == carried
    assert bool(carried) is bool(gaps)


def test_a_missing_price_carries_the_old_weight_and_is_made_up_for():
    weights = np.array([[0.5, -0.5], [0.2, -0.8], [0.1, -0.9]])
    opens = np.array([[10.0, 20.0], [math.nan, 22.0], [12.0, 22.0], [12.0, 11.0]])
    book = book_of(weights, opens, 1, Costs(0, 0), "neutral")
    assert book.weights.tolist() == [[0.5, -0.5], [0.5, -0.8], [0.1, -0.9]]
    assert book.gross == pytest.approx([-0.05, 0.5 * 0.2, 0.45])
    assert book.carried == 1
    late = book_of(weights, np.vstack([[math.nan, 20.0], opens[1:]]), 1, Costs(), "neutral")
    assert late.weights[:, 0].tolist() == [0.0, 0.0, 0.1]
    assert np.isfinite(late.net).all()


@given(SHAPE.flatmap(lambda shape: hnp.arrays(np.float64, shape, elements=st.floats(-5, 5) | st.just(math.nan))))
def test_neutral_weights_cancel_out(z):
    found = neutral_weights(z)
    gross = np.abs(found).sum(axis=1)
    assert found.sum(axis=1) == pytest.approx(0, abs=1e-12)
    assert np.all((np.abs(gross - 1) < 1e-9) | (gross == 0))
    assert (found[np.isnan(z)] == 0).all()
    assert (gross[(~np.isnan(z)).sum(axis=1) < 5] == 0).all()


def test_equal_predictions_are_no_opinion():
    assert (neutral_weights(np.full((3, 7), 0.1)) == 0).all()
    assert neutral_weights(np.array([[0.0, 0, 0, 0, 5]])).tolist() == [[-0.125] * 4 + [0.5]]


@given(SHAPE.flatmap(lambda shape: hnp.arrays(np.float64, shape, elements=st.floats(0, 1) | st.just(math.nan))))
def test_exposure_stays_between_none_and_double(p):
    for volatility in (False, True):
        exposure = timing_weights(p, volatility=volatility).sum(axis=1)
        assert ((exposure >= 0) & (exposure <= 2 + 1e-12)).all()
    both = timing_weights(p, volatility=True) + timing_weights(p, volatility=False)
    assert both.sum(axis=1) == pytest.approx(2 * (~np.isnan(p)).mean(axis=1))


def test_a_constant_exposure_earns_nothing_but_costs():
    rng = np.random.default_rng(3)
    opens = np.exp(rng.normal(0.01, 0.02, (101, 6)).cumsum(axis=0))  # a rising market
    book = book_of(timing_weights(np.full((100, 6), 0.7), volatility=False), opens, 5, Costs(), "timing")
    assert book.gross == pytest.approx(0, abs=1e-15)
    assert book.net.sum() == pytest.approx(-1.4 * 5e-4)
    raw = book_of(timing_weights(np.full((100, 6), 0.7), volatility=False), opens, 5, Costs(), "neutral")
    assert sharpe(raw.net) > 3


def test_the_target_decides_the_book():
    assert book_form("direction_1d", 46) == "neutral"
    assert book_form("forward_return_20d", 5) == "neutral"
    assert book_form("close_direction_5d", 46) == "neutral"
    assert book_form("direction_1d", 4) == "timing"
    assert book_form("vol_regime_20d", 46) == "timing"
    assert book_form("abs_return_1d", 46) == "timing"


def test_sharpe_needs_sessions_and_variation():
    returns = np.random.default_rng(4).normal(0.001, 0.01, 59)
    assert math.isnan(sharpe(returns))
    assert sharpe(returns, 59) == pytest.approx(returns.mean() / returns.std(ddof=1) * math.sqrt(252))
    assert math.isnan(sharpe(np.zeros(100)))


def test_higher_costs_never_help_and_prices_must_reach_one_session_further():
    rng = np.random.default_rng(5)
    weights, opens = neutral_weights(rng.normal(size=(20, 6))), np.exp(rng.normal(size=(21, 6)))
    cheap, dear = (book_of(weights, opens, 1, costs, "neutral") for costs in (Costs(1, 10), Costs(2, 20)))
    assert (dear.net < cheap.net).all()
    assert (dear.gross == cheap.gross).all()
    with pytest.raises(DeveloperError, match="one session more"):
        book_of(weights, opens[1:], 1, Costs(), "neutral")
