"""The splits of one session."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa

from raypipe.calendar import calendar
from raypipe.schema.family import Inputs
from raypipe.schema.splits import due_splits, split_ratios
from raypipe.schema.tables import SPLITS

MON, TUE, WED = calendar().dates(dt.date(2025, 1, 13), dt.date(2025, 1, 15))
ROWS = [("A", TUE, 4.0), ("A", WED, 2.0), ("B", MON, 3.0), ("C", TUE, 0.5)]


def table() -> pa.Table:
    symbols, dates, ratios = zip(*ROWS, strict=True)
    return SPLITS.build(
        {
            "symbol": pa.array(symbols).dictionary_encode(),
            "ex_session": pa.array(dates, pa.date32()),
            "split_ratio": pa.array(ratios),
        }
    )


def test_only_splits_after_the_window_began_are_due():
    assert due_splits(table(), MON, TUE)["symbol"].to_pylist() == ["A", "C"]
    assert due_splits(table(), TUE, TUE).num_rows == 0


def test_ratios_stand_beside_the_symbols_of_the_session():
    session = calendar().session(TUE)
    symbols = pa.array(["C", "A", "B", "never"])
    inputs = Inputs((session,), {SPLITS.name: {None: table()}})
    assert split_ratios(inputs, session, symbols).tolist() == [0.5, 4.0, 1.0, 1.0]
    assert split_ratios(Inputs((session,), {}), session, symbols).tolist() == [1.0] * 4
    assert split_ratios(inputs, session, symbols[:0]).tolist() == []
