"""What was added to a book, canceled in it and taken from it: one pass over its ten best levels, record by record.

A record's own size is not the change that it made, and its action does not say why size left: both are read from the
difference of successive books, and trades tell fills from cancels. Depth that scrolls into or out of sight is neither.

Only a *settled* book counts as a state: the last record of its event, not crossed, with something in it. What
changed since the settled book before is dated at that moment, so that the flow of any span of time adds up exactly
from the book at its start to the book at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from raypipe.kernels._book import CHANGES, CLOCKS, Clock, Pass, Prints
from raypipe.kernels._book_scans import BLOCK, DBN_WORDS, Block, Heads, Levels, scan_columns, scan_records, write_marks
from raypipe.kernels._jit import as_input

__all__ = [
    "ASK",
    "BID",
    "DEPTH",
    "NEVER",
    "NO_ASK_LIMIT",
    "NO_BID_LIMIT",
    "Book",
    "BookColumns",
    "BookScan",
    "Flow",
    "Limits",
    "Marks",
    "Prints",
]

#: Sides, as places in arrays and as codes of the flow.
BID, ASK = 0, 1
#: Levels of a side in a record.
DEPTH = 10
#: Time of a book where there was none.
NEVER = np.iinfo(np.int64).min
#: Limits of a side that shows fewer than ten levels, and hence all it has.
NO_BID_LIMIT, NO_ASK_LIMIT = np.iinfo(np.int32).min, np.iinfo(np.int32).max

_FIRST_CAPACITY = 1 << 17


class BookColumns(NamedTuple):
    """Records of one contract as columns; (records,) each, and ten of each level column."""

    time_ns: NDArray[np.int64]
    action: NDArray[np.uint8]
    """The vendor's ASCII code; 0 unknown."""
    flags: NDArray[np.uint8]
    side: NDArray[np.int8]
    """1 bid or buy, -1 ask or sell, 0 unknown."""
    tick: NDArray[np.int32]
    """Price of the record; read only where the action is a trade."""
    size: NDArray[np.uint32]
    bid_ticks: tuple[NDArray[np.int32], ...]
    ask_ticks: tuple[NDArray[np.int32], ...]
    bid_sizes: tuple[NDArray[np.uint32], ...]
    """0 = no such level, whatever its tick."""
    ask_sizes: tuple[NDArray[np.uint32], ...]


class Flow(NamedTuple):
    """Changes of resting size, a row per price and record that changed it; (rows,) each, in time order."""

    time_ns: NDArray[np.int64]
    """When the book that shows the change was settled."""
    side: NDArray[np.int8]
    tick: NDArray[np.int32]
    added: NDArray[np.int32]
    canceled: NDArray[np.int32]
    filled: NDArray[np.int32]
    scrolled: NDArray[np.int32]
    """Size that came into sight, negative: that went out of it."""


class Limits(NamedTuple):
    """How deep the settled book was in sight, a row per change; (changes,) each."""

    time_ns: NDArray[np.int64]
    bid: NDArray[np.int32]
    """Tick of the tenth bid; `NO_BID_LIMIT` if there are fewer."""
    ask: NDArray[np.int32]


class Marks(NamedTuple):
    """The last book settled before each of some moments."""

    at_ns: NDArray[np.int64]
    """The moments, ascending; int64 (marks,)."""
    time_ns: NDArray[np.int64]
    """When that book was settled; `NEVER` if there was none. int64 (marks,)."""
    row: NDArray[np.int64]
    """Rows of the flow up to that book; int64 (marks,)."""
    load: NDArray[np.int64]
    """Size of the ten levels x ns, summed from the first settled book to the moment; int64 (marks, 2 sides)."""
    tick: NDArray[np.int32]
    """int32 (marks, 2 sides, 10 levels)."""
    size: NDArray[np.int32]
    """0 = no such level; int32 (marks, 2 sides, 10 levels)."""


class Book(NamedTuple):
    """What one pass over the records leaves."""

    flow: Flow
    limits: Limits
    marks: Marks
    first_ns: int
    """When the first book was settled; `NEVER` if none was."""
    unnamed: int
    """Records without action, whose fills follow from traded volume."""


class BookScan:
    """One pass over the records of a contract, in pieces of any length; the pieces never change the result.

    1. The common view of two successive books are the prices no deeper than the shallower of their tenth levels; a
       side with fewer levels shows everything. A change inside it is liquidity, outside it is view.
    2. A trade lends its size to its price on the resting side; what is removed there next counts as filled up to
       that size. The rest expires once the first record of a later time has been compared.
    3. Clears, snapshots and maybe-bad records change nothing but view.
    4. A record without action takes the trades after the record before it, up to its own time, for pending.

    Parameters
    ----------
    marks_ns
        Moments of which the settled book before is kept; int64 (marks,), ascending.
    prints
        Trades of the same contract, for records without action.
    rows
        Rows of the flow to have room for at first. It grows by itself; memory that is not used costs little, and
        that which is outgrown is copied.
    """

    def __init__(
        self, marks_ns: NDArray[np.int64], prints: Prints | None = None, *, rows: int = _FIRST_CAPACITY
    ) -> None:
        self._at = as_input(marks_ns, np.int64)
        self._prints = _prints(prints)
        self._clock = np.zeros(CLOCKS, np.int64)
        self._clock[[Clock.RECORD_NS, Clock.SETTLED_NS, Clock.PENDING_NS, Clock.FIRST_NS]] = NEVER
        self._clock[Clock.MARK_NS] = self._at[0] if len(self._at) else np.iinfo(np.int64).max
        self._ticks, self._sizes = (np.zeros(3 * 2 * DEPTH, np.int64) for _ in range(2))
        self._pending = np.zeros((4096, 3), np.int64)
        self._flow = _flow(rows)
        self._limits = _limits(rows)
        self._marks = _marks(self._at)
        self._pass = self._state()
        ticks, sizes = (np.empty((2, DEPTH, BLOCK), kind) for kind in (np.int32, np.uint32))
        self._block = Block(ticks, sizes, np.empty((2, BLOCK), np.uint16))

    def columns(self, records: BookColumns) -> None:
        """Take the next records, given as columns."""
        heads = Heads(
            as_input(records.time_ns, np.int64),
            as_input(records.action, np.uint8),
            as_input(records.flags, np.uint8),
            as_input(records.side, np.int8),
            as_input(records.tick, np.int32),
            as_input(records.size, np.uint32),
        )
        levels = Levels(
            tuple(as_input(column, np.int32) for column in records.bid_ticks),
            tuple(as_input(column, np.int32) for column in records.ask_ticks),
            tuple(as_input(column, np.uint32) for column in records.bid_sizes),
            tuple(as_input(column, np.uint32) for column in records.ask_sizes),
        )
        at, count = 0, len(heads.time_ns)
        while at < count:
            at = scan_columns(heads, levels, at, self._block, self._ready(BLOCK), self._prints)

    def records(self, words: NDArray[np.int64], instrument_id: int, nanos_per_tick: int) -> None:
        """Take the next records of a Databento file, in their binary form.

        Parameters
        ----------
        words
            MBP-10 records as little-endian words; int64 (records, 46 or more).
        instrument_id
            Records of other contracts and kinds are passed over.
        nanos_per_tick
            Price of one tick in 1e-9.
        """
        if words.ndim != 2 or words.shape[1] < DBN_WORDS:
            msg = f"records have the shape {words.shape}, expected (records, {DBN_WORDS} or more)"
            raise ValueError(msg)
        flat = as_input(words, np.int64).reshape(-1)
        scan_records(flat, words.shape[1], instrument_id, nanos_per_tick, self._ready(len(words)), self._prints)

    def finish(self) -> Book:
        """What the pass found. Changes after the last settled book are left out: nobody could rely on them."""
        write_marks(self._ready(0), np.iinfo(np.int64).max)
        rows, changes = int(self._clock[Clock.SETTLED_ROWS]), int(self._clock[Clock.LIMITS])
        return Book(
            Flow(*(as_input(values[:rows]) for values in self._flow)),
            Limits(*(as_input(values[:changes]) for values in self._limits)),
            Marks(self._at, *(as_input(values) for values in self._marks)),
            int(self._clock[Clock.FIRST_NS]),
            int(self._clock[Clock.UNNAMED]),
        )

    def _ready(self, records: int) -> Pass:
        """The state of the pass, with room for whatever that many records can change."""
        rows, changes = self._clock.item(_ROWS), self._clock.item(_LIMITS)
        if rows + CHANGES * records > len(self._flow[0]) or changes + records > len(self._limits[0]):
            self._flow = _grown(self._flow, rows, rows + CHANGES * records)
            self._limits = _grown(self._limits, changes, changes + records)
            self._pass = self._state()
        return self._pass

    def _state(self) -> Pass:
        carried = self._clock, self._ticks, self._sizes, self._pending
        return Pass._make((*carried, *self._flow, *self._limits, self._at, *self._marks))


_ROWS, _LIMITS = int(Clock.ROWS), int(Clock.LIMITS)


def _prints(prints: Prints | None) -> Prints:
    kinds = (np.int64, np.int32, np.int64, np.int8)
    columns: tuple[NDArray[Any], ...] = (np.empty(0),) * len(kinds) if prints is None else prints
    return Prints._make(as_input(values, kind) for values, kind in zip(columns, kinds, strict=True))


def _flow(capacity: int) -> tuple[NDArray[Any], ...]:
    return _columns((np.int64, np.int8, np.int32, np.int32, np.int32, np.int32, np.int32), capacity)


def _limits(capacity: int) -> tuple[NDArray[Any], ...]:
    return _columns((np.int64, np.int32, np.int32), capacity)


def _columns(kinds: Sequence[DTypeLike], capacity: int) -> tuple[NDArray[Any], ...]:
    """Empty columns in one piece of memory: the machine gives and takes pages by the piece, at 2 us a small one."""
    sizes = [capacity * np.dtype(kind).itemsize for kind in kinds]
    memory = np.empty(sum(sizes), np.uint8)
    ends = np.cumsum(sizes).tolist()
    return tuple(memory[e - n : e].view(kind) for e, n, kind in zip(ends, sizes, kinds, strict=True))


def _marks(at_ns: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
    count = len(at_ns)
    return (
        np.full(count, NEVER, np.int64),
        np.zeros(count, np.int64),
        np.zeros((count, 2), np.int64),
        np.zeros((count, 2, DEPTH), np.int32),
        np.zeros((count, 2, DEPTH), np.int32),
    )


def _grown(columns: tuple[NDArray[Any], ...], rows: int, wanted: int) -> tuple[NDArray[Any], ...]:
    """The same columns with room for more rows: eightfold, so that few are copied, and memory is had only once used."""
    have = len(columns[0])
    if have >= wanted:
        return columns
    capacity = have
    while capacity < wanted:
        capacity *= 8
    grown = _columns([values.dtype for values in columns], capacity)
    for new, values in zip(grown, columns, strict=True):
        new[:rows] = values[:rows]
    return grown
