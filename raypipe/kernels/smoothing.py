"""Recursions over a whole series: exponential means and Wilder's means."""

from __future__ import annotations

import numpy as np

from raypipe.kernels._jit import kernel

__all__ = ["ema", "wilder"]


@kernel
def ema(values: np.ndarray, begin: int, end: int, span: int, out: np.ndarray) -> None:
    """Exponential mean with weight 2 / (span + 1), seeded with the value at ``begin``; fills ``out[begin:end]``."""
    weight = 2.0 / (span + 1.0)
    if begin < end:
        out[begin] = values[begin]
    for i in range(begin + 1, end):
        # The form with one product of the new value: of equal values it is that value, exactly.
        out[i] = out[i - 1] + weight * (values[i] - out[i - 1])


@kernel
def wilder(values: np.ndarray, begin: int, end: int, length: int, out: np.ndarray) -> None:
    """Wilder's mean: the simple mean of the first ``length`` values from ``begin`` on, then with weight 1 / length.

    Fills ``out[begin + length - 1:end]``.
    """
    seeded = begin + length - 1
    if seeded >= end:
        return
    total = 0.0
    for i in range(begin, seeded + 1):
        total += values[i]
    out[seeded] = total / length
    for i in range(seeded + 1, end):
        out[i] = out[i - 1] + (values[i] - out[i - 1]) / length
