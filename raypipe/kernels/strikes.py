"""From when on a strike is a level: the print with which enough contracts have traded at it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._jit import as_input, kernel

__all__ = ["strikes_with"]


def strikes_with(
    strike: NDArray[np.int32], size: NDArray[np.int64], min_contracts: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Strikes at which at least so many contracts trade, ascending, and the number of the print that makes it so.

    Parameters
    ----------
    strike
        Strike of each print, in order of time; int32 (prints,).
    size
        Contracts of each print; int64 (prints,).
    min_contracts
        How many are enough, both rights together.

    Returns
    -------
    strikes
        int32 (strikes,), ascending.
    prints
        int64 (strikes,): number of the print with which ``min_contracts`` is reached.

    Examples
    --------
    >>> strikes, prints = strikes_with(np.array([600, 599, 600], np.int32), np.array([60, 99, 40]), 100)
    >>> strikes.tolist(), prints.tolist()
    ([600], [2])
    """
    known, traded, reached = np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.int64)
    if len(strike):
        known = np.unique(_distinct(as_input(strike, np.int32)))
        traded = np.zeros(len(known), np.int64)
        reached = np.full(len(known), -1, np.int64)
        _reach(as_input(strike, np.int32), as_input(size, np.int64), as_input(known), traded, reached, min_contracts)
    enough = reached >= 0
    return known[enough], reached[enough]


@kernel
def _distinct(strike: NDArray[np.int32]) -> NDArray[np.int32]:
    """Every strike at least once: all prints but those whose strike was met a few places of a hash table ago."""
    slots = np.full(4096, -1, np.int64)
    kept = np.empty(len(strike), np.int32)
    n = 0
    for i in range(len(strike)):
        value = np.int64(strike[i])
        slot = (value * 2654435761 >> 20) & 4095
        if slots[slot] != value:
            slots[slot] = value
            kept[n] = value
            n += 1
    return kept[:n].copy()


@kernel
def _reach(
    strike: NDArray[np.int32],
    size: NDArray[np.int64],
    known: NDArray[np.int32],
    traded: NDArray[np.int64],
    reached: NDArray[np.int64],
    min_contracts: int,
) -> None:
    at = 0
    for i in range(len(strike)):
        if known[at] != strike[i]:
            at = np.searchsorted(known, strike[i])
        traded[at] += size[i]
        if reached[at] < 0 and traded[at] >= min_contracts:
            reached[at] = i
