"""Which rows pass the prefilter, point in time."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from raypipe.calendar import calendar
from raypipe.features.daily import DAILY
from raypipe.features.filtered import FAMILY, FILTERED, FilteredParams
from tests.contracts.market import read
from tests.features.bars import FEWER, Sample, assert_rows, bar, run, samples
from tests.reference.filtered import filtered

DATES = calendar().dates(dt.date(2025, 1, 2), dt.date(2025, 1, 31))


def sample(*bars, splits=None) -> Sample:
    sessions = tuple(calendar().session(date) for date in DATES)
    return Sample(sessions, bars, splits or {}, frozenset(DATES))


def build(made: Sample, **params) -> list[dict]:
    return run(FAMILY, made.with_daily(), made.targets, FilteredParams(**params)).table.to_pylist()


@FEWER
@given(samples(), st.integers(1, 12), st.sampled_from([0, 1e3, 1e6]), st.integers(0, 4))
def test_equals_the_definition(made, window, min_avg_volume, min_days):
    params = FilteredParams(
        prefilter_window_sessions=window, prefilter_min_avg_volume=min_avg_volume, prefilter_min_days=min_days
    )
    table = run(FAMILY, made.with_daily(), made.targets, params).table
    expected = filtered(
        made.bars, made.dates, made.splits, window=window, min_avg_volume=min_avg_volume, min_days=min_days
    )
    assert_rows(table, expected)


@FEWER
@given(samples())
def test_a_band_of_its_own(made):
    params = FilteredParams(prefilter_price_range=(20.0, 500.0), prefilter_min_avg_volume=0, prefilter_min_days=0)
    table = run(FAMILY, made.with_daily(), made.targets, params).table
    assert_rows(table, filtered(made.bars, made.dates, made.splits, band=(20.0, 500.0), min_avg_volume=0, min_days=0))
    assert all(table["close_in_band"].to_pylist())


def test_the_columns_of_daily_come_unchanged():
    made = sample(*(bar(date, name, 5.0) for date in DATES[:3] for name in ("A", "B")))
    market = made.with_daily()
    params = FilteredParams(prefilter_min_avg_volume=0, prefilter_min_days=0)
    kept = run(FAMILY, market, made.targets, params).table
    assert FILTERED.names == (*DAILY.names, "avg_volume", "days_in_window")
    whole = [row for date in DATES for row in market.table(DAILY.name)[date].to_pylist()]
    assert kept.select(DAILY.names).to_pylist() == whole


def test_volume_counts_on_the_basis_of_the_session():
    made = sample(
        bar(DATES[0], "S", 20.0, volume=100.0), bar(DATES[1], "S", 5.0, volume=400.0), splits={("S", DATES[1]): 4.0}
    )
    (row,) = build(made, prefilter_min_avg_volume=400, prefilter_min_days=2)
    assert (row["avg_volume"], row["days_in_window"]) == (400.0, 2)
    assert not build(made, prefilter_min_avg_volume=400, prefilter_min_days=2, adjust="none")


@pytest.mark.parametrize(("window", "passes"), [(10, True), (11, True), (9, False)])
def test_the_window_counts_sessions_and_includes_its_own(window, passes):
    made = sample(bar(DATES[0], "S", 5.0, volume=3000.0), bar(DATES[9], "S", 5.0, volume=1000.0))
    rows = build(made, prefilter_window_sessions=window, prefilter_min_avg_volume=2000, prefilter_min_days=2)
    assert [row["session"] for row in rows] == ([DATES[9]] if passes else [])


@pytest.mark.parametrize(
    ("params", "passes"),
    [
        ({"prefilter_min_avg_volume": 1000, "prefilter_min_days": 1}, True),
        ({"prefilter_min_avg_volume": 1000.5, "prefilter_min_days": 1}, False),
        ({"prefilter_min_avg_volume": 0, "prefilter_min_days": 2}, False),
        ({"prefilter_min_avg_volume": 0, "prefilter_min_days": 0}, True),
        ({}, False),
    ],
)
def test_thresholds_are_included_and_0_switches_a_rule_off(params, passes):
    assert bool(build(sample(bar(DATES[0], "S", 5.0)), **params)) is passes


def test_a_name_comes_and_goes_with_its_price():
    made = sample(*(bar(date, "S", close) for date, close in zip(DATES, (9.0, 10.0, 9.99, 0.5, 1.0), strict=False)))
    rows = build(made, prefilter_min_avg_volume=0, prefilter_min_days=0)
    assert [row["session"] for row in rows] == [DATES[0], DATES[2], DATES[4]]
    assert rows[1]["prev_close"] == 10.0, "the previous row, though it is not in the table"


def test_earlier_sessions_are_read_for_their_volume_only():
    made = sample(bar(DATES[0], "S", 5.0))
    inputs = read(made.with_daily(), FAMILY, FilteredParams(), [calendar().session(DATES[5])])
    columns = {date: table.column_names for date, table in inputs.partitions(DAILY.name).items()}
    assert columns[DATES[4]] == ["symbol", "volume"]
    assert len(columns[DATES[5]]) == len(DAILY.columns)


@pytest.mark.parametrize(
    "wrong",
    [
        {"prefilter_window_sessions": 0},
        {"prefilter_min_days": -1},
        {"prefilter_min_avg_volume": -1},
        {"prefilter_price_range": (2.0, 1.0)},
    ],
)
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ValidationError):
        FilteredParams(**wrong)
