"""Flat files to bronze rows: against the row-by-row definition, the real files, and every kind of damage."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.calendar import calendar
from raypipe.errors import QuarantineError, SourceError
from raypipe.schema.frames import check_table
from raypipe.schema.spec import Table
from raypipe.schema.tables import DAY_AGGS, MINUTE_AGGS
from raypipe.sources.polygon import BronzeParams, FlatFile, OutOfOrderError
from tests.reference.bronze import read_minutes

HEADER = "ticker,volume,open,close,high,low,window_start,transactions\n"
EARLY_CLOSE = dt.date(2025, 11, 28)
MINUTE = 60_000_000_000
LENIENT = BronzeParams(max_share=1.0)


def open_file(
    text: str, table: Table = MINUTE_AGGS, date: dt.date = EARLY_CLOSE, params: BronzeParams = LENIENT
) -> FlatFile:
    data = gzip.compress(text.encode())
    return FlatFile.from_gzip(data, "2025-11-28.csv.gz", table, calendar().session(date), params)


def read(file: FlatFile) -> pa.Table:
    """As the bronze stage does it: in stream mode, and from the start in sort mode if that fails."""
    try:
        blocks = list(file.blocks())
    except OutOfOrderError:
        blocks = list(file.blocks(sort=True))
    return pa.concat_tables(blocks).unify_dictionaries() if blocks else file._table.empty()


def rows(table: pa.Table) -> list[dict[str, Any]]:
    return table.drop_columns(["session"]).to_pylist()


# --- the definition ----------------------------------------------------------------------------

SYMBOLS = st.sampled_from(["A", "AA", "NA", "TRUE", "INF", "1", "BRK.B", "ABRpD", "bad/name", "Z"])
PRICES = st.sampled_from([0.0, 0.0001, 1.0, 9.99, 10.0, 10.01, 123456.789])


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    open_ns = calendar().session(EARLY_CLOSE).open_ns
    minute = draw(st.integers(-400, 800))
    off_grid = draw(st.sampled_from([0, 0, 0, 0, 1]))
    row = f"{draw(SYMBOLS)},{draw(st.integers(0, 9))},{draw(PRICES)},{draw(PRICES)},{draw(PRICES)},{draw(PRICES)}"
    line = f"{row},{open_ns + minute * MINUTE + off_grid},{draw(st.integers(0, 3))}\n"
    return [line] * draw(st.sampled_from([1, 1, 1, 2]))


@given(st.lists(lines(), min_size=1, max_size=30))
def test_any_file_means_what_the_definition_says(parts: list[list[str]]) -> None:
    text = HEADER + "".join(line for part in parts for line in part)
    file = open_file(text)
    got = read(file)
    expected, refused = read_minutes(text, EARLY_CLOSE, dt.time(13))
    order = sorted(got.column_names)
    assert [{k: r[k] for k in order if k != "session"} for r in rows(got)] == [
        dict(sorted(r.items())) for r in expected
    ]
    found = [] if file.quarantined is None else file.quarantined.select(["line", "reason"]).to_pylist()
    assert sorted((r["line"], r["reason"]) for r in found) == refused
    check_table(MINUTE_AGGS, got, partition="2025-11-28")


@given(st.lists(lines(), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_row_order_does_not_matter(parts: list[list[str]], random: Any) -> None:
    flat = [line for part in parts for line in part]
    shuffled = random.sample(flat, len(flat))
    assert rows(read(open_file(HEADER + "".join(flat)))) == rows(read(open_file(HEADER + "".join(shuffled))))


def test_columns_are_found_by_name_in_any_order() -> None:
    stamp = calendar().session(EARLY_CLOSE).open_ns
    text = f"t,transactions,low,symbol,high,volume,open,close\n{stamp},3,1,A,4,100,2,3\n"
    (row,) = rows(read(open_file(text)))
    assert row == {
        "symbol": "A",
        "window_start_ns": stamp,
        "open": 2.0,
        "high": 4.0,
        "low": 1.0,
        "close": 3.0,
        "volume": 100.0,
        "transactions": 3,
        "segment": "rth",
    }


def test_without_transactions_the_column_is_null() -> None:
    stamp = calendar().session(EARLY_CLOSE).open_ns
    (row,) = rows(read(open_file(f"ticker,volume,open,close,high,low,window_start\nA,1.5,2,3,4,1,{stamp}\n")))
    assert row["transactions"] is None
    assert row["volume"] == 1.5


def test_both_parsers_give_equal_rows() -> None:
    stamp = calendar().session(EARLY_CLOSE).open_ns
    body = "".join(f"S{i},{i},{i + 1}.25,{i + 1}.5,{i + 2},{i + 1},{stamp},{i}\n" for i in range(10, 99))
    plain = read(open_file(HEADER + body))
    quoted = read(open_file(HEADER + body.replace("S10,", '"S10",')))
    assert plain.equals(quoted)


def test_segments_follow_the_calendar() -> None:
    session = calendar().session(EARLY_CLOSE)
    starts = [
        session.ext_start_ns,
        session.open_ns - MINUTE,
        session.open_ns,
        session.close_ns - MINUTE,
        session.close_ns,
    ]
    text = HEADER + "".join(f"A,1,2,2,2,2,{start},1\n" for start in starts)
    assert read(open_file(text))["segment"].to_pylist() == ["pre", "pre", "rth", "rth", "post"]


# --- what is noticed, what is refused ----------------------------------------------------------


def test_duplicates_are_dropped_and_counted_conflicts_all_set_aside() -> None:
    stamp = calendar().session(EARLY_CLOSE).open_ns
    text = HEADER + f"A,1,2,2,2,2,{stamp},1\n" * 2 + f"B,1,2,2,2,2,{stamp},1\nB,1,2,3,3,2,{stamp},1\n"
    file = open_file(text)
    assert [row["symbol"] for row in rows(read(file))] == ["A"]
    assert {f.kind: f.count for f in file.findings} == {
        "duplicates": 1,
        "quarantined_duplicate_conflict": 2,
        "unsorted": 1,
    }


def test_too_many_bad_rows_fail_the_file_and_name_the_first() -> None:
    stamp = calendar().session(EARLY_CLOSE).open_ns
    text = HEADER + f"A,1,2,2,2,2,{stamp},1\nB,1,-2,2,2,2,{stamp},1\n"
    file = open_file(text, params=BronzeParams())
    with pytest.raises(QuarantineError, match=r"1 of 2 rows break a rule .*first row 3: B"):
        read(file)
    assert file.quarantined is not None
    assert file.quarantined["reason"].to_pylist() == ["price"]


@pytest.mark.parametrize(("factor", "unit"), [(10**6, "milliseconds"), (10**3, "microseconds"), (10**9, "seconds")])
def test_timestamps_in_another_unit_are_refused_by_name(factor: int, unit: str) -> None:
    stamp = calendar().session(EARLY_CLOSE).open_ns // factor
    with pytest.raises(SourceError, match=unit) as error:
        read(open_file(HEADER + f"A,1,2,2,2,2,{stamp},1\n"))
    assert error.value.values["row"] == 2


def test_day_bars_at_utc_midnight_are_refused() -> None:
    stamp = int(dt.datetime(2025, 11, 28, tzinfo=dt.UTC).timestamp()) * 10**9
    with pytest.raises(SourceError, match="midnight UTC"):
        read(open_file(HEADER + f"A,1,2,2,2,2,{stamp},1\n", DAY_AGGS))


def test_rows_of_another_session_are_set_aside() -> None:
    """A late bar of winter lies on the next UTC date and still in its session; a bar of the next session does not."""
    session = calendar().session(EARLY_CLOSE)
    later = calendar().session(dt.date(2025, 12, 1)).open_ns
    text = HEADER + f"A,1,2,2,2,2,{session.ext_end_ns - MINUTE},1\nA,1,2,2,2,2,{later},1\n"
    file = open_file(text)
    assert read(file).num_rows == 1
    assert file.quarantined is not None
    assert file.quarantined["reason"].to_pylist() == ["time"]


@pytest.mark.parametrize(
    ("header", "difference"),
    [
        ("ticker,volume,open,close,high,window_start,transactions", r"missing \['low'\]"),
        ("ticker,volume,open,last,high,low,window_start,transactions", r"missing \['close'\].*unknown \['last'\]"),
        (HEADER.strip() + ",vwap", r"unknown \['vwap'\]"),
        (HEADER.strip() + ",open", r"repeated \['open'\]"),
    ],
)
def test_another_header_is_refused_with_the_difference(header: str, difference: str) -> None:
    with pytest.raises(SourceError, match=difference):
        open_file(header + "\n")


def test_extra_columns_pass_with_a_warning_if_asked() -> None:
    stamp = calendar().session(EARLY_CLOSE).open_ns
    text = HEADER.strip() + f",note\nA,1,2,2,2,2,{stamp},1,<script>\n"
    file = open_file(text, params=BronzeParams(extra_columns="warn"))
    assert read(file).num_rows == 1
    assert [f.kind for f in file.findings] == ["extra_columns"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "header and no rows"),
        ("A,1,2,2,2,2,1764340200000000000,1\nB,1,2,2", "middle of a row|fewer fields"),
        ("A,1,2,2,2,2,1764340200000000000,1\nB,1,2,2,2,2,1764340200000000000,12", "middle of a row"),
        ("A,1,2,2,2,2,1764340200000000000\n", "fewer fields"),
        ("A,1,2,2,2,2,1764340200000000000,1,9\n", "more fields"),
        ("A" * 5000 + ",1,2,2,2,2,1764340200000000000,1\n", "longer than any row"),
        ("A,1,abc,2,2,2,1764340200000000000,1\n", "not a number"),
    ],
)
def test_a_broken_file_is_refused_with_row_and_reason(body: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as error:
        read(open_file(HEADER + body))
    assert error.value.values["file"] == "2025-11-28.csv.gz"


# --- the real files ----------------------------------------------------------------------------


def real_files(shared_data: Path) -> list[Path]:
    folder = shared_data / "polygon" / "us_stocks_sip"
    days = sorted(folder.glob("day_aggs_v1/*/*/*.csv.gz"))
    return [*sorted(folder.glob("minute_aggs_v1/*/*/*.csv.gz")), *days[::50]]


def test_real_files_are_read_to_the_last_digit(shared_data: Path) -> None:
    paths = real_files(shared_data)
    assert paths
    for path in paths:
        table = DAY_AGGS if "day_aggs" in str(path) else MINUTE_AGGS
        date = dt.date.fromisoformat(path.name[:10])
        file = FlatFile.from_gzip(path.read_bytes(), path.name, table, calendar().session(date), BronzeParams())
        got = read(file)
        expected = list(csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode())))
        assert got["symbol"].to_pylist() == [row["ticker"] for row in expected]
        for name in ("open", "high", "low", "close", "volume"):
            assert np.array_equal(got[name].to_numpy(), np.array([float(row[name]) for row in expected])), (path, name)
        assert got["window_start_ns"].to_pylist() == [int(row["window_start"]) for row in expected]


def test_the_split_bar_of_aapl_is_kept_and_pointed_out(shared_data: Path) -> None:
    path = shared_data / "polygon/us_stocks_sip/minute_aggs_v1/2014/06/2014-06-09.csv.gz"
    file = FlatFile.from_gzip(
        path.read_bytes(), path.name, MINUTE_AGGS, calendar().session(dt.date(2014, 6, 9)), BronzeParams()
    )
    first = rows(read(file))[0]
    assert (first["symbol"], first["open"], first["low"]) == ("AAPL", 645.57, 92.23)
    assert "wide_bars" in {f.kind for f in file.findings}
