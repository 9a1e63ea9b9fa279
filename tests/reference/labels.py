"""Labels by their definitions, one event or one row at a time.

A bar is a dict with ``start_ns, open, high, low, close, volume``; bars of a symbol come in order of time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.reference.events import f32
from tests.reference.macd import Bar

MINUTE, SECOND = 60 * 10**9, 10**9
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Rules:
    """Where trading ends, and how late an entry may be."""

    window: tuple[int, int]
    close_ns: int
    ext_end_ns: int
    delay_minutes: int = 5


@dataclass(frozen=True)
class Barrier:
    """Suffix of its columns, distances as shares of the entry, minutes."""

    suffix: str
    target: float
    stop: float
    minutes: int


def labels(bars: Sequence[Bar], event: Mapping[str, Any], barriers: Sequence[Barrier], rules: Rules) -> dict[str, Any]:
    """What came after one event."""
    decision_ns = event["decision_ns"]
    until_ns = min(decision_ns + rules.delay_minutes * MINUTE, rules.window[1])
    after = [bar for bar in bars if decision_ns <= bar["start_ns"] < until_ns]
    if not after:
        return _no_entry(barriers, max(decision_ns, until_ns))
    entry = after[0]
    found: dict[str, Any] = {
        "entry_ns": entry["start_ns"],
        "entry_price": entry["open"],
        "entry_delay_s": (entry["start_ns"] - decision_ns) // SECOND,
    }
    ends = []
    for barrier in barriers:
        flat_ns = rules.close_ns if entry["start_ns"] < rules.close_ns else rules.ext_end_ns
        wanted_ns = entry["start_ns"] + barrier.minutes * MINUTE
        end_ns = min(wanted_ns, flat_ns)
        ends.append(end_ns)
        ahead = [bar for bar in bars if bar["start_ns"] >= entry["start_ns"] and bar["start_ns"] + MINUTE <= end_ns]
        found |= _horizon(f"{barrier.minutes}m", ahead, end_ns, wanted_ns > flat_ns)
        found |= _passage(ahead, event["direction"], barrier)
    return {**found, "label_known_ns": max(ends)}


def _no_entry(barriers: Sequence[Barrier], known_ns: int) -> dict[str, Any]:
    nothing: dict[str, Any] = dict.fromkeys(("entry_ns", "entry_price", "entry_delay_s"))
    for barrier in barriers:
        names = ("label", "label_up", "label_dn", "ret", "exit_price", "ambiguous", "touch_s")
        nothing |= dict.fromkeys(f"{name}_{barrier.suffix}" for name in names)
        names = ("fwd_up_ret", "fwd_dn_ret", "fwd_max_high", "fwd_min_low", "horizon_end_ns", "horizon_truncated")
        nothing |= dict.fromkeys(f"{name}_{barrier.minutes}m" for name in names)
        nothing[f"outcome_{barrier.suffix}"] = "no_entry"
    return {**nothing, "label_known_ns": known_ns}


def _horizon(name: str, ahead: Sequence[Bar], end_ns: int, truncated: bool) -> dict[str, Any]:
    high, low, entry = max(bar["high"] for bar in ahead), min(bar["low"] for bar in ahead), ahead[0]["open"]
    return {
        f"fwd_max_high_{name}": high,
        f"fwd_min_low_{name}": low,
        f"fwd_up_ret_{name}": f32(high / entry - 1),
        f"fwd_dn_ret_{name}": f32(low / entry - 1),
        f"horizon_end_ns_{name}": end_ns,
        f"horizon_truncated_{name}": truncated,
    }


def _passage(ahead: Sequence[Bar], direction: int, barrier: Barrier) -> dict[str, Any]:
    views = {side: _decide(ahead, side, barrier) for side in (1, -1)}
    outcome, price, ambiguous, end_ns = views[direction]
    s, entry = barrier.suffix, ahead[0]
    return {
        f"label_up_{s}": int(views[1][0] == "target"),
        f"label_dn_{s}": int(views[-1][0] == "target"),
        f"label_{s}": int(outcome == "target"),
        f"outcome_{s}": outcome,
        f"exit_price_{s}": price,
        f"ret_{s}": f32(direction * (price / entry["open"] - 1)),
        f"ambiguous_{s}": ambiguous,
        f"touch_s_{s}": None if end_ns is None else (end_ns - entry["start_ns"]) // SECOND,
    }


def _decide(ahead: Sequence[Bar], side: int, barrier: Barrier) -> tuple[str, float, bool, int | None]:
    """Outcome, exit price, whether the order within a bar was unknown, end of the deciding bar."""
    entry = ahead[0]["open"]
    goal, limit = entry * (1 + side * barrier.target), entry * (1 - side * barrier.stop)
    for bar in ahead:
        end_ns = bar["start_ns"] + MINUTE
        won = _reached(bar["high"] if side > 0 else bar["low"], goal, side)
        lost = _reached(bar["low"] if side > 0 else bar["high"], limit, -side)
        opened_won, opened_lost = _reached(bar["open"], goal, side), _reached(bar["open"], limit, -side)
        if won and (not lost or opened_won):
            return "target", max(goal, bar["open"]) if side > 0 else min(goal, bar["open"]), False, end_ns
        if lost:
            price = min(limit, bar["open"]) if side > 0 else max(limit, bar["open"])
            return "adverse", price, won and not opened_lost, end_ns
    return "timeout", ahead[-1]["close"], False, None


def _reached(price: float, level: float, side: int) -> bool:
    """Whether a price is at a level or beyond, seen from below (side 1) or above (-1)."""
    return side * (price - level) >= -TOLERANCE * level


def range_expansion(
    rows: Sequence[Mapping[str, Any] | None],
    following: Mapping[str, Any] | None,
    lookback_rows: int,
    thresholds: tuple[float, float],
) -> dict[str, Any]:
    """Labels of the last of a symbol's ``rows``, one per session of the window, None where it has none."""
    names = ("next_day_range_pct", "label_next_day_range_expand", "next_day_range_ratio")
    found: dict[str, Any] = dict.fromkeys((*names, "label_next_day_range_expand_rel"))
    own = rows[-1]
    if following is None or own is None:
        return found
    ahead = (following["high"] - following["low"]) / (own["close"] / following["split_ratio"])
    found |= {"next_day_range_pct": ahead, "label_next_day_range_expand": int(ahead >= thresholds[0])}
    last = [(row["high"] - row["low"]) / row["close"] for row in rows if row is not None][-lookback_rows:]
    total = 0.0
    for share in last:
        total += share
    if len(last) == lookback_rows and total > 0:
        ratio = ahead / (total / lookback_rows)
        found |= {"next_day_range_ratio": ratio, "label_next_day_range_expand_rel": int(ratio >= thresholds[1])}
    return found
