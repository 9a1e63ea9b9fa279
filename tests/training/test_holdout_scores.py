"""Numbers of a hold-out: each against the function that defines it, nulls with reasons, books on planted returns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raypipe.evaluation.bootstrap import date_block_bootstrap
from raypipe.evaluation.multiplicity import Moments, dsr, effective_trials
from raypipe.evaluation.scores import auc, brier, rank_ic
from raypipe.schema.modeling import HoldoutParams
from raypipe.training.holdout_scores import Market, Rows, Trials, book_scores, books_of, row_scores

PARAMS = HoldoutParams()


def case(seed=0, *, target="direction_1d", sessions=120, symbols=8, skill=0.5, first=10):
    """Rows from session ``first`` on, and prices whose next open-to-open return the predictions know in part."""
    rng = np.random.default_rng(seed)
    moves = rng.normal(0, 0.01, (first + sessions + 2, symbols))
    opens = np.exp(np.cumsum(moves, axis=0))
    session, symbol = np.repeat(np.arange(first, first + sessions), symbols), np.tile(np.arange(symbols), sessions)
    ahead = np.expm1(moves[session + 2, symbol])
    z = skill * ahead / 0.01 + rng.normal(size=len(session))
    p = (1 / (1 + np.exp(-z))).astype(np.float32)
    kind = "regression" if target.startswith("forward") else "class"
    y = (ahead if kind == "regression" else ahead > 0).astype(np.float32)
    return Rows(target, kind, 1, session, symbol, y, z, p), Market(symbols, opens)


def trials(seed=1, n=12):
    return Trials(40, np.random.default_rng(seed).normal(0.0002, 0.01, (n, 500)))


def test_scores_are_those_of_their_functions():
    rows, _ = case()
    naive = np.where(rows.session_id < 20, np.nan, rows.z)
    found = row_scores(rows, {"mean": rows.z, "logistic": -rows.z}, naive, PARAMS).metrics
    bounds = date_block_bootstrap(rows.session_id, rows.y, rows.z, 1)
    assert [found[f"auc{end}"] for end in ("", "_se", "_lower", "_upper")] == [
        bounds.value,
        bounds.se,
        bounds.lower,
        bounds.upper,
    ]
    assert found["auc_by_strategy"] == {"logistic": pytest.approx(1 - bounds.value), "mean": bounds.value}
    kept = rows.session_id >= 20
    assert found["auc_naive"] == auc(rows.y[kept], rows.z[kept])
    each = [auc(rows.y[rows.symbol_id == one], rows.z[rows.symbol_id == one]) for one in range(8)]
    assert found["auc_mean_symbol"] == pytest.approx(np.mean(each))
    assert found["brier"] == brier(rows.y, rows.p)
    assert found["rank_ic"] == rank_ic(rows.y, rows.z, rows.session_id)


def test_a_value_is_ranked_by_its_sign():
    rows, market = case(target="forward_return_1d")
    found = row_scores(rows, {}, rows.z, PARAMS).metrics
    assert found["auc"] == auc((rows.y > 0).astype(np.float32), rows.z)
    assert found["rank_ic"] == rank_ic(rows.y, rows.z, rows.session_id)
    assert [found[name] for name in ("log_loss", "brier", "ece")] == [None] * 3
    assert book_scores(rows, market, trials(), PARAMS).metrics["sharpe"] > 3


@pytest.mark.parametrize("target", ["direction_1d", "vol_regime_20d"])
def test_a_book_earns_what_predictions_know(target):
    rows, market = case(target=target)
    if target.startswith("vol"):  # class 1 keeps out of the market
        rows = replace(rows, p=1 - rows.p)
    knows = book_scores(rows, market, trials(), PARAMS)
    blind = book_scores(replace(rows, z=-rows.z, p=1 - rows.p), market, trials(), PARAMS)
    assert knows.metrics["book"] == ("neutral" if target == "direction_1d" else "timing")
    assert knows.metrics["sharpe"] > 3 > -3 > blind.metrics["sharpe"]
    assert knows.metrics["sharpe_gross"] > knows.metrics["sharpe"]
    assert knows.metrics["dsr"] > 0.95 > blind.metrics["dsr"]


def test_deflation_is_by_the_candidates():
    rows, market = case(skill=0.1)
    tried = trials()
    found = book_scores(rows, market, tried, PARAMS)
    each = [Moments.of(one).sharpe for one in tried.books]
    effective = effective_trials(40, tried.books)
    assert found.metrics["n_trials_raw"] == 40
    assert found.metrics["n_trials_effective"] == effective
    assert found.metrics["dsr"] == dsr(Moments.of(found.book.net), np.var(each, ddof=1), effective)
    assert found.metrics["dsr"] < found.metrics["psr"]
    more = book_scores(rows, market, replace(tried, raw=4_000), PARAMS).metrics["dsr"]
    assert more < found.metrics["dsr"]


def test_the_book_stands_where_its_rows_are():
    rows, market = case()
    book, form, span = books_of(rows, market, PARAMS)
    assert (form, span) == ("neutral", slice(10, 130))
    here = np.isclose(market.opens[12] / market.opens[11] - 1, book.symbol_returns[0])
    assert here.all()  # decided at session 10: held from the open of 11 to that of 12


def test_few_sessions_judge_nothing():
    rows, market = case(sessions=59)
    scored, booked = row_scores(rows, {}, rows.z, PARAMS), book_scores(rows, market, trials(), PARAMS)
    assert scored.metrics["auc"] is None
    assert booked.metrics["sharpe"] is None
    why = "59 sessions, at least 60 are needed"
    assert {**scored.why_null, **booked.why_null} == dict.fromkeys(("auc", "auc_lower", "sharpe", "dsr"), why)


def test_few_blocks_give_no_bound():
    rows, _ = case(sessions=100)
    found = row_scores(replace(rows, horizon=20), {}, rows.z, PARAMS)
    assert found.metrics["auc"] is not None
    assert found.metrics["auc_lower"] is None
    assert "fewer than 4 blocks" in found.why_null["auc_lower"]


def test_one_class_has_no_score():
    rows, _ = case()
    found = row_scores(replace(rows, y=0 * rows.y), {"mean": rows.z}, rows.z, PARAMS)
    assert found.metrics["auc"] is None
    assert found.metrics["auc_by_strategy"] == {"mean": None}
    assert found.why_null["auc"] == "the hold-out has one class only"


def test_without_prices_or_with_several_rows_there_is_no_book():
    rows, market = case()
    none = book_scores(rows, Market(8, None, "events have no opens"), trials(), PARAMS)
    assert none.why_null == {"sharpe": "events have no opens", "dsr": "events have no opens"}
    assert none.metrics["n_trials_raw"] == 40
    twice = replace(rows, symbol_id=rows.symbol_id // 2)
    assert "several rows" in book_scores(twice, market, trials(), PARAMS).why_null["sharpe"]


def test_one_candidate_deflates_nothing():
    rows, market = case()
    lone = book_scores(rows, market, Trials(4, np.zeros((0, 0)), "the studies are gone"), PARAMS)
    assert lone.metrics["sharpe"] is not None
    assert lone.metrics["dsr"] is None
    assert lone.metrics["n_trials_effective"] == 4.0
    assert lone.why_null == {"dsr": "the studies are gone"}
    assert "at least 2" in book_scores(rows, market, trials(n=1), PARAMS).why_null["dsr"]


def test_predictions_that_never_differ_have_no_ratio():
    rows, market = case()
    flat = book_scores(replace(rows, z=0 * rows.z), market, trials(), PARAMS)
    assert flat.metrics["sharpe"] is None
    assert flat.why_null["sharpe"] == "the returns of the book do not vary"
