"""MACD: the definition to the last bit, pandas, TA-Lib, published answers, and laws."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyarrow import csv

from raypipe.kernels.macd import FLAT, MacdState, Smoothing, hist_summary, macd_of_minutes, macd_series
from tests.kernels.minute_bars import MINUTE, WHOLE, Tape, equal_bits, tapes
from tests.reference.macd import Recipe, State, lines, resample

USUAL = Smoothing()
smoothings = st.sampled_from([USUAL, Smoothing(2, 5, 3, 1), Smoothing(3, 4, 1, 6), Smoothing(1, 2, 2, 2)])


def walk(seed: int, bars: int, sigma: float = 0.002) -> np.ndarray:
    return 10 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, sigma, bars)))


walks = st.builds(walk, st.integers(0, 2**32 - 1), st.integers(1, 300))
#: Prices on a coarse grid with repeats: hist is exactly zero now and then.
stairs = st.lists(st.sampled_from([10.0, 10.1, 10.25]), min_size=1, max_size=200).map(np.array)
closes = st.one_of(walks, stairs)


def one(close: np.ndarray, smoothing: Smoothing = USUAL, state: MacdState | None = None):
    return macd_series(close, np.array([0, len(close)]), smoothing, state)


def state_of(found: State) -> MacdState:
    values = (found.fast, found.slow, found.signal, found.close)
    return MacdState(*(np.array([value]) for value in values), np.array([found.bars]))


def assert_lines(series, rows, smoothing: Smoothing) -> None:
    equal_bits(series.macd, [row["macd"] for row in rows])
    equal_bits(series.signal, [row["signal"] for row in rows])
    equal_bits(series.hist, [row["hist"] for row in rows])
    assert series.bar_index.tolist() == [row["bar_index"] for row in rows]
    assert series.cross.tolist() == [row["cross"] for row in rows]
    assert series.seasoned(smoothing.min_bars).tolist() == [row["seasoned"] for row in rows]


# --- oracles -----------------------------------------------------------------------------------


@given(closes, smoothings)
@example(np.full(200, 10.1), USUAL)
@example(np.append(np.full(100, 10.0), np.full(100, 10.5)), USUAL)
def test_equals_the_definition(close, smoothing):
    rows, last = lines(close.tolist(), Recipe(*smoothing))
    series = one(close, smoothing)
    assert_lines(series, rows, smoothing)
    assert last is not None
    assert [values[0] for values in series.state] == [last.fast, last.slow, last.signal, last.close, last.bars]


@given(tapes, smoothings, st.sampled_from([1, 5, 15]))
def test_symbols_side_by_side_equal_the_definition(tape: Tape, smoothing, minutes):
    bars, series = macd_of_minutes(
        tape.start_ns, tape.bars.close, tape.begin, tape.end, WHOLE, minutes * MINUTE, smoothing
    )
    coarse = [resample(symbol, minutes * MINUTE, WHOLE) for symbol in tape.symbols]
    rows = [row for symbol in coarse for row in lines([bar["close"] for bar in symbol], Recipe(*smoothing))[0]]
    assert len(bars.head) == len(rows)
    assert_lines(series, rows, smoothing)
    summary = hist_summary(series, bars.offsets, smoothing.min_bars)
    for k, symbol in enumerate(coarse):
        own = lines([bar["close"] for bar in symbol], Recipe(*smoothing))[0]
        hist = [row["hist"] for row in own if row["seasoned"]]
        assert summary.ups[k] == sum(row["cross"] == 1 for row in own)
        assert summary.downs[k] == sum(row["cross"] == -1 for row in own)
        equal_bits(np.array([summary.lowest[k]]), [min(hist, default=None)])
        equal_bits(np.array([summary.highest[k]]), [max(hist, default=None)])


@given(walks)
def test_equals_pandas(close):
    prices = pd.Series(close)
    macd = prices.ewm(span=12, adjust=False).mean() - prices.ewm(span=26, adjust=False).mean()
    signal = macd.ewm(span=9, adjust=False).mean()
    series = one(close)
    scale = 1e-10 * close.max()
    np.testing.assert_allclose(series.macd, macd, atol=scale)
    np.testing.assert_allclose(series.signal, signal, atol=scale)
    np.testing.assert_allclose(series.hist, macd - signal, atol=scale)


def test_agrees_with_talib_once_the_seeds_are_forgotten():
    talib = pytest.importorskip("talib")
    close = walk(1, 600)
    macd, signal, hist = talib.MACD(close)
    series = one(close)
    for got, expected in ((series.macd, macd), (series.signal, signal), (series.hist, hist)):
        np.testing.assert_allclose(got[200:], expected[200:], atol=2e-6)
    # Its first value is the first bar that is seasoned here.
    assert np.isnan(macd[: USUAL.min_bars - 1]).all()
    assert not np.isnan(hist[USUAL.min_bars - 1])


def test_agrees_with_published_answers(shared_data: Path):
    folder = shared_data / "indicators"
    close = csv.read_csv(folder / "default.csv")["close"].to_numpy()
    with gzip.open(folder / "macd.standard.json.gz", "rt") as file:
        rows = json.load(file)
    series = one(close)
    for got, name in ((series.macd, "macd"), (series.signal, "signal"), (series.hist, "histogram")):
        expected = np.array([np.nan if row[name] is None else row[name] for row in rows])
        np.testing.assert_allclose(got[200:], expected[200:], atol=1e-4)


# --- laws --------------------------------------------------------------------------------------


@pytest.mark.parametrize("price", [10.1, 0.0001, 645.57, 1e5 / 3])
def test_a_flat_price_leaves_every_line_at_zero(price):
    series = one(np.full(1_000, price))
    assert not series.macd.any()
    assert not series.signal.any()
    assert not series.hist.any()
    assert not series.cross.any()


@pytest.mark.parametrize(("up", "sign"), [(10.5, 1), (9.5, -1)])
def test_a_step_crosses_at_once_and_back_fourteen_bars_later(up, sign):
    series = one(np.append(np.full(210, 10.0), np.full(180, up)))
    assert np.flatnonzero(series.cross).tolist() == [210, 224]
    assert series.cross[[210, 224]].tolist() == [sign, -sign]


@given(closes, smoothings)
def test_between_two_crossings_up_lies_a_bar_at_or_below_zero(close, smoothing):
    series = one(close, smoothing)
    for first, second in pairwise(np.flatnonzero(series.cross == 1)):
        assert (series.hist[first:second] <= FLAT * close[first:second]).any()
    for first, second in pairwise(np.flatnonzero(series.cross == -1)):
        assert (series.hist[first:second] >= -FLAT * close[first:second]).any()


@given(walks, st.sampled_from([0.25, 2.0, 4096.0]))
def test_prices_times_a_power_of_two_change_nothing_else(close, factor):
    plain, scaled = one(close), one(close * factor)
    np.testing.assert_array_equal(scaled.hist, plain.hist * factor)
    np.testing.assert_array_equal(scaled.cross, plain.cross)


@given(walks)
def test_mirrored_prices_swap_the_crossings(close):
    mirrored = 2 * close.max() + 1 - close
    plain, other = one(close), one(mirrored)
    np.testing.assert_allclose(other.hist, -plain.hist, atol=1e-12 * mirrored.max())
    clear = np.abs(plain.hist) > 1e-9
    both = clear & np.append(True, clear[:-1])
    np.testing.assert_array_equal(other.cross[both], -plain.cross[both])


@given(closes, smoothings, st.integers(0, 300))
def test_carried_over_a_night_is_never_stopped(close, smoothing, cut):
    whole, cut = one(close, smoothing), min(cut, len(close))
    early = one(close[:cut], smoothing)
    late = one(close[cut:], smoothing, early.state)
    for name in ("macd", "signal", "hist", "hist_before", "bar_index", "cross"):
        both = np.append(getattr(early, name), getattr(late, name))
        np.testing.assert_array_equal(both, getattr(whole, name))
    for got, expected in zip(late.state, whole.state, strict=True):
        np.testing.assert_array_equal(got, expected)


@given(closes, st.sampled_from([0.5, 4.0]))
def test_a_carried_state_follows_a_split(close, ratio):
    rows, before = lines(close.tolist(), Recipe())
    assert before is not None
    after = one(close / ratio, USUAL, state_of(before.after_split(ratio)))
    assert_lines(after, lines((close / ratio).tolist(), Recipe(), before.after_split(ratio))[0], USUAL)
    # Split or not, the next bars say the same: powers of two round nothing.
    unsplit = one(close, USUAL, state_of(before))
    np.testing.assert_array_equal(after.hist * ratio, unsplit.hist)
    np.testing.assert_array_equal(after.cross, unsplit.cross)
    assert rows[-1]["bar_index"] + 1 == before.bars


def test_a_symbol_without_bars_keeps_its_state():
    state = MacdState(*(np.array([1.5]) for _ in range(4)), np.array([40]))
    series = macd_series(np.empty(0), np.array([0, 0]), USUAL, state)
    assert [values.tolist() for values in series.state] == [[1.5], [1.5], [1.5], [1.5], [40]]


def test_the_first_bar_has_no_bar_before():
    series = one(walk(2, 40))
    assert np.isnan(series.hist_before[0])
    np.testing.assert_array_equal(series.hist_before[1:], series.hist[:-1])


def test_no_crossing_before_both_bars_are_seasoned():
    close = np.append(np.full(33, 10.0), np.full(30, 10.5))
    assert not (one(close).cross == 1).any()
    assert one(np.append(10.0, close)).cross[34] == 1
