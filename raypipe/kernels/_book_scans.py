"""The two ways into a pass over a book: blocks of columns, and records in Databento's own layout."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._book import ALL_LEVELS, NEW, Pass, Prints, due_marks, has_room, slot, take_record
from raypipe.kernels._book_bits import book_differences, changed_levels, first_bit, is_one_bit, last_bit
from raypipe.kernels._jit import inlined, kernel

__all__ = ["BLOCK", "DBN_WORDS", "Block", "Heads", "Levels", "scan_columns", "scan_records", "write_marks"]

#: Records per block of columns: 40 columns of them stay in the second-level cache.
BLOCK = 2048
#: Words of a Databento MBP-10 record.
DBN_WORDS = 46
_DEPTH = 10
_UNDEFINED = np.iinfo(np.int64).max
_MBP10, _TRADE = 10, 84
U64 = np.uint64


class Heads(NamedTuple):
    """What records say besides the book; (records,) each."""

    time_ns: NDArray[Any]
    action: NDArray[Any]
    flags: NDArray[Any]
    aggressor: NDArray[Any]
    tick: NDArray[Any]
    size: NDArray[Any]


Side = tuple[NDArray[Any], ...]


class Levels(NamedTuple):
    """The levels of a book, best first; ten columns each, (records,)."""

    bid_ticks: Side
    ask_ticks: Side
    bid_sizes: Side
    ask_sizes: Side


class Block(NamedTuple):
    """Some records of these columns in memory that stays in the cache, and which levels each changes."""

    ticks: NDArray[Any]
    """int32 (2 sides, 10 levels, BLOCK)."""
    sizes: NDArray[Any]
    """uint32 (2, 10, BLOCK)."""
    changed: NDArray[Any]
    """uint16 (2, BLOCK)."""


@kernel
def write_marks(p: Pass, until_ns: int) -> None:
    """Keep the settled book for every mark up to a moment."""
    due_marks(p, until_ns)


@inlined
def _load(columns: Side, start: int, count: int, side: int, block: NDArray[Any]) -> None:
    """Copy some records of ten columns into the block: the loops over records then read memory in the cache."""
    for level in range(_DEPTH):
        column = columns[level]
        for i in range(count):
            block[side, level, i] = column[U64(start + i)]


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


@inlined
def _resized(p: Pass, ticks: NDArray[Any], sizes: NDArray[Any], i: int, bids: int, asks: int) -> int:
    """Take the size of the only level that differs, if it is there before and after; returns its place or -1."""
    both = bids | asks << _DEPTH
    if both == 0 or both & (both - 1) != 0:
        return -1
    place = first_bit(both)
    side, level = place // _DEPTH, place % _DEPTH
    at = slot(NEW, side, level)
    after = sizes[side, level, i]
    if after == 0 or p.sizes[at] == 0 or p.ticks[at] != ticks[side, level, i]:
        return -1
    p.sizes[at] = after
    return place


@inlined
def _take_block(heads: Heads, start: int, count: int, block: Block, p: Pass, prints: Prints) -> None:
    """Take the records of a block; the first is compared in full with the record before the block."""
    ticks, sizes, changed = block
    _mark_changes(ticks, sizes, count, changed)
    for i in range(count):
        bids, asks = int(changed[0, i]), int(changed[1, i])
        resized = _resized(p, ticks, sizes, i, bids, asks)
        if resized >= 0:
            bids = asks = 0
        left = bids | asks << _DEPTH
        while left:
            place = first_bit(left)
            side, level = place // _DEPTH, place % _DEPTH
            at = slot(NEW, side, level)
            p.ticks[at] = ticks[side, level, i]
            p.sizes[at] = sizes[side, level, i]
            left &= left - 1
        k = U64(start + i)
        take_record(
            p,
            prints,
            heads.time_ns[k],
            heads.action[k],
            heads.flags[k],
            heads.aggressor[k],
            heads.tick[k],
            int(heads.size[k]),
            bids,
            asks,
            resized,
        )


@kernel
def scan_columns(heads: Heads, levels: Levels, start: int, block: Block, p: Pass, prints: Prints) -> int:
    """Take records of columns from one on, block by block while there is room for all that a block can change.

    Returns the first record that was not taken.
    """
    end = len(heads.time_ns)
    while start < end and has_room(p, BLOCK):
        count = min(BLOCK, end - start)
        _load(levels.bid_ticks, start, count, 0, block.ticks)
        _load(levels.ask_ticks, start, count, 1, block.ticks)
        _load(levels.bid_sizes, start, count, 0, block.sizes)
        _load(levels.ask_sizes, start, count, 1, block.sizes)
        _take_block(heads, start, count, block, p, prints)
        start += count
    return start


@inlined
def _tick_of(price: int, nanos_per_tick: int, per_nano: float) -> int:
    """The price in whole ticks, rounded down; a product and a test, for a division takes as long as ten of them."""
    ticks = int(np.rint(price * per_nano))
    if ticks * nanos_per_tick == price:
        return ticks
    return price // nanos_per_tick


@inlined
def _read_levels(
    p: Pass, words: NDArray[Any], now: np.uint64, before: np.uint64, side: int, mask: int, nanos_per_tick: int
) -> None:
    """Read the levels of one side from the first to the last whose bit is set into the new book."""
    per_nano, shift = 1.0 / nanos_per_tick, 32 * side
    for level in range(first_bit(mask), last_bit(mask) + 1):
        at, place = U64(6 + 4 * level + side), slot(NEW, side, level)
        price = words[now + at]
        if price == _UNDEFINED:
            p.sizes[place] = 0
        else:
            if now == before or price != words[before + at]:
                p.ticks[place] = _tick_of(price, nanos_per_tick, per_nano)
            p.sizes[place] = (words[now + U64(8 + 4 * level)] >> shift) & 0xFFFFFFFF


@inlined
def _read_size(p: Pass, words: NDArray[Any], now: np.uint64, half: int) -> int:
    """Read the size of the only level that differs, if it is there before and after; returns its place or -1."""
    side, level = half & 1, half >> 3
    if half & 4 == 0:
        return -1  # a price
    after = (words[now + U64(8 + 4 * level)] >> (32 * side)) & 0xFFFFFFFF
    place = slot(NEW, side, level)
    if after == 0 or p.sizes[place] == 0:
        return -1
    p.sizes[place] = after
    return side * _DEPTH + level


@inlined
def _read_book(
    p: Pass, words: NDArray[Any], now: np.uint64, before: np.uint64, nanos_per_tick: int
) -> tuple[int, int, int]:
    """Bring the new book to a record, given the one before it or itself; returns what `take_record` is told of it."""
    bids, asks = ALL_LEVELS, ALL_LEVELS
    if now != before:
        low, high = book_differences(words, now, before)
        if low | high == U64(0):
            return 0, 0, -1
        if is_one_bit(low, high):  # of three records, two
            resized = _read_size(p, words, now, first_bit(int(np.int64(low))))
            if resized >= 0:
                return 0, 0, resized
        bids, asks = changed_levels(low, high)
    for side in range(0 if bids else 1, 2 if asks else 1):
        _read_levels(p, words, now, before, side, asks if side else bids, nanos_per_tick)
    return bids, asks, -1


@kernel
def scan_records(
    words: NDArray[Any], width: int, instrument_id: int, nanos_per_tick: int, p: Pass, prints: Prints
) -> None:
    """Take records in Databento's layout: 6 words of head, then per level two prices, two sizes, two counts."""
    first, before, per_nano = True, U64(0), 1.0 / nanos_per_tick
    for i in range(len(words) // width):
        now = U64(i) * U64(width)
        head = words[now]
        if (head >> 8) & 0xFF != _MBP10 or (head >> 32) & 0xFFFFFFFF != instrument_id:
            continue
        bids, asks, resized = _read_book(p, words, now, now if first else before, nanos_per_tick)
        ts_ns, price, body = words[now + U64(1)], words[now + U64(2)], words[now + U64(3)]
        action, letter, flags = (body >> 32) & 0xFF, (body >> 40) & 0xFF, (body >> 48) & 0xFF
        aggressor = 1 if letter == 66 else -1 if letter == 65 else 0
        tick = _tick_of(price, nanos_per_tick, per_nano) if action == _TRADE else 0
        take_record(p, prints, ts_ns, action, flags, aggressor, tick, body & 0xFFFFFFFF, bids, asks, resized)
        first, before = False, now
