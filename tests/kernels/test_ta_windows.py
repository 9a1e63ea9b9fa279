"""Indicators over any windows, by their naive definitions, symbol by symbol."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from raypipe.kernels import ta_windows as kernels
from raypipe.kernels._jit import as_input
from tests.reference.ta_windows import ta_windows

#: Kernel, its windows, and the columns that it fills.
KERNELS = [
    ("rsi", {"rsi_n": 9}, ("ta_rsi",)),
    ("atr_pct", {"atr_n": 7}, ("ta_atr_pct",)),
    ("bands", {"bb_n": 12}, ("ta_bb_pos", "ta_bb_width")),
    ("macd_hist_pct", {"macd_fast": 5, "macd_slow": 21, "macd_signal": 6}, ("ta_macd_hist_pct",)),
    ("momentum", {"momentum_n": 4}, ("ta_momentum",)),
    ("volatility", {"vol_n": 8}, ("ta_volatility",)),
    ("stochastic_k", {"stoch_n": 11}, ("ta_stoch_k",)),
    ("volume_ratio", {"volume_n": 10}, ("ta_volume_ratio",)),
]
WINDOWS = {name: length for _, windows, _ in KERNELS for name, length in windows.items()}
#: A symbol with many bars, one with fewer than any window, and one more.
STARTS = np.array([0, 150, 153, 260])


def bars(seed=3):
    draw, count = np.random.default_rng(seed), int(STARTS[-1])
    close = 50.0 * np.exp(np.cumsum(draw.normal(0.0, 0.02, count)))
    high, low = close * (1 + draw.uniform(0, 0.02, count)), close * (1 - draw.uniform(0, 0.02, count))
    return np.array([high, low, close, draw.uniform(1e3, 1e6, count)])


def run(name, prices, columns):
    out = np.full((columns, prices.shape[1]), np.nan, np.float32)
    lengths = next(windows for kernel, windows, _ in KERNELS if kernel == name).values()
    getattr(kernels, name)(as_input(prices), as_input(STARTS, np.int64), *lengths, out)
    return out


@pytest.mark.parametrize(("name", "windows", "columns"), KERNELS, ids=[name for name, _, _ in KERNELS])
def test_columns_are_their_definition_symbol_by_symbol(name, windows, columns):
    prices = bars()
    got = run(name, prices, len(columns))
    for first, end in itertools.pairwise(STARTS):
        want = ta_windows(*(row[first:end].tolist() for row in prices), WINDOWS)
        for i, column in enumerate(columns):
            np.testing.assert_allclose(got[i, first:end], want[column], rtol=2e-5, atol=2e-6, err_msg=column)


@pytest.mark.parametrize(("name", "windows", "columns"), KERNELS, ids=[name for name, _, _ in KERNELS])
def test_later_bars_change_nothing(name, windows, columns):
    prices, cut = bars(), 220
    before = run(name, prices, len(columns))
    prices[:, cut:] *= np.random.default_rng(5).uniform(0.5, 2.0, prices[:, cut:].shape)
    np.testing.assert_array_equal(run(name, prices, len(columns))[:, :cut], before[:, :cut])
