"""Group reversion: moving averages of two-minute closes, their slopes, and how far the level is from them.

Averages are those of the levels SMA_200 and SMA_400: closes of completed two-minute bars, overnight and the sessions
before included, on the front contract's price basis.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from raypipe.calendar import NS_PER_MINUTE
from raypipe.features.touch.group import Group
from raypipe.features.touch.scene import Scene
from raypipe.schema.frames import nullable
from raypipe.schema.spec import Column
from raypipe.schema.warmup import recent, trailing_mean, trailing_sum, two_minute_closes

__all__ = ["GROUP", "SMA_BARS"]

#: Two-minute bars of each moving average.
SMA_BARS = (200, 400)
#: Two-minute bars over which slopes are taken.
_SLOPE_BARS, _SHORT_SLOPE_BARS = 10, 5
_VELOCITY_MIN = 10
#: Keeps the pressure finite where the price hardly moves, usd.
_TINY_USD = 1e-6


def _columns() -> tuple[Column, ...]:
    made: list[Column] = []
    few = {
        n: f"fewer than {n} completed two-minute bars, or a roll of unknown size among the warm-up" for n in SMA_BARS
    }
    either = few[SMA_BARS[-1]]
    made += [Column(f"sma_{n}", "f64", f"Mean of the last {n} two-minute closes.", "usd", few[n]) for n in SMA_BARS]
    made.append(Column("sma_spread", "f64", "sma_200 - sma_400.", "usd", either))
    for suffix, bars in (("", _SLOPE_BARS), ("_5bar", _SHORT_SLOPE_BARS)):
        doc = f"Change of the average over {bars} two-minute bars, per minute."
        made += [
            Column(f"sma_{n}_slope{suffix}", "f64", doc, "usd / min", f"{few[n]}, now or {bars} bars ago")
            for n in SMA_BARS
        ]
    pressure = "Level minus average, in standard deviations of one-minute close changes."
    flat = "or too few changes, or none that differs from the others"
    made += [Column(f"mean_reversion_pressure_{n}", "f64", pressure, "1", f"no sma_{n}, {flat}") for n in SMA_BARS]
    velocity = "Change of price minus average over ten minutes, per minute."
    then = "or there was none, or no trade of the session, ten minutes ago"
    made += [
        Column(f"mean_reversion_velocity_{n}", "f64", velocity, "usd / min", f"no sma_{n}, {then}") for n in SMA_BARS
    ]
    return tuple(made)


class _Averages(NamedTuple):
    """Moving averages of one length in ticks by bar, NaN where there are too few; ends of the bars."""

    end_ns: np.ndarray
    ticks: np.ndarray

    def before(self, moments: np.ndarray, bars: int = 0) -> np.ndarray:
        """The average at the last bar completed at each moment, or ``bars`` bars before that one."""
        place = np.searchsorted(self.end_ns, moments, side="right") - bars
        padded = np.concatenate([[np.nan], self.ticks])
        found: np.ndarray = padded[np.maximum(place, 0)]
        return found


def _compute(scene: Scene) -> dict[str, pa.Array]:
    moments = scene.decision_ns
    warm = recent(scene.warm, scene.target, scene.params.session.sma_warmup_sessions)
    end_ns, close = two_minute_closes([*(one.adjusted for one in warm), scene.bars])
    deviation, earlier = _deviation_usd(scene), _price_usd(scene, moments - _VELOCITY_MIN * NS_PER_MINUTE)
    made: dict[str, np.ndarray] = {}
    for n in SMA_BARS:
        average = _Averages(end_ns, trailing_mean(close, n))
        now = scene.usd(average.before(moments))
        made[f"sma_{n}"] = now
        for suffix, bars in (("", _SLOPE_BARS), ("_5bar", _SHORT_SLOPE_BARS)):
            made[f"sma_{n}_slope{suffix}"] = (now - scene.usd(average.before(moments, bars))) / (2 * bars)
        made[f"mean_reversion_pressure_{n}"] = (scene.values("level_price") - now) / (_TINY_USD + deviation)
        then = earlier - scene.usd(average.before(moments - _VELOCITY_MIN * NS_PER_MINUTE))
        made[f"mean_reversion_velocity_{n}"] = (scene.values("spot") - now - then) / _VELOCITY_MIN
    made["sma_spread"] = made["sma_200"] - made["sma_400"]
    return {name: nullable(values) for name, values in made.items()}


def _deviation_usd(scene: Scene) -> np.ndarray:
    """Standard deviation (ddof 1) of the last one-minute close changes; NaN if 0 or if there are too few."""
    window = scene.params.bars.vol_min
    changes = np.diff(scene.bars.close_ticks)
    # Sums of whole ticks are exact, and so is a variance of 0.
    sums, squares = trailing_sum(changes, window), trailing_sum(changes * changes, window)
    variance = (window * squares - sums * sums) / (window * (window - 1))
    deviations = np.concatenate([[np.nan, np.nan], np.sqrt(np.where(variance > 0, variance, np.nan))])
    done = np.searchsorted(scene.bars.end_ns, scene.decision_ns, side="right")
    return scene.usd(deviations[done])


def _price_usd(scene: Scene, moments: np.ndarray) -> np.ndarray:
    """The last trade before each moment, at the ratio of the row; NaN if there is none."""
    place = np.searchsorted(scene.trades.ts_ns, moments, side="left")
    return scene.usd(np.concatenate([[np.nan], scene.trades.ticks])[place])


GROUP = Group("reversion", _columns(), ("bars", "session"), (), _compute)
