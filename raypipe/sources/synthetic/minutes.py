"""The minute bars of one session: when each symbol trades, and its path between the day's anchors.

Every symbol has a dense random walk over the session's minutes, tied to the previous close, the open and
the close of the day; bars read it where trades happen. The walk is summed in integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from raypipe.calendar import Session
from raypipe.sources.synthetic.bars import CLOSE, HIGH, LOW, MINUTE_NS, OPEN, Bars, to_e4
from raypipe.sources.synthetic.draws import STEP_SD, Draws
from raypipe.sources.synthetic.universe import Universe

__all__ = ["MINUTES", "Day", "Layout", "MinuteMaker", "expected_volume", "growth", "layout"]

#: Minutes of the extended session, 04:00 to 20:00.
MINUTES = 960
# Symbols per block: the dense arrays of a block stay in the cache.
_BLOCK = 256
# Integer steps are sqrt(variance) times this.
_SCALE = 1 << 20
_UNIT = 1.0 / (_SCALE * STEP_SD)
# Activity relative to a mean minute of regular hours, and variance relative to the regular hours' sum.
_CROSS_WEIGHT = 6.0
_VARIANCE_BEFORE, _VARIANCE_AFTER = 0.05, 0.03
_LATE_MINUTES = 240
# A bar's extremes reach beyond its open and close by about this much of a minute's deviation.
_REACH = 0.5


@dataclass(frozen=True, slots=True)
class Day:
    """A session's prices on the level of the day, for n symbols.

    Attributes
    ----------
    session
        The session.
    previous_usd
        Close before, float64 (n,) US dollars, not rounded.
    night, hours
        Relative moves from that close to the open, and from the open to the close, float64 (n,).
    own, common
        Deviations of the symbol's own and of the market's part during regular hours, float64 (n,).
    high
        Volatility state, bool (n,).
    busy
        Factor on volume, float64 (n,).
    """

    session: Session
    previous_usd: NDArray[np.float64]
    night: NDArray[np.float64]
    hours: NDArray[np.float64]
    own: NDArray[np.float64]
    common: NDArray[np.float64]
    high: NDArray[np.bool_]
    busy: NDArray[np.float64]

    def after(self, previous_usd: NDArray[np.float64]) -> Day:
        """The same day after another close."""
        return replace(self, previous_usd=previous_usd)

    @property
    def close_usd(self) -> NDArray[np.float64]:
        """Close, not rounded."""
        return self.previous_usd * growth(self.night + self.hours)


@dataclass(frozen=True, slots=True)
class Layout:
    """What a session's minutes look like; edges are the 961 borders of minutes.

    Attributes
    ----------
    open, close
        Minute of the open and of the close after 04:00.
    weight
        Activity per minute, float64 (960,); 0 where the exchange is shut.
    segment
        0 before, 1 during, 2 after regular hours, per edge, int64 (961,).
    share
        Variance elapsed in the edge's segment, 0 to 1, float64 (961,).
    step
        Integer deviation of each minute's step, int64 (960,).
    """

    open: int
    close: int
    weight: NDArray[np.float64]
    segment: NDArray[np.int64]
    share: NDArray[np.float64]
    step: NDArray[np.int64]

    @property
    def nodes(self) -> tuple[int, int, int, int]:
        """Edges between which the walk is tied."""
        return 0, self.open, self.close, MINUTES

    @property
    def regular(self) -> slice:
        """Minutes that make the day bar's prices: regular hours and the closing cross."""
        return slice(self.open, self.close + 1)


def growth(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Price factor of a relative move; positive, and its reciprocal is about that of ``-x``."""
    return np.asarray(1.0 + x + 0.5 * x * x)


def layout(session: Session) -> Layout:
    """Activity and variance over the minutes of a session."""
    opened = (session.open_ns - session.ext_start_ns) // MINUTE_NS
    closed = (session.close_ns - session.ext_start_ns) // MINUTE_NS
    minute = np.arange(MINUTES)
    early, late = (minute + 1) / opened, np.clip(1.0 - (minute - closed) / _LATE_MINUTES, 0.0, None)
    smile = (2.0 * (minute - opened + 0.5) / (closed - opened) - 1.0) ** 2
    before, after = minute < opened, minute >= closed
    shut = minute >= closed + _LATE_MINUTES
    # Products, not powers: a library's pow may differ in the last bit.
    outside = np.where(before, 0.004 + 0.056 * (early * early) * (early * early), 0.004 + 0.05 * late * late * late)
    weight = np.where(shut, 0.0, np.where(before | after, outside, 0.6 + 1.2 * smile))
    weight[closed] = _CROSS_WEIGHT
    segment = np.where(before, 0, np.where(after, 2, 1))
    share, step = _variance(segment, np.where(segment == 1, 1.0 + 2.0 * smile, 1.0))
    return Layout(opened, closed, weight, np.append(segment, 2), share, step)


def _variance(
    segment: NDArray[np.int64], relative: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Elapsed share per edge and integer step per minute, from each minute's relative variance."""
    total = np.array([_VARIANCE_BEFORE, 1.0, _VARIANCE_AFTER])
    sums = np.array([relative[segment == part].sum() for part in range(3)])
    elapsed = np.concatenate([_elapsed(relative[segment == part]) for part in range(3)])
    step = np.rint(np.sqrt(relative / sums[segment] * total[segment]) * _SCALE).astype(np.int64)
    return np.append(elapsed, 1.0), step


def _elapsed(relative: NDArray[np.float64]) -> NDArray[np.float64]:
    done = np.cumsum(relative)
    return np.asarray((done - relative) / done[-1])


def bar_chances(rate: NDArray[np.float64], hours: Layout) -> NDArray[np.float64]:
    """Chance of a bar per symbol and minute, float64 (n, 960): trades arrive at random."""
    return np.asarray(1.0 - np.exp(-rate[:, None] * hours.weight))


class MinuteMaker:
    """Makes the minute bars of one session.

    Parameters
    ----------
    seed
        The market's seed.
    day, market
        One session and the simulated symbols, n of them.
    places
        Index of each symbol in the market's names, int64 (n,).
    """

    def __init__(self, seed: int, day: Day, market: Universe, places: NDArray[np.int64]) -> None:
        self._draws = Draws(seed, "equities", day.session.date.toordinal(), 1)
        self._day, self._market, self._places = day, market, places
        self._hours = layout(day.session)
        self._market_path = self._bridged(self._walks(1))[0]

    def blocks(self) -> Iterator[tuple[int, Bars]]:
        """Bars in blocks of symbols, sorted by symbol, then time, each with its last name's index. Read it once."""
        for begin in range(0, len(self._market), _BLOCK):
            block = slice(begin, begin + _BLOCK)
            traded = self._traded(block)
            yield int(self._places[block][-1]), self._bars(block, self._paths(block), traded)

    def _segments(self) -> Iterator[tuple[int, slice]]:
        """Number and edges of each segment; an edge between two belongs to the later one."""
        _, opened, closed, _ = self._hours.nodes
        yield from enumerate((slice(0, opened), slice(opened, closed), slice(closed, MINUTES + 1)))

    def _walks(self, n: int) -> NDArray[np.float64]:
        """Random walks of variance 1 over regular hours, at the edges of minutes, float64 (n, 961)."""
        steps = self._draws.steps(n * MINUTES).reshape(n, MINUTES)
        steps *= self._hours.step
        walk = np.zeros((n, MINUTES + 1), np.int64)
        np.cumsum(steps, axis=1, out=walk[:, 1:])
        return np.asarray(walk * _UNIT, dtype=np.float64)

    def _bridged(self, walk: NDArray[np.float64]) -> NDArray[np.float64]:
        """Tie walks to 0 at the nodes, in place."""
        nodes = [walk[:, node, None].copy() for node in self._hours.nodes]
        for part, inside in self._segments():
            walk[:, inside] -= nodes[part]
            walk[:, inside] -= (nodes[part + 1] - nodes[part]) * self._hours.share[inside]
        return walk

    def _paths(self, block: slice) -> NDArray[np.float64]:
        """Relative move since the previous close at each edge, float64 (n, 961)."""
        day = self._day
        night, hours = day.night[block, None], day.hours[block, None]
        path = self._bridged(self._walks(len(night)))
        path *= day.own[block, None]
        path += day.common[block, None] * self._market_path
        anchors = (np.zeros_like(night), night, night + hours, night + hours)
        for part, inside in self._segments():
            path[:, inside] += anchors[part]
            path[:, inside] += (anchors[part + 1] - anchors[part]) * self._hours.share[inside]
        return path

    def _traded(self, block: slice) -> NDArray[np.bool_]:
        """Which minutes have a bar, bool (n, 960): none for who would have no price in regular hours."""
        chances = bar_chances(self._market.rate[block], self._hours)
        limit = np.minimum(chances * 2.0**32, 2.0**32 - 1).astype(np.uint32)
        traded: NDArray[np.bool_] = np.empty(limit.shape, np.bool_)
        np.less(self._draws.halves(limit.size).reshape(limit.shape), limit, out=traded)
        traded &= traded[:, self._hours.regular].any(axis=1, keepdims=True)
        return traded

    def _bars(self, block: slice, path: NDArray[np.float64], traded: NDArray[np.bool_]) -> Bars:
        """Read the bars of one block off its paths."""
        row, minute = np.nonzero(traded)
        symbol = row + block.start
        moves = np.stack([path[row, minute], path[row, minute + 1]])
        jitter, above, below, size = self._draws.quarters(len(row))
        volume = self._volume(symbol, minute, size)
        return Bars(
            symbol=self._places[symbol],
            start_ns=self._day.session.ext_start_ns + minute * MINUTE_NS,
            prices_e4=to_e4(self._prices(symbol, minute, moves, np.stack([jitter - 0.5, above, below]))),
            volume=volume,
            transactions=1 + volume // self._market.lot[symbol],
        )

    def _prices(
        self, symbol: NDArray[np.int64], minute: NDArray[np.int64], moves: NDArray[np.float64], u: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Open, close, high, low in US dollars, (n, 4), from the path at both edges and three uniforms."""
        day, cross = self._day, minute == self._hours.close
        # The closing cross is one price: the close.
        noise = day.own[symbol] * np.where(cross, 0.0, (self._hours.step * (_REACH / _SCALE))[minute])
        previous = day.previous_usd[symbol]
        prices = np.empty((len(symbol), 4))
        opened = prices[:, OPEN] = previous * growth(moves[0] + noise * u[0])
        closed = prices[:, CLOSE] = np.where(cross, opened, previous * growth(moves[1]))
        prices[:, HIGH] = np.maximum(opened, closed) * (1.0 + noise * u[1])
        prices[:, LOW] = np.minimum(opened, closed) * (1.0 - noise * u[2])
        return prices

    def _volume(
        self, symbol: NDArray[np.int64], minute: NDArray[np.int64], u: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Shares per bar, int64 (n,): skewed, about the symbol's mean times the minute's weight."""
        mean = self._market.shares[symbol] * (_volume_weight(self._hours)[minute] * self._day.busy[symbol])
        return np.asarray(1 + (mean * (0.1 + 2.7 * u * u)).astype(np.int64))


def _volume_weight(hours: Layout) -> NDArray[np.float64]:
    return 0.15 + 0.85 * hours.weight


def expected_volume(market: Universe, hours: Layout) -> NDArray[np.float64]:
    """Expected shares per session of each symbol, float64 (n,), before the day's own factor."""
    weight = _volume_weight(hours)
    parts = [market.rate[i : i + _BLOCK] for i in range(0, len(market), _BLOCK)]
    # A sum, not a matrix product: BLAS libraries add in different orders.
    bars = np.concatenate([(bar_chances(rate, hours) * weight).sum(axis=1) for rate in parts])
    return np.asarray(bars * market.shares)
