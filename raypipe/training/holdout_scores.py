"""What a hold-out says of predictions, as numbers: scores with bounds, a book with costs, and what luck explains.

Arrays in, numbers out. What is not defined is None, never NaN, and ``why_null`` says why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from raypipe.evaluation.books import (
    Book,
    Costs,
    Form,
    book_form,
    book_of,
    neutral_weights,
    sharpe,
    timing_weights,
)
from raypipe.evaluation.bootstrap import date_block_bootstrap
from raypipe.evaluation.multiplicity import Moments, dsr, effective_trials, psr
from raypipe.evaluation.scores import auc, brier, ece, group_aucs, log_loss, rank_ic
from raypipe.schema.modeling import HoldoutParams

__all__ = ["Judged", "Market", "Rows", "Trials", "book_scores", "books_of", "row_scores"]

_ROW_SCORES = (
    *("auc", "auc_lower", "auc_upper", "auc_se", "auc_naive", "auc_mean_symbol", "auc_mean_session"),
    *("log_loss", "brier", "ece", "rank_ic"),
)
#: Targets whose class 1 is a rise of volatility.
_VOLATILITY = ("vol_regime_", "abs_return_")


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Predicted rows with outcomes.

    Attributes
    ----------
    target, kind, horizon
        As in `Target`.
    session_id, symbol_id
        int (n,), indexing the sessions and symbols of the market.
    y
        float32 (n,).
    z, p
        float64 and float32 (n,), finite: what ranks, and the probability of class 1 or the value.
    """

    target: str
    kind: Literal["class", "regression"]
    horizon: int
    session_id: np.ndarray
    symbol_id: np.ndarray
    y: np.ndarray
    z: np.ndarray
    p: np.ndarray

    @property
    def up(self) -> np.ndarray:
        """What is ranked: class 1, or a value above 0. float32 (n,)."""
        return (self.y > (0.5 if self.kind == "class" else 0.0)).astype(np.float32)

    @property
    def symbols(self) -> int:
        """Number of symbols with rows."""
        return len(np.unique(self.symbol_id))

    @property
    def sessions(self) -> int:
        """Number of sessions with rows."""
        return len(np.unique(self.session_id))


@dataclass(frozen=True, slots=True, eq=False)
class Market:
    """Prices that books trade at.

    Attributes
    ----------
    symbols
        Number of symbols.
    opens
        float64 (sessions + 2, symbols): total-return opens, by session number; NaN where there is none. None: there are
        no prices.
    why_null
        Why there are none.
    """

    symbols: int
    opens: np.ndarray | None
    why_null: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Trials:
    """All that was tried before the hold-out was looked at.

    Attributes
    ----------
    raw
        How many.
    books
        float64 (candidates, sessions): net returns of the candidates' books over their out-of-fold sessions.
    why_null
        Why there are no books.
    """

    raw: int
    books: np.ndarray
    why_null: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Metrics by name, None where not defined; and why, by the name of the gate."""

    metrics: dict[str, Any]
    why_null: dict[str, str] = field(default_factory=dict)
    book: Book | None = None


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


# --- scores of rows ------------------------------------------------------------------------------


def row_scores(
    rows: Rows, by_strategy: Mapping[str, np.ndarray], naive: np.ndarray, params: HoldoutParams, *, seed: int = 0
) -> Judged:
    """Scores of the rows, their bounds, and those of what was not picked.

    Parameters
    ----------
    rows
        Of the hold-out.
    by_strategy
        float64 (n,) for each strategy: its z.
    naive
        float64 (n,): the best single feature with its sign; rows where it is NaN are left out of its score.
    params
        With fewer than ``min_sessions`` sessions nothing is scored.
    seed
        Of the bootstrap.
    """
    if rows.sessions < params.min_sessions:
        why = f"{rows.sessions} sessions, at least {params.min_sessions} are needed"
        return Judged({**dict.fromkeys(_ROW_SCORES), "auc_by_strategy": {}}, dict.fromkeys(("auc", "auc_lower"), why))
    bounds = date_block_bootstrap(rows.session_id, rows.up, rows.z, rows.horizon, seed=seed)
    values = {
        "auc": bounds.value,
        "auc_lower": bounds.lower,
        "auc_upper": bounds.upper,
        "auc_se": bounds.se,
        "auc_naive": _auc_known(rows.up, naive),
        "auc_mean_symbol": _mean(group_aucs(rows.up, rows.z, rows.symbol_id)),
        "auc_mean_session": _mean(group_aucs(rows.up, rows.z, rows.session_id)),
        **_probability_scores(rows),
        "rank_ic": rank_ic(rows.y, rows.z, rows.session_id),
    }
    strategies = {name: _known(_auc_known(rows.up, z)) for name, z in sorted(by_strategy.items())}
    metrics = {**{name: _known(value) for name, value in values.items()}, "auc_by_strategy": strategies}
    if math.isnan(bounds.value):
        return Judged(metrics, dict.fromkeys(("auc", "auc_lower"), "the hold-out has one class only"))
    few = {"auc_lower": f"{rows.sessions} sessions are fewer than 4 blocks of two horizons"}
    return Judged(metrics, few if math.isnan(bounds.lower) else {})


def _auc_known(up: np.ndarray, z: np.ndarray) -> float:
    known = np.isfinite(z)
    return auc(up[known], z[known])


def _mean(values: np.ndarray) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else math.nan


def _probability_scores(rows: Rows) -> dict[str, float]:
    scores = {"log_loss": log_loss, "brier": brier, "ece": ece}
    if rows.kind == "regression":
        return dict.fromkeys(scores, math.nan)
    return {name: score(rows.up, rows.p) for name, score in scores.items()}


# --- the book ------------------------------------------------------------------------------------


def books_of(rows: Rows, market: Market, params: HoldoutParams) -> tuple[Book, Form, slice] | str:
    """The book that the rows' predictions would have held.

    Returns
    -------
    The book, its form, and the sessions that it covers, by number; or why there is none.
    """
    if market.opens is None:
        return market.why_null or "there are no prices"
    first, last = int(rows.session_id.min()), int(rows.session_id.max())
    cell = (rows.session_id - first, rows.symbol_id)
    if len(np.unique(cell[0].astype(np.int64) * market.symbols + cell[1])) < len(rows.y):
        return "a symbol has several rows in a session"
    form = book_form(rows.target, rows.symbols)
    told = np.full((last - first + 1, market.symbols), np.nan)
    told[cell] = rows.z if form == "neutral" else _chance(rows)
    weights = neutral_weights(told) if form == "neutral" else _timing(told, rows)
    costs = Costs(params.half_spread_bps + params.slippage_bps + params.commission_bps, params.borrow_bps_year)
    opens = market.opens[first + 1 : last + 3]
    return book_of(weights, opens, rows.horizon, costs, form), form, slice(first, last + 1)


def _timing(p: np.ndarray, rows: Rows) -> np.ndarray:
    """Exposure over the symbols that there are: listed ones without rows hold nothing."""
    weights = timing_weights(p, volatility=rows.target.startswith(_VOLATILITY))
    spread: np.ndarray = weights * (p.shape[1] / rows.symbols)
    return spread


def _chance(rows: Rows) -> np.ndarray:
    """What exposure follows: the probability of class 1, or whether a value above 0 is predicted."""
    return rows.p.astype(np.float64) if rows.kind == "class" else (rows.p > 0).astype(np.float64)


def book_scores(rows: Rows, market: Market, trials: Trials, params: HoldoutParams) -> Judged:
    """The book's Sharpe ratio, what it costs, and how likely it is more than the best of so many trials.

    ``n_trials_raw`` and ``n_trials_effective`` are there whether or not there is a book.
    """
    counted = {"n_trials_raw": trials.raw, "n_trials_effective": effective_trials(trials.raw, trials.books)}
    nothing = dict.fromkeys(("sharpe", "sharpe_gross", "turnover", "psr", "dsr"))
    form = book_form(rows.target, rows.symbols)
    found = books_of(rows, market, params)
    if rows.sessions < params.min_sessions:
        found = f"{rows.sessions} sessions, at least {params.min_sessions} are needed"
    if isinstance(found, str):
        return Judged({"book": form, **nothing, **counted}, {"sharpe": found, "dsr": found})
    book = found[0]
    moments = Moments.of(book.net)
    each = np.array([Moments.of(one).sharpe for one in trials.books])
    each = each[~np.isnan(each)]
    variance = float(each.var(ddof=1)) if len(each) > 1 else math.nan
    values = {
        "sharpe": sharpe(book.net, params.min_sessions),
        "sharpe_gross": sharpe(book.gross, params.min_sessions),
        "turnover": book.turnover,
        "psr": psr(moments),
        "dsr": dsr(moments, variance, counted["n_trials_effective"]),
    }
    reasons = {}
    if math.isnan(values["sharpe"]):
        reasons = dict.fromkeys(("sharpe", "dsr"), "the returns of the book do not vary")
    elif math.isnan(values["dsr"]):
        reasons["dsr"] = trials.why_null or f"{len(each)} candidates with a book, their spread needs at least 2"
    return Judged({"book": form, **{k: _known(v) for k, v in values.items()}, **counted}, reasons, book)
