"""The loops behind `raypipe.kernels.book`: what a record changes, and what the pass carries to the next."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._book_bits import first_bit, last_bit
from raypipe.kernels._jit import inlined

__all__ = [
    "ALL_LEVELS",
    "CHANGES",
    "CLOCKS",
    "NEW",
    "Clock",
    "Pass",
    "Prints",
    "due_marks",
    "has_room",
    "slot",
    "take_record",
]


class Clock(IntEnum):
    """Places of the registers that a pass carries."""

    RECORD_NS = 0  # time of the record before
    SETTLED = 1  # whether the held book is the last settled one
    SETTLED_NS = 2  # time of the last settled book
    SETTLED_ROWS = 3  # rows of the flow up to it
    FIRST_NS = 4  # time of the first
    ROWS = 5  # rows of the flow so far
    LIMITS = 6  # rows of the limits so far
    MARK = 7  # marks written
    MARK_NS = 8  # moment of the next
    PENDING = 9  # prices with traded size that is not yet found removed
    PENDING_NS = 10  # time of those trades
    PRINT = 11  # trades taken, for records without action
    UNNAMED = 12  # records without action
    STATE = 13  # whether the new book is a state
    LOAD_NS = 14  # until when loads are summed
    TOTAL = 15  # size of all bid levels of the last record
    SETTLED_TOTAL = 16  # the same of the last settled book
    LOAD = 17  # the same x ns; the next three registers are those of the asks


CLOCKS = 21
# numba folds plain module constants, not members of an enum reached through its class.
(
    _RECORD_NS, _SETTLED, _SETTLED_NS, _SETTLED_ROWS, _FIRST_NS, _ROWS, _LIMITS, _MARK, _MARK_NS, _PENDING,
    _PENDING_NS, _PRINT, _UNNAMED, _STATE, _LOAD_NS, _TOTAL, _SETTLED_TOTAL, _LOAD,
) = (int(register) for register in Clock)  # fmt: skip
_OF_ASKS = 3
#: Most rows that a record can write: every level of two sides gone, and as many others there.
CHANGES = 40
_HELD, NEW, _SAVED = 0, 1, 2  # the book of the record before, of this one, and the last settled one if neither is
_DEPTH = 10
ALL_LEVELS, _TENTH = (1 << _DEPTH) - 1, 1 << (_DEPTH - 1)
_DEEPEST = np.iinfo(np.int64).max
_NEVER = np.iinfo(np.int64).min
_ONE = np.uint64(1)
_NO_BID_LIMIT, _NO_ASK_LIMIT = np.iinfo(np.int32).min, np.iinfo(np.int32).max
_F_LAST, _SNAPSHOT_OR_BAD = 128, 32 | 4
_CLEAR, _TRADE = 82, 84


class Prints(NamedTuple):
    """Trades in the order of their feed; (trades,) each."""

    time_ns: NDArray[np.int64]
    tick: NDArray[np.int32]
    size: NDArray[np.int64]
    side: NDArray[np.int8]
    """Aggressor: 1 buy, -1 sell, 0 unknown."""


class Pass(NamedTuple):
    """All arrays of a pass; numba takes it as one argument."""

    clock: NDArray[Any]
    ticks: NDArray[Any]
    """int64 (3 books x 2 sides x 10 levels), see `slot`."""
    sizes: NDArray[Any]
    """The same."""
    pending: NDArray[Any]
    """Side, tick and size left, per price; int64 (prices, 3)."""
    flow_ns: NDArray[Any]
    flow_side: NDArray[Any]
    flow_tick: NDArray[Any]
    flow_added: NDArray[Any]
    flow_canceled: NDArray[Any]
    flow_filled: NDArray[Any]
    flow_scrolled: NDArray[Any]
    limit_ns: NDArray[Any]
    limit_bid: NDArray[Any]
    limit_ask: NDArray[Any]
    mark_at: NDArray[Any]
    mark_ns: NDArray[Any]
    mark_row: NDArray[Any]
    mark_load: NDArray[Any]
    mark_ticks: NDArray[Any]
    mark_sizes: NDArray[Any]


@inlined
def slot(book: int, side: int, level: int) -> np.uint64:
    """Place of a level in ticks and sizes; unsigned, which spares a look at negative indices."""
    return np.uint64((2 * book + side) * _DEPTH + level)


@inlined
def has_room(p: Pass, records: int) -> bool:
    """Whether there is room for all that so many records can change."""
    rows, limits = p.clock[_ROWS] + CHANGES * records, p.clock[_LIMITS] + records
    return bool(rows <= len(p.flow_ns) and limits <= len(p.limit_ns))


@inlined
def due_marks(p: Pass, until_ns: int) -> None:
    """Keep the settled book for every mark up to a moment: no later book can be settled before it."""
    clock = p.clock
    book = _HELD if clock[_SETTLED] else _SAVED
    k = clock[_MARK]
    while k < len(p.mark_at) and p.mark_at[k] <= until_ns:
        if clock[_SETTLED_NS] != _NEVER:
            p.mark_ns[k] = clock[_SETTLED_NS]
            p.mark_row[k] = clock[_SETTLED_ROWS]
            for side in range(2):
                since, registers = p.mark_at[k] - clock[_LOAD_NS], side * _OF_ASKS
                p.mark_load[k, side] = clock[_LOAD + registers] + clock[_SETTLED_TOTAL + registers] * since
                for level in range(_DEPTH):
                    at = slot(book, side, level)
                    if p.sizes[at] > 0:
                        p.mark_ticks[k, side, level] = p.ticks[at]
                        p.mark_sizes[k, side, level] = p.sizes[at]
        k += 1
    clock[_MARK] = k
    clock[_MARK_NS] = p.mark_at[k] if k < len(p.mark_at) else _DEEPEST


@inlined
def _deepest(p: Pass, book: int, side: int) -> int:
    """Depth key of the tenth level, ascending away from the market; beyond all if there are fewer."""
    tenth = slot(book, side, _DEPTH - 1)
    if p.sizes[tenth] == 0:
        return _DEEPEST
    tick = int(p.ticks[tenth])
    return tick if side else -tick


@inlined
def _take_pending(p: Pass, side: int, tick: int, removed: int) -> int:
    """Of a removal, how much a trade explains; each lot explains one removal only."""
    for k in range(p.clock[_PENDING]):
        if p.pending[k, 0] == side and p.pending[k, 1] == tick:
            filled = min(removed, int(p.pending[k, 2]))
            p.pending[k, 2] -= filled
            return filled
    return 0


@inlined
def _note(p: Pass, row: int, at_ns: int, side: int, tick: int, change: int, is_view: bool) -> None:
    """Write a change of the size at a price; until the book is settled, its time is a guess."""
    filled = view = 0
    if is_view:
        view, change = change, 0
    elif change < 0:
        filled = _take_pending(p, side, tick, -change)
    k = np.uint64(row)
    p.flow_ns[k] = at_ns
    p.flow_side[k] = side
    p.flow_tick[k] = tick
    p.flow_added[k] = max(change, 0)
    p.flow_canceled[k] = max(-change, 0) - filled
    p.flow_filled[k] = filled
    p.flow_scrolled[k] = view


@inlined
def _copy(values: NDArray[Any], to: np.uint64, start: np.uint64) -> None:
    """Copy a side of a book; one array at a time, which the machine does in two steps."""
    for level in range(_DEPTH):
        values[to + np.uint64(level)] = values[start + np.uint64(level)]


@inlined
def _merge(p: Pass, at_ns: int, side: int, first: int, last: int, all_view: bool) -> tuple[int, int]:
    """Compare some levels of a side price by price; returns the row after the last written, and the change in all."""
    sign = 1 if side else -1
    limit = min(_deepest(p, _HELD, side), _deepest(p, NEW, side))
    row, total = p.clock[_ROWS], 0
    i, j = slot(_HELD, side, first), slot(NEW, side, first)
    end, new_end = slot(_HELD, side, last), slot(NEW, side, last)
    while True:
        while i <= end and j <= new_end and p.sizes[i] == p.sizes[j] and p.ticks[i] == p.ticks[j]:
            i, j = i + _ONE, j + _ONE
        while i <= end and p.sizes[i] == 0:
            i += _ONE
        while j <= new_end and p.sizes[j] == 0:
            j += _ONE
        if i > end and j > new_end:
            break
        held = sign * p.ticks[i] if i <= end else _DEEPEST
        new = sign * p.ticks[j] if j <= new_end else _DEEPEST
        key, change = min(held, new), 0
        if new == key:
            change = p.sizes[j]
            j += _ONE
        if held == key:
            change -= p.sizes[i]
            i += _ONE
        if change != 0:
            total += change
            _note(p, row, at_ns, side, sign * key, change, all_view or key > limit)
            row += 1
    return row, total


@inlined
def _compare(p: Pass, at_ns: int, side: int, mask: int, all_view: bool) -> None:
    """Write what changed on one side between the held and the new book, and hold the new one.

    ``mask`` has a bit per level that may differ; levels outside its span are equal in both books.
    """
    row, total = _merge(p, at_ns, side, first_bit(mask), last_bit(mask), all_view)
    p.clock[_ROWS] = row
    p.clock[_TOTAL + side * _OF_ASKS] += total
    _copy(p.ticks, slot(_HELD, side, 0), slot(NEW, side, 0))
    _copy(p.sizes, slot(_HELD, side, 0), slot(NEW, side, 0))


@inlined
def _resize(p: Pass, at_ns: int, side: int, level: int, all_view: bool) -> None:
    """Write that a level, there before and after, has another size in the new book, and hold it."""
    held, row = slot(_HELD, side, level), p.clock[_ROWS]
    after = p.sizes[slot(NEW, side, level)]
    change = after - p.sizes[held]
    tick = p.ticks[held]
    p.sizes[held] = after
    key = tick if side else -tick
    _note(p, row, at_ns, side, tick, change, all_view or key > _deepest(p, _HELD, side))
    p.clock[_ROWS] = row + 1
    p.clock[_TOTAL + side * _OF_ASKS] += change


@inlined
def _lend(p: Pass, aggressor: int, tick: int, size: int) -> None:
    """Let a trade explain removals at its price on the side that it hit."""
    if aggressor != 0:
        side = 1 if aggressor > 0 else 0
    else:
        bid, ask = slot(_HELD, 0, 0), slot(_HELD, 1, 0)
        asks = p.sizes[ask] > 0 and tick >= p.ticks[ask]
        bids = p.sizes[bid] > 0 and tick <= p.ticks[bid]
        if asks == bids:
            return  # inside the spread it met hidden size; in a crossed book it is anyone's
        side = 1 if asks else 0
    count = p.clock[_PENDING]
    for k in range(count):
        if p.pending[k, 0] == side and p.pending[k, 1] == tick:
            p.pending[k, 2] += size
            return
    if count < len(p.pending):  # as many prices in one nanosecond as there are ticks in a daily limit
        p.pending[count, 0] = side
        p.pending[count, 1] = tick
        p.pending[count, 2] = size
        p.clock[_PENDING] = count + 1


@inlined
def _lend_prints(p: Pass, prints: Prints, ts_ns: int) -> None:
    """For a record without action: the trades since the record before are what may have been filled."""
    k = p.clock[_PRINT]
    if ts_ns > p.clock[_RECORD_NS]:
        p.clock[_PENDING] = 0
    while k < len(prints.time_ns) and prints.time_ns[k] <= ts_ns:
        if prints.time_ns[k] > p.clock[_RECORD_NS]:
            _lend(p, prints.side[k], prints.tick[k], prints.size[k])
        k += 1
    p.clock[_PRINT] = k
    p.clock[_PENDING_NS] = ts_ns
    p.clock[_UNNAMED] += 1


@inlined
def _is_state(p: Pass) -> bool:
    """Whether the new book is a state: something in it, and no bid at or over the best ask."""
    bid, ask = slot(NEW, 0, 0), slot(NEW, 1, 0)
    if p.sizes[bid] > 0 and p.sizes[ask] > 0:
        return bool(p.ticks[bid] < p.ticks[ask])
    return bool(p.sizes[bid] > 0 or p.sizes[ask] > 0)


@inlined
def _save(p: Pass) -> None:
    """Keep the settled book while the books after it are none."""
    for side in range(2):
        _copy(p.ticks, slot(_SAVED, side, 0), slot(_HELD, side, 0))
        _copy(p.sizes, slot(_SAVED, side, 0), slot(_HELD, side, 0))


@inlined
def _settle(p: Pass, at_ns: int, rows: int) -> None:
    """The held book is settled: date what led to it up to some rows, and go on with the averages from here."""
    clock = p.clock
    if clock[_FIRST_NS] == _NEVER:
        clock[_FIRST_NS] = at_ns
    for row in range(clock[_SETTLED_ROWS], rows):
        p.flow_ns[row] = at_ns
    for registers in range(0, 2 * _OF_ASKS, _OF_ASKS):
        clock[_LOAD + registers] += clock[_SETTLED_TOTAL + registers] * (at_ns - clock[_LOAD_NS])
        clock[_SETTLED_TOTAL + registers] = clock[_TOTAL + registers]
    clock[_LOAD_NS] = at_ns
    clock[_SETTLED_ROWS] = clock[_ROWS]
    clock[_SETTLED] = 1


@inlined
def _limit(p: Pass, at_ns: int) -> None:
    """Write how deep the held book is in sight, if that has changed."""
    bid, ask = slot(_HELD, 0, _DEPTH - 1), slot(_HELD, 1, _DEPTH - 1)
    bid_limit = p.ticks[bid] if p.sizes[bid] else _NO_BID_LIMIT
    ask_limit = p.ticks[ask] if p.sizes[ask] else _NO_ASK_LIMIT
    k = p.clock[_LIMITS]
    if k == 0 or p.limit_bid[k - 1] != bid_limit or p.limit_ask[k - 1] != ask_limit:
        p.limit_ns[k] = at_ns
        p.limit_bid[k] = bid_limit
        p.limit_ask[k] = ask_limit
        p.clock[_LIMITS] = k + 1


@inlined
def take_record(
    p: Pass,
    prints: Prints,
    ts_ns: int,
    action: int,
    flags: int,
    aggressor: int,
    tick: int,
    size: int,
    bids: int,
    asks: int,
    resized: int,
) -> None:
    """One record whose book is the new one.

    A bit of ``bids`` and ``asks`` is set per level that may differ from the held book; or only one level has another
    size, both above zero: ``resized`` is its place, side x 10 + level, else negative.
    """
    clock = p.clock
    if ts_ns >= clock[_MARK_NS]:
        due_marks(p, ts_ns)
    if action == 0:
        _lend_prints(p, prints, ts_ns)
    changed = (bids | asks) != 0 or resized >= 0
    if (bids | asks) & 1:
        clock[_STATE] = _is_state(p)
    settled = (flags & _F_LAST) != 0 and clock[_STATE] != 0
    rows = clock[_ROWS]
    at_ns = max(ts_ns, clock[_SETTLED_NS])  # a feed may step back in time; searches need ascending times
    if changed:
        if clock[_SETTLED] and not settled:
            _save(p)
            clock[_SETTLED] = 0
        all_view = action == _CLEAR or (flags & _SNAPSHOT_OR_BAD) != 0 or clock[_RECORD_NS] == _NEVER
        if resized >= 0:
            side = 1 if resized >= _DEPTH else 0
            _resize(p, at_ns, side, resized - side * _DEPTH, all_view)
        else:
            for side in range(0 if bids else 1, 2 if asks else 1):
                _compare(p, at_ns, side, asks if side else bids, all_view)
    if settled:
        if not clock[_SETTLED] or (bids | asks) & _TENTH:
            _limit(p, at_ns)
        if changed or not clock[_SETTLED]:
            _settle(p, at_ns, rows)
        clock[_SETTLED_NS] = at_ns
    if ts_ns > clock[_PENDING_NS]:
        clock[_PENDING] = 0
    if action == _TRADE:
        _lend(p, aggressor, tick, size)
        clock[_PENDING_NS] = ts_ns
    clock[_RECORD_NS] = ts_ns
