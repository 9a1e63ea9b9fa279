"""What was known of a symbol at moments inside a session: one walk over its bars, a note taken at each moment.

A bar is taken in once it has ended, so nothing later than a moment can reach its note.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._jit import as_input, inlined, kernel
from raypipe.kernels.resample import Ohlcv

__all__ = ["HistState", "PriceState", "hist_state", "in_time_order", "price_state"]

_MINUTE_NS = 60_000_000_000
_FIVE_NS, _FIFTEEN_NS, _THIRTY_NS = 5 * _MINUTE_NS, 15 * _MINUTE_NS, 30 * _MINUTE_NS


class PriceState(NamedTuple):
    """Prices and volume so far, one element per moment; NaN where there is none yet. float64 (moments,) each.

    *Moves* are those of bars in the window that `price_state` is given, *regular* is said of bars in regular hours.
    """

    close: NDArray[np.float64]
    """Last close, usd."""
    volume: NDArray[np.float64]
    """Volumes of all bars added in order, shares."""
    rth_open: NDArray[np.float64]
    """Open of the first regular bar, usd."""
    rth_high: NDArray[np.float64]
    """Highest regular high, usd."""
    rth_low: NDArray[np.float64]
    """Lowest regular low, usd."""
    rth_close: NDArray[np.float64]
    """Last regular close, usd."""
    max_1m_ret: NDArray[np.float64]
    """Moves: largest close / close of the bar before - 1."""
    max_5m_ret: NDArray[np.float64]
    """Moves: largest close / last close of a bar that started at least 5 minutes before - 1."""
    max_drawdown_5m: NDArray[np.float64]
    """Moves: largest fall of a close below the highest close of the 5 minutes up to it, as a share of that."""
    first_5m_high: NDArray[np.float64]
    """Highest high of the regular bars that start within 5 minutes after the open, usd; complete when they are over."""
    first_5m_low: NDArray[np.float64]
    """Lowest low of them, usd."""
    first_15m_high: NDArray[np.float64]
    """Highest high of the regular bars that start within 15 minutes after the open, usd."""
    first_15m_low: NDArray[np.float64]
    """Lowest low of them, usd."""
    close_5m_back: NDArray[np.float64]
    """Last close of a bar that ended at least 5 minutes before, usd."""
    close_30m_back: NDArray[np.float64]
    """Last close of a bar that ended at least 30 minutes before, usd."""


_FIELDS = len(PriceState._fields)
_CLOSE, _VOLUME, _OPEN, _HIGH, _LOW, _LAST = range(6)
_ONE, _FIVE, _FALL, _HIGH_5M, _LOW_5M, _HIGH_15M, _LOW_15M, _BACK_5M, _BACK_30M = range(6, _FIELDS)


class HistState(NamedTuple):
    """MACD so far, one element per moment; float64 (moments,) each, counts included, NaN where there is none yet."""

    bps: NDArray[np.float64]
    """hist of the last completed bar in basis points of its close; NaN before bars are seasoned."""
    lowest: NDArray[np.float64]
    """Lowest of these so far."""
    highest: NDArray[np.float64]
    """Highest of these so far."""
    bars: NDArray[np.float64]
    """Completed bars."""
    ups: NDArray[np.float64]
    """Crossings up; one that is itself the moment's event does not count, here and below."""
    downs: NDArray[np.float64]
    """Crossings down."""
    since: NDArray[np.float64]
    """Bars since the last crossing; NaN if there was none."""


def in_time_order(begin: NDArray[np.int64], decision_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Order of moments by symbol, then by time.

    Parameters
    ----------
    begin
        First row of each moment's symbol, a number that grows from symbol to symbol; int64 (moments,).
    decision_ns
        Moments of one session; int64 (moments,).
    """
    if not len(decision_ns):
        return np.empty(0, np.int64)
    # One key sorts faster than two; a session has fewer than 2**17 seconds. Moments of one symbol and second have
    # one note, so their order is free.
    seconds = (decision_ns - decision_ns.min()) // 1_000_000_000
    order: NDArray[np.int64] = np.argsort(begin << 17 | seconds)
    return order


def price_state(
    start_ns: NDArray[np.int64],
    minutes: Ohlcv,
    rows: tuple[NDArray[np.int64], NDArray[np.int64]],
    decision_ns: NDArray[np.int64],
    order: NDArray[np.int64],
    window_ns: tuple[int, int],
    rth_ns: tuple[int, int],
) -> PriceState:
    """Prices and volume as they stood at each moment.

    Parameters
    ----------
    start_ns
        Start of each minute bar, ascending and distinct within a symbol; int64 (rows,).
    minutes
        The bars, in usd and shares; float64 (rows,) each, without NaN.
    rows
        First row of each moment's symbol and the row behind its last; int64 (moments,) each.
    decision_ns
        Moments of one session, in any order; bars that end at or before them count. int64 (moments,).
    order
        Their order by symbol and time, as of `in_time_order`; int64 (moments,).
    window_ns
        Bars that start in [first, second) make the moves.
    rth_ns
        Regular open and close.
    """
    begin, end = (as_input(values, np.int64) for values in rows)
    moments = as_input(decision_ns, np.int64)
    columns = Ohlcv(*(as_input(values, np.float64) for values in minutes))
    starts, sequence = as_input(start_ns, np.int64), as_input(order, np.int64)
    return PriceState(*_price_state(starts, columns, begin, end, moments, sequence, window_ns, rth_ns))


@kernel
def _price_state(
    start_ns: NDArray[np.int64],
    minutes: Ohlcv,
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    decision_ns: NDArray[np.int64],
    order: NDArray[np.int64],
    window_ns: tuple[int, int],
    rth_ns: tuple[int, int],
) -> NDArray[np.float64]:
    found = np.full((_FIELDS, len(order)), np.nan)
    now = np.full(_FIELDS, np.nan)
    symbol, i, first, old, five, thirty = -1, 0, -1, 0, 0, 0
    for e in order:
        if begin[e] == end[e]:
            continue
        if begin[e] != symbol:
            symbol, i, first = begin[e], begin[e], -1
            five, thirty = symbol, symbol
            now[:] = np.nan
        while i < end[e] and start_ns[i] + _MINUTE_NS <= decision_ns[e]:
            now[_CLOSE] = minutes.close[i]
            now[_VOLUME] = minutes.volume[i] + (now[_VOLUME] if i > symbol else 0.0)
            if window_ns[0] <= start_ns[i] < window_ns[1]:
                if first < 0:
                    first, old = i, i
                old = _take_move(now, start_ns, minutes.close, first, i, old)
            if rth_ns[0] <= start_ns[i] < rth_ns[1]:
                _take_regular(now, minutes, i, start_ns[i] - rth_ns[0])
            i += 1
        # Rows in front of which the last bar ended that long ago.
        while five < i and start_ns[five] + _MINUTE_NS <= decision_ns[e] - _FIVE_NS:
            five += 1
        while thirty < five and start_ns[thirty] + _MINUTE_NS <= decision_ns[e] - _THIRTY_NS:
            thirty += 1
        if five > symbol:
            now[_BACK_5M] = minutes.close[five - 1]
        if thirty > symbol:
            now[_BACK_30M] = minutes.close[thirty - 1]
        found[:, e] = now
    return found


@inlined
def _take_move(
    now: NDArray[np.float64], start_ns: NDArray[np.int64], close: NDArray[np.float64], first: int, i: int, old: int
) -> int:
    """Take row i into the moves; ``old`` is one more than the last row that is at least 5 minutes older."""
    while start_ns[old] <= start_ns[i] - _FIVE_NS:
        old += 1
    top = close[i]
    for j in range(old, i):
        top = max(top, close[j])
    # Written so that NaN, which compares with nothing, gives way.
    fall = (top - close[i]) / top
    if not now[_FALL] >= fall:
        now[_FALL] = fall
    if i > first:
        one = close[i] / close[i - 1] - 1.0
        if not now[_ONE] >= one:
            now[_ONE] = one
    if old > first:
        five = close[i] / close[old - 1] - 1.0
        if not now[_FIVE] >= five:
            now[_FIVE] = five
    return old


@inlined
def _take_regular(now: NDArray[np.float64], minutes: Ohlcv, i: int, since_ns: int) -> None:
    """Take row i, which starts ``since_ns`` after the regular open, into the regular prices."""
    high, low = minutes.high[i], minutes.low[i]
    if np.isnan(now[_OPEN]):
        now[_OPEN], now[_HIGH], now[_LOW] = minutes.open[i], high, low
    now[_HIGH], now[_LOW], now[_LAST] = max(now[_HIGH], high), min(now[_LOW], low), minutes.close[i]
    if since_ns < _FIVE_NS:
        now[_HIGH_5M], now[_LOW_5M] = now[_HIGH], now[_LOW]
    if since_ns < _FIFTEEN_NS:
        now[_HIGH_15M], now[_LOW_15M] = now[_HIGH], now[_LOW]


def hist_state(
    end_ns: NDArray[np.int64],
    hist: NDArray[np.float64],
    close: NDArray[np.float64],
    bar_index: NDArray[np.int32],
    cross: NDArray[np.int8],
    offsets: NDArray[np.int64],
    min_bars: int,
    place: NDArray[np.int64],
    decision_ns: NDArray[np.int64],
    order: NDArray[np.int64],
    own: NDArray[np.bool_],
) -> HistState:
    """MACD of one timeframe as it stood at each moment.

    Parameters
    ----------
    end_ns
        End of each bar by the clock, ascending within a symbol; int64 (bars,).
    hist, close
        macd - signal and close of each bar, usd; float64 (bars,), without NaN.
    bar_index
        Number of bars of the recursion before each bar; int32 (bars,).
    cross
        1 crossing up at this bar, -1 down, 0 none; int8 (bars,).
    offsets
        Bars of symbol k are [offsets[k], offsets[k + 1]); int64 (symbols + 1,).
    min_bars
        From which bar on a recursion is seasoned.
    place
        Symbol of each moment, -1 for one without bars; int64 (moments,).
    decision_ns
        Moments of one session, in any order; int64 (moments,).
    order
        Their order by symbol and time, as of `in_time_order`; int64 (moments,).
    own
        Whether a moment is itself the crossing at the last bar; bool (moments,).
    """
    moments, symbols = as_input(decision_ns, np.int64), as_input(place, np.int64)
    bars = (as_input(end_ns), as_input(hist), as_input(close), as_input(bar_index), as_input(cross), as_input(offsets))
    sequence = as_input(order, np.int64)
    return HistState(*_hist_state(*bars, min_bars, symbols, moments, sequence, as_input(own)))


@kernel
def _hist_state(
    end_ns: NDArray[np.int64],
    hist: NDArray[np.float64],
    close: NDArray[np.float64],
    bar_index: NDArray[np.int32],
    cross: NDArray[np.int8],
    offsets: NDArray[np.int64],
    min_bars: int,
    place: NDArray[np.int64],
    decision_ns: NDArray[np.int64],
    order: NDArray[np.int64],
    own: NDArray[np.bool_],
) -> NDArray[np.float64]:
    found = np.full((7, len(order)), np.nan)
    symbol, b, ups, downs, last, before = -1, 0, 0, 0, -1, -1
    now, lowest, highest = np.nan, np.nan, np.nan
    for e in order:
        if place[e] < 0:
            continue
        if place[e] != symbol:
            symbol, b = place[e], offsets[place[e]]
            ups, downs, last, before = 0, 0, -1, -1
            now, lowest, highest = np.nan, np.nan, np.nan
        while b < offsets[symbol + 1] and end_ns[b] <= decision_ns[e]:
            if bar_index[b] >= min_bars - 1:
                now = 1e4 * hist[b] / close[b]
                lowest = now if not lowest <= now else lowest
                highest = now if not highest >= now else highest
            if cross[b] != 0:
                ups, downs = ups + (cross[b] > 0), downs + (cross[b] < 0)
                before, last = last, b
            b += 1
        at = b - 1
        mine = own[e] and last >= 0 and last == at
        latest = before if mine else last
        found[0, e], found[1, e], found[2, e] = now, lowest, highest
        found[3, e] = b - offsets[symbol]
        found[4, e] = ups - (mine and cross[at] > 0)
        found[5, e] = downs - (mine and cross[at] < 0)
        if latest >= 0:
            found[6, e] = at - latest
    return found
