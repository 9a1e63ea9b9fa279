"""Bars of trades and the choice of the front contract, as the words say it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

MINUTE_NS = 60 * 10**9
Trade = tuple[int, int, int, int, str]


def minute_bars(trades: Iterable[Trade], contract: str, window_ns: tuple[int, int]) -> list[tuple[int, ...]]:
    """(start, open, high, low, close, volume, trades, buys, sells, sum of ticks x size) by minute."""
    minutes = defaultdict(list)
    for trade in trades:
        if trade[4] == contract and window_ns[0] <= trade[0] < window_ns[1]:
            minutes[trade[0] // MINUTE_NS * MINUTE_NS].append(trade)
    bars = []
    for start in sorted(minutes):
        ticks, sizes = [t[1] for t in minutes[start]], [t[2] for t in minutes[start]]
        buys = sum(t[2] for t in minutes[start] if t[3] == 1)
        sells = sum(t[2] for t in minutes[start] if t[3] == -1)
        worth = sum(a * b for a, b in zip(ticks, sizes, strict=True))
        bars.append((start, ticks[0], max(ticks), min(ticks), ticks[-1], sum(sizes), len(ticks), buys, sells, worth))
    return bars


def lots(trades: Iterable[Trade], window_ns: tuple[int, int]) -> dict[str, int]:
    """Contracts traded of each contract within a window."""
    found: dict[str, int] = defaultdict(int)
    for trade in trades:
        if window_ns[0] <= trade[0] < window_ns[1]:
            found[trade[4]] += trade[2]
    return dict(found)
