"""Books: what predictions would have earned, decided at a session, filled at the next open, after costs.

All arrays are (sessions, symbols). Sessions are consecutive; NaN is a symbol without prediction or price.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from raypipe.errors import DeveloperError

__all__ = [
    "MIN_SYMBOLS",
    "SESSIONS_YEAR",
    "Book",
    "Costs",
    "Form",
    "book_form",
    "book_of",
    "neutral_weights",
    "sharpe",
    "timing_weights",
]

Form = Literal["neutral", "timing"]
SESSIONS_YEAR = 252
#: A neutral book needs as many symbols.
MIN_SYMBOLS = 5
_SAME = 1e-12
_NEUTRAL = ("direction_", "forward_return_", "close_direction_")


@dataclass(frozen=True, slots=True)
class Costs:
    """What trading costs.

    Attributes
    ----------
    trade_bps
        Per unit of weight traded, in basis points.
    borrow_bps_year
        Per unit short and year.
    """

    trade_bps: float = 5.0
    borrow_bps_year: float = 50.0


@dataclass(frozen=True, slots=True, eq=False)
class Book:
    """Weights held and what they earned.

    Attributes
    ----------
    weights
        float64 (sessions, symbols): held from the open after each session to the next open.
    symbol_returns
        float64 (sessions, symbols): total returns over that time; 0 where a price is missing, made up for by the next.
    gross, net
        float64 (sessions,): returns of the book before and after costs. Of a timing book both are active: less its
        mean exposure times the equally weighted book.
    turnover
        Mean units traded per session.
    carried
        Weights that could not be changed because a fill price was missing.
    """

    weights: np.ndarray
    symbol_returns: np.ndarray
    gross: np.ndarray
    net: np.ndarray
    turnover: float
    carried: int


def book_form(target: str, symbols: int) -> Form:
    """Which book a target is judged by: against each other where it ranks at least five symbols, else in time."""
    return "neutral" if target.startswith(_NEUTRAL) and symbols >= MIN_SYMBOLS else "timing"


def neutral_weights(z: np.ndarray) -> np.ndarray:
    """Weights proportional to ``z`` less the session's mean, of gross 1 and net 0.

    Parameters
    ----------
    z
        float64 (sessions, symbols), NaN without prediction.

    Returns
    -------
    float64 (sessions, symbols): 0 without prediction, and in sessions with fewer than five or all equal.
    """
    known = ~np.isnan(z)
    count = known.sum(axis=1, keepdims=True)
    filled = np.where(known, z, 0.0)
    apart = np.where(known, filled - filled.sum(axis=1, keepdims=True) / np.maximum(count, 1), 0.0)
    gross = np.abs(apart).sum(axis=1, keepdims=True)
    # Equal predictions leave the rounding of their mean, which is no opinion.
    says = (count >= MIN_SYMBOLS) & (gross > 1e-9 * np.abs(filled).sum(axis=1, keepdims=True))
    return np.where(says, apart / np.where(says, gross, 1.0), 0.0)


def timing_weights(p: np.ndarray, *, volatility: bool) -> np.ndarray:
    """Long weights that move between none and double with the prediction.

    Parameters
    ----------
    p
        float64 (sessions, symbols): probability of class 1, NaN without prediction.
    volatility
        Whether class 1 is a rise of volatility: the exposure is then 2 (1 - p), else 2 p.

    Returns
    -------
    float64 (sessions, symbols): exposure over the number of symbols; 0 without prediction.
    """
    exposure = 2.0 * (1.0 - p if volatility else p)
    weights: np.ndarray = np.where(np.isnan(p), 0.0, exposure) / p.shape[1]
    return weights


def book_of(weights: np.ndarray, opens: np.ndarray, horizon: int, costs: Costs, form: Form) -> Book:
    """Hold the mean of the last ``horizon`` sessions' weights.

    Parameters
    ----------
    weights
        float64 (sessions, symbols): decided at each session, no NaN.
    opens
        float64 (sessions + 1, symbols): total-return opens of the session after each, and of one more; NaN where there
        is none.
    horizon
        Sessions a prediction looks ahead; the first sessions have the mean of those there are.
    costs
        Of trading and of being short.
    form
        A ``timing`` book is scored on its active return.

    Returns
    -------
    Book. The first fill is paid for; what is held at the end is not sold.

    Raises
    ------
    DeveloperError
        If shapes do not fit.
    """
    if opens.shape != (len(weights) + 1, weights.shape[1]):
        msg = f"opens have shape {opens.shape}, weights {weights.shape}; one session more is expected"
        raise DeveloperError(msg)
    held, carried = _held(_rolled(weights, horizon), ~np.isnan(opens[:-1]))
    returns = _returns(opens)
    traded = np.abs(np.diff(held, axis=0, prepend=0.0)).sum(axis=1)
    borrowed = np.maximum(-held, 0.0).sum(axis=1)
    cost = traded * costs.trade_bps / 1e4 + borrowed * costs.borrow_bps_year / 1e4 / SESSIONS_YEAR
    gross = (held * returns).sum(axis=1)
    if form == "timing":
        gross = gross - held.sum(axis=1).mean() * returns.mean(axis=1)
    return Book(held, returns, gross, gross - cost, float(traded.mean()), carried)


def _rolled(weights: np.ndarray, horizon: int) -> np.ndarray:
    if horizon == 1:
        return weights
    total = np.cumsum(weights, axis=0)
    total[horizon:] -= total[:-horizon].copy()
    count = np.minimum(np.arange(1, len(weights) + 1), horizon)
    found: np.ndarray = total / count[:, None]
    return found


def _held(wanted: np.ndarray, filled: np.ndarray) -> tuple[np.ndarray, int]:
    """What is held when a change needs a price, and how often it had none."""
    row = np.where(filled, np.arange(len(wanted))[:, None], -1)
    last = np.maximum.accumulate(row, axis=0)
    held = np.where(last >= 0, np.take_along_axis(wanted, np.maximum(last, 0), axis=0), 0.0)
    before = np.vstack([np.zeros((1, wanted.shape[1])), held[:-1]])
    # Rolling sums round, so a weight that stays may differ in its last bits.
    return held, int((~filled & (np.abs(wanted - before) > _SAME)).sum())


def _returns(opens: np.ndarray) -> np.ndarray:
    row = np.where(np.isnan(opens), -1, np.arange(len(opens))[:, None])
    last = np.maximum.accumulate(row, axis=0)
    price = np.where(last >= 0, np.take_along_axis(opens, np.maximum(last, 0), axis=0), np.nan)
    moved = price[1:] / price[:-1] - 1.0
    return np.where(np.isnan(moved), 0.0, moved)


def sharpe(returns: np.ndarray, min_sessions: int = 60) -> float:
    """Annual Sharpe ratio without a risk-free rate; NaN below ``min_sessions`` sessions, or if returns never vary."""
    if len(returns) < max(2, min_sessions):
        return math.nan
    spread = float(returns.std(ddof=1))
    return float(returns.mean()) / spread * math.sqrt(SESSIONS_YEAR) if spread > 0 else math.nan
