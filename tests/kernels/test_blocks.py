"""Windows made of blocks against windows summed alone, and what must be exact."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from raypipe.kernels.blocks import block_correlation, block_extremes, block_mean, block_mean_std, block_moments
from raypipe.kernels.smoothing import ema, wilder

CASES = [(begin, rows, length) for begin in (0, 1) for rows in (0, 1, 7, 60) for length in (2, 5, 20)]


def series(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 3, rows)


def windows(values: np.ndarray, begin: int, length: int) -> dict[int, np.ndarray]:
    return {t: values[t - length + 1 : t + 1] for t in range(begin + length - 1, len(values))}


@pytest.mark.parametrize(("begin", "rows", "length"), CASES)
def test_every_window_is_that_window_alone(begin, rows, length):
    x, y = series(rows), series(rows, 1)
    mean, std, same, corr, least, most = (np.full(rows, np.nan) for _ in range(6))
    block_mean(x, begin, rows, length, mean)
    block_mean_std(x, begin, rows, length, same, std)
    block_correlation(x, y, begin, rows, length, corr)
    block_extremes(x, y, begin, rows, length, least, most)
    found, other = windows(x, begin, length), windows(y, begin, length)
    assert np.flatnonzero(~np.isnan(mean)).tolist() == list(found)
    np.testing.assert_array_equal(mean, same)
    for t, w in found.items():
        assert mean[t] == pytest.approx(w.mean(), rel=1e-14)
        assert std[t] == pytest.approx(w.std(ddof=1), rel=1e-11)
        assert (least[t], most[t]) == (w.min(), other[t].max())
        assert corr[t] == pytest.approx(np.corrcoef(w, other[t])[0, 1], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("length", [20, 60])
def test_moments_are_those_of_scipy(length):
    x = series(200) ** 3
    mean, moments = np.full(200, np.nan), np.full((3, 200), np.nan)
    block_moments(x, 0, 200, length, mean, moments)
    for t, w in windows(x, 0, length).items():
        assert mean[t] == pytest.approx(w.mean(), rel=1e-14)
        for order in (2, 3, 4):
            assert moments[order - 2, t] / length == pytest.approx(stats.moment(w, order), rel=1e-8, abs=1e-2)


def test_equal_values_are_exact_after_an_outlier_has_left():
    x = np.full(100, 7.3)
    x[3] = 1e12
    mean, std = np.full(100, np.nan), np.full(100, np.nan)
    block_mean_std(x, 0, 100, 20, mean, std)
    assert (mean[23:] == 7.3).all()
    assert (std[23:] == 0.0).all()


def test_the_start_alone_gives_the_same_bits():
    x = series(150)
    whole, part = np.full(150, np.nan), np.full(150, np.nan)
    block_mean(x, 0, 150, 20, whole)
    block_mean(x, 0, 91, 20, part)
    np.testing.assert_array_equal(part[:91], whole[:91])


def test_recursions():
    x = series(50)
    smooth, slow = np.full(50, np.nan), np.full(50, np.nan)
    ema(x, 3, 50, 9, smooth)
    wilder(x, 1, 50, 14, slow)
    want, mean = x[3], x[1:15].mean()
    assert slow[14] == pytest.approx(mean, rel=1e-14)
    for t in range(4, 50):
        want = 0.2 * x[t] + 0.8 * want
        assert smooth[t] == pytest.approx(want, rel=1e-13)
    for t in range(15, 50):
        mean = (13 * mean + x[t]) / 14
        assert slow[t] == pytest.approx(mean, rel=1e-13)
    wilder(x, 40, 50, 14, slow[:0])  # too short for a seed: nothing is written
