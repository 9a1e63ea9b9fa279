"""Scores of predictions against what came true: pooled, by session, by symbol.

A score that is not defined, such as the AUC of one class, is NaN. Predictions must be finite; rows without one are
left out by whoever knows why they have none.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from raypipe.errors import DeveloperError

__all__ = [
    "auc",
    "brier",
    "ece",
    "fold_value",
    "group_aucs",
    "group_ics",
    "group_ranks",
    "log_loss",
    "rank_ic",
    "ranks",
    "spearman",
]

Kind = Literal["class", "regression"]


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, ties sharing their mean.

    Parameters
    ----------
    values
        (n,), no NaN.

    Returns
    -------
    float64 (n,).

    Examples
    --------
    >>> ranks(np.array([0.2, 0.1, 0.2])).tolist()
    [2.5, 1.0, 2.5]
    """
    order = np.argsort(values)
    ordered = values[order]
    first = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1]))) if len(values) else order
    size = np.diff(np.append(first, len(values)))
    found = np.empty(len(values))
    found[order] = np.repeat(first + (size + 1) / 2.0, size)
    return found


def group_ranks(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Ranks from 1 within each group, ties sharing their mean.

    Parameters
    ----------
    values
        (n,), no NaN.
    group
        int (n,), >= 0, in any order.

    Returns
    -------
    float64 (n,).
    """
    order = np.lexsort((values, group))
    ordered, groups = values[order], group[order]
    new_group = np.concatenate(([True], groups[1:] != groups[:-1]))[: len(values)]
    first = np.flatnonzero(new_group | np.concatenate(([True], ordered[1:] != ordered[:-1]))[: len(values)])
    size = np.diff(np.append(first, len(values)))
    start = np.flatnonzero(new_group)
    before = np.repeat(start, np.diff(np.append(start, len(values))))
    found = np.empty(len(values))
    found[order] = np.repeat(first + (size + 1) / 2.0, size) - before
    return found


def auc(y: np.ndarray, p: np.ndarray) -> float:
    """The share of (positive, negative) pairs that are ordered rightly; a tie counts half.

    Parameters
    ----------
    y
        (n,), 1 or True where positive, else 0.
    p
        (n,), finite; any monotone map of it gives the same.

    Returns
    -------
    NaN if there is only one class; .5 if ``p`` is constant.

    Raises
    ------
    DeveloperError
        If lengths differ, or a prediction is NaN or infinite.
    """
    positive = _checked(y, p) > 0.5  # noqa: PLR2004 - between 0 and 1
    n1 = int(positive.sum())
    n0 = len(positive) - n1
    if not n1 or not n0:
        return float("nan")
    above = float(ranks(p)[positive].sum()) - n1 * (n1 + 1) / 2.0
    return above / (n1 * n0)


def group_aucs(y: np.ndarray, p: np.ndarray, group: np.ndarray) -> np.ndarray:
    """The AUC of each group by itself.

    Parameters
    ----------
    y, p
        As for `auc`.
    group
        int (n,), >= 0.

    Returns
    -------
    float64 (groups,): by group number up to the largest, NaN where a class or the group is absent.
    """
    positive = (_checked(y, p) > 0.5).astype(np.float64)  # noqa: PLR2004
    n1 = np.bincount(group, positive)
    n0 = np.bincount(group) - n1
    above = np.bincount(group, group_ranks(p, group) * positive) - n1 * (n1 + 1) / 2.0
    found: np.ndarray = np.divide(above, n1 * n0, out=np.full(len(n1), np.nan), where=(n1 > 0) & (n0 > 0))
    return found


def log_loss(y: np.ndarray, p: np.ndarray) -> float:
    """Mean negative log likelihood of probabilities, clipped by 2.2e-16; NaN without rows."""
    positive = _checked(y, p) > 0.5  # noqa: PLR2004
    if not len(positive):
        return float("nan")
    tiny = float(np.finfo(np.float64).eps)
    clipped = np.clip(p.astype(np.float64), tiny, 1.0 - tiny)
    return -float(np.log(np.where(positive, clipped, 1.0 - clipped)).mean())


def brier(y: np.ndarray, p: np.ndarray) -> float:
    """Mean squared difference of probability and outcome; NaN without rows."""
    _checked(y, p)
    return float(np.square(p.astype(np.float64) - y).mean()) if len(y) else float("nan")


def ece(y: np.ndarray, p: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error over bins with equally many rows.

    Equal probabilities fall into one bin whatever the order of the rows, so the bins are only nearly equal then.
    NaN without rows.
    """
    _checked(y, p)
    if not len(y):
        return float("nan")
    place = np.minimum(((ranks(p) - 0.5) * bins / len(y)).astype(np.int64), bins - 1)
    gaps = np.bincount(place, p.astype(np.float64) - y, minlength=bins)
    return float(np.abs(gaps).sum()) / len(y)


def spearman(y: np.ndarray, p: np.ndarray) -> float:
    """Rank correlation; NaN if either is constant or there are fewer than 2 rows."""
    _checked(y, p)
    return float(group_ics(y, p, np.zeros(len(y), np.int64))[0]) if len(y) else float("nan")


def rank_ic(y: np.ndarray, p: np.ndarray, session_id: np.ndarray) -> float:
    """Mean over sessions of the rank correlation of prediction and outcome.

    Sessions with fewer than 2 rows, or in which either is constant, say nothing and are left out; NaN if none is left.
    """
    _checked(y, p)
    found = group_ics(y, p, session_id)
    found = found[~np.isnan(found)]
    return float(found.mean()) if len(found) else float("nan")


def group_ics(y: np.ndarray, p: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Rank correlation within each group: float64 (groups,), by number; NaN where either is constant."""
    a, b = group_ranks(y, group), group_ranks(p, group)
    rows = np.bincount(group)
    middle = (rows[group] + 1) / 2.0
    a, b = a - middle, b - middle
    spread = np.sqrt(np.bincount(group, a * a) * np.bincount(group, b * b))
    found: np.ndarray = np.divide(np.bincount(group, a * b), spread, out=np.full(len(rows), np.nan), where=spread > 0)
    return found


def fold_value(kind: Kind, y: np.ndarray, p: np.ndarray, session_id: np.ndarray, one_symbol: bool) -> float:
    """What a search maximises, on the rows of one fold.

    Parameters
    ----------
    kind
        ``class``: AUC over all rows. ``regression``: mean rank IC of the sessions.
    y, p
        (n,), finite.
    session_id
        int (n,).
    one_symbol
        Whether the rows are of one symbol: a regression is then scored by its rank correlation over time.

    Returns
    -------
    NaN where the score is not defined.
    """
    if kind == "class":
        return auc(y, p)
    return spearman(y, p) if one_symbol else rank_ic(y, p, session_id)


def _checked(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    if y.shape != p.shape or y.ndim != 1:
        msg = f"outcomes have shape {y.shape}, predictions {p.shape}; one of each per row is expected"
        raise DeveloperError(msg)
    wrong = np.flatnonzero(~np.isfinite(p) | ~np.isfinite(y))
    if len(wrong):
        msg = f"row {wrong[0]} and {len(wrong) - 1} more have no finite outcome or prediction; leave them out before"
        raise DeveloperError(msg)
    return y
