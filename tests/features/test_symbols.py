"""Symbol cleaning: spelling rules, reference snapshots, and what the universe is."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from raypipe.calendar import calendar
from raypipe.errors import BlockedError
from raypipe.features.symbols import FAMILY, REASONS, SymbolsParams, known_snapshots
from raypipe.schema.family import Finding
from raypipe.schema.frames import check_table
from raypipe.schema.tables import DAY_AGGS, MINUTE_AGGS, REFERENCE, SYMBOL_TYPES
from tests.contracts.sources import Partitions
from tests.features.bars import Fixed, bar, day_tables, run
from tests.reference.symbols import RULES, reason

MON, TUE, WED = calendar().dates(dt.date(2025, 1, 13), dt.date(2025, 1, 15))


def reference(*rows: tuple[dt.date, str, str]) -> pa.Table:
    dates, symbols, types = zip(*sorted(rows), strict=True)
    return REFERENCE.build(
        {
            "as_of": pa.array(dates, pa.date32()),
            "symbol": pa.array(symbols).dictionary_encode(),
            "type": pa.array(types).dictionary_encode(),
        }
    )


def market(*universe: str, listed: pa.Table | None = None, dates=(MON,), minutes: Partitions | None = None) -> Fixed:
    bars = [bar(date, symbol, 5.0) for date in dates for symbol in universe]
    tables: dict[str, Partitions] = {DAY_AGGS.name: day_tables(bars, dates if universe else ())}
    if listed is not None:
        tables[REFERENCE.name] = {None: listed}
    if minutes is not None:
        tables[MINUTE_AGGS.name] = minutes
    return Fixed([calendar().session(date) for date in dates], tables=tables)


def classify(*universe: str, **given) -> dict[str, dict]:
    params = given.pop("params", SymbolsParams())
    made = market(*universe, **given)
    table = run(FAMILY, made, made.sessions, params).table
    check_table(SYMBOL_TYPES, table.slice(0, len(universe)), partition="first")
    return {row["symbol"]: row for row in table.to_pylist()}


#: What each rule takes, and under the empty name what is kept.
SPELLED = {
    "test": ("ZVZZT", "ZAZZT", "NTEST", "NTEST.A", "ATEST", "ABC.TEST", "ZEXIT", "ZIEXT", "ZXIET", "ZVV", "IGZ", "ZZK"),
    "preferred": ("BACpK", "BACp", "TFCpI", "BRK.ApB"),
    "warrant": ("XYZ.WS", "XYZ.WS.A", "XYZ.W", "ABCDW"),
    "unit": ("ABC.U", "ABCDU"),
    "right": ("XYZr", "XYZ.R", "XYZ.RT", "ABCDR"),
    "when_issued": ("XYZw", "XYZ.WI", "XYZ.WD", "XYZ.CL", "XYZ.CV", "XYZ.PP"),
    "odd": ("ABC^", "A1B", "1", "", "ABCDEFGHIJKLMNOPQ", "A B", "É", "A\nB", "A/B"),
    "": (
        "SNAP",
        "SHIP",
        "TRIP",
        "COOP",
        "CAMP",
        "BIDU",
        "LULU",
        "UBER",
        "VIEW",
        "BRK.B",
        "BF.A",
        "A",
        "NA",
        "TRUE",
        "SPY",
        "TESTA",
        "DTEST",
        "ZVZZTA",
        "IGZA",
        "AGNCQ",
        "GOOGL",
        "ABCDEFGHIJKLMNOP",
    ),
}


@pytest.mark.parametrize(("symbol", "expected"), [(name, rule) for rule, names in SPELLED.items() for name in names])
def test_what_the_spelling_says(symbol, expected):
    row = classify(symbol)[symbol]
    assert (row["reason"] or "", row["tradable"]) == (expected, not expected)
    assert (row["type"], row["source"]) == ("PATTERN", "pattern")
    assert reason(symbol, {symbol}) == expected


def test_a_fifth_letter_is_a_preferred_share_only_beside_its_root():
    rows = classify("AGNC", "AGNCP", "AGNCN", "MITTO", "XOMAM")
    assert {symbol for symbol, row in rows.items() if row["reason"] == "preferred"} == {"AGNCP", "AGNCN"}


def test_the_root_must_trade_in_the_same_session():
    bars = [bar(MON, "AGNC", 5.0), bar(MON, "AGNCP", 5.0), bar(TUE, "AGNCP", 5.0)]
    made = Fixed([calendar().session(d) for d in (MON, TUE)], tables={DAY_AGGS.name: day_tables(bars, (MON, TUE))})
    rows = run(FAMILY, made, made.sessions).table.to_pylist()
    assert [(row["session"], row["symbol"], row["reason"]) for row in rows] == [
        (MON, "AGNC", None),
        (MON, "AGNCP", "preferred"),
        (TUE, "AGNCP", None),
    ]


_words = st.text(alphabet="ABEINPRSTUWZprw.1^", max_size=7)
_tails = st.sampled_from(["p", "pA", "W", ".W", ".WS", ".WS.A", "U", ".U", "r", ".RT", "w", ".WI", "ZZT", "TEST", "P"])


@given(st.lists(st.one_of(_words, st.builds("".join, st.tuples(_words, _tails))), min_size=1, max_size=12, unique=True))
@example(["ABCD", "ABCDP", "ABCDW", "ZVZZT"])
def test_every_spelling_meets_the_rules_in_order(universe):
    rows = classify(*universe)
    assert {symbol: row["reason"] or "" for symbol, row in rows.items()} == {s: reason(s, universe) for s in universe}


def test_the_rules_are_those_of_the_reference_in_the_same_order():
    assert [name for name, _ in REASONS] == [name for name, _ in RULES]


# --- reference ---------------------------------------------------------------------------------


def test_the_vendor_s_list_decides_where_it_has_the_symbol():
    listed = reference((MON, "ABCDW", "CS"), (MON, "SNAP", "WARRANT"), (MON, "SPY", "ETF"))
    rows = classify("ABCDW", "ABC.U", "SNAP", "SPY", listed=listed)
    got = {s: (r["type"], r["tradable"], r["reason"], r["source"]) for s, r in rows.items()}
    assert got == {
        "ABCDW": ("CS", True, None, "reference"),
        "SNAP": ("WARRANT", False, "type:WARRANT", "reference"),
        "SPY": ("ETF", True, None, "reference"),
        "ABC.U": ("PATTERN", False, "unit", "pattern"),
    }


def test_the_kept_types_are_a_parameter():
    rows = classify(
        "A", "B", listed=reference((MON, "A", "CS"), (MON, "B", "UNIT")), params=SymbolsParams(keep_types=["UNIT"])
    )
    assert [rows[symbol]["tradable"] for symbol in "AB"] == [False, True]


def test_each_session_believes_the_latest_list_of_its_time():
    listed = reference((MON, "A", "CS"), (MON, "B", "CS"), (WED, "A", "WARRANT"))
    made = market("A", "B", listed=listed, dates=(MON, TUE, WED))
    result = run(FAMILY, made, made.sessions)
    assert [row["type"] for row in result.table.to_pylist()] == ["CS", "CS", "CS", "CS", "WARRANT", "PATTERN"]
    assert not result.findings


def test_a_list_of_later_stands_in_with_a_warning():
    made = market("A", listed=reference((TUE, "A", "CS"), (WED, "A", "WARRANT")), dates=(MON, TUE))
    result = run(FAMILY, made, made.sessions)
    assert [row["type"] for row in result.table.to_pylist()] == ["CS", "CS"]
    (found,) = result.findings
    assert (found.kind, found.level, found.partition) == ("reference_from_later", "warning", MON.isoformat())
    assert TUE.isoformat() in found.message


def test_listed_symbols_that_did_not_trade_are_counted():
    made = market("A", listed=reference((MON, "A", "CS"), (MON, "B", "CS"), (MON, "C", "CS")))
    (found,) = run(FAMILY, made, made.sessions).findings
    assert isinstance(found, Finding)
    assert (found.kind, found.count, found.level) == ("reference_unknown_symbol", 2, "info")


@pytest.mark.parametrize(
    ("first", "last", "kept"),
    [
        (MON, MON, {dt.date(2025, 1, 6)}),
        (TUE, TUE, {TUE}),
        (MON, WED, {dt.date(2025, 1, 6), TUE}),
        (dt.date(2025, 1, 2), dt.date(2025, 1, 2), {dt.date(2025, 1, 3)}),
        (dt.date(2025, 1, 2), MON, {dt.date(2025, 1, 3), dt.date(2025, 1, 6)}),
        (dt.date(2025, 1, 30), dt.date(2025, 1, 31), {TUE}),
    ],
)
def test_the_snapshots_that_sessions_may_know(first, last, kept):
    table = reference((dt.date(2025, 1, 3), "A", "CS"), (dt.date(2025, 1, 6), "A", "CS"), (TUE, "A", "ETF"))
    assert set(known_snapshots(table, first, last)["as_of"].to_pylist()) == kept


def test_a_reference_without_rows_changes_nothing():
    assert classify("ABCDW", listed=REFERENCE.empty())["ABCDW"]["reason"] == "warrant"


# --- the universe ------------------------------------------------------------------------------


def minute_table(date: dt.date, *symbols: str) -> pa.Table:
    start = calendar().session(date).open_ns
    count = 2 * len(symbols)
    return MINUTE_AGGS.build(
        {
            "session": pa.array([date] * count, pa.date32()),
            "symbol": pa.array([symbol for symbol in symbols for _ in "12"]).dictionary_encode(),
            "window_start_ns": pa.array([start, start + 60 * 10**9] * len(symbols)),
            **{name: pa.array([1.0] * count) for name in ("open", "high", "low", "close", "volume")},
            "transactions": pa.array([1] * count, pa.int32()),
            "segment": pa.array(["rth"] * count).dictionary_encode(),
        }
    )


def test_minute_bars_stand_in_where_there_is_no_day_file():
    made = market("A", dates=(MON,), minutes={date: minute_table(date, "B", "C") for date in (MON, TUE)})
    sessions = [calendar().session(date) for date in (MON, TUE)]
    rows = run(FAMILY, made, sessions).table.to_pylist()
    assert [(row["session"], row["symbol"]) for row in rows] == [(MON, "A"), (TUE, "B"), (TUE, "C")]


def test_without_any_bars_the_session_is_blocked():
    made = market(dates=(MON,))
    with pytest.raises(BlockedError, match="neither day bars nor minute bars"):
        run(FAMILY, made, made.sessions)
