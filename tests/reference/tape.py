"""The tape by its definitions: every window filtered anew from the list of trades."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from tests.reference.book import Trade

SECOND = 10**9
RULES: dict[str, Any] = {
    "window_ns": 60 * SECOND,
    "band_usd": 0.5,
    "gap_ns": 100_000_000,
    "prints": 2,
    "prices": 2,
    "contracts": 50,
    "notional": 500_000.0,
    "confident": 500,
}


class Sweep(NamedTuple):
    side: int
    notional: float
    contracts: int
    prints: int
    lasted_ns: int


def within(trades: Sequence[Trade], start: int, end: int) -> list[Trade]:
    return [trade for trade in trades if start <= trade.ts < end]


def near(trades: Sequence[Trade], level_ticks: float, ratio: float, rules: dict[str, Any] = RULES) -> list[Trade]:
    return [t for t in trades if abs(t.tick - level_ticks) * 0.25 / ratio <= rules["band_usd"] + 1e-9]


def slope(trades: Sequence[Trade]) -> float:
    """Least squares of points on seconds, in exact fractions."""
    if len({t.ts for t in trades}) < 2:
        return 0.0
    x = [Fraction(t.ts, SECOND) for t in trades]
    y = [Fraction(t.tick, 4) for t in trades]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    rise = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return float(rise / sum((a - mean_x) ** 2 for a in x))


def runs(prints: Sequence[Trade], gap_ns: int) -> list[list[Trade]]:
    """Prints that follow each other closely, cut at the first one of the other aggressor."""
    made: list[list[Trade]] = []
    for trade in prints:
        sides = {t.side for t in made[-1]} - {0} if made else set()
        if made and trade.ts - made[-1][-1].ts <= gap_ns and -trade.side not in sides:
            made[-1].append(trade)
        else:
            made.append([trade])
    return made


def sweep(prints: Sequence[Trade], rules: dict[str, Any] = RULES) -> Sweep | None:
    """The largest run that qualifies, the latest of equals."""
    best = None
    for run in runs(prints, rules["gap_ns"]) if len(prints) >= 3 else []:
        notional = sum(t.tick * 0.25 * t.size * 50 for t in run)
        contracts = sum(t.size for t in run)
        enough = len(run) >= rules["prints"] and len({t.tick for t in run}) >= rules["prices"]
        if enough and contracts >= rules["contracts"] and notional >= rules["notional"]:
            sides = [t.side for t in run if t.side]
            found = Sweep(sides[0] if sides else 0, notional, contracts, len(run), run[-1].ts - run[0].ts)
            if best is None or found.notional >= best.notional:
                best = found
    return best


def volumes(prints: Sequence[Trade]) -> tuple[int, int, int]:
    """Contracts of buyers, of sellers, of neither."""
    return tuple(sum(t.size for t in prints if t.side == side) for side in (1, -1, 0))  # type: ignore[return-value]


def tape(
    trades: Sequence[Trade], t: int, level_ticks: float, ratio: float, rules: dict[str, Any] = RULES
) -> dict[str, Any]:
    """Every column of the tape of one touch."""
    window = within(trades, t - rules["window_ns"], t)
    close = near(window, level_ticks, ratio, rules)
    buy, sell, unsided = volumes(close)
    found = sweep(close, rules)
    return {
        "tape_buy_vol": buy,
        "tape_sell_vol": sell,
        "tape_unsided_vol": unsided,
        "tape_imbalance": (buy - sell) / (buy + sell) if buy + sell else 0.0,
        "tape_velocity": len(window) / (rules["window_ns"] / SECOND),
        "tape_slope_3s": slope(within(trades, t - 3 * SECOND, t)),
        "tape_slope_60s": slope(within(trades, t - 60 * SECOND, t)),
        "tape_sweep_detected": found is not None,
        "sweep_detected": found is not None,
        "tape_sweep_direction": {1: "UP", -1: "DOWN", 0: "NONE"}[found.side if found else 0],
        "tape_sweep_notional": found.notional if found else 0.0,
        "tape_sweep_contracts": found.contracts if found else 0,
        "tape_sweep_prints": found.prints if found else 0,
        "tape_sweep_window_ms": found.lasted_ns / 1e6 if found else 0.0,
        "tape_confidence": min(1.0, (buy + sell) / rules["confident"]),
    }
