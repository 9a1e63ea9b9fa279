"""The book around a level: what flowed in its zone over a window, and what stood there at a moment.

Windows of one level that follow each other share most of their rows: each is made of the one before by the rows that
entered and those that left.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._jit import as_input, inlined, kernel
from raypipe.kernels.book import Book, Flow, Limits, Marks

__all__ = ["Standing", "Zones", "standing", "visible_share", "zone_flows"]

_DEPTH = 10
_NO_BID_LIMIT, _NO_ASK_LIMIT = np.iinfo(np.int32).min, np.iinfo(np.int32).max
#: Levels that come of dollars times a ratio miss their tick by rounding.
_SLACK_TICKS = 1e-6


class Zones(NamedTuple):
    """Prices near a level on one side of the book, one element per level."""

    low: NDArray[np.int64]
    """Lowest tick, inclusive; int64 (levels,)."""
    high: NDArray[np.int64]
    """Highest tick, inclusive; int64 (levels,)."""
    side: NDArray[np.int64]
    """`book.BID` or `book.ASK`; int64 (levels,)."""

    @classmethod
    def around(cls, level_ticks: NDArray[np.float64], side: NDArray[np.int64], reach_ticks: int) -> Zones:
        """Whole ticks at most so far from each level, float64 (levels,).

        Examples
        --------
        >>> Zones.around(np.array([100.0, 100.5]), np.array([0, 1]), 8)[:2]
        (array([92, 93]), array([108, 108]))
        """
        low = np.ceil(level_ticks - reach_ticks - _SLACK_TICKS).astype(np.int64)
        high = np.floor(level_ticks + reach_ticks + _SLACK_TICKS).astype(np.int64)
        return cls(low, high, np.asarray(side, np.int64))


class Standing(NamedTuple):
    """What stood in each zone in the book of a mark; float64 or int64, of the marks' shape."""

    depth: NDArray[np.int64]
    """Visible size in the zone."""
    offered: NDArray[np.int64]
    """Ticks of the zone in sight at or beyond the best quote; 0 if the side is empty."""
    visible: NDArray[np.float64]
    """Share of the zone's ticks no deeper than the tenth level."""


def zone_flows(flow: Flow, zones: Zones, at_ns: NDArray[np.int64], width_ns: int) -> NDArray[np.int64]:
    """Sum the flow of each zone over the windows [moment - width, moment).

    Parameters
    ----------
    flow
        Changes of resting size, in time order.
    zones
        One per level.
    at_ns
        Ends of the windows, ascending within a level; int64 (levels, moments).
    width_ns
        Length of the windows.

    Returns
    -------
    NDArray
        int64 (levels, moments, 5): added, canceled, filled, come into sight, gone out of sight; contracts.
    """
    out = np.zeros((*at_ns.shape, 5), np.int64)
    _zone_flows(flow, _inputs(zones), as_input(at_ns, np.int64), width_ns, out)
    return out


def standing(marks: Marks, zones: Zones, row: NDArray[np.int64]) -> Standing:
    """Measure the book of some marks in each zone.

    Parameters
    ----------
    marks
        Books that a pass kept.
    zones
        One per level.
    row
        Which marks; int64 (levels, moments).

    Returns
    -------
    Standing
        Of shape (levels, moments); a mark without book shows nothing: zeros.
    """
    counts = np.zeros((*row.shape, 3), np.int64)
    _standing(marks, _inputs(zones), as_input(row, np.int64), counts)
    ticks = (zones.high - zones.low + 1)[:, None]
    return Standing(counts[..., 0], counts[..., 1], counts[..., 2] / ticks)


def visible_share(
    book: Book, zones: Zones, at_ns: NDArray[np.int64], width_ns: int, least: float
) -> NDArray[np.float64]:
    """Share of the time in [moment - width, moment) in which enough of the zone was in sight.

    Parameters
    ----------
    book
        What a pass left.
    zones
        One per level.
    at_ns
        End of each window; int64 (levels,).
    width_ns
        Length of the windows.
    least
        Share of a zone's ticks that is enough.

    Returns
    -------
    NDArray
        float64 (levels,); before the first settled book nothing is in sight.
    """
    out = np.zeros(len(at_ns))
    _visible_share(book.limits, _inputs(zones), as_input(at_ns, np.int64), width_ns, least, out)
    return out


def _inputs(zones: Zones) -> Zones:
    return Zones._make(as_input(values, np.int64) for values in zones)


@inlined
def _gather(flow: Flow, row: int, low: int, high: int, side: int, sign: int, sums: NDArray[Any]) -> None:
    """Add a row of the flow to the sums, or take it out again, if it lies in the zone."""
    if flow.side[row] == side and low <= flow.tick[row] <= high:
        sums[0] += sign * flow.added[row]
        sums[1] += sign * flow.canceled[row]
        sums[2] += sign * flow.filled[row]
        view = flow.scrolled[row]
        if view > 0:
            sums[3] += sign * view
        else:
            sums[4] -= sign * view


@inlined
def _gather_all(flow: Flow, first: int, last: int, low: int, high: int, side: int, sums: NDArray[Any]) -> None:
    """Add all rows of a window: without branches, which halves the time of what a level's first window takes."""
    added = canceled = filled = scrolled = moved = 0
    for row in range(first, last):
        inside = int(flow.side[row] == side) & int(flow.tick[row] >= low) & int(flow.tick[row] <= high)
        added += inside * flow.added[row]
        canceled += inside * flow.canceled[row]
        filled += inside * flow.filled[row]
        scrolled += inside * flow.scrolled[row]
        moved += inside * abs(flow.scrolled[row])
    sums[0] = added
    sums[1] = canceled
    sums[2] = filled
    sums[3] = (moved + scrolled) // 2
    sums[4] = (moved - scrolled) // 2


@kernel
def _zone_flows(flow: Flow, zones: Zones, at_ns: NDArray[Any], width_ns: int, out: NDArray[Any]) -> None:
    sums = np.zeros(5, np.int64)
    for k in range(len(at_ns)):
        low, high, side = zones.low[k], zones.high[k], zones.side[k]
        tail = np.searchsorted(flow.time_ns, at_ns[k, 0] - width_ns)
        head = np.searchsorted(flow.time_ns, at_ns[k, 0])
        _gather_all(flow, tail, head, low, high, side, sums)
        for j in range(at_ns.shape[1]):
            while head < len(flow.time_ns) and flow.time_ns[head] < at_ns[k, j]:
                _gather(flow, head, low, high, side, 1, sums)
                head += 1
            while tail < head and flow.time_ns[tail] < at_ns[k, j] - width_ns:
                _gather(flow, tail, low, high, side, -1, sums)
                tail += 1
            for i in range(5):
                out[k, j, i] = sums[i]


@inlined
def _ticks_in_sight(low: int, high: int, side: int, limit: int) -> int:
    """Ticks of a zone no deeper than a limit."""
    if side:
        return max(0, min(high, limit) - low + 1)
    return max(0, high - max(low, limit) + 1)


@kernel
def _standing(marks: Marks, zones: Zones, row: NDArray[Any], out: NDArray[Any]) -> None:
    for k in range(len(row)):
        low, high, side = zones.low[k], zones.high[k], zones.side[k]
        for j in range(row.shape[1]):
            m = row[k, j]
            if marks.time_ns[m] == np.iinfo(np.int64).min:
                continue
            depth = 0
            for level in range(_DEPTH):
                if marks.size[m, side, level] > 0 and low <= marks.tick[m, side, level] <= high:
                    depth += marks.size[m, side, level]
            limit = _NO_ASK_LIMIT if side else _NO_BID_LIMIT
            if marks.size[m, side, _DEPTH - 1] > 0:
                limit = marks.tick[m, side, _DEPTH - 1]
            out[k, j, 0] = depth
            if marks.size[m, side, 0] > 0:
                best = np.int64(marks.tick[m, side, 0])
                offered_low, offered_high = (max(low, best), high) if side else (low, min(high, best))
                out[k, j, 1] = _ticks_in_sight(offered_low, offered_high, side, limit)
            out[k, j, 2] = _ticks_in_sight(low, high, side, limit)


@kernel
def _visible_share(
    limits: Limits, zones: Zones, at_ns: NDArray[Any], width_ns: int, least: float, out: NDArray[Any]
) -> None:
    for k in range(len(at_ns)):
        low, high, side = zones.low[k], zones.high[k], zones.side[k]
        end_ns = at_ns[k]
        since_ns = end_ns - width_ns
        seen_ns = 0
        i = np.searchsorted(limits.time_ns, since_ns, side="right") - 1
        while i < len(limits.time_ns) and since_ns < end_ns:
            until_ns = min(limits.time_ns[i + 1], end_ns) if i + 1 < len(limits.time_ns) else end_ns
            if i >= 0:
                limit = limits.ask[i] if side else limits.bid[i]
                if _ticks_in_sight(low, high, side, limit) >= least * (high - low + 1):
                    seen_ns += max(until_ns - since_ns, 0)
            since_ns = max(until_ns, since_ns)
            i += 1
        out[k] = seen_ns / width_ns
