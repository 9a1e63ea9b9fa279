"""Group stacked: other levels that lie close to the touched one, and whether the moving averages favour the break."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from raypipe.features.touch.group import Group
from raypipe.features.touch.neighbours import SAME_USD, Neighbours
from raypipe.features.touch.scene import Scene
from raypipe.schema.frames import nullable
from raypipe.schema.signals import ConfluenceParams
from raypipe.schema.spec import Column
from raypipe.schema.touches import LEVEL_WEIGHTS

__all__ = ["GROUP"]

_COLUMNS = (
    Column("confluence_count", "i32", "Other levels of enabled kinds within band_usd of the level.", "1"),
    Column("confluence_weighted_score", "f64", "Sum of their weights, each falling to 0 at band_usd.", "1"),
    Column(
        "confluence_pressure", "f64", "That score / the weights of all enabled kinds.", "1", "no enabled kind weighs"
    ),
    Column(
        "confluence_min_distance", "f64", "Distance of the nearest other level of an enabled kind.", "usd", "no other"
    ),
    Column(
        "confluence_alignment",
        "i8",
        "1 if the moving averages favour the direction, -1 if they oppose it, else 0.",
        "1",
    ),
)


def _compute(scene: Scene) -> dict[str, pa.Array]:
    params, rows = scene.params.confluence, len(scene)
    count, score, nearest = np.zeros(rows, np.int32), np.zeros(rows), np.full(rows, np.inf)
    for kind, away in Neighbours(scene).distances().items():
        near = away <= params.band_usd + SAME_USD
        count += near
        score += np.where(near, _weight(params, kind) * np.maximum(1 - away / params.band_usd, 0.0), 0.0)
        nearest = np.fmin(nearest, away)
    total = sum(_weight(params, kind) for kind in scene.params.levels.kinds)
    return {
        "confluence_count": pa.array(count),
        "confluence_weighted_score": pa.array(score),
        "confluence_pressure": nullable(score / total if total else np.full(rows, np.nan)),
        "confluence_min_distance": nullable(nearest),
        "confluence_alignment": pa.array(_alignment(scene)),
    }


def _weight(params: ConfluenceParams, kind: int) -> float:
    weight: float = getattr(params.weights, LEVEL_WEIGHTS[kind])
    return weight


def _alignment(scene: Scene) -> np.ndarray:
    """The averages behind the touch, by direction; comparisons with a missing average are false."""
    level, up = scene.values("level_price"), scene.values("direction_sign") > 0
    fast, slow = scene.values("sma_200_slope"), scene.values("sma_400_slope")
    falling = (level < scene.values("sma_200")) & (level < scene.values("sma_400")) & (fast < 0) & (slow < 0)
    rising = (level > scene.values("sma_200")) & (level > scene.values("sma_400")) & (fast > 0) & (slow > 0)
    with_it = np.where(up, falling, rising) & (fast > slow)
    against = np.where(up, rising, falling) & (fast < slow)
    return with_it.astype(np.int8) - against.astype(np.int8)


GROUP = Group("stacked", _COLUMNS, ("confluence", "levels", "options"), ("reversion",), _compute)
