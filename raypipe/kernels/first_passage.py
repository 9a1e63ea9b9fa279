"""Which of two price barriers is touched first after an entry, from the minute bars that follow it.

A bar shows only that a price was reached, not when. Where one bar reaches both barriers, the one that its open has
already passed came first; where the open lies between them the order is unknown, and the adverse one is assumed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._jit import as_input, inlined, kernel

__all__ = [
    "ADVERSE",
    "NO_ENTRY",
    "TARGET",
    "TIMEOUT",
    "Horizons",
    "Passages",
    "PriceBars",
    "entry_rows",
    "first_passages",
    "horizons",
]

_MINUTE_NS = 60_000_000_000
#: Relative distance at which a barrier counts as touched: 7.5 * 1.008 lies above 7.56 in floats.
TOLERANCE = 1e-9
#: What became of an entry.
TARGET, ADVERSE, TIMEOUT, NO_ENTRY = 0, 1, 2, 3


class PriceBars(NamedTuple):
    """Minute bars, ascending within a symbol; (rows,) each, without NaN."""

    start_ns: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]


class Horizons(NamedTuple):
    """The time after each entry, one element per event; without entry NaN, 0 or False."""

    end_ns: NDArray[np.int64]
    """End of the horizon; int64 (events,)."""
    last: NDArray[np.int64]
    """Row behind the last bar that ends by then; int64 (events,)."""
    high: NDArray[np.float64]
    """Highest high of its bars, usd; float64 (events,)."""
    low: NDArray[np.float64]
    """Lowest low of its bars, usd; float64 (events,)."""
    truncated: NDArray[np.bool_]
    """Whether trading ends before the width is over; bool (events,)."""


class Passages(NamedTuple):
    """What was touched first, one element per event."""

    up: NDArray[np.int8]
    """1 if a long position reaches its target first, else 0; -1 without entry. int8 (events,)."""
    down: NDArray[np.int8]
    """The same of a short position."""
    outcome: NDArray[np.int8]
    """`TARGET`, `ADVERSE`, `TIMEOUT` or `NO_ENTRY` of a position in the event's direction; int8 (events,)."""
    exit_price: NDArray[np.float64]
    """Where that position is closed, usd; NaN without entry. float64 (events,)."""
    ambiguous: NDArray[np.bool_]
    """Whether its deciding bar reached both barriers in unknown order; bool (events,)."""
    touch_ns: NDArray[np.int64]
    """End of its deciding bar; -1 if none was touched. int64 (events,)."""


def entry_rows(
    start_ns: NDArray[np.int64],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    decision_ns: NDArray[np.int64],
    delay_ns: int,
    until_ns: int,
) -> NDArray[np.int64]:
    """Find the first bar after each decision.

    Parameters
    ----------
    start_ns
        Start of each minute bar; int64 (rows,).
    begin, end
        Rows of each event's symbol are [begin, end); int64 (events,).
    decision_ns
        Moment of each event; int64 (events,).
    delay_ns
        The bar must start in [decision, decision + delay).
    until_ns
        Bars that start at or after this moment do not count.

    Returns
    -------
    NDArray
        int64 (events,): row of the bar, -1 if there is none.

    Examples
    --------
    >>> start = np.array([0, 60, 600], dtype=np.int64) * 10**9
    >>> zero, three = np.zeros(2, np.int64), np.full(2, 3)
    >>> entry_rows(start, zero, three, np.array([60, 120]) * 10**9, 300 * 10**9, 10**15).tolist()
    [1, -1]
    """
    return _entry_rows(
        as_input(start_ns, np.int64),
        as_input(begin, np.int64),
        as_input(end, np.int64),
        as_input(decision_ns, np.int64),
        delay_ns,
        until_ns,
    )


@kernel
def _entry_rows(
    start_ns: NDArray[np.int64],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    decision_ns: NDArray[np.int64],
    delay_ns: int,
    until_ns: int,
) -> NDArray[np.int64]:
    rows = np.full(len(decision_ns), -1, np.int64)
    for e in range(len(decision_ns)):
        low, high = begin[e], end[e]
        while low < high:
            middle = (low + high) // 2
            if start_ns[middle] < decision_ns[e]:
                low = middle + 1
            else:
                high = middle
        if low < end[e] and start_ns[low] < min(decision_ns[e] + delay_ns, until_ns):
            rows[e] = low
    return rows


def horizons(
    bars: PriceBars, row: NDArray[np.int64], end: NDArray[np.int64], width_ns: int, flat_ns: tuple[int, int]
) -> Horizons:
    """Follow each entry for a time by the clock, however many bars that is.

    Parameters
    ----------
    bars
        The minute bars.
    row
        Row of the entry bar, at whose open the position is taken; -1 for none. int64 (events,).
    end
        Row behind the last bar of the event's symbol; int64 (events,).
    width_ns
        Length of the horizon.
    flat_ns
        Regular close and end of the session: an entry before the first ends there, any other at the second.
    """
    close_ns, ext_end_ns = flat_ns
    return _horizons(_input(bars), as_input(row, np.int64), as_input(end, np.int64), width_ns, close_ns, ext_end_ns)


@kernel
def _horizons(
    bars: PriceBars,
    row: NDArray[np.int64],
    end: NDArray[np.int64],
    width_ns: int,
    close_ns: int,
    ext_end_ns: int,
) -> Horizons:
    events = len(row)
    end_ns, last = np.zeros(events, np.int64), np.zeros(events, np.int64)
    high, low = np.full(events, np.nan), np.full(events, np.nan)
    truncated = np.zeros(events, np.bool_)
    for e in range(events):
        if row[e] < 0:
            continue
        entry_ns = bars.start_ns[row[e]]
        flat = close_ns if entry_ns < close_ns else ext_end_ns
        truncated[e] = entry_ns + width_ns > flat
        end_ns[e] = min(entry_ns + width_ns, flat)
        top, bottom, i = -np.inf, np.inf, row[e]
        while i < end[e] and bars.start_ns[i] + _MINUTE_NS <= end_ns[e]:
            top, bottom = max(top, bars.high[i]), min(bottom, bars.low[i])
            i += 1
        last[e], high[e], low[e] = i, top, bottom
    return Horizons(end_ns, last, high, low, truncated)


def first_passages(
    bars: PriceBars,
    row: NDArray[np.int64],
    last: NDArray[np.int64],
    direction: NDArray[np.int8],
    target: float,
    stop: float,
) -> Passages:
    """Decide each entry by the first bar that touches a barrier.

    Parameters
    ----------
    bars
        The minute bars.
    row
        Row of the entry bar, at whose open the position is taken; -1 for none. int64 (events,).
    last
        Row behind the last bar of the horizon; at least one bar after each entry. int64 (events,).
    direction
        1 for a long position, -1 for a short one; int8 (events,).
    target, stop
        Distance of the barriers from the entry, as a share of it, between 0 and 1.

    Examples
    --------
    >>> prices = np.array([[10, 10, 10], [10, 10.2, 11], [9.9, 9.9, 10], [10.0] * 3])
    >>> bars = PriceBars(np.arange(3) * 60 * 10**9, *prices)
    >>> one = np.array([0]), np.array([3])
    >>> found = first_passages(bars, *one, np.array([1], np.int8), 0.02, 0.02)
    >>> found.outcome[0] == TARGET, found.exit_price[0], found.touch_ns[0] // 10**9
    (np.True_, np.float64(10.2), np.int64(120))
    """
    columns = (as_input(row, np.int64), as_input(last, np.int64), as_input(direction, np.int8))
    return _first_passages(_input(bars), *columns, target, stop)


@kernel
def _first_passages(
    bars: PriceBars,
    row: NDArray[np.int64],
    last: NDArray[np.int64],
    direction: NDArray[np.int8],
    target: float,
    stop: float,
) -> Passages:
    events = len(row)
    up, down = np.full(events, -1, np.int8), np.full(events, -1, np.int8)
    outcome, exit_price = np.full(events, NO_ENTRY, np.int8), np.full(events, np.nan)
    ambiguous, touch_ns = np.zeros(events, np.bool_), np.full(events, -1, np.int64)
    for e in range(events):
        if row[e] < 0:
            continue
        for sign in (1, -1):
            result, price, unsure, i = _decide(bars, row[e], last[e], sign, target, stop)
            if sign > 0:
                up[e] = result == TARGET
            else:
                down[e] = result == TARGET
            if sign == direction[e]:
                outcome[e], exit_price[e], ambiguous[e] = result, price, unsure
                if result != TIMEOUT:
                    touch_ns[e] = bars.start_ns[i] + _MINUTE_NS
    return Passages(up, down, outcome, exit_price, ambiguous, touch_ns)


@inlined
def _decide(
    bars: PriceBars, first: int, last: int, sign: int, target: float, stop: float
) -> tuple[int, float, bool, int]:
    """Outcome, exit price, whether the order was unknown, and the deciding row of one position."""
    entry = bars.open[first]
    goal, limit = entry * (1.0 + sign * target), entry * (1.0 - sign * stop)
    near_goal, near_limit = TOLERANCE * goal, TOLERANCE * limit
    for i in range(first, last):
        best = bars.high[i] if sign > 0 else bars.low[i]
        worst = bars.low[i] if sign > 0 else bars.high[i]
        won, lost = sign * (best - goal) >= -near_goal, sign * (limit - worst) >= -near_limit
        if not (won or lost):
            continue
        opened = bars.open[i]
        unsure = False
        if won and lost:
            won = sign * (opened - goal) >= -near_goal
            unsure = not won and sign * (limit - opened) < -near_limit
        if won:
            return TARGET, (opened if sign * (opened - goal) > 0.0 else goal), False, i
        return ADVERSE, (opened if sign * (limit - opened) > 0.0 else limit), unsure, i
    return TIMEOUT, bars.close[last - 1], False, last - 1


def _input(bars: PriceBars) -> PriceBars:
    start_ns, *prices = bars
    return PriceBars(as_input(start_ns, np.int64), *(as_input(values, np.float64) for values in prices))
