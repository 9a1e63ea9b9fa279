"""How far a score would move on other sessions: circular blocks of sessions, all symbols together.

Labels overlap for ``horizon`` sessions and symbols move together, so rows are far from independent: blocks of two
horizons carry both. A score under a resample needs no new ranking. The AUC is a form ``w' M w / (w'a w'b)`` in the
weights of sessions, where ``M[s, t]`` counts the pairs of a positive of s above a negative of t; mean rank ICs are
linear. Both are made once and are exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from raypipe.errors import DeveloperError
from raypipe.evaluation.scores import Kind, group_ics

__all__ = ["AucForm", "Bounds", "IcForm", "block_sessions", "block_weights", "date_block_bootstrap", "paired_bootstrap"]

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
    for lag in range(1, min(int(np.bincount(chunk).max()), 2 * _CHUNK)):
        # Within a chunk the later row is above, if it is not equal.
        at = np.flatnonzero((chunk[lag:] == chunk[:-lag]) & (value[lag:] > value[:-lag]) & (up[lag:] != up[:-lag]))
        later = up[at + lag]
        pair = np.where(later, session[at + lag] * sessions + session[at], session[at] * sessions + session[at + lag])
        found += np.bincount(pair, np.where(later, 0.5, -0.5), sessions * sessions).reshape(sessions, sessions)
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
    place, sessions = _places(session_id)
    if not sessions:
        return Bounds(*[math.nan] * 4)
    form = _form(kind)(y, p, place, sessions)
    weights = _weights(sessions, horizon, draws, seed)
    return _bounds(form.values(np.ones((1, sessions))), form.values(weights), sessions, horizon)


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
    place, sessions = _places(session_id)
    if not sessions:
        return Bounds(*[math.nan] * 4)
    forms = [_form(kind)(y, one, place, sessions) for one in (p, q)]
    weights = _weights(sessions, horizon, draws, seed)
    value, moved = (forms[0].values(w) - forms[1].values(w) for w in (np.ones((1, sessions)), weights))
    return _bounds(value, moved, sessions, horizon)


def _places(session_id: np.ndarray) -> tuple[np.ndarray, int]:
    known, place = np.unique(session_id, return_inverse=True)
    return place, len(known)


def _form(kind: Literal["class", "regression"]) -> type[AucForm] | type[IcForm]:
    return AucForm if kind == "class" else IcForm


def _weights(sessions: int, horizon: int, draws: int, seed: int) -> np.ndarray:
    if draws < 2:  # noqa: PLR2004 - a spread needs two
        msg = f"draws is {draws}; a standard error needs at least 2"
        raise DeveloperError(msg)
    return block_weights(sessions, min(block_sessions(horizon), sessions), draws, seed)


def _bounds(value: np.ndarray, moved: np.ndarray, sessions: int, horizon: int) -> Bounds:
    """Bounds by the t distribution with one degree of freedom fewer than blocks: percentiles of 6 blocks are too tight.

    Draws whose score is not defined, because one class was not drawn, are left out.
    """
    at, blocks = float(value[0]), sessions // block_sessions(horizon)
    moved = moved[~np.isnan(moved)]
    if blocks < MIN_BLOCKS or len(moved) < 2 or math.isnan(at):  # noqa: PLR2004
        return Bounds(at, math.nan, math.nan, math.nan)
    from scipy.special import stdtrit

    se = float(moved.std(ddof=1))
    reach = float(stdtrit(blocks - 1, _CONFIDENCE)) * se * math.sqrt(blocks / (blocks - 1))
    return Bounds(at, se, at - reach, at + reach)
