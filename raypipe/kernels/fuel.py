"""Dealers' gamma near a level, at any moment: sums over the option prints of the strikes around it.

Prints are kept strike by strike with running sums (:func:`fuel_book`), so that a query costs a binary search in each
of the few strikes near its level, however long the session is, and sees nothing that was printed later. Queries are
flat arrays: those of the touches, of windows before them, or of a fine grid of moments with the level held fixed
(:func:`fuel_effect_at`, which walks on from one moment to the next).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._jit import as_input, inlined, kernel

__all__ = ["AMPLIFY", "DAMPEN", "NEUTRAL", "Fuel", "FuelBook", "effect_of", "fuel_at", "fuel_book", "fuel_effect_at"]

#: Codes of effects: dealers short of gamma trade with the move, dealers long of it against the move.
AMPLIFY, NEUTRAL, DAMPEN = -1, 0, 1
_CALL, _PUT, _GROSS = 0, 1, 2
_VOLUME, _SIGNED = 0, 1
#: Span of strikes x 1000 that a table may have.
_MOST_SPAN = 1 << 22


class FuelBook(NamedTuple):
    """Option prints by strike and time, with sums over all earlier prints of the strike and itself."""

    strikes_usd: NDArray[np.float64]
    """Ascending; float64 (strikes,)."""
    begin: NDArray[np.int64]
    """First row of each strike, and the number of rows at the end; int64 (strikes + 1,)."""
    ts_ns: NDArray[np.int64]
    """Ascending within a strike; int64 (prints,)."""
    gamma: NDArray[np.float64]
    """Dealer gamma of calls, of puts, gross gamma of both, shares per usd; float64 (prints, 3)."""
    counts: NDArray[np.int64]
    """Contracts, and prints with a side and a gamma; int64 (prints, 2)."""


class Fuel(NamedTuple):
    """Sums over the prints near a level before a moment, one element per query."""

    call_gamma: NDArray[np.float64]
    """Dealer gamma of calls, shares per usd; float64 (queries,)."""
    put_gamma: NDArray[np.float64]
    """Dealer gamma of puts."""
    gross_gamma: NDArray[np.float64]
    """Gross gamma of both."""
    volume: NDArray[np.int64]
    """Contracts; int64 (queries,)."""
    signed: NDArray[np.int64]
    """Prints with a side and a gamma; int64 (queries,)."""
    call_wall: NDArray[np.float64]
    """Strike at or above the level with the largest dealer gamma of calls, if that is large enough, usd; else NaN."""
    put_wall: NDArray[np.float64]
    """Strike at or below the level with the largest dealer gamma of puts, likewise."""

    @property
    def net_gamma(self) -> NDArray[np.float64]:
        """Dealer gamma of both."""
        return self.call_gamma + self.put_gamma


def fuel_book(
    ts_ns: NDArray[np.int64],
    strike_e3: NDArray[np.int32],
    is_put: NDArray[np.bool_],
    size: NDArray[np.int64],
    aggressor: NDArray[np.int8],
    dealer_gamma: NDArray[np.float64],
    gross_gamma: NDArray[np.float64],
    open_ns: int,
) -> FuelBook:
    """Put the prints of a session in order of strike and time, with running sums.

    Parameters
    ----------
    ts_ns
        Ascending, int64 (prints,).
    strike_e3
        Strike x 1000, int32 (prints,).
    is_put, size, aggressor
        bool, int64 (contracts) and int8 (prints,).
    dealer_gamma, gross_gamma
        Shares per usd, float64 (prints,). NaN handling: a print without gamma adds its contracts alone.
    open_ns
        Prints before this moment do not count.

    Returns
    -------
    FuelBook
    """
    first = int(np.searchsorted(ts_ns, open_ns))
    distinct, codes = _coded(strike_e3[first:])
    made = _fuel_book(
        as_input(ts_ns[first:], np.int64),
        as_input(codes, np.int64),
        distinct.size,
        as_input(is_put[first:], np.bool_),
        as_input(size[first:], np.int64),
        as_input(aggressor[first:], np.int8),
        as_input(dealer_gamma[first:], np.float64),
        as_input(gross_gamma[first:], np.float64),
    )
    return FuelBook(distinct / 1000.0, *made)


def _coded(strike_e3: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Distinct strikes, ascending, and the code of each print's."""
    if not strike_e3.size:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    offset = strike_e3 - strike_e3.min()
    if offset.max() > _MOST_SPAN:
        distinct, codes = np.unique(strike_e3, return_inverse=True)
        return distinct.astype(np.int64), codes
    # Strikes lie close together, and a table of them is five times as fast as sorting.
    there = np.zeros(int(offset.max()) + 1, np.bool_)
    there[offset] = True
    return np.flatnonzero(there) + int(strike_e3.min()), (np.cumsum(there) - 1)[offset]


def fuel_at(
    book: FuelBook, moments: NDArray[np.int64], level_usd: NDArray[np.float64], range_usd: float, wall_gamma: float
) -> Fuel:
    """Sum up the prints with strikes within ``range_usd`` of a level, inclusive, strictly before a moment.

    Parameters
    ----------
    book
        The session's prints.
    moments
        Of each query, int64 (queries,), in any order; take the latency of the feed off before.
    level_usd
        Level of each query, float64 (queries,).
    range_usd
        How far strikes may lie from the level.
    wall_gamma
        Least dealer gamma of a wall.

    Returns
    -------
    Fuel
        NaN handling: a NaN level has no strike near it, so sums of zero.

    Examples
    --------
    >>> one, strikes = np.ones(3), np.array([600_000, 601_000, 650_000], np.int32)
    >>> sides = np.zeros(3, bool), np.ones(3, np.int64), -np.ones(3, np.int8)
    >>> book = fuel_book(np.array([10, 20, 30]), strikes, *sides, one, one, 0)
    >>> fuel_at(book, np.array([20, 21]), np.array([600.0, 600.0]), 2.0, 1e9).net_gamma.tolist()
    [1.0, 2.0]
    """
    moments, level_usd = as_input(moments, np.int64), as_input(level_usd, np.float64)
    gamma, counts, walls = _fuel_at(book, moments, level_usd, range_usd, wall_gamma)
    return Fuel(*gamma, *counts, *walls)


def fuel_effect_at(
    book: FuelBook, moments: NDArray[np.int64], level_usd: NDArray[np.float64], range_usd: float, effect_gamma: float
) -> NDArray[np.int8]:
    """What dealers' gamma near a level does to a move, at many moments per level.

    Parameters
    ----------
    book
        The session's prints.
    moments
        Of each query, int64 (queries,); strictly earlier prints count, so take the latency of the feed off before.
        Fast where neighbouring queries share their level and go on in time, as on a grid: flatten it row by row.
    level_usd
        Level of each query, float64 (queries,).
    range_usd
        How far strikes may lie from the level.
    effect_gamma
        Net dealer gamma beyond which there is an effect, shares per usd.

    Returns
    -------
    NDArray
        int8 (queries,): `AMPLIFY`, `NEUTRAL` or `DAMPEN`.
    """
    moments, level_usd = as_input(moments, np.int64), as_input(level_usd, np.float64)
    return effect_of(_net_gamma_at(book, moments, level_usd, range_usd), effect_gamma)


def effect_of(net_gamma: NDArray[np.float64], effect_gamma: float) -> NDArray[np.int8]:
    """`AMPLIFY` below ``-effect_gamma``, `DAMPEN` above ``effect_gamma``, else `NEUTRAL`; int8 (queries,)."""
    effect: NDArray[np.int8] = (net_gamma > effect_gamma).astype(np.int8) - (net_gamma < -effect_gamma).astype(np.int8)
    return effect


# --- loops ------------------------------------------------------------------------------------


@kernel
def _fuel_book(
    ts_ns: NDArray[np.int64],
    code: NDArray[np.int64],
    strikes: int,
    is_put: NDArray[np.bool_],
    size: NDArray[np.int64],
    aggressor: NDArray[np.int8],
    dealer_gamma: NDArray[np.float64],
    gross_gamma: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    begin = np.zeros(strikes + 1, np.int64)
    for k in range(code.size):
        begin[code[k] + 1] += 1
    begin[:] = np.cumsum(begin)
    filled = begin[:strikes].copy()
    times = np.empty(code.size, np.int64)
    gamma, counts = np.empty((code.size, 3)), np.empty((code.size, 2), np.int64)
    for k in range(code.size):
        strike = code[k]
        row = filled[strike]
        filled[strike] = row + 1
        times[row] = ts_ns[k]
        if row == begin[strike]:
            gamma[row] = 0.0
            counts[row] = 0
        else:
            gamma[row] = gamma[row - 1]
            counts[row] = counts[row - 1]
        counts[row, _VOLUME] += size[k]
        if not np.isnan(gross_gamma[k]):
            gamma[row, _PUT if is_put[k] else _CALL] += dealer_gamma[k]
            gamma[row, _GROSS] += gross_gamma[k]
            counts[row, _SIGNED] += aggressor[k] != 0
    return begin, times, gamma, counts


@inlined
def _rows_before(ts_ns: NDArray[np.int64], begin: int, end: int, moment: int) -> int:
    """Row behind the last one in [begin, end) before a moment."""
    low, high = begin, end
    while low < high:
        middle = (low + high) >> 1
        if ts_ns[middle] < moment:
            low = middle + 1
        else:
            high = middle
    return low


@inlined
def _first_near(strikes_usd: NDArray[np.float64], level: float, range_usd: float) -> int:
    """The lowest strike that is near a level: the same comparison as below, which rounds the same way."""
    low, high = 0, strikes_usd.size
    while low < high:
        middle = (low + high) >> 1
        if level - strikes_usd[middle] > range_usd:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def _fuel_at(
    book: FuelBook, moments: NDArray[np.int64], level_usd: NDArray[np.float64], range_usd: float, wall_gamma: float
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    n = moments.size
    gamma, counts, walls = np.zeros((3, n)), np.zeros((2, n), np.int64), np.full((2, n), np.nan)
    for k in range(n):
        level = level_usd[k]
        best_call, best_put = -np.inf, -np.inf
        strike = _first_near(book.strikes_usd, level, range_usd)
        while strike < book.strikes_usd.size and book.strikes_usd[strike] - level <= range_usd:
            begin = book.begin[strike]
            row = _rows_before(book.ts_ns, begin, book.begin[strike + 1], moments[k]) - 1
            if row >= begin:
                call, put = book.gamma[row, _CALL], book.gamma[row, _PUT]
                gamma[_CALL, k] += call
                gamma[_PUT, k] += put
                gamma[_GROSS, k] += book.gamma[row, _GROSS]
                counts[_VOLUME, k] += book.counts[row, _VOLUME]
                counts[_SIGNED, k] += book.counts[row, _SIGNED]
                # Of equals the nearest to the level: the first call strike from below, the last put strike.
                price = book.strikes_usd[strike]
                if price >= level and call >= wall_gamma and call > best_call:
                    best_call, walls[_CALL, k] = call, price
                if price <= level and put >= wall_gamma and put >= best_put:
                    best_put, walls[_PUT, k] = put, price
            strike += 1
    return gamma, counts, walls


@kernel
def _net_gamma_at(
    book: FuelBook, moments: NDArray[np.int64], level_usd: NDArray[np.float64], range_usd: float
) -> NDArray[np.float64]:
    net = np.zeros(moments.size)
    behind = np.zeros(book.strikes_usd.size, np.int64)
    first, last = 0, 0
    for k in range(moments.size):
        level, moment = level_usd[k], moments[k]
        if k == 0 or level != level_usd[k - 1] or moment < moments[k - 1]:
            first = _first_near(book.strikes_usd, level, range_usd)
            last = first
            while last < book.strikes_usd.size and book.strikes_usd[last] - level <= range_usd:
                behind[last] = _rows_before(book.ts_ns, book.begin[last], book.begin[last + 1], moment)
                last += 1
        call, put = 0.0, 0.0
        for strike in range(first, last):
            row, end = behind[strike], book.begin[strike + 1]
            while row < end and book.ts_ns[row] < moment:
                row += 1
            behind[strike] = row
            if row > book.begin[strike]:
                call += book.gamma[row - 1, _CALL]
                put += book.gamma[row - 1, _PUT]
        net[k] = call + put
    return net
