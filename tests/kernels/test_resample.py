"""Buckets of the clock: the definition, laws, and a vendor's own 5-minute bars."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import csv

from raypipe.kernels.resample import Ohlcv, buckets_of, ohlcv_of
from tests.kernels.minute_bars import COLUMNS, MINUTE, RTH, WHOLE, Tape, tapes
from tests.reference.macd import resample

windows = st.sampled_from([WHOLE, RTH, (RTH[0], RTH[0] + 210 * MINUTE)])
widths = st.sampled_from([MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE])


@given(tapes, windows, widths)
def test_equals_the_definition(tape: Tape, window, width):
    bars = buckets_of(tape.start_ns, tape.begin, tape.end, window, width)
    found = ohlcv_of(tape.bars, bars)
    expected = [resample(symbol, width, window) for symbol in tape.symbols]
    assert bars.offsets.tolist() == [0, *np.cumsum([len(rows) for rows in expected]).tolist()]
    flat = [row for rows in expected for row in rows]
    assert bars.start_ns.tolist() == [row["start_ns"] for row in flat]
    for name, values in zip(COLUMNS, found, strict=True):
        assert values.tolist() == [row[name] for row in flat]


@given(tapes, windows, widths)
def test_every_row_of_the_window_is_in_one_bar(tape: Tape, window, width):
    bars = buckets_of(tape.start_ns, tape.begin, tape.end, window, width)
    inside = np.flatnonzero((window[0] <= tape.start_ns) & (tape.start_ns < window[1]))
    rows = [row for first, last in zip(bars.head, bars.tail, strict=True) for row in range(first, last)]
    assert rows == inside.tolist()


@given(tapes, widths)
def test_volume_is_conserved_and_extremes_are_kept(tape: Tape, width):
    bars = buckets_of(tape.start_ns, tape.begin, tape.end, WHOLE, width)
    found = ohlcv_of(tape.bars, bars)
    np.testing.assert_allclose(found.volume.sum(), tape.bars.volume.sum(), rtol=1e-12)
    assert (found.low <= np.minimum(found.open, found.close)).all()
    assert (np.maximum(found.open, found.close) <= found.high).all()
    if len(tape.rows):
        assert (found.high.max(), found.low.min()) == (tape.bars.high.max(), tape.bars.low.min())


@given(tapes)
def test_bars_of_a_minute_are_the_minute_bars(tape: Tape):
    bars = buckets_of(tape.start_ns, tape.begin, tape.end, WHOLE, MINUTE)
    for values, given_values in zip(ohlcv_of(tape.bars, bars), tape.bars, strict=True):
        np.testing.assert_array_equal(values, given_values)


@given(tapes)
def test_resampling_twice_is_resampling_once(tape: Tape):
    five = buckets_of(tape.start_ns, tape.begin, tape.end, WHOLE, 5 * MINUTE)
    twice = buckets_of(five.start_ns, five.offsets[:-1], five.offsets[1:], WHOLE, 15 * MINUTE)
    once = buckets_of(tape.start_ns, tape.begin, tape.end, WHOLE, 15 * MINUTE)
    assert twice.start_ns.tolist() == once.start_ns.tolist()
    two, one = ohlcv_of(ohlcv_of(tape.bars, five), twice), ohlcv_of(tape.bars, once)
    for values, expected in zip(two[:4], one[:4], strict=True):
        np.testing.assert_array_equal(values, expected)
    np.testing.assert_allclose(two.volume, one.volume, rtol=1e-12)


def test_rows_between_symbols_do_not_count():
    start = np.array([0, 1, 2, 3], np.int64) * MINUTE
    bars = buckets_of(start, np.array([0, 3]), np.array([1, 4]), (0, 10 * MINUTE), 5 * MINUTE)
    assert (bars.head.tolist(), bars.tail.tolist(), bars.offsets.tolist()) == ([0, 3], [1, 4], [0, 1, 2])


@pytest.mark.parametrize("symbol", ["SPY", "ES"])
def test_equals_the_vendors_five_minute_bars(shared_data: Path, symbol: str):
    minute, vendor = (
        _read(shared_data / "firstrate" / f"{symbol}_{tf}_20260126_0202.csv.gz") for tf in ("1min", "5min")
    )
    start = minute["start_ns"]
    whole = (int(start[0]), int(start[-1]) + MINUTE)
    bars = buckets_of(start, np.array([0]), np.array([len(start)]), whole, 5 * MINUTE)
    found = ohlcv_of(Ohlcv(*(minute[name] for name in COLUMNS)), bars)
    assert len(bars.start_ns) > 500
    np.testing.assert_array_equal(bars.start_ns, vendor["start_ns"])
    for name, values in zip(COLUMNS, found, strict=True):
        np.testing.assert_array_equal(values, vendor[name])


def _read(path: Path) -> dict[str, np.ndarray]:
    with gzip.open(path) as file:
        table = csv.read_csv(file)
    seconds = table["timestamp"].to_numpy().astype("datetime64[s]").astype(np.int64)
    return {"start_ns": seconds * 10**9, **{name: table[name].to_numpy().astype(np.float64) for name in COLUMNS}}
