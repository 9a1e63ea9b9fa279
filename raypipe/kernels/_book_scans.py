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
_MBP10, _TRADE = 10, 84


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
def _read_levels(p: Pass, words: NDArray[Any], i: int, before: int, side: int, mask: int, nanos_per_tick: int) -> None:
    """Read the levels of one side whose bit is set from a Databento record into the new book."""
    level = 0
    while mask:
        if mask & 1:
            at = 6 + 4 * level
            price = words[i, at + side]
            if price == _UNDEFINED:
                p.sizes[NEW, side, level] = 0
            else:
                if before < 0 or price != words[before, at + side]:
                    p.ticks[NEW, side, level] = price // nanos_per_tick  # a division takes as long as ten compares
                p.sizes[NEW, side, level] = (words[i, at + 2] >> (32 * side)) & 0xFFFFFFFF
        mask >>= 1
        level += 1


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
                bid, ask = words[i, at] ^ words[before, at], words[i, at + 1] ^ words[before, at + 1]
                sizes = words[i, at + 2] ^ words[before, at + 2]
                if bid | ask | sizes:  # of twenty, one or two
                    bids |= int((bid | (sizes & 0xFFFFFFFF)) != 0) << level
                    asks |= int((ask | (sizes >> 32)) != 0) << level
        _read_levels(p, words, i, before, 0, bids, nanos_per_tick)
        _read_levels(p, words, i, before, 1, asks, nanos_per_tick)
        body = words[i, 3]
        side, action = (body >> 40) & 0xFF, (body >> 32) & 0xFF
        aggressor = 1 if side == 66 else -1 if side == 65 else 0
        tick = words[i, 2] // nanos_per_tick if action == _TRADE else 0
        take_record(
            p, prints, words[i, 1], action, (body >> 48) & 0xFF, aggressor, tick, body & 0xFFFFFFFF, bids, asks
        )  # fmt: skip
        before = i
