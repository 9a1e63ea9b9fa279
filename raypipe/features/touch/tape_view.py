"""The tape as the groups of a touch see it, at any moments: the code of the touch itself and of the score's grid."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from raypipe.features.touch.scene import Scene
from raypipe.schema.books import POINTS_PER_TICK
from raypipe.schema.signals import TapeParams

if TYPE_CHECKING:
    from raypipe.kernels.tape import SweepRules, Sweeps, Volumes

__all__ = ["SHORT_SLOPE_S", "USD_PER_POINT", "TapeView", "slope_at", "tape_at", "usd"]

#: What one index point of an ES contract is worth, usd.
USD_PER_POINT = 50.0
#: Seconds of the slope that scores use.
SHORT_SLOPE_S = 3
_NS = 1_000_000_000
#: Fewest prints near the level in a window that can hold a sweep.
_LEAST_NEAR = 3


class TapeView(NamedTuple):
    """The tape near some levels at some moments; shape (levels, moments) each."""

    volumes: Volumes
    sweeps: Sweeps
    imbalance: np.ndarray
    """(buy - sell) / (buy + sell), 0 if both are 0."""
    slope_3s: np.ndarray
    """Points per second."""


def tape_at(scene: Scene, at_ns: np.ndarray) -> TapeView:
    """The tape at some moments of each touch, ascending: int64 (touches, moments)."""
    from raypipe.kernels.tape import Prints, near_volumes, sweeps

    prints, params = Prints(*scene.trades), scene.params.tape
    band_ticks = params.band_usd * scene.values("es_spy_ratio") / POINTS_PER_TICK
    place = prints, scene.level_ticks, band_ticks, at_ns, round(params.window_s * _NS)
    volumes = near_volumes(*place)
    sided = volumes.buy + volumes.sell
    imbalance = (volumes.buy - volumes.sell) / np.maximum(sided, 1)
    return TapeView(volumes, sweeps(*place, _rules(params)), imbalance, slope_at(scene, at_ns, SHORT_SLOPE_S))


def slope_at(scene: Scene, at_ns: np.ndarray, seconds: int) -> np.ndarray:
    """Slope of the ES price over the last seconds before each moment, points per second."""
    from raypipe.kernels.tape import Prints, slopes

    found: np.ndarray = slopes(Prints(*scene.trades), at_ns, seconds * _NS) * POINTS_PER_TICK
    return found


def usd(turnover: np.ndarray) -> np.ndarray:
    """Sums of ticks x contracts as notional in usd."""
    notional: np.ndarray = turnover * (POINTS_PER_TICK * USD_PER_POINT)
    return notional


def _rules(params: TapeParams) -> SweepRules:
    from raypipe.kernels.tape import SweepRules

    return SweepRules(
        gap_ns=round(params.sweep_gap_ms * 1_000_000),
        min_near=_LEAST_NEAR,
        min_prints=params.sweep_min_prints,
        min_prices=params.sweep_min_prices,
        min_lots=params.sweep_min_contracts,
        min_turnover=math.ceil(params.sweep_min_notional_usd / (POINTS_PER_TICK * USD_PER_POINT)),
    )
