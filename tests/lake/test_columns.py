"""Notes on columns: what a naive look at the whole column says, however the rows were cut into groups."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.lake.columns import ColumnNote, ColumnNotes
from tests.lake.samples import BARS, DAY, bars, local_lake, manifest

TYPES = {"f64": pa.float64(), "i16": pa.int16(), "flag": pa.bool_(), "word": pa.string(), "date": pa.date32()}
VALUES = {
    "f64": st.sampled_from([1.5, -2.0, 0.0]),
    "i16": st.integers(-1, 1),
    "flag": st.booleans(),
    "word": st.sampled_from(["a", "b", "x" * 100]),
    "date": st.sampled_from([dt.date(2025, 1, 2), dt.date(2025, 1, 3)]),
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(0, 12))
    columns = {}
    for name, kind in TYPES.items():
        few = draw(st.lists(st.none() | VALUES[name], min_size=1, max_size=2))
        picked = draw(st.lists(st.sampled_from(few), min_size=rows, max_size=rows))
        columns[name] = pa.array(picked, kind)
    columns["code"] = columns["word"].dictionary_encode()
    return pa.table(columns)


def naive(table: pa.Table) -> dict[str, tuple[int, bool]]:
    found = {}
    for name in table.column_names:
        values = table[name].to_pylist()
        nulls, different = sum(v is None for v in values), {v for v in values if v is not None}
        if values and (nulls or len(different) <= 1):
            found[name] = (nulls, len(different) <= 1)
    return found


@settings(max_examples=200, deadline=None)
@given(tables(), st.integers(1, 12))
def test_notes_say_what_the_whole_column_says(table: pa.Table, size: int) -> None:
    notes = ColumnNotes()
    for start in range(0, table.num_rows, size):
        notes.add(table.slice(start, size))
    assert {note.name: (note.nulls, note.constant) for note in notes.found()} == naive(table)


def test_the_value_of_a_constant_column_is_told() -> None:
    notes = ColumnNotes()
    words = ["x" * 100 + "1", "x" * 100 + "2"]
    notes.add(pa.table({"a": [1, None], "b": pa.nulls(2, pa.float64()), "c": words[:1] * 2}))
    other = ColumnNotes()
    other.add(pa.table({"c": words[1:]}))
    a, b, c = notes.found()
    assert (a, b) == (ColumnNote("a", 1, constant=True, value="1"), ColumnNote("b", 2, constant=True))
    (d,) = other.found()
    assert len(c.value) == len(d.value) == 64
    assert c.value != d.value


def test_the_receipt_of_a_partition_has_them(tmp_path) -> None:
    rows = bars()
    receipt = local_lake(tmp_path).write(BARS, DAY, rows, manifest())
    assert {note.name: (note.nulls, note.constant) for note in receipt.columns} == naive(rows)


@pytest.mark.parametrize("last", [1.0, 2.0])
def test_one_other_value_anywhere_is_seen(last: float) -> None:
    values = np.ones(10_000)
    values[7_777] = last
    notes = ColumnNotes()
    notes.add(pa.table({"x": values}))
    assert bool(notes.found()) == (last == 1.0)
