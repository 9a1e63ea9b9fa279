"""The arithmetic behind :mod:`raypipe.kernels.greeks`: one option at a time, and loops over columns of them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._jit import inlined, kernel

__all__ = ["LEAST_NS", "YEAR_NS", "all_greeks", "solve_all", "solve_prints"]

_SQRT_HALF = math.sqrt(0.5)
_INV_SQRT_2PI = 1.0 / math.sqrt(2.0 * math.pi)
_HALF_SQRT_2PI = 0.5 * math.sqrt(2.0 * math.pi)
_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
#: Price error at which the solver stops, usd, and the largest that still counts as solved: near a price of a
#: million dollars float64 cannot do better.
_STOP_USD, _SOLVED_USD = 1e-10, 1e-8
#: Halving [0.01, 5] to neighbouring floats takes 62 steps.
_MOST_STEPS = 100
#: Options expire by trading time: 252 sessions of 6.5 hours are a year.
YEAR_NS = 252 * 6.5 * 3600 * 1e9
LEAST_NS = 60_000_000_000

_SOLVED, _BELOW, _SMALL, _ABOVE, _OUTSIDE, _INVALID = range(6)


# --- one option -------------------------------------------------------------------------------


@inlined
def _cdf(x: float) -> float:
    return 0.5 * math.erfc(-x * _SQRT_HALF)


@inlined
def _density(x: float) -> float:
    return _INV_SQRT_2PI * math.exp(-0.5 * x * x)


@inlined
def _is_sound(value: float) -> bool:
    return 0.0 < value < np.inf


@inlined
def _first_guess(x: float, target: float) -> float:
    """Total volatility near which ``target`` lies; Corrado and Miller near the money, else the tail's asymptote."""
    y = target + 0.5 * x
    inside = y * y - x * x / math.pi
    if y > 0.0 and target > 0.25 * x:
        return _HALF_SQRT_2PI * (y + math.sqrt(max(inside, 0.0)))
    # b ~ x * density(h) / h**3 with h = x / s, and ln h**3 is solved for once.
    rest = -2.0 * (math.log(target / x) + _LOG_SQRT_2PI)
    h_squared = max(rest - 3.0 * math.log(max(rest, 1.0)), 0.5)
    h_squared = max(rest - 3.0 * math.log(max(h_squared + 2.0, 1.0)), 0.5)
    return x / math.sqrt(h_squared)


@kernel
def _total_volatility(x: float, target: float, scale: float, low: float, high: float) -> float:
    """Solve the normalised price of an option x = abs(ln(F / K)) out of the money for s = volatility sqrt(T).

    Steps are Halley's, on the price where it is high and on the reciprocal of its logarithm in the tail, where the
    price itself is hopelessly curved: 3 evaluations on average where Newton takes 5. NaN if there is no solution
    in [low, high].
    """
    up, down = math.exp(0.5 * x), math.exp(-0.5 * x)
    in_tail = target < 0.25 * x
    log_target = math.log(target)
    first, last = low, high
    s = min(max(_first_guess(x, target), low), high)
    error = np.inf
    for _ in range(_MOST_STEPS):
        h = x / s
        value = down * _cdf(0.5 * s - h) - up * _cdf(-0.5 * s - h)
        error = (value - target) * scale
        if abs(error) < _STOP_USD:
            return s
        if error > 0.0:
            last = s
        else:
            first = s
        slope = _INV_SQRT_2PI * math.exp(-0.5 * (h * h + 0.25 * s * s))
        bend = h * h / s - 0.25 * s
        newton = (target - value) / slope
        if in_tail and value > 0.0:
            log_value = math.log(value)
            newton = (log_target - log_value) * (log_value / log_target) * value / slope
            bend -= (slope / value) * (1.0 + 2.0 / log_value)
        curve = 1.0 + 0.5 * newton * bend
        step = newton / curve if curve > 0.25 else newton
        following = s + step
        if not first < following < last:
            following = 0.5 * (first + last)
        if following == s or following in (first, last):
            break
        s = following
    return s if abs(error) < _SOLVED_USD else np.nan


@inlined
def _solve(
    price: float,
    spot: float,
    strike: float,
    years: float,
    is_call: bool,
    rate: float,
    dividend_yield: float,
    low: float,
    high: float,
    least: float,
) -> tuple[float, int]:
    if not (_is_sound(price) and _is_sound(spot) and _is_sound(strike) and _is_sound(years)):
        return np.nan, _INVALID
    spot_now, strike_now = spot * math.exp(-dividend_yield * years), strike * math.exp(-rate * years)
    intrinsic = spot_now - strike_now if is_call else strike_now - spot_now
    time_value = price - intrinsic if intrinsic > 0.0 else price
    if time_value < least:
        return np.nan, _BELOW if time_value < 0.0 else _SMALL
    if time_value >= min(spot_now, strike_now):
        return np.nan, _ABOVE
    scale, root = math.sqrt(spot_now * strike_now), math.sqrt(years)
    x = abs(math.log(spot_now / strike_now))
    s = _total_volatility(x, time_value / scale, scale, low * root, high * root)
    return s / root, _SOLVED if s == s else _OUTSIDE  # noqa: PLR0124 - NaN


@inlined
def _delta_gamma(
    spot: float, strike: float, years: float, volatility: float, is_call: bool, rate: float, dividend_yield: float
) -> tuple[float, float]:
    s = volatility * math.sqrt(years)
    d1 = (math.log(spot / strike) + (rate - dividend_yield) * years) / s + 0.5 * s
    carry = math.exp(-dividend_yield * years)
    delta = carry * _cdf(d1) if is_call else -carry * _cdf(-d1)
    return delta, carry * _density(d1) / (spot * s)


# --- columns of options -----------------------------------------------------------------------


@kernel
def solve_all(
    price: NDArray[np.float64],
    spot: NDArray[np.float64],
    strike: NDArray[np.float64],
    years: NDArray[np.float64],
    is_call: NDArray[np.bool_],
    rate: float,
    dividend_yield: float,
    low: float,
    high: float,
    least: float,
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    volatility, status = np.empty(price.size), np.empty(price.size, np.int8)
    for k in range(price.size):
        volatility[k], status[k] = _solve(
            price[k], spot[k], strike[k], years[k], is_call[k], rate, dividend_yield, low, high, least
        )
    return volatility, status


@kernel
def solve_prints(
    price: NDArray[np.float64],
    spot: NDArray[np.float64],
    strike_e3: NDArray[np.int32],
    left_ns: NDArray[np.int64],
    is_call: NDArray[np.bool_],
    fallback: float,
    rate: float,
    dividend_yield: float,
    low: float,
    high: float,
    least: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int8]]:
    volatility, status = np.full(price.size, np.nan), np.full(price.size, _INVALID, np.int8)
    delta, gamma = np.full(price.size, np.nan), np.full(price.size, np.nan)
    for k in range(price.size):
        if not _is_sound(spot[k]):
            continue
        years = max(left_ns[k], LEAST_NS) / YEAR_NS
        strike = strike_e3[k] / 1000.0
        volatility[k], status[k] = _solve(
            price[k], spot[k], strike, years, is_call[k], rate, dividend_yield, low, high, least
        )
        if status[k] != _SOLVED:
            volatility[k] = fallback
        delta[k], gamma[k] = _delta_gamma(spot[k], strike, years, volatility[k], is_call[k], rate, dividend_yield)
    return volatility, delta, gamma, status


@kernel
def all_greeks(
    spot: NDArray[np.float64],
    strike: NDArray[np.float64],
    years: NDArray[np.float64],
    volatility: NDArray[np.float64],
    is_call: NDArray[np.bool_],
    rate: float,
    dividend_yield: float,
) -> NDArray[np.float64]:
    values = np.full((6, spot.size), np.nan)
    for k in range(spot.size):
        if not (_is_sound(spot[k]) and _is_sound(strike[k]) and _is_sound(years[k]) and _is_sound(volatility[k])):
            continue
        sign, root = 1.0 if is_call[k] else -1.0, math.sqrt(years[k])
        s = volatility[k] * root
        d1 = (math.log(spot[k] / strike[k]) + (rate - dividend_yield) * years[k]) / s + 0.5 * s
        d2 = d1 - s
        spot_now = spot[k] * math.exp(-dividend_yield * years[k])
        strike_now = strike[k] * math.exp(-rate * years[k])
        of_spot, of_strike = spot_now * _cdf(sign * d1), strike_now * _cdf(sign * d2)
        decay = spot_now * _density(d1)
        values[0, k] = max(sign * (of_spot - of_strike), 0.0)
        values[1, k] = sign * of_spot / spot[k]
        values[2, k] = decay / (spot[k] * spot[k] * s)
        values[3, k] = decay * root
        earned = sign * (dividend_yield * of_spot - rate * of_strike)
        values[4, k] = earned - decay * volatility[k] / (2.0 * root)
        values[5, k] = sign * years[k] * of_strike
    return values
