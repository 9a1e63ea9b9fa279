"""The minute bars of a session in one row: the definition to the last bit, and laws."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from raypipe.kernels.minute import MinuteSummary, minute_summary
from raypipe.kernels.resample import Ohlcv
from tests.kernels.minute_bars import RTH, WHOLE, Tape, equal_bits, symbol_bars, tapes
from tests.reference.minute import minute_features

windows = st.sampled_from([WHOLE, RTH])
FIELDS = {
    "day_open": "open",
    "day_high": "high",
    "day_low": "low",
    "day_close": "close",
    "day_volume": "volume",
    **{
        name: name
        for name in (
            "max_1m_ret",
            "max_5m_ret",
            "max_drawdown_5m",
            "first_5m_high",
            "first_5m_low",
            "first_15m_high",
            "first_15m_low",
        )
    },
}


def summary(tape: Tape, window=WHOLE, rth=RTH) -> MinuteSummary:
    return minute_summary(tape.start_ns, tape.bars, tape.begin, tape.end, window, rth)


@given(tapes, windows)
def test_equals_the_definition(tape: Tape, window):
    found = summary(tape, window)
    for k, symbol in enumerate(tape.symbols):
        row = minute_features(symbol, window, RTH)
        assert found.bars[k] == (row["bars_n"] if row else 0)
        for name, field in FIELDS.items():
            equal_bits(getattr(found, field)[k : k + 1], [row[name] if row else None])


@given(tapes)
def test_regular_prices_do_not_depend_on_the_window(tape: Tape):
    all_bars, regular = summary(tape, WHOLE), summary(tape, RTH)
    for name in ("first_5m_high", "first_15m_low", "rth_open", "rth_close"):
        np.testing.assert_array_equal(getattr(all_bars, name), getattr(regular, name))
    there = regular.bars > 0
    np.testing.assert_array_equal(regular.rth_open, regular.open)
    np.testing.assert_array_equal(regular.rth_close[there], regular.close[there])


@given(tapes, st.sampled_from([0.5, 8.0]))
def test_prices_times_a_power_of_two_leave_ratios_alone(tape: Tape, factor):
    plain = summary(tape)
    prices = Ohlcv(*(values * factor for values in tape.bars[:4]), tape.bars.volume)
    scaled = minute_summary(tape.start_ns, prices, tape.begin, tape.end, WHOLE, RTH)
    for name in ("max_1m_ret", "max_5m_ret", "max_drawdown_5m", "volume"):
        np.testing.assert_array_equal(getattr(scaled, name), getattr(plain, name))
    np.testing.assert_array_equal(scaled.high, plain.high * factor)


@given(tapes)
def test_a_fall_is_a_share_of_the_price(tape: Tape):
    found = summary(tape)
    fall = found.max_drawdown_5m[found.bars > 0]
    assert ((fall >= 0) & (fall < 1)).all()


def single(minutes: list[int], closes: list[float]) -> MinuteSummary:
    rows = symbol_bars(np.random.default_rng(0), minutes, "flat")
    rows = tuple({**row, "close": close} for row, close in zip(rows, closes, strict=True))
    return summary(Tape((rows,)))


def test_five_minutes_are_those_of_the_clock():
    # At 10:04 nothing is 5 minutes old; at 10:05 the bar of 10:00 is.
    assert np.isnan(single([360, 364], [10.0, 11.0]).max_5m_ret[0])
    assert single([360, 365], [10.0, 11.0]).max_5m_ret[0] == 11.0 / 10.0 - 1
    # The last bar that is old enough, however old it is.
    assert single([100, 200, 365], [5.0, 8.0, 10.0]).max_5m_ret[0] == 8.0 / 5.0 - 1


def test_a_fall_looks_back_over_five_minutes():
    assert single([360, 364], [10.0, 9.0]).max_drawdown_5m[0] == 0.1
    assert single([360, 365], [10.0, 9.0]).max_drawdown_5m[0] == 0.0


def test_one_bar_has_no_rise():
    found = single([360], [10.0])
    assert np.isnan([found.max_1m_ret[0], found.max_5m_ret[0]]).all()
    assert (found.bars[0], found.max_drawdown_5m[0]) == (1, 0.0)


def test_no_symbol_and_no_rows():
    nothing = np.empty(0, np.int64)
    found = minute_summary(nothing, Ohlcv(*(np.empty(0) for _ in range(5))), nothing, nothing, WHOLE, RTH)
    assert all(len(values) == 0 for values in found)
    assert MinuteSummary.joined([]).bars.dtype == np.int64


def test_bars_outside_the_window_do_not_exist():
    found = summary(Tape((symbol_bars(np.random.default_rng(0), [0, 1, 959]),)), RTH)
    assert found.bars[0] == 0
    assert np.isnan([values[0] for values in found[1:]]).all()
