"""The fair price of ES through a session, second by second: quiet nights, planned extremes, planned breaks.

The night ends before the open and drives the pre-market to its extremes. The day is planned from the extremes that
trades really made: the price comes close to the high, waits below it and breaks through, then falls to the low, where
a wall of bids turns it around.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raypipe.sources.synthetic.draws import STEP_SD, Draws
from raypipe.sources.synthetic.es_days import SECOND_NS, EsDay

__all__ = ["SIXTEENTHS", "Leg", "day_legs", "fair_prices", "night_legs"]

#: Fair prices count sixteenths of a tick.
SIXTEENTHS = 16
_CALM, _NIGHT, _DAY = 0.02, 0.16, 0.55


@dataclass(frozen=True, slots=True)
class Leg:
    """A stretch of the path.

    Attributes
    ----------
    end
        Wall-clock time at which it ends.
    ticks
        Fair price then.
    low, high
        Bounds, from which the path is reflected; None has none.
    sigma
        Deviation in one second, ticks.
    """

    end: str
    ticks: int
    low: int | None = None
    high: int | None = None
    sigma: float = _DAY


def night_legs(day: EsDay) -> tuple[Leg, ...]:
    """From 18:00 to the open: the low at 06:30, the high at 09:05."""
    opened, high, low = day.open_ticks, day.pm_high_ticks, day.pm_low_ticks
    return (
        Leg("04:00:00", opened, low + 12, high - 16, _NIGHT),
        Leg("06:28:00", low + 10, low + 8, high - 16, _NIGHT),
        Leg("06:30:00", low, sigma=_CALM),
        Leg("06:33:00", low + 14, sigma=_CALM),
        Leg("09:03:00", high - 12, low + 12, high - 10, _NIGHT),
        Leg("09:05:00", high, sigma=_CALM),
        Leg("09:08:00", high - 16, sigma=_CALM),
        Leg("09:29:30", high - 32, high - 40, high - 12, _NIGHT),
        Leg("09:30:00", high - 32, sigma=_CALM),
    )


def day_legs(day: EsDay, high: int, low: int) -> tuple[Leg, ...]:
    """From the open to the halt.

    Parameters
    ----------
    day
        The session's plan.
    high, low
        Extremes of the pre-market's trades, ticks. The level is touched 0.10 dollars, 4 ticks, before it; it is armed
        11 ticks away.
    """
    hour = day.bounce_time
    fall, shut = ("10:50:00", "13:00:00") if hour == "12" else ("11:30:00", "16:00:00")
    halt = "13:15:00" if hour == "12" else "17:00:00"
    close = min(max(day.close_ticks, low + 34), high + 126)
    before = f"{int(hour) - 1:02d}"
    return (
        Leg("09:45:00", high - 36, high - 52, high - 22),
        Leg("10:26:30", high - 18, high - 56, high - 16),
        Leg("10:28:00", high - 13, sigma=_CALM),
        Leg("10:30:00", high - 13, high - 14, high - 12, _CALM),
        Leg("10:33:00", high + 96, sigma=_CALM),
        Leg(fall, high + 80, high + 60, high + 130),
        Leg(f"{before}:56:30", low + 24, low + 20, high + 130),
        Leg(f"{before}:58:00", low + 12, sigma=_CALM),
        Leg(f"{hour}:00:00", low + 12, low + 11, low + 13, _CALM),
        Leg(f"{hour}:00:06", low + 2, sigma=_CALM),
        Leg(f"{hour}:00:12", low + 4, sigma=_CALM),
        Leg(f"{hour}:03:30", low + 100, sigma=_CALM),
        Leg(shut, close, low + 30, high + 130),
        Leg(halt, close, close - 24, close + 24, _NIGHT),
    )


def fair_prices(day: EsDay, draws: Draws, start_ns: int, ticks: int, legs: Sequence[Leg]) -> NDArray[np.int64]:
    """The path over some legs, one value for each second from ``start_ns`` on, sixteenths of a tick.

    Parameters
    ----------
    day
        The session's plan.
    draws
        Of the noise.
    start_ns, ticks
        Where the first leg begins.
    legs
        One after another.
    """
    return np.concatenate(list(_legs(day, draws, start_ns, ticks, legs)))


def _legs(day: EsDay, draws: Draws, start_ns: int, ticks: int, legs: Sequence[Leg]) -> Iterator[NDArray[np.int64]]:
    for leg in legs:
        end_ns = day.at(leg.end)
        seconds = (end_ns - start_ns) // SECOND_NS
        yield _leg(draws, seconds, ticks, leg)
        start_ns, ticks = end_ns, leg.ticks


def _leg(draws: Draws, seconds: int, ticks: int, leg: Leg) -> NDArray[np.int64]:
    """A bridge between the ends; whole numbers, so that it is the same on every machine."""
    share = np.arange(seconds) / seconds
    walk = np.cumsum(draws.steps(seconds)) * (leg.sigma / STEP_SD)
    path = ticks + (leg.ticks - ticks) * share + (walk - walk[-1] * share)
    if leg.low is not None and leg.high is not None:
        path = _reflected(path, leg.low, leg.high)
    return np.asarray(np.rint(path * SIXTEENTHS), dtype=np.int64)


def _reflected(path: NDArray[np.float64], low: int, high: int) -> NDArray[np.float64]:
    width = high - low
    return np.asarray(low + width - np.abs(width - np.mod(path - low, 2 * width)))
