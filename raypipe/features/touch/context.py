"""Group context: the time of the touch, the range of the price, and how far level and price are from other levels."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from raypipe.calendar import NS_PER_MINUTE
from raypipe.features.touch.group import Group
from raypipe.features.touch.scene import Scene
from raypipe.schema.frames import nullable
from raypipe.schema.spec import Column
from raypipe.schema.warmup import Bars, trailing_mean

__all__ = ["GROUP"]

_FIRST_MIN = 15
_FROM_LEVEL = ("pm_high", "pm_low", "sma_200", "sma_400", "vwap")
_FROM_SPOT = ("sma_200", "sma_400", "vwap")

_COLUMNS = (
    Column("is_first_15m", "bool", "Within 15 minutes of the open."),
    Column("is_opening_range", "bool", "Before the end of the opening range."),
    Column("bars_since_open", "i32", "Whole minutes since the open.", "min"),
    Column("atr", "f64", "Mean true range of the last completed one-minute bars.", "usd", "fewer than bars.atr_bars"),
    Column("session_position", "f64", "Price in the session's range: 0 low, 1 high; 0.5 without a range.", "1"),
    *(Column(f"dist_to_{x}", "f64", f"Level minus {x}.", "usd", f"no {x}") for x in _FROM_LEVEL),
    *(Column(f"spot_to_{x}", "f64", f"Price minus {x}.", "usd", f"no {x}") for x in _FROM_SPOT),
)


def _compute(scene: Scene) -> dict[str, pa.Array]:
    since_ns = scene.decision_ns - scene.target.open_ns
    level, spot = scene.values("level_price"), scene.values("spot")
    made = {
        "is_first_15m": pa.array(since_ns < _FIRST_MIN * NS_PER_MINUTE),
        "is_opening_range": pa.array(since_ns < scene.params.levels.or_minutes * NS_PER_MINUTE),
        "bars_since_open": pa.array((since_ns // NS_PER_MINUTE).astype(np.int32)),
        "atr": nullable(scene.usd(_atr_ticks(scene))),
        "session_position": pa.array(_position(spot, scene.values("session_low"), scene.values("session_high"))),
    }
    made |= {f"dist_to_{x}": nullable(level - scene.values(x)) for x in _FROM_LEVEL}
    return made | {f"spot_to_{x}": nullable(spot - scene.values(x)) for x in _FROM_SPOT}


def _atr_ticks(scene: Scene) -> np.ndarray:
    """Mean true range of the bars completed at each row's decision; NaN where there are too few."""
    means = np.concatenate([[np.nan], trailing_mean(_true_range(scene.bars), scene.params.bars.atr_bars)])
    found: np.ndarray = means[np.searchsorted(scene.bars.end_ns, scene.decision_ns, side="right")]
    return found


def _true_range(bars: Bars) -> np.ndarray:
    """max(high - low, |high - close before|, |low - close before|) in ticks; of the first bar its range."""
    if not len(bars.close_ticks):
        return np.empty(0)
    before = np.concatenate([bars.open_ticks[:1], bars.close_ticks[:-1]])
    ranges: np.ndarray = np.maximum(bars.high_ticks, before) - np.minimum(bars.low_ticks, before)
    return ranges


def _position(spot: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    width = high - low
    wide = width > 0
    return np.where(wide, np.clip((spot - low) / np.where(wide, width, 1.0), 0.0, 1.0), 0.5)


GROUP = Group("context", _COLUMNS, ("bars", "levels"), ("reversion",), _compute)
