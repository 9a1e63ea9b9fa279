"""Weekly rows: the definition, ISO weeks, weeks that are not over, splits inside and between weeks."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from pydantic import ValidationError

from raypipe.calendar import calendar
from raypipe.features.daily import DailyParams
from raypipe.features.weekly import FAMILY, WEEKLY, WeeklyParams
from raypipe.schema.tables import SPLITS
from tests.contracts.market import read
from tests.features.bars import FEWER, Fixed, Sample, assert_rows, bar, run, samples
from tests.reference.weekly import weekly


def sample(first: str, last: str, *bars, splits=None, missing=()) -> Sample:
    sessions = tuple(calendar().between(dt.date.fromisoformat(first), dt.date.fromisoformat(last)))
    held = {session.date for session in sessions} - {dt.date.fromisoformat(date) for date in missing}
    return Sample(sessions, tuple(bars), splits or {}, frozenset(held))


def on(date: str, close: float, symbol: str = "S", **other):
    return bar(dt.date.fromisoformat(date), symbol, close, **other)


def build(made: Sample, params: WeeklyParams | None = None) -> list[dict]:
    return run(FAMILY, made.with_daily(), made.targets, params).table.to_pylist()


@FEWER
@given(samples())
def test_equals_the_definition(made):
    table = run(FAMILY, made.with_daily(), made.targets).table
    every = calendar().dates(dt.date(2024, 11, 1), dt.date(2025, 2, 28))
    assert_rows(table, weekly(made.bars, every, made.held, made.splits))


@FEWER
@given(samples())
def test_equals_the_definition_with_other_parameters(made):
    market = made.with_daily(DailyParams(max_gap_sessions=1))
    every = calendar().dates(dt.date(2024, 11, 1), dt.date(2025, 2, 28))
    table = run(FAMILY, market, made.targets, WeeklyParams(max_gap_weeks=1)).table
    assert_rows(table, weekly(made.bars, every, made.held, made.splits, max_gap_weeks=1))
    table = run(FAMILY, market, made.targets, WeeklyParams(adjust="none")).table
    assert_rows(table, weekly(made.bars, every, made.held, {}))


def test_year_and_week_are_both_iso():
    (row,) = build(sample("2024-12-30", "2025-01-03", on("2024-12-31", 10.0)))
    assert (row["year"], row["week"], row["week_start"]) == (2025, 1, dt.date(2024, 12, 30))
    assert row["complete"] is True
    assert row["week_end"] == dt.date(2025, 1, 3)


def test_a_week_starts_on_its_monday_though_that_is_a_holiday():
    (row,) = build(sample("2025-01-21", "2025-01-24", on("2025-01-22", 10.0)))
    assert (row["week_start"], row["complete"], row["sessions_n"]) == (dt.date(2025, 1, 20), True, 1)


def test_a_week_that_is_not_over_is_there_and_says_so():
    (row,) = build(sample("2025-01-13", "2025-01-15", on("2025-01-13", 10.0), on("2025-01-14", 12.0)))
    assert row["complete"] is False
    assert (row["week_end"], row["close_w"], row["sessions_n"]) == (dt.date(2025, 1, 15), 12.0, 2)
    assert row["available_ns"] == calendar().session(dt.date(2025, 1, 15)).ext_end_ns


def test_a_hole_leaves_the_week_incomplete():
    made = sample("2025-01-13", "2025-01-17", on("2025-01-13", 10.0), missing=["2025-01-15"])
    assert [row["complete"] for row in build(made)] == [False]


def test_a_symbol_that_stopped_is_known_at_the_end_of_the_week_and_not_before():
    rows = build(sample("2025-01-13", "2025-01-17", on("2025-01-14", 10.0, "GONE"), on("2025-01-17", 10.0)))
    assert len({row["available_ns"] for row in rows}) == 1
    assert [row["week_end"] for row in rows] == [dt.date(2025, 1, 17)] * 2


def test_prices_of_a_week_with_a_split_are_on_its_last_basis():
    made = sample(
        "2025-01-06",
        "2025-01-17",
        on("2025-01-10", 36.0),
        on("2025-01-13", 40.0, volume=100.0, high=44.0),
        on("2025-01-15", 9.0, volume=400.0, low=8.5),
        splits={("S", dt.date(2025, 1, 14)): 4.0},
    )
    row = build(made)[1]
    assert (row["open_w"], row["high_w"], row["low_w"], row["close_w"]) == (10.0, 11.0, 8.5, 9.0)
    assert row["volume_w"] == 800.0
    assert (row["ret_w"], row["abs_change_w"]) == (0.0, 0.0)


def test_a_split_after_the_last_session_held_is_not_used():
    made = sample("2025-01-13", "2025-01-15", on("2025-01-14", 40.0), splits={("S", dt.date(2025, 1, 17)): 4.0})
    inputs = read(made.with_daily(), FAMILY, WeeklyParams(), made.targets)
    assert inputs.once(SPLITS.name).num_rows == 1, "the plan may hand it over: it lies inside the week"
    assert build(made)[0]["close_w"] == 40.0


@pytest.mark.parametrize(("last_seen", "found"), [("2025-01-03", True), ("2024-12-23", True), ("2024-12-20", False)])
def test_the_week_before_may_be_max_gap_weeks_old(last_seen, found):
    made = sample("2024-12-16", "2025-01-24", on(last_seen, 10.0), on("2025-01-22", 11.0))
    row = build(made)[-1]
    assert (row["ret_w"] is not None) == found
    assert row["ret_w"] is None or row["ret_w"] == pytest.approx(0.1)


def test_weeks_of_which_nothing_is_held_have_no_rows():
    made = sample("2025-01-06", "2025-01-17", on("2025-01-07", 10.0))
    empty = Fixed(made.sessions, tables={name: {} for name in made.with_daily().tables})
    table = run(FAMILY, empty, made.targets).table
    assert table.schema == WEEKLY.arrow
    assert table.num_rows == 0


def test_wrong_parameters_are_refused():
    with pytest.raises(ValidationError):
        WeeklyParams(max_gap_weeks=0)


@FEWER
@given(samples())
def test_volume_is_conserved_without_splits(made):
    plain = Sample(made.sessions, made.bars, {}, made.held)
    rows = build(plain)
    assert sum(r["volume_w"] for r in rows) == pytest.approx(sum(b["volume"] for b in made.bars), rel=1e-12)
    assert sum(r["sessions_n"] for r in rows) == len(made.bars)
    assert all(
        r["low_w"] <= min(r["open_w"], r["close_w"]) <= max(r["open_w"], r["close_w"]) <= r["high_w"] for r in rows
    )
