"""Windows that end at each row: definitions, pandas, and independence of what lies around them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from raypipe.kernels._jit import as_input
from raypipe.kernels.rolling import LANES, trailing_extremes, trailing_mean, trailing_std, trailing_sum

prices = st.lists(st.integers(1, 10_000).map(lambda cents: cents / 100), min_size=1, max_size=60)
lengths = st.integers(1, 25)


def padded(values) -> np.ndarray:
    return as_input(np.concatenate([values, np.full(LANES - 1, 7.0)]))


def trailing(kernel, values, length: int, *extra, begin: int | None = None) -> np.ndarray:
    """What a kernel gives for the rows [begin, end) that have a whole window."""
    begin = length - 1 if begin is None else begin
    series = padded(values)
    out = np.zeros(len(series))
    kernel(series, begin, len(values), length, *extra, out)
    return out[begin : len(values)]


def windows(values, length: int) -> list[np.ndarray]:
    return [np.array(values[i - length + 1 : i + 1]) for i in range(length - 1, len(values))]


@given(prices, lengths)
@example([0.1] * 40, 20)
def test_sum_and_mean(values, length):
    exact = np.array([math.fsum(window) for window in windows(values, length)])
    np.testing.assert_allclose(trailing(trailing_sum, values, length), exact, rtol=1e-14)
    np.testing.assert_allclose(trailing(trailing_mean, values, length), exact / length, rtol=1e-13)


@given(prices, st.integers(2, 25), st.sampled_from([0, 1]))
def test_std(values, length, ddof):
    expected = np.array([np.std(window, ddof=ddof) for window in windows(values, length)])
    np.testing.assert_allclose(trailing(trailing_std, values, length, ddof), expected, rtol=1e-9, atol=1e-12)


@given(prices, lengths)
def test_extremes(values, length):
    low, high = padded(values), padded([value + 1 for value in values])
    least, most = np.zeros(len(low)), np.zeros(len(low))
    trailing_extremes(low, high, length - 1, len(values), length, least, most)
    for row, window in enumerate(windows(values, length), start=length - 1):
        assert (least[row], most[row]) == (window.min(), (window + 1).max())


@pytest.mark.parametrize("length", [2, 20, 50])
def test_equals_pandas(length):
    values = 100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.02, 100)))
    rolling = pd.Series(values).rolling(length)
    for got, expected in (
        (trailing(trailing_mean, values, length), rolling.mean()),
        (trailing(trailing_std, values, length, 0), rolling.std(ddof=0)),
        (trailing(trailing_std, values, length, 1), rolling.std()),
        (trailing(trailing_sum, values, length), rolling.sum()),
    ):
        np.testing.assert_allclose(got, expected.to_numpy()[length - 1 :], rtol=1e-9)


@given(st.floats(0.01, 1e6), st.integers(2, 60))
def test_equal_values_leave_no_rounding(value, length):
    """The means of a flat series over different windows are the same number, and its deviation is nothing."""
    assert (trailing(trailing_mean, [value] * 60, length) == value).all()
    assert (trailing(trailing_std, [value] * 60, length, 0) == 0.0).all()


@given(prices, lengths, st.data())
def test_a_row_is_the_same_wherever_the_series_and_the_request_begin(values, length, data):
    for kernel, extra in ((trailing_mean, ()), (trailing_sum, ()), (trailing_std, (0,))):
        whole = trailing(kernel, values, length, *extra)
        if len(whole):
            skip = data.draw(st.integers(0, len(whole) - 1))
            later = trailing(kernel, values, length, *extra, begin=length - 1 + skip)
            shorter = trailing(kernel, values[skip:], length, *extra)
            assert later.tobytes() == shorter.tobytes() == whole[skip:].tobytes()
