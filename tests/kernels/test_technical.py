"""Day indicators: the definition, TA-Lib, and what finite memory promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from raypipe.kernels.technical import INDICATORS
from tests.kernels.day_bars import KINDS, Grid, grid, grids, indicators
from tests.reference.technical import Bar, technical
from tests.reference.technical_libraries import BY_TALIB

memories = st.integers(1, 80)


def by_definition(bars: Grid, targets, memory: int) -> dict[str, np.ndarray]:
    found = {name: np.full((len(targets), bars.shape[1]), np.nan) for name in INDICATORS}
    for symbol in range(bars.shape[1]):
        there = np.flatnonzero(~np.isnan(bars.close[:, symbol])).tolist()
        arrays = [values[:, symbol].tolist() for values in (bars.close, bars.high, bars.low, bars.close, bars.volume)]
        rows = [Bar(i, *(values[i] for values in arrays)) for i in there]
        splits = {i: float(r) for i, r in enumerate(bars.ratios[:, symbol]) if r != 1.0}
        for place in np.flatnonzero(np.isin(targets, there)):
            row = technical(rows, splits, int(targets[place]), memory)
            row["std_20"] = None if row["bb_upper"] is None else (row["bb_upper"] - row["bb_middle"]) / 2
            for name, values in found.items():
                values[place, symbol] = np.nan if row[name] is None else row[name]
    return found


def assert_close(got: dict[str, np.ndarray], expected: dict[str, np.ndarray], bars: Grid) -> None:
    """Equal but for rounding, which is a share of what was added up."""
    basis = np.cumprod(bars.ratios[::-1], axis=0)  # prices and volumes may have been put on another basis
    price = np.nanmax(bars.close, initial=1.0) * max(1.0, 1 / basis.min())
    scales = {"atr_14": price, "sma_20": price, "std_20": price, "sma_50": price, "sma_200": price, "vwap": price}
    scales["obv"] = np.nansum(bars.volume) * max(1.0, basis.max())
    for name, values in expected.items():
        atol = 1e-12 * scales.get(name, 100.0)
        np.testing.assert_allclose(got[name], values, rtol=1e-9, atol=atol, err_msg=name)


def assert_same_bits(got: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    for name, values in expected.items():
        np.testing.assert_array_equal(got[name].view(np.int64), values.view(np.int64), err_msg=name)


@settings(max_examples=40)
@given(grids, memories)
@example(grid(0, KINDS, 60), 50)
@example(grid(1, KINDS, 60, presence=0.6, splits=9), 45)
def test_equals_the_definition(bars, memory):
    targets = np.arange(bars.shape[0])
    assert_close(indicators(bars, memory=memory), by_definition(bars, targets, memory), bars)


def test_equals_the_definition_over_the_whole_memory():
    bars = grid(3, ["walk", "rising", "ties"], 300, presence=0.97, splits=5)
    targets = np.array([0, 15, 198, 230, 231, 258, 259, 260, 261, 299])
    found = indicators(bars, targets)
    assert_close(found, by_definition(bars, targets, 260), bars)
    assert all(np.isfinite(values).any() for values in found.values())


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("rows", [40, 260])
def test_equals_talib_on_the_rows_of_the_memory(seed, rows):
    bars = grid(seed, ["walk"], rows)
    found = indicators(bars)
    arrays = [values[:, 0].copy() for values in (bars.high, bars.low, bars.close, bars.volume)]
    for name, of in BY_TALIB.items():
        expected = of(*arrays)
        np.testing.assert_allclose(found[name][:, 0], expected, rtol=1e-9, atol=1e-9, err_msg=name)
        first = np.flatnonzero(np.isfinite(expected))[:1].tolist()
        assert first == [INDICATORS[name]][: len(first)], name


def test_first_defined_rows():
    bars = grid(0, ["walk"], 230)
    bars.volume[0] = 1.0
    found = indicators(bars)
    for name, first in INDICATORS.items():
        assert np.isnan(found[name][:first]).all(), name
        assert np.isfinite(found[name][first:]).all(), name


@settings(max_examples=30)
@given(grids, memories, st.data())
def test_which_sessions_are_asked_for_together_changes_no_bit(bars, memory, data):
    whole = indicators(bars, memory=memory)
    chosen = data.draw(st.sets(st.integers(0, bars.shape[0] - 1), min_size=1).map(sorted))
    some = indicators(bars, chosen, memory)
    assert_same_bits(some, {name: values[chosen] for name, values in whole.items()})


@settings(max_examples=30)
@given(grids, memories, st.data())
def test_only_the_memory_matters(bars, memory, data):
    at = data.draw(st.integers(0, bars.shape[0] - 1))
    first = max(at - memory + 1, 0)
    inside = Grid(*(values[first : at + 1] for values in vars(bars).values()))
    expected = {name: values[[at]] for name, values in indicators(bars, memory=memory).items()}
    assert_same_bits(indicators(inside, [at - first], memory), expected)


@settings(max_examples=20)
@given(grids, memories, st.sampled_from([0.25, 8.0]))
def test_prices_times_a_power_of_two(bars, memory, factor):
    """Exact, so that no rounding hides a term that does not scale."""
    prices = {"atr_14", "sma_20", "std_20", "sma_50", "sma_200", "vwap"}
    whole = indicators(bars, memory=memory)
    expected = {name: values * (factor if name in prices else 1.0) for name, values in whole.items()}
    assert_same_bits(indicators(bars.scaled(factor, 1.0), memory=memory), expected)


def test_flat_prices_are_neutral():
    bars = grid(5, ["flat"], 230)
    found = {name: values[-1, 0] for name, values in indicators(bars).items()}
    neutral = {"rsi_14": 50, "stoch_k": 50, "stoch_d": 50, "adx_14": 0, "atr_14": 0, "roc_10": 0, "obv": 0}
    assert {name: found[name] for name in neutral} == neutral
    assert found["std_20"] == found["hist_vol_20"] == 0.0
    assert found["sma_20"] == found["sma_50"] == found["sma_200"] == bars.close[-1, 0]


@pytest.mark.parametrize(("kind", "rsi"), [("rising", 100.0), ("falling", 0.0)])
def test_one_direction_only(kind, rsi):
    found = indicators(grid(6, [kind], 60))["rsi_14"][14:, 0]
    assert (found == rsi).all()


def test_no_volume_no_vwap():
    bars = grid(7, ["walk"], 45)
    bars.volume[:] = 3.0
    bars.volume[5:25] = 0.0
    found = indicators(bars)
    assert (np.flatnonzero(np.isnan(found["vwap"][19:, 0])) + 19).tolist() == [24]
    assert (found["obv"][5:25] == found["obv"][4]).all()
