"""Black-Scholes prices, implied volatilities and greeks of European options, one element per option.

An implied volatility is solved on the out-of-the-money side, where the whole price is time value: put-call parity gives
that price for an option in the money. The solver works on the normalised price: forward and strike enter only through
``-abs(ln(F / K))``, so calls and puts of one strike have the same volatility and gamma to the last bit.

Normal probabilities come from ``erfc``, which is exact to the last bits in both tails.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raypipe.kernels._jit import as_input, inlined, kernel

__all__ = ["Greeks", "IvRules", "IvStatus", "Market", "black_scholes", "implied_vols", "print_greeks", "years_left"]

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
_YEAR_NS = 252 * 6.5 * 3600 * 1e9
_LEAST_NS = 60_000_000_000

_SOLVED, _BELOW, _SMALL, _ABOVE, _OUTSIDE, _INVALID = range(6)


class IvStatus(IntEnum):
    """Why a price has no implied volatility."""

    SOLVED = _SOLVED
    BELOW_INTRINSIC = _BELOW  # less than discounted intrinsic value
    SMALL_TIME_VALUE = _SMALL  # less time value than the price's own rounding would leave
    ABOVE_BOUND = _ABOVE  # a call above the discounted spot, a put above the discounted strike
    OUT_OF_RANGE = _OUTSIDE  # solvable only outside the bracket
    INVALID = _INVALID  # a price, spot, strike or time that is NaN, infinite, zero or negative


class Market(NamedTuple):
    """What is the same for all options."""

    rate: float = 0.0
    """Continuously compounded interest per year."""
    dividend_yield: float = 0.0
    """Continuously compounded yield of the underlying per year."""


class IvRules(NamedTuple):
    """Where the solver looks, and which prices it leaves alone."""

    low: float = 0.01
    """Lowest volatility, per square root of a year."""
    high: float = 5.0
    """Highest volatility."""
    min_time_value_usd: float = 0.01
    """Prices with less time value are not solved."""


class Greeks(NamedTuple):
    """Value and sensitivities, float64 (options,) each; NaN where an input is NaN or not positive."""

    price: NDArray[np.float64]
    """Value, usd."""
    delta: NDArray[np.float64]
    """Change of the price per usd of spot."""
    gamma: NDArray[np.float64]
    """Change of delta per usd of spot."""
    vega: NDArray[np.float64]
    """Change of the price per 1.0 of volatility, usd."""
    theta: NDArray[np.float64]
    """Change of the price per year that passes, usd."""
    rho: NDArray[np.float64]
    """Change of the price per 1.0 of the rate, usd."""


# --- the way in -------------------------------------------------------------------------------


def years_left(left_ns: ArrayLike) -> NDArray[np.float64]:
    """Trading years of some nanoseconds to expiry, never less than one minute.

    Parameters
    ----------
    left_ns
        Expiry less the moment, int64 (options,).

    Returns
    -------
    NDArray
        float64 (options,); one year is 252 sessions of 6.5 hours.

    Examples
    --------
    >>> (years_left([23_400_000_000_000, 5, -5]) * 252 * 390).round(6).tolist()
    [390.0, 1.0, 1.0]
    """
    years: NDArray[np.float64] = np.maximum(np.asarray(left_ns, dtype=np.int64), _LEAST_NS) / _YEAR_NS
    return years


def black_scholes(
    spot: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    volatility: ArrayLike,
    is_call: ArrayLike,
    market: Market = Market(),  # noqa: B008 - immutable
) -> Greeks:
    """Value European options.

    Parameters
    ----------
    spot, strike
        usd, broadcast to (options,).
    years
        Time to expiry.
    volatility
        Per square root of a year; 0.2 is 20 %.
    is_call
        Whether each is a call.
    market
        Rate and yield.

    Returns
    -------
    Greeks
        NaN handling: an option with an input that is NaN, zero or negative has NaN in every value.

    Examples
    --------
    Haug, The Complete Guide to Option Pricing Formulas: a call that is worth 2.1334.

    >>> black_scholes(60.0, 65.0, 0.25, 0.30, True, Market(0.08)).price.round(4).tolist()
    [2.1334]
    """
    s, k, t, v, calls = np.broadcast_arrays(*np.atleast_1d(spot, strike, years, volatility, is_call))
    return Greeks(*_black_scholes(_reals(s), _reals(k), _reals(t), _reals(v), as_input(calls, np.bool_), *market))


def implied_vols(
    price: ArrayLike,
    spot: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    is_call: ArrayLike,
    market: Market = Market(),  # noqa: B008 - immutable
    rules: IvRules = IvRules(),  # noqa: B008 - immutable
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Find the volatility at which each option is worth its price, to 1e-10 usd.

    Parameters
    ----------
    price, spot, strike
        usd, broadcast to (options,).
    years
        Time to expiry.
    is_call
        Whether each is a call.
    market, rules
        Rate and yield; bracket and least time value.

    Returns
    -------
    volatility
        float64 (options,); NaN where it is not solved.
    status
        int8 (options,): an :class:`IvStatus`. NaN handling: a NaN input is INVALID.

    Examples
    --------
    >>> volatility, status = implied_vols([0.37, 4.99], 690.0, [693.0, 685.0], [2e-4, 2e-4], True)
    >>> volatility.round(4).tolist(), [IvStatus(code).name for code in status]
    ([0.3542, nan], ['SOLVED', 'BELOW_INTRINSIC'])
    """
    p, s, k, t, calls = np.broadcast_arrays(*np.atleast_1d(price, spot, strike, years, is_call))
    return _implied_vols(_reals(p), _reals(s), _reals(k), _reals(t), as_input(calls, np.bool_), *market, *rules)


def _reals(values: ArrayLike) -> NDArray[np.float64]:
    return as_input(values, np.float64)


def print_greeks(
    price: ArrayLike,
    spot: ArrayLike,
    strike_e3: ArrayLike,
    left_ns: ArrayLike,
    is_call: ArrayLike,
    fallback: float,
    market: Market = Market(),  # noqa: B008 - immutable
    rules: IvRules = IvRules(),  # noqa: B008 - immutable
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int8]]:
    """Implied volatility, delta and gamma of prints, in one pass.

    Parameters
    ----------
    price, spot
        usd, float64 (prints,); a NaN spot stands for an unknown one.
    strike_e3
        Strike x 1000, int32 (prints,).
    left_ns
        Nanoseconds to expiry, int64 (prints,); less than a minute counts as one.
    is_call
        bool (prints,).
    fallback
        Volatility of prints without a solution.
    market, rules
        As of :func:`implied_vols`.

    Returns
    -------
    volatility, delta, gamma
        float64 (prints,); NaN where the spot is.
    status
        int8 (prints,): an :class:`IvStatus`; where it is not SOLVED the volatility is ``fallback``.
    """
    return _print_greeks(
        as_input(price, np.float64),
        as_input(spot, np.float64),
        as_input(strike_e3, np.int32),
        as_input(left_ns, np.int64),
        as_input(is_call, np.bool_),
        fallback,
        *market,
        *rules,
    )


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
def _implied_vols(
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
def _print_greeks(
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
        years = max(left_ns[k], _LEAST_NS) / _YEAR_NS
        strike = strike_e3[k] / 1000.0
        volatility[k], status[k] = _solve(
            price[k], spot[k], strike, years, is_call[k], rate, dividend_yield, low, high, least
        )
        if status[k] != _SOLVED:
            volatility[k] = fallback
        delta[k], gamma[k] = _delta_gamma(spot[k], strike, years, volatility[k], is_call[k], rate, dividend_yield)
    return volatility, delta, gamma, status


@kernel
def _black_scholes(
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
