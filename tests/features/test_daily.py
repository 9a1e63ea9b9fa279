"""Day rows: the definition, splits, gaps, bands, and what is dropped."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from pydantic import ValidationError

from raypipe.calendar import calendar
from raypipe.errors import BlockedError
from raypipe.features.daily import DAILY, FAMILY, DailyParams
from raypipe.schema.tables import DAY_AGGS, SPLITS, SYMBOL_TYPES
from tests.contracts.market import read
from tests.features.bars import FEWER, Fixed, Sample, assert_rows, bar, run, samples, types_of
from tests.reference.daily import daily

MON, TUE, WED, THU, FRI = calendar().dates(dt.date(2025, 1, 13), dt.date(2025, 1, 17))


def sample(*bars, splits=None, dates=(MON, TUE, WED, THU, FRI)) -> Sample:
    sessions = tuple(calendar().session(date) for date in dates)
    return Sample(sessions, bars, splits or {}, frozenset(dates))


def build(made: Sample, params: DailyParams | None = None) -> dict[tuple[dt.date, str], dict]:
    rows = run(FAMILY, made.market(), made.targets, params).table.to_pylist()
    return {(row["session"], row["symbol"]): row for row in rows}


@FEWER
@given(samples())
def test_equals_the_definition(made):
    table = run(FAMILY, made.market(), made.targets).table
    assert_rows(table, daily(made.bars, made.dates, made.splits))


@FEWER
@given(samples())
def test_equals_the_definition_with_other_parameters(made):
    params = DailyParams(adjust="none", max_gap_sessions=2, prefilter_price_range=(5.0, 50.0), clean_symbols=False)
    table = run(FAMILY, made.market(), made.targets, params).table
    assert_rows(table, daily(made.bars, made.dates, {}, max_gap_sessions=2, band=(5.0, 50.0)))


def test_a_split_is_not_a_return():
    made = sample(
        bar(MON, "S", 40.0, volume=100.0),
        bar(TUE, "S", 10.1, volume=400.0),
        bar(WED, "S", 10.2, volume=400.0),
        splits={("S", TUE): 4.0},
    )
    rows = build(made)
    assert rows[TUE, "S"]["split_ratio"] == 4.0
    assert rows[TUE, "S"]["prev_close"] == 10.0
    assert rows[TUE, "S"]["ret_d"] == pytest.approx(0.01)
    assert rows[TUE, "S"]["abs_change_d"] == pytest.approx(0.1)
    assert rows[TUE, "S"]["suspect_gap"] is False
    assert rows[MON, "S"]["close"] == 40.0, "stored prices stay as traded"
    assert rows[WED, "S"]["prev_close"] == 10.1
    assert rows[WED, "S"]["split_ratio"] == 1.0


def test_a_split_on_a_session_without_a_row_counts_too():
    rows = build(sample(bar(MON, "S", 40.0), bar(WED, "S", 10.0), splits={("S", TUE): 4.0}))
    assert (rows[WED, "S"]["prev_close"], rows[WED, "S"]["gap_sessions"]) == (10.0, 2)
    assert (rows[WED, "S"]["split_ratio"], rows[WED, "S"]["suspect_gap"]) == (1.0, False)


def test_a_missed_split_is_suspect():
    rows = build(sample(bar(MON, "S", 40.0), bar(TUE, "S", 10.0), bar(WED, "S", 17.0), bar(THU, "S", 16.6)))
    flags = [rows[date, "S"]["suspect_gap"] for date in (MON, TUE, WED, THU)]
    assert flags == [None, True, True, False]


@pytest.mark.parametrize(("age", "found"), [(1, True), (4, True), (5, True), (6, False)])
def test_the_previous_row_may_be_max_gap_sessions_old(age, found):
    dates = calendar().dates(dt.date(2025, 1, 2), dt.date(2025, 1, 31))
    made = sample(bar(dates[6 - age], "S", 10.0), bar(dates[6], "S", 11.0), dates=dates)
    row = build(made)[dates[6], "S"]
    assert row["gap_sessions"] == (age if found else None)
    assert (row["ret_d"] is not None) == found


def test_ages_count_sessions_and_not_dates_or_rows():
    dates = calendar().dates(dt.date(2025, 1, 8), dt.date(2025, 1, 10))  # closed on the 9th
    row = build(sample(bar(dates[0], "S", 10.0), bar(dates[1], "S", 11.0), dates=dates))[dates[1], "S"]
    assert row["gap_sessions"] == 1


@pytest.mark.parametrize(
    ("close", "inside"), [(0.99, False), (1.0, True), (9.99, True), (9.9901, False), (0.9999999, False)]
)
def test_both_ends_belong_to_the_band(close, inside):
    assert build(sample(bar(MON, "S", close)))[MON, "S"]["close_in_band"] is inside


def test_rows_are_known_at_the_end_of_the_extended_session():
    early = dt.date(2024, 12, 24)
    row = build(sample(bar(early, "S", 10.0), dates=(early,)))[early, "S"]
    assert row["available_ns"] == calendar().session(early).ext_end_ns


def test_symbols_that_may_not_be_traded_are_left_out_but_can_be_kept():
    made = sample(bar(MON, "AAA", 5.0), bar(MON, "AAAW", 5.0), bar(MON, "NEW", 5.0), dates=(MON,))
    market = made.market()
    tables = {**market.tables, SYMBOL_TYPES.name: {MON: types_of(MON, ["AAA", "AAAW"], {"AAA"})}}
    market = Fixed(made.sessions, tables=tables)
    assert run(FAMILY, market, made.targets).table["symbol"].to_pylist() == ["AAA"]
    everything = run(FAMILY, market, made.targets, DailyParams(clean_symbols=False)).table
    assert everything["symbol"].to_pylist() == ["AAA", "AAAW", "NEW"]


def test_symbols_of_the_session_decide_whatever_they_were_before():
    made = sample(bar(MON, "AAA", 5.0), bar(TUE, "AAA", 6.0))
    tables = dict(made.market().tables)
    tables[SYMBOL_TYPES.name] = {**tables[SYMBOL_TYPES.name], MON: types_of(MON, ["AAA"], ())}
    rows = run(FAMILY, Fixed(made.sessions, tables=tables), made.targets).table.to_pylist()
    assert [(row["session"], row["prev_close"]) for row in rows] == [(TUE, 5.0)]


def test_without_a_table_of_splits_there_is_one_warning():
    made = sample(bar(MON, "S", 40.0), bar(TUE, "S", 10.0), splits={("S", TUE): 4.0})
    result = run(FAMILY, made.market(with_splits=False), made.targets)
    assert [(f.kind, f.level) for f in result.findings] == [("no_splits", "warning")]
    assert result.table["ret_d"].to_pylist() == [None, -0.75]
    assert not run(FAMILY, made.market(with_splits=False), made.targets, DailyParams(adjust="none")).findings


def test_splits_of_symbols_that_did_not_trade_are_counted():
    made = sample(bar(MON, "S", 40.0), splits={("GONE", MON): 4.0, ("LOST", MON): 2.0, ("GONE", WED): 2.0})
    found = run(FAMILY, made.market(), made.targets).findings
    assert [(f.kind, f.partition, f.count, f.samples) for f in found] == [
        ("split_unknown_symbol", MON.isoformat(), 2, ("GONE", "LOST")),
        ("split_unknown_symbol", WED.isoformat(), 1, ("GONE",)),
    ]
    assert {f.level for f in found} == {"info"}


def test_only_what_is_required_is_read():
    params = DailyParams()
    made = sample(bar(MON, "S", 40.0), bar(TUE, "S", 10.0), splits={("S", MON): 2.0, ("S", FRI): 4.0})
    inputs = read(made.market(), FAMILY, params, [calendar().session(WED)])
    assert inputs.partitions(DAY_AGGS.name)[TUE].column_names == ["symbol", "close"]
    assert list(inputs.partitions(SYMBOL_TYPES.name)) == [WED]
    assert inputs.once(SPLITS.name)["ex_session"].to_pylist() == [MON], "not the split that is still to come"
    assert not [
        r for r in FAMILY.requires(DailyParams(adjust="none", clean_symbols=False)) if "day_aggs" not in r.table
    ]


def test_a_session_without_its_own_bars_is_blocked():
    made = sample(bar(MON, "S", 1.0), dates=(MON,))
    with pytest.raises(BlockedError, match="2025-01-14"):
        run(FAMILY, made.market(), [calendar().session(TUE)])
    market = Fixed(made.sessions, tables={DAY_AGGS.name: made.market().table(DAY_AGGS.name)})
    with pytest.raises(BlockedError, match=r"silver/symbol_types, partition 2025-01-13"):
        run(FAMILY, market, made.targets)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_gap_sessions": 0},
        {"prefilter_price_range": (9.99, 1.0)},
        {"prefilter_price_range": (-1.0, 1.0)},
        {"adjust": "dividends"},
        {"gap": 3},
    ],
)
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ValidationError):
        DailyParams(**wrong)


@FEWER
@given(samples())
def test_prices_in_another_unit_change_no_ratio(made):
    """Prices times 4: prices are 4 times as high to the last bit, everything else stands."""
    scaled = [b | {name: 4.0 * b[name] for name in ("open", "high", "low", "close")} for b in made.bars]
    table = run(FAMILY, made.market(), made.targets).table
    other = run(FAMILY, Sample(made.sessions, tuple(scaled), made.splits, made.held).market(), made.targets).table
    for column in DAILY.columns:
        factor = 4.0 if column.unit.startswith("usd") else 1
        if column.name != "close_in_band":
            got, base = other[column.name].to_pylist(), table[column.name].to_pylist()
            assert got == [v if factor == 1 or v is None else factor * v for v in base], column.name
