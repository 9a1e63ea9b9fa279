"""Indicators of daily bars over windows of any length, symbol after symbol: what a search over windows is made of.

The formulas and the order of their operations are those of the technical panel, so at its lengths the bits are the
same. Everything starts at a symbol's first bar: a value depends on that bar's past alone. Rows that come before an
indicator is there are left as they are; where it is undefined it is not finite.

All kernels take ``prices``, float64 (4, bars): high, low and close on the total-return basis, and volume; ``starts``,
int64 (symbols + 1,): where each symbol's bars begin, and the end; lengths in bars; and fill ``out``, float32 (columns,
bars).
"""

from __future__ import annotations

import math

import numpy as np

from raypipe.kernels._jit import kernel
from raypipe.kernels.blocks import block_extremes, block_mean, block_mean_std
from raypipe.kernels.smoothing import ema, wilder

__all__ = ["atr_pct", "bands", "macd_hist_pct", "momentum", "rsi", "stochastic_k", "volatility", "volume_ratio"]

_HIGH, _LOW, _CLOSE, _VOLUME = range(4)
#: Bars of Wilder's recursion that are still marked by its seed, in multiples of its length.
_SEED_ROWS = 7
_NEUTRAL = 50.0
_YEAR = math.sqrt(252.0)
#: Standard deviations between the mean and a band.
_WIDTH = 2.0


@kernel
def rsi(prices: np.ndarray, starts: np.ndarray, length: int, out: np.ndarray) -> None:
    """Wilder's relative strength index, percent; 50 where nothing moved; from bar 7 ``length`` of a symbol on."""
    for s in range(len(starts) - 1):
        at, n = starts[s], starts[s + 1] - starts[s]
        close = prices[_CLOSE, at : at + n]
        gain, loss, up, down = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
        for t in range(1, n):
            change = close[t] - close[t - 1]
            gain[t] = max(change, 0.0)
            loss[t] = max(-change, 0.0)
        wilder(gain, 1, n, length, up)
        wilder(loss, 1, n, length, down)
        for t in range(_SEED_ROWS * length, n):
            both = up[t] + down[t]
            out[0, at + t] = 100.0 * (up[t] / both) if both > 0.0 else _NEUTRAL


@kernel
def atr_pct(prices: np.ndarray, starts: np.ndarray, length: int, out: np.ndarray) -> None:
    """Wilder's average true range / close, from bar 7 ``length`` of a symbol on."""
    for s in range(len(starts) - 1):
        at, n = starts[s], starts[s + 1] - starts[s]
        high, low, close = prices[_HIGH, at : at + n], prices[_LOW, at : at + n], prices[_CLOSE, at : at + n]
        span, mean = np.zeros(n), np.zeros(n)
        for t in range(1, n):
            span[t] = max(high[t], close[t - 1]) - min(low[t], close[t - 1])
        wilder(span, 1, n, length, mean)
        for t in range(_SEED_ROWS * length, n):
            out[0, at + t] = mean[t] / close[t]


@kernel
def bands(prices: np.ndarray, starts: np.ndarray, length: int, out: np.ndarray) -> None:
    """Two rows: where the close stands between the bands (0 at the lower), and their distance / mean.

    Bands are the mean of ``length`` closes and two sample standard deviations on either side.
    """
    for s in range(len(starts) - 1):
        at, n = starts[s], starts[s + 1] - starts[s]
        close = prices[_CLOSE, at : at + n]
        mean, std = np.zeros(n), np.zeros(n)
        block_mean_std(close, 0, n, length, mean, std)
        for t in range(length - 1, n):
            lower, upper = mean[t] - _WIDTH * std[t], mean[t] + _WIDTH * std[t]
            # Of equal closes both are the close, exactly: 0 / 0, which is undefined.
            out[0, at + t] = (close[t] - lower) / (upper - lower)
            out[1, at + t] = (upper - lower) / mean[t]


@kernel
def macd_hist_pct(prices: np.ndarray, starts: np.ndarray, fast: int, slow: int, signal: int, out: np.ndarray) -> None:
    """(Exponential mean of ``fast`` - that of ``slow`` - exponential mean of ``signal`` of these) / close.

    From bar ceil(3.5 ``slow``) + ceil(3.5 ``signal``) of a symbol on; the last mean begins at the first of these.
    """
    begin = (7 * slow + 1) // 2
    first = begin + (7 * signal + 1) // 2
    for s in range(len(starts) - 1):
        at, n = starts[s], starts[s + 1] - starts[s]
        close = prices[_CLOSE, at : at + n]
        quick, steady, line = np.zeros(n), np.zeros(n), np.zeros(n)
        ema(close, 0, n, fast, quick)
        ema(close, 0, n, slow, steady)
        for t in range(begin, n):
            line[t] = quick[t] - steady[t]
        ema(line, begin, n, signal, steady)
        for t in range(first, n):
            out[0, at + t] = (line[t] - steady[t]) / close[t]


@kernel
def momentum(prices: np.ndarray, starts: np.ndarray, length: int, out: np.ndarray) -> None:
    """Return over ``length`` bars."""
    for s in range(len(starts) - 1):
        for t in range(starts[s] + length, starts[s + 1]):
            out[0, t] = prices[_CLOSE, t] / prices[_CLOSE, t - length] - 1.0


@kernel
def volatility(prices: np.ndarray, starts: np.ndarray, length: int, out: np.ndarray) -> None:
    """Sample standard deviation of ``length`` one-bar returns, per year."""
    for s in range(len(starts) - 1):
        at, n = starts[s], starts[s + 1] - starts[s]
        close = prices[_CLOSE, at : at + n]
        returns, mean, std = np.zeros(n), np.zeros(n), np.zeros(n)
        for t in range(1, n):
            returns[t] = close[t] / close[t - 1] - 1.0
        block_mean_std(returns, 1, n, length, mean, std)
        for t in range(length, n):
            out[0, at + t] = _YEAR * std[t]


@kernel
def stochastic_k(prices: np.ndarray, starts: np.ndarray, length: int, out: np.ndarray) -> None:
    """Where the close stands in the range of ``length`` bars, percent; 50 in a flat one."""
    for s in range(len(starts) - 1):
        at, n = starts[s], starts[s + 1] - starts[s]
        close = prices[_CLOSE, at : at + n]
        least, most = np.zeros(n), np.zeros(n)
        block_extremes(prices[_LOW, at : at + n], prices[_HIGH, at : at + n], 0, n, length, least, most)
        for t in range(length - 1, n):
            span = most[t] - least[t]
            out[0, at + t] = 100.0 * ((close[t] - least[t]) / span) if span > 0.0 else _NEUTRAL


@kernel
def volume_ratio(prices: np.ndarray, starts: np.ndarray, length: int, out: np.ndarray) -> None:
    """Volume / mean of ``length`` volumes."""
    for s in range(len(starts) - 1):
        at, n = starts[s], starts[s + 1] - starts[s]
        volume, mean = prices[_VOLUME, at : at + n], np.zeros(n)
        block_mean(volume, 0, n, length, mean)
        for t in range(length - 1, n):
            out[0, at + t] = volume[t] / mean[t]
