"""Group pressure: what book, tape, dealers and averages push towards, each in [-1, 1]; positive favours the break.

Unlike the columns that it is made of, the pressure of a book out of sight is 0: it pushes neither way.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from raypipe.features.touch.group import Group
from raypipe.features.touch.scene import Scene
from raypipe.schema.frames import nullable
from raypipe.schema.spec import Column

__all__ = ["GROUP"]

_AVERAGES = ("mean_reversion_pressure_200", "mean_reversion_pressure_400")
_NO_GAMMA = "no gamma_exposure"
_NO_AVERAGE = "no mean_reversion_pressure"

_COLUMNS = (
    Column("liquidity_pressure", "f64", "Of leaving size and a thin zone; an unknown part counts as 0.", "1"),
    Column("tape_pressure", "f64", "Of imbalance and slope of the tape along the break.", "1"),
    Column("gamma_pressure", "f64", "Of short dealer gamma near the level.", "1", _NO_GAMMA),
    Column("gamma_pressure_accel", "f64", "Of its acceleration over 3 minutes.", "1", "no gamma_flow_accel_3m"),
    Column("reversion_pressure", "f64", "Of the moving averages' pull along the break.", "1", _NO_AVERAGE),
    Column(
        "net_break_pressure", "f64", "Mean of these and of confluence, aligned.", "1", f"{_NO_GAMMA}, or {_NO_AVERAGE}"
    ),
)


def _compute(scene: Scene) -> dict[str, pa.Array]:
    gamma = np.tanh(-scene.values("gamma_exposure") / scene.params.pressure.gamma)
    accel = np.tanh(-scene.values("gamma_flow_accel_3m") / scene.params.pressure.flow)
    parts = {
        "liquidity_pressure": _liquidity(scene),
        "tape_pressure": _tape(scene),
        "gamma_pressure": gamma,
        "reversion_pressure": _reversion(scene),
    }
    confluence = scene.values("confluence_alignment") * scene.values("confluence_pressure")
    net = np.clip(np.mean([*parts.values(), confluence], axis=0), -1, 1)
    columns = parts | {"gamma_pressure_accel": accel, "net_break_pressure": net}
    return {name: nullable(values) for name, values in columns.items()}


def _liquidity(scene: Scene) -> np.ndarray:
    scale = scene.params.pressure
    leaving = np.tanh(-scene.values("barrier_delta_liq") / scale.delta_liq)
    thin = np.clip(1 - scene.values("wall_ratio") / scale.wall_ratio, -1, 1)
    pressure: np.ndarray = np.clip((np.nan_to_num(leaving) + np.nan_to_num(thin)) / 2, -1, 1)
    return pressure


def _tape(scene: Scene) -> np.ndarray:
    slope = np.clip(scene.values("tape_slope_3s") / scene.params.pressure.slope, -1, 1)
    along = scene.values("direction_sign") * (scene.values("tape_imbalance") + slope) / 2
    pressure: np.ndarray = np.clip(along, -1, 1)
    return pressure


def _reversion(scene: Scene) -> np.ndarray:
    pulls = np.stack([scene.values(name) for name in _AVERAGES])
    known = ~np.isnan(pulls)
    count = known.sum(axis=0)
    mean = np.where(known, pulls, 0).sum(axis=0) / np.where(count, count, np.nan)
    pressure: np.ndarray = np.tanh(-scene.values("direction_sign") * mean)
    return pressure


GROUP = Group(
    "pressure",
    _COLUMNS,
    ("pressure",),
    ("barrier", "tape", "fuel", "dealer_flow", "reversion", "stacked"),
    _compute,
)
