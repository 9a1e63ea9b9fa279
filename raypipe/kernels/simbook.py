"""A simulated order book in integer ticks: every order in its queue, every event as the exchange feed shows it.

A taker gives one trade row for each price level, with the book before the fill, then a cancel or a modify of the
resting side for each, the last one closing the event. Nothing is emitted for what happens below the tenth level: the
feed does not show it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._jit import inlined, kernel
from raypipe.kernels._simbook import (
    ASK,
    BID,
    COUNT,
    HEAD,
    HEADER,
    HIGHEST,
    LOWEST,
    NO_PRICE,
    ORIGIN,
    QUEUE,
    ROW_WORDS,
    ROWS,
    SHOWN,
    SPAN,
    STATES,
    TICK_E9,
    TOTAL,
    WALL,
    consume,
    depth_of,
    detail,
    emit,
    ends_at,
    note,
    pull,
    push,
)

__all__ = [
    "ADD",
    "ASK",
    "AUCTION",
    "BID",
    "CANCEL",
    "CLEAR",
    "HEADER",
    "HIGHEST",
    "LOWEST",
    "MAX_ROWS",
    "ORIGIN",
    "PRE_ADD",
    "QUEUE",
    "RANDOM",
    "ROWS",
    "ROW_WORDS",
    "SPAN",
    "STATES",
    "TICK_E9",
    "WALL_SET",
    "run_book",
]

#: What a step does. Only a ``PRE_ADD`` may cross the book.
RANDOM, ADD, CANCEL, WALL_SET, AUCTION, CLEAR, PRE_ADD = range(7)
#: Columns of the steps.
TS, KIND, TARGET, DEPTH, SIDE, TICK, LOTS = range(7)
#: Rows that one step needs at most.
MAX_ROWS = 256
_SWEEP = 4
_A, _C, _M, _N, _R, _T = 65, 67, 77, 78, 82, 84
_BUYER, _SELLER, _LAST = 66, 65, 130
_HALF, _FULL = 32768, 65536
_MASK = 65535


@kernel
def _add(
    orders: NDArray[np.int32],
    levels: NDArray[np.int32],
    state: NDArray[np.int64],
    rows: NDArray[np.int64],
    changes: NDArray[np.int32],
    ts: int,
    side: int,
    tick: int,
    lots: int,
) -> None:
    """A new order, and its row if it can be seen."""
    push(orders, levels, state, side, tick, lots)
    depth = depth_of(levels, state[side], side, tick)
    if depth < SHOWN:
        note(changes, state[ROWS], side, tick, lots, 0, 0)
        code = _SELLER if side == ASK else _BUYER
        emit(levels, state, rows, ts, (state[ORIGIN] + tick) * TICK_E9, detail(lots, _A, code, _LAST, depth))


@kernel
def _cancel(
    orders: NDArray[np.int32],
    levels: NDArray[np.int32],
    state: NDArray[np.int64],
    rows: NDArray[np.int64],
    changes: NDArray[np.int32],
    ts: int,
    side: int,
    tick: int,
    dice: int,
) -> int:
    """Cancel one order of a price, or now and then halve it; returns the contracts gone, 0 if none may go."""
    count = levels[COUNT, side, tick]
    if count == 0 or (count == 1 and tick == state[side] and ends_at(levels, state, side, tick)):
        return 0
    depth = depth_of(levels, state[side], side, tick)
    place = (dice >> 3) % count
    slot = (levels[HEAD, side, tick] + place) % QUEUE
    lots = int(orders[side, tick, slot])
    if (dice & 3) == 0 and lots > 1:
        gone, left, action = lots // 2, lots - lots // 2, _M
        orders[side, tick, slot] = left
        levels[TOTAL, side, tick] -= gone
    else:
        gone = pull(orders, levels, state, side, tick, place)
        left, action = gone, _C
    if depth < SHOWN:
        note(changes, state[ROWS], side, tick, 0, gone, 0)
        code = _SELLER if side == ASK else _BUYER
        emit(levels, state, rows, ts, (state[ORIGIN] + tick) * TICK_E9, detail(left, action, code, _LAST, depth))
    return gone


@kernel
def _take(
    orders: NDArray[np.int32],
    levels: NDArray[np.int32],
    state: NDArray[np.int64],
    rows: NDArray[np.int64],
    changes: NDArray[np.int32],
    ts: int,
    side: int,
    lots: int,
    most: int,
) -> None:
    """An aggressor takes from the resting ``side``, over ``most`` price levels, never its last contract."""
    taker, maker = (_BUYER, _SELLER) if side == ASK else (_SELLER, _BUYER)
    step = 1 if side == ASK else -1
    end = state[HIGHEST] if side == ASK else state[LOWEST]
    first = state[side]
    left, tick, deepest, prices = lots, first, first, 0
    while left > 0 and prices < most and (end - tick) * step >= 0:
        here = int(levels[TOTAL, side, tick])
        if here > 0:
            prices += 1
            deepest = tick
            left -= min(left, here)
        tick += step
    lots -= left
    if levels[TOTAL, side, deepest] > 0 and ends_at(levels, state, side, deepest):
        lots = min(lots, int(levels[TOTAL, side, deepest]) - 1)
    for show in range(2):
        left, tick = lots, first
        while left > 0:
            here = min(left, int(levels[TOTAL, side, tick]))
            price = (state[ORIGIN] + tick) * TICK_E9
            left -= here
            if here > 0 and show == 0:
                note(changes, state[ROWS], side, tick, 0, 0, 0)
                emit(levels, state, rows, ts, price, detail(here, _T, taker, 0, 0))
            elif here > 0:
                last = consume(orders, levels, state, side, tick, here)
                note(changes, state[ROWS], side, tick, 0, 0, here)
                flags = _LAST if left == 0 else 0
                emit(levels, state, rows, ts, price, last | (maker << 40) | (flags << 48))
            tick += step


@kernel
def _uncross(
    orders: NDArray[np.int32],
    levels: NDArray[np.int32],
    state: NDArray[np.int64],
    rows: NDArray[np.int64],
    changes: NDArray[np.int32],
    ts: int,
) -> None:
    """The opening auction: what crosses trades at one price, without an aggressor."""
    while state[BID] >= state[ASK]:
        price = (state[BID] + state[ASK]) // 2
        buy, sell = 0, 0
        for tick in range(state[ASK], state[BID] + 1):
            buy += int(levels[TOTAL, BID, tick]) if tick >= price else 0
            sell += int(levels[TOTAL, ASK, tick]) if tick <= price else 0
        lots = min(buy, sell)
        note(changes, state[ROWS], BID, price, 0, 0, 0)
        emit(levels, state, rows, ts, (state[ORIGIN] + price) * TICK_E9, detail(lots, _T, _N, 0, 0))
        for side in range(2):
            left = lots
            while left > 0:
                tick = state[side]
                here = min(left, int(levels[TOTAL, side, tick]))
                left -= here
                last = consume(orders, levels, state, side, tick, here)
                note(changes, state[ROWS], side, tick, 0, 0, here)
                code = (_SELLER if side == ASK else _BUYER) << 40
                flags = (_LAST if left == 0 and side == ASK else 0) << 48
                emit(levels, state, rows, ts, (state[ORIGIN] + tick) * TICK_E9, last | code | flags)


@inlined
def _lots_of(dice: int) -> int:
    """Contracts of an order: mostly few, one in 64 large."""
    u = dice & _MASK
    lots = 1 + ((((u * u) >> 16) * 9) >> 16)
    if ((dice >> 16) & 63) == 0:
        lots *= 4 + ((dice >> 22) & 15)
    return lots


@kernel
def _market_order(
    orders: NDArray[np.int32],
    levels: NDArray[np.int32],
    state: NDArray[np.int64],
    rows: NDArray[np.int64],
    changes: NDArray[np.int32],
    step: NDArray[np.int64],
    gap: int,
    dice: int,
    more: int,
) -> None:
    """A taker who leans to where the price should be; far from it, one who clears the best level."""
    lean = max(-28_000, min(28_000, gap * 700))
    side = ASK if (dice & _MASK) < _HALF + lean else BID
    lots = _lots_of(more)
    toward = gap if side == ASK else -gap
    best = state[side]
    if toward >= 24 and levels[WALL, side, best] <= 0 and (toward >= 64 or ((dice >> 16) & 1) == 0):
        lots = int(levels[TOTAL, side, best]) + ((dice >> 17) & 3)
    most = step[LOTS] if step[LOTS] > 0 else _SWEEP
    _take(orders, levels, state, rows, changes, step[TS], side, lots, most)


@kernel
def _limit_order(
    orders: NDArray[np.int32],
    levels: NDArray[np.int32],
    state: NDArray[np.int64],
    rows: NDArray[np.int64],
    changes: NDArray[np.int32],
    step: NDArray[np.int64],
    gap: int,
    dice: int,
    more: int,
) -> None:
    """Add or cancel near the touch, so that each level returns to its usual depth."""
    ts, spread = step[TS], state[ASK] - state[BID]
    if spread > 1 and (dice & 3) > 0:
        side = BID if gap > 0 else ASK
        _add(orders, levels, state, rows, changes, ts, side, state[side] + (1 if side == BID else -1), _lots_of(more))
        return
    side = (dice >> 2) & 1
    u = (dice >> 3) & _MASK
    away = (((u * u) >> 16) * 14) >> 16
    tick = state[side] + (away if side == ASK else -away)
    if tick < 1 or tick > SPAN - 2:
        return
    usual = step[DEPTH] * (5 if away == 0 else 7 if away == 1 else 8) // 8
    beyond = max(0, int(levels[TOTAL, side, tick]) - int(levels[WALL, side, tick]))
    against = gap if side == ASK else -gap
    grows = ((dice >> 20) & _MASK) * (usual + beyond) < usual * _FULL
    if away == 0 and against >= 24:
        grows = False
    if away == 0 and against <= -24:
        grows = True
    if grows:
        _add(orders, levels, state, rows, changes, ts, side, tick, _lots_of(more))
    else:
        _cancel(orders, levels, state, rows, changes, ts, side, tick, more >> 36)


@kernel
def _script(
    orders: NDArray[np.int32],
    levels: NDArray[np.int32],
    state: NDArray[np.int64],
    rows: NDArray[np.int64],
    changes: NDArray[np.int32],
    step: NDArray[np.int64],
) -> None:
    """What a step orders outright: an add, cancels of up to so many contracts, a wall, the auction, a clear."""
    ts, kind, side, tick, lots = step[TS], step[KIND], step[SIDE], step[TICK], step[LOTS]
    if (kind == ADD and not ((tick >= state[ASK]) if side == BID else (tick <= state[BID]))) or kind == PRE_ADD:
        _add(orders, levels, state, rows, changes, ts, side, tick, lots)
    elif kind == CANCEL:
        # The last record at a time closes its event; each cancel has a nanosecond of its own.
        for turn in range(16):
            if lots > 0:
                gone = _cancel(orders, levels, state, rows, changes, ts + turn, side, tick, 1)
                lots = lots - gone if gone > 0 else 0
    elif kind == WALL_SET:
        levels[WALL, side, tick] = lots
    elif kind == AUCTION:
        _uncross(orders, levels, state, rows, changes, ts)
    elif kind == CLEAR:
        note(changes, state[ROWS], BID, 0, 0, 0, 0)
        emit(levels, state, rows, ts, NO_PRICE, detail(0, _R, _N, _LAST, 0))


@kernel
def run_book(
    orders: NDArray[np.int32],
    levels: NDArray[np.int32],
    state: NDArray[np.int64],
    steps: NDArray[np.int64],
    words: NDArray[np.int64],
    rows: NDArray[np.int64],
    changes: NDArray[np.int32],
    start: int,
) -> int:
    """Run steps until they end or the rows are full.

    Parameters
    ----------
    orders
        Contracts of every order, int32 (2, SPAN, QUEUE), rings.
    levels
        Planes COUNT, HEAD, TOTAL and WALL, int32 (4, 2, SPAN).
    state
        int64 (STATES,): best prices (-1 without orders), outermost prices, rows written, the record's first word, ticks
        of index 0. Changed in place, as the book.
    steps
        int64 (n, 7): time in ns UTC, kind, fair price in sixteenths of a tick from index 0, usual contracts of a level,
        and side, tick and contracts of a scripted step. Of a drawn one the last is how many price levels its taker may
        sweep, 0 for four.
    words
        Random numbers, int64 (n, 2), not negative.
    rows
        Receives records, int64 (m, ROW_WORDS); times of receipt and sequences stay 0.
    changes
        Receives side, tick, contracts added, canceled and filled of each row, int32 (m, 5); all 0 of a trade.
    start
        First step.

    Returns
    -------
    The first step that was not run.
    """
    i = start
    while i < len(steps) and state[ROWS] + MAX_ROWS <= len(rows):
        step = steps[i]
        dice, more = words[i, 0], words[i, 1]
        gap = step[TARGET] - 8 * (state[BID] + state[ASK])
        if step[KIND] != RANDOM:
            _script(orders, levels, state, rows, changes, step)
        elif (dice >> 40) & _MASK < (38_000 if gap >= 48 or gap <= -48 else 18_000):
            _market_order(orders, levels, state, rows, changes, step, gap, dice & 0xFFFFFFFF, more)
        else:
            _limit_order(orders, levels, state, rows, changes, step, gap, dice & 0xFFFFFFFFFF, more)
        i += 1
    return i
