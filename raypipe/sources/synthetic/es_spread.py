"""Prints of the calendar spread between the two contracts: near 55 points, on a grid of 0.05, in the same files."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels.simbook import ROW_WORDS
from raypipe.sources.synthetic.draws import Draws
from raypipe.sources.synthetic.es_days import CARRY_TICKS, EsDay

__all__ = ["SPREAD_ID", "spread_rows", "spread_symbol"]

#: The spread's instrument id is the nearer contract's plus this.
SPREAD_ID = 42_000_000
_MINUTE_NS = 60_000_000_000
_TICK_E9 = 50_000_000
_PER_MINUTE, _MOST = 0.06, 0.3
_REFILL_NS = 900_000
_LOTS, _LEVELS = 400, 10
_TRADE, _MODIFY, _BUY, _SELL, _LAST = 84, 77, 66, 65, 130
_HEADER = (2 * ROW_WORDS) | (10 << 8) | (1 << 16)


def spread_symbol(day: EsDay) -> tuple[str, int]:
    """Raw symbol and instrument id."""
    near, far = sorted((day.lead, day.other), key=lambda each: each.expiry)
    return f"{near.symbol}-{far.symbol}", SPREAD_ID + near.instrument_id


def spread_rows(day: EsDay, draws: Draws, start_ns: int, minutes: int, activity: float) -> NDArray[np.int64]:
    """MBP-10 rows of the spread, int64 (n, 46): a trade, what is left of the level, and its refill.

    The book has 400 contracts at each of ten levels of both sides around the price.
    """
    n = int(minutes * min(_MOST, _PER_MINUTE * (1 + activity)))
    at = np.sort(start_ns + (draws.uniform(n) * (minutes * _MINUTE_NS - 10 * _REFILL_NS)).astype(np.int64))
    buys, lots = draws.words(n) & np.uint64(1) == 1, 1 + (draws.uniform(n) * 12).astype(np.int64)
    middle = CARRY_TICKS * 5 + (draws.uniform(n) * 9).astype(np.int64) - 4
    full = _books(middle, np.zeros(n, np.int64), buys)
    rows = np.stack([full, _books(middle, lots, buys), full], axis=1)
    price = (middle + np.where(buys, 1, 0)) * _TICK_E9
    maker = np.where(buys, _SELL, _BUY)
    rows[:, :, 0] = _HEADER | (spread_symbol(day)[1] << 32)
    rows[:, :, 1] = at[:, None] + np.array([0, 0, _REFILL_NS])
    rows[:, :, 2] = price[:, None]
    rows[:, 0, 3] = lots | (_TRADE << 32) | (np.where(buys, _BUY, _SELL) << 40)
    rows[:, 1, 3] = (_LOTS - lots) | (_MODIFY << 32) | (maker << 40) | (_LAST << 48)
    rows[:, 2, 3] = _LOTS | (_MODIFY << 32) | (maker << 40) | (_LAST << 48)
    return rows.reshape(-1, ROW_WORDS)


def _books(middle: NDArray[np.int64], gone: NDArray[np.int64], buys: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Books with the bid at ``middle`` and the ask above it, less what a taker took, int64 (n, 46)."""
    rows = np.zeros((len(middle), ROW_WORDS), np.int64)
    for level in range(_LEVELS):
        rows[:, 6 + 4 * level] = (middle - level) * _TICK_E9
        rows[:, 7 + 4 * level] = (middle + 1 + level) * _TICK_E9
        left = gone if level == 0 else 0
        rows[:, 8 + 4 * level] = (_LOTS - np.where(buys, 0, left)) | ((_LOTS - np.where(buys, left, 0)) << 32)
        rows[:, 9 + 4 * level] = 40 | (40 << 32)
    return rows
