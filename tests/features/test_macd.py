"""MACD session features: the definition in every mode and timeframe, fresh and carried, and laws."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from raypipe.calendar import calendar
from raypipe.features.macd import FAMILY, table
from raypipe.schema.macd import MACD_STATE, WIDTH_NS, MacdParams
from raypipe.schema.minutes import window_of
from tests.features.bars import run
from tests.features.minutes import DATES, Minutes, assert_values, samples, session_bars
from tests.reference.macd import Recipe, State, session_features

FRIDAY, MONDAY, WEDNESDAY, EARLY = DATES
#: Neighbours, so that state can be carried from each to the next.
WEEK = tuple(calendar().dates(dt.date(2025, 11, 24), dt.date(2025, 11, 28)))
SMALL = {"fast": 2, "slow": 4, "signal": 2, "min_bars": 3}
params = st.builds(
    MacdParams,
    modes=st.sampled_from([("all",), ("rth",), ("rth", "all")]),
    timeframes=st.sampled_from([("1m", "5m"), ("15m", "1m"), ("30m",)]),
    min_bars=st.sampled_from([1, 5, 34]),
    fast=st.sampled_from([2, 12]),
)


def recipe_of(p: MacdParams) -> Recipe:
    return Recipe(p.fast, p.slow, p.signal, p.min_bars)


def build(made: Minutes, p: MacdParams | None = None):
    p = p or MacdParams()
    market = made.carried(p) if p.state == "carry" else made.market()
    return run(FAMILY, market, made.sessions, p).table


def expected(made: Minutes, p: MacdParams) -> list[dict]:
    """By the definition, carrying states over if that is asked for."""
    states: dict[tuple[str, str, str], State | None] = {}
    rows = []
    for session in made.sessions:
        for (symbol, day), ratio in made.splits.items():
            if day == session.date:
                of_symbol = {key: s for key, s in states.items() if key[2] == symbol and s}
                states.update({key: state.after_split(ratio) for key, state in of_symbol.items()})
        for mode in p.modes:
            for symbol in made.symbols(session.date):
                bars, row = made.bars[session.date, symbol], {}
                for tf in p.timeframes:
                    before = states.get((mode, tf, symbol)) if p.state == "carry" else None
                    window = window_of(session, mode)
                    found, after = session_features(bars, tf, WIDTH_NS[tf], window, recipe_of(p), before)
                    states[mode, tf, symbol] = after
                    row |= found or {}
                rows += [{"session": session.date, "mode": mode, "symbol": symbol, **row}] if row else []
    return rows


@settings(max_examples=25)
@given(samples(), params)
def test_equals_the_definition(made, p):
    assert_values(build(made, p), expected(made, p))


@settings(max_examples=15)
@given(samples(WEEK), params)
def test_carried_equals_the_definition(made, p):
    p = p.model_copy(update={"state": "carry", "state_max_age_sessions": 99})
    assert_values(build(made, p), expected(made, p))


@settings(max_examples=10)
@given(samples(WEEK[:1]))
def test_carried_from_nothing_is_a_session(made):
    made.splits = {}
    assert build(made, MacdParams(state="carry")).equals(build(made))


@settings(max_examples=10)
@given(samples())
def test_without_extended_bars_all_is_rth(made):
    made.bars = {
        (date, symbol): [row for row in rows if _regular(date, row)] for (date, symbol), rows in made.bars.items()
    }
    rows = build(made, MacdParams(modes=("all", "rth"), **SMALL)).to_pylist()
    all_rows, rth_rows = ([row for row in rows if row["mode"] == mode] for mode in ("all", "rth"))
    assert [_plain(row) for row in all_rows] == [_plain(row) for row in rth_rows]


def _regular(date: dt.date, row: dict) -> bool:
    first, last = window_of(calendar().session(date), "rth")
    return first <= row["start_ns"] < last


def _plain(row: dict) -> dict:
    return {name: value for name, value in row.items() if name not in ("mode", "available_ns")}


@given(samples())
@settings(max_examples=10)
def test_the_last_hist_lies_between_the_extremes(made):
    for row in build(made, MacdParams(**SMALL)).to_pylist():
        for tf in ("1m", "5m"):
            last = row[f"hist_last__{tf}"]
            assert last is None or row[f"hist_min__{tf}"] <= last <= row[f"hist_max__{tf}"]


def test_a_row_is_known_when_its_window_ends():
    made = Minutes({(EARLY, "A"): session_bars(0, EARLY, [400])})
    rows = build(made, MacdParams(modes=("all", "rth"))).to_pylist()
    session = calendar().session(EARLY)
    assert [(row["mode"], row["available_ns"]) for row in rows] == [
        ("all", session.ext_end_ns),
        ("rth", session.close_ns),
    ]


def test_unseasoned_values_are_null_and_counts_are_not():
    made = Minutes({(MONDAY, "A"): session_bars(0, MONDAY, range(330, 363))})
    (row,) = build(made).to_pylist()
    assert (row["bars_n__1m"], row["hist_last__1m"], row["hist_min__1m"]) == (33, None, None)
    assert row["hist_zero_cross_up_count__1m"] == 0
    made.bars[MONDAY, "A"] = session_bars(0, MONDAY, range(330, 364))
    (row,) = build(made).to_pylist()
    assert row["hist_last__1m"] == row["hist_min__1m"] == row["hist_max__1m"]
    assert row["hist_last_bps__1m"] == 1e4 * row["hist_last__1m"] / row["close_last__1m"]


# --- parameters --------------------------------------------------------------------------------


def columns(p: MacdParams) -> Iterator[str]:
    return (name for name in table(p).names if "__" in name)


def test_timeframes_name_the_columns_in_order_of_width():
    assert [name for name in columns(MacdParams(timeframes=["5m", "1m", "5m"])) if "bars_n" in name] == [
        "bars_n__1m",
        "bars_n__5m",
    ]
    assert len(list(columns(MacdParams(timeframes=("15m",))))) == 10


@pytest.mark.parametrize(
    "wrong", [{"fast": 26}, {"timeframes": []}, {"modes": []}, {"modes": ["pre"]}, {"timeframes": ["7m"]}]
)
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ValidationError):
        MacdParams(**wrong)


def test_what_changes_nothing_is_not_tracked():
    plain = MacdParams().tracked()
    assert MacdParams(write_bars=True, state_max_age_sessions=3).tracked() == plain
    assert MacdParams(modes=["all", "all"], timeframes=["5m", "1m"]).tracked() == plain
    carried = MacdParams(state="carry").tracked()
    assert carried != MacdParams(state="carry", state_max_age_sessions=3).tracked()


def test_state_is_read_only_where_it_is_carried():
    tables = {read.table for read in FAMILY.requires(MacdParams())}
    assert {read.table for read in FAMILY.requires(MacdParams(state="carry"))} - tables == {
        MACD_STATE.name,
        "bronze/splits",
    }
