"""How a feature was distributed where a model was fitted, so that later sessions can be held against it.

The distribution is kept as 99 quantiles and the counts between them. Features that persist, such as volatility, look
shifted over any 20 sessions, so the usual size of such a shift is kept too: windows of the baseline against its rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from raypipe.errors import DeveloperError

__all__ = ["BINS", "GROUPS", "Baseline", "baseline_of", "bin_counts", "ks_of_counts", "psi_of_counts"]

#: Bins of values; one more holds the nulls. Population stability is taken over groups of ten of them.
BINS, GROUPS = 100, 10
WINDOWS = 200
_PRIOR, _CONFIDENCE = 0.5, 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """A feature as it was.

    Attributes
    ----------
    edges
        float64 (99,): its percentiles; empty if it has no value.
    counts
        int64 (101,): values of each bin, nulls last.
    n, n_null
        Rows, and those that are null.
    mean, sd
        Of the values; NaN if there are none.
    psi_null95, ks_null95
        95 % points over windows of the baseline against the rest of it; NaN with fewer than two windows' sessions.
    """

    edges: np.ndarray
    counts: np.ndarray
    n: int
    n_null: int
    mean: float
    sd: float
    psi_null95: float
    ks_null95: float


def baseline_of(values: np.ndarray, session: np.ndarray, window: int = 20) -> Baseline:
    """Summarise a feature over the rows of a fit.

    Parameters
    ----------
    values
        float (n,), NaN for null.
    session
        int (n,): sessions, numbered as they follow each other; in any order.
    window
        Sessions of a window.
    """
    known = values[~np.isnan(values)].astype(np.float64)
    if not len(known):
        none = np.zeros(BINS + 1, np.int64)
        none[-1] = len(values)
        return Baseline(np.empty(0), none, len(values), len(values), *[math.nan] * 4)
    edges = np.quantile(known, np.arange(1, BINS) / BINS)
    bins = _bins(values, edges)
    counts = np.bincount(bins, minlength=BINS + 1)
    psi, ks = _usual_shifts(bins, counts, session, window)
    return Baseline(edges, counts, len(values), int(counts[-1]), float(known.mean()), float(known.std()), psi, ks)


def bin_counts(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Values between percentiles, nulls last: int64 (101,). A value on an edge is above it."""
    return np.bincount(_bins(values, edges), minlength=BINS + 1)


def psi_of_counts(live: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Population stability index: sum (a - e) ln(a/e) over ten groups of bins and the nulls, each count plus .5.

    Parameters
    ----------
    live, base
        (..., 101): counts.
    """
    a, e = _shares(live), _shares(base)
    found: np.ndarray = ((a - e) * np.log(a / e)).sum(axis=-1)
    return found


def ks_of_counts(live: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Largest distance of two distributions over the bins, nulls left out: (...,); NaN where one has no value."""
    parts = [np.cumsum(one[..., :BINS], axis=-1) for one in (live, base)]
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = [one / one[..., -1:] for one in parts]
    found: np.ndarray = np.abs(shares[0] - shares[1]).max(axis=-1)
    return found


def _bins(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    if len(edges) != BINS - 1:
        msg = f"a feature has {len(edges)} edges, {BINS - 1} are expected"
        raise DeveloperError(msg)
    found = np.searchsorted(edges, values, side="right")
    found[np.isnan(values)] = BINS
    return found


def _shares(counts: np.ndarray) -> np.ndarray:
    groups = counts[..., :BINS].reshape(*counts.shape[:-1], GROUPS, BINS // GROUPS).sum(axis=-1)
    held = np.concatenate([groups, counts[..., BINS:]], axis=-1) + _PRIOR
    shares: np.ndarray = held / held.sum(axis=-1, keepdims=True)
    return shares


def _usual_shifts(bins: np.ndarray, counts: np.ndarray, session: np.ndarray, window: int) -> tuple[float, float]:
    """95 % points of both measures over windows that are spread evenly, each against all other sessions.

    Rows of windows are gathered and counted: counts of each session, summed up, cost six times as much.
    """
    order = np.argsort(session, kind="stable")
    bins, days = bins[order], session[order]
    firsts = np.flatnonzero(np.concatenate(([True], days[1:] != days[:-1])))
    if len(firsts) < 2 * window:
        return math.nan, math.nan
    starts = np.unique(np.linspace(0, len(firsts) - window, WINDOWS).astype(np.int64))
    edges = np.append(firsts, len(bins))
    low, high = edges[starts], edges[starts + window]
    sizes = high - low
    owner = np.repeat(np.arange(len(starts)), sizes)
    rows = np.arange(len(owner)) + np.repeat(low - np.concatenate(([0], np.cumsum(sizes)[:-1])), sizes)
    cells = np.bincount(owner * (BINS + 1) + bins[rows], minlength=len(starts) * (BINS + 1))
    inside = cells.reshape(len(starts), BINS + 1)
    rest = counts - inside
    psi, ks = psi_of_counts(inside, rest), ks_of_counts(inside, rest)
    ks = ks[~np.isnan(ks)]
    return float(np.quantile(psi, _CONFIDENCE)), float(np.quantile(ks, _CONFIDENCE)) if len(ks) else math.nan
