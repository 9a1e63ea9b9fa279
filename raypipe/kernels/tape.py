"""Trades near a level before some moments: volumes by aggressor, the slope of the price, and sweeps.

A sweep is a run of prints near the level that follow each other closely, cut where the aggressor turns. Cutting, not a
test that a whole cluster is one-sided: on a busy tape no cluster ever is.

Moments of one level that follow each other share most of their window. Volumes are carried from one to the next; of
the runs only the first and the last can be cut by the window, the others are found once per level.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._book import Prints
from raypipe.kernels._jit import as_input, inlined, kernel

__all__ = ["Prints", "SweepRules", "Sweeps", "Volumes", "near_volumes", "slopes", "sweeps"]

_SLACK_TICKS = 1e-6
#: Places in a run: contracts, tick x contracts, prints, distinct prices, first and last time, aggressor, and where it
#: begins and ends among the near prints.
_LOTS, _TURNOVER, _PRINTS, _PRICES, _FIRST_NS, _LAST_NS, _SIDE, _BEGIN, _END = range(9)
_RUN_FIELDS = 9


class Volumes(NamedTuple):
    """Contracts near each level in the window before each moment, and all trades there; int64 (levels, moments)."""

    buy: NDArray[np.int64]
    sell: NDArray[np.int64]
    unsided: NDArray[np.int64]
    trades: NDArray[np.int64]
    """Trades at any price."""


class SweepRules(NamedTuple):
    """When a run of prints is a sweep."""

    gap_ns: int
    """Longest time between two prints of a run."""
    min_near: int
    """Fewest prints near the level in the whole window."""
    min_prints: int
    min_prices: int
    min_lots: int
    min_turnover: int
    """Least sum of tick x contracts."""


class Sweeps(NamedTuple):
    """The largest sweep in each window, the latest of equals; zeros if there is none. (levels, moments) each."""

    side: NDArray[np.int8]
    """Aggressor: 1 buy, -1 sell; 0 none, or a sweep of prints without aggressor."""
    found: NDArray[np.bool_]
    turnover: NDArray[np.int64]
    """Sum of tick x contracts."""
    lots: NDArray[np.int64]
    prints: NDArray[np.int64]
    lasted_ns: NDArray[np.int64]


def near_volumes(
    prints: Prints,
    level_ticks: NDArray[np.float64],
    band_ticks: NDArray[np.float64],
    at_ns: NDArray[np.int64],
    width_ns: int,
) -> Volumes:
    """Sum contracts near each level over [moment - width, moment).

    Parameters
    ----------
    prints
        Trades, in time order.
    level_ticks, band_ticks
        Each level and how far from it is near, inclusive; float64 (levels,).
    at_ns
        Moments, ascending within a level; int64 (levels, moments).
    width_ns
        Length of the windows.

    Returns
    -------
    Volumes
        Zeros where nothing traded.
    """
    out = np.zeros((4, *at_ns.shape), np.int64)
    low, high = _band(level_ticks, band_ticks)
    _near_volumes(_inputs(prints), low, high, as_input(at_ns, np.int64), width_ns, out)
    return Volumes(*out)


def slopes(prints: Prints, at_ns: NDArray[np.int64], width_ns: int) -> NDArray[np.float64]:
    """Slope of a least-squares line through the prices of all trades in [moment - width, moment).

    Parameters
    ----------
    prints
        Trades, in time order.
    at_ns
        Moments; int64 of any shape.
    width_ns
        Length of the windows.

    Returns
    -------
    NDArray
        float64 of the same shape, ticks per second; 0 with fewer than two distinct times.
    """
    out = np.zeros(at_ns.size)
    _slopes(_inputs(prints), as_input(at_ns.ravel(), np.int64), width_ns, out)
    return out.reshape(at_ns.shape)


def sweeps(
    prints: Prints,
    level_ticks: NDArray[np.float64],
    band_ticks: NDArray[np.float64],
    at_ns: NDArray[np.int64],
    width_ns: int,
    rules: SweepRules,
) -> Sweeps:
    """Find the largest sweep near each level in [moment - width, moment).

    Parameters
    ----------
    prints, level_ticks, band_ticks, at_ns, width_ns
        As of `near_volumes`.
    rules
        What makes a run of prints a sweep.

    Returns
    -------
    Sweeps
        One per moment.
    """
    out = np.zeros((*at_ns.shape, 6), np.int64)
    low, high = _band(level_ticks, band_ticks)
    trades, ends = _inputs(prints), as_input(at_ns, np.int64)
    if at_ns.size:
        room = _room(_longest_span(trades, ends, width_ns), int((high - low).max()) + 1)
        _sweeps(trades, low, high, ends, width_ns, rules, room, out)
    side, found, *rest = (out[..., k] for k in range(6))
    return Sweeps(side.astype(np.int8), found.astype(np.bool_), *rest)


def _inputs(prints: Prints) -> Prints:
    columns = (prints.time_ns, np.int64), (prints.tick, np.int32), (prints.size, np.int64), (prints.side, np.int8)
    return Prints._make(as_input(values, kind) for values, kind in columns)


def _band(level: NDArray[np.float64], width: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    low, high = np.ceil(level - width - _SLACK_TICKS), np.floor(level + width + _SLACK_TICKS)
    return as_input(low.astype(np.int64)), as_input(high.astype(np.int64))


def _longest_span(prints: Prints, at_ns: NDArray[np.int64], width_ns: int) -> int:
    """Most trades between the start of a level's first window and its last moment."""
    first = np.searchsorted(prints.time_ns, at_ns[:, 0] - width_ns)
    last = np.searchsorted(prints.time_ns, at_ns[:, -1])
    return int((last - first).max())


class _Room(NamedTuple):
    """Memory for the near prints of one level at a time."""

    near: NDArray[Any]
    """Row of each near print."""
    run_of: NDArray[Any]
    """Run that it belongs to."""
    runs: NDArray[Any]
    """All runs, as if no window cut them; (runs, fields)."""
    good: NDArray[Any]
    """Those that qualify, in time order."""
    seen: NDArray[Any]
    """Per tick of the band the last run that had it; one more for the number of runs made so far."""
    run: NDArray[Any]
    """A run that a window cuts."""


def _room(trades: int, band: int) -> _Room:
    runs = np.zeros((trades + 1, _RUN_FIELDS), np.int64)
    ints = [np.zeros(length, np.int64) for length in (trades, trades, trades + 1, band + 2, _RUN_FIELDS)]
    return _Room(ints[0], ints[1], runs, ints[2], ints[3], ints[4])


@inlined
def _count(prints: Prints, k: int, low: int, high: int, sign: int, out: NDArray[Any]) -> None:
    """Add a trade to the sums, or take it out again."""
    out[3] += sign
    if low <= prints.tick[k] <= high:
        side = prints.side[k]
        out[0 if side > 0 else 1 if side < 0 else 2] += sign * prints.size[k]


@kernel
def _near_volumes(
    prints: Prints, low: NDArray[Any], high: NDArray[Any], at_ns: NDArray[Any], width_ns: int, out: NDArray[Any]
) -> None:
    sums = np.zeros(4, np.int64)
    for row in range(len(at_ns)):
        sums[:] = 0
        tail = head = -1
        for j in range(at_ns.shape[1]):
            end_ns = at_ns[row, j]
            if j == 0:
                tail = head = np.searchsorted(prints.time_ns, end_ns - width_ns)
            while head < len(prints.time_ns) and prints.time_ns[head] < end_ns:
                _count(prints, head, low[row], high[row], 1, sums)
                head += 1
            while tail < head and prints.time_ns[tail] < end_ns - width_ns:
                _count(prints, tail, low[row], high[row], -1, sums)
                tail += 1
            for i in range(4):
                out[i, row, j] = sums[i]


@kernel
def _slopes(prints: Prints, at_ns: NDArray[Any], width_ns: int, out: NDArray[Any]) -> None:
    for k in range(len(at_ns)):
        end_ns = at_ns[k]
        first = np.searchsorted(prints.time_ns, end_ns - width_ns)
        last = first
        mean_x = mean_y = 0.0
        # Seconds before the moment and ticks from the first price: small numbers, exact and alike at any price.
        while last < len(prints.time_ns) and prints.time_ns[last] < end_ns:
            mean_x += (prints.time_ns[last] - end_ns) * 1e-9
            mean_y += prints.tick[last] - prints.tick[first]
            last += 1
        if last == first or prints.time_ns[last - 1] == prints.time_ns[first]:
            continue
        mean_x /= last - first
        mean_y /= last - first
        xx = xy = 0.0
        for i in range(first, last):
            x = (prints.time_ns[i] - end_ns) * 1e-9 - mean_x
            xx += x * x
            xy += x * (prints.tick[i] - prints.tick[first] - mean_y)
        out[k] = xy / xx


@inlined
def _grow(run: NDArray[Any], prints: Prints, room: _Room, begin: int, end: int, low: int, gap_ns: int) -> None:
    """Make a run of the near prints from one place on, up to where it is cut or the places end."""
    room.seen[-1] += 1
    name = room.seen[-1]
    first = room.near[begin]
    run[_LOTS] = run[_TURNOVER] = run[_PRINTS] = run[_PRICES] = run[_SIDE] = 0
    run[_FIRST_NS] = run[_LAST_NS] = prints.time_ns[first]
    run[_BEGIN] = begin
    place = begin
    while place < end:
        k = room.near[place]
        side = prints.side[k]
        if prints.time_ns[k] - run[_LAST_NS] > gap_ns or (side != 0 and side == -run[_SIDE]):
            break
        run[_LOTS] += prints.size[k]
        run[_TURNOVER] += prints.tick[k] * prints.size[k]
        run[_PRINTS] += 1
        run[_LAST_NS] = prints.time_ns[k]
        if side != 0:
            run[_SIDE] = side
        if room.seen[prints.tick[k] - low] != name:
            room.seen[prints.tick[k] - low] = name
            run[_PRICES] += 1
        place += 1
    run[_END] = place


@inlined
def _qualifies(run: NDArray[Any], rules: SweepRules) -> bool:
    return bool(
        run[_PRINTS] >= rules.min_prints
        and run[_PRICES] >= rules.min_prices
        and run[_LOTS] >= rules.min_lots
        and run[_TURNOVER] >= rules.min_turnover
    )


@inlined
def _offer(run: NDArray[Any], out: NDArray[Any]) -> None:
    """Let a qualifying run be the window's sweep unless one before is larger; runs are offered in time order."""
    if out[1] and run[_TURNOVER] < out[2]:
        return
    out[0] = run[_SIDE]
    out[1] = 1
    out[2] = run[_TURNOVER]
    out[3] = run[_LOTS]
    out[4] = run[_PRINTS]
    out[5] = run[_LAST_NS] - run[_FIRST_NS]


@inlined
def _find_runs(prints: Prints, room: _Room, near: int, low: int, rules: SweepRules) -> int:
    """All runs of a level's near prints; returns how many qualify."""
    place = runs = good = 0
    while place < near:
        run = room.runs[runs]
        _grow(run, prints, room, place, near, low, rules.gap_ns)
        for k in range(place, run[_END]):
            room.run_of[k] = runs
        if _qualifies(run, rules):
            room.good[good] = runs
            good += 1
        place = run[_END]
        runs += 1
    return good


@kernel
def _sweeps(
    prints: Prints,
    low: NDArray[Any],
    high: NDArray[Any],
    at_ns: NDArray[Any],
    width_ns: int,
    rules: SweepRules,
    room: _Room,
    out: NDArray[Any],
) -> None:
    run = room.run
    for row in range(len(at_ns)):
        near = 0
        k = np.searchsorted(prints.time_ns, at_ns[row, 0] - width_ns)
        while k < len(prints.time_ns) and prints.time_ns[k] < at_ns[row, -1]:
            if low[row] <= prints.tick[k] <= high[row]:
                room.near[near] = k
                near += 1
            k += 1
        room.seen[:-1] = 0  # the ticks of another level
        good = _find_runs(prints, room, near, low[row], rules)
        begin = end = first_good = 0
        for j in range(at_ns.shape[1]):
            while end < near and prints.time_ns[room.near[end]] < at_ns[row, j]:
                end += 1
            while begin < end and prints.time_ns[room.near[begin]] < at_ns[row, j] - width_ns:
                begin += 1
            if end - begin < rules.min_near or end == begin:
                continue
            # A run that the window's start cuts is made anew; where it ends, a run of the whole begins.
            whole_from = begin
            if room.runs[room.run_of[begin], _BEGIN] != begin:
                _grow(run, prints, room, begin, end, low[row], rules.gap_ns)
                whole_from = run[_END]
                if _qualifies(run, rules):
                    _offer(run, out[row, j])
            while first_good < good and room.runs[room.good[first_good], _BEGIN] < whole_from:
                first_good += 1
            for g in range(first_good, good):
                if room.runs[room.good[g], _END] > end:
                    break
                _offer(room.runs[room.good[g]], out[row, j])
            last = room.runs[room.run_of[end - 1]]
            if last[_END] > end and last[_BEGIN] >= whole_from:
                _grow(run, prints, room, last[_BEGIN], end, low[row], rules.gap_ns)
                if _qualifies(run, rules):
                    _offer(run, out[row, j])
