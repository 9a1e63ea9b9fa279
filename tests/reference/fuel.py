"""Fuel and dealer flow by their definitions: loops over prints, nothing remembered from one touch to the next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MINUTE = 60 * 10**9


@dataclass(frozen=True)
class Print:
    """One option print; ``gamma`` is None where no ES trade came before it."""

    ts_ns: int
    strike_e3: int
    right: str
    size: int
    aggressor: int
    gamma: float | None

    @property
    def dealer(self) -> float:
        return 0.0 if self.gamma is None else -self.aggressor * self.size * self.gamma * 100

    @property
    def gross(self) -> float:
        return 0.0 if self.gamma is None else self.size * self.gamma * 100

    @property
    def signed(self) -> bool:
        return self.aggressor != 0 and self.gamma is not None


@dataclass(frozen=True)
class Rules:
    """Parameters of the groups fuel and flow."""

    range_usd: float = 2.0
    effect: float = 10_000.0
    wall: float = 50_000.0
    confidence: float = 1000.0
    window_min: float = 5.0
    baseline_min: float = 20.0
    scale: float = 5e4


def near(prints: Sequence[Print], level: float, rules: Rules) -> list[Print]:
    return [one for one in prints if abs(one.strike_e3 / 1000 - level) <= rules.range_usd]


def known(prints: Sequence[Print], from_ns: int, to_ns: int) -> list[Print]:
    return [one for one in prints if from_ns <= one.ts_ns < to_ns]


def fuel(prints: Sequence[Print], open_ns: int, t: int, level: float, rules: Rules) -> dict[str, Any]:
    mine = near(known(prints, open_ns, t), level, rules)
    call = math.fsum(one.dealer for one in mine if one.right == "C")
    put = math.fsum(one.dealer for one in mine if one.right == "P")
    net, volume = call + put, sum(one.size for one in mine)
    bucket = "SHORT_GAMMA" if net < 0 else "LONG_GAMMA"
    return {
        "gamma_exposure": net,
        "fuel_net_dealer_gamma": net,
        "fuel_call_gamma": call,
        "fuel_put_gamma": put,
        "fuel_gross_gamma": math.fsum(one.gross for one in mine),
        "fuel_volume": volume,
        "fuel_effect": "AMPLIFY" if net < -rules.effect else "DAMPEN" if net > rules.effect else "NEUTRAL",
        "gamma_bucket": bucket if any(one.signed for one in mine) else "UNKNOWN",
        "fuel_call_wall": wall(
            [one for one in mine if one.right == "C" and one.strike_e3 / 1000 >= level], level, rules
        ),
        "fuel_put_wall": wall(
            [one for one in mine if one.right == "P" and one.strike_e3 / 1000 <= level], level, rules
        ),
        "fuel_confidence": min(1.0, volume / rules.confidence),
    }


def wall(mine: Sequence[Print], level: float, rules: Rules) -> float | None:
    """The strike with the largest dealers' gamma, of equals the nearest, if it is large enough."""
    sums = {k: math.fsum(one.dealer for one in mine if one.strike_e3 == k) for k in {one.strike_e3 for one in mine}}
    enough = [(-total, abs(k / 1000 - level), k / 1000) for k, total in sums.items() if total >= rules.wall]
    return min(enough)[2] if enough else None


def dealer_flow(prints: Sequence[Print], open_ns: int, t: int, level: float, rules: Rules) -> dict[str, float]:
    mine = near(known(prints, open_ns, t), level, rules)

    def flow(a: float, b: float) -> float:
        return math.fsum(one.dealer for one in known(mine, t - round(a * MINUTE), t - round(b * MINUTE)))

    velocity, base = flow(rules.window_min, 0) / rules.window_min, flow(rules.baseline_min, 0) / rules.baseline_min
    accel_1m, accel_3m = flow(1, 0) - flow(2, 1), (flow(3, 0) - flow(6, 3)) / 3
    made = {
        "velocity": velocity,
        "impulse": 0.0 if abs(base) <= 1e-6 else (velocity - base) / abs(base),
        "accel_1m": accel_1m,
        "accel_3m": accel_3m,
    }
    named = {f"{prefix}_flow_{name}": value for name, value in made.items() for prefix in ("gamma", "dealer")}
    pressures = {
        "dealer_pressure": math.tanh(-velocity / rules.scale),
        "dealer_pressure_accel": math.tanh(-accel_1m / rules.scale),
    }
    return named | pressures
