"""Events and what was known at them by their definitions, one symbol and one session at a time.

A bar is a dict with ``start_ns, open, high, low, close, volume``; bars of a symbol come in order of time. Whatever is
said of a moment is worked out anew from the bars that had ended by then, and from nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.reference.macd import Bar, Recipe, State, lines, resample
from tests.reference.minute import minute_features

MINUTE = 60 * 10**9
Window = tuple[int, int]


@dataclass(frozen=True)
class Timeframe:
    """Name and width of bars, and where their recursion stood before the session."""

    name: str
    width_ns: int
    before: State | None = None


def f32(value: float | None) -> float | None:
    """A number as it is stored in four bytes."""
    return None if value is None else float(np.float32(value))


def events(symbol: str, bars: Sequence[Bar], timeframe: Timeframe, window: Window, rth: Window, recipe: Recipe) -> list:
    """The rows of one symbol and timeframe, in order of time."""
    coarse = resample(bars, timeframe.width_ns, window)
    rows, _ = lines([bar["close"] for bar in coarse], recipe, timeframe.before)
    hists = [timeframe.before.hist if timeframe.before else None, *(row["hist"] for row in rows)]
    return [
        _event(symbol, timeframe, bar, row, previous, rth)
        for bar, row, previous in zip(coarse, rows, hists, strict=False)
        if row["cross"]
    ]


def _event(
    symbol: str, timeframe: Timeframe, bar: Bar, row: Mapping[str, Any], previous: float | None, rth: Window
) -> dict[str, Any]:
    up, decision_ns = row["cross"] > 0, bar["start_ns"] + timeframe.width_ns
    return {
        "symbol": symbol,
        "tf": timeframe.name,
        "decision_ns": decision_ns,
        "event_type": "cross_up" if up else "cross_down",
        "event_id": f"{symbol}|{timeframe.name}|{bar['start_ns']}|{'U' if up else 'D'}",
        "direction": 1 if up else -1,
        "bar_start_ns": bar["start_ns"],
        "segment": "pre" if decision_ns < rth[0] else "rth" if decision_ns < rth[1] else "post",
        **{name: row[name] for name in ("macd", "signal", "hist", "bar_index")},
        "hist_prev": previous,
        "hist_bps": f32(1e4 * row["hist"] / bar["close"]),
        "entry_close": bar["close"],
        "bar_volume": bar["volume"],
    }


def state(
    bars: Sequence[Bar],
    event: Mapping[str, Any],
    windows: Mapping[str, Window],
    previous_close: float | None,
    usual_volume: float | None,
) -> dict[str, Any]:
    """Prices and volume at the moment of an event; ``windows`` are ``rth`` and that of the ``moves``."""
    now, rth = event["decision_ns"], windows["rth"]
    known = [bar for bar in bars if bar["start_ns"] + MINUTE <= now]
    regular = [bar for bar in known if rth[0] <= bar["start_ns"] < rth[1]]
    twin = minute_features(known, windows["moves"], rth) or {}
    day = minute_features(known, rth, rth) or {}
    close = known[-1]["close"] if known else None
    volume = 0.0
    for bar in known:
        volume += bar["volume"]
    last, first = (regular[-1]["close"], regular[0]["open"]) if regular else (None, None)
    low, spread = (day["day_low"], day["day_high"] - day["day_low"]) if regular else (None, None)
    found = {
        "ret_from_prev_close": _change(close, previous_close),
        "gap_pct": _change(first, previous_close),
        "ret_from_open": _change(last, first),
        "range_so_far_pct": day.get("day_range_pct"),
        "pos_in_range_so_far": None if last is None else 0.5 if spread == 0 else (last - low) / spread,
        "ret_5m_back": _change(close, _close_at(known, now - 5 * MINUTE)),
        "ret_30m_back": _change(close, _close_at(known, now - 30 * MINUTE)),
        **{f"{name}_so_far": twin.get(name) for name in ("max_1m_ret", "max_5m_ret", "max_drawdown_5m")},
        "volume_so_far": volume,
        "rel_volume_so_far": volume / usual_volume if usual_volume else None,
    }
    flags: dict[str, Any] = {}
    for minutes in (5, 15):
        over = now >= rth[0] + minutes * MINUTE
        found[f"range_{minutes}m_pct"] = day.get(f"range_{minutes}m_pct") if over else None
        for side in ("up", "down"):
            name = f"breakout_{minutes}m_{side}"
            flags[f"{name}_so_far"] = day.get(name) if over else None
    clock = {"minutes_since_open": (now - rth[0]) // MINUTE, "minutes_to_close": (rth[1] - now) // MINUTE}
    return {**clock, **{name: f32(value) for name, value in found.items()}, **flags}


def _change(value: float | None, base: float | None) -> float | None:
    return None if value is None or base is None else value / base - 1


def _close_at(known: Sequence[Bar], moment_ns: int) -> float | None:
    old = [bar for bar in known if bar["start_ns"] + MINUTE <= moment_ns]
    return old[-1]["close"] if old else None


def hist_state(
    bars: Sequence[Bar], event: Mapping[str, Any], timeframe: Timeframe, window: Window, recipe: Recipe
) -> dict[str, Any]:
    """MACD of one timeframe at the moment of an event of any timeframe."""
    now, tf = event["decision_ns"], timeframe.name
    coarse = [bar for bar in resample(bars, timeframe.width_ns, window) if bar["start_ns"] + timeframe.width_ns <= now]
    rows, _ = lines([bar["close"] for bar in coarse], recipe, timeframe.before)
    bps = [1e4 * row["hist"] / bar["close"] for row, bar in zip(rows, coarse, strict=True) if row["seasoned"]]
    own = event["tf"] == tf
    crossings = [i for i, row in enumerate(rows) if row["cross"] and not (own and i == len(rows) - 1)]
    return {
        f"hist_bps_asof__{tf}": f32(bps[-1]) if bps else None,
        f"hist_min_bps_so_far__{tf}": f32(min(bps)) if bps else None,
        f"hist_max_bps_so_far__{tf}": f32(max(bps)) if bps else None,
        f"bars_so_far__{tf}": len(coarse),
        f"cross_up_count_so_far__{tf}": sum(rows[i]["cross"] > 0 for i in crossings),
        f"cross_down_count_so_far__{tf}": sum(rows[i]["cross"] < 0 for i in crossings),
        f"bars_since_last_cross__{tf}": len(rows) - 1 - crossings[-1] if crossings else None,
    }
