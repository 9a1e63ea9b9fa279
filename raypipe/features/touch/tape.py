"""Group tape: who traded near the level before the touch, how fast the price moved, and whether the book was swept.

The touching trade is not among them: windows end before the touch.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from raypipe.features.touch.group import Group
from raypipe.features.touch.scene import Scene
from raypipe.features.touch.tape_view import slope_at, tape_at, usd
from raypipe.features.touch.words import words
from raypipe.schema.spec import Column

__all__ = ["GROUP"]

_LOTS = "contracts"
_LONG_SLOPE_S = 60
#: Directions of a sweep by its aggressor + 1.
_DIRECTIONS = ("DOWN", "NONE", "UP")

_COLUMNS = (
    Column("tape_buy_vol", "i64", "Contracts that buyers took near the level within the window.", _LOTS),
    Column("tape_sell_vol", "i64", "Contracts that sellers gave there.", _LOTS),
    Column("tape_unsided_vol", "i64", "Contracts there without aggressor.", _LOTS),
    Column("tape_imbalance", "f64", "(buy - sell) / (buy + sell); 0 if nothing traded.", "1"),
    Column("tape_velocity", "f64", "Trades of the front contract in the window, at any price, per second.", "1 / s"),
    Column("tape_slope_3s", "f64", "Slope of the ES price over 3 s, 0 with less than two times.", "points / s"),
    Column("tape_slope_60s", "f64", "The same over 60 s.", "points / s"),
    Column("tape_sweep_detected", "bool", "Whether a run of prints near the level swept the book."),
    Column("sweep_detected", "bool", "tape_sweep_detected.", alias_of="tape_sweep_detected"),
    Column("tape_sweep_direction", "dict", "UP, DOWN, or NONE without sweep or aggressor; of the largest sweep."),
    Column("tape_sweep_notional", "f64", "Its notional; 0 without sweep.", "usd"),
    Column("tape_sweep_contracts", "i64", "Its contracts; 0 without sweep.", _LOTS),
    Column("tape_sweep_prints", "i32", "Its prints; 0 without sweep.", "1"),
    Column("tape_sweep_window_ms", "f64", "Time from its first to its last print; 0 without sweep.", "ms"),
    Column("tape_confidence", "f64", "min(1, (buy + sell) / 500).", "1"),
)


def _compute(scene: Scene) -> dict[str, pa.Array]:
    moments = scene.decision_ns[:, None]
    tape, params = tape_at(scene, moments), scene.params.tape
    buy, sell, unsided, trades = (values[:, 0] for values in tape.volumes)
    sweep = tape.sweeps
    return {
        "tape_buy_vol": pa.array(buy),
        "tape_sell_vol": pa.array(sell),
        "tape_unsided_vol": pa.array(unsided),
        "tape_imbalance": pa.array(tape.imbalance[:, 0]),
        "tape_velocity": pa.array(trades / params.window_s),
        "tape_slope_3s": pa.array(tape.slope_3s[:, 0]),
        "tape_slope_60s": pa.array(slope_at(scene, moments, _LONG_SLOPE_S)[:, 0]),
        "tape_sweep_detected": pa.array(sweep.found[:, 0]),
        "tape_sweep_direction": words(_DIRECTIONS, sweep.side[:, 0].astype(np.int64) + 1),
        "tape_sweep_notional": pa.array(usd(sweep.turnover[:, 0])),
        "tape_sweep_contracts": pa.array(sweep.lots[:, 0]),
        "tape_sweep_prints": pa.array(sweep.prints[:, 0].astype(np.int32)),
        "tape_sweep_window_ms": pa.array(sweep.lasted_ns[:, 0] / 1e6),
        "tape_confidence": pa.array(np.minimum(1.0, (buy + sell) / params.confidence_contracts)),
    }


GROUP = Group("tape", _COLUMNS, ("tape",), (), _compute)
