"""The order book by its definitions: dictionaries of price and size, a record after the other, one window at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

BID, ASK = 0, 1
DEPTH = 10
F_LAST, SNAPSHOT, MAYBE_BAD = 128, 32, 4


class Record(NamedTuple):
    """One record of the feed with the book after it: prices and sizes from the best on."""

    ts: int
    action: str  # "" unknown
    flags: int | None
    side: int
    tick: int
    size: int
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]


class Change(NamedTuple):
    """Size that changed at a price, dated when the book that shows it was settled."""

    ts: int
    side: int
    tick: int
    added: int
    canceled: int
    filled: int
    view: int


class State(NamedTuple):
    """A settled book."""

    ts: int
    bids: dict[int, int]
    asks: dict[int, int]

    def side(self, side: int) -> dict[int, int]:
        return self.asks if side == ASK else self.bids


class Trade(NamedTuple):
    ts: int
    tick: int
    size: int
    side: int


def tenth(book: dict[int, int], side: int) -> float:
    """Depth key of the tenth level, larger the deeper; infinite where a side shows everything."""
    keys = sorted(tick if side == ASK else -tick for tick in book)
    return keys[DEPTH - 1] if len(keys) >= DEPTH else math.inf


def is_state(bids: dict[int, int], asks: dict[int, int]) -> bool:
    return bool(bids or asks) and (not bids or not asks or max(bids) < min(asks))


def replay(records: Sequence[Record], trades: Sequence[Trade] = ()) -> tuple[list[Change], list[State]]:
    """All changes, and every settled book."""
    changes: list[Change] = []
    waiting: list[Change] = []
    states: list[State] = []
    held: tuple[dict[int, int], dict[int, int]] = ({}, {})
    pending: dict[tuple[int, int], int] = {}
    lent_at: float = -math.inf
    before: float = -math.inf
    for record in records:
        book = (dict(record.bids), dict(record.asks))
        if not record.action:
            if record.ts > before:
                pending = {}
            for trade in trades:
                if before < trade.ts <= record.ts:
                    lend(pending, held, trade.side, trade.tick, trade.size)
            lent_at = record.ts
        unseen = record.action == "R" or before == -math.inf or bool((record.flags or 0) & (SNAPSHOT | MAYBE_BAD))
        for side in (BID, ASK):
            limit = min(tenth(held[side], side), tenth(book[side], side))
            prices = sorted({*held[side], *book[side]}, reverse=side == BID)
            for tick in prices:
                change = book[side].get(tick, 0) - held[side].get(tick, 0)
                key = tick if side == ASK else -tick
                if not change:
                    continue
                if unseen or key > limit:
                    waiting.append(Change(0, side, tick, 0, 0, 0, change))
                elif change > 0:
                    waiting.append(Change(0, side, tick, change, 0, 0, 0))
                else:
                    filled = min(-change, pending.get((side, tick), 0))
                    if filled:
                        pending[side, tick] -= filled
                    waiting.append(Change(0, side, tick, 0, -change - filled, filled, 0))
        held = book
        if record.ts > lent_at:
            pending = {}
        if record.action == "T":
            lend(pending, held, record.side, record.tick, record.size)
            lent_at = record.ts
        closed = record.flags is None or bool(record.flags & F_LAST)
        if closed and is_state(*held):
            states.append(State(record.ts, dict(held[0]), dict(held[1])))
            changes += [change._replace(ts=record.ts) for change in waiting]
            waiting = []
        before = record.ts
    return changes, states


def lend(
    pending: dict[tuple[int, int], int], book: tuple[dict[int, int], ...], side: int, tick: int, size: int
) -> None:
    """A trade may explain what leaves its price on the resting side."""
    asks, bids = bool(book[ASK]) and tick >= min(book[ASK]), bool(book[BID]) and tick <= max(book[BID])
    if side:
        resting = ASK if side > 0 else BID
    elif asks != bids:
        resting = ASK if asks else BID
    else:
        return
    pending[resting, tick] = pending.get((resting, tick), 0) + size


def last_before(states: Sequence[State], ts: int) -> State | None:
    found = None
    for state in states:
        if state.ts < ts:
            found = state
    return found


def zone(level: float, reach: int) -> list[int]:
    return [
        tick for tick in range(math.floor(level) - reach - 1, math.ceil(level) + reach + 2) if near(tick, level, reach)
    ]


def near(tick: int, level: float, reach: float) -> bool:
    return abs(tick - level) <= reach + 1e-6


def in_sight(state: State | None, side: int, ticks: Sequence[int]) -> list[int]:
    """Ticks no deeper than the tenth level."""
    if state is None:
        return []
    limit = tenth(state.side(side), side)
    return [tick for tick in ticks if (tick if side == ASK else -tick) <= limit]


def depth(state: State | None, side: int, ticks: Sequence[int]) -> int:
    return sum(state.side(side).get(tick, 0) for tick in ticks) if state else 0


def flows(changes: Sequence[Change], side: int, ticks: Sequence[int], start: int, end: int) -> tuple[int, ...]:
    """added, canceled, filled, view in, view out within [start, end)."""
    rows = [c for c in changes if c.side == side and c.tick in ticks and start <= c.ts < end]
    return (
        sum(c.added for c in rows),
        sum(c.canceled for c in rows),
        sum(c.filled for c in rows),
        sum(max(c.view, 0) for c in rows),
        sum(max(-c.view, 0) for c in rows),
    )


def held_for(states: Sequence[State], start: int, end: int) -> list[tuple[State, int]]:
    """The states in force within [start, end), and how long each was."""
    made = []
    for i, state in enumerate(states):
        until = states[i + 1].ts if i + 1 < len(states) else end
        span = min(until, end) - max(state.ts, start)
        if span > 0:
            made.append((state, span))
    return made


RULES: dict[str, Any] = {
    "window_ns": 240 * 10**9,
    "reach": 8,
    "gross": False,
    "r_vac": 0.3,
    "r_wall": 1.5,
    "delta": 100,
    "weak": 50,
    "absorb_delta": 50,
    "absorb_churn": 100,
    "average_ns": 1800 * 10**9,
    "least": 0.5,
    "age_ns": 60 * 10**9,
    "confident": 500,
}


def state_name(added: int, canceled: int, filled: int, standing: int, rules: dict[str, Any] = RULES) -> str:
    """The state of a zone that is in sight."""
    delta, churn = added - canceled - filled, added + canceled + filled
    rho = added / max(canceled + filled, 1) if rules["gross"] else (added - canceled) / max(filled, 1)
    if rho < rules["r_vac"] and delta < -rules["delta"]:
        return "VACUUM"
    if rho > rules["r_wall"] and delta > rules["delta"]:
        return "WALL"
    if delta < -rules["delta"] and filled > max(0, canceled - added):
        return "CONSUMED"
    if delta > 0 and rho > 1:
        return "ABSORPTION"
    if standing < rules["weak"]:
        return "WEAK"
    if abs(delta) < rules["absorb_delta"] and churn > rules["absorb_churn"]:
        return "ABSORPTION"
    return "NEUTRAL"


def log1p(value: float | None) -> float | None:
    return None if value is None else math.copysign(math.log1p(abs(value)), value)


def barrier(
    changes: Sequence[Change],
    states: Sequence[State],
    t: int,
    level: float,
    up: bool,
    open_ns: int,
    method: str = "exact",
    rules: dict[str, Any] = RULES,
) -> dict[str, Any]:
    """Every column of the barrier of one touch."""
    side = ASK if up else BID
    ticks = zone(level, rules["reach"])
    start = t - rules["window_ns"]
    now, then = last_before(states, t), last_before(states, start)
    added, canceled, filled, into, out = flows(changes, side, ticks, start, t)
    seen_ticks = in_sight(now, side, ticks)
    frac = len(seen_ticks) / len(ticks)
    visible = frac >= rules["least"]
    seen = visible and now is not None and t - now.ts <= rules["age_ns"]
    churn, delta = added + canceled + filled, added - canceled - filled
    enough = [
        span
        for state, span in held_for(states, start, t)
        if len(in_sight(state, side, ticks)) >= rules["least"] * len(ticks)
    ]
    wall = None
    if seen and now is not None and now.side(side):
        book = now.side(side)
        offered = [k for k in seen_ticks if (k >= min(book) if side == ASK else k <= max(book))]
        since = min(max(t - rules["average_ns"], open_ns), t - 60 * 10**9)
        spans = held_for(states, since, t)
        mean = sum(sum(s.side(side).values()) * n for s, n in spans) / max(sum(n for _, n in spans), 1) / DEPTH
        if offered and mean > 0:
            wall = depth(now, side, ticks) / len(offered) / mean
    standing = depth(now, side, ticks)
    return {
        "barrier_added": added,
        "barrier_canceled": canceled,
        "barrier_filled": filled,
        "barrier_view_in": into,
        "barrier_view_out": out,
        "barrier_delta_liq": float(delta) if seen else None,
        "churn": float(churn),
        "depth_in_zone": standing if seen else None,
        "depth_in_zone_start": depth(then, side, ticks) if seen and in_sight(then, side, ticks) else None,
        "barrier_replenishment_ratio": added / max(canceled + filled, 1) if seen and churn else None,
        "barrier_refill_ratio": (added - canceled) / max(filled, 1) if seen else None,
        "wall_ratio": wall,
        "zone_visible_frac": frac,
        "zone_visible_time_frac": sum(enough) / rules["window_ns"],
        "zone_visible": visible,
        "book_age_ms": None if now is None else (t - now.ts) / 1e6,
        "barrier_fill_method": method,
        "barrier_state": state_name(added, canceled, filled, standing, rules) if seen else "NEUTRAL",
        "barrier_confidence": min(1.0, churn / rules["confident"]) if seen else 0.0,
        "wall_ratio_nonzero": int(bool(wall)),
        "barrier_delta_liq_nonzero": int(seen and delta != 0),
        "wall_ratio_log": log1p(wall),
        "barrier_delta_liq_log": log1p(float(delta)) if seen else None,
    }
