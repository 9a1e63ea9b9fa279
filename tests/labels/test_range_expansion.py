"""Range labels: the definition on made-up day bars with gaps and splits, and laws."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from raypipe.calendar import calendar
from raypipe.labels.range_expansion import FAMILY, RANGE_LABELS, RangeParams
from raypipe.schema.frames import check_table
from tests.contracts.market import buildable
from tests.features.bars import Fixed, Sample, run, samples
from tests.features.minutes import assert_values, of_session
from tests.reference.labels import range_expansion

params = st.builds(
    RangeParams,
    threshold=st.sampled_from([0.02, 0.08]),
    rel_threshold=st.sampled_from([0.5, 1.0, 2.0]),
    lookback_rows=st.sampled_from([1, 2, 4]),
    window_sessions=st.sampled_from([4, 6]),
)


def built(market: Fixed, made: Sample, p: RangeParams):
    targets = buildable(market, FAMILY, p, made.targets)
    return targets, run(FAMILY, market, targets, p).table if targets else RANGE_LABELS.empty()


def expected(daily: dict[dt.date, list[dict]], targets, p: RangeParams) -> list[dict]:
    dates, rows = calendar(), []
    for target in targets:
        window = dates.dates(dates.offset(target.date, 1 - p.window_sessions), target.date)
        following = dates.session(dates.offset(target.date, 1))
        by_symbol = {date: {row["symbol"]: row for row in daily.get(date, [])} for date in (*window, following.date)}
        for symbol in sorted(by_symbol[target.date], key=str.encode):
            past = [by_symbol[date].get(symbol) for date in window]
            found = range_expansion(
                past, by_symbol[following.date].get(symbol), p.lookback_rows, (p.threshold, p.rel_threshold)
            )
            keys = {"session": target.date, "symbol": symbol, "next_session": following.date}
            rows.append({**keys, **found, "label_known_ns": following.ext_end_ns})
    return rows


@settings(max_examples=40)
@given(samples(), params)
def test_equals_the_definition(made, p):
    market = made.with_daily()
    targets, table = built(market, made, p)
    daily = {date: part.to_pylist() for date, part in (market.tables or {})["silver/daily"].items()}
    assert_values(table, expected(daily, targets, p))
    for target in targets:
        check_table(RANGE_LABELS, of_session(table, target.date), partition=target.key)


@settings(max_examples=20)
@given(samples(), params)
def test_a_session_waits_for_the_next(made, p):
    market = made.with_daily()
    targets, _ = built(market, made, p)
    held = (market.tables or {})["silver/daily"]
    assert [t.date for t in targets] == [date for date in sorted(held) if calendar().offset(date, 1) in held]


@settings(max_examples=20)
@given(samples(), params)
def test_built_alone_or_together(made, p):
    market = made.with_daily()
    targets, table = built(market, made, p)
    for target in targets:
        assert run(FAMILY, market, [target], p).table.to_pylist() == of_session(table, target.date).to_pylist()


@settings(max_examples=20)
@given(samples(), params)
def test_a_label_is_a_threshold_reached(made, p):
    _, table = built(made.with_daily(), made, p)
    for row in table.to_pylist():
        for value, label, threshold in (
            ("next_day_range_pct", "label_next_day_range_expand", p.threshold),
            ("next_day_range_ratio", "label_next_day_range_expand_rel", p.rel_threshold),
        ):
            assert row[label] == (None if row[value] is None else int(row[value] >= threshold))


def test_labels_are_labels_by_role():
    roles = {column.name: column.role for column in RANGE_LABELS.columns}
    assert {name for name, role in roles.items() if role == "label"} == {
        "next_day_range_pct",
        "label_next_day_range_expand",
        "next_day_range_ratio",
        "label_next_day_range_expand_rel",
    }


def test_more_rows_than_sessions_are_refused():
    with pytest.raises(ValidationError, match="lookback_rows"):
        RangeParams(lookback_rows=9, window_sessions=8)
