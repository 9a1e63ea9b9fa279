"""Group approach: how the price came to the level, how often before, and what has changed since the first attempt.

Attempts are touches of one level from one side. One that comes soon after the last, at about the same price, belongs
to its cluster.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from raypipe.calendar import NS_PER_MINUTE
from raypipe.features.touch.group import Group
from raypipe.features.touch.neighbours import SAME_USD
from raypipe.features.touch.scene import Scene
from raypipe.schema.frames import nullable
from raypipe.schema.signals import ApproachParams
from raypipe.schema.spec import Column

__all__ = ["GROUP"]

#: Bars that a velocity needs.
_MIN_BARS = 2
_TRENDS = {
    "barrier_replenishment_trend": "barrier_replenishment_ratio",
    "barrier_delta_liq_trend": "barrier_delta_liq",
    "tape_velocity_trend": "tape_velocity",
    "tape_imbalance_trend": "tape_imbalance",
}

_COLUMNS = (
    Column(
        "approach_velocity",
        "f64",
        "Move in the direction since the first close of the last lookback_min minutes; 0 from fewer than two bars.",
        "usd / min",
    ),
    Column("approach_bars", "i32", "One-minute closes in a row that moved in the direction, the last included.", "1"),
    Column("prior_touches", "i32", "Earlier rows of the level_id.", "1"),
    Column(
        "approach_distance",
        "f64",
        "Distance of the price from that first close.",
        "usd",
        "no bar of the last lookback_min minutes is completed",
    ),
    Column("attempt_index", "i32", "Number of the row in its cluster, from 1.", "1"),
    Column("attempt_cluster_id", "i32", "Number of the cluster in the session, by its first row, from 1.", role="meta"),
    *(
        Column(name, "f64", f"{of} - {of} of the cluster's first row.", null=f"{of} is null here or there")
        for name, of in _TRENDS.items()
    ),
)


class _Attempts(NamedTuple):
    """Where rows stand among those of their level: int64 (touches,) each.

    ``first`` is the number of the row with which the cluster begins, ``place`` and ``cluster`` count from 1.
    """

    first: np.ndarray
    place: np.ndarray
    cluster: np.ndarray


def _compute(scene: Scene) -> dict[str, pa.Array]:
    attempts = _attempts(scene, scene.params.approach)
    trends = {name: scene.values(of) for name, of in _TRENDS.items()}
    return {
        **_arrival(scene),
        "prior_touches": pa.array(_place_in_run(_codes(scene.texts("level_id"))).astype(np.int32)),
        "attempt_index": pa.array(attempts.place.astype(np.int32)),
        "attempt_cluster_id": pa.array(attempts.cluster.astype(np.int32)),
        **{name: nullable((values - values[attempts.first]).astype(np.float64)) for name, values in trends.items()},
    }


def _arrival(scene: Scene) -> dict[str, pa.Array]:
    """Velocity, bars and distance of the way to the level."""
    moments, sign, end_ns = scene.decision_ns, scene.values("direction_sign"), scene.bars.end_ns
    done = np.searchsorted(end_ns, moments, side="right")
    first = np.searchsorted(scene.bars.start_ns, moments - scene.params.approach.lookback_min * NS_PER_MINUTE)
    bars = done - first
    place = np.where(bars > 0, first, len(end_ns))
    close = np.append(scene.bars.close_ticks, np.nan)[place]
    minutes = (moments - np.append(end_ns, 0)[place]) / NS_PER_MINUTE
    moved = scene.values("spot") - scene.usd(close)
    moving = bars >= _MIN_BARS
    velocity = np.where(moving, sign * moved / np.where(moving, minutes, 1.0), 0.0)
    return {
        "approach_velocity": pa.array(velocity),
        "approach_bars": pa.array(np.where(sign > 0, *_runs(scene.bars.close_ticks)[:, done]).astype(np.int32)),
        "approach_distance": nullable(np.abs(moved)),
    }


def _runs(close: np.ndarray) -> np.ndarray:
    """Rising and falling closes in a row that end at the last of the first n, for each n. int64 (2, bars + 1)."""
    change = np.diff(close, prepend=close[:1])
    place = np.arange(1, len(close) + 1)
    broken = np.stack([change <= 0, change >= 0])
    runs = place - np.maximum.accumulate(np.where(broken, place, 0), axis=1)
    return np.concatenate([np.zeros((2, 1), np.int64), runs], axis=1)


def _attempts(scene: Scene, params: ApproachParams) -> _Attempts:
    """Clusters of the rows, which stand in order of time."""
    side = _codes(scene.texts("level_id")) * 2 + (scene.values("direction_sign") > 0)
    order = np.argsort(side, kind="stable")
    moments, level = scene.decision_ns[order], scene.values("level_price")[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = side[order][1:] != side[order][:-1]
    new[1:] |= np.diff(moments) > params.attempt_gap_min * NS_PER_MINUTE
    new[1:] |= np.abs(np.diff(level)) > params.attempt_price_usd + SAME_USD
    starts = np.flatnonzero(new)
    run = np.cumsum(new) - 1
    first, place = np.empty(len(order), np.int64), np.empty(len(order), np.int64)
    first[order] = order[starts][run]
    place[order] = np.arange(len(order)) - starts[run] + 1
    cluster = np.searchsorted(np.sort(order[starts]), first) + 1
    return _Attempts(first, place, cluster)


def _codes(texts: np.ndarray) -> np.ndarray:
    """A number for each text, the same for the same text. int64."""
    codes: np.ndarray = np.unique(texts.astype(str), return_inverse=True)[1]
    return codes.astype(np.int64)


def _place_in_run(codes: np.ndarray) -> np.ndarray:
    """How many rows of the same code stand before each. int64."""
    order = np.argsort(codes, kind="stable")
    begin = np.searchsorted(codes[order], codes[order], side="left")
    place = np.empty(len(codes), np.int64)
    place[order] = np.arange(len(codes)) - begin
    return place


GROUP = Group("approach", _COLUMNS, ("approach",), ("barrier", "tape"), _compute)
