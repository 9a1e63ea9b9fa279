"""Labels of touches by their definitions, one touch and one trade at a time.

A trade is (ts_ns, price in points), in record order; a touch is a dict with ``decision_ns, level_price_es,
es_spy_ratio, direction_sign``; its atr is in dollars, None where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

MINUTE, SECOND = 60 * 10**9, 10**9
Trade = tuple[int, float]
HORIZONS = {"2min": 2, "4min": 4, "8min": 8}
ALIASES = (
    *("outcome", "confirm_ts_ns", "anchor_spot", "tradeable_1", "tradeable_2", "excursion_max", "excursion_min"),
    *("strength_signed", "strength_abs", "time_to_threshold_1", "time_to_threshold_2"),
    *("time_to_break_1", "time_to_bounce_1", "time_to_break_2", "time_to_bounce_2"),
)


@dataclass(frozen=True)
class Rules:
    """When regular trading ends, from when outcomes are counted, and how old a price may be."""

    close_ns: int
    confirmed: bool = False
    stale_ns: int = 60 * SECOND


def window_of(trades: Sequence[Trade], decision_ns: int, minutes: int, rules: Rules) -> tuple[int, int, int]:
    """Begin, uncut end and cut end."""
    begin = decision_ns + minutes * MINUTE if rules.confirmed else decision_ns
    end = begin + (8 if rules.confirmed else minutes) * MINUTE
    last = trades[-1][0] if trades else 0
    return begin, end, min(end, rules.close_ns, last)


def first_passed(
    inside: Sequence[Trade], x: Any, k: float | None, *, strict: bool = False
) -> tuple[str | None, int | None, int | None]:
    """The side passed first, and the times of the first trade beyond either."""
    first, up, down = None, None, None
    if k is None:
        return first, up, down
    for ts, price in inside:
        distance = x(price)
        broke = distance > k if strict else distance >= k
        bounced = distance < -k if strict else distance <= -k
        if broke and up is None:
            up, first = ts, first or "BREAK"
        if bounced and down is None:
            down, first = ts, first or "BOUNCE"
    return first, up, down


def _outcome(first: str | None, *, complete: bool) -> str:
    return first or ("CHOP" if complete else "UNDEFINED")


def _seconds(ts: int | None, begin: int) -> float | None:
    return None if ts is None else (ts - begin) / SECOND


def _future(trades: Sequence[Trade], at_ns: int, ratio: float, rules: Rules) -> float | None:
    before = [trade for trade in trades if trade[0] <= at_ns]
    if not before or at_ns > rules.close_ns or at_ns - before[-1][0] > rules.stale_ns:
        return None
    return before[-1][1] / ratio


def _excursions(inside: Sequence[Trade], x: Any) -> tuple[float | None, float | None]:
    if not inside:
        return None, None
    return max(0.0, *(x(p) for _, p in inside)), max(0.0, *(-x(p) for _, p in inside))


def labels(trades: Sequence[Trade], touch: Mapping[str, Any], atr: float | None, rules: Rules) -> dict[str, Any]:
    """Every column of one touch but its uniqueness."""
    found: dict[str, Any] = {}
    for h, minutes in HORIZONS.items():
        found |= {f"{k}_{h}": v for k, v in _horizon(trades, touch, atr, minutes, rules).items()}
    found |= _fixed(trades, touch, rules)
    return found | {name: found[f"{name}_4min"] for name in ALIASES}


def _horizon(
    trades: Sequence[Trade], touch: Mapping[str, Any], atr: float | None, minutes: int, rules: Rules
) -> dict[str, Any]:
    t, level, ratio, s = (touch[k] for k in ("decision_ns", "level_price_es", "es_spy_ratio", "direction_sign"))
    begin, end, cut = window_of(trades, t, minutes, rules)
    inside = [trade for trade in trades if begin < trade[0] <= cut]
    complete = cut == end and bool(inside)
    anchor = inside[0][1] if inside and inside[0][0] - begin <= rules.stale_ns else None
    found: dict[str, Any] = {
        "confirm_ts_ns": t + minutes * MINUTE,
        "label_end_ns": end,
        "anchor_spot": None if anchor is None else anchor / ratio,
        "future_price": _future(trades, t + minutes * MINUTE, ratio, rules),
        "censored": cut < end,
    }

    def x(price: float) -> float:
        return s * (price - level) / ratio

    for name, k in {"1": 1.0, "2": 2.0, "atr1": atr, "atr2": atr and 2 * atr}.items():
        first, up, down = first_passed(inside, x, k)
        found[f"time_to_break_{name}"], found[f"time_to_bounce_{name}"] = _seconds(up, begin), _seconds(down, begin)
        if name in ("1", "2"):
            times = [time for time in (_seconds(up, begin), _seconds(down, begin)) if time is not None]
            found[f"time_to_threshold_{name}"] = min(times, default=None)
            found[f"tradeable_{name}"] = int(bool(times))
        if name == "2":
            found["outcome"] = _outcome(first, complete=complete)
        if name.startswith("atr"):
            found[f"outcome_{name}"] = _outcome(first, complete=complete and atr is not None)
            entry = k if anchor is not None else None
            first, *_ = first_passed(inside, lambda p: s * (p - anchor) / ratio, entry)
            found[f"outcome_entry_{name}"] = _outcome(first, complete=complete and entry is not None)
    above, below = _excursions(inside, x)
    found |= {"excursion_max": above, "excursion_min": below}
    found["strength_signed"] = None if above is None or below is None else above - below
    found["strength_abs"] = None if above is None or below is None else max(above, below)
    return found


def _fixed(trades: Sequence[Trade], touch: Mapping[str, Any], rules: Rules) -> dict[str, Any]:
    t, level, ratio, s = (touch[k] for k in ("decision_ns", "level_price_es", "es_spy_ratio", "direction_sign"))
    _, end, cut = window_of(trades, t, 5, Rules(rules.close_ns, stale_ns=rules.stale_ns))
    inside = [trade for trade in trades if t < trade[0] <= cut]
    first, up, down = first_passed(inside, lambda p: s * (p - level) / ratio, 0.20, strict=True)
    above, below = _excursions(inside, lambda p: s * (p - level) / ratio)
    return {
        "future_price_5min": _future(trades, t + 5 * MINUTE, ratio, rules),
        "outcome_5min": _outcome(first, complete=cut == end and bool(inside)),
        "time_to_break_5min": _seconds(up, t),
        "time_to_bounce_5min": _seconds(down, t),
        "excursion_max_5min": above,
        "excursion_min_5min": below,
        "censored_5min": cut < end,
    }


def uniqueness(windows: Sequence[tuple[int, int]]) -> list[Fraction | None]:
    """Mean of 1 / (windows open) over each window, instant by instant between the marks; exact."""
    marks = sorted({mark for window in windows for mark in window})
    found: list[Fraction | None] = []
    for begin, end in windows:
        if end <= begin:
            found.append(None)
            continue
        total = Fraction(0)
        for left, right in pairwise(marks):
            if begin <= left and right <= end:
                total += Fraction(right - left, sum(b <= left and right <= e for b, e in windows))
        found.append(total / (end - begin))
    return found


def atr(bars: Sequence[tuple[int, float, float, float]], at_ns: int, count: int = 14) -> float | None:
    """Mean true range of the last bars (start, high, low, close in points) that ended by a moment."""
    ended = [bar for bar in bars if bar[0] + MINUTE <= at_ns]
    if len(ended) < count:
        return None
    ranges = []
    for i, (_, high, low, _close) in enumerate(ended):
        before = ended[i - 1][3] if i else None
        ranges.append(high - low if before is None else max(high - low, abs(high - before), abs(low - before)))
    return sum(ranges[-count:]) / count
