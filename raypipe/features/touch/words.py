"""Columns of words from codes or conditions, as dictionary arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

__all__ = ["first_match", "words"]


def words(names: Sequence[str], codes: np.ndarray) -> pa.DictionaryArray:
    """A dictionary column of ``names[code]``, null where a code is negative.

    Only names in use stay in the dictionary, in bytewise order.

    Examples
    --------
    >>> words(("LOW", "HIGH"), np.array([1, -1, 1])).to_pylist()
    ['HIGH', None, 'HIGH']
    """
    order = sorted(range(len(names)), key=lambda i: names[i].encode())
    used = [i for i in order if (codes == i).any()]
    place = np.zeros(len(names) + 1, np.int32)
    place[used] = np.arange(len(used))
    missing = codes < 0
    indices = pa.array(place[np.where(missing, len(names), codes)], pa.int32(), mask=missing if missing.any() else None)
    return pa.DictionaryArray.from_arrays(indices, pa.array([names[i] for i in used], pa.string()))


def first_match(conditions: Sequence[np.ndarray], otherwise: int) -> np.ndarray:
    """Number of the first condition that holds in each row, ``otherwise`` where none does. int64 (rows,).

    Examples
    --------
    >>> first_match([np.array([False, True]), np.array([True, True])], -1).tolist()
    [1, 0]
    """
    return np.select(list(conditions), list(range(len(conditions))), otherwise)
