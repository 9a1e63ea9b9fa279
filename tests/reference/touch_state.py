"""Levels, averages and attempts around a touch by their definitions, a row at a time: what the groups are held against.

A bar is a tuple (start_ns, open, high, low, close, volume) in ticks.
Missing values are None.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import Any

MINUTE = 60 * 10**9
Bar = tuple[int, float, float, float, float, int]
Row = dict[str, Any]
KINDS = (
    *("pm_high", "pm_low", "or_high", "or_low", "session_high", "session_low", "sma_200", "vwap"),
    *("round", "strike", "call_wall", "put_wall", "sma_400", "gamma_flip"),
)
WEIGHTS = (1.0, 1.0, 0.9, 0.9, 0.6, 0.6, 0.8, 0.7, 0.3, 0.4, 1.0, 1.0, 0.8, 0.8)
ROUND, STRIKE, CALL_WALL, PUT_WALL = 8, 9, 10, 11
NEAR = 1e-6


def minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def over(a: float | None, b: float | None) -> float | None:
    return None if a is None or not b else a / b


def done(bars: Sequence[Bar], t: int, width: int = MINUTE) -> list[Bar]:
    """Bars that have ended by t."""
    return [bar for bar in bars if bar[0] + width <= t]


# --- averages ----------------------------------------------------------------------------------


def two_minute(bars: Sequence[Bar]) -> list[tuple[int, float]]:
    """Starts and closes of two-minute bars."""
    closes: dict[int, float] = {}
    for bar in bars:
        closes[bar[0] - bar[0] % (2 * MINUTE)] = bar[4]
    return sorted(closes.items())


def sma(closes: Sequence[tuple[int, float]], t: int, bars: int, back: int = 0) -> float | None:
    """Mean of the last closes completed at t, or ``back`` bars before."""
    known = [close for start, close in closes if start + 2 * MINUTE <= t]
    known = known[: len(known) - back] if back else known
    last = known[-bars:]
    if len(last) < bars or any(math.isnan(close) for _, close in closes):
        return None
    return sum(last) / bars


def reversion(row: Row, bars: Sequence[Bar], warm: Sequence[Bar], trades: Sequence[tuple[int, int]]) -> Row:
    """Group reversion of a row; ``warm`` are the bars before the session's own, shifted."""
    t, unit = row["decision_ns"], 0.25 / row["es_spy_ratio"]
    closes = two_minute([*warm, *bars])
    known = done(bars, t)
    changes = [b[4] - a[4] for a, b in itertools.pairwise(known)][-20:]
    deviation = statistics.stdev(changes) * unit if len(changes) == 20 else None
    then = [price for at, price in trades if at < t - 10 * MINUTE]
    found: Row = {}
    for n in (200, 400):
        now, before = sma(closes, t, n), sma(closes, t - 10 * MINUTE, n)
        usd = None if now is None else now * unit
        found[f"sma_{n}"] = usd
        for suffix, back in (("", 10), ("_5bar", 5)):
            change = minus(now, sma(closes, t, n, back))
            found[f"sma_{n}_slope{suffix}"] = None if change is None else change * unit / (2 * back)
        pressure = None if usd is None or not deviation else (row["level_price"] - usd) / (1e-6 + deviation)
        found[f"mean_reversion_pressure_{n}"] = pressure
        missing = usd is None or before is None or not then
        found[f"mean_reversion_velocity_{n}"] = (
            None if missing else ((row["spot"] - usd) - (then[-1] - before) * unit) / 10
        )
    found["sma_spread"] = minus(found["sma_200"], found["sma_400"])
    return found


# --- context -----------------------------------------------------------------------------------


def context(row: Row, bars: Sequence[Bar], open_ns: int, averages: Row) -> Row:
    """Group context of a row."""
    t, level, spot = row["decision_ns"], row["level_price"], row["spot"]
    known = done(bars, t)
    ranges = []
    for i, (_, _, high, low, _, _) in enumerate(known):
        before = known[i - 1][4] if i else None
        ranges.append(high - low if before is None else max(high - low, abs(high - before), abs(low - before)))
    low, high = row["session_low"], row["session_high"]
    position = 0.5
    if low is not None and high is not None and high > low:
        position = min(max((spot - low) / (high - low), 0.0), 1.0)
    others = row | averages
    return {
        "is_first_15m": t - open_ns < 15 * MINUTE,
        "is_opening_range": t - open_ns < 15 * MINUTE,
        "bars_since_open": (t - open_ns) // MINUTE,
        "atr": sum(ranges[-14:]) / 14 * 0.25 / row["es_spy_ratio"] if len(ranges) >= 14 else None,
        "session_position": position,
        **{f"dist_to_{x}": minus(level, others[x]) for x in ("pm_high", "pm_low", "sma_200", "sma_400", "vwap")},
        **{f"spot_to_{x}": minus(spot, others[x]) for x in ("sma_200", "sma_400", "vwap")},
    }


# --- other levels ------------------------------------------------------------------------------


def strikes(prints: Sequence[tuple[int, int, int]], t: int) -> list[float]:
    """Strikes with 100 contracts in prints (ts_ns, strike_e3, size) before the minute that holds t."""
    traded: dict[int, int] = {}
    for at, strike, size in prints:
        if at < t - t % MINUTE:
            traded[strike] = traded.get(strike, 0) + size
    return [strike / 1000 for strike, contracts in sorted(traded.items()) if contracts >= 100]


def levels(row: Row, kinds: Sequence[int], prints: Sequence[tuple[int, int, int]]) -> list[tuple[int, float]]:
    """Kind and price of every level but the touched one; all single kinds, ROUND and STRIKE if among ``kinds``."""
    level, own = row["level_price"], row["level_kind"]
    found = [(kind, row[name]) for kind, name in enumerate(KINDS) if kind not in (ROUND, STRIKE) and kind != own]
    found = [(kind, price) for kind, price in found if price is not None]
    if ROUND in kinds:
        near = [float(math.floor(level) + i) for i in range(-4, 6)]
        found += [(ROUND, price) for price in near if own != ROUND or abs(price - level) > NEAR]
    if STRIKE in kinds:
        there = strikes(prints, row["decision_ns"])
        found += [(STRIKE, price) for price in there if own != STRIKE or abs(price - level) > NEAR]
    return found


def stacked(row: Row, kinds: Sequence[int], prints: Sequence[tuple[int, int, int]]) -> Row:
    """Group stacked of a row that has its averages."""
    nearest: dict[int, float] = {}
    for kind, price in levels(row, kinds, prints):
        if kind in kinds:
            nearest[kind] = min(nearest.get(kind, math.inf), abs(price - row["level_price"]))
    near = {kind: away for kind, away in nearest.items() if away <= 0.2 + NEAR}
    score = sum(WEIGHTS[kind] * max(1 - away / 0.2, 0.0) for kind, away in near.items())
    return {
        "confluence_count": len(near),
        "confluence_weighted_score": score,
        "confluence_pressure": score / sum(WEIGHTS[kind] for kind in kinds),
        "confluence_min_distance": min(nearest.values(), default=None),
        "confluence_alignment": alignment(row),
    }


def alignment(row: Row) -> int:
    """Level against averages and their slopes."""
    level, averages = row["level_price"], (row["sma_200"], row["sma_400"])
    slopes = (row["sma_200_slope"], row["sma_400_slope"])
    if None in averages or None in slopes:
        return 0
    below = all(level < x for x in averages) and all(x < 0 for x in slopes)
    above = all(level > x for x in averages) and all(x > 0 for x in slopes)
    good, bad = (below, above) if row["direction"] == "UP" else (above, below)
    return 1 if good and slopes[0] > slopes[1] else -1 if bad and slopes[0] < slopes[1] else 0


def runway(row: Row, kinds: Sequence[int], prints: Sequence[tuple[int, int, int]]) -> Row:
    """Group runway of a row that has its averages and signal."""
    up = (row["direction"] == "UP") != (row["signal"] == "REJECT")
    sign = 1 if up else -1
    ahead = [(sign * (price - row["level_price"]), kind, price) for kind, price in levels(row, kinds, prints)]
    ahead = [one for one in ahead if one[0] > 0.01 + NEAR]
    blocked = any(away <= 2.0 + NEAR for away, kind, _ in ahead if kind in (4, 5, 7, 10, 11, 13))
    away, _, price = min(ahead, default=(None, None, None))
    return {
        "runway_direction": "UP" if up else "DOWN",
        "runway_next_level_price": price,
        "runway_distance": away,
        "runway_quality": "OBSTRUCTED" if blocked else "CLEAR",
    }


# --- hierarchy ---------------------------------------------------------------------------------


def relative_volume(t: int, open_ns: int, bars: Sequence[Bar], warm: Sequence[tuple[int, int, Sequence[Bar]]]) -> Any:
    """Regular volume of completed minutes / mean of (open_ns, close_ns, bars) before; None if unknown."""
    minutes = (t - open_ns) // MINUTE
    if not minutes:
        return None

    def so_far(begin: int, of: Sequence[Bar]) -> int:
        return sum(bar[5] for bar in of if begin <= bar[0] < begin + minutes * MINUTE)

    before = [so_far(begin, of) for begin, end, of in warm if begin + minutes * MINUTE <= end]
    return over(so_far(open_ns, bars), sum(before) / len(before)) if len(before) >= 3 else None


def breakout(row: Row) -> tuple[int, bool, bool]:
    """State, and whether an upper or a lower bound is broken."""
    highs, lows, spot = (row["pm_high"], row["or_high"]), (row["pm_low"], row["or_low"]), row["spot"]
    if None in highs or None in lows:
        return 0, False, False
    above, below = [spot > x for x in highs], [spot < x for x in lows]
    state = 2 if all(above) else 3 if all(below) else 1 if any(above) or any(below) else 0
    return state, any(above), any(below)


def hierarchy(row: Row, open_ns: int, ratio: float | None) -> Row:
    """Group hierarchy of a row that has its averages and fuel_effect."""
    spot, (state, upper, lower) = row["spot"], breakout(row)
    averages = (row["sma_200"], row["sma_400"])
    proximity = None
    if None not in averages:
        proximity = "CLOSE" if all(abs(spot - x) / spot < 0.005 for x in averages) else "FAR"
    gex = 0
    wall = row["call_wall"] if upper else row["put_wall"]
    if upper != lower and wall is not None:
        beyond = spot > wall if upper else spot < wall
        gex = 1 if beyond and row["fuel_effect"] == "AMPLIFY" else 0
        gex = -1 if abs(spot - wall) < 1 and row["fuel_effect"] == "DAMPEN" else gex
    volume = None if ratio is None else "HIGH" if ratio >= 1.3 else "LOW" if ratio <= 0.7 else "NORMAL"
    period = "FIRST_HOUR" if row["decision_ns"] - open_ns < 60 * MINUTE else "REST_OF_DAY"
    made = {
        "breakout_state": state,
        "sma_proximity": proximity,
        "time_period": period,
        "gex_alignment": gex,
        "rel_vol_ratio": ratio,
        "rel_vol_state": volume,
    }
    undefined = (
        proximity is None or ratio is None or any(row[x] is None for x in ("pm_high", "pm_low", "or_high", "or_low"))
    )
    return made | {"confluence_level": 0 if undefined else confluence_level(made)}


def confluence_level(found: Row) -> int:
    """The table of ten levels, top down."""
    full, first = found["breakout_state"] in (2, 3), found["time_period"] == "FIRST_HOUR"
    close, aligned, high = (
        found["sma_proximity"] == "CLOSE",
        found["gex_alignment"] == 1,
        found["rel_vol_state"] == "HIGH",
    )
    if full and first and close:
        return 1 if aligned and high else 2 if aligned else 3
    if full and first:
        return 4 if aligned and high else 5
    if full:
        return 6 if close and high else 7
    if found["breakout_state"] == 1:
        return 8 if close and aligned and high else 9
    return 10


# --- approach ----------------------------------------------------------------------------------


def approach(rows: Sequence[Row], bars: Sequence[Bar]) -> list[Row]:
    """Group approach of all rows of a session, in order of time."""
    made: list[Row] = []
    clusters: dict[tuple[str, str], tuple[int, int, int]] = {}
    last: dict[tuple[str, str], Row] = {}
    count = 0
    for i, row in enumerate(rows):
        side = (row["level_id"], row["direction"])
        before = last.get(side)
        gap = before and row["decision_ns"] - before["decision_ns"] > 15 * MINUTE
        if before is None or gap or abs(row["level_price"] - before["level_price"]) > 0.1 + NEAR:
            count += 1
            clusters[side] = (count, 0, i)
        number, place, first = clusters[side]
        clusters[side] = (number, place + 1, first)
        last[side] = row
        made.append(
            {
                **arrival(row, bars),
                "prior_touches": sum(other["level_id"] == row["level_id"] for other in rows[:i]),
                "attempt_index": place + 1,
                "attempt_cluster_id": number,
                "barrier_replenishment_trend": minus(
                    row["barrier_replenishment_ratio"], rows[first]["barrier_replenishment_ratio"]
                ),
                "barrier_delta_liq_trend": minus(row["barrier_delta_liq"], rows[first]["barrier_delta_liq"]),
                "tape_velocity_trend": row["tape_velocity"] - rows[first]["tape_velocity"],
                "tape_imbalance_trend": row["tape_imbalance"] - rows[first]["tape_imbalance"],
            }
        )
    return made


def arrival(row: Row, bars: Sequence[Bar]) -> Row:
    """How the price came to the level."""
    t, sign = row["decision_ns"], 1 if row["direction"] == "UP" else -1
    known = done(bars, t)
    recent = [bar for bar in known if bar[0] >= t - 10 * MINUTE]
    velocity, distance = 0.0, None
    if recent:
        start, close = recent[0][0], recent[0][4] * 0.25 / row["es_spy_ratio"]
        distance = abs(row["spot"] - close)
        if len(recent) >= 2:
            velocity = sign * (row["spot"] - close) / ((t - start - MINUTE) / MINUTE)
    run = 0
    while run + 1 < len(known) and sign * (known[-1 - run][4] - known[-2 - run][4]) > 0:
        run += 1
    return {"approach_velocity": velocity, "approach_bars": run, "approach_distance": distance}


def transforms(row: Row) -> Row:
    """Group transforms of a row that has all it needs."""
    names = (
        *("distance", "distance_signed", "dist_to_pm_high", "dist_to_pm_low", "dist_to_sma_200", "dist_to_sma_400"),
        *("confluence_min_distance", "approach_distance"),
    )
    found: Row = {}
    for name in names:
        found[f"{name}_atr"] = over(row[name], row["atr"])
        found[f"{name}_pct"] = over(row[name], row["spot"])
    return found
