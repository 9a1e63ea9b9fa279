"""Levels that move with trades and option prints: session extremes, the volume-weighted mean, walls, the gamma flip.

What a level is at a moment is made of records before it; kernels keep running sums, so a session costs one pass.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._jit import as_input, inlined, kernel

__all__ = ["Prints", "Running", "StrikeLevels", "StrikeRules", "running", "strike_levels"]

#: Relative difference below which two sums of gamma are a tie, whatever the order of their terms.
_TIE = 1e-12
#: Strikes with net gamma near the price that a flip needs.
_FLIP_STRIKES = 3


class Running(NamedTuple):
    """Extremes and sums of the first n trades at place n - 1; (trades,) each."""

    high: NDArray[np.int32]
    low: NDArray[np.int32]
    lots: NDArray[np.int64]
    worth: NDArray[np.int64]
    """Sum of ticks x size: exact, so the mean does not depend on how it was summed."""


class Prints(NamedTuple):
    """Option prints, ascending in time; (prints,) each."""

    ts_ns: NDArray[np.int64]
    strike: NDArray[np.int32]
    """Place of the strike in the ascending list of strikes."""
    call: NDArray[np.bool_]
    size: NDArray[np.uint32]
    gross_gamma: NDArray[np.float64]
    """0 where there is none."""
    dealer_gamma: NDArray[np.float64]
    """0 where there is none."""


class StrikeRules(NamedTuple):
    """Which strikes count; spans in ns, prices in usd."""

    open_ns: int
    latency_ns: int
    halflife_ns: float
    strike_min: int
    wall_min: int
    flip_range: float


class StrikeLevels(NamedTuple):
    """Levels made of option prints, in usd; NaN where there is none. float64 (moments,)."""

    call_wall: NDArray[np.float64]
    put_wall: NDArray[np.float64]
    call_wall_decayed: NDArray[np.float64]
    put_wall_decayed: NDArray[np.float64]
    gamma_flip: NDArray[np.float64]
    born: NDArray[np.int64]
    """Per strike the first moment at which it had enough contracts; the number of moments if never."""


def running(ticks: NDArray[np.int32], size: NDArray[np.uint32]) -> Running:
    """Extremes and sums over trades so far.

    Parameters
    ----------
    ticks, size
        Prices and contracts in order; (trades,).

    Examples
    --------
    >>> so_far = running(np.array([8, 6, 9], np.int32), np.array([1, 1, 2], np.uint32))
    >>> so_far.high.tolist(), so_far.low.tolist(), so_far.worth.tolist()
    ([8, 8, 9], [8, 6, 6], [8, 14, 32])
    """
    lots = size.astype(np.int64)
    return Running(np.maximum.accumulate(ticks), np.minimum.accumulate(ticks), np.cumsum(lots), np.cumsum(lots * ticks))


def strike_levels(
    prints: Prints,
    strikes: NDArray[np.float64],
    at_ns: NDArray[np.int64],
    spots: NDArray[np.float64],
    rules: StrikeRules,
) -> StrikeLevels:
    """Walls, flip and births of strikes at some moments, from the prints before each.

    Parameters
    ----------
    prints
        Option prints of the session.
    strikes
        Distinct strikes, ascending; float64 (strikes,), usd.
    at_ns
        The moments, ascending; int64 (moments,).
    spots
        Price at each, NaN if there is none: then ties go to the lower strike and there is no flip. float64 (moments,).
    rules
        Which strikes count.

    Examples
    --------
    >>> made = Prints([5, 6], [0, 1], [True, True], [100, 300], [2.0, 3.0], [0.0, 0.0])
    >>> rules = StrikeRules(0, 0, 1e9, 200, 100, 10.0)
    >>> found = strike_levels(made, [599.0, 600.0], [5, 6, 7], [599.5] * 3, rules)
    >>> found.call_wall.tolist(), found.born.tolist()
    ([nan, 599.0, 600.0], [3, 2])
    """
    moments = len(at_ns)
    walls, flip = np.full((4, moments), np.nan), np.full(moments, np.nan)
    born = np.full(len(strikes), moments, np.int64)
    columns = Prints(
        as_input(prints.ts_ns, np.int64),
        as_input(prints.strike, np.int32),
        as_input(prints.call, np.bool_),
        as_input(prints.size, np.uint32),
        as_input(prints.gross_gamma, np.float64),
        as_input(prints.dealer_gamma, np.float64),
    )
    facts = as_input(strikes, np.float64), as_input(at_ns, np.int64), as_input(spots, np.float64)
    limits = StrikeRules(
        int(rules.open_ns),
        int(rules.latency_ns),
        float(rules.halflife_ns),
        int(rules.strike_min),
        int(rules.wall_min),
        float(rules.flip_range),
    )
    _strike_levels(columns, *facts, limits, walls, flip, born)
    return StrikeLevels(walls[0], walls[1], walls[2], walls[3], flip, born)


@kernel
def _strike_levels(
    prints: Prints,
    strikes: NDArray[np.float64],
    at_ns: NDArray[np.int64],
    spots: NDArray[np.float64],
    rules: StrikeRules,
    walls: NDArray[np.float64],
    flip: NDArray[np.float64],
    born: NDArray[np.int64],
) -> None:
    count = len(strikes)
    every, net = np.zeros(count, np.int64), np.zeros(count)
    lots, gross, faded = np.zeros((2, count), np.int64), np.zeros((2, count)), np.zeros((2, count))
    i = 0
    for m in range(len(at_ns)):
        if m > 0:
            fade = 2.0 ** (-(at_ns[m] - at_ns[m - 1]) / rules.halflife_ns)
            for side in range(2):
                for k in range(count):
                    faded[side, k] *= fade
        while i < len(prints.ts_ns) and prints.ts_ns[i] < at_ns[m] - rules.latency_ns:
            k, size = prints.strike[i], np.int64(prints.size[i])
            every[k] += size
            if prints.ts_ns[i] >= rules.open_ns:
                side = 0 if prints.call[i] else 1
                lots[side, k] += size
                gross[side, k] += prints.gross_gamma[i]
                age = at_ns[m] - prints.ts_ns[i]
                faded[side, k] += prints.gross_gamma[i] * 2.0 ** (-age / rules.halflife_ns)
                net[k] += prints.dealer_gamma[i]
            i += 1
        for k in range(count):
            if born[k] > m and every[k] >= rules.strike_min:
                born[k] = m
        for side in range(2):
            walls[side, m] = _wall(gross, lots, side, strikes, spots[m], rules.wall_min)
            walls[2 + side, m] = _wall(faded, lots, side, strikes, spots[m], rules.wall_min)
        flip[m] = _flip(net, strikes, spots[m], rules.flip_range)


@inlined
def _wall(
    gamma: NDArray[np.float64],
    lots: NDArray[np.int64],
    side: int,
    strikes: NDArray[np.float64],
    spot: float,
    least: int,
) -> float:
    """The strike with most gamma; of equals the nearest to the price, then the lower."""
    best, most = np.nan, 0.0
    for k in range(len(strikes)):
        value = gamma[side, k]
        if lots[side, k] < least or not value > most * (1.0 - _TIE):
            continue
        larger = value > most * (1.0 + _TIE)
        if larger or abs(strikes[k] - spot) < abs(best - spot):
            best = strikes[k]
        most = max(most, value)
    return best


@inlined
def _flip(net: NDArray[np.float64], strikes: NDArray[np.float64], spot: float, reach: float) -> float:
    """The change of sign nearest to the price, then the lower, between neighbours that have any net gamma."""
    best, before, seen = np.nan, -1, 0
    for k in range(len(strikes)):
        # A comparison with NaN is false: no price, no strikes.
        if net[k] == 0.0 or not abs(strikes[k] - spot) <= reach:
            continue
        seen += 1
        if before >= 0 and (net[before] < 0.0) != (net[k] < 0.0):
            share = net[before] / (net[before] - net[k])
            at = strikes[before] + (strikes[k] - strikes[before]) * share
            if not abs(at - spot) >= abs(best - spot):
                best = at
        before = k
    return best if seen >= _FLIP_STRIKES else np.nan
