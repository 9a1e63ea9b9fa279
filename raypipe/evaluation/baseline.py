"""How a feature was distributed where a model was fitted, so that later sessions can be held against it.

The distribution is kept as 99 quantiles and the counts between them. Features that persist, such as volatility, look
shifted over any 20 sessions, so the usual size of such a shift is kept too: windows of the baseline against its rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from raypipe.errors import DeveloperError

__all__ = ["BINS", "GROUPS", "Baseline", "Windows", "baseline_of", "bin_counts", "ks_of_counts", "psi_of_counts"]

#: Bins of values; one more holds the nulls. Population stability is taken over groups of ten of them.
BINS, GROUPS = 100, 10
WINDOWS = 200
_PRIOR = 0.5
_SHARES, _CONFIDENCE_POINT = np.arange(1, BINS) / BINS, np.array([0.95])


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


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Windows of sessions, spread evenly over the rows of a fit; see `Windows.of`.

    Attributes
    ----------
    count
        How many; 0 where there are fewer sessions than two windows have.
    rows
        int64: the rows of each window, one window after the other.
    owner
        int64, as long: number of the window, from 0.
    """

    count: int
    rows: np.ndarray
    owner: np.ndarray

    @classmethod
    def of(cls, session: np.ndarray, window: int = 20) -> Windows:
        """Find the rows of windows.

        Parameters
        ----------
        session
            int (n,): sessions, numbered as they follow each other; in any order.
        window
            Sessions of a window.
        """
        order = np.argsort(session, kind="stable")
        days = session[order]
        firsts = np.flatnonzero(np.concatenate(([True], days[1:] != days[:-1]))) if len(days) else order
        if len(firsts) < 2 * window:
            return cls(0, np.empty(0, np.int64), np.empty(0, np.int64))
        starts = np.unique(np.linspace(0, len(firsts) - window, WINDOWS).astype(np.int64))
        edges = np.append(firsts, len(days))
        low = edges[starts]
        sizes = edges[starts + window] - low
        owner = np.repeat(np.arange(len(starts)), sizes)
        rows = np.arange(len(owner)) + np.repeat(low - np.concatenate(([0], np.cumsum(sizes)[:-1])), sizes)
        return cls(len(starts), order[rows], owner)


def baseline_of(values: np.ndarray, session: np.ndarray | Windows, window: int = 20) -> Baseline:
    """Summarise a feature over the rows of a fit.

    Parameters
    ----------
    values
        float (n,), NaN for null.
    session
        int (n,): sessions, numbered as they follow each other; in any order. Or their windows, which features of the
        same rows share.
    window
        Sessions of a window.
    """
    known = values[~np.isnan(values)].astype(np.float64)
    if not len(known):
        none = np.zeros(BINS + 1, np.int64)
        none[-1] = len(values)
        return Baseline(np.empty(0), none, len(values), len(values), *[math.nan] * 4)
    edges = _quantiles(np.sort(known), _SHARES)
    bins = _bins(values, edges)
    counts = np.bincount(bins, minlength=BINS + 1)
    windows = session if isinstance(session, Windows) else Windows.of(session, window)
    psi, ks = _usual_shifts(bins, counts, windows)
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
    return _distances(*(np.cumsum(one[..., :BINS], axis=-1) for one in (live, base)))


def _distances(live: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Largest distance of two distributions, given as running counts (..., bins)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = live / live[..., -1:]
        apart -= base / base[..., -1:]
    found: np.ndarray = np.abs(apart, out=apart).max(axis=-1)
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


def _usual_shifts(bins: np.ndarray, counts: np.ndarray, windows: Windows) -> tuple[float, float]:
    """95 % points of both measures over windows, each against all other sessions.

    Rows of windows are gathered and counted: counts of each session, summed up, cost six times as much.
    """
    if not windows.count:
        return math.nan, math.nan
    cells = np.bincount(windows.owner * (BINS + 1) + bins[windows.rows], minlength=windows.count * (BINS + 1))
    inside = cells.reshape(windows.count, BINS + 1)
    psi = psi_of_counts(inside, counts - inside)
    running = np.cumsum(inside[:, :BINS], axis=-1)
    ks = _distances(running, np.cumsum(counts[:BINS]) - running)
    return _high(psi), _high(ks[~np.isnan(ks)])


def _high(values: np.ndarray) -> float:
    return float(_quantiles(np.sort(values), _CONFIDENCE_POINT)[0]) if len(values) else math.nan


def _quantiles(ordered: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """As `np.quantile` of sorted values, to the last bit, without what it costs a small array."""
    place = (len(ordered) - 1) * shares
    low = np.floor(place).astype(np.int64)
    part = place - low
    below, above = ordered[low], ordered[np.minimum(low + 1, len(ordered) - 1)]
    apart = above - below
    found: np.ndarray = np.where(part < 0.5, below + apart * part, above - apart * (1 - part))  # noqa: PLR2004
    return found
