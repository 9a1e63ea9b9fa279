"""MACD over bars of many symbols: the one recursion behind session features, stored bars and events.

``e += alpha * (close - e)`` for both averages, alpha = 2 / (n + 1), seeded with the first close; the signal line in the
same way over macd, seeded with 0. Written so, a flat price leaves every line exactly where it is; the textbook form
``alpha * close + (1 - alpha) * e`` rounds, and invents crossings.

A bar is *seasoned* when it is the ``min_bars``-th or later of its recursion. A crossing at a bar needs it and the bar
before seasoned: up if hist goes from <= 0 to > 0, down if from >= 0 to < 0; abs(hist) <= 1e-12 * close counts as 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._jit import as_input, inlined, kernel
from raypipe.kernels.resample import Buckets, buckets_of

__all__ = [
    "HistSummary",
    "MacdSeries",
    "MacdState",
    "Smoothing",
    "fresh_state",
    "hist_summary",
    "macd_of_minutes",
    "macd_series",
]

#: Share of the close below which hist counts as zero.
FLAT = 1e-12


class Smoothing(NamedTuple):
    """The constants of the recursion, in bars."""

    fast: int = 12
    slow: int = 26
    signal: int = 9
    min_bars: int = 34


class MacdState(NamedTuple):
    """Where a recursion stands after its last bar, one element per symbol; a symbol without bars has ``bars`` 0."""

    fast: NDArray[np.float64]
    """Fast average of the close, usd; NaN without bars. float64 (symbols,)."""
    slow: NDArray[np.float64]
    """Slow average of the close, usd; NaN without bars. float64 (symbols,)."""
    signal: NDArray[np.float64]
    """Signal line, usd; NaN without bars. float64 (symbols,)."""
    close: NDArray[np.float64]
    """Close of the last bar, usd; NaN without bars. float64 (symbols,)."""
    bars: NDArray[np.int64]
    """Bars so far; int64 (symbols,)."""


class MacdSeries(NamedTuple):
    """The lines at each bar, in the order of the bars given, and where they start and end."""

    macd: NDArray[np.float64]
    """Fast less slow average, usd; float64 (bars,)."""
    signal: NDArray[np.float64]
    """Average of macd, usd; float64 (bars,)."""
    hist: NDArray[np.float64]
    """macd - signal, usd, as computed: the tolerance of crossings is not applied. float64 (bars,)."""
    hist_before: NDArray[np.float64]
    """hist of the bar before; NaN where the recursion has none. float64 (bars,)."""
    bar_index: NDArray[np.int32]
    """Number of bars of the recursion before this one; int32 (bars,)."""
    cross: NDArray[np.int8]
    """1 crossing up at this bar, -1 down, 0 none; int8 (bars,)."""
    state: MacdState
    """Where each symbol's recursion stands after its last bar."""

    def seasoned(self, min_bars: int) -> NDArray[np.bool_]:
        """Which bars are seasoned; bool (bars,)."""
        return np.greater_equal(self.bar_index, min_bars - 1)


class HistSummary(NamedTuple):
    """hist of a symbol's bars in short, one element per symbol."""

    lowest: NDArray[np.float64]
    """Lowest hist of seasoned bars; NaN without any. float64 (symbols,)."""
    highest: NDArray[np.float64]
    """Highest hist of seasoned bars; NaN without any. float64 (symbols,)."""
    ups: NDArray[np.int32]
    """Crossings up; int32 (symbols,)."""
    downs: NDArray[np.int32]
    """Crossings down; int32 (symbols,)."""


def fresh_state(symbols: int) -> MacdState:
    """The state of symbols that have had no bar."""
    nothing = np.full(symbols, np.nan)
    return MacdState(nothing, nothing, nothing, nothing, np.zeros(symbols, np.int64))


def macd_series(
    close: NDArray[np.float64],
    offsets: NDArray[np.int64],
    smoothing: Smoothing,
    state: MacdState | None = None,
) -> MacdSeries:
    """Run the recursion over the bars of every symbol.

    Parameters
    ----------
    close
        Close of each bar in usd, one symbol after the other; float64 (bars,), without NaN.
    offsets
        Bars of symbol k are [offsets[k], offsets[k + 1]); int64 (symbols + 1,).
    smoothing
        Its constants.
    state
        Where each symbol's recursion stands; None starts all of them afresh.

    Examples
    --------
    >>> flat = macd_series(np.full(40, 10.1), np.array([0, 40]), Smoothing())
    >>> bool((flat.hist == 0).all()), int(np.abs(flat.cross).sum())
    (True, 0)
    """
    before = fresh_state(len(offsets) - 1) if state is None else state
    fast, slow, signal = (2.0 / (bars + 1.0) for bars in smoothing[:3])
    return _series(
        as_input(close, np.float64),
        as_input(offsets, np.int64),
        (fast, slow, signal),
        smoothing.min_bars,
        MacdState(*(as_input(values) for values in before)),
    )


def macd_of_minutes(
    start_ns: NDArray[np.int64],
    close: NDArray[np.float64],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    window_ns: tuple[int, int],
    width_ns: int,
    smoothing: Smoothing,
    state: MacdState | None = None,
) -> tuple[Buckets, MacdSeries]:
    """Cut the minute bars of every symbol into bars of one width and run the recursion over their closes.

    Parameters
    ----------
    start_ns, begin, end, window_ns, width_ns
        As of :func:`~raypipe.kernels.resample.buckets_of`.
    close
        Close of each minute bar in usd; float64 (rows,), without NaN.
    smoothing, state
        As of :func:`macd_series`.
    """
    bars = buckets_of(start_ns, begin, end, window_ns, width_ns)
    return bars, macd_series(close[bars.tail - 1], bars.offsets, smoothing, state)


@inlined
def _sign(hist: float, close: float) -> int:
    if abs(hist) <= FLAT * close:
        return 0
    return 1 if hist > 0.0 else -1


@kernel
def _series(
    close: NDArray[np.float64],
    offsets: NDArray[np.int64],
    alphas: tuple[float, float, float],
    min_bars: int,
    state: MacdState,
) -> MacdSeries:
    a_fast, a_slow, a_signal = alphas
    macd, signal, hist = np.empty(len(close)), np.empty(len(close)), np.empty(len(close))
    hist_before, bar_index = np.empty(len(close)), np.empty(len(close), np.int32)
    cross = np.zeros(len(close), np.int8)
    end = MacdState(state.fast.copy(), state.slow.copy(), state.signal.copy(), state.close.copy(), state.bars.copy())
    for k in range(len(offsets) - 1):
        first, last, seen = offsets[k], offsets[k + 1], state.bars[k]
        if first == last:
            continue
        # The first bar of all: averages that equal its close are not moved by it.
        fast, slow, line, before, sign = close[first], close[first], 0.0, np.nan, 0
        if seen > 0:
            fast, slow, line = state.fast[k], state.slow[k], state.signal[k]
            before = (fast - slow) - line
            sign = _sign(before, state.close[k])
        for i in range(first, last):
            fast += a_fast * (close[i] - fast)
            slow += a_slow * (close[i] - slow)
            gap = fast - slow
            line += a_signal * (gap - line)
            now = gap - line
            macd[i], signal[i], hist[i], hist_before[i], bar_index[i] = gap, line, now, before, seen
            turn = _sign(now, close[i])
            if seen >= min_bars and turn != 0 and turn * sign <= 0:
                cross[i] = turn
            before, sign = now, turn
            seen += 1
        end.fast[k], end.slow[k], end.signal[k], end.close[k], end.bars[k] = fast, slow, line, close[last - 1], seen
    return MacdSeries(macd, signal, hist, hist_before, bar_index, cross, end)


def hist_summary(series: MacdSeries, offsets: NDArray[np.int64], min_bars: int) -> HistSummary:
    """Extremes of hist over seasoned bars, and the number of crossings, of every symbol.

    Parameters
    ----------
    series
        The lines.
    offsets
        Bars of symbol k are [offsets[k], offsets[k + 1]); int64 (symbols + 1,).
    min_bars
        From which bar on a recursion is seasoned.
    """
    hist, bar_index, cross = (as_input(values) for values in (series.hist, series.bar_index, series.cross))
    return _summary(hist, bar_index, cross, as_input(offsets, np.int64), min_bars)


@kernel
def _summary(
    hist: NDArray[np.float64],
    bar_index: NDArray[np.int32],
    cross: NDArray[np.int8],
    offsets: NDArray[np.int64],
    min_bars: int,
) -> HistSummary:
    symbols = len(offsets) - 1
    lowest, highest = np.full(symbols, np.nan), np.full(symbols, np.nan)
    ups, downs = np.zeros(symbols, np.int32), np.zeros(symbols, np.int32)
    for k in range(symbols):
        low, high = np.inf, -np.inf
        for i in range(offsets[k], offsets[k + 1]):
            if bar_index[i] >= min_bars - 1:
                low, high = min(low, hist[i]), max(high, hist[i])
            if cross[i] > 0:
                ups[k] += 1
            elif cross[i] < 0:
                downs[k] += 1
        if low <= high:
            lowest[k], highest[k] = low, high
    return HistSummary(lowest, highest, ups, downs)
