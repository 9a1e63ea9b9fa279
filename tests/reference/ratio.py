"""The ratio of ES to SPY by its definition: for each minute a look at those before it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

MINUTE = 60 * 10**9


@dataclass(frozen=True)
class Quote:
    """A print of an option: time, strike, right and price."""

    ts_ns: int
    strike: float
    right: str
    price: float


def parity(quotes: Sequence[Quote], start_ns: int, expiry_ns: int, rate: float = 0.045) -> float | None:
    """What the calls and puts of the minute that starts at ``start_ns`` say SPY costs."""
    last: dict[tuple[float, str], Quote] = {}
    for quote in quotes:
        if start_ns <= quote.ts_ns < start_ns + MINUTE:
            last[quote.strike, quote.right] = quote
    years = max(expiry_ns - start_ns - MINUTE, MINUTE) / 1e9 / (252 * 6.5 * 3600)
    found = []
    for strike in {strike for strike, _ in last}:
        call, put = last.get((strike, "C")), last.get((strike, "P"))
        if call is None or put is None or abs(call.ts_ns - put.ts_ns) > 5 * 10**9:
            continue
        implied = strike * math.exp(-rate * years) + call.price - put.price
        if abs(implied - strike) <= 5.0:
            found.append(implied)
    return median(found) if len(found) >= 3 else None


def in_force(
    t: int, es: Mapping[int, float], spy: Mapping[int, float], implied: Mapping[int, float], first_ns: int
) -> tuple[float, str, int]:
    """Ratio, source and number of minutes at a minute border ``t``; prices by start of the minute."""
    starts = [s for s in range(max(first_ns, t - 30 * MINUTE), t, MINUTE) if s in es]
    for source, prices, least in (("spy", spy, 5), ("parity", implied, 1)):
        ratios = [es[s] / prices[s] for s in starts if s in prices]
        if len(ratios) >= least and 9.5 <= median(ratios) <= 10.6:
            return median(ratios), source, len(ratios)
    return 10.0, "fixed", 0
