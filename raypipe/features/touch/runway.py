"""Group runway: the next level in the direction that the price is expected to take, and whether the way is clear."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from raypipe.features.touch.group import Group
from raypipe.features.touch.neighbours import (
    CALL_WALL,
    GAMMA_FLIP,
    PUT_WALL,
    SAME_USD,
    SESSION_HIGH,
    SESSION_LOW,
    VWAP,
    Neighbours,
)
from raypipe.features.touch.scene import Scene
from raypipe.features.touch.words import words
from raypipe.schema.frames import nullable
from raypipe.schema.spec import Column

__all__ = ["GROUP"]

#: Levels not farther than this from the touched one do not lie beyond it, usd.
_GAP_USD = 0.01
_OBSTACLES = (CALL_WALL, PUT_WALL, SESSION_HIGH, SESSION_LOW, VWAP, GAMMA_FLIP)

_NONE = "no level lies that way"
_COLUMNS = (
    Column("runway_direction", "dict", "UP or DOWN: the direction of the touch, the opposite if signal is REJECT."),
    Column("runway_next_level_price", "f64", "The nearest level beyond the touched one that way.", "usd", _NONE),
    Column("runway_distance", "f64", "How far that is from the touched level.", "usd", _NONE),
    Column(
        "runway_quality",
        "dict",
        "OBSTRUCTED if a wall, session extreme, VWAP or gamma flip lies within reach_usd that way, else CLEAR.",
    ),
)


def _compute(scene: Scene) -> dict[str, pa.Array]:
    sign = np.where(scene.texts("signal") == "REJECT", -1, 1) * scene.values("direction_sign")
    level, rows = scene.values("level_price"), len(scene)
    price, nearest, obstacle = np.full(rows, np.nan), np.full(rows, np.inf), np.full(rows, np.inf)
    for kind, beyond in Neighbours(scene).beyond(sign, _GAP_USD).items():
        away = np.abs(beyond - level)
        price = np.where(away < nearest, beyond, price)
        nearest = np.fmin(nearest, away)
        if kind in _OBSTACLES:
            obstacle = np.fmin(obstacle, away)
    return {
        "runway_direction": words(("UP", "DOWN"), (sign < 0).astype(np.int64)),
        "runway_next_level_price": nullable(price),
        "runway_distance": nullable(nearest),
        "runway_quality": words(
            ("CLEAR", "OBSTRUCTED"), (obstacle <= scene.params.runway.reach_usd + SAME_USD).astype(np.int64)
        ),
    }


GROUP = Group("runway", _COLUMNS, ("levels", "options", "runway"), ("reversion", "score"), _compute)
