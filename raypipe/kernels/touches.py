"""Touches of levels by trades: one pass over the trades, one small state per level.

A level is unarmed, or armed from below or above once the price was far enough away; an armed level fires when the
price comes back to it, and is unarmed then. A level that is born, or jumps, takes its state from where the price is:
the price must come to the level, not the level to the price.

Most levels stand still within a minute. Of them the pass knows one price above and one below at which any state
changes, and looks at the levels only when a trade reaches it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._jit import as_input, inlined, kernel

__all__ = [
    "OR_HIGH",
    "OR_LOW",
    "SESSION_HIGH",
    "SESSION_LOW",
    "VWAP",
    "Bands",
    "BarTouches",
    "MovingLevels",
    "StandingLevels",
    "Touches",
    "bar_touches",
    "touches",
]

#: Codes of levels that may move with every trade.
SESSION_HIGH, SESSION_LOW, VWAP, OR_HIGH, OR_LOW = 0, 1, 2, 3, 4
#: Distances compare with this tolerance: a price exactly at a band counts, however its distance was rounded.
TOLERANCE = 1e-9

_MINUTE_NS = 60_000_000_000
_POINTS_PER_TICK = 0.25
_ABSENT, _UNARMED, _BELOW, _ABOVE = 0, 1, 2, 3
#: How much earlier than computed the pass looks at standing levels, points: their exact distance then decides.
_EARLY = 1e-6
_CAPACITY = 1 << 14


class StandingLevels(NamedTuple):
    """Levels that change at minute borders only."""

    first_ns: int
    """Start of the first minute."""
    points: NDArray[np.float64]
    """ES points of each level by minute, NaN while it does not exist; float64 (minutes, levels)."""
    ratio: NDArray[np.float64]
    """ES points per dollar by minute, NaN if unknown: nothing is touched then. float64 (minutes,)."""


class MovingLevels(NamedTuple):
    """Levels that may change with every regular trade, from sums over those before."""

    codes: NDArray[np.int64]
    """Which of them are watched; (moving,)."""
    open_at: int
    """Place of the first regular trade among the trades watched."""
    range_trades: int
    """Regular trades in the opening range."""
    high: NDArray[np.int32]
    """Highest ticks of the first n regular trades at place n - 1."""
    low: NDArray[np.int32]
    lots: NDArray[np.int64]
    worth: NDArray[np.int64]


class Bands(NamedTuple):
    """Distances in dollars: within which a level is touched, and at which it is armed again."""

    touch: float
    rearm: float


class Touches(NamedTuple):
    """Touches in order of trades; (touches,) each."""

    trade: NDArray[np.int64]
    """Place of the touching trade."""
    level: NDArray[np.int64]
    """Column of the standing level; behind those, place among the moving ones."""
    sign: NDArray[np.int8]
    """1 if the price came from below, -1 from above."""
    points: NDArray[np.float64]
    """Value of the level then, ES points."""


class BarTouches(NamedTuple):
    """Touches by bars, in order of bars and levels; (touches,) each."""

    bar: NDArray[np.int64]
    level: NDArray[np.int64]
    sign: NDArray[np.int8]


def touches(
    ts_ns: NDArray[np.int64],
    ticks: NDArray[np.int32],
    standing: StandingLevels,
    moving: MovingLevels,
    bands: Bands,
) -> Touches:
    """Run the state machines of all levels over trades.

    Parameters
    ----------
    ts_ns, ticks
        Trades from the first minute on, ascending in time, none later than the last minute; (trades,). What a level is
        worth at a trade is made of trades of earlier nanoseconds. Of trades at one nanosecond any may arm a level, only
        the first may fire.
    standing, moving
        The levels.
    bands
        Where they are touched and armed. A jump of more than ``rearm`` between two trades is a birth.

    Returns
    -------
    Touches
        Those by regular trades.

    Examples
    --------
    >>> none = np.empty(0, np.int64)
    >>> standing = StandingLevels(0, np.array([[6000.0]]), np.array([10.0]))
    >>> moving = MovingLevels(none, 0, 0, none.astype(np.int32), none.astype(np.int32), none, none)
    >>> found = touches([1, 2, 3, 4], [23_980, 23_990, 23_996, 24_000], standing, moving, Bands(0.1, 0.25))
    >>> found.trade.tolist(), found.sign.tolist()
    ([2], [1])
    """
    trades = as_input(ts_ns, np.int64), as_input(ticks, np.int32)
    fixed = StandingLevels(
        int(standing.first_ns), as_input(standing.points, np.float64), as_input(standing.ratio, np.float64)
    )
    loose = MovingLevels(
        as_input(moving.codes, np.int64),
        int(moving.open_at),
        int(moving.range_trades),
        as_input(moving.high, np.int32),
        as_input(moving.low, np.int32),
        as_input(moving.lots, np.int64),
        as_input(moving.worth, np.int64),
    )
    limits = Bands(float(bands.touch), float(bands.rearm))
    capacity = _CAPACITY
    while True:
        where, sign = np.empty((2, capacity), np.int64), np.empty(capacity, np.int8)
        points = np.empty(capacity)
        count = _touches(*trades, fixed, loose, limits, where, sign, points)
        if count <= capacity:
            return Touches(where[0, :count], where[1, :count], sign[:count], points[:count])
        capacity = count


@kernel
def _touches(
    ts_ns: NDArray[np.int64],
    ticks: NDArray[np.int32],
    standing: StandingLevels,
    moving: MovingLevels,
    bands: Bands,
    where: NDArray[np.int64],
    signs: NDArray[np.int8],
    points: NDArray[np.float64],
) -> int:
    levels, others = standing.points.shape[1], len(moving.codes)
    state = np.zeros(levels + others, np.int8)
    last = np.full(levels + others, np.nan)
    found, first, minute, until_ns = 0, 0, -1, standing.first_ns
    ratio, bottom, top = np.nan, -np.inf, np.inf
    for i in range(len(ts_ns)):
        price = ticks[i] * _POINTS_PER_TICK
        if i > 0 and ts_ns[i] != ts_ns[i - 1]:
            first = i
        fresh = ts_ns[i] >= until_ns
        if fresh:
            minute = (ts_ns[i] - standing.first_ns) // _MINUTE_NS
            until_ns = standing.first_ns + (minute + 1) * _MINUTE_NS
            ratio = standing.ratio[minute]
        if fresh or price >= top or price <= bottom:
            bottom, top = -np.inf, np.inf
            for k in range(levels):
                value = standing.points[minute, k]
                state[k], sign = _step(state[k], last[k], value, price, ratio, first == i, bands)
                last[k] = value
                if state[k] == _BELOW:
                    top = min(top, value - bands.touch * ratio)
                elif state[k] == _ABOVE:
                    bottom = max(bottom, value + bands.touch * ratio)
                elif state[k] == _UNARMED:
                    top = min(top, value + bands.rearm * ratio)
                    bottom = max(bottom, value - bands.rearm * ratio)
                if sign != 0 and i >= moving.open_at:
                    if found < len(signs):
                        where[0, found], where[1, found], signs[found], points[found] = i, k, sign, value
                    found += 1
            bottom, top = bottom + _EARLY, top - _EARLY
        before = first - moving.open_at
        for q in range(others):
            k = levels + q
            value = _moved(moving, moving.codes[q], before)
            state[k], sign = _step(state[k], last[k], value, price, ratio, first == i, bands)
            last[k] = value
            if sign != 0 and i >= moving.open_at:
                if found < len(signs):
                    where[0, found], where[1, found], signs[found], points[found] = i, k, sign, value
                found += 1
    return found


@inlined
def _step(
    state: int, last: float, value: float, price: float, ratio: float, may_fire: bool, bands: Bands
) -> tuple[int, int]:
    """The next state of one level, and the direction in which it fires."""
    distance = (price - value) / ratio
    if np.isnan(distance):
        return _ABSENT, 0
    anew = state == _ABSENT or abs(value - last) / ratio > bands.rearm + TOLERANCE
    if not anew and state != _UNARMED:
        if may_fire and state == _BELOW and distance >= -bands.touch - TOLERANCE:
            return _UNARMED, 1
        if may_fire and state == _ABOVE and distance <= bands.touch + TOLERANCE:
            return _UNARMED, -1
        return state, 0
    if distance <= -bands.rearm + TOLERANCE:
        return _BELOW, 0
    if distance >= bands.rearm - TOLERANCE:
        return _ABOVE, 0
    return _UNARMED, 0


@inlined
def _moved(moving: MovingLevels, code: int, before: int) -> float:
    """A moving level from the first ``before`` regular trades, ES points; NaN without any."""
    if code >= OR_HIGH:
        before = min(before, moving.range_trades)
    if before <= 0:
        return np.nan
    if code == VWAP:
        return float(moving.worth[before - 1] / moving.lots[before - 1] * _POINTS_PER_TICK)
    if code in (SESSION_HIGH, OR_HIGH):
        return float(moving.high[before - 1] * _POINTS_PER_TICK)
    return float(moving.low[before - 1] * _POINTS_PER_TICK)


def bar_touches(
    bars: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    levels: NDArray[np.float64],
    ratio: NDArray[np.float64],
    before: tuple[NDArray[np.float64], NDArray[np.float64]],
    bands: tuple[float, float],
) -> BarTouches:
    """Bars that reach a level and close near it.

    Parameters
    ----------
    bars
        High, low and close in ES points; float64 (bars,) each.
    levels
        ES points of each level, as they were when the bar began, NaN where it did not exist; float64 (bars, levels).
    ratio
        ES points per dollar, NaN if unknown; float64 (bars,).
    before
        Price of the last trade before the bar, and of the last before that at another price; NaN if there is none.
        One of them differs from any level, and tells from where the price came.
    bands
        How far beyond its range a bar touches, and how near it must close; dollars.

    Examples
    --------
    >>> bars = tuple(np.array([value]) for value in (6001.0, 5996.0, 5999.0))
    >>> before = np.array([6000.0]), np.array([5998.0])
    >>> found = bar_touches(bars, np.array([[6000.0, 6010.0]]), np.array([10.0]), before, (0.1, 0.25))
    >>> found.level.tolist(), found.sign.tolist()
    ([0], [1])
    """
    high, low, close = (np.asarray(values)[:, None] for values in bars)
    per_dollar = np.asarray(ratio)[:, None]
    touch, monitor = (band + TOLERANCE for band in bands)
    last, other = (np.asarray(values)[:, None] for values in before)
    came_from = np.where(np.abs(last - levels) > TOLERANCE, last, other)
    # Comparisons with NaN are false: such a level is not touched.
    reached = ((low - levels) / per_dollar <= touch) & ((levels - high) / per_dollar <= touch)
    near = np.abs(close - levels) / per_dollar <= monitor
    bar, level = np.nonzero(reached & near & np.isfinite(came_from))
    sign = np.where(came_from[bar, level] < levels[bar, level], 1, -1)
    return BarTouches(bar, level, sign.astype(np.int8))
