"""The splits of one session: what puts the last session's prices and volumes on its share basis."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.calendar import Session
from raypipe.schema.family import Inputs
from raypipe.schema.frames import floats
from raypipe.schema.tables import SPLITS

__all__ = ["due_splits", "split_ratios"]


def due_splits(table: pa.Table, first: dt.date, last: dt.date) -> pa.Table:
    """Splits with an ex-session after the window's first session: those that values of that session have not seen."""
    ex_session = table["ex_session"]
    return table.filter(pc.and_(pc.greater(ex_session, pa.scalar(first)), pc.less_equal(ex_session, pa.scalar(last))))


def split_ratios(inputs: Inputs, session: Session, symbols: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Split ratio of each symbol whose ex-session this is, else 1; float64 (symbols,)."""
    splits = inputs.once(SPLITS.name)
    if splits is None:
        return np.ones(len(symbols))
    due = splits.filter(pc.equal(splits["ex_session"], pa.scalar(session.date, pa.date32())))
    place = pc.index_in(symbols.cast(pa.string()), value_set=due["symbol"].cast(pa.string()).combine_chunks())
    ratios = np.append(floats(due["split_ratio"]), 1.0)
    found: np.ndarray = ratios[place.fill_null(-1).to_numpy()]
    return found
