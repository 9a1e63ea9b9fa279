"""Rows of ``gold/events`` and the tables beside it: their common key, and the minute bars that belong to each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.schema.family import Params, shared
from raypipe.schema.frames import codes_of
from raypipe.schema.macd import MacdParams
from raypipe.schema.minutes import Minutes, Mode, minutes_of
from raypipe.schema.spec import Column
from raypipe.schema.tables import SESSION, SYMBOL

__all__ = ["EVENTS", "EVENT_COLUMNS", "EVENT_KEY", "EventBars", "EventsParams", "bars_of_events"]

#: Name of the table of events.
EVENTS = "gold/events"
#: Key of every table that has one row per event.
EVENT_KEY = ("symbol", "tf", "decision_ns", "event_type")

TF = Column("tf", "dict", "Timeframe of the crossing bar: 1m, 5m.", role="key")
DECISION_NS = Column(
    "decision_ns", "i64", "End of the crossing bar: the row uses nothing later.", unit="ns", role="time"
)
EVENT_TYPE = Column("event_type", "dict", "cross_up or cross_down.", role="key")
#: First columns of all of these tables.
EVENT_COLUMNS = (SESSION, SYMBOL, TF, DECISION_NS, EVENT_TYPE)


class EventsParams(Params):
    """Which crossings are events.

    Attributes
    ----------
    mode
        ``all``: bars from 04:00 to 20:00; ``rth``: bars of regular hours.
    side
        ``long``: crossings up; ``short``: crossings down; ``both``.
    universe
        ``all`` tradable symbols, or those of ``daily_filtered`` in the session before.
    macd
        How MACD is computed: section ``macd``.
    """

    mode: Mode = "all"
    side: Literal["both", "long", "short"] = "both"
    universe: Literal["all", "daily_filtered"] = "all"
    macd: MacdParams = shared("macd", MacdParams)


@dataclass(frozen=True, slots=True)
class EventBars:
    """Consecutive events, and where the bars of their symbols stand.

    Attributes
    ----------
    minutes
        Bars of whole symbols.
    events
        Which rows of the table of events.
    place
        Position of each event's symbol in ``minutes.symbols``, int64 (events,); -1 if it has no bar there.
    """

    minutes: Minutes
    events: slice
    place: np.ndarray

    @property
    def begin(self) -> np.ndarray:
        """First row of each event's symbol, int64 (events,); 0 without bars."""
        rows: np.ndarray = np.append(self.minutes.begin, 0)[self.place]
        return rows

    @property
    def end(self) -> np.ndarray:
        """Row behind the last of each event's symbol, int64 (events,); 0 without bars."""
        rows: np.ndarray = np.append(self.minutes.end, 0)[self.place]
        return rows


def bars_of_events(bars: pa.Table, events: pa.Table) -> Iterator[EventBars]:
    """Lay the events of a session beside its minute bars, piece by piece, every event once and in order.

    Parameters
    ----------
    bars
        Minute bars, sorted by symbol and time.
    events
        Events, sorted by symbol.
    """
    if not events.num_rows:
        return
    names, (codes,) = codes_of([events["symbol"]])
    done = 0
    for minutes in minutes_of(bars, keep=names):
        place = pc.index_in(names, value_set=minutes.symbols).fill_null(-1).to_numpy().astype(np.int64)
        last = int(np.searchsorted(codes, np.flatnonzero(place >= 0)[-1], side="right"))
        yield EventBars(minutes, slice(done, last), place[codes[done:last]])
        done = last
    if done < events.num_rows:
        nothing = np.empty(0, np.int64)
        empty = Minutes(names[:0], nothing, nothing, pa.RecordBatch.from_pylist([], schema=bars.schema))
        yield EventBars(empty, slice(done, events.num_rows), np.full(events.num_rows - done, -1))
