"""What features are worth inside one training part: coverage, rank correlation, and gain against shadows.

Shadows are real columns whose sessions are permuted in blocks, all symbols together, so that they keep their
distribution and most of their persistence but nothing of what they say of the label.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Gains", "Part", "columns_of", "gains_of", "keep_apart", "last_gain", "rank_correlations", "seed_of"]

#: Inner fits, and the model that they are.
FITS, ROUNDS = 3, 200
#: Rounds that choose among columns that agree.
_FEW_ROUNDS = 50
_MODEL: dict[str, Any] = {
    "learning_rate": 0.05,
    "num_leaves": 15,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "max_bin": 63,
    "min_data_in_leaf": 20,
    "feature_pre_filter": False,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}
#: Shadows: at least so many, and so large a share of the features.
_MIN_SHADOWS, _SHADOW_SHARE = 5, 0.1
#: Sessions of a block that is moved as a whole, and fewest blocks.
_BLOCK, _MIN_BLOCKS = 20, 5
_QUANTILE = 0.75


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Rows that train: features, labels, and where they stand.

    ``x`` float32 (n, f), ``y`` float32 (n,), ``symbol`` and ``session`` int (n,) sorted by symbol, then session;
    ``decision_ns`` and ``end_ns`` int64 (n,); ``classes``: whether the label is 0 or 1.
    """

    x: np.ndarray
    y: np.ndarray
    symbol: np.ndarray
    session: np.ndarray
    decision_ns: np.ndarray
    end_ns: np.ndarray
    classes: bool

    @property
    def learnable(self) -> bool:
        """Whether there is anything to tell apart."""
        return len(self.y) > 0 and bool((self.y != self.y[0]).any())


def seed_of(*parts: object) -> int:
    """A seed made of anything: first 4 bytes of a SHA-256, so that it fits every library."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big") >> 1


# --- columns by themselves ---------------------------------------------------------------------


def columns_of(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share of rows with a value, share of these with the most frequent one, and ranks.

    Returns
    -------
    coverage, commonest
        float64 (f,); 1 where a column has no value at all.
    ranks
        float32 (n, f): average ranks, centred and of length 1; nulls stand at the mean.
    """
    rows, count = x.shape
    coverage, commonest = np.zeros(count), np.ones(count)
    ranks = np.zeros((rows, count), np.float32)
    for i in range(count):
        column = np.ascontiguousarray(x[:, i])
        order = np.argsort(column)  # NaN last; ties in any order, as they share their rank
        known = rows - int(np.isnan(column).sum())
        coverage[i] = known / max(rows, 1)
        if not known:
            continue
        ordered = column[order[:known]]
        edges = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1], [True]]))
        size = np.diff(edges)
        commonest[i] = size.max() / known
        middle = np.repeat((edges[:-1] + edges[1:] - known) / 2.0, size)
        length = np.sqrt(middle @ middle)
        ranks[order[:known], i] = middle / length if length else 0.0
    return coverage, commonest, ranks


def rank_correlations(ranks: np.ndarray) -> np.ndarray:
    """Absolute Spearman correlations of the columns of `columns_of`, float64 (f, f), 0 on the diagonal."""
    rho: np.ndarray = np.abs(ranks.T @ ranks).astype(np.float64)
    np.fill_diagonal(rho, 0.0)
    return rho


# --- gain --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Gains:
    """What inner fits say, float64 (f,) each: mean share of gain, and share of fits above the shadows.

    ``shadow_q75`` is the mean over fits of the shadows' 75th percentile, as a share of the features' gain.
    """

    gain: np.ndarray
    stability: np.ndarray
    shadow_q75: float


def gains_of(part: Part, horizon: int, seed: int, threads: int = 1) -> Gains:
    """Gains of inner walk-forward fits, shadows beside the features in each."""
    rng = np.random.default_rng(seed)
    count = part.x.shape[1]
    shadows = _shadows(part, horizon, rng)
    shares, above, edges = [], [], []
    for i, rows in enumerate(_inner(part)):
        gain = _fit(part, rows, shadows, seed_of(seed, i), threads)
        total = max(float(gain[:count].sum()), np.finfo(np.float64).tiny)
        edge = float(np.quantile(gain[count:], _QUANTILE))
        shares.append(gain[:count] / total)
        above.append(gain[:count] > edge)
        edges.append(edge / total)
    if not shares:
        return Gains(np.zeros(count), np.zeros(count), 0.0)
    return Gains(np.mean(shares, axis=0), np.mean(above, axis=0), float(np.mean(edges)))


def last_gain(part: Part, seed: int, threads: int = 1) -> np.ndarray:
    """Shares of gain in a short largest inner fit, float64 (f,): enough to choose among columns that agree."""
    inner = _inner(part)
    if not inner:
        return np.zeros(part.x.shape[1])
    gain = _fit(part, inner[-1], np.empty((len(part.y), 0), np.float32), seed, threads, _FEW_ROUNDS)
    shares: np.ndarray = gain / max(float(gain.sum()), np.finfo(np.float64).tiny)
    return shares


def _inner(part: Part) -> list[np.ndarray]:
    """Rows of each inner fit: those whose labels ended before the block of sessions that follows begins."""
    sessions = np.unique(part.session)
    blocks = np.array_split(sessions, FITS + 1)
    found = []
    for block in blocks[1:]:
        if not len(block):
            continue
        begin = part.decision_ns[part.session >= block[0]].min()
        rows = np.flatnonzero((part.session < block[0]) & (part.end_ns < begin))
        if len(rows) and (part.y[rows] != part.y[rows[0]]).any():
            found.append(rows)
    return found


def _shadows(part: Part, horizon: int, rng: np.random.Generator) -> np.ndarray:
    """Columns whose sessions are permuted in blocks, float32 (n, shadows)."""
    count = max(_MIN_SHADOWS, round(part.x.shape[1] * _SHADOW_SHARE))
    chosen = rng.choice(part.x.shape[1], count, replace=count > part.x.shape[1])
    place = np.unique(part.session, return_inverse=True)[1]
    sessions = int(place.max(initial=0)) + 1
    size = max(1, min(max(_BLOCK, 2 * horizon), sessions // _MIN_BLOCKS))
    block = place // size
    found = np.empty((len(part.y), count), np.float32)
    for i, column in enumerate(chosen):
        new = rng.permutation(int(block.max(initial=0)) + 1)[block]
        order = np.lexsort((place, new, part.symbol))
        found[:, i] = part.x[order, column]
    return found


def _fit(
    part: Part, rows: np.ndarray, shadows: np.ndarray, seed: int, threads: int, rounds: int = ROUNDS
) -> np.ndarray:
    """Gain of each feature, then of each shadow, float64."""
    import lightgbm as lgb

    x = np.concatenate([part.x[rows], shadows[rows]], axis=1)
    model = {**_MODEL, "objective": "binary" if part.classes else "regression", "seed": seed, "num_threads": threads}
    booster = lgb.train(model, lgb.Dataset(x, part.y[rows], params=model), num_boost_round=rounds)
    gain: np.ndarray = booster.feature_importance("gain").astype(np.float64)
    return gain


def keep_apart(gain: np.ndarray, names: Sequence[str], rho: np.ndarray, most: float) -> np.ndarray:
    """Which columns stay when of two that agree the one with less gain goes, then the later name; bool (f,)."""
    kept = np.zeros(len(names), bool)
    for i in sorted(range(len(names)), key=lambda i: (-gain[i], names[i])):
        kept[i] = not (rho[i, kept] > most).any()
    return kept
