"""The first 41 columns of the technical panel, and those of Wilder's recursions: momentum, means and oscillators."""

from __future__ import annotations

import numpy as np

from raypipe.kernels._jit import kernel
from raypipe.kernels._panel_series import CLOSE, FALL, GAIN, HIGH, LOSS, LOW, RISE, TRUE_RANGE
from raypipe.kernels.blocks import block_extremes, block_mean
from raypipe.kernels.smoothing import ema, wilder

__all__ = ["LOOKBACKS", "MEANS", "oscillators", "trend"]

LOOKBACKS = (1, 5, 10, 20, 50, 100)
MEANS = (5, 10, 20, 50, 100, 200)
# Columns, as `raypipe.kernels.panel` orders them.
_LONG, _CONSENSUS, _DIST_SMA, _DIST_EMA, _SMA_RATIO, _MACD, _RSI, _STOCHASTIC, _ADX, _ATR = (
    *(6, 10, 13, 19, 22, 26, 29, 31),
    *(37, 48),
)
_MONTH, _HALF_YEAR, _YEAR = 21, 126, 252
#: Rows of a recursion that are still marked by its seed, in multiples of its length.
_SEED_ROWS = 7
_EMAS, _EMA_ROWS = (12, 26, 50), (42, 91, 175)
_SIGNAL, _SIGNAL_ROWS = 9, 32
_LENGTHS = (14, 28)
_NEUTRAL = 50.0


@kernel
def trend(s: np.ndarray, w: np.ndarray, n: int, at: int, out: np.ndarray) -> None:
    """Momentum and distances from means.

    Parameters
    ----------
    s
        The series of a symbol, as of `raypipe.kernels._panel_series.series`.
    w
        Scratch, float64 (at least 7, as many as ``s``).
    n, at
        Rows of the symbol, and where they start in ``out``.
    out
        As of `raypipe.kernels.panel.panel`.
    """
    close = s[CLOSE]
    for j in range(len(LOOKBACKS)):
        for t in range(LOOKBACKS[j], n):
            out[j, at + t] = close[t] / close[t - LOOKBACKS[j]] - 1.0
    for t in range(_HALF_YEAR, n):
        out[_LONG, at + t] = close[t - _MONTH] / close[t - _HALF_YEAR] - 1.0
    for t in range(_YEAR, n):
        out[_LONG + 1, at + t] = close[t - _MONTH] / close[t - _YEAR] - 1.0
    for t in range(60, n):
        c = close[t]
        rising = (1.0 if c > close[t - 5] else 0.0) + (1.0 if c > close[t - 20] else 0.0)
        out[_CONSENSUS, at + t] = rising + (1.0 if c > close[t - 60] else 0.0)
    for j in range(len(MEANS)):
        block_mean(close, 0, n, MEANS[j], w[j])
        for t in range(MEANS[j] - 1, n):
            out[_DIST_SMA + j, at + t] = close[t] / w[j, t] - 1.0
    for t in range(49, n):
        ratio = w[2, t] / w[3, t] - 1.0
        out[_SMA_RATIO, at + t] = ratio
        out[_SMA_RATIO + 2, at + t] = abs(ratio)
    for t in range(199, n):
        out[_SMA_RATIO + 1, at + t] = w[3, t] / w[5, t] - 1.0
        out[_SMA_RATIO + 3, at + t] = 1.0 if close[t] > w[5, t] else 0.0
    _exponential(close, w, n, at, out)


@kernel
def _exponential(close: np.ndarray, w: np.ndarray, n: int, at: int, out: np.ndarray) -> None:
    for j in range(len(_EMAS)):
        ema(close, 0, n, _EMAS[j], w[j])
        for t in range(_EMA_ROWS[j], n):
            out[_DIST_EMA + j, at + t] = close[t] / w[j, t] - 1.0
    begin = _EMA_ROWS[1]
    for t in range(begin, n):
        w[3, t] = w[0, t] - w[1, t]
        out[_MACD, at + t] = w[3, t] / close[t]
    ema(w[3], begin, n, _SIGNAL, w[4])
    for t in range(begin + _SIGNAL_ROWS, n):
        out[_MACD + 1, at + t] = w[4, t] / close[t]
        out[_MACD + 2, at + t] = (w[3, t] - w[4, t]) / close[t]


@kernel
def oscillators(s: np.ndarray, w: np.ndarray, n: int, at: int, out: np.ndarray) -> None:
    """RSI, stochastics, ADX and ATR; parameters as of `trend`."""
    close = s[CLOSE]
    for j in range(len(_LENGTHS)):
        length = _LENGTHS[j]
        wilder(s[GAIN], 1, n, length, w[0])
        wilder(s[LOSS], 1, n, length, w[1])
        wilder(s[TRUE_RANGE], 1, n, length, w[2])
        for t in range(_SEED_ROWS * length, n):
            both = w[0, t] + w[1, t]
            out[_RSI + j, at + t] = 100.0 * (w[0, t] / both) if both > 0.0 else _NEUTRAL
            out[_ATR + j, at + t] = w[2, t] / close[t]
        block_extremes(s[LOW], s[HIGH], 0, n, length, w[0], w[1])
        for t in range(length - 1, n):
            span = w[1, t] - w[0, t]
            w[2, t] = 100.0 * ((close[t] - w[0, t]) / span) if span > 0.0 else _NEUTRAL
            out[_STOCHASTIC + j, at + t] = w[2, t]
        for t in range(length + 1, n):
            out[_STOCHASTIC + 2 + j, at + t] = (w[2, t] + w[2, t - 1] + w[2, t - 2]) / 3.0
    _direction(s, w, n, at, out)


@kernel
def _direction(s: np.ndarray, w: np.ndarray, n: int, at: int, out: np.ndarray) -> None:
    """Wilder's average directional index; a row without any movement counts 0."""
    length = _LENGTHS[0]
    begin = _SEED_ROWS * length
    wilder(s[RISE], 1, n, length, w[0])
    wilder(s[FALL], 1, n, length, w[1])
    for t in range(begin, n):
        # Both are over the same true range, which cancels.
        both = w[0, t] + w[1, t]
        w[2, t] = 100.0 * (abs(w[0, t] - w[1, t]) / both) if both > 0.0 else 0.0
    wilder(w[2], begin, n, length, w[3])
    for t in range(begin + _SEED_ROWS * length, n):
        out[_ADX, at + t] = w[3, t]
