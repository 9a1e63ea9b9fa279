"""Option prints in time: the trade before each, and the underlying's price that calls and puts of one minute imply."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._jit import as_input, kernel

__all__ = ["ParityRules", "parity_spots", "rows_before"]

_MINUTE_NS = 60_000_000_000
_NEVER = np.int64(-(2**62))


class ParityRules(NamedTuple):
    """When a call and a put say what the underlying costs."""

    gap_ns: int
    """Most time between their last prints of the minute."""
    range_usd: float
    """Most distance between the strike and the price that it implies."""
    strikes: int
    """Least strikes in the median."""
    rate: float
    """Continuously compounded interest per year."""


def rows_before(moments: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each moment the last row strictly before it.

    Parameters
    ----------
    moments
        Ascending, int64 (moments,).
    times
        Ascending, int64 (rows,).

    Returns
    -------
    NDArray
        int64 (moments,); -1 where there is none.

    Examples
    --------
    >>> rows_before(np.array([1, 5, 6, 6]), np.array([1, 5, 5])).tolist()
    [-1, 0, 2, 2]
    """
    return _rows_before(as_input(moments, np.int64), as_input(times, np.int64))


@kernel
def _rows_before(moments: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.int64]:
    found = np.empty(moments.size, np.int64)
    row = 0
    for k in range(moments.size):
        while row < times.size and times[row] < moments[k]:
            row += 1
        found[k] = row - 1
    return found


def parity_spots(
    ts_ns: NDArray[np.int64],
    strike: NDArray[np.int32],
    strikes_usd: NDArray[np.float64],
    is_put: NDArray[np.bool_],
    price: NDArray[np.float64],
    years_left_of: NDArray[np.float64],
    first_ns: int,
    rules: ParityRules,
) -> NDArray[np.float64]:
    """The median of K exp(-rate T) + C - P by minute, over strikes near the price.

    Parameters
    ----------
    ts_ns
        Time of each print, ascending, int64 (prints,).
    strike
        Code of its strike, int32 (prints,).
    strikes_usd
        Strikes by code, usd, ascending, float64 (strikes,).
    is_put, price
        bool and float64 (prints,), usd.
    years_left_of
        Time to expiry at the end of each minute, float64 (minutes,).
    first_ns
        Start of the first minute; prints outside the minutes are passed over.
    rules
        When a pair counts.

    Returns
    -------
    NDArray
        float64 (minutes,), usd; NaN where too few strikes have a pair.

    Examples
    --------
    >>> rules = ParityRules(5 * 10**9, 5.0, 1, 0.0)
    >>> prints = np.array([0, 10**9]), np.zeros(2, np.int32), np.array([600.0]), np.array([False, True])
    >>> parity_spots(*prints, np.array([2.5, 1.25]), np.array([0.001]), 0, rules).tolist()
    [601.25]
    """
    return _parity_spots(
        as_input(ts_ns, np.int64),
        as_input(strike, np.int32),
        as_input(strikes_usd, np.float64),
        as_input(is_put, np.bool_),
        as_input(price, np.float64),
        as_input(years_left_of, np.float64),
        first_ns,
        *rules,
    )


@kernel
def _parity_spots(
    ts_ns: NDArray[np.int64],
    strike: NDArray[np.int32],
    strikes_usd: NDArray[np.float64],
    is_put: NDArray[np.bool_],
    price: NDArray[np.float64],
    years: NDArray[np.float64],
    first_ns: int,
    gap_ns: int,
    range_usd: float,
    least: int,
    rate: float,
) -> NDArray[np.float64]:
    spots = np.full(years.size, np.nan)
    at = np.full((2, strikes_usd.size), _NEVER)
    last = np.empty((2, strikes_usd.size))
    implied = np.empty(strikes_usd.size)
    k, end = 0, ts_ns.size
    while k < end and ts_ns[k] < first_ns:
        k += 1
    for minute in range(years.size):
        begin_ns = first_ns + minute * _MINUTE_NS
        low, high = strikes_usd.size, -1
        while k < end and ts_ns[k] < begin_ns + _MINUTE_NS:
            side, code = (1 if is_put[k] else 0), strike[k]
            at[side, code], last[side, code] = ts_ns[k], price[k]
            low, high = min(low, code), max(high, code)
            k += 1
        count = 0
        for code in range(low, high + 1):
            call_ns, put_ns = at[0, code], at[1, code]
            if call_ns < begin_ns or put_ns < begin_ns or abs(call_ns - put_ns) > gap_ns:
                continue
            spot = strikes_usd[code] * math.exp(-rate * years[minute]) + last[0, code] - last[1, code]
            if abs(spot - strikes_usd[code]) <= range_usd:
                implied[count] = spot
                count += 1
        if count >= least:
            spots[minute] = np.median(implied[:count])
    return spots
