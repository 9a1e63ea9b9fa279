"""A session at random, as plain rows for the references and as a scene for the groups."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from raypipe.calendar import Session, calendar
from raypipe.features.touch.scene import Scene
from raypipe.schema.signals import SignalsParams
from raypipe.schema.touches import LEVEL_KINDS, LEVEL_VECTOR, OPTION_GREEKS, globex_window
from raypipe.schema.warmup import Bars, WarmSession
from tests.features.touch import scenes
from tests.features.touch.scenes import MINUTE_NS
from tests.reference.touch_state import Bar, Row

#: After an early close and two holidays.
TARGET = calendar().session(dt.date(2024, 12, 3))
ALL_KINDS = tuple(range(len(LEVEL_KINDS)))


def bars_of(rows: Sequence[Bar]) -> Bars:
    """Plain bars as arrays."""
    columns = [np.array(column) for column in zip(*rows, strict=True)] if rows else [np.empty(0)] * 6
    return Bars(columns[0].astype(np.int64), *(c.astype(np.float64) for c in columns[1:5]), columns[5].astype(np.int64))


def walk(rng: np.random.Generator, session: Session, last: int, *, keep: float = 0.95, step: float = 3.0) -> list[Bar]:
    """Bars of a session with holes, as ticks that end near ``last``."""
    begin, end = globex_window(session)
    starts = np.arange(begin, end, MINUTE_NS)
    starts = starts[rng.random(len(starts)) < keep]
    close = np.round(last + np.cumsum(rng.normal(0, step, len(starts)))[::-1])
    opens = np.append(close[:1], close[:-1])
    high = np.maximum(opens, close) + rng.integers(0, 3, len(starts))
    low = np.minimum(opens, close) - rng.integers(0, 3, len(starts))
    volume = rng.integers(1, 500, len(starts))
    return [tuple(bar) for bar in zip(*(x.tolist() for x in (starts, opens, high, low, close, volume)), strict=True)]


@dataclass(frozen=True)
class Walk:
    """A random session and touches in it; ``bars`` and prices are in ticks, ``prints`` are (ts_ns, strike_e3, size)."""

    seed: int
    bars: list[Bar]
    before: list[tuple[Session, list[Bar], float]]
    trades: list[tuple[int, int]]
    prints: list[tuple[int, int, int]]
    rows: list[Row]
    params: SignalsParams

    @cached_property
    def warm(self) -> list[Bar]:
        """Bars of the last three sessions, on the price basis of the target."""
        first = calendar().offset(TARGET.date, -3)
        return [
            (bar[0], *(price + shift for price in bar[1:5]), bar[5])
            for session, rows, shift in self.before
            if session.date >= first
            for bar in rows
        ]

    def scene(self, **changes: Any) -> Scene:
        """The same as a scene; ``changes`` replace columns of earlier groups."""
        names = set(self.rows[0]) - set(scenes.touches(self.rows[:1]).column_names)
        print_ns, strike, size = zip(*self.prints, strict=True) if self.prints else ((), (), ())
        greeks = [
            {"session": TARGET.date, "ts_event_ns": at, "strike_e3": k, "right": "C", "size": n, "aggressor": 0}
            for at, k, n in zip(print_ns, strike, size, strict=True)
        ]
        return scenes.scene(
            self.rows,
            target=TARGET,
            params=self.params,
            bars=bars_of(self.bars),
            warm=tuple(WarmSession(session, "ESZ4", bars_of(rows), shift) for session, rows, shift in self.before),
            trades=scenes.trades(*zip(*self.trades, strict=True)) if self.trades else scenes.trades(),
            greeks=scenes.build(OPTION_GREEKS, greeks),
            added={name: [row[name] for row in self.rows] for name in sorted(names)},
            **changes,
        )


def random_walk(seed: int, touches: int = 60, *, kinds: Sequence[int] = ALL_KINDS, holes: float = 0.1) -> Walk:
    """A session in which all that groups need is there, but for some holes."""
    rng = np.random.default_rng(seed)
    mid = int(rng.integers(23_000, 25_000))
    dates = [calendar().session(calendar().offset(TARGET.date, -k)) for k in range(7, 0, -1)]
    before = [
        (one, walk(rng, one, mid, keep=rng.uniform(0.5, 1)), float(rng.integers(0, 3)) / 2)
        for one in dates
        if rng.random() > holes
    ]
    bars = walk(rng, TARGET, mid, step=6.0)
    times = np.sort(rng.integers(bars[0][0], bars[-1][0], 3_000))
    trades = list(zip(times.tolist(), (mid + rng.integers(-40, 40, len(times))).tolist(), strict=True))
    strikes = (np.round(mid / 40 + rng.normal(0, 3, 400)) * 1000).astype(int).tolist()
    print_ns = np.sort(rng.integers(TARGET.open_ns, TARGET.close_ns, 400)).tolist()
    prints = list(zip(print_ns, strikes, rng.integers(1, 40, 400).tolist(), strict=True))
    rows = _touches(rng, mid, touches, holes, bars)
    return Walk(seed, bars, before, trades, prints, rows, SignalsParams(levels={"kinds": tuple(kinds)}))


def _touches(rng: np.random.Generator, mid: int, rows: int, holes: float, bars: Sequence[Bar]) -> list[Row]:
    span = TARGET.close_ns - TARGET.open_ns
    moments = np.sort(TARGET.open_ns + np.where(rng.random(rows) < 0.5, 0.15, 1.0) * rng.random(rows) * span)
    made = []
    for moment in moments.astype(np.int64).tolist():
        # Some decisions at the very end of a bar.
        moment -= moment % MINUTE_NS if rng.random() < 0.3 else 0
        ratio = float(rng.uniform(9.9, 10.1))
        price = [bar[4] for bar in bars if bar[0] + MINUTE_NS <= moment][-1] * 0.25 / ratio
        made.append(_touch(rng, moment, ratio, price, holes))
    return made


def _touch(rng: np.random.Generator, moment: int, ratio: float, spot: float, holes: float) -> Row:
    vector: dict[str, Any] = {name: _or_none(rng, holes, spot + float(rng.normal(0, 0.7))) for name in LEVEL_VECTOR}
    kind = int(rng.integers(0, len(LEVEL_KINDS)))
    level = spot + float(rng.normal(0, 0.05))
    if kind in {8, 9}:
        level = float(round(spot))
    elif LEVEL_KINDS[kind].lower() in vector:
        vector[LEVEL_KINDS[kind].lower()] = level
    for high, low in (("pm_high", "pm_low"), ("or_high", "or_low"), ("session_high", "session_low")):
        if None not in (vector[high], vector[low]) and vector[high] < vector[low]:
            vector[high], vector[low] = vector[low], vector[high]
    direction = "UP" if rng.random() < 0.5 else "DOWN"
    return vector | {
        "session": TARGET.date,
        "decision_ns": moment,
        "es_spy_ratio": ratio,
        "spot": spot,
        "level_price": level,
        "level_kind": kind,
        "level_id": LEVEL_KINDS[kind] + (f"_{level:g}" if kind in {8, 9} else ""),
        "direction": direction,
        "direction_sign": 1 if direction == "UP" else -1,
        "distance": abs(level - spot),
        "distance_signed": level - spot,
        "fuel_effect": _or_none(rng, holes, str(rng.choice(["AMPLIFY", "NEUTRAL", "DAMPEN"]))),
        "signal": str(rng.choice(["BREAK", "REJECT", "CONTESTED", "NEUTRAL"])),
        "barrier_replenishment_ratio": _or_none(rng, holes, float(rng.random())),
        "barrier_delta_liq": _or_none(rng, holes, float(rng.normal())),
        "tape_velocity": float(rng.random()),
        "tape_imbalance": float(rng.normal()),
    }


def _or_none(rng: np.random.Generator, holes: float, value: Any) -> Any:
    return None if rng.random() < holes else value
