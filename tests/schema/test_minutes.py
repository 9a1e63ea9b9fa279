"""Minute bars as arrays: whole symbols, however the table was cut and encoded."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.calendar import calendar
from raypipe.schema.minutes import minutes_of, window_of

NAMES = ("A", "AA", "B.R", "b")


def table_of(counts: dict[str, int], cuts: list[int]) -> pa.Table:
    """Rows numbered through, in chunks that end at the cuts, each with a dictionary of its own."""
    symbols = [name for name in NAMES for _ in range(counts.get(name, 0))]
    edges = [0, *sorted(cut for cut in cuts if cut < len(symbols)), len(symbols)]
    parts = [
        pa.table(
            {
                "symbol": pa.array(symbols[a:b], pa.string()).dictionary_encode(),
                "value": pa.array(np.arange(a, b, dtype=np.float64)),
            }
        )
        for a, b in pairwise(edges)
    ]
    return pa.concat_tables(parts)


def runs(table: pa.Table, keep: pa.Array | None = None) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for piece in minutes_of(table, keep):
        assert len(piece.symbols) == len(piece.begin) == len(piece.end) > 0
        for symbol, begin, end in zip(piece.symbols.to_pylist(), piece.begin, piece.end, strict=True):
            assert symbol not in found
            found[symbol] = piece["value"][begin:end].tolist()
    return found


@given(
    st.dictionaries(st.sampled_from(NAMES), st.integers(0, 9)),
    st.lists(st.integers(0, 36), max_size=5),
    st.one_of(st.none(), st.lists(st.sampled_from([*NAMES, "never"]), unique=True)),
)
def test_a_symbol_is_in_one_piece(counts, cuts, keep):
    names = None if keep is None else pa.array(keep, pa.string())
    found = runs(table_of(counts, cuts), names)
    expected, row = {}, 0
    for name in NAMES:
        count = counts.get(name, 0)
        if count and (keep is None or name in keep):
            expected[name] = [float(i) for i in range(row, row + count)]
        row += count
    assert found == expected
    assert list(found) == list(expected)


def test_chunks_that_cut_no_symbol_are_not_copied():
    whole = table_of({"A": 3, "AA": 4}, [3])
    first, second = minutes_of(whole)
    for piece, chunk in zip((first, second), whole["value"].chunks, strict=True):
        assert np.shares_memory(piece["value"], chunk.to_numpy())


@pytest.mark.parametrize(("date", "minutes"), [("2025-10-31", 390), ("2025-11-03", 390), ("2025-11-28", 210)])
def test_windows_are_those_of_the_exchange(date, minutes):
    session = calendar().session(dt.date.fromisoformat(date))
    for mode, expected in (("rth", minutes), ("all", 960)):
        start, end = window_of(session, mode)
        assert (end - start) // 60_000_000_000 == expected
