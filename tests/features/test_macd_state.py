"""Carried state: whose it is, how long it lives, what a split does to it."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
from hypothesis import given, settings

from raypipe.calendar import calendar
from raypipe.features.macd_state import FAMILY, MacdStateParams
from raypipe.schema.macd import MACD_STATE, WIDTH_NS, MacdParams
from raypipe.schema.minutes import window_of
from tests.features.minutes import Minutes, of_session, samples, session_bars
from tests.reference.macd import Recipe, State, lines, resample

WEEK = tuple(calendar().dates(dt.date(2025, 11, 24), dt.date(2025, 12, 2)))


def states(made: Minutes, **params) -> dict[dt.date | None, pa.Table]:
    return dict(made.carried(MacdParams(state="carry", **params)).table(MACD_STATE.name))


def rows(made: Minutes, date: dt.date, tf: str = "1m", **params) -> dict[str, dict]:
    """Rows of one timeframe, by symbol."""
    return {row["symbol"]: row for row in states(made, **params)[date].to_pylist() if row["tf"] == tf}


@settings(max_examples=15)
@given(samples(WEEK))
def test_equals_one_long_recursion(made):
    made.splits = {}
    for mode in ("all", "rth"):
        found = states(made, modes=[mode], state_max_age_sessions=99)[WEEK[-1]].to_pylist()
        expected: list[dict] = []
        for tf in ("1m", "5m"):
            for symbol in made.symbols(WEEK[0]):
                coarse = [
                    bar
                    for session in made.sessions
                    for bar in resample(made.bars[session.date, symbol], WIDTH_NS[tf], window_of(session, mode))
                ]
                _, state = lines([bar["close"] for bar in coarse], Recipe())
                expected += [_row(tf, symbol, state, coarse[-1]["start_ns"])] if state else []
        assert [{name: row[name] for name in expected[0]} for row in found] == expected if expected else not found


def _row(tf: str, symbol: str, state: State, last_ns: int) -> dict:
    values = (tf, symbol, state.fast, state.slow, state.signal, state.close, state.bars, last_ns)
    names = ("tf", "symbol", "ema_fast", "ema_slow", "signal_ema", "last_close", "bars_n", "last_start_ns")
    return dict(zip(names, values, strict=True))


def lonely() -> Minutes:
    """A trades on the first session only, B on all."""
    bars = {(date, "B"): session_bars(1, date, range(400, 440)) for date in WEEK}
    return Minutes({**bars, (WEEK[0], "A"): session_bars(0, WEEK[0], range(400, 450))})


def test_a_symbol_that_rests_is_carried_unchanged_until_it_is_too_old():
    made = lonely()
    for age, date in enumerate(WEEK[:4]):
        row = rows(made, date, state_max_age_sessions=3)["A"]
        assert row["age_sessions"] == age
        assert row["bars_n"] == 50
        assert row["last_close"] == made.bars[WEEK[0], "A"][-1]["close"]
    assert set(rows(made, WEEK[4], state_max_age_sessions=3)) == {"B"}
    assert set(rows(made, WEEK[1], state_max_age_sessions=0)) == {"B"}


def test_a_symbol_that_was_dropped_starts_afresh():
    made = lonely()
    made.bars[WEEK[4], "A"] = session_bars(0, WEEK[4], range(400, 410))
    # Three sessions without a bar lie between.
    assert rows(made, WEEK[4], state_max_age_sessions=2)["A"]["bars_n"] == 10
    assert rows(made, WEEK[4], state_max_age_sessions=3)["A"]["bars_n"] == 60


def test_a_split_scales_the_state_of_a_symbol_that_rests_too():
    made = lonely()
    plain = rows(made, WEEK[2])["A"]
    made.splits = {("A", WEEK[2]): 4.0, ("B", WEEK[2]): 2.0}
    split = rows(made, WEEK[2])
    for name in ("ema_fast", "ema_slow", "signal_ema", "last_close"):
        assert split["A"][name] == plain[name] / 4.0
    assert rows(made, WEEK[1])["A"]["last_close"] == plain["last_close"]
    # B traded on the ex-session: its last close is what it traded at.
    assert split["B"]["last_close"] == made.bars[WEEK[2], "B"][-1]["close"]


def test_a_session_that_is_built_again_is_the_same():
    made = lonely()
    again = states(made)
    for date, part in states(made).items():
        assert part.equals(again[date])
        assert date is not None
        assert of_session(part, date).num_rows == part.num_rows == 2 * len(rows(made, date))


def test_the_table_exists_only_where_state_is_carried():
    assert not FAMILY.enabled(MacdStateParams())
    assert FAMILY.enabled(MacdStateParams(macd=MacdParams(state="carry")))
