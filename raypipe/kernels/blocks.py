"""Windows that end at each row, at a cost that does not grow with their length.

The rows from ``begin`` on are cut into blocks as long as the window. A window then is the end of one block and the
start of the next: a sum is one backward sum and one forward sum, so nothing outside of the window ever touches it, and
there is no drift. All sums are of distances from the first value of the later block, which lies in the window: those
of equal values are 0, exactly, and squares lose no digits.

Values depend on where the blocks start, by an ulp. That is right for series which always start at the same row; where
they do not, windows are summed afresh (`raypipe.kernels.rolling`): 30 times the cost for 252 rows.
All kernels fill the rows from ``begin + length - 1`` to ``end``.
"""

from __future__ import annotations

import math

import numpy as np

from raypipe.kernels._jit import kernel

__all__ = ["block_correlation", "block_extremes", "block_mean", "block_mean_std", "block_moments"]


@kernel
def block_mean(values: np.ndarray, begin: int, end: int, length: int, out: np.ndarray) -> None:
    """Mean of the ``length`` rows that end at each row; of equal values it is that value, exactly.

    Parameters
    ----------
    values
        float64 (at least end,), finite from ``begin`` on.
    begin, end
        First row that may be in a window, and the end of the rows.
    length
        Rows of a window.
    out
        float64 (at least end,).
    """
    back = np.zeros(length + 1)
    for start in range(begin, end, length):
        origin = values[start]
        if start > begin:
            total = 0.0
            for j in range(length - 1, 0, -1):
                total += values[start - length + j] - origin
                back[j] = total
        total = 0.0
        for j in range(min(length, end - start)):
            total += values[start + j] - origin
            if start > begin or j == length - 1:
                out[start + j] = origin + (total + back[j + 1]) / length


@kernel
def block_mean_std(values: np.ndarray, begin: int, end: int, length: int, mean: np.ndarray, std: np.ndarray) -> None:
    """Mean and sample standard deviation; 0 of equal values, exactly. Parameters as of `block_mean`."""
    back = np.zeros((2, length + 1))
    for start in range(begin, end, length):
        origin = values[start]
        if start > begin:
            total = square = 0.0
            for j in range(length - 1, 0, -1):
                away = values[start - length + j] - origin
                total += away
                square += away * away
                back[0, j] = total
                back[1, j] = square
        total = square = 0.0
        for j in range(min(length, end - start)):
            away = values[start + j] - origin
            total += away
            square += away * away
            if start > begin or j == length - 1:
                shift = (total + back[0, j + 1]) / length
                spread = square + back[1, j + 1] - shift * shift * length
                mean[start + j] = origin + shift
                std[start + j] = math.sqrt(max(spread, 0.0) / (length - 1))


@kernel
def block_moments(values: np.ndarray, begin: int, end: int, length: int, mean: np.ndarray, moments: np.ndarray) -> None:
    """Mean, and sums of the second, third and fourth powers of the distances from it, float64 (3, at least end).

    Parameters otherwise as of `block_mean`.
    """
    back = np.zeros((4, length + 1))
    for start in range(begin, end, length):
        origin = values[start]
        if start > begin:
            a = b = c = d = 0.0
            for j in range(length - 1, 0, -1):
                away = values[start - length + j] - origin
                square = away * away
                a += away
                b += square
                c += square * away
                d += square * square
                back[0, j] = a
                back[1, j] = b
                back[2, j] = c
                back[3, j] = d
        a = b = c = d = 0.0
        for j in range(min(length, end - start)):
            away = values[start + j] - origin
            square = away * away
            a += away
            b += square
            c += square * away
            d += square * square
            if start > begin or j == length - 1:
                m = (a + back[0, j + 1]) / length
                second, third, fourth = b + back[1, j + 1], c + back[2, j + 1], d + back[3, j + 1]
                mean[start + j] = origin + m
                moments[0, start + j] = max(second - length * m * m, 0.0)
                moments[1, start + j] = third - 3.0 * m * second + 2.0 * length * m * m * m
                moments[2, start + j] = fourth - 4.0 * m * third + 6.0 * m * m * second - 3.0 * length * m * m * m * m


@kernel
def block_correlation(
    first: np.ndarray, second: np.ndarray, begin: int, end: int, length: int, out: np.ndarray
) -> None:
    """Pearson's correlation of the pairs; NaN if one side is constant. Parameters as of `block_mean`."""
    back = np.zeros((5, length + 1))
    total = np.zeros(5)
    for start in range(begin, end, length):
        x0, y0 = first[start], second[start]
        total[:] = 0.0
        if start > begin:
            for j in range(length - 1, 0, -1):
                _add(first[start - length + j] - x0, second[start - length + j] - y0, total)
                for k in range(5):
                    back[k, j] = total[k]
            total[:] = 0.0
        for j in range(min(length, end - start)):
            _add(first[start + j] - x0, second[start + j] - y0, total)
            if start > begin or j == length - 1:
                x, y = total[0] + back[0, j + 1], total[1] + back[1, j + 1]
                xx = total[2] + back[2, j + 1] - x * x / length
                yy = total[3] + back[3, j + 1] - y * y / length
                xy = total[4] + back[4, j + 1] - x * y / length
                out[start + j] = xy / math.sqrt(xx * yy) if xx > 0.0 and yy > 0.0 else math.nan


@kernel
def _add(x: float, y: float, total: np.ndarray) -> None:
    total[0] += x
    total[1] += y
    total[2] += x * x
    total[3] += y * y
    total[4] += x * y


@kernel
def block_extremes(
    low: np.ndarray, high: np.ndarray, begin: int, end: int, length: int, least: np.ndarray, most: np.ndarray
) -> None:
    """Least ``low`` and greatest ``high``. Parameters otherwise as of `block_mean`."""
    back = np.zeros((2, length + 1))
    for start in range(begin, end, length):
        bottom, top = math.inf, -math.inf
        back[0, length], back[1, length] = bottom, top
        if start > begin:
            for j in range(length - 1, 0, -1):
                bottom = min(bottom, low[start - length + j])
                top = max(top, high[start - length + j])
                back[0, j] = bottom
                back[1, j] = top
            bottom, top = math.inf, -math.inf
        for j in range(min(length, end - start)):
            bottom = min(bottom, low[start + j])
            top = max(top, high[start + j])
            if start > begin or j == length - 1:
                least[start + j] = min(bottom, back[0, j + 1])
                most[start + j] = max(top, back[1, j + 1])
