"""Splits and reference files: every format reads alike, and what is wrong is refused by row."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
import pytest

from raypipe.errors import SourceError
from raypipe.schema.family import Finding
from raypipe.schema.frames import check_table
from raypipe.schema.tables import REFERENCE, SPLITS
from raypipe.sources.instruments import NO_SNAPSHOT_DATE, read_reference, read_splits

HEADER = "ticker,execution_date,split_from,split_to\n"
ROWS = [
    {"id": "x", "execution_date": "2022-06-06", "split_from": 1, "split_to": 20, "ticker": "AMZN"},
    {"id": "y", "execution_date": "2022-07-18", "split_from": 1, "split_to": 20, "ticker": "GOOGL"},
    {"id": "z", "execution_date": "2021-08-02", "split_from": 8, "split_to": 1, "ticker": "GE"},
]


def splits(*rows: str, noted: list[Finding] | None = None) -> list[dict]:
    return read_splits((HEADER + "\n".join(rows) + "\n").encode(), "splits.csv", noted).to_pylist()


def test_vendor_names_become_the_lake_s_sorted_by_symbol_and_ex_session():
    table = read_splits(
        (HEADER + "GE,2021-08-02,8,1\nAMZN,2022-06-06,1,20\nAMZN,1999-09-02,1,2\n").encode(), "splits.csv"
    )
    check_table(SPLITS, table, partition="all")
    assert table.to_pylist() == [
        {"symbol": "AMZN", "ex_session": dt.date(1999, 9, 2), "split_ratio": 2.0},
        {"symbol": "AMZN", "ex_session": dt.date(2022, 6, 6), "split_ratio": 20.0},
        {"symbol": "GE", "ex_session": dt.date(2021, 8, 2), "split_ratio": 0.125},
    ]


def as_csv(rows: list[dict]) -> bytes:
    sink = io.BytesIO()
    arrow_csv.write_csv(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


def as_json_lines(rows: list[dict]) -> bytes:
    return "\n".join(json.dumps(row) for row in rows).encode()


def as_parquet(rows: list[dict]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


def with_real_dates(rows: list[dict]) -> bytes:
    return as_parquet([{**row, "execution_date": dt.date.fromisoformat(row["execution_date"])} for row in rows])


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("splits.csv", as_csv(ROWS)),
        ("splits.csv.gz", gzip.compress(as_csv(ROWS), mtime=0)),
        ("SPLITS.CSV", b"\xef\xbb\xbf" + as_csv(ROWS)),
        ("splits.jsonl", as_json_lines(ROWS)),
        ("splits.jsonl.gz", gzip.compress(as_json_lines(ROWS), mtime=0)),
        ("splits.ndjson", as_json_lines([{**row, "split_to": float(row["split_to"])} for row in ROWS])),
        ("splits.parquet", as_parquet(ROWS)),
        ("splits.parquet", with_real_dates(ROWS)),
    ],
)
def test_every_format_gives_the_same_table(name, data):
    expected = {("AMZN", dt.date(2022, 6, 6), 20.0), ("GOOGL", dt.date(2022, 7, 18), 20.0)}
    got = read_splits(data, name).to_pylist()
    assert {tuple(row.values()) for row in got} == {*expected, ("GE", dt.date(2021, 8, 2), 0.125)}


@pytest.mark.parametrize(
    ("date", "session"),
    [
        ("2022-06-06", dt.date(2022, 6, 6)),
        ("2022-06-04", dt.date(2022, 6, 6)),  # a Saturday
        ("2025-01-09", dt.date(2025, 1, 10)),  # closed for a day of mourning
        ("2001-09-11", dt.date(2001, 9, 17)),
    ],
)
def test_an_ex_date_without_a_session_moves_to_the_next(date, session):
    assert splits(f"A,{date},1,2")[0]["ex_session"] == session


def test_splits_before_the_calendar_are_passed_over_and_counted():
    noted: list[Finding] = []
    assert [row["symbol"] for row in splits("A,1978-10-25,1,2", "B,2020-08-31,1,4", noted=noted)] == ["B"]
    assert [(f.kind, f.count) for f in noted] == [("split_before_calendar", 1)]


def test_rows_given_twice_count_once_and_are_counted():
    noted: list[Finding] = []
    assert len(splits("A,2020-08-31,1,4", "B,2020-08-31,1,4", "A,2020-08-31,1,4", noted=noted)) == 2
    assert [(f.kind, f.count) for f in noted] == [("repeated_rows", 1)]


def test_a_file_without_rows_is_an_empty_table():
    assert read_splits(HEADER.encode(), "splits.csv").num_rows == 0
    assert read_reference(b"ticker,type\n", "tickers.csv").num_rows == 0


@pytest.mark.parametrize("symbol", ["NA", "NULL", "TRUE", "INF", "1", "nan"])
def test_symbols_that_look_like_something_else_stay_text(symbol):
    assert splits(f"{symbol},2020-08-31,1,4")[0]["symbol"] == symbol


@pytest.mark.parametrize(
    ("rows", "row", "says"),
    [
        (["A,2020-08-31,1,4", "B,2020-08-31,1,0"], 2, "not a ratio above 0"),
        (["A,2020-08-31,0,4"], 1, "not a ratio above 0"),
        (["A,2020-08-31,-1,-4"], 1, "not a number"),
        (["A,2020-08-31,1e-400,4"], 1, "not a ratio above 0"),
        (["A,2020-08-31,one,4"], 1, "'one' is not a number"),
        (["A,2020-08-31,,4"], 1, "'' is not a number"),
        (["A,31.08.2020,1,4"], 1, "'31.08.2020' is not a date"),
        (["A,2020-02-30,1,4"], 1, "'2020-02-30' is not a date"),
        (["A,20200831,1,4"], 1, "is not a date"),
        (["A,2099-08-31,1,4"], 1, "after the end of the calendar"),
        (["A,2020-08-31,1,4", ",2020-08-31,1,4"], 2, "empty"),
        (["A,2020-08-31,1,4", "B,2020-08-31,1,2", "A,2020-08-31,1,5"], 3, "two splits of A on one ex-session"),
        (["A,2020-08-31,1,2", "A,2020-08-30,1,2"], 2, "two splits of A on one ex-session"),
    ],
)
def test_a_bad_row_is_named(rows, row, says):
    with pytest.raises(SourceError, match=says) as caught:
        splits(*rows)
    assert caught.value.values["file"] == "splits.csv"
    assert caught.value.values["row"] == row


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("splits.csv", b"ticker,date,split_from,split_to\nA,2020-08-31,1,4\n", "column 'execution_date' is missing"),
        ("splits.csv", b"", "column 'ticker' is missing"),
        ("splits.csv", b"<?xml version='1.0'?><Error/>", "column 'ticker' is missing"),
        ("splits.csv", (HEADER + "A,2020-08-31,1\n").encode(), "cannot be read as csv"),
        ("splits.jsonl", b'{"ticker": "A"', "cannot be read as jsonl"),
        ("splits.jsonl", b'{"ticker": "A", "split_from": 1, "split_to": 2}', "column 'execution_date' is missing"),
        ("splits.parquet", b"PAR1", "cannot be read as parquet"),
        ("splits.csv.gz", gzip.compress(HEADER.encode(), mtime=0)[:-4], "not whole gzip data"),
        ("splits.csv.gz", HEADER.encode(), "not whole gzip data"),
        ("splits.xlsx", b"", "says nothing about the format"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(name, data, says):
    with pytest.raises(SourceError, match=says) as caught:
        read_splits(data, name)
    assert caught.value.values["file"] == name


# --- reference ---------------------------------------------------------------------------------


def test_reference_keeps_snapshots_apart():
    text = b"ticker,name,type,as_of\nB,Bee,ETF,2024-01-02\nA,Ay,CS,2024-01-02\nA,Ay,WARRANT,2023-01-03\n"
    table = read_reference(text, "tickers.csv")
    check_table(REFERENCE, table, partition="all")
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        (dt.date(2023, 1, 3), "A", "WARRANT"),
        (dt.date(2024, 1, 2), "A", "CS"),
        (dt.date(2024, 1, 2), "B", "ETF"),
    ]


def test_reference_without_snapshot_dates_is_older_than_everything():
    table = read_reference(b"symbol,type\nNA,CS\n", "tickers.csv")
    assert table.to_pylist() == [{"as_of": NO_SNAPSHOT_DATE, "symbol": "NA", "type": "CS"}]


def test_reference_of_every_format():
    rows = [{"ticker": "A", "type": "CS", "as_of": "2024-01-02"}, {"ticker": "B", "type": None, "as_of": "2024-01-02"}]
    for name, data in (("t.jsonl", as_json_lines(rows)), ("t.csv", as_csv(rows)), ("t.parquet", as_parquet(rows))):
        noted: list[Finding] = []
        assert [tuple(r.values()) for r in read_reference(data, name, noted).to_pylist()] == [
            (dt.date(2024, 1, 2), "A", "CS")
        ]
        assert [(f.kind, f.count) for f in noted] == [("reference_without_type", 1)]


def test_two_types_of_one_symbol_in_one_snapshot_are_refused():
    with pytest.raises(SourceError, match="two types of A in one snapshot") as caught:
        read_reference(b"ticker,type\nA,CS\nB,CS\nA,ETF\n", "tickers.csv")
    assert caught.value.values["row"] == 3
    assert read_reference(b"ticker,type\nA,CS\nA,CS\n", "tickers.csv").num_rows == 1
