"""Events: the definition in every mode, timeframe and side, fresh and carried, and laws."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.calendar import calendar
from raypipe.errors import ConfigError
from raypipe.events.crosses import CROSSES, FAMILY
from raypipe.features import macd
from raypipe.pipeline.fingerprint import params_digest
from raypipe.schema.events import EventsParams
from raypipe.schema.family import linked
from raypipe.schema.frames import check_table
from raypipe.schema.macd import MacdParams
from tests.events.made import SHORT, all_events, expected_events, market_of, recipes
from tests.features.bars import Fixed, run
from tests.features.minutes import (
    DATES,
    MINUTE,
    Minutes,
    assert_values,
    of_session,
    samples,
    session_bars,
)

FRIDAY, MONDAY, WEDNESDAY, EARLY = DATES
WEEK = tuple(calendar().dates(dt.date(2025, 11, 24), dt.date(2025, 11, 28)))
params = st.builds(
    EventsParams,
    mode=st.sampled_from(["all", "rth"]),
    side=st.sampled_from(["both", "long", "short"]),
    macd=recipes,
)


def built(made: Minutes, p: EventsParams | None = None) -> pa.Table:
    return all_events(market_of(made, p or EventsParams()))


@settings(max_examples=30)
@given(samples(), params)
def test_equals_the_definition(made, p):
    table = built(made, p)
    assert_values(table, expected_events(made, p))
    for date in made.dates:
        check_table(CROSSES, of_session(table, date), partition=str(date))


@settings(max_examples=15)
@given(samples(WEEK), params)
def test_carried_equals_the_definition(made, p):
    carry = p.macd.model_copy(update={"state": "carry", "modes": ("all", "rth"), "state_max_age_sessions": 99})
    p = p.model_copy(update={"macd": carry})
    assert_values(built(made, p), expected_events(made, p))


@settings(max_examples=15)
@given(samples())
def test_the_sides_are_the_halves_of_both(made):
    whole, up, down = (built(made, EventsParams(side=s, macd=MacdParams(**SHORT))) for s in ("both", "long", "short"))
    assert up.to_pylist() == whole.filter(pc.equal(whole["direction"], 1)).to_pylist()
    assert down.to_pylist() == whole.filter(pc.equal(whole["direction"], -1)).to_pylist()


@settings(max_examples=15)
@given(samples())
def test_events_are_the_crossings_that_macd_counts(made):
    recipe = MacdParams(**SHORT)
    rows = built(made, EventsParams(macd=recipe)).to_pylist()
    for counted in run(macd.FAMILY, made.market(), made.sessions, recipe).table.to_pylist():
        for tf in ("1m", "5m"):
            here = [
                r for r in rows if (r["session"], r["symbol"], r["tf"]) == (counted["session"], counted["symbol"], tf)
            ]
            for word in ("up", "down"):
                count = sum(row["event_type"] == f"cross_{word}" for row in here)
                assert count == counted[f"hist_zero_cross_{word}_count__{tf}"]


@settings(max_examples=15)
@given(samples())
def test_between_two_crossings_up_hist_is_not_positive(made):
    for row in built(made, EventsParams(macd=MacdParams(**SHORT))).to_pylist():
        assert row["hist"] * row["direction"] > 0
        assert row["hist_prev"] * row["direction"] <= 1e-12 * row["entry_close"]
        assert row["decision_ns"] > row["bar_start_ns"]


def mirrored(made: Minutes) -> Minutes:
    """Prices reflected: high and low change places."""
    swap = {"open": "open", "high": "low", "low": "high", "close": "close"}
    return Minutes(
        {
            key: [{**row, **{name: 64.0 - row[other] for name, other in swap.items()}} for row in rows]
            for key, rows in made.bars.items()
        }
    )


def on_a_grid(made: Minutes) -> Minutes:
    """Prices in 1/64ths, so that reflecting them is exact."""
    names = ("open", "high", "low", "close")
    rounded = {
        key: [{**row, **{name: round(row[name] * 64) / 64 for name in names}} for row in rows]
        for key, rows in made.bars.items()
    }
    return Minutes(rounded)


@settings(max_examples=15)
@given(samples())
def test_mirrored_prices_swap_the_directions(made):
    made = on_a_grid(made)
    p = EventsParams(macd=MacdParams(fast=3, slow=7, signal=3, min_bars=4))  # alphas are powers of two: exact
    plain, turned = built(made, p).to_pylist(), built(mirrored(made), p).to_pylist()
    assert [(r["symbol"], r["tf"], r["decision_ns"]) for r in plain] == [
        (r["symbol"], r["tf"], r["decision_ns"]) for r in turned
    ]
    assert [r["direction"] for r in plain] == [-r["direction"] for r in turned]


@settings(max_examples=15)
@given(samples(), st.sampled_from([0.25, 8.0]))
def test_prices_times_a_power_of_two_keep_every_event(made, factor):
    p = EventsParams(macd=MacdParams(**SHORT))
    names = ("open", "high", "low", "close")
    scaled = {k: [{**row, **{n: row[n] * factor for n in names}} for row in rows] for k, rows in made.bars.items()}
    plain, other = built(made, p), built(Minutes(scaled), p)
    assert other["event_id"].equals(plain["event_id"])
    assert other["hist_bps"].equals(plain["hist_bps"])
    assert other["macd"].to_pylist() == [value * factor for value in plain["macd"].to_pylist()]


# --- time --------------------------------------------------------------------------------------


def step(date: dt.date, at: int, last: int) -> list[dict]:
    """Flat from 35 minutes before the bar at ``at``, a jump in it, flat to ``last``; minutes after 04:00."""
    rows = session_bars(0, date, list(range(at - 35, last)), "ties")
    first = calendar().session(date).ext_start_ns
    for row in rows:
        after = (row["start_ns"] - first) // MINUTE >= at
        price = 10.5 if after else 10.0
        row.update(open=price, high=price, low=price, close=price, volume=100.0)
    return rows


@pytest.mark.parametrize(("date", "close"), [(FRIDAY, 720), (MONDAY, 720), (EARLY, 540)])
def test_the_segment_is_that_of_the_decision(date, close):
    """On either side of the end of daylight saving time, and where the exchange closes early."""
    found = {}
    for at in (329, 330, close - 1, close):
        made = Minutes({(date, "A"): step(date, at, at + 2)})
        (row,) = built(made, EventsParams(macd=MacdParams(timeframes=("1m",)))).to_pylist()
        found[at] = row["segment"]
        assert (row["decision_ns"] - calendar().session(date).ext_start_ns) // MINUTE == at + 1
    assert found == {329: "rth", 330: "rth", close - 1: "post", close: "post"}


def test_a_crossing_after_the_close_is_no_event_of_regular_hours():
    made = Minutes({(EARLY, "A"): step(EARLY, 540, 560)})
    short = MacdParams(timeframes=("1m",))
    assert built(made, EventsParams(macd=short)).num_rows == 2
    assert built(made, EventsParams(mode="rth", macd=short)).num_rows == 0


def test_flat_prices_have_no_events():
    made = Minutes({(MONDAY, "A"): session_bars(1, MONDAY, range(330, 720), "flat")})
    assert built(made).num_rows == 0


def test_the_first_seasoned_bar_has_no_event_and_the_second_may():
    """A crossing needs the bar before seasoned too: number 34 is the first that may not cross."""
    early, late = step(MONDAY, 400, 402)[2:], step(MONDAY, 400, 402)[1:]
    one_minute = EventsParams(macd=MacdParams(timeframes=("1m",)))
    assert built(Minutes({(MONDAY, "A"): early}), one_minute).num_rows == 0
    assert built(Minutes({(MONDAY, "A"): late}), one_minute)["bar_index"].to_pylist() == [34]


# --- universe ----------------------------------------------------------------------------------


def filtered(date: dt.date, *symbols: str) -> dict[dt.date, pa.Table]:
    rows = {"session": pa.array([date] * len(symbols)), "symbol": pa.array(symbols, pa.string()).dictionary_encode()}
    return {date: pa.table(rows)}


def test_the_universe_is_that_of_the_session_before():
    bars = step(MONDAY, 400, 402)
    made = Minutes({(MONDAY, symbol): bars for symbol in ("A", "B", "C")})
    p = EventsParams(universe="daily_filtered", macd=MacdParams(timeframes=("1m",)))

    def symbols(more: dict[dt.date, pa.Table]) -> list[str]:
        return all_events(market_of(made, p, {"silver/daily_filtered": more}))["symbol"].to_pylist()

    assert symbols(filtered(FRIDAY, "B", "C", "X")) == ["B", "C"]
    assert symbols(filtered(MONDAY, "B")) == []
    assert symbols({}) == []
    assert built(made, EventsParams(macd=p.macd))["symbol"].to_pylist() == ["A", "B", "C"]


def test_only_tradable_symbols_have_events():
    made = Minutes({(MONDAY, symbol): step(MONDAY, 400, 402) for symbol in ("A", "B")})
    tables = dict(made.market().tables or {})
    types = tables["silver/symbol_types"][MONDAY]
    column = types.schema.get_field_index("tradable")
    tables["silver/symbol_types"] = {MONDAY: types.set_column(column, "tradable", pa.array([False, True]))}
    market = Fixed(made.sessions, tables=tables)
    short = MacdParams(timeframes=("1m",))
    assert run(FAMILY, market, made.sessions, EventsParams(macd=short)).table["symbol"].to_pylist() == ["B"]
    every = EventsParams(macd=short.model_copy(update={"clean_symbols": False}))
    assert run(FAMILY, market, made.sessions, every).table["symbol"].to_pylist() == ["A", "B"]


# --- parameters --------------------------------------------------------------------------------


def test_events_of_a_mode_need_the_carried_state_of_that_mode():
    carry = MacdParams(state="carry")
    with pytest.raises(ConfigError, match=r"macd\.modes"):
        FAMILY.requires(EventsParams(mode="rth", macd=carry))
    assert "silver/macd_state" in {read.table for read in FAMILY.requires(EventsParams(macd=carry))}


def test_events_follow_the_macd_section():
    """It is set there and nowhere else, and a change of it makes events stale."""
    plain = linked({"macd": MacdParams(), "events": EventsParams()})["events"]
    other = linked({"macd": MacdParams(fast=5), "events": EventsParams()})["events"]
    assert other.macd.fast == 5
    assert params_digest(plain) != params_digest(other)
    assert params_digest(plain) == params_digest(
        linked({"macd": MacdParams(write_bars=True), "events": plain})["events"]
    )
