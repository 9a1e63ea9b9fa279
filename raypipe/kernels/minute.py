"""What the minute bars of one session say of each symbol, in one pass over its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._jit import as_input, inlined, kernel
from raypipe.kernels.resample import Ohlcv

__all__ = ["MinuteSummary", "minute_summary"]

_MINUTE_NS = 60_000_000_000
_FIVE_NS, _FIFTEEN_NS = 5 * _MINUTE_NS, 15 * _MINUTE_NS


class MinuteSummary(NamedTuple):
    """One element per symbol; NaN where a value does not exist. float64 (symbols,) unless said.

    Only symbols with a bar in the window have values; `bars` tells which.
    """

    bars: NDArray[np.int64]
    """Bars in the window; int64 (symbols,)."""
    open: NDArray[np.float64]
    """Open of the window's first bar, usd."""
    high: NDArray[np.float64]
    """Highest high of the window, usd."""
    low: NDArray[np.float64]
    """Lowest low of the window, usd."""
    close: NDArray[np.float64]
    """Close of the window's last bar, usd."""
    volume: NDArray[np.float64]
    """Volumes of the window added in order, shares."""
    max_1m_ret: NDArray[np.float64]
    """Largest close / close of the bar before - 1; NaN with one bar."""
    max_5m_ret: NDArray[np.float64]
    """The same against the last close of a bar that started at least 5 minutes before; NaN without such a bar."""
    max_drawdown_5m: NDArray[np.float64]
    """Largest fall of a close below the highest close of the 5 minutes up to it, as a share of that; >= 0."""
    first_5m_high: NDArray[np.float64]
    """Highest high of bars that start within 5 minutes after the regular open, usd."""
    first_5m_low: NDArray[np.float64]
    """Lowest low of them, usd."""
    first_15m_high: NDArray[np.float64]
    """Highest high of bars that start within 15 minutes after the regular open, usd."""
    first_15m_low: NDArray[np.float64]
    """Lowest low of them, usd."""
    rth_open: NDArray[np.float64]
    """Open of the first bar of regular hours, usd."""
    rth_close: NDArray[np.float64]
    """Close of the last bar of regular hours, usd."""

    def where(self, mask: NDArray[np.bool_]) -> MinuteSummary:
        """Of some of the symbols; bool (symbols,)."""
        kept: list[Any] = [values[mask] for values in self]
        return MinuteSummary(*kept)

    @classmethod
    def joined(cls, parts: Sequence[MinuteSummary]) -> MinuteSummary:
        """Of the symbols of all parts, in order."""
        nothing = (np.empty(0, np.int64), *(np.empty(0) for _ in cls._fields[1:]))
        whole: list[Any] = [np.concatenate(values) for values in zip(nothing, *parts, strict=True)]
        return cls(*whole)


def minute_summary(
    start_ns: NDArray[np.int64],
    minutes: Ohlcv,
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    window_ns: tuple[int, int],
    rth_ns: tuple[int, int],
) -> MinuteSummary:
    """Summarise the bars of every symbol.

    Parameters
    ----------
    start_ns
        Start of each minute bar, ascending and distinct within a symbol; int64 (rows,).
    minutes
        The bars, in usd and shares; float64 (rows,) each, without NaN.
    begin, end
        Rows of each symbol are [begin, end); int64 (symbols,).
    window_ns
        Bars that start in [first, second) count; it holds all of ``rth_ns``.
    rth_ns
        Regular open and close.
    """
    bars, found = _summary(
        as_input(start_ns, np.int64),
        Ohlcv(*(as_input(values, np.float64) for values in minutes)),
        as_input(begin, np.int64),
        as_input(end, np.int64),
        window_ns,
        rth_ns,
    )
    return MinuteSummary(bars, *found)


@kernel
def _summary(
    start_ns: NDArray[np.int64],
    minutes: Ohlcv,
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    window_ns: tuple[int, int],
    rth_ns: tuple[int, int],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    symbols = len(begin)
    bars = np.zeros(symbols, np.int64)
    found = np.full((14, symbols), np.nan)  # the fields of MinuteSummary after its first
    for k in range(symbols):
        first, last = begin[k], end[k]
        while first < last and start_ns[first] < window_ns[0]:
            first += 1
        while last > first and start_ns[last - 1] >= window_ns[1]:
            last -= 1
        if first < last:
            bars[k] = last - first
            _whole(minutes, first, last, found[:5, k])
            _moves(start_ns, minutes.close, first, last, found[5:8, k])
            _opening(start_ns, minutes, first, last, rth_ns, found[8:, k])
    return bars, found


@inlined
def _whole(minutes: Ohlcv, first: int, last: int, out: NDArray[np.float64]) -> None:
    """Open, high, low, close and volume of rows [first, last)."""
    high, low, shares = minutes.high[first], minutes.low[first], 0.0
    for i in range(first, last):
        high, low = max(high, minutes.high[i]), min(low, minutes.low[i])
        shares += minutes.volume[i]
    out[0], out[1], out[2], out[3], out[4] = minutes.open[first], high, low, minutes.close[last - 1], shares


@inlined
def _moves(
    start_ns: NDArray[np.int64], close: NDArray[np.float64], first: int, last: int, out: NDArray[np.float64]
) -> None:
    """Largest rise over one bar and over 5 minutes, largest fall within 5 minutes."""
    one, five, fall = -np.inf, -np.inf, 0.0
    old = first  # one more than the last row that is at least 5 minutes old
    for i in range(first, last):
        now, top = close[i], close[i]
        for j in range(i - 1, first - 1, -1):
            if start_ns[j] <= start_ns[i] - _FIVE_NS:
                break
            top = max(top, close[j])
        fall = max(fall, (top - now) / top)
        while start_ns[old] <= start_ns[i] - _FIVE_NS:
            old += 1
        if i > first:
            one = max(one, now / close[i - 1])
        if old > first:
            five = max(five, now / close[old - 1])
    if last - first > 1:
        out[0] = one - 1.0
    if old > first:
        out[1] = five - 1.0
    out[2] = fall


@inlined
def _opening(
    start_ns: NDArray[np.int64],
    minutes: Ohlcv,
    first: int,
    last: int,
    rth_ns: tuple[int, int],
    out: NDArray[np.float64],
) -> None:
    """Extremes of the first 5 and 15 minutes of regular hours, its first open and its last close."""
    begin = first
    while begin < last and start_ns[begin] < rth_ns[0]:
        begin += 1
    end = last
    while end > begin and start_ns[end - 1] >= rth_ns[1]:
        end -= 1
    high, low, i = -np.inf, np.inf, begin
    for part in range(2):
        until_ns = rth_ns[0] + (_FIVE_NS if part == 0 else _FIFTEEN_NS)
        while i < end and start_ns[i] < until_ns:
            high, low = max(high, minutes.high[i]), min(low, minutes.low[i])
            i += 1
        if i > begin:
            out[2 * part], out[2 * part + 1] = high, low
    if begin < end:
        out[4], out[5] = minutes.open[begin], minutes.close[end - 1]
