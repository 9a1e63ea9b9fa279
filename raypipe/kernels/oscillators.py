"""Wilder's recursions, each restarted at the first row of its own window.

A smoothed value usually remembers every row since the file began. Here it remembers a window: the recursion is seeded
at the window's first row and run to its last. That is some 260 steps per value, and each waits for the one before; so
the recursions of `LANES` windows run side by side, and the processor has always something to do.

Every recursion is kept as a sum, ``s <- keep * s + x``, with keep 1 while the seed is summed and 13/14 from then on:
the seed needs no pass of its own. A mean of 14 is s / 14.
"""

from __future__ import annotations

import numpy as np

from raypipe.kernels._jit import kernel
from raypipe.kernels.rolling import LANES, trailing_extremes

__all__ = ["MOVES", "moves", "stochastic", "wilder_windows"]

#: What a row adds to the recursions; the rows of the array that `moves` fills.
MOVES = ("gain", "loss", "true_range", "rise", "fall", "flow")

_KEEP = 13.0 / 14.0
#: Rows after the window's first at which the seeds are complete: of the means, of the sums of directional movement,
#: and of the mean of their index.
_MEAN, _SUM, _INDEX = 14, 13, 27
# Places in the state of `wilder_windows`, LANES entries each. One flat array with fixed distances: of several arrays
# the compiler cannot know that they do not overlap, and falls back to one lane at a time.
_GAIN, _LOSS, _RANGE, _RISE, _FALL, _DX, _FLOW = 0, LANES, 2 * LANES, 3 * LANES, 4 * LANES, 5 * LANES, 6 * LANES
_KEEP_MEAN, _KEEP_SUM, _KEEP_DX = 7 * LANES, 8 * LANES, 9 * LANES
_STATE = 10 * LANES
_NEUTRAL = 50.0


@kernel
def moves(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray, begin: int, end: int, out: np.ndarray
) -> None:
    """What each row adds to the recursions, from the row and the one before it.

    Parameters
    ----------
    high, low, close, volume
        float64 (rows,), finite.
    begin, end
        Half-open range of rows wanted; ``begin`` >= 1.
    out
        float64 (6, rows), filled in ``[begin, end)``: in the order of `MOVES` the gain and the loss of the close (both
        >= 0), the true range, the directional movements up and down (at most one is not 0), and the volume with the
        sign of the close's change.
    """
    for i in range(begin, end):
        before = close[i - 1]
        change = close[i] - before
        out[0, i] = change if change > 0.0 else 0.0
        out[1, i] = -change if change < 0.0 else 0.0
        out[2, i] = max(high[i], before) - min(low[i], before)
        rise = high[i] - high[i - 1]
        fall = low[i - 1] - low[i]
        out[3, i] = rise if rise > 0.0 and rise > fall else 0.0
        out[4, i] = fall if fall > 0.0 and fall > rise else 0.0
        out[5, i] = volume[i] if change > 0.0 else -volume[i] if change < 0.0 else 0.0


@kernel
def wilder_windows(changes: np.ndarray, first: np.ndarray, last: np.ndarray, out: np.ndarray) -> None:
    """RSI, ADX and ATR of 14 and on-balance volume, each over its own window.

    Parameters
    ----------
    changes
        float64 (6, rows) as of `moves`, finite. A window's first row only marks the start: nothing is read of it.
    first, last
        int64 (windows,): first and last row of each window, both ascending; the last rows are distinct.
    out
        float64 (4, rows): RSI [0..100], ADX [0..100], ATR and the sum of signed volume, filled at each window's last
        row. Over fewer than 15 rows (ADX: 28) they are not complete and mean nothing; the sum counts from 0 at the
        first row.
    """
    state = np.zeros(_STATE)
    for start in range(0, len(first), LANES):
        stop = min(start + LANES, len(first))
        _block(changes, first[start:stop], last[start:stop], state, out)


@kernel
def _block(changes: np.ndarray, first: np.ndarray, last: np.ndarray, s: np.ndarray, out: np.ndarray) -> None:
    """Up to `LANES` windows. A lane runs before its window starts and after it ended too: that costs nothing."""
    s[:] = 0.0
    started = summed = seeded = indexed = done = 0
    for i in range(first[0], last[-1] + 1):
        _step(changes[0, i], changes[1, i], changes[2, i], changes[3, i], changes[4, i], changes[5, i], s)
        while started < len(first) and first[started] == i:
            for quantity in (_GAIN, _LOSS, _RANGE, _RISE, _FALL, _FLOW):
                s[quantity + started] = 0.0
            s[_KEEP_MEAN + started] = s[_KEEP_SUM + started] = 1.0
            started += 1
        while summed < started and first[summed] + _SUM == i:
            s[_KEEP_SUM + summed] = _KEEP
            s[_DX + summed] = 0.0
            s[_KEEP_DX + summed] = 1.0
            summed += 1
        while seeded < started and first[seeded] + _MEAN == i:
            s[_KEEP_MEAN + seeded] = _KEEP
            seeded += 1
        while indexed < started and first[indexed] + _INDEX == i:
            s[_KEEP_DX + indexed] = _KEEP
            indexed += 1
        while done < started and last[done] == i:
            both = s[_GAIN + done] + s[_LOSS + done]
            out[0, i] = 100.0 * (s[_GAIN + done] / both) if both > 0.0 else _NEUTRAL
            out[1, i] = 100.0 * (s[_DX + done] / _MEAN)
            out[2, i] = s[_RANGE + done] / _MEAN
            out[3, i] = s[_FLOW + done]
            done += 1


@kernel
def _step(gain: float, loss: float, true_range: float, rise: float, fall: float, flow: float, s: np.ndarray) -> None:
    for k in range(LANES):
        s[_GAIN + k] = s[_GAIN + k] * s[_KEEP_MEAN + k] + gain
        s[_LOSS + k] = s[_LOSS + k] * s[_KEEP_MEAN + k] + loss
        s[_RANGE + k] = s[_RANGE + k] * s[_KEEP_MEAN + k] + true_range
        up = s[_RISE + k] * s[_KEEP_SUM + k] + rise
        down = s[_FALL + k] * s[_KEEP_SUM + k] + fall
        s[_RISE + k] = up
        s[_FALL + k] = down
        both = up + down
        index = abs(up - down) / both if both > 0.0 else 0.0
        s[_DX + k] = s[_DX + k] * s[_KEEP_DX + k] + index
        s[_FLOW + k] += flow


@kernel
def stochastic(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, begin: int, end: int, length: int, out: np.ndarray
) -> None:
    """Where the close stands between the least low and the greatest high of the rows that end at each row.

    Parameters
    ----------
    high, low, close, begin, end, length
        As of the kernels of `raypipe.kernels.rolling`.
    out
        float64 like ``close``; percent, filled in ``[begin, end)``; 50 where high and low are the same.
    """
    least = np.zeros(len(close))
    most = np.zeros(len(close))
    trailing_extremes(low, high, begin, end, length, least, most)
    for i in range(begin, end):
        span = most[i] - least[i]
        out[i] = 100.0 * ((close[i] - least[i]) / span) if span > 0.0 else _NEUTRAL
