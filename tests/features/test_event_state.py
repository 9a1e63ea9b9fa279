"""Event features: the definition, the twins that they have in session features, and nothing from the future."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.calendar import calendar
from raypipe.features import event_state, macd, minute
from raypipe.features.event_state import EventStateParams
from raypipe.schema.events import EVENTS, EventsParams
from raypipe.schema.frames import check_table
from raypipe.schema.macd import WIDTH_NS, MacdParams
from raypipe.schema.minutes import MinuteParams, window_of
from tests.events.made import SHORT, all_events, market_of, recipe_of, recipes, walk
from tests.features.bars import Fixed, run
from tests.features.minutes import DATES, MINUTE, Minutes, assert_values, of_session, samples, session_bars
from tests.reference.events import f32, hist_state, state

FRIDAY, MONDAY, WEDNESDAY, EARLY = DATES
WEEK = tuple(calendar().dates(dt.date(2025, 11, 24), dt.date(2025, 11, 28)))
KEYS = ("session", "symbol", "tf", "decision_ns", "event_type")
params = st.builds(
    EventStateParams,
    events=st.builds(EventsParams, mode=st.sampled_from(["all", "rth"]), macd=recipes),
    minute_features=st.builds(MinuteParams, mode=st.sampled_from(["all", "rth"])),
)


def table_of(rows: list[dict], column: str) -> pa.Table:
    """Rows of a symbol-level table with one column."""
    names = sorted((row["symbol"] for row in rows), key=str.encode)
    values = {row["symbol"]: row[column] for row in rows}
    columns = {"symbol": pa.array(names, pa.string()).dictionary_encode()}
    return pa.table({**columns, column: pa.array([values[name] for name in names], pa.float64())})


def built(made: Minutes, p: EventStateParams, more: dict[str, dict[dt.date, pa.Table]] | None = None) -> pa.Table:
    return run(event_state.FAMILY, market_of(made, p.events, more), made.sessions, p).table


def expected(made: Minutes, p: EventStateParams, before: dict[tuple[dt.date, str], tuple] | None = None) -> list[dict]:
    """By the definition; ``before`` holds previous close and usual volume by session and symbol."""
    market = all_events(market_of(made, p.events)).to_pylist()
    rows = []
    for session, symbol, timeframes in walk(made, p.events):
        bars = made.bars[session.date, symbol]
        windows = {"rth": window_of(session, "rth"), "moves": window_of(session, p.minute_features.mode)}
        close, usual = (before or {}).get((session.date, symbol), (None, None))
        for event in market:
            if (event["session"], event["symbol"]) == (session.date, symbol):
                row = {name: event[name] for name in KEYS} | state(bars, event, windows, close, usual)
                for timeframe in timeframes:
                    window = window_of(session, p.events.mode)
                    row |= hist_state(bars, event, timeframe, window, recipe_of(p.events.macd))
                rows.append(row)
    return rows


@settings(max_examples=30)
@given(samples(), params)
def test_equals_the_definition(made, p):
    table = built(made, p)
    assert_values(table, expected(made, p))
    for date in made.dates:
        check_table(event_state.table(p), of_session(table, date), partition=str(date))


@settings(max_examples=12)
@given(samples(WEEK), params)
def test_carried_equals_the_definition(made, p):
    carry = p.events.macd.model_copy(update={"state": "carry", "modes": ("all", "rth"), "state_max_age_sessions": 99})
    p = p.model_copy(update={"events": p.events.model_copy(update={"macd": carry})})
    assert_values(built(made, p), expected(made, p))


# --- day level ---------------------------------------------------------------------------------


@settings(max_examples=15)
@given(samples((DATES[1],)), st.sampled_from(["splits", "none"]))
def test_day_bars_before_are_on_the_basis_of_the_session(made, adjust):
    p = EventStateParams(
        events=EventsParams(macd=MacdParams(**SHORT)),
        daily={"adjust": adjust},
        minute_features={"adjust": adjust},
    )
    close, usual = {"symbol": "A", "close": 12.5}, {"symbol": "A", "mean_volume": 9_000.0}
    more = {
        "silver/daily": {FRIDAY: table_of([close, {"symbol": "b", "close": 3.0}], "close")},
        "silver/volume_means": {FRIDAY: table_of([usual], "mean_volume")},
    }
    made.splits = {("A", MONDAY): 4.0, ("b", FRIDAY): 2.0}
    ratio = 4.0 if adjust == "splits" else 1.0
    before = {(MONDAY, "A"): (12.5 / ratio, 9_000.0 * ratio), (MONDAY, "b"): (3.0, None)}
    assert_values(built(made, p, more), expected(made, p, before))


def test_the_previous_close_may_be_some_sessions_old():
    made = Minutes({(MONDAY, "A"): session_bars(3, MONDAY, range(330, 420))})
    p = EventStateParams(events=EventsParams(macd=MacdParams(**SHORT)))
    old = calendar().offset(MONDAY, -5)
    for date, there in ((old, True), (calendar().offset(MONDAY, -6), False)):
        more = {"silver/daily": {date: table_of([{"symbol": "A", "close": 10.0}], "close")}}
        column = built(made, p, more)["ret_from_prev_close"]
        assert (column.null_count == 0) is there
        assert column.null_count in (0, len(column))


# --- laws --------------------------------------------------------------------------------------


def state_of_events(made: Minutes, p: EventStateParams) -> tuple[list[dict], list[dict]]:
    """Rows of events and of their state, side by side."""
    market = market_of(made, p.events)
    return all_events(market).to_pylist(), run(event_state.FAMILY, market, made.sessions, p).table.to_pylist()


@settings(max_examples=15)
@given(samples())
def test_the_last_hist_is_the_events_own(made):
    p = EventStateParams(events=EventsParams(macd=MacdParams(**SHORT)))
    for event, row in zip(*state_of_events(made, p), strict=True):
        tf = event["tf"]
        assert row[f"hist_bps_asof__{tf}"] == event["hist_bps"]
        low, high = row[f"hist_min_bps_so_far__{tf}"], row[f"hist_max_bps_so_far__{tf}"]
        assert low <= event["hist_bps"] <= high
        assert row[f"bars_so_far__{tf}"] == event["bar_index"] + 1


@settings(max_examples=15)
@given(samples())
def test_crossings_so_far_number_the_events(made):
    p = EventStateParams(events=EventsParams(macd=MacdParams(**SHORT)))
    seen: dict[tuple, int] = {}
    for event, row in zip(*state_of_events(made, p), strict=True):
        tf = event["tf"]
        for word in ("up", "down"):
            assert row[f"cross_{word}_count_so_far__{tf}"] == seen.get((event["session"], event["symbol"], tf, word), 0)
        word = event["event_type"].removeprefix("cross_")
        key = (event["session"], event["symbol"], tf, word)
        seen[key] = seen.get(key, 0) + 1


def with_event_at_the_end(made: Minutes) -> tuple[Fixed, list]:
    """One event per symbol and session, decided when all is over."""
    market = made.market()
    parts = {}
    for session in made.sessions:
        names = [symbol for symbol in made.symbols(session.date) if made.bars[session.date, symbol]]
        count = len(names)
        parts[session.date] = pa.table(
            {
                "session": pa.array([session.date] * count, pa.date32()),
                "symbol": pa.array(names, pa.string()).dictionary_encode(),
                "tf": pa.array(["1m"] * count, pa.string()).dictionary_encode(),
                "decision_ns": pa.array([session.ext_end_ns] * count, pa.int64()),
                "event_type": pa.array(["cross_up"] * count, pa.string()).dictionary_encode(),
            }
        )
    return Fixed(market.sessions, tables={**(market.tables or {}), EVENTS: parts}), made.sessions


@settings(max_examples=20)
@given(samples(), st.sampled_from(["rth", "all"]))
def test_at_the_end_of_the_session_the_twins_agree(made, mode):
    market, sessions = with_event_at_the_end(made)
    twins = MinuteParams(mode=mode)
    recipe = MacdParams(**SHORT)
    p = EventStateParams(events=EventsParams(macd=recipe), minute_features=twins)
    rows = {(r["session"], r["symbol"]): r for r in run(event_state.FAMILY, market, sessions, p).table.to_pylist()}
    for day in run(minute.FAMILY, market, sessions, twins).table.to_pylist():
        row = rows[day["session"], day["symbol"]]
        for name in ("max_1m_ret", "max_5m_ret", "max_drawdown_5m"):
            assert row[f"{name}_so_far"] == f32(day[name])
        for minutes in (5, 15):
            assert row[f"range_{minutes}m_pct"] == f32(day[f"range_{minutes}m_pct"])
            for side in ("up", "down"):
                assert row[f"breakout_{minutes}m_{side}_so_far"] == day[f"breakout_{minutes}m_{side}"]
        if mode == "rth":
            assert row["range_so_far_pct"] == f32(day["day_range_pct"])
    for day in run(macd.FAMILY, market, sessions, recipe).table.to_pylist():
        row = rows[day["session"], day["symbol"]]
        for tf in ("1m", "5m"):
            assert row[f"hist_bps_asof__{tf}"] == f32(day[f"hist_last_bps__{tf}"])
            assert row[f"bars_so_far__{tf}"] == day[f"bars_n__{tf}"]


@settings(max_examples=15)
@given(samples(), st.sampled_from([0.25, 8.0]))
def test_prices_times_a_power_of_two_change_nothing(made, factor):
    p = EventStateParams(events=EventsParams(macd=MacdParams(**SHORT)))
    names = ("open", "high", "low", "close")
    scaled = {k: [{**row, **{n: row[n] * factor for n in names}} for row in rows] for k, rows in made.bars.items()}
    assert built(Minutes(scaled), p).to_pylist() == built(made, p).to_pylist()


@settings(max_examples=15)
@given(samples())
def test_the_position_lies_in_the_range(made):
    p = EventStateParams(events=EventsParams(macd=MacdParams(**SHORT)))
    values = [value for value in built(made, p)["pos_in_range_so_far"].to_pylist() if value is not None]
    assert all(0 <= value <= 1 for value in values)


# --- the future --------------------------------------------------------------------------------


def until(made: Minutes, now: int, seed: int | None = None) -> Minutes:
    """Bars that have ended by a moment; with a seed, later ones are replaced by noise instead of left out."""
    bars = {}
    for (date, symbol), rows in made.bars.items():
        known = [row for row in rows if row["start_ns"] + MINUTE <= now]
        if seed is not None:
            first = calendar().session(date).ext_start_ns
            later = [m for m in range(0, 960, 2) if first + (m + 1) * MINUTE > now]
            known += session_bars(seed, date, later, "ties")
        bars[date, symbol] = known
    return Minutes(bars)


@pytest.mark.parametrize("seed", [None, 5], ids=["cut", "noise"])
@settings(max_examples=10)
@given(made=samples((MONDAY,)), p=params, pick=st.integers(0, 2**31))
def test_nothing_after_the_decision_matters(made, p, pick, seed):
    """Of events and their state alike: rebuilt without the future, or with another one, the row stays as it is."""
    events, states = state_of_events(made, p)
    if not events:
        return
    chosen = np.random.default_rng(pick).choice(len(events), min(3, len(events)), replace=False)
    for e in chosen:
        now = events[e]["decision_ns"]
        other_events, other_states = state_of_events(until(made, now, seed), p)
        known = [i for i, row in enumerate(events) if row["decision_ns"] <= now]
        assert [events[i] for i in known] == [row for row in other_events if row["decision_ns"] <= now]
        assert [states[i] for i in known] == [row for row in other_states if row["decision_ns"] <= now]


# --- single facts ------------------------------------------------------------------------------


def test_the_clock_counts_from_open_and_to_the_close():
    bars = session_bars(3, EARLY, range(300, 600))
    p = EventStateParams(events=EventsParams(macd=MacdParams(**SHORT, timeframes=("1m",))))
    for row in built(Minutes({(EARLY, "A"): bars}), p).to_pylist():
        minutes = (row["decision_ns"] - calendar().session(EARLY).ext_start_ns) // MINUTE
        assert (row["minutes_since_open"], row["minutes_to_close"]) == (minutes - 330, 540 - minutes)


def test_a_session_without_events_has_no_rows():
    p = EventStateParams()
    made = Minutes({(MONDAY, "A"): session_bars(1, MONDAY, range(330, 400), "flat"), (MONDAY, "AA"): []})
    table = built(made, p)
    assert table.num_rows == 0
    event_state.table(p).check_schema(table.schema)


def test_columns_follow_the_timeframes():
    p = EventStateParams(events=EventsParams(macd=MacdParams(timeframes=("30m",))))
    names = [name for name in event_state.table(p).names if "__" in name]
    assert names
    assert all(name.endswith("__30m") for name in names)
    assert set(WIDTH_NS) >= {"30m"}
