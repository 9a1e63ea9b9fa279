"""Minute bars to bars of a clock bucket, as ranges of rows: 1 minute, 5 minutes and any longer width are one thing.

A bucket is the rows of one symbol whose start falls into one interval of the clock; an interval without rows has no
bucket. Nothing is filled and nothing is copied: what a bar holds is read from its first and last row.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._jit import as_input, kernel

__all__ = ["Buckets", "Ohlcv", "buckets_of", "ohlcv_of"]


class Buckets(NamedTuple):
    """The bars of several symbols, one symbol after the other, in order of time."""

    head: NDArray[np.int64]
    """First row of each bar; int64 (bars,)."""
    tail: NDArray[np.int64]
    """Row behind the last of each bar; int64 (bars,)."""
    offsets: NDArray[np.int64]
    """Bars of symbol k are [offsets[k], offsets[k + 1]); int64 (symbols + 1,)."""
    start_ns: NDArray[np.int64]
    """Start of each bar's interval; it ends ``width_ns`` later, however early its last trade. int64 (bars,)."""


class Ohlcv(NamedTuple):
    """What bars hold, float64 (bars,) each; never NaN."""

    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]


def buckets_of(
    start_ns: NDArray[np.int64],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    window_ns: tuple[int, int],
    width_ns: int,
) -> Buckets:
    """Cut minute bars into buckets of the clock.

    Parameters
    ----------
    start_ns
        Start of each minute bar, ascending within a symbol; int64 (rows,).
    begin, end
        Rows of each symbol are [begin, end); int64 (symbols,).
    window_ns
        Bars that start in [first, second) count, others do not exist.
    width_ns
        Width of a bucket; its borders are multiples of it in UTC, which are those of the exchange's clock for every
        width that divides 30 minutes.

    Returns
    -------
    Buckets
        NaN handling: only times are read.
    """
    low, high = window_ns
    first, last = as_input(begin, np.int64), as_input(end, np.int64)
    return _buckets(as_input(start_ns, np.int64), first, last, low, high, width_ns)


@kernel
def _buckets(
    start_ns: NDArray[np.int64],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    low_ns: int,
    high_ns: int,
    width_ns: int,
) -> Buckets:
    # Memory that is never written costs nothing, so the largest possible size is taken.
    size = (end - begin).sum()
    head, tail, bucket_ns = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int64)
    offsets = np.empty(len(begin) + 1, np.int64)
    bars = 0
    for k in range(len(begin)):
        offsets[k] = bars
        until_ns = low_ns
        for i in range(begin[k], end[k]):
            at_ns = start_ns[i]
            if at_ns < low_ns:
                continue
            if at_ns >= high_ns:
                break
            if bars == offsets[k] or at_ns >= until_ns:
                bucket_ns[bars] = at_ns - at_ns % width_ns
                until_ns = bucket_ns[bars] + width_ns
                head[bars] = i
                bars += 1
            tail[bars - 1] = i + 1
    offsets[len(begin)] = bars
    return Buckets(head[:bars], tail[:bars], offsets, bucket_ns[:bars])


def ohlcv_of(minutes: Ohlcv, buckets: Buckets) -> Ohlcv:
    """Prices and volume of buckets: first open, highest high, lowest low, last close, volumes added in order.

    Parameters
    ----------
    minutes
        The minute bars, in usd and shares; float64 (rows,) each, without NaN.
    buckets
        Rows of each bar.
    """
    columns = Ohlcv(*(as_input(values, np.float64) for values in minutes))
    return _ohlcv(columns, as_input(buckets.head), as_input(buckets.tail))


@kernel
def _ohlcv(minutes: Ohlcv, head: NDArray[np.int64], tail: NDArray[np.int64]) -> Ohlcv:
    bars = len(head)
    first, last, total = np.empty(bars), np.empty(bars), np.empty(bars)
    highest, lowest = np.empty(bars), np.empty(bars)
    for b in range(bars):
        i = head[b]
        top, bottom, shares = minutes.high[i], minutes.low[i], minutes.volume[i]
        for j in range(i + 1, tail[b]):
            top, bottom = max(top, minutes.high[j]), min(bottom, minutes.low[j])
            shares += minutes.volume[j]
        first[b], highest[b], lowest[b], total[b] = minutes.open[i], top, bottom, shares
        last[b] = minutes.close[tail[b] - 1]
    return Ohlcv(first, highest, lowest, last, total)
