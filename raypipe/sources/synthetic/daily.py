"""Daily bars of a few symbols over years, with one thing to be found in them and one thing that is not there.

A session's move between open and close leans against the session before: that is the planted signal, and a label from
the next open to the one after it can be foretold. Over twenty sessions nothing of it is left but noise.
Only sums and products make prices, so they are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raypipe.calendar import Session
from raypipe.sources.synthetic.draws import Draws
from raypipe.sources.synthetic.minutes import growth

__all__ = ["LEAN", "NOISE_TARGET", "SIGNAL_TARGET", "daily_csv", "daily_symbols"]

#: How much of a move, in its own standard deviations, the next session takes back.
LEAN = 0.45
#: What can be foretold of these bars, and what cannot.
SIGNAL_TARGET, NOISE_TARGET = "direction_1d", "direction_20d"
_SIGMA, _NIGHT_SIGMA, _MARKET_SIGMA = 0.015, 0.002, 0.006
_CLIPPED = 2.0
_FIRST_USD, _LEAST_USD, _SHARES = 20.0, 1.0, 2_000_000


def daily_symbols(count: int) -> tuple[str, ...]:
    """Names that no real list holds: ``SYN00``, ``SYN01`` and so on."""
    return tuple(f"SYN{number:02d}" for number in range(count))


def daily_csv(seed: int, sessions: Sequence[Session], count: int) -> bytes:
    """Bars as ``session,symbol,open,high,low,close,volume``, sorted by session, prices with four decimals.

    Parameters
    ----------
    seed
        The market's seed.
    sessions
        Sessions, oldest first; a bar depends on none that comes after it.
    count
        How many symbols.
    """
    names = daily_symbols(count)
    close = np.asarray(_FIRST_USD * np.arange(1, count + 1), np.float64)
    leaning = np.zeros(count)
    lines = ["session,symbol,open,high,low,close,volume\n"]
    for session in sessions:
        draws = Draws(seed, "daily", session.date.toordinal())
        prices, volume = _bars(draws, close, leaning)
        leaning = np.clip((prices[:, 3] / close - 1.0) / _SIGMA, -_CLIPPED, _CLIPPED)
        close = np.maximum(prices[:, 3], _LEAST_USD)
        lines += [
            f"{session.key},{name},{o:.4f},{h:.4f},{low:.4f},{c:.4f},{shares}\n"
            for name, (o, h, low, c), shares in zip(names, prices.tolist(), volume.tolist(), strict=True)
        ]
    return "".join(lines).encode()


def _bars(
    draws: Draws, close: NDArray[np.float64], leaning: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Open, high, low, close of one session, float64 (n, 4), on the grid of a hundredth of a cent; and volumes."""
    n = len(close)
    night, own, up, down, busy = (draw(n) for draw in (draws.normal, draws.normal, *[draws.uniform] * 3))
    market = _MARKET_SIGMA * draws.normal(1)
    hours = market + np.sqrt(_SIGMA**2 - _MARKET_SIGMA**2) * own - LEAN * _SIGMA * leaning
    begin = close * growth(_NIGHT_SIGMA * night)
    end = begin * growth(hours)
    high = np.maximum(begin, end) * (1.0 + _SIGMA * up / 2)
    low = np.minimum(begin, end) * (1.0 - _SIGMA * down / 2)
    volume = (_SHARES * (0.5 + busy + np.abs(own))).astype(np.int64)
    return np.asarray(np.stack([begin, high, low, end], axis=1).round(4), np.float64), volume
