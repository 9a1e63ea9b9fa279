"""Black-Scholes by scipy's normal distribution, and implied volatility by scipy's root finder; one option at a time."""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.stats import norm


def price(spot: float, strike: float, years: float, vol: float, call: bool, rate: float = 0.0, q: float = 0.0) -> float:
    d1 = (math.log(spot / strike) + (rate - q + vol * vol / 2) * years) / (vol * math.sqrt(years))
    d2 = d1 - vol * math.sqrt(years)
    sign = 1 if call else -1
    forward, discounted = spot * math.exp(-q * years), strike * math.exp(-rate * years)
    return sign * (forward * norm.cdf(sign * d1) - discounted * norm.cdf(sign * d2))


def delta_gamma(
    spot: float, strike: float, years: float, vol: float, call: bool, rate: float = 0.0, q: float = 0.0
) -> tuple[float, float]:
    d1 = (math.log(spot / strike) + (rate - q + vol * vol / 2) * years) / (vol * math.sqrt(years))
    carry = math.exp(-q * years)
    delta = carry * (norm.cdf(d1) if call else norm.cdf(d1) - 1)
    return delta, carry * norm.pdf(d1) / (spot * vol * math.sqrt(years))


def implied_vol(
    value: float, spot: float, strike: float, years: float, call: bool, rate: float = 0.0, least: float = 0.01
) -> float | None:
    """By bisection-like search on the side that is out of the money; None where there is none in [0.01, 5]."""
    parity = spot - strike * math.exp(-rate * years)
    out = value if (parity > 0) != call else value - abs(parity)
    side = call if (parity > 0) != call else not call
    if out < least:
        return None

    def gap(vol: float) -> float:
        return price(spot, strike, years, vol, side, rate) - out

    if gap(0.01) > 0 or gap(5.0) < 0:
        return None
    return float(brentq(gap, 0.01, 5.0, xtol=1e-14, rtol=1e-14))


def years_left(ts_ns: int, expiry_ns: int) -> float:
    return max(expiry_ns - ts_ns, 60 * 10**9) / 1e9 / (252 * 6.5 * 3600)
