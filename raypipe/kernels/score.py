"""Scores on a grid of moments: smoothed, and how long the last of them have stayed beyond a bound."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._jit import as_input, kernel

__all__ = ["held_above", "smoothed"]


def smoothed(values: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
    """Exponentially weighted mean at the last moment of each row, the first value its seed.

    Parameters
    ----------
    values
        float64 (rows, moments), at least one moment. NaN makes its row NaN.
    weight
        Of each new value, in (0, 1]: ``1 - exp(-step / tau)``. A half-life is ``tau ln 2``.

    Returns
    -------
    NDArray
        float64 (rows,).

    Examples
    --------
    >>> smoothed(np.array([[0.0, 8.0, 8.0]]), 0.5).tolist()
    [6.0]
    """
    out = np.empty(len(values))
    _smoothed(as_input(values, np.float64), weight, out)
    return out


@kernel
def _smoothed(values: NDArray[Any], weight: float, out: NDArray[Any]) -> None:
    for row in range(len(values)):
        level = values[row, 0]
        for j in range(1, values.shape[1]):
            level += weight * (values[row, j] - level)
        out[row] = level


def held_above(values: NDArray[np.float64], bound: float, moments: int) -> NDArray[np.bool_]:
    """Whether the last moments of each row all lie above a bound, which itself does not count.

    Parameters
    ----------
    values
        float64 (rows, moments). NaN lies above nothing.
    bound
        Exclusive.
    moments
        How many of the last moments count; all of them if the row has fewer.

    Returns
    -------
    NDArray
        bool (rows,).

    Examples
    --------
    >>> held_above(np.array([[0.0, 81.0, 82.0], [81.0, 80.0, 82.0]]), 80.0, 2).tolist()
    [True, False]
    """
    last = values[:, max(values.shape[1] - moments, 0) :]
    held: NDArray[np.bool_] = np.all(last > bound, axis=1)
    return held
