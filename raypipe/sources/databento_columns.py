"""Column buffers of bronze books and trades: rows come in from a kernel, Arrow tables go out without a copy.

A contract's buffer starts small and doubles: a parent symbol has forty contracts, of which two trade, and large arrays
are given huge pages, so forty full-size buffers would take a gigabyte that nobody writes to.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa

from raypipe.kernels.dbn import NO_TICKS, Columns
from raypipe.schema.books import BOOK_DEPTH, ES_TRADES
from raypipe.schema.frames import date_array
from raypipe.schema.spec import Table

__all__ = ["Buffer", "no_rows"]

_FIRST_ROWS = 4_096
#: Rows of memory that are never written: columns a power of two apart fall on the same lines of the cache.
_PADDING = 80


class Buffer:
    """Rows of one table that are not handed on yet.

    Parameters
    ----------
    table
        `ES_TRADES` or `ES_MBP10`.
    most_rows
        Rows at which it is full; None for never.

    Attributes
    ----------
    columns
        Arrays that the kernel writes to.
    rows
        Rows written.
    """

    def __init__(self, table: Table, most_rows: int | None = None) -> None:
        self._table, self._most = table, most_rows
        self._levels = 0 if table is ES_TRADES else BOOK_DEPTH
        self.columns, self.rows = self._new(min(_FIRST_ROWS, most_rows or _FIRST_ROWS)), 0

    def _new(self, rows: int) -> Columns:
        books = 2 * self._levels
        return Columns(
            np.empty((2, rows + _PADDING), np.int64),
            np.empty((2 + books, rows + _PADDING), np.int32),
            np.empty((2 + 2 * books, rows + _PADDING), np.uint32),
            np.empty((4, rows + _PADDING), np.uint8),
            np.zeros(2 + books, np.int64),
        )

    @property
    def full(self) -> bool:
        """Whether no row fits in, and none ever will."""
        return self.rows == self._most

    def make_room(self) -> None:
        """Double the arrays if they are filled, up to the most rows."""
        have = self.room
        if self.rows < have or self.full:
            return
        larger = self._new(min(2 * have, self._most or 2 * have))
        larger.longs[:, :have] = self.columns.longs[:, :have]
        larger.ints[:, :have] = self.columns.ints[:, :have]
        larger.sizes[:, :have] = self.columns.sizes[:, :have]
        larger.small[:, :have] = self.columns.small[:, :have]
        larger.nulls[:] = self.columns.nulls
        self.columns = larger

    @property
    def room(self) -> int:
        """Rows that the arrays hold."""
        return int(self.columns.longs.shape[1]) - _PADDING

    def clear(self) -> None:
        """Start anew; what was handed on keeps the old arrays."""
        self.columns, self.rows = self._new(self.room), 0

    def reorder(self, order: np.ndarray, slot: int) -> None:
        """Put the rows of one contract, at the places that they have, into another order."""
        places = np.flatnonzero(self.columns.ints[1, : self.rows] == slot)
        for part in self.columns[:-1]:
            part[:, places] = part[:, places[order]]

    def merge(self) -> None:
        """Put the rows of several files in order of receipt; rows received together stay as they are."""
        received = self.columns.longs[1, : self.rows]
        if (received[1:] < received[:-1]).any():
            order = np.argsort(received, kind="stable")
            for part in self.columns[:-1]:
                part[:, : self.rows] = part[:, order]

    def of_slot(self, slot: int) -> tuple[np.ndarray, np.ndarray]:
        """Times and sequence numbers of one contract's rows."""
        mine = self.columns.ints[1, : self.rows] == slot
        return self.columns.longs[0, : self.rows][mine], self.columns.sizes[0, : self.rows][mine]

    def take(self, session: dt.date, numbers: np.ndarray, names: list[str], *, bare: bool = False) -> pa.Table:
        """The rows as a table.

        Parameters
        ----------
        session
            What they belong to.
        numbers, names
            Instrument id (uint32) and contract of each slot.
        bare
            Whether the source has neither flags nor depths.
        """
        n, c = self.rows, self.columns
        slots = c.ints[1, :n]
        found = {
            "session": date_array(session, n),
            "ts_event_ns": pa.array(c.longs[0, :n]),
            "ts_recv_ns": pa.array(c.longs[1, :n]),
            "instrument_id": pa.array(numbers[slots]),
            "contract": pa.DictionaryArray.from_arrays(pa.array(slots), pa.array(names, pa.string())),
            "sequence": pa.array(c.sizes[0, :n]),
            "price_ticks": self._ticks(0),
            "size": pa.array(c.sizes[1, :n]),
            "side": pa.array(c.small[0, :n].view(np.int8)),
            "action": _codes(c.small[1, :n]),
            "flags": pa.array(c.small[2, :n]),
            **(self._book() if self._levels else {}),
        }
        if bare:
            found |= {name: pa.nulls(n, pa.uint8()) for name in ("flags", "depth") if name in found}
        return self._table.build(found)

    def _book(self) -> dict[str, pa.Array]:
        n, sizes = self.rows, self.columns.sizes
        found = {"depth": pa.array(self.columns.small[3, :n])}
        for level in range(self._levels):
            for k, side in enumerate(("bid", "ask")):
                found[f"{side}_ticks_{level:02d}"] = self._ticks(2 + 2 * level + k)
                for j, kind in enumerate(("sz", "ct")):
                    found[f"{side}_{kind}_{level:02d}"] = pa.array(sizes[2 + 4 * level + 2 * j + k, :n])
        return found

    def _ticks(self, row: int) -> pa.Array:
        values = self.columns.ints[row, : self.rows]
        return pa.array(values, mask=values == NO_TICKS if self.columns.nulls[row] else None)


def _codes(values: np.ndarray) -> pa.Array:
    unknown = values == 0
    return pa.array(values, mask=unknown if unknown.any() else None)


def no_rows(table: Table, session: dt.date) -> pa.Table:
    """A table of no rows, for a session in which nothing happened."""
    return Buffer(table).take(session, np.zeros(0, np.uint32), [])
