"""Columns to arrays and back, and the check at every table's border."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.errors import SchemaError
from raypipe.schema.frames import (
    check_table,
    codes_of,
    constant_dictionary,
    date_array,
    dictionary_array,
    floats,
    nullable,
    split_table,
)
from raypipe.schema.spec import Column, Table

SYMBOLS = st.lists(st.text(alphabet="ABab.p1\u00e9", min_size=1, max_size=4), max_size=20)
T = Table(
    "silver/t",
    ("symbol", "n"),
    "session",
    (
        Column("symbol", "dict", "S.", role="key"),
        Column("n", "i64", "N.", unit="1", role="key"),
        Column("x", "f64", "X.", unit="1", null="sometimes"),
        Column("y", "f64", "Y.", unit="1"),
    ),
    "T.",
)


def make(rows: list[tuple[str, int, float | None, float | None]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
    symbols = pa.array(columns[0], pa.string()).dictionary_encode()
    return T.build(
        {
            "symbol": symbols,
            "n": pa.array(columns[1], pa.int64()),
            "x": pa.array(columns[2], pa.float64()),
            "y": pa.array(columns[3], pa.float64()),
        }
    )


@given(st.lists(SYMBOLS, min_size=1, max_size=4))
def test_shared_codes_sort_as_bytes_and_lose_nothing(parts: list[list[str]]) -> None:
    columns = [pa.chunked_array([pa.array(part, pa.string()).dictionary_encode()]) for part in parts]
    names, codes = codes_of(columns)
    spelled = names.to_pylist()
    assert spelled == sorted({name for part in parts for name in part}, key=str.encode)
    assert [[spelled[c] for c in code] for code in codes] == parts


@given(SYMBOLS)
def test_a_dictionary_column_holds_just_the_names_in_use(symbols: list[str]) -> None:
    names, (codes,) = codes_of([pa.chunked_array([pa.array(["zz", *symbols], pa.string()).dictionary_encode()])])
    column = dictionary_array(codes[1:], names)
    assert column.to_pylist() == symbols
    assert column.dictionary.to_pylist() == sorted(set(symbols), key=str.encode)


def test_undefined_is_null_and_comes_back_as_nan() -> None:
    column = nullable(np.array([1.0, np.nan, np.inf, -np.inf]))
    assert column.to_pylist() == [1.0, None, None, None]
    assert np.array_equal(floats(column), [1.0, np.nan, np.nan, np.nan], equal_nan=True)
    assert nullable(np.array([1.0, np.nan]), pa.int16()).to_pylist() == [1, None]


def test_constants() -> None:
    assert constant_dictionary("rth", 2).to_pylist() == ["rth", "rth"]
    assert date_array(dt.date(2025, 11, 3), 2).to_pylist() == [dt.date(2025, 11, 3)] * 2


def test_a_table_is_cut_at_its_dates() -> None:
    days = [dt.date(2025, 11, 3), dt.date(2025, 11, 4), dt.date(2025, 11, 5)]
    table = pa.table({"session": pa.array([days[0], days[0], days[2]]), "v": [1, 2, 3]})
    assert [part["v"].to_pylist() for part in split_table(table, "session", days)] == [[1, 2], [], [3]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("A", 1, 1.0, None)], "1 nulls in a column that has none"),
        ([("A", 1, 1.0, float("nan"))], "NaN or infinity"),
        ([("A", 1, float("inf"), 1.0)], "NaN or infinity"),
        ([("A", 1, 1.0, 1.0), ("A", 1, 2.0, 2.0)], "duplicate key"),
        ([("B", 1, 1.0, 1.0), ("A", 1, 2.0, 2.0)], "not sorted"),
        ([("a", 1, 1.0, 1.0), ("B", 1, 2.0, 2.0)], "not sorted"),
        ([("A", 2, 1.0, 1.0), ("A", 1, 2.0, 2.0)], "not sorted"),
    ],
)
def test_a_table_that_breaks_its_schema_is_refused(
    rows: list[tuple[str, int, float | None, float | None]], message: str
) -> None:
    with pytest.raises(SchemaError, match=message) as error:
        check_table(T, make(rows), partition="2025-11-03")
    assert {"table", "partition", "column", "row"} <= set(error.value.values)


def test_a_sound_table_passes() -> None:
    check_table(
        T, make([("A", 1, None, 1.0), ("A", 2, 1.0, 1.0), ("B", 1, 0.0, 0.0), ("a", 1, 0.0, 0.0)]), partition="p"
    )
    check_table(T, make([]), partition="p")
