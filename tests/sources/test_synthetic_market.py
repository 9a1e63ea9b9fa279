"""The simulated market's statistics: density, regimes, and what can and cannot be foretold."""

from __future__ import annotations

import datetime as dt
import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import rankdata

from raypipe.calendar import calendar
from raypipe.sources.synthetic import SynthParams, write_market
from raypipe.sources.synthetic.bars import HIGH, LOW, to_e4
from raypipe.sources.synthetic.draws import STEP_SD, Draws
from raypipe.sources.synthetic.market import HistoryMaker, backward, forward
from raypipe.sources.synthetic.minutes import expected_volume, layout
from raypipe.sources.synthetic.regime import auc_of_flag
from raypipe.sources.synthetic.universe import NAMED, universe
from tests.sources.synthetic_files import bar_file, by_symbol, read, truth

DATE = "2025-10-31"


def auc(score: np.ndarray, label: np.ndarray) -> float:
    """Mann-Whitney's U over all pairs, ties count half."""
    ranks, n = rankdata(score), label.sum()
    return float((ranks[label].sum() - n * (n + 1) / 2) / (n * (len(label) - n)))


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough rows for statistics: 110 sessions of day bars, one of them with minutes."""
    out = tmp_path_factory.mktemp("wide")
    write_market(out, SynthParams(sessions=1, history=109))
    return out


@pytest.fixture(scope="module")
def day_series(wide: Path) -> dict[str, np.ndarray]:
    """Close, high and low of the simulated symbols that traded in every session, (sessions, symbols)."""
    sessions = [by_symbol(read(path)) for path in sorted(wide.rglob("day_aggs_v1/**/*.gz"))]
    symbols = [symbol for symbol in sessions[-1] if not symbol.startswith("PL")]
    symbols = [symbol for symbol in symbols if all(symbol in session for session in sessions)]
    return {
        name: np.array([[getattr(session[symbol][0], name) for symbol in symbols] for session in sessions])
        for name in ("close", "high", "low", "volume")
    }


def test_a_symbol_has_about_126_bars_a_session(wide: Path) -> None:
    rows = by_symbol(read(bar_file(wide, "minute", DATE)))
    named = {name.symbol for name in NAMED}
    counts = [len(bars) for symbol, bars in rows.items() if symbol not in named and not symbol.startswith("PL")]
    assert len(counts) == 200
    assert np.mean(counts) == pytest.approx(126, rel=0.05)
    # The few liquid names trade nearly every minute, the many others rarely.
    assert max(counts) > 700
    assert np.median(counts) < 90


@pytest.mark.parametrize(("activity", "bars"), [(1.0, 126), (3.0, 218)])
def test_density_of_the_whole_universe(activity: float, bars: float) -> None:
    hours = layout(calendar().session(dt.date(2025, 10, 31)))
    market = universe(7, 2_000, activity)
    rate = market.rate[~np.isin(market.symbols, [name.symbol for name in NAMED])]
    chances = 1 - np.exp(-rate[:, None] * hours.weight)
    assert chances.sum(axis=1).mean() == pytest.approx(bars, rel=0.02)


def test_activity_is_u_shaped_and_thin_outside(wide: Path) -> None:
    rows = read(bar_file(wide, "minute", DATE))
    midnight = int(dt.datetime(2025, 10, 31, 4, tzinfo=dt.UTC).timestamp()) * 10**9
    minute = np.array([(row.start_ns - midnight) // (60 * 10**9) for row in rows if not row.symbol.startswith("PL")])
    per_minute = np.bincount(minute, minlength=1440)
    opening, noon, closing = per_minute[570:600].mean(), per_minute[735:765].mean(), per_minute[930:960].mean()
    assert min(opening, closing) > 1.3 * noon
    assert noon > 4 * max(per_minute[480:510].mean(), per_minute[1080:1110].mean())


def test_volatility_has_two_states(day_series: dict[str, np.ndarray]) -> None:
    close = day_series["close"][:, (day_series["close"] > 5).all(axis=0)]
    returns = np.log(close[1:] / close[:-1])
    # A quarter of sessions at 4 %, the others at 1 %.
    assert np.sqrt((returns**2).mean()) == pytest.approx(np.sqrt(0.25 * 0.04**2 + 0.75 * 0.01**2), rel=0.1)
    assert np.abs(returns.mean()) < 0.002
    kurtosis = ((returns - returns.mean()) ** 4).mean() / returns.var() ** 2
    assert kurtosis > 5


def test_volatility_can_be_foretold_and_direction_cannot(wide: Path, day_series: dict[str, np.ndarray]) -> None:
    regime, control = (entry for entry in truth(wide)["planted"] if entry["id"] == "regime")
    close = day_series["close"]
    returns = np.log(close[1:] / close[:-1])
    hist_vol = np.array([returns[i - 20 : i].std(axis=0, ddof=1) for i in range(20, len(returns))])
    # hist_vol[k] is known at session 20 + k.
    now, following = close[20:-1], slice(21, None)
    expand = (day_series["high"][following] - day_series["low"][following]) / now >= 0.08
    up = close[following] / now > 1
    assert expand.size >= 10_000
    assert auc(hist_vol.ravel(), expand.ravel()) >= regime["expect"]["auc_min"] >= 0.70
    assert regime["expect"]["auc_oracle"] == pytest.approx(0.87, abs=0.03)
    assert auc(hist_vol.ravel(), up.ravel()) == pytest.approx(control["expect"]["auc"], abs=control["tol"])


def test_closes_chain_over_history_and_sessions() -> None:
    params = SynthParams(sessions=5, symbols=50)
    market = universe(params.seed, params.symbols, 1.0)
    days = calendar().between(dt.date(2025, 10, 1), dt.date(2025, 10, 31))
    chain = [*reversed(list(backward(7, days[:15], market))), *forward(7, days[15:20], market)]
    for before, after in itertools.pairwise(chain):
        np.testing.assert_allclose(after.previous_usd, before.close_usd, rtol=1e-12)
    np.testing.assert_array_equal(chain[15].previous_usd, market.price_usd)


def test_states_change_as_rarely_as_the_chain_says() -> None:
    market = universe(3, 2_000, 1.0)
    days = calendar().between(dt.date(2025, 1, 2), dt.date(2025, 4, 30))
    high = np.array([day.high for day in forward(3, days, market)])
    stay = high[1:] == high[:-1]
    assert stay[high[:-1]].mean() == pytest.approx(0.97, abs=0.003)
    assert stay[~high[:-1]].mean() == pytest.approx(0.99, abs=0.002)
    assert high.mean() == pytest.approx(0.25, abs=0.02)


def test_history_bars_have_their_minutes_range_and_volume(wide: Path, day_series: dict[str, np.ndarray]) -> None:
    ranges = (day_series["high"] - day_series["low"]) / day_series["close"]
    assert np.median(ranges[-1]) == pytest.approx(np.median(ranges[:-1]), rel=0.3)
    assert np.median(day_series["volume"][-1] / day_series["volume"][:-1].mean(axis=0)) == pytest.approx(1.0, rel=0.2)


def test_history_bars_are_orderly_on_any_session() -> None:
    market = universe(5, 300, 0.01)
    days = calendar().between(dt.date(2025, 7, 1), dt.date(2025, 7, 7))
    maker = HistoryMaker(5, market, np.arange(len(market)))
    for day in backward(5, days, market):
        bars = maker.bars(day)
        assert 0 < len(bars) < len(market)
        assert (bars.prices_e4[:, HIGH] == bars.prices_e4.max(axis=1)).all()
        assert (bars.prices_e4[:, LOW] == bars.prices_e4.min(axis=1)).all()
        assert (bars.prices_e4[:, LOW] > 0).all()
    early, whole = (expected_volume(market, layout(calendar().session(dt.date(2025, 7, d)))) for d in (3, 2))
    assert (early < whole).all()


# --- names and draws -------------------------------------------------------------------------


def test_random_names_are_plain_and_never_a_cleaning_case() -> None:
    market = universe(7, 11_000, 1.0)
    named = {name.symbol for name in NAMED}
    random = [symbol for symbol in market.symbols if symbol not in named]
    assert len(random) == len(set(random)) == 11_000
    assert all(re.fullmatch("[A-Z]{2,4}", symbol) for symbol in random)
    assert not {"ZVV", "IGZ", "ZZK", "ABC", "ABCD", "XYZ", "BAC"} & set(random)
    assert not [symbol for symbol in random if symbol.startswith("PL")]
    assert list(market.symbols) == sorted(market.symbols, key=str.encode)


def test_a_name_keeps_its_traits_in_markets_of_any_size() -> None:
    few, many = universe(7, 11, 1.0), universe(7, 11_000, 1.0)
    traits = {symbol: i for i, symbol in enumerate(many.symbols)}
    at = [traits[symbol] for symbol in few.symbols]
    for name in ("slots", "rate", "shares", "lot", "beta", "high", "price_usd"):
        np.testing.assert_array_equal(getattr(few, name), getattr(many, name)[at])


def test_named_symbols_trade_in_every_session(wide: Path) -> None:
    for path in wide.rglob("day_aggs_v1/**/*.gz"):
        assert {name.symbol for name in NAMED} <= set(by_symbol(read(path)))


def test_draws_have_their_moments_and_do_not_repeat() -> None:
    draws = Draws(1, "equities", 2)
    normal, uniform, steps = draws.normal(200_000), draws.uniform(200_000), draws.steps(200_000)
    assert (normal.mean(), normal.std()) == pytest.approx((0, 1), abs=0.01)
    assert (uniform.mean(), uniform.var()) == pytest.approx((0.5, 1 / 12), abs=0.003)
    assert (steps.mean() / STEP_SD, steps.std() / STEP_SD) == pytest.approx((0, 1), abs=0.01)
    assert sorted(draws.order(50)) == list(range(50))
    assert (Draws(1, "equities", 2).words(9) != Draws(1, "equities", 3).words(9)).any()
    assert (Draws(1, "equities", 2).words(9) != Draws(1, "es", 2).words(9)).any()


def test_draws_are_pinned() -> None:
    """The stream is part of the format: it may not drift with numpy."""
    assert Draws(7, "equities", 739_190).words(3).tolist() == [
        6_313_443_675_640_922_003,
        6_259_669_924_329_841_402,
        4_143_608_596_143_617_443,
    ]


def test_ticks_are_cents_or_below_a_dollar_their_hundredth() -> None:
    prices = np.array([0.12344, 0.99994, 0.99996, 1.004, 1.006, 10.555])
    assert to_e4(prices).tolist() == [1234, 9999, 10_000, 10_000, 10_100, 105_600]
    random = np.sort(np.abs(Draws(1, "equities", 1).normal(5_000)))
    assert (np.diff(to_e4(random)) >= 0).all()


def test_auc_of_a_flag_is_the_area_under_the_curve() -> None:
    draws = Draws(1, "equities", 9)
    flag, label = draws.uniform(500) < 0.3, draws.uniform(500) < 0.2
    assert auc_of_flag(flag, label) == pytest.approx(auc(flag.astype(float), label), abs=1e-12)
    assert np.isnan(auc_of_flag(flag, np.zeros(500, bool)))
