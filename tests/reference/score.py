"""Pressure and score by their definitions, a row at a time; None for a value that is not known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.reference import book, tape

Row = Mapping[str, Any]
SNAP_NS, STEPS, HELD = 250_000_000, 64, 13
LIQUIDITY = {"VACUUM": 100, "WEAK": 75, "CONSUMED": 60, "NEUTRAL": 50, "WALL": 0, "ABSORPTION": 0}
HEDGE = {"AMPLIFY": 100, "NEUTRAL": 50, "DAMPEN": 0}


def clip(value: float, low: float = -1.0, high: float = 1.0) -> float:
    return max(low, min(high, value))


def pressure(row: Row) -> dict[str, float | None]:
    """All columns of the group; what is not known of the book pushes neither way."""
    sign = row["direction_sign"]
    leaving = 0.0 if row["barrier_delta_liq"] is None else math.tanh(-row["barrier_delta_liq"] / 200)
    thin = 0.0 if row["wall_ratio"] is None else clip(1 - row["wall_ratio"] / 2)
    pulls = [row[f"mean_reversion_pressure_{n}"] for n in (200, 400) if row[f"mean_reversion_pressure_{n}"] is not None]
    exposure, accel = row["gamma_exposure"], row["gamma_flow_accel_3m"]
    made: dict[str, float | None] = {
        "liquidity_pressure": clip((leaving + thin) / 2),
        "tape_pressure": clip(sign * (row["tape_imbalance"] + clip(row["tape_slope_3s"] / 0.5)) / 2),
        "gamma_pressure": None if exposure is None else math.tanh(-exposure / 1e5),
        "reversion_pressure": math.tanh(-sign * sum(pulls) / len(pulls)) if pulls else None,
    }
    parts = [*made.values(), row["confluence_alignment"] * row["confluence_pressure"]]
    net = None if None in parts else clip(sum(part for part in parts if part is not None) / 5)
    return made | {
        "gamma_pressure_accel": None if accel is None else math.tanh(-accel / 5e4),
        "net_break_pressure": net,
    }


def tape_score(sign: int, slope: float, imbalance: float, swept: int) -> float:
    if swept == sign:
        return 100.0
    score = 25 * min(1, abs(slope) / 0.5) if slope * sign > 0 else 0.0
    return score + (25 * abs(imbalance) if imbalance * sign > 0 else 0.0)


def raw_at(row: Row, t: int, state: str, effect: str, trades: Sequence[book.Trade], ratio: float) -> dict[str, float]:
    """The scores of a level at a moment."""
    found = tape.tape(trades, t, row["level_price_es"] * 4, ratio)
    swept = {"UP": 1, "DOWN": -1, "NONE": 0}[found["tape_sweep_direction"]]
    made = {
        "liquidity_score": float(LIQUIDITY[state]),
        "hedge_score": float(HEDGE[effect]),
        "tape_score": tape_score(row["direction_sign"], found["tape_slope_3s"], found["tape_imbalance"], swept),
    }
    whole = 0.45 * made["liquidity_score"] + 0.35 * made["hedge_score"] + 0.20 * made["tape_score"]
    return made | {"break_score_raw": whole}


def smooth(values: Sequence[float], tau: float = 2.0) -> float:
    weight = 1 - math.exp(-0.25 / tau)
    level = values[0]
    for value in values[1:]:
        level = (1 - weight) * level + weight * value
    return level


def signal(raw: Sequence[float], distance: float, state: str, traded: int) -> str:
    """What the scores of the grid say, the touch last."""
    last = raw[-HELD:]
    if all(value > 80 for value in last):
        return "BREAK"
    if all(value < 20 for value in last) and distance <= 0.10:
        return "REJECT"
    if 30 <= raw[-1] <= 70 and state == "CONSUMED" and traded >= 500:
        return "CONTESTED"
    return "NEUTRAL"


def score(
    row: Row,
    trades: Sequence[book.Trade],
    state_at: Callable[[int], str],
    effect_at: Callable[[int], str],
    ratio: float,
) -> dict[str, Any]:
    """All columns of the group; ``row`` holds the touch with its barrier, tape and fuel."""
    moments = [row["decision_ns"] - k * SNAP_NS for k in range(STEPS, -1, -1)]
    grid = [raw_at(row, t, state_at(t), effect_at(t), trades, ratio) for t in moments]
    raw = [one["break_score_raw"] for one in grid]
    sure = (row["barrier_confidence"] + row["tape_confidence"] + row["fuel_confidence"]) / 3
    return grid[-1] | {
        "break_score_smooth": smooth(raw),
        "signal": signal(raw, row["distance"], state_at(moments[-1]), row["tape_buy_vol"] + row["tape_sell_vol"]),
        "confidence": "HIGH" if sure >= 0.7 else "MEDIUM" if sure >= 0.4 else "LOW",
    }
