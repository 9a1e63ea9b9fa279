"""DBN records to columns: 64-bit words of a chunk in, columns of the bronze tables out.

A chunk is an int64 array of shape (records, words), as it lies in the file. Words that hold several fields are taken
apart by shifts, so one view of the memory serves all of them::

    0  length u8, rtype u8, publisher u16, instrument_id u32      3  size u32, action u8, side u8, flags u8, depth u8
    1  ts_event                                                   4  ts_recv
    2  price, 1e-9                                                5  ts_in_delta i32, sequence u32
    6 + 4 k  bid price, ask price, sizes (bid low, ask high), order counts of level k

Two passes over a chunk that lies in the cache: `route` says which contract each record belongs to, `book_rows` turns
the records of one contract (or of all, for trades) into rows of its buffers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._jit import inlined, kernel

__all__ = [
    "BAD_EPOCH",
    "DONE",
    "FIRST_EVENT",
    "FIRST_RECV",
    "LAST_EVENT",
    "LAST_RECV",
    "LATEST",
    "LOTS",
    "NO_TICKS",
    "REASONS",
    "ROWS",
    "STATS",
    "STEPS_BACK",
    "UNKNOWN",
    "Columns",
    "Rules",
    "Tally",
    "book_rows",
    "gather_records",
    "leading_records",
    "new_stats",
    "route",
]

#: What `route` stopped at.
DONE, UNKNOWN, BAD_EPOCH = 0, 1, 2
#: Columns of the statistics of a contract.
ROWS, LOTS, FIRST_EVENT, LAST_EVENT, FIRST_RECV, LAST_RECV, STEPS_BACK, LATEST = range(8)
STATS = 8
#: Why a record was refused, by code.
REASONS = ("", "time_outside_file", "price", "off_grid", "size", "level_off_grid")
_OUTSIDE, _PRICE, _GRID, _SIZE, _LEVEL = range(1, 6)
#: Stands for an undefined price until the column gets its nulls.
NO_TICKS = -(2**31)
_UNDEFINED = 2**63 - 1
_MAX_TICKS = 2**31 - 1
_TRADE, _CLEAR = 84, 82
_NS_PER_MINUTE = 60_000_000_000
_YEAR_2000_NS, _YEAR_2100_NS = 946_684_800_000_000_000, 4_102_444_800_000_000_000
_LEVEL_0, _LEVEL_WORDS, _LEVELS = 6, 4, 10
_HEAD_MASK = 0xFFFF
_LOW = 0xFFFFFFFF


class Columns(NamedTuple):
    """Buffers of columns, a row of memory for each; 42 is 2 + 4 x 10 levels, without a book both are 2."""

    longs: NDArray[np.int64]
    """ts_event, ts_recv; int64 (2, rows)."""
    ints: NDArray[np.int32]
    """Price in ticks and slot, then bid and ask price of each level; int32 (22, rows)."""
    sizes: NDArray[np.uint32]
    """Sequence and size, then bid and ask size, bid and ask count of each level; uint32 (42, rows)."""
    small: NDArray[np.uint8]
    """Side (as int8), action, flags, depth; uint8 (4, rows)."""
    nulls: NDArray[np.int64]
    """How many prices are undefined, for each row of ``ints``; int64 (22,)."""


class Rules(NamedTuple):
    """What records are held against."""

    tick: int
    """Size of a tick in 1e-9."""
    first_ns: int
    """First nanosecond that the file may hold."""
    end_ns: int
    """The one after its last."""
    cover_ns: int
    """First nanosecond of the minutes that are counted."""
    cover_end_ns: int
    """The one after the last."""


class Tally(NamedTuple):
    """What is counted, by slot."""

    stats: NDArray[np.int64]
    """Statistics as of `new_stats`; int64 (slots, STATS)."""
    minutes: NDArray[np.uint8]
    """1 where a minute has a record; uint8 (slots, minutes)."""


@kernel
def leading_records(words: NDArray[np.int64], head: int) -> int:
    """Count the records from the first on that all have one length and type.

    Parameters
    ----------
    words
        int64 (records, words): a chunk cut at one length.
    head
        ``length | rtype << 8``, the low bits of the first word.
    """
    count: int = words.shape[0]
    for i in range(count):
        if words[i, 0] & _HEAD_MASK != head:
            return i
    return count


@kernel
def gather_records(words: NDArray[np.int64], head: int, wanted: NDArray[np.int64]) -> tuple[int, int, int, bool]:
    """Copy the records of one length and type out of a stream of several.

    Parameters
    ----------
    words
        int64 (n,): the stream from a record's start on.
    head
        As in `leading_records`.
    wanted
        int64 (records, words) to copy into.

    Returns
    -------
    Words consumed, records copied, records of other types, and whether it stopped at a record whose length cannot be.
    """
    at, copied, others = 0, 0, 0
    size = (head & 0xFF) >> 1
    while at < words.shape[0] and copied < wanted.shape[0]:
        quads = words[at] & 0xFF
        # The shortest record is a header and one word; all are whole words of 64 bits.
        if quads < 6 or quads & 1 or ((words[at] ^ head) & _HEAD_MASK != 0 and (words[at] ^ head) & 0xFF00 == 0):
            return at, copied, others, True
        if at + quads // 2 > words.shape[0]:
            break
        if words[at] & _HEAD_MASK == head:
            for k in range(size):
                wanted[copied, k] = words[at + k]
            copied += 1
        else:
            others += 1
        at += quads // 2
    return at, copied, others, False


@kernel
def route(
    words: NDArray[np.int64],
    start: int,
    window: NDArray[np.int64],
    table: NDArray[np.int64],
    valid: NDArray[np.int64],
    excluded: NDArray[np.bool_],
    counts: NDArray[np.int64],
    slot_of: NDArray[np.int32],
) -> tuple[int, int]:
    """Find the contract of every record of a session.

    Parameters
    ----------
    words
        int64 (records, words).
    start
        First record to look at.
    window
        int64 (2,): the session's first nanosecond and the one after its last.
    table
        int64 (size, 2), size a power of two: instrument ids (-1: free) and their slots, probed linearly.
    valid
        int64 (slots, 2): from when, and until when, a slot stands for its id.
    excluded
        bool (slots,): whether records of a slot are only counted.
    counts
        int64 (slots, 2): rows and traded lots of excluded slots; added to.
    slot_of
        int32 (records,): written; -1 where a record is of another session or excluded.

    Returns
    -------
    The record at which it stopped, and `DONE`, `UNKNOWN` (an id without a valid slot) or `BAD_EPOCH`.
    """
    mask = table.shape[0] - 1
    last_id, slot = -1, -1
    for i in range(start, words.shape[0]):
        ts = words[i, 1]
        if ts < _YEAR_2000_NS or ts >= _YEAR_2100_NS:
            return i, BAD_EPOCH
        slot_of[i] = -1
        if ts < window[0] or ts >= window[1]:
            continue
        number = (words[i, 0] >> 32) & _LOW
        if number != last_id:
            k = number & mask
            while table[k, 0] != number and table[k, 0] != -1:
                k = (k + 1) & mask
            if table[k, 0] == -1:
                return i, UNKNOWN
            last_id, slot = number, table[k, 1]
        if ts < valid[slot, 0] or ts >= valid[slot, 1]:
            return i, UNKNOWN
        if excluded[slot]:
            counts[slot, 0] += 1
            if (words[i, 3] >> 32) & 0xFF == _TRADE:
                counts[slot, 1] += words[i, 3] & _LOW
            continue
        slot_of[i] = slot
    return words.shape[0], DONE


@inlined
def _ticks(price: int, tick: int, per_tick: float) -> int:
    """Whole ticks of a price; `NO_TICKS` if undefined, `_MAX_TICKS` if it is on no tick."""
    if price == _UNDEFINED:
        return NO_TICKS
    # A product and an exact test cost a tenth of a division.
    ticks = int(np.rint(price * per_tick))
    if ticks * tick != price or ticks >= _MAX_TICKS or ticks <= NO_TICKS:
        return _MAX_TICKS
    return ticks


@inlined
def _refused(words: NDArray[np.int64], i: int, ticks: int, rules: Rules, levels: int) -> int:
    """Code of the first rule that a record breaks, 0 if none."""
    ts = words[i, 1]
    action = (words[i, 3] >> 32) & 0xFF
    if ts < rules.first_ns or ts >= rules.end_ns:
        return _OUTSIDE
    if action == _CLEAR:
        return 0
    if ticks == _MAX_TICKS:
        return _GRID if words[i, 2] > 0 else _PRICE
    if ticks <= 0 and (ticks != NO_TICKS or levels == 0 or action == _TRADE):
        return _PRICE
    if words[i, 3] & _LOW == 0 and (levels == 0 or action == _TRADE):
        return _SIZE
    return 0


@inlined
def _known_action(action: int) -> int:
    """The vendor's code, 0 if it is none that is documented: A, C, F, M, R, T."""
    return action if action in (65, 67, 70, 77, 82, 84) else 0


@inlined
def _count(stats: NDArray[np.int64], slot: int, words: NDArray[np.int64], i: int) -> None:
    """Note a record in its contract's statistics."""
    ts, recv = words[i, 1], words[i, 4]
    if stats[slot, ROWS] == 0:
        stats[slot, FIRST_EVENT] = stats[slot, LAST_EVENT] = stats[slot, LATEST] = ts
        stats[slot, FIRST_RECV] = stats[slot, LAST_RECV] = recv
    stats[slot, ROWS] += 1
    if (words[i, 3] >> 32) & 0xFF == _TRADE:
        stats[slot, LOTS] += words[i, 3] & _LOW
    if ts < stats[slot, LATEST]:
        stats[slot, STEPS_BACK] += 1
    stats[slot, LATEST] = ts
    stats[slot, FIRST_EVENT] = min(stats[slot, FIRST_EVENT], ts)
    stats[slot, LAST_EVENT] = max(stats[slot, LAST_EVENT], ts)
    stats[slot, FIRST_RECV] = min(stats[slot, FIRST_RECV], recv)
    stats[slot, LAST_RECV] = max(stats[slot, LAST_RECV], recv)


@kernel
def book_rows(
    words: NDArray[np.int64],
    chosen: NDArray[np.int64],
    slot_of: NDArray[np.int32],
    rules: Rules,
    tally: Tally,
    columns: Columns,
    at: int,
    most: int,
    codes: NDArray[np.uint8],
) -> tuple[int, int]:
    """Turn records into rows of column buffers; records that break a rule are marked instead.

    Parameters
    ----------
    words
        int64 (records, words).
    chosen
        int64 (n,): the records wanted, in order.
    slot_of
        int32 (records,): contract of each record.
    rules, tally, columns
        What records are held against, what is counted, and where rows go.
    at, most
        Row to write next; row at which the buffers are full.
    codes
        uint8 (records,): written for chosen records: 0, or the code of the rule broken, see `REASONS`.

    Returns
    -------
    How many of ``chosen`` were used up (fewer if the buffers are full), and the row after the last one written.
    """
    longs, ints, sizes, small, nulls = columns
    stats, minutes = tally
    tick, per_tick = rules.tick, 1.0 / rules.tick
    levels = _LEVELS if ints.shape[0] > 2 else 0
    minute, minute_end = 0, -1
    for n in range(chosen.shape[0]):
        if at == most:
            return n, at
        i = chosen[n]
        slot = slot_of[i]
        ticks = _ticks(words[i, 2], tick, per_tick)
        code = _refused(words, i, ticks, rules, levels)
        if code == 0 and ticks >= _MAX_TICKS:
            ticks = NO_TICKS
        for level in range(levels):
            w = _LEVEL_0 + _LEVEL_WORDS * level
            bid, ask = _ticks(words[i, w], tick, per_tick), _ticks(words[i, w + 1], tick, per_tick)
            if bid >= _MAX_TICKS or ask >= _MAX_TICKS:
                code = _LEVEL if code == 0 else code
                break
            held, orders = words[i, w + 2], words[i, w + 3]
            if bid == NO_TICKS:
                held, orders = (held >> 32) << 32, (orders >> 32) << 32
                nulls[2 + 2 * level] += 1
            if ask == NO_TICKS:
                held, orders = held & _LOW, orders & _LOW
                nulls[3 + 2 * level] += 1
            ints[2 + 2 * level, at], ints[3 + 2 * level, at] = bid, ask
            c = 2 + 4 * level
            sizes[c, at], sizes[c + 1, at] = np.uint32(held & _LOW), np.uint32((held >> 32) & _LOW)
            sizes[c + 2, at], sizes[c + 3, at] = np.uint32(orders & _LOW), np.uint32((orders >> 32) & _LOW)
        codes[i] = code
        if code != 0:
            continue
        ts, pack = words[i, 1], words[i, 3]
        longs[0, at], longs[1, at] = ts, words[i, 4]
        ints[0, at], ints[1, at] = ticks, slot
        nulls[0] += ticks == NO_TICKS
        sizes[0, at], sizes[1, at] = np.uint32((words[i, 5] >> 32) & _LOW), np.uint32(pack & _LOW)
        side = (pack >> 40) & 0xFF
        small[0, at] = 1 if side == 66 else 255 if side == 65 else 0
        small[1, at] = _known_action((pack >> 32) & 0xFF)
        small[2, at], small[3, at] = (pack >> 48) & 0xFF, (pack >> 56) & 0xFF
        _count(stats, slot, words, i)
        if rules.cover_ns <= ts < rules.cover_end_ns:
            if ts >= minute_end or ts < minute_end - _NS_PER_MINUTE:
                minute = (ts - rules.cover_ns) // _NS_PER_MINUTE
                minute_end = rules.cover_ns + (minute + 1) * _NS_PER_MINUTE
            minutes[slot, minute] = 1
        at += 1
    return chosen.shape[0], at


def new_stats(slots: int) -> NDArray[np.int64]:
    """Statistics of contracts without records: int64 (slots, STATS)."""
    return np.zeros((slots, STATS), dtype=np.int64)
