"""Greeks of prints against their definition: the price at the print, the expiry of the calendar, the dealers' side."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.calendar import Session, calendar
from raypipe.features.option_greeks import FAMILY, OptionGreeksParams
from raypipe.schema.books import ES_TRADES, SPY_OPTION_TRADES
from raypipe.schema.family import Result
from raypipe.schema.frames import check_table
from raypipe.schema.signals import SignalsParams
from raypipe.schema.touches import ES_SESSION, ES_SPY_RATIO, OPTION_GREEKS, globex_window
from tests.features.bars import Fixed, run
from tests.features.touch.scenes import build
from tests.reference import black_scholes as naive

SESSION = calendar().session(dt.date(2025, 1, 15))
FRONT, BACK = 11, 22
MINUTE = 60 * 10**9
RATIO = 10.0

Trade = tuple[int, int, int]


def at(seconds: float, session: Session = SESSION) -> int:
    return session.open_ns + round(seconds * 10**9)


def one(t: int, price: float, **given: Any) -> dict[str, Any]:
    """A print of the call at 600."""
    usual = {"strike_e3": 600_000, "right": "C", "size": 10, "aggressor": 1, "exp_date": SESSION.date}
    return {"session": SESSION.date, "ts_event_ns": t, "price": price} | usual | given


def made(
    prints: Sequence[dict[str, Any]],
    trades: Sequence[Trade] = ((at(-60), 24_000, FRONT),),
    ratios: Sequence[tuple[int, float]] = ((at(-3600), RATIO),),
    session: Session = SESSION,
    **groups: Any,
) -> Result:
    day = {"session": session.date}
    tables = {
        SPY_OPTION_TRADES.name: build(SPY_OPTION_TRADES, prints),
        ES_TRADES.name: build(
            ES_TRADES, [day | {"ts_event_ns": t, "price_ticks": k, "instrument_id": i} for t, k, i in trades]
        ),
        ES_SESSION.name: build(ES_SESSION, [day | {"front_instrument_id": FRONT}]),
        ES_SPY_RATIO.name: build(ES_SPY_RATIO, [day | {"valid_from_ns": t, "ratio": r} for t, r in ratios]),
    }
    market = Fixed([session], tables={name: {session.date: table} for name, table in tables.items()})
    result = run(FAMILY, market, [session], OptionGreeksParams(signals=SignalsParams(**groups)))
    check_table(OPTION_GREEKS, result.table, partition=session.key)
    return result


def rows(*args: Any, **kwargs: Any) -> list[dict[str, Any]]:
    return made(*args, **kwargs).table.to_pylist()


prints = st.lists(
    st.builds(
        one,
        st.integers(0, 400).map(lambda minute: at(60 * minute)),
        st.integers(1, 900).map(lambda cents: cents / 100),
        strike_e3=st.integers(592, 608).map(lambda usd: usd * 1000),
        right=st.sampled_from("CP"),
        size=st.integers(1, 99),
        aggressor=st.sampled_from([-1, 0, 1]),
    ),
    min_size=1,
    max_size=20,
).map(lambda found: sorted(found, key=lambda row: row["ts_event_ns"]))
trades = st.lists(
    st.tuples(
        st.integers(-2, 400).map(lambda minute: at(60 * minute)),
        st.integers(23_900, 24_100),
        st.sampled_from([FRONT, FRONT, BACK]),
    ),
    max_size=12,
).map(lambda found: sorted(found, key=lambda row: row[0]))
ratios = st.lists(st.floats(9.9, 10.1), min_size=1, max_size=6).map(
    lambda found: [(at(3600 * k - 7200), ratio) for k, ratio in enumerate(found)]
)


def expected(row: dict[str, Any], traded: Sequence[Trade], known: Sequence[tuple[int, float]]) -> dict[str, Any]:
    t = row["ts_event_ns"]
    before = [ticks for when, ticks, contract in traded if contract == FRONT and when < t]
    empty = dict.fromkeys(("spot", "iv", "iv_source", "delta", "gamma", "dealer_gamma", "gross_gamma"))
    if not before:
        return empty
    spot = before[-1] * 0.25 / [ratio for when, ratio in known if when <= t][-1]
    years = naive.years_left(t, SESSION.close_ns + 15 * MINUTE)
    call, strike = row["right"] == "C", row["strike_e3"] / 1000
    solved = naive.implied_vol(row["price"], spot, strike, years, call, 0.045)
    vol = 0.20 if solved is None else solved
    delta, gamma = naive.delta_gamma(spot, strike, years, vol, call, 0.045)
    return {
        "spot": spot,
        "iv": vol,
        "iv_source": "fallback" if solved is None else "solved",
        "delta": delta,
        "gamma": gamma,
        "dealer_gamma": -row["aggressor"] * row["size"] * gamma * 100,
        "gross_gamma": row["size"] * gamma * 100,
    }


@settings(max_examples=60)
@given(prints, trades, ratios)
def test_equals_the_definition(given_prints, traded, known):
    found = rows(given_prints, traded, known)
    assert len(found) == len(given_prints)
    for got, row in zip(found, given_prints, strict=True):
        assert all(got[name] == row[name] for name in ("ts_event_ns", "strike_e3", "right", "size", "aggressor"))
        for name, value in expected(row, traded, known).items():
            wanted = pytest.approx(value, rel=1e-5, abs=1e-8) if isinstance(value, float) else value
            assert got[name] == wanted, name


# --- traps -------------------------------------------------------------------------------------


def test_the_price_is_that_of_the_print_not_the_last_of_the_day():
    traded = [(at(0), 24_000, FRONT), (at(100), 24_040, FRONT), (at(20_000), 25_000, FRONT)]
    found = rows([one(at(50), 1.0), one(at(150), 1.0)], traded)
    assert [row["spot"] for row in found] == [600.0, 601.0]


def test_a_trade_at_the_same_nanosecond_is_not_before():
    traded = [(at(0), 24_000, FRONT), (at(100), 24_040, FRONT)]
    assert [row["spot"] for row in rows([one(at(100), 1.0), one(at(100) + 1, 1.0)], traded)] == [600.0, 601.0]


def test_other_contracts_and_times_are_no_price():
    start_ns, end_ns = globex_window(SESSION)
    traded = [(start_ns - 1, 20_000, FRONT), (start_ns, 24_000, FRONT), (at(5), 26_000, BACK), (end_ns, 21_000, FRONT)]
    assert [row["spot"] for row in rows([one(at(9), 1.0), one(end_ns + 5, 1.0)], traded)] == [600.0, 600.0]


def test_the_ratio_is_that_in_force():
    known = [(at(-60), 10.0), (at(60), 10.05)]
    found = rows([one(at(60) - 1, 1.0), one(at(60), 1.0)], ratios=known)
    assert [row["spot"] for row in found] == [600.0, 6000 / 10.05]


@pytest.mark.parametrize("day", [dt.date(2025, 11, 28), dt.date(2025, 7, 15), dt.date(2025, 3, 10)])
def test_expiry_follows_the_calendar(day):
    """Early closes and both sides of daylight saving; a fixed hour UTC is wrong for two of three."""
    session = calendar().session(day)
    end = session.close_ns + 15 * MINUTE
    vol, left = 0.3, 1800
    price = naive.price(600.0, 601.0, left / (252 * 6.5 * 3600), vol, True, 0.045)
    row = one(end - left * 10**9, price, strike_e3=601_000, exp_date=day) | {"session": day}
    (got,) = rows([row], [(session.open_ns - 5, 24_000, FRONT)], [(session.ext_start_ns, RATIO)], session)
    assert got["iv"] == pytest.approx(vol, rel=1e-9)


def test_later_expiries_have_their_own_time():
    tomorrow = calendar().session(dt.date(2025, 1, 16))
    years = (tomorrow.close_ns + 15 * MINUTE - at(0)) / 1e9 / (252 * 6.5 * 3600)
    price = naive.price(600.0, 600.0, years, 0.2, True, 0.045)
    (got,) = rows([one(at(0), price, exp_date=tomorrow.date)])
    assert got["iv"] == pytest.approx(0.2, rel=1e-9)


def test_dealers_sell_what_customers_buy_calls_and_puts_alike():
    found = rows([one(at(k), 1.5, right="CP"[k % 2], aggressor=side) for k, side in enumerate((1, 1, -1, -1, 0, 0))])
    assert [np.sign(row["dealer_gamma"]) for row in found] == [-1, -1, 1, 1, 0, 0]
    assert all(row["gross_gamma"] == pytest.approx(10 * 100 * row["gamma"]) for row in found)
    assert not any(np.signbit(row["dealer_gamma"]) for row in found[4:])


def test_many_unsolved_prints_near_the_price_are_told():
    sound, odd = one(at(1), 1.5), one(at(1), 0.001)
    result = made([sound] * 3 + [odd] * 2)
    (finding,) = result.findings
    assert (finding.kind, finding.count) == ("fallback_iv", 2)
    assert not made([sound] * 6 + [odd] * 2).findings
    far = [odd | {"strike_e3": 700_000}] * 9
    assert not made([sound, *far]).findings


def test_parameters_reach_the_model():
    (got,) = rows([one(at(0), 0.004)], greeks={"iv_fallback": 0.33})
    assert (got["iv"], got["iv_source"]) == (0.33, "fallback")
    (got,) = rows([one(at(0), 0.008, strike_e3=602_000)], greeks={"min_time_value_usd": 0.005})
    assert got["iv_source"] == "solved"
    assert (
        OptionGreeksParams(signals=SignalsParams(fuel={"effect_gamma": 5})).tracked() == OptionGreeksParams().tracked()
    )
    assert OptionGreeksParams(signals=SignalsParams(greeks={"rate": 0.01})).tracked() != OptionGreeksParams().tracked()


# --- laws --------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(prints, trades, st.integers(0, 400))
def test_later_trades_and_prints_move_nothing(given_prints, traded, minute):
    """To the last bit."""
    t = at(60 * minute)
    early = [row for row in given_prints if row["ts_event_ns"] <= t]
    if not early:
        return
    later = [trade for trade in traded if trade[0] < t]
    usual = made(given_prints, traded).table.slice(0, len(early))
    changed = made(early, [*later, (t, 23_000, FRONT)]).table
    assert pa.concat_tables([usual]).to_pylist() == changed.to_pylist()


@settings(max_examples=30)
@given(prints, trades)
def test_scale(given_prints, traded):
    """ES and the ratio doubled: everything in dollars stays."""
    twice = [(t, 2 * ticks, contract) for t, ticks, contract in traded]
    assert rows(given_prints, traded) == rows(given_prints, twice, [(at(-7200), 2 * RATIO)])
