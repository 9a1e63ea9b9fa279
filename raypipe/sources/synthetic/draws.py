"""Random numbers that are the same on every machine and in every version of numpy.

Streams come from ``SeedSequence`` children, one per data set and session, so that a session does not
depend on how many others are made. Only the raw words of the bit generator are used: their sequence is
fixed for good, while ``Generator`` methods may change. Normal deviates are sums of 16-bit uniforms, which
needs no transcendental function and is therefore exact.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["STEP_SD", "Draws"]

_DATASETS = {"equities": 1, "es": 2, "options": 3, "daily": 4}
_LOW_HALVES = np.uint64(0x0000FFFF0000FFFF)
_LOW_WORD = np.uint64(0xFFFFFFFF)
#: Standard deviation of :meth:`Draws.steps`: four uniforms on 0..65535.
STEP_SD = float(np.sqrt((65536**2 - 1) / 3))


class Draws:
    """One independent stream.

    Parameters
    ----------
    seed
        The market's seed.
    dataset
        ``equities``, ``es``, ``options`` or ``daily``.
    key
        Address of the stream within the data set, for example the ordinal of a session.
    """

    def __init__(self, seed: int, dataset: str, *key: int) -> None:
        sequence = np.random.SeedSequence(seed, spawn_key=(_DATASETS[dataset], *key))
        self._bits = np.random.PCG64(sequence)

    def words(self, n: int) -> NDArray[np.uint64]:
        """``n`` raw words, uint64."""
        return np.asarray(self._bits.random_raw(n), dtype="<u8")

    def halves(self, n: int) -> NDArray[np.uint32]:
        """``n`` uniform integers on 0..2**32-1, uint32."""
        return self.words((n + 1) // 2).view("<u4")[:n]

    def quarters(self, n: int) -> NDArray[np.float64]:
        """Four independent uniforms on [0, 1) for each of ``n`` items, float64 (4, n), 16 bits each."""
        parts = self.words(n).view("<u2").reshape(n, 4)
        return np.asarray(np.ascontiguousarray(parts.T) / 65536.0, dtype=np.float64)

    def uniform(self, n: int) -> NDArray[np.float64]:
        """``n`` uniforms on [0, 1), float64 (n,)."""
        return np.asarray((self.words(n) >> np.uint64(11)) * 2.0**-53)

    def normal(self, n: int) -> NDArray[np.float64]:
        """``n`` standard normal deviates, float64 (n,): sums of twelve uniforms, so within +-6."""
        parts = self.words(3 * n).view("<u2").reshape(n, 12).sum(axis=1, dtype=np.int64)
        return np.asarray((parts - 6 * 65535) / 65536.0, dtype=np.float64)

    def steps(self, n: int) -> NDArray[np.int64]:
        """``n`` integer random-walk steps of mean 0 and deviation ``STEP_SD``, int64 (n,)."""
        words = self.words(n)
        pairs = (words & _LOW_HALVES) + ((words >> np.uint64(16)) & _LOW_HALVES)
        total = (pairs & _LOW_WORD) + (pairs >> np.uint64(32))
        return total.view(np.int64) - 2 * 65535

    def order(self, n: int) -> NDArray[np.int64]:
        """A random permutation of 0..n-1, int64 (n,)."""
        return np.argsort(self.words(n), kind="stable").astype(np.int64)
