"""Black-Scholes prices, implied volatilities and greeks of European options, one element per option.

An implied volatility is solved on the out-of-the-money side, where the whole price is time value: put-call parity gives
that price for an option in the money. The solver works on the normalised price: forward and strike enter only through
``-abs(ln(F / K))``, so calls and puts of one strike have the same volatility and gamma to the last bit.

Normal probabilities come from ``erfc``, which is exact to the last bits in both tails.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raypipe.kernels._greeks import LEAST_NS, YEAR_NS, all_greeks, solve_all, solve_prints
from raypipe.kernels._jit import as_input

__all__ = ["Greeks", "IvRules", "IvStatus", "Market", "black_scholes", "implied_vols", "print_greeks", "years_left"]


class IvStatus(IntEnum):
    """Why a price has no implied volatility."""

    SOLVED = 0
    BELOW_INTRINSIC = 1  # less than discounted intrinsic value
    SMALL_TIME_VALUE = 2  # less time value than the price's own rounding would leave
    ABOVE_BOUND = 3  # a call above the discounted spot, a put above the discounted strike
    OUT_OF_RANGE = 4  # solvable only outside the bracket
    INVALID = 5  # a price, spot, strike or time that is NaN, infinite, zero or negative


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
    years: NDArray[np.float64] = np.maximum(np.asarray(left_ns, dtype=np.int64), LEAST_NS) / YEAR_NS
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
    return Greeks(*all_greeks(_reals(s), _reals(k), _reals(t), _reals(v), as_input(calls, np.bool_), *market))


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
    return solve_all(_reals(p), _reals(s), _reals(k), _reals(t), as_input(calls, np.bool_), *market, *rules)


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
    return solve_prints(
        as_input(price, np.float64),
        as_input(spot, np.float64),
        as_input(strike_e3, np.int32),
        as_input(left_ns, np.int64),
        as_input(is_call, np.bool_),
        fallback,
        *market,
        *rules,
    )
