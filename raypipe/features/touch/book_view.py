"""The order book as the groups of a touch see it: one pass per session, then the zone of each level at any moments.

The barrier measures the moment of the touch, the score a grid of moments before it; both by the code of this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from raypipe.features.touch.scene import Scene
from raypipe.schema.books import BOOK_DEPTH
from raypipe.schema.signals import BarrierParams

if TYPE_CHECKING:
    from raypipe.kernels.barrier import Standing, Zones
    from raypipe.kernels.book import Book, BookColumns

__all__ = [
    "ABSORPTION",
    "CONSUMED",
    "NEUTRAL",
    "STATES",
    "VACUUM",
    "WALL",
    "WEAK",
    "View",
    "average_starts",
    "barrier_states",
    "grid_of",
    "grid_view",
    "ns",
    "session_book",
    "touch_view",
    "zones_of",
]

_NS = 1_000_000_000
#: Averages look back at least so far.
_LEAST_AVERAGE_NS = 60 * _NS
#: Barrier states.
STATES = ("VACUUM", "WALL", "CONSUMED", "ABSORPTION", "WEAK", "NEUTRAL")
VACUUM, WALL, CONSUMED, ABSORPTION, WEAK, NEUTRAL = range(len(STATES))
_F_LAST = 128
#: Rows of the flow that a session is given room for: twice those of a busy one.
_ROWS = 1 << 22


class View(NamedTuple):
    """The zones of some levels at some moments; shape (levels, moments) each."""

    flows: np.ndarray
    """int64 (levels, moments, 5): added, canceled, filled, come into sight, gone out of it."""
    standing: Standing
    age_ns: np.ndarray
    """Age of the last settled book; float64, infinite without one."""
    seen: np.ndarray
    """Whether enough of the zone was in sight, in a book that is not too old."""
    state: np.ndarray
    """Place in `STATES`."""


def ns(seconds: float) -> int:
    """Seconds as whole nanoseconds."""
    return round(seconds * _NS)


def grid_of(scene: Scene) -> np.ndarray:
    """Moments of the score: every ``score.snap_ms`` back from each touch; int64 (touches, moments), ascending."""
    score = scene.params.score
    snap_ns = score.snap_ms * 1_000_000
    steps = np.arange(ns(score.lookback_s) // snap_ns, -1, -1, dtype=np.int64)
    grid: np.ndarray = scene.decision_ns[:, None] - steps * snap_ns
    return grid


def average_starts(scene: Scene) -> np.ndarray:
    """From when the mean size of a level is taken; int64 (touches,)."""
    at_ns = scene.decision_ns
    start = np.maximum(at_ns - ns(scene.params.barrier.avg_window_s), scene.target.open_ns)
    starts: np.ndarray = np.minimum(start, at_ns - _LEAST_AVERAGE_NS)
    return starts


def session_book(scene: Scene) -> Book:
    """The pass over the session's book, made once; it keeps the books that barrier and score look at."""
    book: Book = scene.once("book", _pass)
    return book


def _pass(scene: Scene) -> Book:
    from raypipe.kernels.book import BookScan, Prints

    window_start = scene.decision_ns - ns(scene.params.barrier.window_s)
    moments = [grid_of(scene).ravel(), window_start, average_starts(scene)]
    scan = BookScan(np.unique(np.concatenate(moments)), Prints(*scene.trades), rows=_ROWS)
    for chunk in scene.book:
        scan.columns(_book_columns(chunk))
    return scan.finish()


def _book_columns(chunk: pa.Table) -> BookColumns:
    from raypipe.kernels.book import BookColumns

    def levels(kind: str) -> tuple[np.ndarray, ...]:
        return tuple(_memory(chunk[f"{kind}_{level:02d}"]) for level in range(BOOK_DEPTH))

    return BookColumns(
        _memory(chunk["ts_event_ns"]),
        _memory(chunk["action"], 0),
        _memory(chunk["flags"], _F_LAST),  # data without flags: every record is an event of its own
        _memory(chunk["side"], 0),
        _memory(chunk["price_ticks"]),
        _memory(chunk["size"]),
        levels("bid_ticks"),
        levels("ask_ticks"),
        levels("bid_sz"),
        levels("ask_sz"),
    )


def _memory(column: pa.ChunkedArray, null: int | None = None) -> np.ndarray:
    """The values of a column as they lie in memory; under a null stands anything, unless a value is given for it.

    A level that does not exist has size 0, so its tick is never read: filling 20 columns cost more than the pass.
    """
    whole = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if null is not None and whole.null_count:
        whole = whole.fill_null(null)
    values = np.frombuffer(whole.buffers()[1], whole.type.to_pandas_dtype())
    return values[whole.offset : whole.offset + len(whole)]


def zones_of(scene: Scene) -> Zones:
    """The zone of each touch on the side that defends its level: asks against a rise, bids against a fall."""
    from raypipe.kernels.barrier import Zones
    from raypipe.kernels.book import ASK, BID

    side = np.where(scene.values("direction_sign") > 0, ASK, BID)
    return Zones.around(scene.level_ticks, side, scene.params.barrier.zone_ticks)


def grid_view(scene: Scene) -> View:
    """The zones at the moments of `grid_of`, made once; the last of them is the touch itself."""
    view: View = scene.once("book on the grid", lambda scene: _view_at(scene, grid_of(scene)))
    return view


def touch_view(scene: Scene) -> View:
    """The zones at the touches: shape (touches, 1)."""
    view = grid_view(scene)
    standing = view.standing._replace(**{name: values[:, -1:] for name, values in view.standing._asdict().items()})
    return View(view.flows[:, -1:], standing, view.age_ns[:, -1:], view.seen[:, -1:], view.state[:, -1:])


def _view_at(scene: Scene, at_ns: np.ndarray) -> View:
    """The zones at some moments of each touch, ascending: int64 (touches, moments); all of them marks of the pass."""
    from raypipe.kernels.barrier import standing, zone_flows
    from raypipe.kernels.book import NEVER

    book, zones, params = session_book(scene), zones_of(scene), scene.params.barrier
    row = np.searchsorted(book.marks.at_ns, at_ns)
    flows = zone_flows(book.flow, zones, at_ns, ns(params.window_s))
    there = standing(book.marks, zones, row)
    settled_ns = book.marks.time_ns[row]
    age_ns = np.where(settled_ns == NEVER, np.inf, at_ns - np.where(settled_ns == NEVER, 0, settled_ns))
    seen = (there.visible >= params.min_visible_frac) & (age_ns <= params.max_book_age_s * _NS)
    return View(flows, there, age_ns, seen, barrier_states(flows, there.depth, seen, params))


def barrier_states(flows: np.ndarray, depth: np.ndarray, seen: np.ndarray, params: BarrierParams) -> np.ndarray:
    """What the defenders of a level are doing: the first rule that fits.

    Parameters
    ----------
    flows
        As in `View`; int64 (..., 5).
    depth
        Visible size in the zone; int64 (...).
    seen
        Whether the zone was in sight; out of sight it is neutral. bool (...).
    params
        Thresholds. ``state_ratio`` says what is held against ``r_vac`` and ``r_wall``: makers' net supply per contract
        taken, or gross additions over removals, which balance at the resolution of events.

    Returns
    -------
    numpy.ndarray
        int64 (...): places in `STATES`.
    """
    added, canceled, filled = (flows[..., k] for k in range(3))
    delta, churn = added - canceled - filled, added + canceled + filled
    if params.state_ratio == "net":
        ratio = (added - canceled) / np.maximum(filled, 1)
    else:
        ratio = added / np.maximum(canceled + filled, 1)
    tried = {
        "vacuum": (ratio < params.r_vac) & (delta < -params.delta_contracts),
        "wall": (ratio > params.r_wall) & (delta > params.delta_contracts),
        "consumed": (delta < -params.delta_contracts) & (filled > np.maximum(0, canceled - added)),
        "refilled": (delta > 0) & (ratio > 1),
        "weak": depth < params.weak_depth,
        "balanced": (np.abs(delta) < params.absorb_delta) & (churn > params.absorb_churn),
    }
    order = [VACUUM, WALL, CONSUMED, ABSORPTION, WEAK, ABSORPTION]
    return np.select([condition & seen for condition in tried.values()], order, NEUTRAL)
