"""Whole made-up sessions for touches: the tables, and what the reference is told of the same records."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from raypipe.calendar import Session, calendar
from raypipe.events.touches import FAMILY
from raypipe.schema.books import ES_TRADES
from raypipe.schema.family import Result
from raypipe.schema.touches import ES_BARS, ES_SESSION, ES_SPY_RATIO, OPTION_GREEKS, globex_window
from tests.events.tape import MINUTE_NS, SESSION, at, build, fronts, greeks, params, ratios, run, trades
from tests.reference.touches import Bar, Day, Print, Trade

WARM = [calendar().session(calendar().offset(SESSION.date, -back)) for back in range(7, 0, -1)]


@dataclass
class MadeDay:
    """A session's records; times in ns, prices in ticks."""

    tape: list[tuple]
    ratio: list[tuple[int, float]]
    prints: list[dict[str, Any]] = field(default_factory=list)
    warm: Mapping[dt.date, list[tuple]] = field(default_factory=dict)
    session: Session = SESSION

    def tables(self, **groups: Any) -> dict[str, dict[dt.date | None, pa.Table]]:
        date = self.session.date
        made = fronts({ES_TRADES.name: {date: trades(self.tape, self.session)}}, **groups)
        for day, bars in self.warm.items():
            made[ES_BARS.name][day] = build(ES_BARS, [warm_row(day, *bar) for bar in bars])
            made[ES_SESSION.name][day] = build(
                ES_SESSION, [{"session": day, "front_contract": "ESH5", "front_dominance": 1.0}]
            )
        made[ES_SPY_RATIO.name] = {date: ratios(self.ratio, self.session)}
        if self.prints:
            made[OPTION_GREEKS.name] = {date: greeks(self.prints, self.session)}
        return made

    def touches(self, **groups: Any) -> Result:
        return run(FAMILY, self.tables(), self.session, **groups)

    def rows(self, **groups: Any) -> list[dict[str, Any]]:
        return self.touches(**groups).table.to_pylist()

    def told(self, **groups: Any) -> Day:
        """The same for the reference, under the same parameters."""
        p = params(**groups)
        start_ns, end_ns = globex_window(self.session)
        return Day(
            premarket=self.session.ext_start_ns,
            open=self.session.open_ns,
            close=self.session.close_ns,
            trades=[
                Trade(ts, ticks / 4, size)
                for ts, ticks, size, _, contract in self.tape
                if start_ns <= ts < end_ns and contract == self.tape[0][4]
            ],
            ratios=self.ratio,
            prints=[
                Print(
                    row["ts_event_ns"],
                    row["strike"],
                    row["right"],
                    row["size"],
                    row["gross_gamma"],
                    row["dealer_gamma"],
                )
                for row in self.prints
            ],
            warm=[
                Bar(start, ticks / 4, ticks / 4, ticks / 4, 1)
                for date in sorted(self.warm)[-p.session.sma_warmup_sessions :]
                for start, ticks in self.warm[date]
            ],
            kinds=p.levels.kinds,
            range_minutes=p.levels.or_minutes,
            forming=p.levels.or_forming,
            vwap=p.levels.vwap_price,
            spacing=p.levels.round_spacing_usd,
            strike_min=p.levels.strike_min_contracts,
            wall_min=p.levels.wall_min_contracts,
            basis=p.levels.wall_basis,
            halflife=p.levels.wall_halflife_min,
            flip_range=p.levels.flip_range_usd,
            latency=p.options.option_latency_ms * 10**6,
            warm_start=p.touch.warm_start_min,
        )


def warm_row(date: dt.date, start_ns: int, ticks: int, contract: str = "ESH5") -> dict[str, Any]:
    """One bar of `silver/es_bars` at one price."""
    prices = dict.fromkeys(("open_ticks", "high_ticks", "low_ticks", "close_ticks"), ticks)
    counts = dict.fromkeys(("volume", "trades", "buy_volume", "sell_volume", "tick_volume"), 1)
    return {"session": date, "contract": contract, "start_ns": start_ns, **prices, **counts}


def made_day(seed: int, count: int = 400, minutes: int = 390, step: int = 9) -> MadeDay:
    """A walk that begins overnight and is dense in regular hours; bursts at one nanosecond; jumps; drifting ratio."""
    rng = np.random.default_rng(seed)
    night = rng.integers(globex_window(SESSION)[0] // 10**9, at(-30) // 10**9, count // 6) * 10**9
    day = rng.integers(at(-30) // 10**9, at(minutes) // 10**9, count) * 10**9 + rng.integers(0, 10**9, count)
    times = np.sort(np.concatenate([night, day]))
    same = np.flatnonzero(rng.random(len(times)) < 0.15)[1:]
    times[same] = times[same - 1]
    times = np.sort(times)
    steps = np.rint(rng.normal(0, step, len(times))) + (rng.random(len(times)) < 0.02) * rng.choice(
        [-60, 60], len(times)
    )
    ticks = 24_000 + np.cumsum(steps).astype(int)
    sizes, sides = rng.integers(1, 9, len(times)), rng.integers(-1, 2, len(times))
    tape = [(int(t), int(p), int(n), int(s), "ESH5") for t, p, n, s in zip(times, ticks, sizes, sides, strict=True)]
    base = round(10 + rng.normal(0, 0.02), 4)
    ratio = [(at(m), round(base + float(rng.normal(0, 1e-3)), 5)) for m in range(-29, minutes, 7)]
    spot = 24_000 / 4 / base
    return MadeDay(tape, ratio, _prints(rng, spot, minutes), _warm(rng))


def _prints(rng: np.random.Generator, spot: float, minutes: int) -> list[dict[str, Any]]:
    times = sorted(int(t) for t in rng.integers(at(0), at(minutes), 300))
    made = []
    for ts_ns in times:
        known = rng.random() > 0.05
        made.append(
            {
                "ts_event_ns": ts_ns,
                "strike": round(spot) + int(rng.integers(-6, 7)),
                "right": str(rng.choice(["C", "P"])),
                "size": int(rng.integers(1, 60)),
                "gross_gamma": float(rng.exponential(100)) if known else None,
                "dealer_gamma": float(rng.normal(0, 5000)) if known else None,
            }
        )
    return made


def _warm(rng: np.random.Generator) -> dict[dt.date, list[tuple]]:
    made = {}
    for session in WARM:
        minutes = np.sort(rng.choice(23 * 60, 330, replace=False))
        start_ns = globex_window(session)[0]
        made[session.date] = [(start_ns + int(m) * MINUTE_NS, 24_000 + int(rng.integers(-80, 81))) for m in minutes]
    return made
