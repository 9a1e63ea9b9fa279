"""What a winner is worth once it is known how many were tried.

`best_of_n` compares the best score with the best of as many without skill; `pbo` asks how often the best half of
history is below the middle in the other; `dsr` deflates a Sharpe ratio by what luck gives over so many trials.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from statistics import NormalDist

import numpy as np

from raypipe.evaluation.scores import Kind, group_aucs, group_ics
from raypipe.evaluation.shifts import BestOfN, best_of_n

__all__ = [
    "BestOfN",
    "Moments",
    "best_of_n",
    "block_places",
    "block_scores",
    "dsr",
    "effective_trials",
    "iid_null_sd",
    "luck",
    "pbo",
    "psr",
]

#: Blocks of history, all halvings of which are tried: 12,870.
BLOCKS = 16
_MIN_BLOCKS = 4
_EULER = 0.5772156649015329


def iid_null_sd(positives: int, negatives: int) -> float:
    """Standard deviation of the AUC of noise if rows were independent; NaN if a class is absent."""
    if not positives or not negatives:
        return math.nan
    return math.sqrt((positives + negatives + 1) / (12.0 * positives * negatives))


# --- probability of backtest overfitting ---------------------------------------------------------


def block_places(session_id: np.ndarray, horizon: int, blocks: int = BLOCKS) -> tuple[np.ndarray, int]:
    """Which contiguous block of sessions each row is in.

    Parameters
    ----------
    session_id
        int (n,).
    horizon
        Sessions a label looks ahead; no block is shorter than that, nor than 10 sessions.
    blocks
        Most blocks.

    Returns
    -------
    place
        int64 (n,), from 0; sizes differ by at most one session, longer blocks first.
    blocks
        An even number; 0 if not even four fit.
    """
    days, place = np.unique(session_id, return_inverse=True)
    fit = min(blocks, len(days) // max(10, horizon)) // 2 * 2
    if fit < _MIN_BLOCKS:
        return np.zeros(len(session_id), np.int64), 0
    size, longer = divmod(len(days), fit)
    ends = np.cumsum(size + (np.arange(fit) < longer))
    return np.searchsorted(ends, place, side="right"), fit


def block_scores(
    predictions: np.ndarray, y: np.ndarray, session_id: np.ndarray, horizon: int, *, kind: Kind = "class"
) -> np.ndarray:
    """The score of each candidate in each block of history.

    Parameters
    ----------
    predictions
        Float (candidates, n), finite.
    y
        (n,), known outcomes.
    session_id
        int (n,).
    horizon
        Sessions a label looks ahead.
    kind
        ``class``: AUC of the block's rows. ``regression``: mean rank IC of its sessions.

    Returns
    -------
    float64 (blocks, candidates), NaN where a block has one class only; no rows if the history is too short.
    """
    place, blocks = block_places(session_id, horizon)
    if not blocks:
        return np.empty((0, len(predictions)))
    if kind == "class":
        return np.stack([group_aucs(y, one, place) for one in predictions], axis=1)
    days, session = np.unique(session_id, return_inverse=True)
    owner = np.zeros(len(days), np.int64)
    owner[session] = place
    return np.stack([_block_means(group_ics(y, one, session), owner, blocks) for one in predictions], axis=1)


def _block_means(values: np.ndarray, owner: np.ndarray, blocks: int) -> np.ndarray:
    known = ~np.isnan(values)
    count = np.bincount(owner[known], minlength=blocks)
    total = np.bincount(owner[known], values[known], minlength=blocks)
    found: np.ndarray = np.divide(total, count, out=np.full(blocks, np.nan), where=count > 0)
    return found


def pbo(scores: np.ndarray) -> float:
    """Probability of backtest overfitting, by combinatorially symmetric cross-validation.

    Parameters
    ----------
    scores
        float64 (blocks, candidates), as of `block_scores`: an even number of blocks; NaN is left out of means.

    Returns
    -------
    The share of all halvings in which the best candidate of one half is below the median of the other. NaN with fewer
    than 4 blocks or 2 candidates: without a choice nothing can be overfitted by it.

    Examples
    --------
    >>> pbo(np.array([[0.6, 0.5, 0.4]] * 4))
    0.0
    """
    blocks, candidates = scores.shape
    if blocks < _MIN_BLOCKS or candidates < 2:  # noqa: PLR2004
        return math.nan
    known = ~np.isnan(scores)
    filled, half = np.where(known, scores, 0.0), _halvings(blocks)
    inside = _means(half @ filled, half @ known)
    outside = _means((1.0 - half) @ filled, (1.0 - half) @ known)
    best = np.where(np.isnan(inside), -np.inf, inside).argmax(axis=1)
    chosen = np.take_along_axis(outside, best[:, None], axis=1)
    # Average rank below (n + 1) / 2, among those with a score: fewer below than above.
    below, above = (outside < chosen).sum(axis=1), (outside > chosen).sum(axis=1)
    told = ~np.isnan(chosen[:, 0])
    return float((below < above)[told].mean()) if told.any() else math.nan


def _means(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    # Rounded, because equal candidates must tie whatever the order in which a product of matrices adds.
    found: np.ndarray = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0).round(12)
    return found


@lru_cache(maxsize=4)
def _halvings(blocks: int) -> np.ndarray:
    """Every choice of half of the blocks: float64 (choices, blocks), 1 where chosen."""
    chosen = np.array(list(combinations(range(blocks), blocks // 2)))
    found = np.zeros((len(chosen), blocks))
    np.put_along_axis(found, chosen, 1.0, axis=1)
    found.flags.writeable = False
    return found


# --- Sharpe ratios -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Moments:
    """What a Sharpe ratio and its error are made of.

    Attributes
    ----------
    sharpe
        Mean over standard deviation, per session.
    skew
        Third standardised moment.
    kurtosis
        Fourth, raw: 3 for a normal distribution.
    sessions
        Number of returns.
    """

    sharpe: float
    skew: float
    kurtosis: float
    sessions: int

    @classmethod
    def of(cls, returns: np.ndarray) -> Moments:
        """Moments of finite returns (sessions,); NaN if they do not vary."""
        spread = float(returns.std(ddof=1)) if len(returns) > 1 else 0.0
        if spread <= 1e-12 * float(np.abs(returns).max(initial=0.0)):
            return cls(math.nan, math.nan, math.nan, len(returns))
        unit = (returns - returns.mean()) / returns.std()
        return cls(float(returns.mean()) / spread, float((unit**3).mean()), float((unit**4).mean()), len(returns))


def psr(moments: Moments, benchmark: float = 0.0) -> float:
    """Probabilistic Sharpe ratio: how likely the true one exceeds ``benchmark`` (per session); NaN if not defined."""
    sharpe = moments.sharpe
    variance = 1.0 - moments.skew * sharpe + (moments.kurtosis - 1.0) / 4.0 * sharpe**2
    if not variance > 0 or math.isnan(benchmark) or moments.sessions < 2:  # noqa: PLR2004
        return math.nan
    return NormalDist().cdf((sharpe - benchmark) * math.sqrt((moments.sessions - 1) / variance))


def luck(variance: float, trials: float) -> float:
    """The highest Sharpe ratio, per session, to expect of so many trials without skill.

    Parameters
    ----------
    variance
        Of the per-session Sharpe ratios over candidates.
    trials
        Effective number of independent ones; 1 expects 0.

    Returns
    -------
    Never below 0: the approximation is, for fewer than two trials. NaN if the variance is unknown and needed.
    """
    if trials <= 1:
        return 0.0
    normal = NormalDist()
    high = (1 - _EULER) * normal.inv_cdf(1 - 1 / trials) + _EULER * normal.inv_cdf(1 - 1 / (trials * math.e))
    return math.nan if math.isnan(variance) else max(0.0, math.sqrt(variance) * high)


def dsr(moments: Moments, variance: float, trials: float) -> float:
    """Deflated Sharpe ratio: `psr` against what luck gives; NaN if not defined."""
    return psr(moments, luck(variance, trials))


def effective_trials(trials: float, books: np.ndarray) -> float:
    """How many independent trials so many trials are, by how alike the candidates' books are.

    Parameters
    ----------
    trials
        All that was tried.
    books
        float64 (candidates, sessions): returns of the candidates' books, finite. Books that never vary are left out.

    Returns
    -------
    ``trials`` times the participation ratio of the eigenvalues of the books' correlations over the candidates, at
    least 1. Without two books nothing is known of their likeness, and all trials count.
    """
    varying = books[books.std(axis=1) > 0] if books.size else books[:0]
    if len(varying) < 2:  # noqa: PLR2004
        return max(1.0, float(trials))
    correlation = np.corrcoef(varying)
    # (sum e)^2 / sum e^2, by the trace of the matrix and of its square.
    ratio = len(varying) ** 2 / float(np.square(correlation).sum())
    return max(1.0, trials * ratio / len(varying))
