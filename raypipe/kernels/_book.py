"""The loops behind `raypipe.kernels.book`: what a record changes, and what the pass carries to the next."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._jit import inlined

__all__ = ["ALL_LEVELS", "CLOCKS", "NEW", "Clock", "Pass", "Prints", "due_marks", "take_record"]


class Clock(IntEnum):
    """Places of the registers that a pass carries."""

    RECORD_NS = 0  # time of the record before
    SETTLED = 1  # whether it left a settled book
    SETTLED_NS = 2  # time of the last settled book
    SETTLED_ROWS = 3  # rows of the flow up to it
    FIRST_NS = 4  # time of the first
    ROWS = 5  # rows of the flow so far
    LIMITS = 6  # rows of the limits so far
    MARK = 7  # marks written
    PENDING = 8  # prices with traded size that is not yet found removed
    PENDING_NS = 9  # time of those trades
    PRINT = 10  # trades taken, for records without action
    UNNAMED = 11  # records without action
    TOTAL = 12  # size of all bid levels of the last record; the next of all ask levels
    SETTLED_TOTAL = 14  # the same of the last settled book
    LOAD = 16  # the same x ns up to the last settled book


CLOCKS = 18
# numba folds plain module constants, not members of an enum reached through its class.
(
    _RECORD_NS, _SETTLED, _SETTLED_NS, _SETTLED_ROWS, _FIRST_NS, _ROWS, _LIMITS, _MARK, _PENDING, _PENDING_NS, _PRINT,
    _UNNAMED, _TOTAL, _SETTLED_TOTAL, _LOAD,
) = (int(register) for register in Clock)  # fmt: skip
_HELD, NEW, _SAVED = 0, 1, 2  # the book of the record before, of this one, and the last settled one if neither is
_DEPTH = 10
ALL_LEVELS = (1 << _DEPTH) - 1
_DEEPEST = np.iinfo(np.int64).max
_NEVER = np.iinfo(np.int64).min
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
    """int64 (3 books, 2 sides, 10 levels)."""
    sizes: NDArray[Any]
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
                since = p.mark_at[k] - clock[_SETTLED_NS]
                p.mark_load[k, side] = clock[_LOAD + side] + clock[_SETTLED_TOTAL + side] * since
                for level in range(_DEPTH):
                    if p.sizes[book, side, level] > 0:
                        p.mark_ticks[k, side, level] = p.ticks[book, side, level]
                        p.mark_sizes[k, side, level] = p.sizes[book, side, level]
        k += 1
    clock[_MARK] = k


@inlined
def _deepest(p: Pass, book: int, side: int) -> int:
    """Depth key of the tenth level, ascending away from the market; beyond all if there are fewer."""
    if p.sizes[book, side, _DEPTH - 1] == 0:
        return _DEEPEST
    tick = int(p.ticks[book, side, _DEPTH - 1])
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
def _compare(p: Pass, side: int, mask: int, all_view: bool) -> None:
    """Write what changed on one side between the held and the new book, and hold the new one.

    ``mask`` has a bit per level that may differ; levels outside its span are equal in both books.
    """
    first = 0
    while not (mask >> first) & 1:
        first += 1
    last = _DEPTH - 1
    while not (mask >> last) & 1:
        last -= 1
    limit = min(_deepest(p, _HELD, side), _deepest(p, NEW, side))
    sign = 1 if side else -1
    row, total = p.clock[_ROWS], 0
    i = j = first
    while True:
        while i <= last and p.sizes[_HELD, side, i] == 0:
            i += 1
        while j <= last and p.sizes[NEW, side, j] == 0:
            j += 1
        if i > last and j > last:
            break
        held = sign * p.ticks[_HELD, side, i] if i <= last else _DEEPEST
        new = sign * p.ticks[NEW, side, j] if j <= last else _DEEPEST
        key, before, after = min(held, new), 0, 0
        if held == key:
            before = p.sizes[_HELD, side, i]
            i += 1
        if new == key:
            after = p.sizes[NEW, side, j]
            j += 1
        change = after - before
        if change == 0:
            continue
        total += change
        added = canceled = filled = view = 0
        if all_view or key > limit:
            view = change
        elif change > 0:
            added = change
        else:
            filled = _take_pending(p, side, sign * key, -change)
            canceled = -change - filled
        p.flow_side[row] = side
        p.flow_tick[row] = sign * key
        p.flow_added[row] = added
        p.flow_canceled[row] = canceled
        p.flow_filled[row] = filled
        p.flow_scrolled[row] = view
        row += 1
    p.clock[_ROWS] = row
    p.clock[_TOTAL + side] += total
    for level in range(first, last + 1):
        p.ticks[_HELD, side, level] = p.ticks[NEW, side, level]
        p.sizes[_HELD, side, level] = p.sizes[NEW, side, level]


@inlined
def _lend(p: Pass, aggressor: int, tick: int, size: int) -> None:
    """Let a trade explain removals at its price on the side that it hit."""
    if aggressor != 0:
        side = 1 if aggressor > 0 else 0
    else:
        asks = p.sizes[_HELD, 1, 0] > 0 and tick >= p.ticks[_HELD, 1, 0]
        bids = p.sizes[_HELD, 0, 0] > 0 and tick <= p.ticks[_HELD, 0, 0]
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
def _is_uncrossed(p: Pass) -> bool:
    """Whether the new book is a state: something in it, and no bid at or over the best ask."""
    bid, ask = bool(p.sizes[NEW, 0, 0] > 0), bool(p.sizes[NEW, 1, 0] > 0)
    if bid and ask:
        return bool(p.ticks[NEW, 0, 0] < p.ticks[NEW, 1, 0])
    return bid or ask


@inlined
def _save(p: Pass) -> None:
    """Keep the settled book while the books after it are none."""
    for side in range(2):
        for level in range(_DEPTH):
            p.ticks[_SAVED, side, level] = p.ticks[_HELD, side, level]
            p.sizes[_SAVED, side, level] = p.sizes[_HELD, side, level]


@inlined
def _settle(p: Pass, ts_ns: int) -> None:
    """The held book is settled: date what led to it, and go on with the averages from here."""
    clock = p.clock
    at = max(ts_ns, clock[_SETTLED_NS])  # a feed may step back in time; searches need ascending times
    if clock[_FIRST_NS] == _NEVER:
        clock[_FIRST_NS] = at
    else:
        for side in range(2):
            clock[_LOAD + side] += clock[_SETTLED_TOTAL + side] * (at - clock[_SETTLED_NS])
    for row in range(clock[_SETTLED_ROWS], clock[_ROWS]):
        p.flow_ns[row] = at
    clock[_SETTLED] = 1
    clock[_SETTLED_NS] = at
    clock[_SETTLED_ROWS] = clock[_ROWS]
    clock[_SETTLED_TOTAL] = clock[_TOTAL]
    clock[_SETTLED_TOTAL + 1] = clock[_TOTAL + 1]
    bid = p.ticks[_HELD, 0, _DEPTH - 1] if p.sizes[_HELD, 0, _DEPTH - 1] else _NO_BID_LIMIT
    ask = p.ticks[_HELD, 1, _DEPTH - 1] if p.sizes[_HELD, 1, _DEPTH - 1] else _NO_ASK_LIMIT
    k = clock[_LIMITS]
    if k == 0 or p.limit_bid[k - 1] != bid or p.limit_ask[k - 1] != ask:
        p.limit_ns[k] = at
        p.limit_bid[k] = bid
        p.limit_ask[k] = ask
        clock[_LIMITS] = k + 1


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
    bid_mask: int,
    ask_mask: int,
) -> None:
    """One record whose book is the new one."""
    clock = p.clock
    if clock[_MARK] < len(p.mark_at) and p.mark_at[clock[_MARK]] <= ts_ns:
        due_marks(p, ts_ns)
    settled = (flags & _F_LAST) != 0 and _is_uncrossed(p)
    if clock[_SETTLED] and not settled:
        _save(p)
        clock[_SETTLED] = 0
    if action == 0:
        _lend_prints(p, prints, ts_ns)
    all_view = action == _CLEAR or (flags & _SNAPSHOT_OR_BAD) != 0 or clock[_RECORD_NS] == _NEVER
    if bid_mask:
        _compare(p, 0, bid_mask, all_view)
    if ask_mask:
        _compare(p, 1, ask_mask, all_view)
    if ts_ns > clock[_PENDING_NS]:
        clock[_PENDING] = 0
    if action == _TRADE:
        _lend(p, aggressor, tick, size)
        clock[_PENDING_NS] = ts_ns
    if settled:
        _settle(p, ts_ns)
    clock[_RECORD_NS] = ts_ns
