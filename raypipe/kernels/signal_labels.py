"""What trades did after a touch: first passages of thresholds in record order, extremes, and how far windows overlap.

A threshold can be passed for the first time only by a new extreme, so the scan over a window compares integers and
turns a price into a distance a few dozen times: 1 ns per trade, where a distance per trade cost 6.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._jit import as_input, kernel

__all__ = ["Passed", "Windows", "last_rows", "passages", "true_ranges", "uniqueness", "windows"]


class Windows(NamedTuple):
    """Rows of the trades in (begin, end], one element per event; int64 (events,) each."""

    first: NDArray[np.int64]
    """First trade after the begin."""
    behind: NDArray[np.int64]
    """Row behind the last trade at or before the end; never before ``first``."""

    @property
    def empty(self) -> NDArray[np.bool_]:
        """Whether no trade lies in it; bool (events,)."""
        empty: NDArray[np.bool_] = self.behind <= self.first
        return empty


class Passed(NamedTuple):
    """Per event the rows that pass thresholds first, and how far the price went."""

    up: NDArray[np.int64]
    """Row of the first trade at or beyond each threshold; -1 if there is none. int64 (events, thresholds)."""
    down: NDArray[np.int64]
    """The same on the other side."""
    highest: NDArray[np.float64]
    """Largest distance; NaN without a trade. float64 (events,)."""
    lowest: NDArray[np.float64]
    """Smallest distance, negative beyond the other side; NaN without a trade. float64 (events,)."""


def windows(ts_ns: NDArray[np.int64], begin_ns: NDArray[np.int64], end_ns: NDArray[np.int64]) -> Windows:
    """Find the trades of half-open windows (begin, end].

    Parameters
    ----------
    ts_ns
        Time of each trade, ascending; int64 (trades,).
    begin_ns, end_ns
        Of each window; a trade at the begin is not in it, one at the end is. int64 (events,).

    Examples
    --------
    >>> found = windows(np.array([1, 2, 2, 5]), np.array([1, 5]), np.array([2, 9]))
    >>> found.first.tolist(), found.behind.tolist(), found.empty.tolist()
    ([1, 4], [3, 4], [False, True])
    """
    first = np.searchsorted(ts_ns, begin_ns, side="right")
    return Windows(first, np.maximum(np.searchsorted(ts_ns, end_ns, side="right"), first))


def last_rows(
    ts_ns: NDArray[np.int64], at_ns: NDArray[np.int64], max_age_ns: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Find the last trade at or before each moment.

    Parameters
    ----------
    ts_ns
        Time of each trade, ascending; int64 (trades,).
    at_ns
        The moments; int64 (events,).
    max_age_ns
        How old the trade may be.

    Returns
    -------
    tuple
        Its row, int64 (events,), of a trade in any case if there are any; and whether it counts, bool (events,).
    """
    row = np.searchsorted(ts_ns, at_ns, side="right") - 1
    at = np.maximum(row, 0)
    if not len(ts_ns):
        return at, np.zeros(len(at_ns), np.bool_)
    return at, (row >= 0) & (at_ns - ts_ns[at] <= max_age_ns)


def passages(
    ticks: NDArray[np.int32],
    inside: Windows,
    center: NDArray[np.float64],
    scale: NDArray[np.float64],
    thresholds: NDArray[np.float64],
    *,
    strict: bool = False,
) -> Passed:
    """Find the first trades beyond thresholds around a price, on either side.

    Parameters
    ----------
    ticks
        Price of each trade, ticks of 0.25 points; int32 (trades,).
    inside
        The trades of each event.
    center
        Price around which thresholds lie, points; NaN passes nothing. float64 (events,).
    scale
        Points per unit of distance, negative where a fall counts as up; float64 (events,).
    thresholds
        Distances, positive; NaN is never passed. float64 (events, thresholds).
    strict
        Whether a trade that is just at a threshold does not pass it.

    Examples
    --------
    >>> ticks = np.array([400, 403, 396, 410], np.int32)
    >>> one = Windows(np.array([0]), np.array([4]))
    >>> found = passages(ticks, one, np.array([100.0]), np.array([1.0]), np.array([[1.0, 2.0]]))
    >>> found.up.tolist(), found.down.tolist(), float(found.highest[0]), float(found.lowest[0])
    ([[3, 3]], [[2, -1]], 2.5, -1.0)
    """
    return _passages(
        as_input(ticks, np.int32),
        as_input(inside.first, np.int64),
        as_input(inside.behind, np.int64),
        as_input(center, np.float64),
        as_input(scale, np.float64),
        as_input(thresholds, np.float64),
        strict,
    )


@kernel
def _passages(
    ticks: NDArray[np.int32],
    first: NDArray[np.int64],
    behind: NDArray[np.int64],
    center: NDArray[np.float64],
    scale: NDArray[np.float64],
    thresholds: NDArray[np.float64],
    strict: bool,
) -> Passed:
    events, count = thresholds.shape
    up, down = np.full((events, count), -1, np.int64), np.full((events, count), -1, np.int64)
    highest, lowest = np.full(events, np.nan), np.full(events, np.nan)
    for e in range(events):
        if behind[e] <= first[e] or np.isnan(center[e]):
            continue
        top = bottom = ticks[first[e]]
        far = near = (0.25 * top - center[e]) / scale[e]
        for i in range(first[e], behind[e]):
            p = ticks[i]
            if i > first[e] and bottom <= p <= top:
                continue
            top, bottom = max(top, p), min(bottom, p)
            x = (0.25 * p - center[e]) / scale[e]
            far, near = max(far, x), min(near, x)
            for k in range(count):
                limit = thresholds[e, k]
                if up[e, k] < 0 and (x > limit or (x == limit and not strict)):
                    up[e, k] = i
                if down[e, k] < 0 and (-x > limit or (-x == limit and not strict)):
                    down[e, k] = i
        highest[e], lowest[e] = far, near
    return Passed(up, down, highest, lowest)


def uniqueness(begin_ns: NDArray[np.int64], end_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weigh each window by how little others cover it: the mean over its time of 1 / (windows open at that instant).

    Parameters
    ----------
    begin_ns, end_ns
        Windows in any order; int64 (events,).

    Returns
    -------
    NDArray
        float64 (events,) in (0, 1]; NaN where the end is not after the begin.

    Examples
    --------
    >>> uniqueness(np.array([0, 5, 20]), np.array([10, 15, 30])).tolist()
    [0.75, 0.75, 1.0]
    """
    real = end_ns > begin_ns
    begins, ends = np.sort(begin_ns[real]), np.sort(end_ns[real])
    marks = np.unique(np.concatenate([begins, ends]))
    mean = np.full(len(begin_ns), np.nan)
    if not len(marks):
        return mean
    # Between two marks the same windows are open; where none is, the sum does not grow.
    counts = np.searchsorted(begins, marks[:-1], side="right") - np.searchsorted(ends, marks[:-1], side="right")
    shares = np.where(counts > 0, np.diff(marks) / np.maximum(counts, 1), 0.0)
    grown = np.concatenate([[0.0], np.cumsum(shares)])
    covered = grown[np.searchsorted(marks, end_ns[real])] - grown[np.searchsorted(marks, begin_ns[real])]
    # Differences of long sums may stick out by a rounding.
    mean[real] = np.minimum(covered / (end_ns[real] - begin_ns[real]), 1.0)
    return mean


def true_ranges(high: NDArray[np.float64], low: NDArray[np.float64], close: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the price went in each bar, seen from the close before.

    Parameters
    ----------
    high, low, close
        Bars of one session in order of time; float64 (bars,). The first has no close before it.

    Returns
    -------
    NDArray
        float64 (bars,), in the unit of the prices.

    Examples
    --------
    >>> true_ranges(np.array([4.0, 9.0, 7.0]), np.array([1.0, 8.0, 5.0]), np.array([2.0, 8.0, 6.0])).tolist()
    [3.0, 7.0, 3.0]
    """
    ranges, before = high - low, close[:-1]
    ranges[1:] = np.maximum(ranges[1:], np.maximum(np.abs(high[1:] - before), np.abs(low[1:] - before)))
    return ranges
