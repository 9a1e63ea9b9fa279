"""The two ways into a pass over a book: blocks of columns, and records in Databento's own layout."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._book import ALL_LEVELS, NEW, Pass, Prints, due_marks, take_record
from raypipe.kernels._jit import inlined, kernel

__all__ = ["BLOCK", "DBN_WORDS", "Heads", "scan_columns", "scan_records", "write_marks"]

#: Records per block of columns: 40 columns of them stay in the second-level cache.
BLOCK = 2048
#: Words of a Databento MBP-10 record.
DBN_WORDS = 46
_DEPTH = 10
_UNDEFINED = np.iinfo(np.int64).max
_MBP10 = 10


class Heads(NamedTuple):
    """What records say besides the book; (records,) each."""

    time_ns: NDArray[Any]
    action: NDArray[Any]
    flags: NDArray[Any]
    aggressor: NDArray[Any]
    tick: NDArray[Any]
    size: NDArray[Any]


@kernel
def write_marks(p: Pass, until_ns: int) -> None:
    """Keep the settled book for every mark up to a moment."""
    due_marks(p, until_ns)


@inlined
def _mark_changes(ticks: NDArray[Any], sizes: NDArray[Any], count: int, changed: NDArray[Any]) -> None:
    """Set a bit per level that differs from the record before; column by column, as wide as the machine allows."""
    for side in range(2):
        for i in range(count):
            changed[side, i] = 0
        for level in range(_DEPTH):
            for i in range(1, count):
                other = (ticks[side, level, i] != ticks[side, level, i - 1]) | (
                    sizes[side, level, i] != sizes[side, level, i - 1]
                )
                changed[side, i] |= np.uint16(other) << np.uint16(level)
        changed[side, 0] = ALL_LEVELS


@kernel
def scan_columns(
    heads: Heads, ticks: NDArray[Any], sizes: NDArray[Any], changed: NDArray[Any], p: Pass, prints: Prints
) -> None:
    """Take the records of a block of columns; the first is compared in full with the record before the block."""
    count = len(heads.time_ns)
    if count == 0:
        return
    _mark_changes(ticks, sizes, count, changed)
    for i in range(count):
        for side in range(2):
            mask = int(changed[side, i])
            level = 0
            while mask:
                if mask & 1:
                    p.ticks[NEW, side, level] = ticks[side, level, i]
                    p.sizes[NEW, side, level] = sizes[side, level, i]
                mask >>= 1
                level += 1
        take_record(
            p,
            prints,
            heads.time_ns[i],
            heads.action[i],
            heads.flags[i],
            heads.aggressor[i],
            heads.tick[i],
            int(heads.size[i]),
            int(changed[0, i]),
            int(changed[1, i]),
        )


@inlined
def _read_level(p: Pass, words: NDArray[Any], i: int, level: int, side: int, nanos_per_tick: int) -> None:
    """Read one level of a Databento record into the new book."""
    price = words[i, 6 + 4 * level + side]
    size = (words[i, 8 + 4 * level] >> (32 * side)) & 0xFFFFFFFF
    if price == _UNDEFINED:
        p.sizes[NEW, side, level] = 0
    else:
        p.ticks[NEW, side, level] = price // nanos_per_tick
        p.sizes[NEW, side, level] = size


@kernel
def scan_records(words: NDArray[Any], instrument_id: int, nanos_per_tick: int, p: Pass, prints: Prints) -> None:
    """Take records in Databento's layout: 6 words of head, then per level two prices, two sizes, two counts."""
    before = -1
    for i in range(len(words)):
        head = words[i, 0]
        if (head >> 8) & 0xFF != _MBP10 or (head >> 32) & 0xFFFFFFFF != instrument_id:
            continue
        bids = asks = 0
        if before < 0:
            bids = asks = ALL_LEVELS
        else:
            for level in range(_DEPTH):
                at = 6 + 4 * level
                sizes = words[i, at + 2] ^ words[before, at + 2]
                bid = (words[i, at] != words[before, at]) | ((sizes & 0xFFFFFFFF) != 0)
                ask = (words[i, at + 1] != words[before, at + 1]) | ((sizes >> 32) != 0)
                bids |= int(bid) << level
                asks |= int(ask) << level
        for level in range(_DEPTH):
            if (bids >> level) & 1:
                _read_level(p, words, i, level, 0, nanos_per_tick)
            if (asks >> level) & 1:
                _read_level(p, words, i, level, 1, nanos_per_tick)
        body = words[i, 3]
        side = (body >> 40) & 0xFF
        aggressor = 1 if side == 66 else -1 if side == 65 else 0
        tick = words[i, 2] // nanos_per_tick
        take_record(
            p, prints, words[i, 1], (body >> 32) & 0xFF, (body >> 48) & 0xFF, aggressor, tick, body & 0xFFFFFFFF,
            bids, asks,
        )  # fmt: skip
        before = i
