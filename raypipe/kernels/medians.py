"""Medians of the last rows of a series."""

from __future__ import annotations

import numpy as np

from raypipe.kernels._jit import kernel

__all__ = ["trailing_median"]


@kernel
def trailing_median(values: np.ndarray, first: np.ndarray, out: np.ndarray) -> None:
    """Median of the rows from ``first`` to each row, both included.

    The rows are kept in order; one comes in, and those that are too old go out. That is a copy of half of them per
    row, and for windows of some 60 rows quicker than anything cleverer.

    Parameters
    ----------
    values
        float64 (rows,), finite.
    first
        int64 (rows,): first row of each window, never descending and never beyond the row itself.
    out
        float64 (rows,).
    """
    ordered = np.empty(len(values))
    count = oldest = 0
    for i in range(len(values)):
        place = count
        while place > 0 and ordered[place - 1] > values[i]:
            ordered[place] = ordered[place - 1]
            place -= 1
        ordered[place] = values[i]
        count += 1
        while oldest < first[i]:
            place = 0
            while ordered[place] != values[oldest]:
                place += 1
            for k in range(place, count - 1):
                ordered[k] = ordered[k + 1]
            count -= 1
            oldest += 1
        out[i] = 0.5 * (ordered[(count - 1) // 2] + ordered[count // 2])
