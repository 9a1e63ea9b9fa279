"""Per-session tables as one [session, symbol] grid, so that looking back is indexing.

Rows of the grid are *calendar* sessions, whether or not the lake holds them: a lag of one row is one
session, never "the row before". A session or symbol without a row is NaN.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.calendar import Session, calendar
from raypipe.errors import BlockedError
from raypipe.schema.frames import codes_of, dictionary_array, floats
from raypipe.schema.spec import Table

__all__ = ["Panel", "days_of", "known_splits", "stack"]

_EPOCH = dt.date(1970, 1, 1)


class Panel:
    """The partitions of one table on a grid of calendar sessions and symbols.

    Parameters
    ----------
    partitions
        Tables by session; each has a dictionary column ``symbol`` without repeats.
    targets
        The sessions to build, in order.
    before
        Grid rows in front of the first target.

    Attributes
    ----------
    days
        Days since 1970-01-01 of the grid rows, int64 (sessions,). Where the calendar itself begins
        later, the leading rows are negative: sessions that never were.
    names
        Symbols of the grid columns, sorted bytewise.
    """

    def __init__(
        self, name: str, partitions: Mapping[dt.date | None, pa.Table], targets: Sequence[Session], before: int
    ) -> None:
        self.name = name
        self.days = _axis(targets, before)
        wanted = set(self.days.tolist())
        self._targets = {days_of(target.date) for target in targets}
        self._tables = {day: t for date, t in partitions.items() if date and (day := days_of(date)) in wanted}
        self.names, codes = codes_of([table["symbol"] for table in self._tables.values()])
        self._codes = dict(zip(self._tables, codes, strict=True))

    @property
    def shape(self) -> tuple[int, int]:
        """Sessions and symbols."""
        return len(self.days), len(self.names)

    def row(self, date: dt.date) -> int:
        """Grid row of a session."""
        return int(np.searchsorted(self.days, days_of(date)))

    def has(self, date: dt.date) -> bool:
        """Whether the table holds that session."""
        return days_of(date) in self._tables

    def own(self, date: dt.date) -> tuple[pa.Table, np.ndarray]:
        """Rows of one target and their grid columns, int32 (rows,).

        Raises
        ------
        BlockedError
            If the table does not hold that session.
        """
        day = days_of(date)
        if day not in self._tables:
            msg = "the session's own input is missing"
            raise BlockedError(msg, hint="build that table first", table=self.name, partition=date.isoformat())
        return self._tables[day], self._codes[day]

    def grid(self, column: str, *, targets_only: bool = False) -> np.ndarray:
        """A numeric column on the grid, float64 (sessions, symbols); NaN where there is no value.

        ``targets_only`` leaves the warm-up sessions empty: their tables may be read without the column.
        """
        out = np.full(self.shape, np.nan)
        for day, table in self._tables.items():
            if day in self._targets or not targets_only:
                out[np.searchsorted(self.days, day), self._codes[day]] = floats(table[column])
        return out

    def split_ratios(self, splits: pa.Table | None) -> np.ndarray:
        """Split ratios on the grid: 1 but on ex-sessions. Splits of other symbols or sessions are passed over."""
        out = np.ones(self.shape)
        if splits is None or not splits.num_rows or not len(self.names):
            return out
        symbols = pc.index_in(splits["symbol"].cast(pa.string()), value_set=self.names)
        columns = symbols.fill_null(-1).to_numpy()
        days = splits["ex_session"].cast(pa.int32()).to_numpy()
        known = (columns >= 0) & np.isin(days, self.days)
        out[np.searchsorted(self.days, days[known]), columns[known]] = floats(splits["split_ratio"])[known]
        return out

    def symbols(self, codes: np.ndarray) -> pa.DictionaryArray:
        """Grid columns as a symbol column that holds just the names in use."""
        return dictionary_array(codes, self.names)


def stack(spec: Table, parts: Sequence[pa.Table]) -> pa.Table:
    """Partitions one under the other, each with a dictionary of its own, so that a slice carries no other's names."""
    return pa.concat_tables(parts) if parts else spec.empty()


def known_splits(table: pa.Table, first: dt.date, last: dt.date) -> pa.Table:
    """Splits that a window [first, last] may know and use: those with an ex-session inside it."""
    ex_session = table["ex_session"]
    inside = pc.and_(pc.greater_equal(ex_session, pa.scalar(first)), pc.less_equal(ex_session, pa.scalar(last)))
    return table.filter(inside)


def days_of(date: dt.date) -> int:
    """Days since 1970-01-01."""
    return (date - _EPOCH).days


def _axis(targets: Sequence[Session], before: int) -> np.ndarray:
    sessions = calendar()
    first = sessions.offset(targets[0].date, -before)
    days = [days_of(date) for date in sessions.dates(first, targets[-1].date)]
    warm_up = len(sessions.dates(first, targets[0].date)) - 1
    return np.array([*range(warm_up - before, 0), *days], dtype=np.int64)
