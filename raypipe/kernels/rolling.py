"""Windows that end at each row of a series, every one of them summed afresh.

Nothing is carried from one row to the next: a value depends on the rows of its window alone, so it is the same to the
last bit wherever a series begins and however many rows are asked for. To be quick all the same, the windows of `LANES`
neighbouring rows are summed side by side, each in time order; the processor adds them all in one or two instructions.
A running sum would be quicker still, but it drifts: a batch would differ from an increment.

All kernels fill ``out[begin:end]``. The caller sees to it that ``begin >= length - 1``, and that every array goes on
for `LANES` - 1 entries behind ``end``: they are read and written, with any finite values, and mean nothing.
"""

from __future__ import annotations

import math

import numpy as np

from raypipe.kernels._jit import kernel

__all__ = ["LANES", "trailing_extremes", "trailing_mean", "trailing_std", "trailing_sum"]

#: Windows summed side by side: two vectors of the widest processors. A constant, or the compiler adds a slow remainder.
LANES = 16


@kernel
def trailing_sum(values: np.ndarray, begin: int, end: int, length: int, out: np.ndarray) -> None:
    """Sum over the ``length`` rows that end at each row.

    Parameters
    ----------
    values
        float64 (rows + LANES - 1,), finite.
    begin, end
        Half-open range of rows wanted.
    length
        Rows of a window.
    out
        float64, like ``values``; filled in ``[begin, end)``.
    """
    total = np.zeros(LANES)
    for row in range(begin, end, LANES):
        for k in range(LANES):
            total[k] = 0.0
        for i in range(row - length + 1, row + 1):
            for k in range(LANES):
                total[k] += values[i + k]
        for k in range(LANES):
            out[row + k] = total[k]


@kernel
def trailing_mean(values: np.ndarray, begin: int, end: int, length: int, out: np.ndarray) -> None:
    """Mean over the ``length`` rows that end at each row; of equal values it is that value, exactly.

    The distances from the window's last value are summed: a plain sum leaves the means of a flat series over 20 and
    over 50 rows an ulp apart, and their order would look like a crossing.

    Parameters
    ----------
    values, begin, end, length, out
        As of `trailing_sum`.
    """
    total = np.zeros(LANES)
    for row in range(begin, end, LANES):
        for k in range(LANES):
            total[k] = 0.0
        for i in range(row - length + 1, row + 1):
            for k in range(LANES):
                total[k] += values[i + k] - values[row + k]
        for k in range(LANES):
            out[row + k] = values[row + k] + total[k] / length


@kernel
def trailing_std(values: np.ndarray, begin: int, end: int, length: int, ddof: int, out: np.ndarray) -> None:
    """Standard deviation over the ``length`` rows that end at each row, in two passes; 0 of equal values, exactly.

    Parameters
    ----------
    values, begin, end, length, out
        As of `trailing_sum`.
    ddof
        0 for the population's, 1 for the sample's.
    """
    total = np.zeros(LANES)
    mean = np.zeros(LANES)
    for row in range(begin, end, LANES):
        for k in range(LANES):
            total[k] = 0.0
        for i in range(row - length + 1, row + 1):
            for k in range(LANES):
                total[k] += values[i + k] - values[row + k]
        for k in range(LANES):
            mean[k] = total[k] / length
            total[k] = 0.0
        for i in range(row - length + 1, row + 1):
            for k in range(LANES):
                away = values[i + k] - values[row + k] - mean[k]
                total[k] += away * away
        for k in range(LANES):
            out[row + k] = math.sqrt(total[k] / (length - ddof))


@kernel
def trailing_extremes(
    low: np.ndarray, high: np.ndarray, begin: int, end: int, length: int, least: np.ndarray, most: np.ndarray
) -> None:
    """Least ``low`` and greatest ``high`` of the ``length`` rows that end at each row.

    Parameters
    ----------
    low, high
        float64 (rows + LANES - 1,), finite.
    begin, end, length
        As of `trailing_sum`.
    least, most
        float64, like ``low``; filled in ``[begin, end)``.
    """
    bottom = np.zeros(LANES)
    top = np.zeros(LANES)
    for row in range(begin, end, LANES):
        for k in range(LANES):
            bottom[k] = low[row + k]
            top[k] = high[row + k]
        for i in range(row - length + 1, row):
            for k in range(LANES):
                bottom[k] = min(bottom[k], low[i + k])
                top[k] = max(top[k], high[i + k])
        for k in range(LANES):
            least[row + k] = bottom[k]
            most[row + k] = top[k]
