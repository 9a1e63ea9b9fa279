"""The technical panel: every column against its definition and against libraries, and the laws that it keeps."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.features.panel_technical import PANEL_TECHNICAL, PanelTechnicalParams, compute
from tests.features.daily_bars import bars_table, inputs_of, walk
from tests.reference.panel import Bars, panel

NAMES = PANEL_TECHNICAL.names[2:-1]
PARAMS = PanelTechnicalParams()


def computed(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every column as float64, NaN for null."""
    table = compute(inputs_of(AAA=bars_table(values)), PARAMS).table
    return {name: table[name].to_numpy().astype(float) for name in NAMES}


def expected(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    order = ("open", "high", "low", "close", "volume", "div_factor")
    found = panel(Bars(*(values[name].tolist() for name in order)))
    return {name: np.array(column, float) for name, column in found.items()}


def assert_equal(got: dict[str, np.ndarray], want: dict[str, np.ndarray], *, rtol: float = 2e-5) -> None:
    for name in NAMES:
        np.testing.assert_array_equal(np.isnan(got[name]), np.isnan(want[name]), err_msg=name)
        scale = np.nanmax(np.abs(want[name]), initial=0.0)
        np.testing.assert_allclose(got[name], want[name], rtol=rtol, atol=2e-7 * max(scale, 1e-3), err_msg=name)


def test_there_are_92_columns_and_none_is_a_level():
    assert len(NAMES) == 92
    assert {PANEL_TECHNICAL[name].dtype for name in NAMES} == {"f32"}
    assert {PANEL_TECHNICAL[name].unit for name in NAMES} == {"1", "percent"}


@pytest.mark.parametrize("seed", [0, 1])
def test_every_column_is_its_definition(seed):
    values = walk(np.random.default_rng(seed), 340)
    want = expected(values)
    assert set(want) == set(NAMES)
    assert_equal(computed(values), want)


def test_columns_are_there_from_their_first_row_on():
    got = computed(walk(np.random.default_rng(3), 300))
    for name in NAMES:
        first = int(np.flatnonzero(~np.isnan(got[name]))[0])
        assert PANEL_TECHNICAL[name].null.startswith(f"fewer than {first + 1} rows"), name
    assert max(int(np.isnan(column).sum()) for column in got.values()) == 257


def test_zero_volume_and_flat_stretches_give_nulls_not_noise():
    values = walk(np.random.default_rng(4), 320)
    values["volume"][[30, 31, 250]] = 0.0
    dead = slice(100, 190)
    for name in ("open", "high", "low", "close"):
        values[name][dead] = values["close"][99]
    values["volume"][dead] = 0.0
    values["div_factor"][:] = 1.0
    got = computed(values)
    assert_equal(got, expected(values))
    assert np.isnan(got["sharpe_20d"][130:189]).all()
    assert np.isnan(got["volume_ratio_20d"][130:189]).all()
    assert (got["stochastic_k_14d"][120:189] == 50).all()
    assert (got["dist_sma_20d"][130:189] == 0).all()


def test_a_series_that_never_moves():
    values = {name: np.full(300, 7.3) for name in ("open", "high", "low", "close")}
    values |= {"volume": np.full(300, 1e5), "div_factor": np.ones(300)}
    got = computed(values)
    assert (got["rsi_14d"][98:] == 50).all()
    assert (got["adx_14d"][196:] == 0).all()
    assert (got["above_200_sma"][199:] == 0).all()
    assert (got["volume_ratio_50d"][49:] == 1).all()
    assert np.isnan(got["price_zscore_20d"]).all()
    assert np.isnan(got["return_skew_20d"]).all()


def test_only_gains_are_an_rsi_of_100():
    close = 50 * 1.01 ** np.arange(120)
    values = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close}
    got = computed({**values, "volume": np.full(120, 1e5), "div_factor": np.ones(120)})
    assert (got["rsi_14d"][98:] == 100).all()


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from([1e-3, 0.07, 4.0, 1 / 3, 1e4]))
def test_prices_by_k_and_volumes_by_the_inverse_change_nothing(seed, k):
    values = walk(np.random.default_rng(seed), 270)
    scaled = {name: column * k for name, column in values.items() if name in ("open", "high", "low", "close")}
    assert_equal(computed({**values, **scaled, "volume": values["volume"] / k}), computed(values), rtol=1e-5)


def test_a_dividend_is_no_move():
    values = walk(np.random.default_rng(5), 300)
    values["div_factor"][:] = 1.0
    ex = 150
    paid = {name: column.copy() for name, column in values.items()}
    share = 0.65  # what is left of the price after a large special dividend
    for name in ("open", "high", "low", "close"):
        paid[name][ex:] *= share
    paid["volume"][ex:] /= share
    paid["div_factor"][ex:] /= share
    apart = {"volume_ratio", "volume_change", "volume_zscore", "volume_price_corr", "obv_slope", "vwap_dist"}
    got, want = computed(paid), computed(values)
    for name in NAMES:
        if not any(name.startswith(word) for word in apart):
            np.testing.assert_allclose(got[name], want[name], rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("rows", [1, 2, 5, 20, 21, 100, 257])
def test_the_past_alone_gives_the_same_bits(rows):
    values = walk(np.random.default_rng(6), 300)
    whole = compute(inputs_of(AAA=bars_table(values)), PARAMS).table
    short = compute(inputs_of(AAA=bars_table({k: v[:rows] for k, v in values.items()})), PARAMS).table
    assert short.equals(whole.slice(0, rows))


def test_symbols_do_not_know_of_each_other():
    rng = np.random.default_rng(7)
    tables = {name: bars_table(walk(rng, rows), name) for name, rows in (("AAA", 40), ("BBB", 300), ("CCC", 270))}
    together = compute(inputs_of(**tables), PARAMS).table
    alone = [compute(inputs_of(**{name: table}), PARAMS).table for name, table in tables.items()]
    assert [row["symbol"] for row in together.select(["symbol"]).to_pylist()[::300]] == ["AAA", "BBB", "CCC"]
    start = 0
    for table in alone:
        part = together.slice(start, table.num_rows)
        for name in NAMES:
            assert part[name].to_pylist() == table[name].to_pylist(), name
        start += table.num_rows


def test_columns_of_pandas():
    values = walk(np.random.default_rng(8), 600)
    got = computed(values)
    close = pd.Series(values["close"] * values["div_factor"])
    r = close.pct_change()
    logs = np.log(pd.Series(values["volume"]))
    want = {
        "volatility_100d": r.rolling(100).std() * np.sqrt(252),
        "return_skew_60d": r.rolling(60).skew(),
        "return_kurt_60d": r.rolling(60).kurt(),
        "return_skew_20d": r.rolling(20).skew(),
        "return_kurt_20d": r.rolling(20).kurt(),
        "volume_zscore_60d": (logs - logs.rolling(60).mean()) / logs.rolling(60).std(),
        "volume_price_corr_20d": r.rolling(20).corr(logs.diff()),
        "return_autocorr_20d": r.rolling(19).corr(r.shift()),
        "drawdown_252d": close / close.rolling(252).max() - 1,
        "dist_ema_50d": close / close.ewm(span=50, adjust=False).mean() - 1,
        "price_zscore_50d": (close - close.rolling(50).mean()) / close.rolling(50).std(),
    }
    for name, column in want.items():
        rows = ~np.isnan(got[name])
        assert rows.sum() > 300
        np.testing.assert_allclose(got[name][rows], column[rows], rtol=1e-4, atol=1e-6, err_msg=name)


def test_columns_of_talib():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        talib = pytest.importorskip("talib")
    values = walk(np.random.default_rng(9), 900)
    got = computed(values)
    high, low, close = (values[name] * values["div_factor"] for name in ("high", "low", "close"))
    k, d = talib.STOCHF(high, low, close, fastk_period=14, fastd_period=3)
    want = {
        "rsi_14d": talib.RSI(close, 14),
        "rsi_28d": talib.RSI(close, 28),
        "atr_pct_14d": talib.ATR(high, low, close, 14) / close,
        "atr_pct_28d": talib.ATR(high, low, close, 28) / close,
        "adx_14d": talib.ADX(high, low, close, 14),
        "stochastic_k_14d": k,
        "stochastic_d_14d": d,
        "dist_sma_200d": close / talib.SMA(close, 200) - 1,
    }
    for name, column in want.items():
        # Recursions are seeded in other rows: they agree when the seeds are forgotten.
        np.testing.assert_allclose(got[name][500:], column[500:], rtol=1e-4, atol=1e-5, err_msg=name)
