"""The series that the technical panel of a symbol is made of, each in a row of one array."""

from __future__ import annotations

import math

import numpy as np

from raypipe.kernels._jit import kernel

__all__ = ["SERIES", "series"]

#: Rows of the array: total-return prices, volume, dollars traded, returns and their parts, logarithms.
OPEN, HIGH, LOW, CLOSE, VOLUME, DOLLARS, RETURNS, UP, DOWN, FLOW, TYPICAL = range(11)
NIGHT_LOG, DAY_LOG, RANGE, RANGE_SQUARE, GARMAN, AMIHUD, AMIHUD_SEEN = range(11, 18)
VOLUME_LOG, VOLUME_CHANGE, NO_LOG, NO_LOG_CHANGE = range(18, 22)
GAIN, LOSS, TRUE_RANGE, RISE, FALL = range(22, 27)
SERIES = 27
_GARMAN_WEIGHT = 2.0 * math.log(2.0) - 1.0


@kernel
def series(
    first: np.ndarray,
    high: np.ndarray,
    low: np.ndarray,
    close: np.ndarray,
    volume: np.ndarray,
    factor: np.ndarray,
    s: np.ndarray,
) -> None:
    """Fill the series of one symbol; those that need the row before are 0 in the first.

    Parameters
    ----------
    first, high, low, close, volume, factor
        As of `raypipe.kernels.panel.panel`, of one symbol; float64 (rows,).
    s
        float64 (SERIES, at least rows). Logarithms of volumes of 0 are 0, and counted in ``NO_LOG``.
    """
    for t in range(len(close)):
        s[OPEN, t] = first[t] * factor[t]
        s[HIGH, t] = high[t] * factor[t]
        s[LOW, t] = low[t] * factor[t]
        s[CLOSE, t] = close[t] * factor[t]
        s[VOLUME, t] = volume[t]
        s[DOLLARS, t] = close[t] * volume[t]
        s[TYPICAL, t] = volume[t] * (s[HIGH, t] + s[LOW, t] + s[CLOSE, t]) / 3.0
        day, span = math.log(close[t] / first[t]), math.log(high[t] / low[t])
        s[DAY_LOG, t] = day
        s[RANGE, t] = (high[t] - low[t]) / close[t]
        s[RANGE_SQUARE, t] = span * span
        s[GARMAN, t] = 0.5 * span * span - _GARMAN_WEIGHT * day * day
        s[NO_LOG, t] = 0.0 if volume[t] > 0.0 else 1.0
        s[VOLUME_LOG, t] = math.log(volume[t]) if volume[t] > 0.0 else 0.0
    for row in (RETURNS, UP, DOWN, FLOW, NIGHT_LOG, AMIHUD, AMIHUD_SEEN, VOLUME_CHANGE, NO_LOG_CHANGE):
        s[row, 0] = 0.0
    for row in (GAIN, LOSS, TRUE_RANGE, RISE, FALL):
        s[row, 0] = 0.0
    _changes(len(close), s)


@kernel
def _changes(n: int, s: np.ndarray) -> None:
    for t in range(1, n):
        before = s[CLOSE, t - 1]
        r = s[CLOSE, t] / before - 1.0
        s[RETURNS, t] = r
        s[UP, t] = 1.0 if r > 0.0 else 0.0
        s[DOWN, t] = r * r if r < 0.0 else 0.0
        s[FLOW, t] = s[VOLUME, t] if r > 0.0 else -s[VOLUME, t] if r < 0.0 else 0.0
        s[NIGHT_LOG, t] = math.log(s[OPEN, t] / before)
        traded = s[DOLLARS, t] > 0.0
        s[AMIHUD_SEEN, t] = 1.0 if traded else 0.0
        s[AMIHUD, t] = abs(r) / s[DOLLARS, t] if traded else 0.0
        undefined = s[NO_LOG, t] + s[NO_LOG, t - 1] > 0.0
        s[NO_LOG_CHANGE, t] = 1.0 if undefined else 0.0
        s[VOLUME_CHANGE, t] = 0.0 if undefined else s[VOLUME_LOG, t] - s[VOLUME_LOG, t - 1]
        change = s[CLOSE, t] - before
        s[GAIN, t] = max(change, 0.0)
        s[LOSS, t] = max(-change, 0.0)
        s[TRUE_RANGE, t] = max(s[HIGH, t], before) - min(s[LOW, t], before)
        rise, fall = s[HIGH, t] - s[HIGH, t - 1], s[LOW, t - 1] - s[LOW, t]
        s[RISE, t] = rise if rise > 0.0 and rise > fall else 0.0
        s[FALL, t] = fall if fall > 0.0 and fall > rise else 0.0
