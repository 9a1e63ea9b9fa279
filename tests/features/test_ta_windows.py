"""Indicators over searched windows: against definitions, the panel's columns and libraries, and the causality suite."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.calendar import calendar
from raypipe.features.panel_technical import PanelTechnicalParams, compute
from raypipe.features.ta_windows import TA_COLUMNS, TA_FAMILY, TA_WINDOWS, WINDOWS_OF, TaBars, TaColumns, TaRows
from tests.contracts.family import CHECKS, Case
from tests.controls.markets import real
from tests.features.daily_bars import bars_table, inputs_of, walk
from tests.reference.ta_windows import ta_windows

NAMES = [column.name for column in TA_COLUMNS]
USUAL = {name: usual for name, (_, _, usual) in TA_WINDOWS.items()}
LEAST = {name: least for name, (least, _, _) in TA_WINDOWS.items()}
MOST = {name: most for name, (_, most, _) in TA_WINDOWS.items()}
#: The column of the technical panel that each is at the usual windows.
OF_PANEL = {
    "ta_rsi": "rsi_14d",
    "ta_atr_pct": "atr_pct_14d",
    "ta_macd_hist_pct": "macd_hist_pct",
    "ta_momentum": "momentum_20d",
    "ta_volatility": "volatility_20d",
    "ta_stoch_k": "stochastic_k_14d",
    "ta_volume_ratio": "volume_ratio_20d",
}
some_windows = st.fixed_dictionaries({name: st.integers(low, high) for name, (low, high, _) in TA_WINDOWS.items()})


def rows_of(bars: TaBars) -> TaRows:
    """A row for each bar, decided when it is known."""
    symbol = np.repeat(np.arange(len(bars.starts) - 1), np.diff(bars.starts))
    return bars.rows(symbol, bars.days, bars.known_ns)


def computed(values: dict[str, np.ndarray], windows: dict[str, int]) -> dict[str, np.ndarray]:
    found = TaColumns(rows_of(TaBars.of([bars_table(values)]))).of(windows)
    return dict(zip(NAMES, found.T.astype(float), strict=True))


def assert_defined(values: dict[str, np.ndarray], windows: dict[str, int]) -> None:
    got = computed(values, windows)
    prices = ((values[name] * values["div_factor"]).tolist() for name in ("high", "low", "close"))
    want = ta_windows(*prices, values["volume"].tolist(), windows)
    assert list(want) == NAMES
    for name in NAMES:
        np.testing.assert_array_equal(np.isnan(got[name]), np.isnan(want[name]), err_msg=name)
        scale = np.nanmax(np.abs(want[name]), initial=1e-3)
        np.testing.assert_allclose(got[name], want[name], rtol=2e-5, atol=2e-7 * scale, err_msg=name)


@pytest.mark.parametrize("windows", [USUAL, LEAST, MOST], ids=["usual", "least", "most"])
def test_every_column_is_its_definition_at_the_ends_of_the_space(windows):
    assert_defined(walk(np.random.default_rng(1), 340), windows)


@settings(max_examples=10, deadline=None)
@given(some_windows, st.integers(0, 10_000), st.sampled_from([1, 40, 300]))
def test_every_column_is_its_definition(windows, seed, rows):
    values = walk(np.random.default_rng(seed), rows)
    dead = slice(rows // 3, rows // 2)
    for name in ("open", "high", "low", "close"):
        values[name][dead] = values["close"][rows // 3]
    values["volume"][dead] = 0.0
    values["div_factor"][:] = 1.0
    assert_defined(values, windows)


def test_the_usual_windows_give_the_bits_of_the_panel():
    rng = np.random.default_rng(2)
    tables = {name: bars_table(walk(rng, rows), name) for name, rows in (("AAA", 400), ("BBB", 20), ("CCC", 300))}
    panel = compute(inputs_of(**tables), PanelTechnicalParams()).table
    own = TA_FAMILY.compute(inputs_of(**tables), TA_FAMILY.params()).table
    for name, column in OF_PANEL.items():
        assert own[name].equals(panel[column]), name
    zscore = panel["price_zscore_20d"].to_numpy()
    np.testing.assert_allclose(own["ta_bb_pos"].to_numpy(), (zscore + 2) / 4, rtol=1e-5, atol=1e-6)


def test_columns_of_pandas_and_talib():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        talib = pytest.importorskip("talib")
    values, n = walk(np.random.default_rng(3), 900), {name: most - 1 for name, most in MOST.items()}
    got = computed(values, n)
    high, low, close = (values[name] * values["div_factor"] for name in ("high", "low", "close"))
    series, volume = pd.Series(close), pd.Series(values["volume"])
    window = series.rolling(n["bb_n"])
    fast, slow = (series.ewm(span=n[one], adjust=False).mean() for one in ("macd_fast", "macd_slow"))
    macd = fast - slow
    want = {
        "ta_rsi": talib.RSI(close, n["rsi_n"]),
        "ta_atr_pct": talib.ATR(high, low, close, n["atr_n"]) / close,
        "ta_bb_pos": (series - window.mean() + 2 * window.std()) / (4 * window.std()),
        "ta_bb_width": 4 * window.std() / window.mean(),
        "ta_macd_hist_pct": (macd - macd.ewm(span=n["macd_signal"], adjust=False).mean()) / series,
        "ta_momentum": series.pct_change(n["momentum_n"]),
        "ta_volatility": series.pct_change().rolling(n["vol_n"]).std() * np.sqrt(252),
        "ta_stoch_k": talib.STOCHF(high, low, close, fastk_period=n["stoch_n"], fastd_period=1)[0],
        "ta_volume_ratio": volume / volume.rolling(n["volume_n"]).mean(),
    }
    for name in NAMES:
        # Recursions are seeded in other rows: they agree when the seeds are forgotten.
        np.testing.assert_allclose(got[name][600:], np.asarray(want[name])[600:], rtol=1e-4, atol=1e-5, err_msg=name)


def test_real_bars_give_the_bits_of_the_panel(shared_data):
    file = shared_data / "daily" / "ohlcv_46_2018_2023.parquet"
    if not file.is_file():
        pytest.skip(f"no {file}")
    inputs = inputs_of(**real(file).bars)
    own = TA_FAMILY.compute(inputs, TA_FAMILY.params()).table
    panel = compute(inputs, PanelTechnicalParams()).table
    assert own.num_rows > 69_000
    for name, column in OF_PANEL.items():
        assert own[name].equals(panel[column]), name


CASES = [Case(TA_FAMILY, TA_FAMILY.params(**windows), seed) for seed, windows in enumerate([{}, LEAST])]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", CASES, ids=["usual", "least"])
def test_the_columns_are_causal(case, check):
    check(case)


# --- rows of a panel -----------------------------------------------------------------------------


@pytest.fixture
def bars() -> TaBars:
    rng = np.random.default_rng(4)
    return TaBars.of([bars_table(walk(rng, rows), name) for name, rows in (("AAA", 60), ("BBB", 40), ("CCC", 50))])


def test_a_row_knows_the_bars_that_are_over_when_it_is_decided(bars):
    symbol, days = np.array([1, 1, 1]), np.repeat(bars.days[60 + 30], 3)
    close = bars.known_ns[60 + 30]
    assert bars.rows(symbol, days, np.array([close - 1, close, close + 3600 * 10**9])).at.tolist() == [89, 90, 90]


def test_a_bar_that_is_too_old_is_none(bars):
    last = np.datetime64(int(bars.days[60 + 39]), "D").item()
    dates = [calendar().offset(last, ahead) for ahead in (0, 5, 6)]
    days = np.array(dates, "datetime64[D]").astype(np.int64)
    ends = np.array([calendar().session(date).ext_end_ns for date in dates])
    rows = bars.rows(np.ones(3, np.int16), days, ends)
    assert rows.at.tolist() == [99, 99, -1]
    found = TaColumns(rows).of(LEAST)
    np.testing.assert_array_equal(found[0], found[1])
    assert np.isnan(found[2]).all()


def test_a_row_before_the_first_bar_has_none(bars):
    assert bars.rows(np.array([2]), bars.days[:1], bars.known_ns[100:101] - 1).at.tolist() == [-1]


def test_one_symbol_alone_has_the_same_bits(bars):
    rows = rows_of(bars)
    whole = TaColumns(rows).of(LEAST)
    for symbol, (first, end) in enumerate(((0, 60), (60, 100), (100, 150))):
        alone = TaColumns(rows.of_symbol(symbol, slice(first, end))).of(LEAST)
        np.testing.assert_array_equal(alone, whole[first:end])


def test_columns_are_made_once_for_each_column_and_its_windows(bars, monkeypatch):
    made = []
    columns, make = TaColumns(rows_of(bars)), TaColumns._make
    monkeypatch.setattr(TaColumns, "_make", lambda self, name, *rest: (made.append(name), make(self, name, *rest))[1])
    first = columns.of(USUAL)
    assert len(made) == 8
    columns.of({**USUAL, "rsi_n": 7, "macd_signal": 5})
    assert made[8:] == ["rsi", "macd_hist_pct"]
    np.testing.assert_array_equal(columns.of(USUAL), first)
    assert len(made) == 10


def test_what_is_kept_is_bounded(bars):
    tight, wide = TaColumns(rows_of(bars), kept_bytes=4000), TaColumns(rows_of(bars))
    for step in range(4):
        windows = {name: value - step for name, value in USUAL.items()}
        np.testing.assert_array_equal(tight.of(windows), wide.of(windows))
        assert sum(one.nbytes for one in tight._kept.values()) <= 4000
    assert sum(one.nbytes for one in wide._kept.values()) > 4000


def test_each_column_names_its_windows():
    assert list(WINDOWS_OF) == NAMES
    assert list(dict.fromkeys(one for windows in WINDOWS_OF.values() for one in windows)) == list(TA_WINDOWS)
