"""Minute features by their definition, one symbol and one session at a time.

A bar is a dict with ``start_ns, open, high, low, close, volume``; bars of a symbol come in order of time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Bar = Mapping[str, Any]
MINUTE = 60 * 10**9


def minute_features(bars: Sequence[Bar], window: tuple[int, int], rth: tuple[int, int]) -> dict[str, Any] | None:
    """The row of one symbol without ``vol_spike``; None without a bar in the window."""
    inside = [bar for bar in bars if window[0] <= bar["start_ns"] < window[1]]
    if not inside:
        return None
    high, low = max(bar["high"] for bar in inside), min(bar["low"] for bar in inside)
    volume = 0.0
    for bar in inside:
        volume += bar["volume"]
    regular = [bar for bar in inside if rth[0] <= bar["start_ns"] < rth[1]]
    return {
        "day_open": inside[0]["open"],
        "day_high": high,
        "day_low": low,
        "day_close": inside[-1]["close"],
        "day_volume": volume,
        "bars_n": len(inside),
        "day_range_pct": (high - low) / inside[0]["open"],
        "max_1m_ret": _largest_rise(inside, 1),
        "max_5m_ret": _largest_rise(inside, 5),
        "max_drawdown_5m": max(_fall(inside, bar) for bar in inside),
        **_opening(regular, rth[0], 5),
        **_opening(regular, rth[0], 15),
    }


def _largest_rise(bars: Sequence[Bar], minutes: int) -> float | None:
    """Against the last close of a bar that started at least so many minutes before."""
    rises = []
    for bar in bars:
        older = [other for other in bars if other["start_ns"] <= bar["start_ns"] - minutes * MINUTE]
        if older:
            rises.append(bar["close"] / older[-1]["close"] - 1)
    return max(rises) if rises else None


def _fall(bars: Sequence[Bar], bar: Bar) -> float:
    since = bar["start_ns"] - 5 * MINUTE
    top = max(other["close"] for other in bars if since < other["start_ns"] <= bar["start_ns"])
    return (top - bar["close"]) / top


def _opening(regular: Sequence[Bar], open_ns: int, minutes: int) -> dict[str, Any]:
    first = [bar for bar in regular if bar["start_ns"] < open_ns + minutes * MINUTE]
    names = (f"first_{minutes}m_high", f"first_{minutes}m_low", f"range_{minutes}m_pct")
    flags = (f"breakout_{minutes}m_up", f"breakout_{minutes}m_down")
    if not first:
        return dict.fromkeys((*names, *flags))
    high, low = max(bar["high"] for bar in first), min(bar["low"] for bar in first)
    close = regular[-1]["close"]
    values = (high, low, (high - low) / regular[0]["open"], close > high, close < low)
    return dict(zip((*names, *flags), values, strict=True))


def mean_of_last(volumes: Sequence[float | None], count: int) -> float | None:
    """Mean of the last ``count`` volumes that are there; None if there are fewer."""
    there = [volume for volume in volumes if volume is not None][-count:]
    total = 0.0
    for volume in there:
        total += volume
    return total / count if len(there) == count else None
