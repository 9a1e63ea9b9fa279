"""What must follow from a simulated session of ES: the front contract, and two planted touches with all they show.

Independent of the code under test: plain scans over the trades and the simulator's own counts of contracts added,
canceled and filled.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raypipe.kernels.simbook import ASK, BID
from raypipe.sources.synthetic.es_days import SECOND_NS, EsDay
from raypipe.sources.synthetic.es_market import Feed, Prints
from raypipe.sources.synthetic.opra import Walls

__all__ = ["FLOW_SCHEMA", "Ledger", "Touch", "planted_entries", "planted_touches", "ratio_at", "session_entry"]

_MINUTE_NS = 60 * SECOND_NS
_ZONE, _WINDOW_NS = 8, 240 * SECOND_NS
_BAND_USD, _ARM_USD = 0.10, 0.25
_POINTS = 0.25
_RATIO_BARS, _RATIO_LEAST = 30, 5
_HORIZONS = {"2min": 120, "4min": 240, "8min": 480}
_VACUUM, _WALL, _LEAST = 0.3, 1.5, 100
_TOL = 1e-9
FLOW_SCHEMA = pa.schema(
    [
        ("session", pa.date32()),
        ("start_ns", pa.int64()),
        ("side", pa.int8()),
        ("added", pa.int64()),
        ("canceled", pa.int64()),
        ("filled", pa.int64()),
    ]
)


@dataclass
class Ledger:
    """What happened in the leading contract's visible book.

    Attributes
    ----------
    day
        The session.
    flow
        Contracts added, canceled and filled per minute from 18:00 and side (bid, ask), int64 (minutes, 2, 3).
    kept
        Changes around the planted touches: time, side, tick, added, canceled, filled, int64 (n, 6) each.
    """

    day: EsDay
    flow: NDArray[np.int64] = field(init=False)
    kept: list[NDArray[np.int64]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.flow = np.zeros(((self.day.end_ns - self.day.start_ns) // _MINUTE_NS, 2, 3), np.int64)
        hour = int(self.day.bounce_time)
        spans = (("10:20:00", "10:40:00"), (f"{hour - 1:02d}:50:00", f"{hour:02d}:10:00"))
        self._spans = [(self.day.at(a), self.day.at(b)) for a, b in spans]

    def add(self, feed: Feed) -> None:
        """Count a piece of the feed; what happens before 18:00 belongs to no minute."""
        ts, changes = feed.lead_ns, feed.changes
        minute = (ts - self.day.start_ns) // _MINUTE_NS
        counted = minute >= 0
        place, (minutes, sides, words) = (2 * minute + changes[:, 0])[counted], self.flow.shape
        for k in range(words):
            sums = np.bincount(place, weights=changes[counted, 2 + k], minlength=minutes * sides)
            self.flow[:, :, k] += sums.astype(np.int64).reshape(minutes, sides)
        for start_ns, end_ns in self._spans:
            near = (ts >= start_ns) & (ts < end_ns)
            if near.any():
                self.kept.append(np.column_stack([ts[near], changes[near]]))

    def zone(self, side: int, tick: int, end_ns: int) -> tuple[int, int, int]:
        """Contracts added, canceled and filled within 8 ticks in the 240 s before a moment."""
        kept = np.concatenate(self.kept)
        inside = (kept[:, 0] >= end_ns - _WINDOW_NS) & (kept[:, 0] < end_ns) & (kept[:, 1] == side)
        added, canceled, filled = kept[inside & (np.abs(kept[:, 2] - tick) <= _ZONE), 3:].sum(axis=0).tolist()
        return added, canceled, filled

    def table(self) -> pa.Table:
        """The minutes' sums; 18:00 itself, with the auction, is left out."""
        n = len(self.flow) - 1
        sums = self.flow[1:].reshape(2 * n, 3)
        start = self.day.start_ns + _MINUTE_NS * (1 + np.arange(n))
        columns = [np.full(2 * n, np.datetime64(self.day.session.date)), np.repeat(start, 2)]
        columns += [np.tile(np.array([1, -1], np.int8), n), *sums.T]
        return pa.table([pa.array(each) for each in columns], schema=FLOW_SCHEMA)


@dataclass(frozen=True, slots=True)
class Touch:
    """A planted touch.

    Attributes
    ----------
    kind
        Kind of the level.
    sign
        Direction of a break: 1 up, -1 down.
    level_ticks
        The level.
    place
        The touching trade among the session's trades.
    ts_ns
        When it happened.
    ratio
        ES points of one SPY dollar then.
    """

    kind: str
    sign: int
    level_ticks: int
    place: int
    ts_ns: int
    ratio: float

    @property
    def direction(self) -> str:
        """As it stands in event ids."""
        return "UP" if self.sign > 0 else "DOWN"


def ratio_at(day: EsDay, prints: Prints, spy: tuple[NDArray[np.int64], NDArray[np.float64]], ts_ns: int) -> float:
    """Median of ES close over SPY close in the last 30 whole minutes in which both traded.

    Parameters
    ----------
    day, prints
        The session and its trades.
    spy
        Starts of SPY's minute bars in ns UTC, and their closes in US dollars.
    ts_ns
        The moment.

    Raises
    ------
    ValueError
        If fewer than five minutes are whole.
    """
    minute = prints.ts_ns // _MINUTE_NS
    last = np.flatnonzero(np.diff(minute, append=-1))
    closes = dict(zip((minute[last] * _MINUTE_NS).tolist(), (prints.ticks[last] * _POINTS).tolist(), strict=True))
    whole = [(start, usd) for start, usd in zip(spy[0].tolist(), spy[1].tolist(), strict=True) if start in closes]
    found = [closes[start] / usd for start, usd in whole if start + _MINUTE_NS <= ts_ns and start >= day.at("04:00:00")]
    if len(found) < _RATIO_LEAST:
        msg = f"{len(found)} minutes in which ES and SPY traded"
        raise ValueError(msg)
    return float(np.median(found[-_RATIO_BARS:]))


def planted_touches(day: EsDay, prints: Prints, spy: tuple[NDArray[np.int64], NDArray[np.float64]]) -> list[Touch]:
    """The first touch of the pre-market's high from below, and of its low from above."""
    early = prints.between(day.at("04:00:00"), day.session.open_ns).ticks
    found = []
    for kind, sign, level in (("PM_HIGH", 1, int(early.max())), ("PM_LOW", -1, int(early.min()))):
        ratio = ratio_at(day, prints, spy, day.at("10:30:00" if sign > 0 else f"{day.bounce_time}:00:00"))
        x = sign * (prints.ticks - level) * _POINTS / ratio
        hours = (prints.ts_ns >= day.session.open_ns) & (prints.ts_ns < day.session.close_ns)
        armed = int(np.flatnonzero(hours & (x <= -_ARM_USD))[0])
        place = armed + int(np.flatnonzero(x[armed:] >= -_BAND_USD)[0])
        found.append(Touch(kind, sign, level, place, int(prints.ts_ns[place]), ratio))
    return found


def session_entry(day: EsDay, prints: Prints, other_lots: int, spread_lots: int) -> dict[str, Any]:
    """The front contract and its volume in regular hours."""
    volume = int(prints.between(day.session.open_ns, day.session.close_ns).lots.sum())
    return {
        "id": "ES-FRONT",
        "table": "silver/es_session",
        "key": {"session": day.session.key, "front_contract": day.lead.symbol},
        "expect": {
            "front_instrument_id": day.lead.instrument_id,
            "front_volume_rth": volume,
            "outright_volume_rth": volume + other_lots,
            "early_close": day.session.early_close,
            "rth_open_ns": day.session.open_ns,
            "rth_close_ns": day.session.close_ns,
            "dropped_spread_lots": spread_lots,
        },
        "tol": 0.0,
    }


def planted_entries(ledger: Ledger, prints: Prints, touches: list[Touch], walls: Walls | None) -> list[dict[str, Any]]:
    """What the rows of the planted touches must say."""
    names = {"PM_HIGH": "ES-BREAK", "PM_LOW": "ES-BOUNCE"}
    day, entries = ledger.day, []
    for touch in touches:
        date = day.session.key
        event = f"SPY.{date}.{touch.kind}.{touch.direction}.{touch.ts_ns}"
        expect = _moment(prints, touch) | _barrier(ledger, touch) | _labels(day, prints, touch)
        expect |= (
            {"call_wall": float(walls.call), "put_wall": float(walls.put)} if walls and touch.kind == "PM_LOW" else {}
        )
        key = {"session": date, "event_id": event}
        entries.append({"id": names[touch.kind], "table": "gold/signals", "key": key, "expect": expect, "tol": _TOL})
    return entries


def _moment(prints: Prints, touch: Touch) -> dict[str, Any]:
    return {
        "decision_ns": touch.ts_ns,
        "level_kind_name": touch.kind,
        "level_price_es": touch.level_ticks * _POINTS,
        "es_price": float(prints.ticks[touch.place] * _POINTS),
        "direction": touch.direction,
        "direction_sign": touch.sign,
    }


def _barrier(ledger: Ledger, touch: Touch) -> dict[str, Any]:
    """The simulator's counts, and the state that they make if it is one of the first two."""
    added, canceled, filled = ledger.zone(ASK if touch.sign > 0 else BID, touch.level_ticks, touch.ts_ns)
    delta, supply = added - canceled - filled, (added - canceled) / max(filled, 1)
    state = "VACUUM" if supply < _VACUUM and delta < -_LEAST else "WALL" if supply > _WALL and delta > _LEAST else None
    counts = {"barrier_added": added, "barrier_canceled": canceled, "barrier_filled": filled}
    return counts | {"barrier_delta_liq": float(delta)} | ({"barrier_state": state} if state else {})


def _labels(day: EsDay, prints: Prints, touch: Touch) -> dict[str, Any]:
    """First passages of one and two dollars after the touch, in the order of trades."""
    expect: dict[str, Any] = {}
    for name, seconds in _HORIZONS.items():
        end_ns = min(touch.ts_ns + seconds * SECOND_NS, day.session.close_ns)
        window = (prints.ts_ns > touch.ts_ns) & (prints.ts_ns <= end_ns)
        ts, ticks = prints.ts_ns[window], prints.ticks[window]
        x = touch.sign * (ticks - touch.level_ticks) * _POINTS / touch.ratio
        hits: dict[str, float] = {}
        for usd in (1, 2):
            for word, away in (("break", x >= usd), ("bounce", x <= -usd)):
                first = np.flatnonzero(away)
                if len(first):
                    hits[f"{word}_{usd}"] = (int(ts[first[0]]) - touch.ts_ns) / SECOND_NS
                expect[f"time_to_{word}_{usd}_{name}"] = hits.get(f"{word}_{usd}")
        broken, bounced = (hits.get(word, np.inf) for word in ("break_2", "bounce_2"))
        expect[f"outcome_{name}"] = "BREAK" if broken < bounced else "BOUNCE" if bounced < broken else "CHOP"
    return expect
