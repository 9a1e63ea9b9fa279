"""Split arithmetic on [session, symbol] grids: prices and volumes on the basis of a window's last session.

Plain numpy: elementwise work over a few sessions costs the same compiled, and importing the compiler
costs every worker a second.
"""

from __future__ import annotations

import numpy as np

__all__ = ["basis", "first_valid", "last_before", "last_on_basis", "last_valid", "mean_of_last", "ordered_sum"]


def basis(ratios: np.ndarray) -> np.ndarray:
    """Cumulative split ratio of each session of a window, relative to its last session.

    A price of session i is put on the last session's basis by dividing by row i, a volume by multiplying.

    Parameters
    ----------
    ratios
        float64 (sessions, symbols). Ratio of the split whose ex-session a row is; 1 where there is none.

    Returns
    -------
    np.ndarray
        float64 (sessions, symbols): product of the ratios of all later rows, multiplied backward from the
        last row, so that it does not depend on where the window starts. The last row is 1.

    Examples
    --------
    >>> basis(np.array([[1.0], [4.0], [1.0], [2.0]])).ravel()
    array([8., 2., 2., 1.])
    """
    out = np.ones_like(ratios)
    # accumulate multiplies strictly in sequence: (r_D * r_{D-1}) * r_{D-2} ...
    out[:-1] = np.multiply.accumulate(ratios[:0:-1], axis=0)[::-1]
    return out


def last_before(values: np.ndarray, ratios: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Last value before the final row of a window, on that row's basis, and its age in rows.

    Parameters
    ----------
    values
        float64 (sessions, symbols); NaN where a symbol has no row.
    ratios
        float64 (sessions, symbols), as for `basis`.

    Returns
    -------
    last
        float64 (symbols,); NaN where no earlier row of the window has a value.
    age
        int16 (symbols,): 1 = the row just before the final one; 0 where there is none.

    Examples
    --------
    >>> last, age = last_before(np.array([[8.0], [np.nan], [1.0]]), np.array([[1.0], [4.0], [1.0]]))
    >>> last, age
    (array([2.]), array([2], dtype=int16))
    """
    last = np.full(values.shape[1], np.nan)
    age = np.zeros(values.shape[1], dtype=np.int16)
    on_basis = basis(ratios)
    for lag in range(1, values.shape[0]):
        row = values[-1 - lag]
        hit = np.isnan(last) & ~np.isnan(row)
        last[hit] = row[hit] / on_basis[-1 - lag, hit]
        age[hit] = lag
    return last, age


def ordered_sum(values: np.ndarray) -> np.ndarray:
    """Sum over rows, first to last, NaN as nothing.

    Numpy's own reductions choose their order by memory layout, so the last bit of a sum would depend on
    how many symbols stand beside it.

    Parameters
    ----------
    values
        float64 (sessions, symbols).

    Returns
    -------
    np.ndarray
        float64 (symbols,); 0 where all are NaN.

    Examples
    --------
    >>> ordered_sum(np.array([[1.0, np.nan], [2.0, np.nan]]))
    array([3., 0.])
    """
    total = np.zeros(values.shape[1])
    for row in values:
        total += np.where(np.isnan(row), 0.0, row)
    return total


def mean_of_last(values: np.ndarray, count: int) -> np.ndarray:
    """Mean of the last ``count`` values of each column, NaN passed over; NaN if there are fewer.

    Parameters
    ----------
    values
        float64 (sessions, symbols).
    count
        At least 1.

    Returns
    -------
    np.ndarray
        float64 (symbols,).

    Examples
    --------
    >>> mean_of_last(np.array([[9.0, 9.0], [1.0, np.nan], [np.nan, np.nan], [3.0, 3.0]]), 2)
    array([2., 6.])
    """
    valid = ~np.isnan(values)
    from_end = np.cumsum(valid[::-1], axis=0)[::-1]
    total = ordered_sum(np.where(from_end <= count, values, np.nan))
    return np.where(valid.sum(axis=0) >= count, total / count, np.nan)


def first_valid(values: np.ndarray) -> np.ndarray:
    """Row of the first value of each column, int64 (symbols,); -1 where all are NaN."""
    if not len(values):
        return np.full(values.shape[1], -1)
    valid = ~np.isnan(values)
    return np.where(valid.any(axis=0), valid.argmax(axis=0), -1)


def last_valid(values: np.ndarray) -> np.ndarray:
    """Row of the last value of each column, int64 (symbols,); -1 where all are NaN."""
    from_end = first_valid(values[::-1])
    return np.where(from_end >= 0, values.shape[0] - 1 - from_end, -1)


def last_on_basis(values: np.ndarray, on_basis: np.ndarray) -> np.ndarray:
    """Last value of each column divided by the `basis` of its row, float64 (symbols,); NaN where all are NaN."""
    row, columns = last_valid(values), np.arange(values.shape[1])
    if not len(values):
        return np.full(values.shape[1], np.nan)
    return np.where(row >= 0, values[row, columns] / on_basis[row, columns], np.nan)
