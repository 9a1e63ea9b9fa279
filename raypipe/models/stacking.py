"""Several predictions of one thing become one: means, weights and a small net over the bases, and what they are worth.

Arrays in, arrays out. A *base* is a column of predictions, z its logit. A meta-learner sees out-of-fold rows of folds
before the one that it predicts, and of them only rows whose label had ended before that fold began.

With one base and nothing beside it there is nothing to combine: every strategy hands it on as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from raypipe.errors import DeveloperError
from raypipe.models._meta import Net, fit_net, fit_weights, log_loss_line

__all__ = [
    "STRATEGIES",
    "Calibrator",
    "Meta",
    "Rows",
    "Strategy",
    "complete",
    "fit_meta",
    "fit_platt",
    "forward_platt",
    "forward_stack",
    "probability",
    "to_z",
]

Strategy = Literal["mean", "logistic", "meta-mlp"]
STRATEGIES: tuple[Strategy, ...] = ("mean", "logistic", "meta-mlp")
#: Probabilities are held this far from 0 and 1 before their logit is taken.
CLIP = 1e-4


# --- what a base says ---------------------------------------------------------------------------


def to_z(p: np.ndarray, transform: str, session_id: np.ndarray) -> np.ndarray:
    """Predictions on the scale on which they are combined.

    Parameters
    ----------
    p
        (n,) or (n, bases): probabilities of class 1; NaN where a base says nothing.
    transform
        ``logit``: ln(p/(1-p)) of p within [1e-4, 1-1e-4]. ``rank``: (rank - .5)/n - .5 within the session, ties by
        their mean; it erases what the symbols of a session share. ``none``: the prediction itself (regression).
    session_id
        int (n,), which session a row is of.

    Returns
    -------
    float64, shaped as ``p``, NaN where ``p`` is.

    Raises
    ------
    DeveloperError
        If the transform is none of these.
    """
    p = np.asarray(p, np.float64)
    if transform == "logit":
        held = np.clip(p, CLIP, 1 - CLIP)
        z: np.ndarray = np.log(held / (1 - held))
        return z
    if transform == "rank":
        columns = [_session_ranks(one, session_id) for one in p.reshape(len(p), -1).T]
        return np.stack(columns, axis=1).reshape(p.shape) if columns else p.copy()
    if transform == "none":
        return p.copy()
    msg = f"{transform!r} is not a transform"
    raise DeveloperError(msg, hint="logit, rank or none")


def _session_ranks(p: np.ndarray, session_id: np.ndarray) -> np.ndarray:
    """(rank - .5)/n - .5 within each session, ties by their mean rank."""
    out = np.full(len(p), np.nan)
    rows = np.flatnonzero(~np.isnan(p))
    if not len(rows):
        return out
    order = rows[np.lexsort((p[rows], session_id[rows]))]
    session, value = session_id[order], p[order]
    new_session = np.r_[True, session[1:] != session[:-1]]
    new_value = new_session | np.r_[True, value[1:] != value[:-1]]
    first = np.flatnonzero(new_value)
    last = np.r_[first[1:], len(order)] - 1
    middle = ((first + last) / 2)[np.cumsum(new_value) - 1]
    starts = np.flatnonzero(new_session)
    group = np.cumsum(new_session) - 1
    sizes = np.diff(np.r_[starts, len(order)])
    out[order] = (middle - starts[group] + 0.5) / sizes[group] - 0.5
    return out


def complete(z: np.ndarray) -> np.ndarray:
    """Bases with gaps filled: a missing one is the mean of the others where at least half are there.

    Parameters
    ----------
    z
        float64 (n, bases), NaN where a base says nothing.

    Returns
    -------
    float64 (n, bases); rows with fewer than half of the bases are NaN throughout.
    """
    missing = np.isnan(z)
    there = z.shape[1] - missing.sum(axis=1)
    total = np.zeros(len(z))
    for column in np.where(missing, 0.0, z).T:  # column by column: the sum of a row does not depend on the other rows
        total += column
    mean = total / np.maximum(there, 1)
    filled: np.ndarray = np.where(missing, mean[:, None], z)
    filled[2 * there < z.shape[1]] = np.nan
    return filled


# --- meta-learners -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Meta:
    """A fitted way to make one z of several.

    Attributes
    ----------
    strategy
        ``mean``, ``logistic`` or ``meta-mlp``.
    weights
        float64 (bases,), at least 0. Empty for a net.
    regime_weights
        float64 (regime columns,), of either sign, on standardised columns.
    intercept
        Of ``logistic``.
    regime_mean, regime_sd
        float64 (regime columns,): how they are standardised. A null is the mean.
    nets
        The nets of ``meta-mlp``, whose logits are averaged.
    """

    strategy: Strategy
    weights: np.ndarray
    regime_weights: np.ndarray
    intercept: float
    regime_mean: np.ndarray
    regime_sd: np.ndarray
    nets: tuple[Net, ...] = ()

    def z(self, bases: np.ndarray, regime: np.ndarray) -> np.ndarray:
        """One z per row, float64 (n,); NaN where fewer than half of the bases are there.

        A row's value depends on that row alone, to the last bit.
        """
        filled = complete(bases)
        if self.strategy == "mean":
            total = _weighted(filled, np.full(filled.shape[1], 1.0))
            total /= filled.shape[1]
            return total
        scaled = _scaled(regime, self.regime_mean, self.regime_sd)
        if self.nets:
            x = np.column_stack([filled, scaled])
            logits = np.column_stack([net.logit(x) for net in self.nets])
            return _weighted(logits, np.full(len(self.nets), 1 / len(self.nets)))
        total = _weighted(filled, self.weights)
        total += _weighted(scaled, self.regime_weights)
        total += self.intercept
        return total

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; floats come back to the last bit."""
        arrays = ("weights", "regime_weights", "regime_mean", "regime_sd")
        return {
            "strategy": self.strategy,
            "intercept": self.intercept,
            **{name: getattr(self, name).tolist() for name in arrays},
            "nets": [net.to_dict() for net in self.nets],
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Meta:
        """The inverse of `to_dict`."""
        arrays = {
            name: np.array(raw[name], np.float64) for name in ("weights", "regime_weights", "regime_mean", "regime_sd")
        }
        nets = tuple(Net.from_dict(one) for one in raw["nets"])
        return cls(strategy=raw["strategy"], intercept=float(raw["intercept"]), nets=nets, **arrays)


def _weighted(columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sum of weighted columns, one column at a time: BLAS rounds a row by how many rows stand beside it."""
    total = np.zeros(len(columns))
    for column, weight in zip(columns.T, weights, strict=True):
        total += column * weight
    return total


def _scaled(regime: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = (np.asarray(regime, np.float64) - mean) / sd
    return np.where(np.isnan(scaled), 0.0, scaled)


def _moments(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and SD of each column without its NaN; 0 and 1 where there is nothing to scale."""
    known = ~np.isnan(columns)
    n = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, columns, 0.0).sum(axis=0) / n
    sd = np.sqrt(np.where(known, (columns - mean) ** 2, 0.0).sum(axis=0) / n)
    return mean, np.where(sd > 0, sd, 1.0)


def fit_meta(strategy: Strategy, rows: Rows, *, l2: float = 0.1, seed: int = 42) -> Meta | None:
    """Fit a strategy on rows whose labels are known.

    Parameters
    ----------
    strategy
        ``logistic``: weights w >= 0 and a free intercept that minimise mean log loss + (l2/2) sum (w_k - 1/B)^2;
        weights of regime columns have either sign and are held to 0 alike. ``meta-mlp``: a layer of 8 tanh over
        standardised z and regime columns, five seeds.
    rows
        What to fit on; rows without y, or with fewer than half of the bases, are left out.
    l2
        How hard weights are held to their mean; infinite: they are the mean.
    seed
        Of the nets.

    Returns
    -------
    None if the rows are of one class.
    """
    bases, extra = rows.z.shape[1], rows.regime.shape[1]
    mean, sd = _moments(np.asarray(rows.regime, np.float64))
    even = Meta("mean", np.full(bases, 1 / bases), np.zeros(extra), 0.0, mean, sd)
    if strategy == "mean" or (bases == 1 and not extra):
        return even
    z = complete(rows.z)
    used = ~np.isnan(z[:, 0]) & ~np.isnan(rows.y)
    y = rows.y[used].astype(np.float64)
    if not len(y) or y.min() == y.max():
        return None
    x = np.column_stack([z[used], _scaled(rows.regime[used], mean, sd)])
    if strategy == "meta-mlp":
        nets = fit_net(x, y, seed=seed)
        return Meta(strategy, np.empty(0), np.zeros(extra), 0.0, mean, sd, nets)
    weights, intercept = fit_weights(x, y, bases=bases, l2=l2)
    return Meta("logistic", weights[:bases], weights[bases:], intercept, mean, sd)


# --- calibration ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Calibrator:
    """Platt's line: p = 1/(1 + exp(-(slope z + intercept))). The slope is positive: order stays as it was."""

    slope: float
    intercept: float

    def p(self, z: np.ndarray) -> np.ndarray:
        """Probability of class 1, float32 (n,); NaN where z is."""
        return probability(self.slope * z + self.intercept)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"kind": "platt", "slope": self.slope, "intercept": self.intercept}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Calibrator:
        """The inverse of `to_dict`."""
        return cls(float(raw["slope"]), float(raw["intercept"]))


def probability(z: np.ndarray) -> np.ndarray:
    """1/(1 + exp(-z)) as float32, NaN where z is; never 0/0 whatever z."""
    small = np.exp(-np.abs(z))
    p: np.ndarray = np.where(z >= 0, 1.0, small) / (1.0 + small)
    return p.astype(np.float32)


def fit_platt(z: np.ndarray, y: np.ndarray) -> Calibrator | None:
    """Slope and intercept of least mean log loss, against Platt's softened labels; None for rows of one class.

    Softened labels, (n1 + 1)/(n1 + 2) and 1/(n0 + 2), keep the slope finite where z parts the classes.
    """
    used = ~np.isnan(z) & ~np.isnan(y)
    z, y = z[used], y[used].astype(np.float64)
    ones = float(y.sum())
    if not 0 < ones < len(y):
        return None
    soft = np.where(y > 0, (ones + 1) / (ones + 2), 1 / (len(y) - ones + 2))
    return Calibrator(*log_loss_line(z, soft))


# --- forward only --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Out-of-fold rows.

    Attributes
    ----------
    z
        float64 (n, bases), NaN where a base says nothing.
    regime
        float64 (n, regime columns), NaN for null; no columns if there are none.
    y
        float32 (n,): 0, 1 or NaN.
    fold
        int (n,): which fold tests the row, from 1, in order of time.
    decision_ns, end_ns
        int64 (n,): when the row is decided, and when its label ends.
    """

    z: np.ndarray
    regime: np.ndarray
    y: np.ndarray
    fold: np.ndarray
    decision_ns: np.ndarray
    end_ns: np.ndarray

    @property
    def folds(self) -> list[int]:
        """The folds that there are, ascending."""
        return [int(one) for one in np.unique(self.fold)]

    def before(self, fold: int) -> np.ndarray:
        """Rows that a learner of a fold may know, bool (n,): of earlier folds, label ended before the fold began."""
        first = self.decision_ns[self.fold == fold].min()
        known: np.ndarray = (self.fold < fold) & (self.end_ns < first)
        return known

    def take(self, which: np.ndarray) -> Rows:
        """Some of the rows."""
        return Rows(*(getattr(self, name)[which] for name in self.__slots__))


def forward_stack(strategy: Strategy, rows: Rows, *, l2: float = 0.1, seed: int = 42) -> np.ndarray:
    """What a strategy says of each fold, fitted on what was known before it.

    Returns
    -------
    float64 (n,): z. ``mean`` needs no fitting and covers every fold; the others are NaN in the first fold, and in
    any before which there was one class only.
    """
    out = np.full(len(rows.y), np.nan)
    for place, fold in enumerate(rows.folds):
        if strategy != "mean" and not place:
            continue
        here = rows.fold == fold
        meta = fit_meta(strategy, rows.take(rows.before(fold)), l2=l2, seed=seed)
        if meta is not None:
            out[here] = meta.z(rows.z[here], rows.regime[here])
    return out


def forward_platt(z: np.ndarray, rows: Rows) -> np.ndarray:
    """Probabilities of each fold by a line fitted on what was known before it, float32 (n,).

    NaN where z is, and in folds before which there was nothing to fit on.
    """
    out = np.full(len(z), np.nan, np.float32)
    for fold in rows.folds:
        before, here = rows.before(fold), rows.fold == fold
        line = fit_platt(z[before], rows.y[before])
        if line is not None:
            out[here] = line.p(z[here])
    return out
