"""Group transforms: distances in units of the true range and of the price."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from raypipe.features.touch.group import Group
from raypipe.features.touch.scene import Scene
from raypipe.schema.frames import nullable
from raypipe.schema.spec import Column

__all__ = ["GROUP"]

_DISTANCES = (
    *("distance", "distance_signed", "dist_to_pm_high", "dist_to_pm_low", "dist_to_sma_200", "dist_to_sma_400"),
    *("confluence_min_distance", "approach_distance"),
)
_NEVER_NULL = ("distance", "distance_signed")


def _columns() -> Iterator[Column]:
    for name in _DISTANCES:
        null = "" if name in _NEVER_NULL else f"{name} is null"
        yield Column(f"{name}_atr", "f64", f"{name} / atr.", "1", " or ".join(filter(None, (null, "atr is null or 0"))))
        yield Column(f"{name}_pct", "f64", f"{name} / spot, a fraction.", "1", null)
    alias = "distance_signed_pct"
    yield Column("level_price_pct", "f64", f"{alias} under its other name.", "1", alias_of=alias)


def _compute(scene: Scene) -> dict[str, pa.Array]:
    atr, spot = scene.values("atr"), scene.values("spot")
    unit = np.where(atr > 0, atr, np.nan)
    made: dict[str, pa.Array] = {}
    for name in _DISTANCES:
        made[f"{name}_atr"] = nullable(scene.values(name) / unit)
        made[f"{name}_pct"] = nullable(scene.values(name) / spot)
    return made


GROUP = Group("transforms", tuple(_columns()), (), ("approach", "context", "stacked"), _compute)
