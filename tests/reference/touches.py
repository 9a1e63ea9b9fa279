"""Levels and touches as the words say them: every value from the records before it, one after the other."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import NamedTuple

MINUTE = 60 * 10**9
KINDS = (
    *("PM_HIGH", "PM_LOW", "OR_HIGH", "OR_LOW", "SESSION_HIGH", "SESSION_LOW", "SMA_200", "VWAP"),
    *("ROUND", "STRIKE", "CALL_WALL", "PUT_WALL", "SMA_400", "GAMMA_FLIP"),
)
OF_SPY = {"ROUND", "STRIKE", "CALL_WALL", "PUT_WALL", "GAMMA_FLIP"}
#: Distances that differ by rounding only are equal.
NEAR = 1e-9


class Trade(NamedTuple):
    ts: int
    price: float
    size: int


class Print(NamedTuple):
    ts: int
    strike: float
    right: str
    size: int
    gross: float | None
    dealer: float | None


class Bar(NamedTuple):
    """One minute."""

    start: int
    high: float
    low: float
    close: float
    volume: int


@dataclass
class Day:
    """All that a session's levels are made of; times in ns, prices in ES points."""

    premarket: int
    open: int
    close: int
    trades: list[Trade]
    ratios: list[tuple[int, float]]
    prints: list[Print] = field(default_factory=list)
    warm: list[Bar] = field(default_factory=list)
    kinds: Sequence[int] = range(14)
    range_minutes: int = 15
    forming: bool = False
    vwap: str = "trade"
    spacing: float = 1.0
    rounds: tuple[float, float] = (550.0, 650.0)
    strike_min: int = 100
    wall_min: int = 100
    basis: str = "cumulative"
    halflife: float = 30.0
    flip_range: float = 10.0
    latency: int = 0
    warm_start: int = 30

    def ratio(self, t: int) -> float | None:
        return next((ratio for since, ratio in reversed(self.ratios) if since <= t), None)

    def regular(self, t: int) -> list[Trade]:
        return [trade for trade in self.trades if self.open <= trade.ts < min(t, self.close)]

    def spot(self, t: int) -> float | None:
        before, ratio = [trade for trade in self.trades if trade.ts < t], self.ratio(t)
        return before[-1].price / ratio if before and ratio else None

    def bars(self) -> list[Bar]:
        minutes = defaultdict(list)
        for trade in self.trades:
            minutes[trade.ts // MINUTE * MINUTE].append(trade)
        return [
            Bar(start, max(t.price for t in ts), min(t.price for t in ts), ts[-1].price, sum(t.size for t in ts))
            for start, ts in sorted(minutes.items())
        ]


def level(day: Day, kind: str, t: int, bars: Sequence[Bar]) -> float | None:
    """A kind's one level at a moment; ES points, or dollars for kinds of SPY."""
    if kind in ("PM_HIGH", "PM_LOW"):
        prices = [trade.price for trade in day.trades if day.premarket <= trade.ts < day.open]
        return _extreme(kind, prices) if t >= day.open else None
    if kind in ("OR_HIGH", "OR_LOW"):
        end = day.open + day.range_minutes * MINUTE
        if t < end and not day.forming:
            return None
        return _extreme(kind, [trade.price for trade in day.regular(t) if trade.ts < end])
    if kind in ("SESSION_HIGH", "SESSION_LOW"):
        return _extreme(kind, [trade.price for trade in day.regular(t)])
    if kind == "VWAP":
        return _vwap(day, t, bars)
    if kind in ("SMA_200", "SMA_400"):
        return _sma(day, int(kind[4:]), t, bars)
    return options(day, t - t % MINUTE).get(kind)


def _extreme(kind: str, prices: list[float]) -> float | None:
    if not prices:
        return None
    return max(prices) if kind.endswith("HIGH") else min(prices)


def _vwap(day: Day, t: int, bars: Sequence[Bar]) -> float | None:
    parts = [(trade.price, trade.size) for trade in day.regular(t)]
    if day.vwap != "trade":
        done = [bar for bar in bars if bar.start >= day.open and bar.start + MINUTE <= min(t, day.close)]
        typical = day.vwap == "typical"
        parts = [((b.high + b.low + b.close) / 3 if typical else b.close, b.volume) for b in done]
    lots = sum(size for _, size in parts)
    return sum(price * size for price, size in parts) / lots if lots else None


def _sma(day: Day, count: int, t: int, bars: Sequence[Bar]) -> float | None:
    pairs = {}
    for bar in [*day.warm, *bars]:
        pairs[bar.start // (2 * MINUTE)] = bar.close
    closes = [close for pair, close in pairs.items() if (pair + 1) * 2 * MINUTE <= t]
    return fmean(closes[-count:]) if len(closes) >= count else None


def options(day: Day, t: int) -> dict[str, float]:
    """Walls and flip at the start of a minute, dollars; by both bases."""
    known = [p for p in day.prints if day.open <= p.ts < t - day.latency]
    spot, found = day.spot(t), {}
    for kind, right in (("CALL_WALL", "C"), ("PUT_WALL", "P")):
        lots, gamma, faded = defaultdict(int), defaultdict(float), defaultdict(float)
        for p in known:
            if p.right == right:
                lots[p.strike] += p.size
                gamma[p.strike] += p.gross or 0.0
                faded[p.strike] += (p.gross or 0.0) * 0.5 ** ((t - p.ts) / (day.halflife * MINUTE))
        for name, sums in (("cumulative", gamma), ("decayed", faded)):
            enough = [strike for strike in lots if lots[strike] >= day.wall_min and sums[strike] > 0]
            if enough:
                most = max(sums[strike] for strike in enough)
                tied = [strike for strike in enough if math.isclose(sums[strike], most, rel_tol=1e-11)]
                wall = min(tied, key=lambda strike: (0.0 if spot is None else abs(strike - spot), strike))
                found[f"{kind}_{name}"] = wall
                if name == day.basis:
                    found[kind] = wall
    net = defaultdict(float)
    for p in known:
        net[p.strike] += p.dealer or 0.0
    flip = _flip(net, spot, day.flip_range)
    return found if flip is None else found | {"GAMMA_FLIP": flip}


def _flip(net: dict[float, float], spot: float | None, reach: float) -> float | None:
    if spot is None:
        return None
    near = [strike for strike in sorted(net) if net[strike] != 0 and abs(strike - spot) <= reach]
    if len(near) < 3:
        return None
    flips = []
    for a, b in itertools.pairwise(near):
        if net[a] * net[b] < 0:
            flips.append(a + (b - a) * abs(net[a]) / (abs(net[a]) + abs(net[b])))
    return min(flips, key=lambda at: (abs(at - spot), at), default=None)


def all_levels(day: Day, t: int, bars: Sequence[Bar]) -> dict[str, tuple[str, float]]:
    """Every enabled level at a moment: its kind and its value, by its id."""
    found = {}
    for kind in (KINDS[code] for code in day.kinds):
        if kind == "ROUND":
            for k in range(int(day.rounds[0] / day.spacing), int(day.rounds[1] / day.spacing)):
                found[f"ROUND_{k * day.spacing:g}"] = (kind, k * day.spacing)
        elif kind == "STRIKE":
            lots = defaultdict(int)
            for p in day.prints:
                if p.ts < t - t % MINUTE - day.latency:
                    lots[p.strike] += p.size
            for strike in lots:
                if lots[strike] >= day.strike_min:
                    found[f"STRIKE_{strike:g}"] = (kind, strike)
        else:
            value = level(day, kind, t, bars)
            if value is not None:
                found[kind] = (kind, value)
    return found


class Touch(NamedTuple):
    ts: int
    level_id: str
    direction: str
    price: float
    points: float


def by_events(day: Day, touch: float = 0.10, rearm: float = 0.25) -> Iterator[Touch]:
    """Touches by trades."""
    bars, states, worth = day.bars(), {}, {}
    previous = None
    for trade in day.trades:
        if not day.open - day.warm_start * MINUTE <= trade.ts < day.close:
            continue
        first, previous = trade.ts != previous, trade.ts
        r = day.ratio(trade.ts)
        now = all_levels(day, trade.ts, bars) if r else {}
        points = {key: value * r if kind in OF_SPY else value for key, (kind, value) in now.items()}
        for key, at in points.items():
            x = (trade.price - at) / r
            new = key not in worth or abs(at - worth[key]) / r > rearm + NEAR
            if not new and first and states[key] == "below" and x >= -touch - NEAR:
                states[key] = ""
                fired = "UP"
            elif not new and first and states[key] == "above" and x <= touch + NEAR:
                states[key] = ""
                fired = "DOWN"
            else:
                fired = ""
                if new or states[key] == "":
                    states[key] = "below" if x <= -rearm + NEAR else "above" if x >= rearm - NEAR else ""
            if fired and trade.ts >= day.open:
                yield Touch(trade.ts, key, fired, trade.price, at)
        worth = points


def by_bars(day: Day, touch: float = 0.10, monitor: float = 0.25) -> Iterator[Touch]:
    """Touches by minutes; the time is the bar's start."""
    bars = day.bars()
    for bar in bars:
        end = bar.start + MINUTE
        r = day.ratio(end)
        if not day.open <= end < day.close or not r:
            continue
        before = [trade.price for trade in day.trades if trade.ts < bar.start]
        for key, (kind, value) in all_levels(day, bar.start, bars).items():
            at = value * r if kind in OF_SPY else value
            reached = bar.low - (touch + NEAR) * r <= at <= bar.high + (touch + NEAR) * r
            if not reached or abs(bar.close - at) > (monitor + NEAR) * r:
                continue
            came = next((price for price in reversed(before) if abs(price - at) > NEAR), None)
            if came is not None:
                yield Touch(bar.start, key, "UP" if came < at else "DOWN", bar.close, at)
