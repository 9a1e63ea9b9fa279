"""Recursions restarted at each window's first row: the definitions, TA-Lib, and windows that do not touch."""

from __future__ import annotations

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.kernels._jit import as_input
from raypipe.kernels.oscillators import MOVES, moves, stochastic, wilder_windows
from raypipe.kernels.rolling import LANES
from tests.kernels.day_bars import KINDS, grid
from tests.reference.technical import Bar, technical

NAMES = ("rsi_14", "adx_14", "atr_14", "obv")
FIRST = {"rsi_14": 14, "adx_14": 27, "atr_14": 14, "obv": 0}


def bars(seed: int, rows: int, kind: str = "walk") -> list[np.ndarray]:
    """High, low, close and volume of one symbol."""
    made = grid(seed, [kind], rows)
    return [as_input(values[:, 0]) for values in (made.high, made.low, made.close, made.volume)]


def changes(high, low, close, volume) -> np.ndarray:
    out = np.zeros((len(MOVES), len(close)))
    moves(high, low, close, volume, 1, len(close), out)
    return out


def smoothed(columns, windows) -> dict[str, list[float]]:
    """Values of each window, by name."""
    out = np.full((len(NAMES), len(columns[0])), np.nan)
    first, last = (as_input(rows, np.int64) for rows in zip(*windows, strict=True))
    wilder_windows(as_input(changes(*columns)), first, last, out)
    return {name: out[i, last] for i, name in enumerate(NAMES)}


@st.composite
def some_windows(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """Rows of a series, and windows with ascending ends, more than fit side by side."""
    rows = draw(st.integers(2, 90))
    last = sorted(draw(st.sets(st.integers(0, rows - 1), min_size=1, max_size=3 * LANES)))
    first = sorted(draw(st.lists(st.integers(0, rows - 1), min_size=len(last), max_size=len(last))))
    return rows, [(min(a, b), b) for a, b in zip(first, last, strict=True)]


@settings(max_examples=40)
@given(some_windows(), st.integers(0, 99), st.sampled_from(KINDS))
def test_equals_the_definition(made, seed, kind):
    rows, windows = made
    columns = bars(seed, rows, kind)
    found = smoothed(columns, windows)
    high, low, close, volume = (values.tolist() for values in columns)
    every = [Bar(i, close[i], high[i], low[i], close[i], volume[i]) for i in range(rows)]
    for i, (first, last) in enumerate(windows):
        expected = technical(every, {}, last, memory=last - first + 1)
        for name in NAMES:
            if last - first >= FIRST[name]:
                assert found[name][i] == pytest.approx(expected[name], rel=1e-10, abs=1e-9), (name, first, last)


@pytest.mark.parametrize("rows", [28, 100, 260])
def test_equals_talib_at_the_last_row(rows):
    high, low, close, volume = columns = bars(rows, rows)
    found = smoothed(columns, [(0, rows - 1)])
    assert found["rsi_14"][0] == pytest.approx(talib.RSI(close, 14)[-1], rel=1e-12)
    assert found["adx_14"][0] == pytest.approx(talib.ADX(high, low, close, 14)[-1], rel=1e-12)
    assert found["atr_14"][0] == pytest.approx(talib.ATR(high, low, close, 14)[-1], rel=1e-12)
    assert found["obv"][0] == pytest.approx((talib.OBV(close, volume) - volume[0])[-1], rel=1e-12)


@settings(max_examples=30)
@given(some_windows(), st.data())
def test_a_window_knows_nothing_of_the_others(made, data):
    rows, windows = made
    columns = bars(1, rows)
    whole = smoothed(columns, windows)
    chosen = data.draw(st.sets(st.integers(0, len(windows) - 1), min_size=1).map(sorted))
    some = smoothed(columns, [windows[i] for i in chosen])
    for name in NAMES:
        assert some[name].tobytes() == whole[name][chosen].tobytes()


def test_nothing_before_the_window_matters():
    columns = bars(2, 80)
    other = [values.copy() for values in columns]
    for values in other:
        values[:30] *= 3
    windows = [(30, last) for last in range(60, 80)]
    for name in NAMES:
        assert smoothed(columns, windows)[name].tobytes() == smoothed(other, windows)[name].tobytes()


def test_mirrored_prices_swap_gains_and_losses():
    high, low, close, volume = bars(3, 60)
    up, down = changes(high, low, close, volume), changes(100_000 - low, 100_000 - high, 100_000 - close, volume)
    swapped = [MOVES.index(name) for name in ("loss", "gain", "true_range", "fall", "rise")]
    np.testing.assert_allclose(down[:5], up[swapped], atol=1e-9)
    assert (down[5] == -up[5]).all()


def test_at_most_one_directional_movement():
    rise, fall = changes(*bars(4, 300))[[MOVES.index("rise"), MOVES.index("fall")]]
    assert (rise >= 0).all()
    assert (fall >= 0).all()
    assert ((rise == 0) | (fall == 0)).all()


def test_stochastic_stays_within_its_window():
    high, low, close, _ = (np.concatenate([values, np.ones(LANES)]) for values in bars(5, 100))
    out = np.zeros(len(close))
    stochastic(as_input(high), as_input(low), as_input(close), 13, 100, 14, out)
    expected = talib.STOCHF(high[:100], low[:100], close[:100], 14, 1, 0)[0]
    np.testing.assert_allclose(out[13:100], expected[13:], atol=1e-9)
    assert ((out >= 0) & (out <= 100)).all()
