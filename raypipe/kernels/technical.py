"""Day indicators of many symbols, each over the symbol's own rows in a window of sessions.

Bars come on [session, symbol] grids. A symbol's rows are packed together, put on the share basis of the session that
asks, and handed to the kernels of `rolling` and `oscillators`. Sessions between two splits share one basis, and so
share all of that work; across a split it is done again.
"""

from __future__ import annotations

import math

import numpy as np

from raypipe.kernels._jit import kernel
from raypipe.kernels.oscillators import MOVES, moves, stochastic, wilder_windows
from raypipe.kernels.rolling import LANES, trailing_mean, trailing_std, trailing_sum

__all__ = ["INDICATORS", "technical"]

#: What is computed, in order, each with the index of its first defined row in a window.
INDICATORS = {
    "rsi_14": 14,
    "adx_14": 27,
    "atr_14": 14,
    "obv": 0,
    "stoch_k": 13,
    "stoch_d": 15,
    "roc_10": 10,
    "sma_20": 19,
    "std_20": 19,
    "sma_50": 49,
    "sma_200": 199,
    "vwap": 19,
    "hist_vol_20": 20,
}
_FIRST_DEFINED = np.array(list(INDICATORS.values()))
_RSI, _STOCH_K, _STOCH_D, _ROC, _SMA_20, _STD_20, _SMA_50, _SMA_200, _VWAP, _HIST_VOL = 0, 4, 5, 6, 7, 8, 9, 10, 11, 12
_PACKED = 4
_YEAR = 252.0


@kernel
def technical(
    high: np.ndarray,
    low: np.ndarray,
    close: np.ndarray,
    volume: np.ndarray,
    ratios: np.ndarray,
    targets: np.ndarray,
    places: np.ndarray,
    memory: int,
    out: np.ndarray,
) -> None:
    """Compute the indicators of every target session and symbol.

    Parameters
    ----------
    high, low, close, volume
        float64 (sessions, symbols); NaN in all of them where a symbol has no row.
    ratios
        float64 (sessions, symbols): ratio of the split whose ex-session a row is, else 1.
    targets
        int64 (targets,): grid rows wanted, ascending.
    places
        int64 (targets, symbols): column of ``out`` for each, -1 where none is wanted. There must be a row.
    memory
        Sessions that a window spans, the target's own included.
    out
        float64 (indicators, rows): filled in the order of `INDICATORS`; NaN where undefined.
    """
    sessions, symbols = close.shape
    bars = np.zeros((_PACKED, sessions + LANES))
    rebased = np.zeros((_PACKED, sessions + LANES))
    changes = np.zeros((len(MOVES), sessions + LANES))
    found = np.zeros((len(_FIRST_DEFINED), sessions + LANES))
    when = np.zeros(sessions, np.int64)
    first, last, place = (
        np.zeros(len(targets), np.int64),
        np.zeros(len(targets), np.int64),
        np.zeros(len(targets), np.int64),
    )
    for symbol in range(symbols):
        rows = _pack(high, low, close, volume, symbol, when, bars)
        windows = _windows(when[:rows], targets, places, symbol, memory, first, last, place)
        start = 0
        while start < windows:
            stop = _same_basis(ratios, symbol, when, last, start, windows)
            _rebase(bars, ratios, symbol, when, first[start], last[stop - 1], rebased)
            _indicators(rebased, first[start:stop], last[start:stop], changes, found)
            _store(found, first[start:stop], last[start:stop], place[start:stop], out)
            start = stop


@kernel
def _pack(
    high: np.ndarray,
    low: np.ndarray,
    close: np.ndarray,
    volume: np.ndarray,
    symbol: int,
    when: np.ndarray,
    bars: np.ndarray,
) -> int:
    """Copy a symbol's rows one behind the other; their grid rows go to ``when``. Returns their number."""
    rows = 0
    for session in range(len(close)):
        if not math.isnan(close[session, symbol]):
            when[rows] = session
            bars[0, rows] = high[session, symbol]
            bars[1, rows] = low[session, symbol]
            bars[2, rows] = close[session, symbol]
            bars[3, rows] = volume[session, symbol]
            rows += 1
    return rows


@kernel
def _windows(
    when: np.ndarray,
    targets: np.ndarray,
    places: np.ndarray,
    symbol: int,
    memory: int,
    first: np.ndarray,
    last: np.ndarray,
    place: np.ndarray,
) -> int:
    """First and last packed row of each target's window, and where its values go. Returns their number."""
    windows = begin = end = 0
    for target in range(len(targets)):
        if places[target, symbol] < 0:
            continue
        while when[end] < targets[target]:
            end += 1
        while when[begin] <= targets[target] - memory:
            begin += 1
        first[windows] = begin
        last[windows] = end
        place[windows] = places[target, symbol]
        windows += 1
    return windows


@kernel
def _same_basis(ratios: np.ndarray, symbol: int, when: np.ndarray, last: np.ndarray, start: int, windows: int) -> int:
    """End of the run of windows, from ``start`` on, between whose last rows there is no split."""
    for window in range(start + 1, windows):
        for session in range(when[last[window - 1]] + 1, when[last[window]] + 1):
            if ratios[session, symbol] != 1.0:
                return window
    return windows


@kernel
def _rebase(
    bars: np.ndarray, ratios: np.ndarray, symbol: int, when: np.ndarray, first: int, last: int, out: np.ndarray
) -> None:
    """Put the rows first..last on the basis of the last; the ratios are multiplied backward from it."""
    basis = 1.0
    session = when[last]
    for i in range(last, first - 1, -1):
        while session > when[i]:
            basis *= ratios[session, symbol]
            session -= 1
        out[0, i] = bars[0, i] / basis
        out[1, i] = bars[1, i] / basis
        out[2, i] = bars[2, i] / basis
        out[3, i] = bars[3, i] * basis


@kernel
def _indicators(bars: np.ndarray, first: np.ndarray, last: np.ndarray, changes: np.ndarray, found: np.ndarray) -> None:
    """All indicators at the last rows of windows on one basis; rows too short for an indicator get anything."""
    high, low, close, volume = bars[0], bars[1], bars[2], bars[3]
    oldest, begin, end = first[0], last[0], last[-1] + 1
    moves(high, low, close, volume, oldest + 1, end, changes)
    wilder_windows(changes, first, last, found[_RSI : _RSI + 4])
    stochastic(high, low, close, max(begin - 2, oldest + 13), end, 14, found[_STOCH_K])
    trailing_mean(found[_STOCH_K], max(begin, oldest + 15), end, 3, found[_STOCH_D])
    for i in range(max(begin, oldest + 10), end):
        found[_ROC, i] = 100.0 * (close[i] / close[i - 10] - 1.0)
    trailing_mean(close, max(begin, oldest + 19), end, 20, found[_SMA_20])
    trailing_std(close, max(begin, oldest + 19), end, 20, 0, found[_STD_20])
    trailing_mean(close, max(begin, oldest + 49), end, 50, found[_SMA_50])
    trailing_mean(close, max(begin, oldest + 199), end, 200, found[_SMA_200])
    # The changes have served: their rows are free.
    _vwap(high, low, close, volume, max(begin, oldest + 19), end, changes, found[_VWAP])
    _hist_vol(close, max(begin, oldest + 20), end, changes[0], found[_HIST_VOL])


@kernel
def _vwap(
    high: np.ndarray,
    low: np.ndarray,
    close: np.ndarray,
    volume: np.ndarray,
    begin: int,
    end: int,
    scratch: np.ndarray,
    out: np.ndarray,
) -> None:
    """Mean typical price of 20 rows, weighted by volume; NaN without volume."""
    for i in range(begin - 19, end):
        scratch[0, i] = (high[i] + low[i] + close[i]) / 3.0 * volume[i]
    trailing_sum(scratch[0], begin, end, 20, scratch[1])
    trailing_sum(volume, begin, end, 20, scratch[2])
    for i in range(begin, end):
        out[i] = scratch[1, i] / scratch[2, i] if scratch[2, i] > 0.0 else math.nan


@kernel
def _hist_vol(close: np.ndarray, begin: int, end: int, scratch: np.ndarray, out: np.ndarray) -> None:
    """Sample standard deviation of 20 log returns, per year."""
    for i in range(begin - 19, end):
        scratch[i] = math.log(close[i] / close[i - 1])
    trailing_std(scratch, begin, end, 20, 1, out)
    for i in range(begin, end):
        out[i] *= math.sqrt(_YEAR)


@kernel
def _store(found: np.ndarray, first: np.ndarray, last: np.ndarray, place: np.ndarray, out: np.ndarray) -> None:
    for window in range(len(last)):
        age = last[window] - first[window]
        for indicator in range(len(found)):
            defined = age >= _FIRST_DEFINED[indicator]
            out[indicator, place[window]] = found[indicator, last[window]] if defined else math.nan
