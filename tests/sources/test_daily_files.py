"""Files of daily bars: what is read of them, what is set aside, what is refused and where."""

from __future__ import annotations

import datetime as dt
import gzip
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.errors import QuarantineError, SourceError
from raypipe.schema.daily_bars import OHLCV_1D
from raypipe.schema.frames import check_table
from raypipe.sources.daily_files import DailyFile, SymbolBars, file_kind

HEADER = "date,symbol,open,high,low,close,volume"
GOOD = "2025-01-02,AAA,10,11,9,10.5,1000"


def csv(*rows: str, header: str = HEADER, name: str = "bars.csv") -> DailyFile:
    return DailyFile("\n".join([header, *rows]).encode(), name)


def parquet(**columns: object) -> DailyFile:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return DailyFile(sink.getvalue(), "bars.parquet")


def prices(rows: int) -> dict[str, np.ndarray]:
    return {name: np.full(rows, 10.0) for name in ("open", "high", "low", "close")} | {"volume": np.full(rows, 7)}


def test_a_row_is_taken_as_it_is():
    file = csv("2025-01-03,BBB,1,2,0.5,1.5,9", GOOD, "2025-01-03,AAA,10.5,12,10,11,0.5")
    table = file.bars("AAA").to_table((5,))
    check_table(OHLCV_1D, table, partition="AAA")
    assert file.symbols == ["AAA", "BBB"]
    assert table["session"].to_pylist() == [dt.date(2025, 1, 2), dt.date(2025, 1, 3)]
    assert table["volume"].to_pylist() == [1000.0, 0.5]
    assert table["adj_close"].null_count == 2
    assert table["vintage_ns"].to_pylist() == [5, 5]


@pytest.mark.parametrize("symbol", ["NA", "TRUE", "1", "null", "BRK.B", "nan"])
def test_symbols_are_text_all_the_way(symbol):
    assert csv(GOOD.replace("AAA", symbol)).symbols == [symbol]


@pytest.mark.parametrize("name", ["session", "date"])
def test_a_date_under_either_name_and_gzip(name):
    data = "\n".join([HEADER.replace("date", name), GOOD]).encode()
    assert DailyFile(gzip.compress(data), "bars.CSV.gz").bars("AAA").days.tolist() == [20090]
    assert [file_kind(n) for n in ("a.csv.gz", "a.parquet", "a.txt")] == ["csv", "parquet", ""]


@pytest.mark.parametrize(
    "text",
    ["2025-01-02", "2025-01-02 00:00:00", "2025-01-02T00:00:00-05:00", "2025-01-02T05:00:00+00:00"],
)
def test_a_midnight_is_its_date_in_new_york(text):
    assert csv(GOOD.replace("2025-01-02", text)).bars("AAA").days.tolist() == [20090]


def test_midnights_before_and_after_the_clocks_change():
    texts = ["2025-03-07T05:00:00+00:00", "2025-03-10T04:00:00+00:00"]
    days = csv(*(GOOD.replace("2025-01-02", text) for text in texts)).bars("AAA").days
    assert [dt.date(1970, 1, 1) + dt.timedelta(days=int(day)) for day in days] == [
        dt.date(2025, 3, 7),
        dt.date(2025, 3, 10),
    ]


@pytest.mark.parametrize("kind", [pa.date32(), pa.timestamp("s"), pa.timestamp("ns"), pa.timestamp("us", "UTC")])
def test_typed_dates(kind):
    moment = dt.datetime(2025, 1, 2, 5 if getattr(kind, "tz", None) else 0)  # noqa: DTZ001 - as files have them
    value = pa.array([moment.date()], kind) if kind == pa.date32() else pa.array([moment], kind)
    assert parquet(date=value, symbol=["AAA"], **prices(1)).bars("AAA").days.tolist() == [20090]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2025-01-04", "not a session"),
        ("2025-01-02 16:00:00", "clock time 16:00:00"),
        ("2025-01-02T00:00:00+00:00", "clock time 19:00:00"),
        ("yesterday", "not a date"),
        ("2025-01-03T05:00:00+00:00", "others have none"),
    ],
)
def test_a_wrong_date_is_refused_with_its_row(text, said):
    file = csv(GOOD, GOOD.replace("2025-01-02", text))
    with pytest.raises(SourceError, match=said) as caught:
        file.check()
    assert caught.value.values["row"] in (1, 2)
    assert caught.value.values["file"] == "bars.csv"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((HEADER, HEADER.replace("close", "last")), "column 'close' is missing"),
        ((",AAA,", ",,"), "symbol is missing"),
        (("10.5", "ten"), "cannot be read as csv"),
    ],
)
def test_what_is_no_bar_is_refused(change, said):
    data = "\n".join([HEADER, GOOD]).replace(*change).encode()
    with pytest.raises(SourceError, match=said):
        DailyFile(data, "bars.csv").check()


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        ("10,11,9,,1", "not_finite"),
        ("10,11,9,inf,1", "not_finite"),
        ("10,11,0,10,1", "price_not_positive"),
        ("10,9,11,10,1", "high_below_low"),
        ("12,11,9,10,1", "open_outside_range"),
        ("10,11,9,8,1", "close_outside_range"),
        ("10,11,9,10,-1", "volume_negative"),
    ],
)
def test_a_bad_row_is_set_aside_with_its_rule(bad, rule):
    noted: list = []
    good, aside = csv(GOOD, f"2025-01-03,AAA,{bad}").bars("AAA").without_bad(noted)
    assert len(good.days) == 1
    assert aside.select(["file", "row", "reason"]).to_pylist() == [{"file": "bars.csv", "row": 2, "reason": rule}]
    assert [(finding.kind, finding.count) for finding in noted] == [(f"quarantined_{rule}", 1)]


def test_a_dividend_above_the_close_before_is_set_aside():
    rows = (f"{GOOD},0", "2025-01-03,AAA,10,11,9,10,5,10.5", "2025-01-06,AAA,10,11,9,10,5,9.9")
    _, aside = csv(*rows, header=f"{HEADER},dividends").bars("AAA").without_bad([])
    assert aside["reason"].to_pylist() == ["dividend_above_price"]


def test_too_many_bad_rows_fail_the_symbol():
    bars = csv(GOOD).bars("AAA")
    bars.refuse_many(1, 1.0)
    with pytest.raises(QuarantineError, match="1 of 1 rows"):
        bars.refuse_many(1, 0.5)


def test_the_rounding_of_adjusted_prices_is_no_fault():
    file = csv(f"2025-01-02,AAA,10,{np.nextafter(10.5, 0)!r},9,10.5,1".replace("np.float64(", "").replace(")", ""))
    assert file.bars("AAA").without_bad([])[1].num_rows == 0


def test_equal_rows_count_once_even_over_files():
    noted: list = []
    other = csv("2025-01-03,AAA,10,11,9,10.5,1000", GOOD, name="more.csv")
    bars = SymbolBars.joined([csv(GOOD, GOOD).bars("AAA"), other.bars("AAA")]).without_repeats(noted)
    assert len(bars.days) == 2
    assert [(finding.kind, finding.count) for finding in noted] == [("repeated_rows", 2)]


def test_different_rows_of_a_session_are_refused_naming_both():
    other = csv(GOOD.replace("10.5", "10.6"), name="more.csv")
    bars = SymbolBars.joined([csv(GOOD).bars("AAA"), other.bars("AAA")])
    with pytest.raises(SourceError, match=r"2025-01-02: bars.csv row 1 and more.csv row 1"):
        bars.without_repeats([])
