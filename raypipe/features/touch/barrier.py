"""Group barrier: what the defending side of the book did in the zone of the level, and what stands there now.

It knows the book events that were closed before the touch, and no other. What is out of sight is unknown, not empty.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from raypipe.features.touch.book_view import (
    STATES,
    View,
    average_starts,
    ns,
    session_book,
    touch_view,
    zones_of,
)
from raypipe.features.touch.group import Group
from raypipe.features.touch.scene import Scene
from raypipe.features.touch.words import words
from raypipe.schema.books import BOOK_DEPTH
from raypipe.schema.frames import constant_dictionary, nullable
from raypipe.schema.spec import Column

__all__ = ["GROUP"]

_MS = 1e6
_UNSEEN = "the zone is not visible, or the book older than 60 s"
_LOTS = "contracts"

_COLUMNS = (
    Column("barrier_added", "i64", "Size added in the zone by the defending side within the window.", _LOTS),
    Column("barrier_canceled", "i64", "Size canceled there.", _LOTS),
    Column("barrier_filled", "i64", "Size taken there by trades.", _LOTS),
    Column("barrier_view_in", "i64", "Size there that scrolled into sight.", _LOTS),
    Column("barrier_view_out", "i64", "Size there that scrolled out of sight.", _LOTS),
    Column("barrier_delta_liq", "f64", "added - canceled - filled.", _LOTS, _UNSEEN),
    Column("churn", "f64", "added + canceled + filled.", _LOTS),
    Column("depth_in_zone", "i64", "Visible size of the defending side in the zone.", _LOTS, _UNSEEN),
    Column(
        "depth_in_zone_start",
        "i64",
        "The same at the start of the window.",
        _LOTS,
        f"{_UNSEEN}, or nothing of the zone was in sight then",
    ),
    Column(
        "barrier_replenishment_ratio", "f64", "added / max(canceled + filled, 1).", "1", f"{_UNSEEN}, or churn is 0"
    ),
    Column("barrier_refill_ratio", "f64", "(added - canceled) / max(filled, 1).", "1", _UNSEEN),
    Column(
        "wall_ratio",
        "f64",
        "Mean size of the zone's visible ticks at or beyond the best quote / mean size of the side's ten levels.",
        "1",
        f"{_UNSEEN}, or no such tick, or no book before",
    ),
    Column("zone_visible_frac", "f64", "Share of the zone's ticks no deeper than the tenth level.", "1"),
    Column("zone_visible_time_frac", "f64", "Share of the window in which enough of the zone was visible.", "1"),
    Column("zone_visible", "bool", "Whether enough of the zone is visible.", role="qa"),
    Column("book_age_ms", "f64", "Time since the last settled book.", "ms", "no book before", role="qa"),
    Column("barrier_fill_method", "dict", "exact, or volume where book records have no action.", role="qa"),
    Column("barrier_state", "dict", "VACUUM, WALL, CONSUMED, ABSORPTION, WEAK or NEUTRAL."),
    Column("barrier_confidence", "f64", "min(1, churn / 500); 0 out of sight.", "1"),
    Column("wall_ratio_nonzero", "i8", "1 if wall_ratio is known and not 0."),
    Column("barrier_delta_liq_nonzero", "i8", "1 if barrier_delta_liq is known and not 0."),
    Column("wall_ratio_log", "f64", "ln(1 + wall_ratio).", "1", "no wall_ratio"),
    Column("barrier_delta_liq_log", "f64", "sign(x) ln(1 + abs x) of barrier_delta_liq.", "1", _UNSEEN),
)


def _compute(scene: Scene) -> dict[str, pa.Array]:
    view = touch_view(scene)
    seen, depth = view.seen[:, 0], view.standing.depth[:, 0]
    wall = np.where(seen, _wall_ratio(scene, view), np.nan)
    return _flow_columns(view, scene.params.barrier.confidence_contracts) | {
        "depth_in_zone": nullable(depth, pa.int64(), null=~seen),
        "depth_in_zone_start": _depth_at_start(scene, seen),
        "wall_ratio": nullable(wall),
        "wall_ratio_nonzero": _nonzero(wall),
        "wall_ratio_log": nullable(_log(wall)),
        "zone_visible_frac": pa.array(view.standing.visible[:, 0]),
        "zone_visible_time_frac": pa.array(_visible_time(scene)),
        "zone_visible": pa.array(view.standing.visible[:, 0] >= scene.params.barrier.min_visible_frac),
        "book_age_ms": nullable(np.where(np.isinf(view.age_ns), np.nan, view.age_ns / _MS)[:, 0]),
        "barrier_fill_method": constant_dictionary("volume" if session_book(scene).unnamed else "exact", len(scene)),
        "barrier_state": words(STATES, view.state[:, 0]),
    }


def _flow_columns(view: View, confident: float) -> dict[str, pa.Array]:
    """Columns of what flowed."""
    seen = view.seen[:, 0]
    added, canceled, filled, into, out = (view.flows[:, 0, k] for k in range(5))
    delta, churn = np.where(seen, added - canceled - filled, np.nan), added + canceled + filled
    ratio = added / np.maximum(canceled + filled, 1)
    rho = (added - canceled) / np.maximum(filled, 1)
    return {
        "barrier_added": pa.array(added),
        "barrier_canceled": pa.array(canceled),
        "barrier_filled": pa.array(filled),
        "barrier_view_in": pa.array(into),
        "barrier_view_out": pa.array(out),
        "barrier_delta_liq": nullable(delta),
        "barrier_delta_liq_nonzero": _nonzero(delta),
        "barrier_delta_liq_log": nullable(_log(delta)),
        "churn": pa.array(churn.astype(np.float64)),
        "barrier_replenishment_ratio": nullable(np.where(seen & (churn > 0), ratio, np.nan)),
        "barrier_refill_ratio": nullable(np.where(seen, rho, np.nan)),
        "barrier_confidence": pa.array(np.where(seen, np.minimum(1.0, churn / confident), 0.0)),
    }


def _depth_at_start(scene: Scene, seen: np.ndarray) -> pa.Array:
    from raypipe.kernels.barrier import standing

    marks = session_book(scene).marks
    row = np.searchsorted(marks.at_ns, scene.decision_ns - ns(scene.params.barrier.window_s))
    then = standing(marks, zones_of(scene), row[:, None])
    return nullable(then.depth[:, 0], pa.int64(), null=~seen | (then.visible[:, 0] == 0))


def _wall_ratio(scene: Scene, view: View) -> np.ndarray:
    """Mean size per offered tick of the zone over the side's mean size per level; NaN if either is unknown."""
    book, side = session_book(scene), zones_of(scene).side
    start_ns, end_ns = average_starts(scene), scene.decision_ns
    start, end = (np.searchsorted(book.marks.at_ns, moments) for moments in (start_ns, end_ns))
    load = book.marks.load[end, side] - book.marks.load[start, side]
    known_ns = end_ns - np.maximum(start_ns, book.first_ns)
    usual = np.where(known_ns > 0, load, 0) / np.maximum(known_ns, 1) / BOOK_DEPTH
    offered = view.standing.offered[:, 0]
    known = (usual > 0) & (offered > 0)
    ratio: np.ndarray = np.full(len(scene), np.nan)
    ratio[known] = view.standing.depth[known, 0] / offered[known] / usual[known]
    return ratio


def _visible_time(scene: Scene) -> np.ndarray:
    from raypipe.kernels.barrier import visible_share

    params = scene.params.barrier
    width_ns = ns(params.window_s)
    return visible_share(session_book(scene), zones_of(scene), scene.decision_ns, width_ns, params.min_visible_frac)


def _nonzero(values: np.ndarray) -> pa.Array:
    return pa.array((np.nan_to_num(values) != 0).astype(np.int8))


def _log(values: np.ndarray) -> np.ndarray:
    logs: np.ndarray = np.sign(values) * np.log1p(np.abs(values))
    return logs


GROUP = Group("barrier", _COLUMNS, ("barrier",), (), _compute)
