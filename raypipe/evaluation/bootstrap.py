"""How far a score would move on other sessions: circular blocks of sessions, all symbols together.

Labels overlap for ``horizon`` sessions and symbols move together, so rows are far from independent: blocks of two
horizons carry both. A score under a resample needs no new ranking. The AUC is a form ``w' M w / (w'a w'b)`` in the
weights of sessions, where ``M[s, t]`` counts the pairs of a positive of s above a negative of t; mean rank ICs are
linear. Both are made once and are exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from raypipe.errors import DeveloperError
from raypipe.evaluation.scores import Kind, group_ics

__all__ = [
    "AucForm",
    "Bounds",
    "IcForm",
    "Resamples",
    "block_sessions",
    "block_weights",
    "date_block_bootstrap",
    "paired_bootstrap",
]

#: Fewer blocks than these say nothing about the spread.
MIN_BLOCKS = 4
#: Rows of a chunk when pairs are counted: more make fewer sums of counts, and more pairs to be put right.
_CHUNK = 64
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Bounds:
    """A score, its standard error, and one-sided 95 % bounds; NaN where there are too few blocks."""

    value: float
    se: float
    lower: float
    upper: float


def block_sessions(horizon: int) -> int:
    """Sessions of a block: two horizons, at least 5. Blocks of one horizon refuted a true null in 12 % at h = 20."""
    return max(5, 2 * horizon)


def block_weights(sessions: int, block: int, draws: int, seed: int) -> np.ndarray:
    """How often each session is drawn when circular blocks of sessions are.

    Parameters
    ----------
    sessions
        Number of sessions.
    block
        Sessions of a block; at most ``sessions``.
    draws
        Number of resamples.
    seed
        Equal seeds, equal draws.

    Returns
    -------
    float64 (draws, sessions), whole numbers; each row sums to ``sessions``.
    """
    rng = np.random.default_rng(seed)
    first = rng.integers(0, sessions, (draws, math.ceil(sessions / block)))
    length = np.full(first.shape[1], block)
    length[-1] = sessions - block * (first.shape[1] - 1)
    # +1 where a block begins and -1 where it has ended, summed up; the second lap is folded onto the first.
    steps = np.zeros((draws, 2 * sessions + 1))
    row = np.arange(draws)[:, None]
    np.add.at(steps, (row, first), 1.0)
    np.add.at(steps, (row, first + length), -1.0)
    lap = np.cumsum(steps, axis=1)[:, : 2 * sessions]
    found: np.ndarray = lap[:, :sessions] + lap[:, sessions:]
    return found


class AucForm:
    """The AUC as a function of the weights of sessions.

    Parameters
    ----------
    y
        (n,), 0 or 1.
    p
        (n,), finite.
    place
        int (n,), which session: 0 to ``sessions`` - 1.
    sessions
        Number of sessions.
    """

    def __init__(self, y: np.ndarray, p: np.ndarray, place: np.ndarray, sessions: int) -> None:
        positive = y > 0.5  # noqa: PLR2004 - between 0 and 1
        self._ones = np.bincount(place[positive], minlength=sessions).astype(np.float64)
        self._zeros = np.bincount(place[~positive], minlength=sessions).astype(np.float64)
        self._above = _pairs_above(p, positive, place, sessions)

    def values(self, weights: np.ndarray) -> np.ndarray:
        """The AUC of each row of ``weights`` (draws, sessions); NaN where a class has no weight."""
        pairs = (weights @ self._ones) * (weights @ self._zeros)
        above = np.einsum("ds,ds->d", weights @ self._above, weights)
        found: np.ndarray = np.divide(above, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)
        return found


def _pairs_above(p: np.ndarray, positive: np.ndarray, place: np.ndarray, sessions: int) -> np.ndarray:
    """Pairs of a positive of session s above a negative of session t, ties half: float64 (sessions, sessions).

    Rows are sorted and cut into chunks that part no ties. Pairs of two chunks are one product of counts; pairs of one
    chunk count half there, and are put right one by one. All sums are of halves, so they are exact.
    """
    order = np.argsort(p, kind="stable")
    value, up, session = p[order], positive[order], place[order]
    chunk = _chunks(value)
    cells, count = chunk * sessions + session, (int(chunk[-1]) + 1) * sessions
    ones, zeros = (np.bincount(cells[which], minlength=count).reshape(-1, sessions) for which in (up, ~up))
    below = np.cumsum(zeros, axis=0) - 0.5 * zeros
    found: np.ndarray = ones.T.astype(np.float64) @ below
    pairs, sign = [np.empty(0, np.int64)], [np.empty(0)]
    for lag in range(1, min(int(np.bincount(chunk).max()), 2 * _CHUNK)):
        # Within a chunk the later row is above, if it is not equal.
        at = np.flatnonzero((chunk[lag:] == chunk[:-lag]) & (value[lag:] > value[:-lag]) & (up[lag:] != up[:-lag]))
        later, here, there = up[at + lag], session[at], session[at + lag]
        pairs.append(np.where(later, there * sessions + here, here * sessions + there))
        sign.append(np.where(later, 0.5, -0.5))
    found += np.bincount(np.concatenate(pairs), np.concatenate(sign), sessions**2).reshape(found.shape)
    return found


def _chunks(value: np.ndarray) -> np.ndarray:
    """Chunk of each of the sorted values, ascending from 0: about 64 rows, and no ties parted; many ties are alone."""
    new = np.concatenate(([True], value[1:] != value[:-1]))
    first = np.flatnonzero(new)
    size = np.diff(np.append(first, len(value)))
    key = np.repeat(first // _CHUNK * 2 + (size > _CHUNK), size)
    return np.cumsum(np.concatenate(([False], key[1:] != key[:-1])))


class IcForm:
    """The mean rank IC of sessions as a function of their weights; parameters as of `AucForm`, ``y`` any number."""

    def __init__(self, y: np.ndarray, p: np.ndarray, place: np.ndarray, sessions: int) -> None:
        found = np.full(sessions, np.nan)
        each = group_ics(y, p, place)
        found[: len(each)] = each
        self._known = ~np.isnan(found)
        self._ic = np.where(self._known, found, 0.0)

    def values(self, weights: np.ndarray) -> np.ndarray:
        """The score of each row of ``weights`` (draws, sessions); NaN where no session with a score has weight."""
        total = weights @ self._known.astype(np.float64)
        found: np.ndarray = np.divide(weights @ self._ic, total, out=np.full(len(weights), np.nan), where=total > 0)
        return found


def date_block_bootstrap(
    session_id: np.ndarray,
    y: np.ndarray,
    p: np.ndarray,
    horizon: int,
    *,
    kind: Kind = "class",
    draws: int = 1_000,
    seed: int = 0,
) -> Bounds:
    """A score with its standard error and bounds.

    Parameters
    ----------
    session_id
        int (n,).
    y, p
        (n,): outcomes, and finite predictions.
    horizon
        Sessions a label looks ahead.
    kind
        ``class``: AUC. ``regression``: mean rank IC of the sessions.
    draws
        Number of resamples.
    seed
        Of the resamples; the same for every call, so that scores of the same rows share their draws.

    Returns
    -------
    Bounds; error and bounds NaN with fewer than 4 blocks of sessions, or if the score is not defined.
    """
    rows = Resamples(session_id, y, horizon, kind=kind, draws=draws, seed=seed)
    return rows.bounds(rows.scores(p))


def paired_bootstrap(
    session_id: np.ndarray,
    y: np.ndarray,
    p: np.ndarray,
    q: np.ndarray,
    horizon: int,
    *,
    kind: Kind = "class",
    draws: int = 1_000,
    seed: int = 0,
) -> Bounds:
    """Score of ``p`` less score of ``q`` on the same rows and the same resamples; else as `date_block_bootstrap`."""
    rows = Resamples(session_id, y, horizon, kind=kind, draws=draws, seed=seed)
    return rows.bounds(rows.scores(p) - rows.scores(q))


class Resamples:
    """Rows and their resamples, for several predictions of the same rows; parameters as of `date_block_bootstrap`."""

    def __init__(
        self,
        session_id: np.ndarray,
        y: np.ndarray,
        horizon: int,
        *,
        kind: Kind = "class",
        draws: int = 1_000,
        seed: int = 0,
    ) -> None:
        known, self._place = np.unique(session_id, return_inverse=True)
        self._sessions, self._y, self._form = len(known), y, AucForm if kind == "class" else IcForm
        self._blocks = self._sessions // block_sessions(horizon)
        self._weights = _weights(self._sessions, min(block_sessions(horizon), self._sessions), draws, seed)

    def scores(self, p: np.ndarray) -> np.ndarray:
        """The score of finite predictions (n,) on the rows as they are, then on each resample: float64 (1 + draws,)."""
        if not self._sessions:
            return np.full(1, math.nan)
        return self._form(self._y, p, self._place, self._sessions).values(self._weights)

    def bounds(self, scores: np.ndarray) -> Bounds:
        """Bounds of `scores`, or of differences of two.

        They are by the t distribution with one degree of freedom fewer than blocks: percentiles of 6 blocks are too
        tight. Resamples whose score is not defined, because one class was not drawn, are left out.
        """
        at, moved = float(scores[0]), scores[1:]
        moved = moved[~np.isnan(moved)]
        if self._blocks < MIN_BLOCKS or len(moved) < 2 or math.isnan(at):  # noqa: PLR2004
            return Bounds(at, math.nan, math.nan, math.nan)
        from scipy.special import stdtrit

        se = float(moved.std(ddof=1))
        reach = float(stdtrit(self._blocks - 1, _CONFIDENCE)) * se * math.sqrt(self._blocks / (self._blocks - 1))
        return Bounds(at, se, at - reach, at + reach)


@lru_cache(maxsize=2)
def _weights(sessions: int, block: int, draws: int, seed: int) -> np.ndarray:
    """Weights of all sessions once, then those of the draws: float64 (1 + draws, sessions)."""
    if draws < 2:  # noqa: PLR2004 - a spread needs two
        msg = f"draws is {draws}; a standard error needs at least 2"
        raise DeveloperError(msg)
    if not sessions:
        return np.empty((1 + draws, 0))
    found = np.concatenate([np.ones((1, sessions)), block_weights(sessions, block, draws, seed)])
    found.flags.writeable = False
    return found
