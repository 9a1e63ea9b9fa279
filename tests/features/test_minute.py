"""Minute features: the definition, session windows, the volume spike, and what is missing."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from raypipe.calendar import calendar
from raypipe.errors import BlockedError
from raypipe.features.daily import DAILY
from raypipe.features.minute import FAMILY, MINUTE_FEATURES, MinuteParams
from raypipe.features.volume_means import VOLUME_MEANS
from raypipe.schema.minutes import window_of
from raypipe.schema.tables import SYMBOL_TYPES
from tests.features.bars import Fixed, run, types_of
from tests.features.minutes import COLUMNS, DATES, Minutes, assert_values, of_session, samples, session_bars
from tests.reference.minute import minute_features

FRIDAY, MONDAY, WEDNESDAY, EARLY = DATES


def build(made: Minutes, params: MinuteParams | None = None, market: Fixed | None = None) -> pa.Table:
    return run(FAMILY, market or made.market(), made.sessions, params).table


def expected(made: Minutes, mode: str) -> list[dict]:
    rows = []
    for session in made.sessions:
        for symbol in made.symbols(session.date):
            windows = window_of(session, mode), window_of(session, "rth")
            row = minute_features(made.bars[session.date, symbol], *windows)
            rows += [{"session": session.date, "symbol": symbol, **row}] if row else []
    return rows


@settings(max_examples=25)
@given(samples(), st.sampled_from(["rth", "all"]))
def test_equals_the_definition(made, mode):
    assert_values(build(made, MinuteParams(mode=mode)), expected(made, mode))


def one_symbol(date, minutes, **changes) -> Minutes:
    """Flat bars, some of them with other values: name -> {minute: value}."""
    bars = session_bars(0, date, minutes, "flat")
    for name, values in changes.items():
        for minute, value in values.items():
            bars[list(minutes).index(minute)][name] = value
    return Minutes({(date, "A"): bars})


@pytest.mark.parametrize(("date", "close"), [(FRIDAY, 720), (MONDAY, 720), (EARLY, 540)])
def test_regular_hours_end_when_the_exchange_closes(date, close):
    made = one_symbol(date, [329, 330, close - 1, close], high={329: 99.0, 330: 11.0, close - 1: 12.0, close: 99.0})
    (row,) = build(made).to_pylist()
    assert (row["bars_n"], row["day_high"], row["first_5m_high"]) == (2, 12.0, 11.0)
    (row,) = build(made, MinuteParams(mode="all")).to_pylist()
    assert (row["bars_n"], row["day_high"], row["first_5m_high"]) == (4, 99.0, 11.0)
    assert row["available_ns"] == calendar().session(date).ext_end_ns


@pytest.mark.parametrize("date", [FRIDAY, MONDAY, EARLY])
def test_the_opening_range_ends_at_0935_and_0945(date):
    highs = {329: 20.0, 334: 11.0, 335: 12.0, 344: 13.0, 345: 14.0}
    (row,) = build(one_symbol(date, [329, 334, 335, 344, 345], high=highs, close={345: 11.5})).to_pylist()
    assert (row["first_5m_high"], row["first_15m_high"]) == (11.0, 13.0)
    assert (row["breakout_5m_up"], row["breakout_15m_up"], row["breakout_5m_down"]) == (True, False, False)
    assert row["range_5m_pct"] == (11.0 - 10.1) / 10.1


def test_without_opening_bars_there_is_no_range():
    (row,) = build(one_symbol(MONDAY, [345, 346])).to_pylist()
    assert {row[name] for name in row if "5m_" in name and name[0] in "frb"} == {None}
    (row,) = build(one_symbol(MONDAY, [344, 346])).to_pylist()
    assert (row["first_5m_high"], row["first_15m_high"], row["breakout_15m_up"]) == (None, 10.1, False)


def test_only_tradable_symbols_with_a_bar_have_a_row():
    bars = {(MONDAY, symbol): session_bars(0, MONDAY, [400]) for symbol in ("A", "AA", "b")}
    made = Minutes({**bars, (MONDAY, "B"): session_bars(0, MONDAY, [10])})
    market = made.market({SYMBOL_TYPES.name: {MONDAY: types_of(MONDAY, ["A", "AA", "B"], {"AA", "B"})}})
    assert build(made, market=market)["symbol"].to_pylist() == ["AA"]
    assert build(made, MinuteParams(clean_symbols=False), market)["symbol"].to_pylist() == ["A", "AA", "b"]
    with pytest.raises(BlockedError, match="not classed"):
        build(made, market=made.market({SYMBOL_TYPES.name: {}}))


# --- volume ------------------------------------------------------------------------------------


def volumes(name: str, column: str, by_date) -> dict:
    spec = {DAILY.name: DAILY, VOLUME_MEANS.name: VOLUME_MEANS}[name]
    schema = pa.schema([spec["symbol"].arrow, spec[column].arrow])
    tables = {}
    for date, values in by_date.items():
        symbols = pa.array(sorted(values, key=str.encode)).dictionary_encode()
        tables[date] = pa.table([symbols, pa.array([values[s] for s in symbols.to_pylist()])], schema=schema)
    return {name: tables}


def spikes(made: Minutes, daily, means, **params) -> list[float | None]:
    more = {**volumes(DAILY.name, "volume", daily), **volumes(VOLUME_MEANS.name, "mean_volume", means)}
    return build(made, MinuteParams(**params), made.market(more))["vol_spike"].to_pylist()


def test_volume_is_held_against_the_mean_of_the_session_before():
    made = Minutes({(MONDAY, symbol): session_bars(0, MONDAY, [400]) for symbol in ("A", "AA", "b")})
    daily = {MONDAY: {"A": 300.0, "AA": 70.0, "b": 10.0}}
    before = {FRIDAY: {"A": 100.0, "b": 0.0}, MONDAY: {"A": 1.0, "AA": 1.0}}
    # AA has no mean, b has a mean of nothing.
    assert spikes(made, daily, before) == [3.0, None, None]
    made.splits = {("A", MONDAY): 4.0, ("AA", FRIDAY): 2.0}
    assert spikes(made, daily, before) == [0.75, None, None]
    assert spikes(made, daily, before, adjust="none") == [3.0, None, None]


def test_without_day_bars_there_is_no_spike_and_a_warning():
    made = Minutes({(date, "A"): session_bars(0, date, [400]) for date in (FRIDAY, MONDAY)})
    more = {**volumes(DAILY.name, "volume", {FRIDAY: {"A": 1.0}})}
    result = run(FAMILY, made.market(more), made.sessions)
    assert result.table["vol_spike"].to_pylist() == [None, None]
    assert [(f.kind, f.partition) for f in result.findings] == [("no_day_bars", MONDAY.isoformat())]


def test_every_bar_column_is_read_and_no_other():
    (minutes, *_) = FAMILY.requires(MinuteParams())
    assert minutes.columns == ("symbol", "window_start_ns", *COLUMNS)
    assert of_session(build(one_symbol(MONDAY, [400])), FRIDAY).num_rows == 0
    assert MINUTE_FEATURES.floats == "split"


def test_a_lookback_must_fit_its_window():
    with pytest.raises(ValidationError, match="more than vol_spike_window_sessions"):
        MinuteParams(vol_spike_lookback=31)
