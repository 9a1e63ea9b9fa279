"""Greeks and implied volatilities: published values, independent libraries, laws, and prices nobody can explain."""

from __future__ import annotations

import csv
import gzip
import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.kernels.greeks import IvRules, IvStatus, Market, black_scholes, implied_vols, print_greeks, years_left
from tests.reference import black_scholes as naive

YEAR_S = 252 * 6.5 * 3600
FREE = Market(0.045, 0.0)
S, DAY_S = 690.0, 6.75 * 3600
spots = st.floats(50, 800)
vols = st.floats(0.02, 3.0)
seconds = st.floats(60, 30 * 23_400)
#: Strikes as a factor of the spot.
factors = st.floats(0.85, 1.15)


# --- published values --------------------------------------------------------------------------


def haug(shared_data: Path) -> list[dict[str, str]]:
    with (shared_data / "options_ref" / "haug_bsm_values.csv").open() as lines:
        return list(csv.DictReader(lines))


def test_published_values(shared_data):
    """Haug, The Complete Guide to Option Pricing Formulas: each to the digits that are printed."""
    rows = haug(shared_data)
    seen = set()
    for row in rows:
        spot, strike, q, r, t, vol, value = (
            float(row[name]) for name in ("spot", "strike", "q", "r", "t", "vol", "value")
        )
        call = row["type"] == "call"
        greeks = black_scholes(spot, strike, t, vol, call, Market(r, q))
        found = {
            "price": greeks.price,
            "delta": greeks.delta,
            "gamma": greeks.gamma,
            "vega": greeks.vega,
            "theta": greeks.theta,
            "theta per day": greeks.theta / 365,
            "rho": greeks.rho,
            "elasticity": greeks.delta * spot / greeks.price,
            "dividendRho": -greeks.delta * spot * t,
        }[row["quantity"]]
        seen.add(row["quantity"])
        assert found[0] == pytest.approx(value, abs=max(float(row["tol"]), 5.1e-5)), row
    assert len(rows) >= 50
    assert len(seen) == 9


def test_a_table_of_prices_and_greeks(shared_data):
    table = json.loads((shared_data / "options_ref" / "test_data.json").read_text())
    rows = np.array(table["data"], float)
    column = {name: rows[:, i] for i, name in enumerate(table["columns"])}
    market = Market(float(column["R"][0]))
    assert (column["R"] == market.rate).all()
    for call, price, letter in ((True, "bs_call", "C"), (False, "bs_put", "P")):
        got = black_scholes(column["S"], column["K"], column["t"], column["v"], call, market)
        for name, values in ((price, got.price), (f"{letter}D", got.delta), (f"{letter}G", got.gamma)):
            np.testing.assert_allclose(values, column[name], rtol=1e-6, atol=2e-6, err_msg=name)
        np.testing.assert_allclose(got.vega / 100, column[f"{letter}V"] / 100, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(got.theta, column[f"{letter}T"], rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(got.rho, column[f"{letter}R"], rtol=1e-5, atol=1e-4)


# --- independent libraries ---------------------------------------------------------------------


@given(spots, factors, seconds, vols, st.booleans(), st.floats(0, 0.1), st.floats(0, 0.05))
def test_equals_scipy(spot, factor, left, vol, call, rate, q):
    years, strike = left / YEAR_S, spot * factor
    got = black_scholes(spot, strike, years, vol, call, Market(rate, q))
    delta, gamma = naive.delta_gamma(spot, strike, years, vol, call, rate, q)
    assert got.price[0] == pytest.approx(naive.price(spot, strike, years, vol, call, rate, q), rel=1e-9, abs=1e-10)
    assert got.delta[0] == pytest.approx(delta, rel=1e-9, abs=1e-12)
    assert got.gamma[0] == pytest.approx(gamma, rel=1e-9, abs=1e-12)


def test_equals_quantlib():
    ql = pytest.importorskip("QuantLib", reason="QuantLib is in the extra 'oracles'")
    rng = np.random.default_rng(5)
    for _ in range(200):
        strike, years, vol = S * rng.uniform(0.9, 1.1), rng.uniform(60, DAY_S * 20) / YEAR_S, rng.uniform(0.05, 1.5)
        call, deviation = bool(rng.random() < 0.5), vol * np.sqrt(years)
        discount = np.exp(-FREE.rate * years)
        kind = ql.Option.Call if call else ql.Option.Put
        theirs = ql.BlackCalculator(ql.PlainVanillaPayoff(kind, strike), S / discount, deviation, discount)
        got = black_scholes(S, strike, years, vol, call, FREE)
        assert got.price[0] == pytest.approx(theirs.value(), abs=1e-9)
        assert got.delta[0] == pytest.approx(theirs.delta(S), abs=1e-9)
        assert got.gamma[0] == pytest.approx(theirs.gamma(S), abs=1e-9)
        assert got.vega[0] == pytest.approx(theirs.vega(years), abs=1e-9)
        assert got.rho[0] == pytest.approx(theirs.rho(years), abs=1e-9)


# --- laws --------------------------------------------------------------------------------------


@given(spots, factors, seconds, vols)
def test_parity(spot, factor, left, vol):
    years, strike = left / YEAR_S, spot * factor
    call, put = (black_scholes(spot, strike, years, vol, side, FREE) for side in (True, False))
    assert call.price[0] - put.price[0] == pytest.approx(spot - strike * np.exp(-FREE.rate * years), abs=1e-9)
    assert call.delta[0] - put.delta[0] == pytest.approx(1.0, abs=1e-12)
    assert call.gamma[0] == put.gamma[0]
    assert call.vega[0] == put.vega[0]


@given(spots, factors, st.floats(3600, 30 * 23_400), st.floats(0.05, 1.0), st.booleans())
def test_finite_differences(spot, factor, left, vol, call):
    """Each sensitivity is the slope of the price."""
    years, strike = left / YEAR_S, spot * factor
    got = black_scholes(spot, strike, years, vol, call, FREE)

    def price(d_spot: float = 0.0, d_years: float = 0.0, d_vol: float = 0.0, d_rate: float = 0.0) -> float:
        market = Market(FREE.rate + d_rate)
        return float(black_scholes(spot + d_spot, strike, years + d_years, vol + d_vol, call, market).price[0])

    h = spot * vol * np.sqrt(years) * 1e-3
    assert (price(h) - price(-h)) / (2 * h) == pytest.approx(got.delta[0], abs=1e-5)
    assert (price(h) - 2 * price() + price(-h)) / h**2 == pytest.approx(got.gamma[0], rel=1e-4, abs=1e-6)
    assert (price(d_vol=1e-5) - price(d_vol=-1e-5)) / 2e-5 == pytest.approx(got.vega[0], rel=1e-5, abs=1e-4)
    dt = years * 1e-5
    assert (price(d_years=-dt) - price(d_years=dt)) / (2 * dt) == pytest.approx(got.theta[0], rel=1e-4, abs=1e-3)
    assert (price(d_rate=1e-5) - price(d_rate=-1e-5)) / 2e-5 == pytest.approx(got.rho[0], rel=1e-5, abs=1e-4)


@given(spots, factors, seconds, vols, st.booleans())
def test_scale(spot, factor, left, vol, call):
    """Twice the prices: the same volatility, the same delta, half the gamma."""
    years, strike = left / YEAR_S, spot * factor
    one, two = (black_scholes(k * spot, k * strike, years, vol, call, FREE) for k in (1, 2))
    assert two.price[0] == pytest.approx(2 * one.price[0], rel=1e-12)
    assert two.delta[0] == pytest.approx(one.delta[0], rel=1e-12)
    assert two.gamma[0] == pytest.approx(one.gamma[0] / 2, rel=1e-12)


# --- implied volatility ------------------------------------------------------------------------


def test_round_trip_over_the_quoted_range():
    """From the open to after the last minute, far in and out of the money: the price comes back to 1e-8 usd."""
    strikes = S * np.linspace(0.9, 1.1, 81)
    left = np.array([5, 60, 120, 300, 1800, 3 * 3600, 5 * 3600, DAY_S])
    vol = np.array([0.03, 0.08, 0.15, 0.3, 0.6, 1.2, 2.5, 4.9])
    grid = np.array(list(product(strikes, left, vol, (0.0, 1.0))))
    years, call = np.maximum(grid[:, 1], 60) / YEAR_S, grid[:, 3] == 1
    price = black_scholes(S, grid[:, 0], years, grid[:, 2], call, FREE).price
    intrinsic = np.where(call, 1, -1) * (S - grid[:, 0] * np.exp(-FREE.rate * years))
    time_value = price - np.maximum(intrinsic, 0.0)
    got, status = implied_vols(price, S, grid[:, 0], years, call, FREE)
    solvable = time_value >= 0.01 + 1e-9
    assert solvable.sum() > 3000
    assert (status[solvable] == IvStatus.SOLVED).all()
    back = black_scholes(S, grid[:, 0], years, got, call, FREE).price
    assert np.abs(back - price)[solvable].max() < 1e-8
    assert np.abs(got / grid[:, 2] - 1)[solvable & (time_value > 0.05)].max() < 1e-7
    assert (status[time_value < 0.01 - 1e-9] != IvStatus.SOLVED).all()


@given(st.floats(600, 800), factors, seconds, st.floats(0.011, 4.9), st.booleans())
def test_volatility_comes_back(spot, factor, left, vol, call):
    years, strike = left / YEAR_S, spot * factor
    greeks = black_scholes(spot, strike, years, vol, call, FREE)
    got, status = implied_vols(greeks.price, spot, strike, years, call, FREE)
    if status[0] == IvStatus.SOLVED:
        again = black_scholes(spot, strike, years, got, call, FREE).price
        assert again[0] == pytest.approx(greeks.price[0], abs=1e-8)
    else:
        wanted = naive.implied_vol(float(greeks.price[0]), spot, strike, years, call, FREE.rate, 0.01 + 1e-9)
        assert wanted is None or wanted == pytest.approx(0.01, abs=1e-6)


@given(st.integers(1, 4000), st.integers(640, 740), seconds, st.booleans())
def test_equals_a_root_finder(cents, strike, left, call):
    """Prices in cents, as they are printed."""
    price, years = cents / 100, left / YEAR_S
    got, status = implied_vols(price, S, float(strike), years, call, FREE)
    wanted = naive.implied_vol(price, S, float(strike), years, call, FREE.rate)
    if wanted is None:
        assert status[0] != IvStatus.SOLVED
        assert np.isnan(got[0])
    else:
        assert status[0] == IvStatus.SOLVED
        # Where the price hardly depends on the volatility, neither is exact in it.
        vega = black_scholes(S, float(strike), years, wanted, call, FREE).vega[0]
        assert got[0] == pytest.approx(wanted, abs=max(1e-9, 2e-9 / max(vega, 1e-9)))


@pytest.mark.parametrize("volatility", [0.08, 0.25, 0.9])
@pytest.mark.parametrize("strike", [671.0, 689.0, 690.0, 693.0, 720.0])
def test_call_and_put_of_one_strike_agree(strike, volatility):
    years = np.full(1, 2 * 3600 / YEAR_S)
    prices = [black_scholes(S, strike, years, volatility, call, FREE).price for call in (True, False)]
    one, other = (
        implied_vols(p, S, strike, years, call, FREE)[0][0] for p, call in zip(prices, (True, False), strict=True)
    )
    assert np.isnan(one) == np.isnan(other)
    if not np.isnan(one):
        vega = black_scholes(S, strike, years, volatility, True, FREE).vega[0]
        assert one == pytest.approx(other, abs=1e-9 + 1e-9 / vega)


@pytest.mark.parametrize(
    ("price", "strike", "call", "status"),
    [
        (4.99, 685.0, True, IvStatus.BELOW_INTRINSIC),
        (9.99, 700.0, False, IvStatus.BELOW_INTRINSIC),
        (5.005, 685.0, True, IvStatus.SMALL_TIME_VALUE),
        (0.0099, 700.0, True, IvStatus.SMALL_TIME_VALUE),
        (0.01, 700.0, True, IvStatus.SOLVED),
        (690.0, 685.0, True, IvStatus.ABOVE_BOUND),
        (700.0, 700.0, False, IvStatus.ABOVE_BOUND),
        (300.0, 700.0, True, IvStatus.OUT_OF_RANGE),
        (0.0, 700.0, True, IvStatus.INVALID),
        (np.nan, 700.0, True, IvStatus.INVALID),
        (np.inf, 700.0, True, IvStatus.INVALID),
        (1.0, 0.0, True, IvStatus.INVALID),
        (1.0, -5.0, False, IvStatus.INVALID),
    ],
)
def test_why_a_price_has_no_volatility(price, strike, call, status):
    volatility, got = implied_vols(price, S, strike, 3600 / YEAR_S, call)
    assert IvStatus(got[0]) == status
    assert np.isnan(volatility[0]) == (status != IvStatus.SOLVED)


def test_a_volatility_below_the_bracket_is_out_of_range():
    price = black_scholes(S, S, 20 * 23_400 / YEAR_S, 0.008, True).price
    assert implied_vols(price, S, S, 20 * 23_400 / YEAR_S, True)[1].tolist() == [IvStatus.OUT_OF_RANGE]
    wide = implied_vols(price, S, S, 20 * 23_400 / YEAR_S, True, rules=IvRules(low=0.001))
    assert wide[0][0] == pytest.approx(0.008, abs=1e-9)


def test_nothing_is_valued_from_nonsense():
    for spot, strike, years, vol in ((np.nan, 1, 1, 1), (1, 0, 1, 1), (1, 1, -1, 1), (1, 1, 1, 0), (np.inf, 1, 1, 1)):
        assert np.isnan(black_scholes(spot, strike, years, vol, True)).all()


# --- prints ------------------------------------------------------------------------------------


def test_prints_are_valued_as_options_are():
    rng = np.random.default_rng(3)
    n = 500
    strike, left = rng.integers(680, 700, n), rng.integers(-60, int(DAY_S), n) * 10**9
    call = rng.random(n) < 0.5
    spot = np.where(rng.random(n) < 0.1, np.nan, S + rng.normal(0, 2, n))
    price = np.round(np.abs(rng.normal(1, 2, n)), 2)
    price[:50] = 0.005
    volatility, delta, gamma, status = print_greeks(price, spot, strike * 1000, left, call, 0.2, FREE)
    years = years_left(left)
    wanted, code = implied_vols(price, spot, strike, years, call, FREE)
    np.testing.assert_array_equal(status, code)
    known = ~np.isnan(spot)
    np.testing.assert_array_equal(volatility, np.where(known & np.isnan(wanted), 0.2, wanted))
    greeks = black_scholes(spot, strike, years, volatility, call, FREE)
    np.testing.assert_allclose(delta, greeks.delta, rtol=1e-12)
    np.testing.assert_allclose(gamma, greeks.gamma, rtol=1e-12)
    assert np.isnan(delta[~known]).all()
    assert {IvStatus.SOLVED, IvStatus.SMALL_TIME_VALUE, IvStatus.BELOW_INTRINSIC} <= set(status.tolist())


def test_time_never_runs_out():
    assert (years_left([60 * 10**9, 59 * 10**9, 0, -(10**15)]) == 60 / YEAR_S).all()
    assert years_left([61 * 10**9])[0] == pytest.approx(61 / YEAR_S)


# --- listed chains -----------------------------------------------------------------------------


def spot_by_parity(strike: np.ndarray, call: np.ndarray, put: np.ndarray, discount: float) -> float:
    return float(np.median((strike * discount + call - put)[np.argsort(np.abs(call - put))[:9]]))


def assert_deltas_agree(prices, spot, strike, years, call, rate, listed) -> None:
    volatility, status = implied_vols(prices, spot, strike, years, call, Market(rate))
    solved = status == IvStatus.SOLVED
    delta = black_scholes(spot, strike[solved], years[solved], volatility[solved], call[solved], Market(rate)).delta
    assert solved.sum() > 200
    assert np.median(np.abs(delta - listed[solved])) <= 0.01


def test_listed_chain_of_apple(shared_data):
    with gzip.open(shared_data / "firstrate" / "option_chain_AAPL.csv.gz", "rt") as lines:
        rows = [row for row in csv.DictReader(lines) if float(row["Bid Price"]) > 0]
    number = {
        name: np.array([float(row[name]) for row in rows]) for name in ("STrike", "Bid Price", "Ask Price", "Delta")
    }
    days = np.array([row["Expiry Date"] for row in rows], "datetime64[D]") - np.datetime64("2023-07-03")
    years, call = days.astype(int) / 365, np.array([row["Call/Put"] == "c" for row in rows])
    mid, strike = (number["Bid Price"] + number["Ask Price"]) / 2, number["STrike"]
    first = years == years.min()
    common, of_call, of_put = np.intersect1d(strike[first & call], strike[first & ~call], return_indices=True)
    spot = spot_by_parity(common, mid[first & call][of_call], mid[first & ~call][of_put], np.exp(-0.05 * years.min()))
    near = years < 0.5
    assert_deltas_agree(mid[near], spot, strike[near], years[near], call[near], 0.05, number["Delta"][near])


def test_listed_chain_of_alphabet(shared_data):
    """Greeks at the listed volatilities; the closing prices are not those that the volatilities were made from."""
    with (shared_data / "lean" / "option" / "usa" / "universes" / "goog" / "20151224.csv").open() as lines:
        header = next(lines).lstrip("#").strip().split(",")
        rows = [dict(zip(header, line.strip().split(","), strict=True)) for line in lines]
    spot = float(rows[0]["close"])
    rows = [row for row in rows if row["strike"] and float(row["implied_volatility"]) > 0]
    names = ("strike", "implied_volatility", "delta", "gamma", "vega")
    strike, listed_iv, delta, gamma, vega = (np.array([float(row[name]) for row in rows]) for name in names)
    expiry = np.array([f"{e[:4]}-{e[4:6]}-{e[6:]}" for e in (row["expiry"] for row in rows)], "datetime64[D]")
    years = (expiry - np.datetime64("2015-12-25")).astype(int) / 365
    call = np.array([row["right"] == "C" for row in rows])
    got = black_scholes(spot, strike, years, listed_iv, call, Market(0.01))
    assert len(rows) > 1500
    assert np.median(np.abs(got.delta - delta)) < 0.001
    assert np.median(np.abs(got.gamma / gamma - 1)) < 0.01
    assert np.median(np.abs(got.vega / 100 / vega - 1)) < 0.01
