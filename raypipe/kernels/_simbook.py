"""The simulated book itself: queues of orders in integer ticks, and the rows that show ten levels of it.

A row is the 46 little-endian words of a vendor's MBP-10 record.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._jit import inlined, kernel

__all__ = [
    "ASK",
    "BID",
    "COUNT",
    "HEAD",
    "HEADER",
    "HIGHEST",
    "LOWEST",
    "NO_PRICE",
    "ORIGIN",
    "QUEUE",
    "ROWS",
    "ROW_WORDS",
    "SHOWN",
    "SPAN",
    "STATES",
    "TICK_E9",
    "TOTAL",
    "WALL",
    "consume",
    "depth_of",
    "detail",
    "emit",
    "ends_at",
    "note",
    "pull",
    "push",
]

#: Words of a row, ticks of the book, orders at a price, levels shown.
ROW_WORDS, SPAN, QUEUE, SHOWN = 46, 8192, 64, 10
#: Sides of arrays; best price of each in the state, -1 without orders.
BID, ASK = 0, 1
#: More of the state: outermost prices, rows written, the record's first word, price of index 0 in ticks.
LOWEST, HIGHEST, ROWS, HEADER, ORIGIN = range(2, 7)
STATES = 7
#: Planes of the levels: orders, first slot, contracts, contracts beyond the usual depth.
COUNT, HEAD, TOTAL, WALL = range(4)
#: The vendor's undefined price, and a tick in its unit.
NO_PRICE, TICK_E9 = np.iinfo(np.int64).max, 250_000_000
_CANCEL, _MODIFY = 67, 77


@inlined
def depth_of(levels: NDArray[np.int32], best: int, side: int, tick: int) -> int:
    """Levels with orders before ``tick``, ten at most."""
    step = 1 if side == ASK else -1
    n = 0
    at = best
    while best >= 0 and n < SHOWN and (tick - at) * step > 0:
        if levels[TOTAL, side, at] > 0:
            n += 1
        at += step
    return n


@inlined
def _put_side(levels: NDArray[np.int32], state: NDArray[np.int64], rows: NDArray[np.int64], at: int, side: int) -> None:
    step = 1 if side == ASK else -1
    end = state[HIGHEST] if side == ASK else state[LOWEST]
    shift = 32 * side
    tick = state[side]
    k = 0
    while tick >= 0 and k < SHOWN and (end - tick) * step >= 0:
        lots = int(levels[TOTAL, side, tick])
        if lots > 0:
            rows[at, 6 + 4 * k + side] = (state[ORIGIN] + tick) * TICK_E9
            rows[at, 8 + 4 * k] |= lots << shift
            rows[at, 9 + 4 * k] |= int(levels[COUNT, side, tick]) << shift
            k += 1
        tick += step


@kernel
def emit(
    levels: NDArray[np.int32],
    state: NDArray[np.int64],
    rows: NDArray[np.int64],
    ts: int,
    price: int,
    detail: int,
) -> None:
    """One row with the book as it stands; ``detail`` is its word of size, action, side, flags and depth."""
    at = state[ROWS]
    state[ROWS] = at + 1
    rows[at, 0] = state[HEADER]
    rows[at, 1] = ts
    rows[at, 2] = price
    rows[at, 3] = detail
    rows[at, 4] = 0
    rows[at, 5] = 0
    for k in range(SHOWN):
        rows[at, 6 + 4 * k] = NO_PRICE
        rows[at, 7 + 4 * k] = NO_PRICE
        rows[at, 8 + 4 * k] = 0
        rows[at, 9 + 4 * k] = 0
    _put_side(levels, state, rows, at, BID)
    _put_side(levels, state, rows, at, ASK)


@inlined
def detail(size: int, action: int, code: int, flags: int, depth: int) -> int:
    return int(size) | (action << 32) | (code << 40) | (flags << 48) | (depth << 56)


@inlined
def note(changes: NDArray[np.int32], at: int, side: int, tick: int, added: int, canceled: int, filled: int) -> None:
    changes[at, 0] = side
    changes[at, 1] = tick
    changes[at, 2] = added
    changes[at, 3] = canceled
    changes[at, 4] = filled


@inlined
def rebest(levels: NDArray[np.int32], state: NDArray[np.int64], side: int) -> None:
    """Move the best price outward to the next one with orders."""
    step = 1 if side == ASK else -1
    end = state[HIGHEST] if side == ASK else state[LOWEST]
    tick = state[side]
    while tick >= 0 and levels[TOTAL, side, tick] == 0:
        tick = tick + step if (end - tick) * step > 0 else -1
    state[side] = tick


@inlined
def ends_at(levels: NDArray[np.int32], state: NDArray[np.int64], side: int, tick: int) -> bool:
    """Whether the side has no orders beyond ``tick``."""
    step = 1 if side == ASK else -1
    end = state[HIGHEST] if side == ASK else state[LOWEST]
    at = tick + step
    while (end - at) * step >= 0:
        if levels[TOTAL, side, at] > 0:
            return False
        at += step
    return True


@kernel
def push(
    orders: NDArray[np.int32], levels: NDArray[np.int32], state: NDArray[np.int64], side: int, tick: int, lots: int
) -> None:
    """An order at the end of its queue; a full queue takes it into its last order."""
    count = levels[COUNT, side, tick]
    if count == QUEUE:
        orders[side, tick, (levels[HEAD, side, tick] + count - 1) % QUEUE] += lots
    else:
        orders[side, tick, (levels[HEAD, side, tick] + count) % QUEUE] = lots
        levels[COUNT, side, tick] = count + 1
    levels[TOTAL, side, tick] += lots
    best = state[side]
    if best < 0 or (tick > best if side == BID else tick < best):
        state[side] = tick
    if side == ASK:
        state[HIGHEST] = max(state[HIGHEST], tick)
    else:
        state[LOWEST] = min(state[LOWEST], tick)


@kernel
def pull(
    orders: NDArray[np.int32], levels: NDArray[np.int32], state: NDArray[np.int64], side: int, tick: int, place: int
) -> int:
    """Take the order at a place of its queue away; returns its contracts."""
    head, count = levels[HEAD, side, tick], levels[COUNT, side, tick]
    lots = orders[side, tick, (head + place) % QUEUE]
    for k in range(place, count - 1):
        orders[side, tick, (head + k) % QUEUE] = orders[side, tick, (head + k + 1) % QUEUE]
    levels[COUNT, side, tick] = count - 1
    levels[TOTAL, side, tick] -= lots
    if levels[TOTAL, side, tick] == 0:
        rebest(levels, state, side)
    return int(lots)


@kernel
def consume(
    orders: NDArray[np.int32],
    levels: NDArray[np.int32],
    state: NDArray[np.int64],
    side: int,
    tick: int,
    take: int,
) -> int:
    """Fill ``take`` contracts of a price, first come first served; returns action and size of the last order's record.

    As ``size | action << 32``: a cancel of an order that is gone, a modify to what is left of it.
    """
    last = 0
    while take > 0:
        head = levels[HEAD, side, tick]
        lots = int(orders[side, tick, head])
        if lots <= take:
            levels[HEAD, side, tick] = (head + 1) % QUEUE
            levels[COUNT, side, tick] -= 1
            done = lots
            last = lots | (_CANCEL << 32)
        else:
            orders[side, tick, head] = lots - take
            done = int(take)
            last = (lots - take) | (_MODIFY << 32)
        levels[TOTAL, side, tick] -= done
        take -= done
    if levels[TOTAL, side, tick] == 0:
        rebest(levels, state, side)
    return last
