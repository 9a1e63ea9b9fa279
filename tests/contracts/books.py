"""The made-up market of order books: ES trades, the book that they are taken from, and SPY option prints.

The tables of one session come from one walk of the price, so that prints, quotes and options belong together. They are
sparse: a trade every half minute of regular hours, now and then a burst, with jumps that cross levels.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from raypipe.calendar import Session, at_exchange_time
from raypipe.schema.books import BOOK_DEPTH, ES_MBP10, ES_TRADES, SPY_OPTION_TRADES
from raypipe.schema.frames import constant_dictionary, date_array, dictionary_array

__all__ = ["BACK", "FRONT", "GENERATORS", "Walk", "walk_of"]

SECOND_NS = 10**9
#: Contract and instrument of most trades, and of some: the next month is 55 points away.
FRONT, BACK = ("ESH5", 5002), ("ESM5", 10252)
BACK_TICKS = 220
F_LAST = 128


class Walk(NamedTuple):
    """Trades of one session; (trades,) each."""

    ts_ns: np.ndarray
    ticks: np.ndarray
    size: np.ndarray
    side: np.ndarray
    ratio: float
    """ES points per SPY dollar."""


@lru_cache(maxsize=256)
def walk_of(seed: int, session: Session) -> Walk:
    """The price of the front contract in one market and session."""
    rng = _draws(seed, session, "walk")
    ts = _times(rng, session)
    steps = np.rint(rng.normal(0, 5, len(ts)))
    steps += (rng.random(len(ts)) < 0.015) * rng.choice([-90, -60, 60, 90], len(ts))
    ticks = 20_000 + round(rng.normal(0, 60)) + np.cumsum(steps)
    side = rng.choice([1, -1, 0], len(ts), p=[0.48, 0.48, 0.04])
    size = rng.integers(1, 60, len(ts))
    ts, ticks, size, side = _with_bursts(rng, ts, ticks, size, side)
    return Walk(ts, ticks.astype(np.int32), size.astype(np.uint32), side.astype(np.int8), 10.0 + rng.normal(0, 0.02))


def _times(rng: np.random.Generator, session: Session) -> np.ndarray:
    """Two before the session opens, some overnight, one every half minute of regular hours and after them."""
    before = session.date - dt.timedelta(days=1)
    pause, start = (at_exchange_time(before, dt.time(hour)) for hour in (17, 18))
    end = at_exchange_time(session.date, dt.time(17))
    sparse = np.arange(start, session.open_ns - 1800 * SECOND_NS, 300 * SECOND_NS)
    dense = np.arange(session.open_ns - 1800 * SECOND_NS, end - 30 * SECOND_NS, 30 * SECOND_NS)
    times = np.concatenate([pause + np.array([1500, 2000]) * SECOND_NS, sparse, dense])
    times += rng.integers(0, 25 * SECOND_NS, len(times))
    ties = np.flatnonzero(rng.random(len(times)) < 0.02)[1:]
    times[ties] = times[ties - 1]
    return np.sort(times)


def _with_bursts(rng: np.random.Generator, *columns: np.ndarray) -> tuple[np.ndarray, ...]:
    """Some trades become four prints within a tenth of a second that eat through four prices."""
    ts, ticks, size, side = columns
    burst = (rng.random(len(ts)) < 0.08) & (side != 0)
    counts = np.where(burst, 4, 1)
    place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    ts, ticks, size, side = (np.repeat(values, counts) for values in (ts, ticks, size, side))
    size = np.where(np.repeat(burst, counts), size + 20, size)
    ts = ts + place * 20_000_000
    order = np.argsort(ts, kind="stable")
    return ts[order], (ticks + place * side)[order], size[order], side[order]


def _draws(seed: int, session: Session, what: str) -> np.random.Generator:
    return np.random.default_rng([seed, session.date.toordinal(), *what.encode()])


def _seed(rng: np.random.Generator) -> int:
    """The market's seed, of which a table's random numbers are made: the tables of one market share its walks."""
    entropy = rng.bit_generator.seed_seq.entropy  # type: ignore[attr-defined]
    return int(entropy[0])


# --- trades ------------------------------------------------------------------------------------


def es_trades(rng: np.random.Generator, sessions: Sequence[Session]) -> dict[dt.date | None, pa.Table]:
    """The walk of each session, and 3 % of its trades in the next month too."""
    return {session.date: _trades(_seed(rng), session) for session in sessions}


def _trades(seed: int, session: Session) -> pa.Table:
    walk, rng = walk_of(seed, session), _draws(seed, session, "trades")
    also = np.flatnonzero(rng.random(len(walk.ts_ns)) < 0.03)
    rows = np.concatenate([np.arange(len(walk.ts_ns)), also])
    back = np.arange(len(rows)) >= len(walk.ts_ns)
    order = np.lexsort((back, walk.ts_ns[rows]))
    rows, back = rows[order], back[order]
    return ES_TRADES.build(
        {
            **_stamps(session, walk.ts_ns[rows], back),
            "price_ticks": pa.array(walk.ticks[rows] + back.astype(np.int32) * BACK_TICKS),
            "size": pa.array(np.where(back, 1, walk.size[rows]).astype(np.uint32)),
            "side": pa.array(walk.side[rows]),
            "action": pa.array(np.full(len(rows), 84, np.uint8)),
            "flags": pa.array(np.zeros(len(rows), np.uint8)),
        }
    )


def _stamps(session: Session, ts_ns: np.ndarray, back: np.ndarray) -> dict[str, pa.Array]:
    names = pa.array([FRONT[0], BACK[0]], pa.string())
    return {
        "session": date_array(session.date, len(ts_ns)),
        "ts_event_ns": pa.array(ts_ns),
        "ts_recv_ns": pa.array(ts_ns + 150_000),
        "instrument_id": pa.array(np.where(back, BACK[1], FRONT[1]).astype(np.uint32)),
        "contract": dictionary_array(back.astype(np.int32), names),
        "sequence": pa.array(np.arange(len(ts_ns), dtype=np.uint32) + 1),
    }


# --- the book ----------------------------------------------------------------------------------


def es_mbp10(rng: np.random.Generator, sessions: Sequence[Session]) -> dict[dt.date | None, pa.Table]:
    """Around each trade a quote before it, the trade, and what it took; the next month in a block of its own."""
    return {session.date: _book(_seed(rng), session) for session in sessions}


def _book(seed: int, session: Session) -> pa.Table:
    walk, rng = walk_of(seed, session), _draws(seed, session, "book")
    near = np.flatnonzero((walk.ts_ns > session.open_ns - 600 * SECOND_NS) & (walk.ts_ns < session.close_ns))
    front = _events(rng, walk, near, session, back=False)
    also = near[rng.random(len(near)) < 0.03]
    return pa.concat_tables([front, _events(rng, walk, also, session, back=True)]).unify_dictionaries()


def _events(rng: np.random.Generator, walk: Walk, trades: np.ndarray, session: Session, *, back: bool) -> pa.Table:
    """Three records per trade: a quote that adds or cancels, the trade, and the cancel that is its fill."""
    count, shift = len(trades), BACK_TICKS if back else 0
    kind = np.tile([0, 1, 2], count)
    trade = np.repeat(trades, 3)
    lead = np.minimum(8 * SECOND_NS, np.diff(walk.ts_ns[trades], prepend=0) // 2)
    ts = walk.ts_ns[trade] - np.where(kind == 0, np.repeat(lead, 3), 0)
    buys = walk.side[trade] >= 0
    # The best ask is the last price paid, the best bid one tick below it; a quote leaves them where they are.
    best = walk.ticks[np.where(kind == 2, trade, np.maximum(trade - 1, 0))].astype(np.int64) + shift
    action = np.where(kind == 1, 84, np.where(kind == 2, 67, rng.choice([65, 67, 77], 3 * count)))
    side = np.where(kind == 1, np.where(buys, 1, -1), np.where(kind == 2, np.where(buys, -1, 1), rng.choice([1, -1])))
    price = np.where(kind == 0, best, walk.ticks[trade] + shift)
    return ES_MBP10.build(
        {
            **_stamps(session, ts, np.full(3 * count, back)),
            "price_ticks": pa.array(price.astype(np.int32)),
            "size": pa.array(walk.size[trade]),
            "side": pa.array(side.astype(np.int8)),
            "action": pa.array(action.astype(np.uint8)),
            "flags": pa.array(np.where(kind == 1, 0, F_LAST).astype(np.uint8)),
            "depth": pa.array(rng.integers(0, BOOK_DEPTH, 3 * count).astype(np.uint8)),
            **_levels(rng, best, kind == 1),
        }
    )


def _levels(rng: np.random.Generator, best: np.ndarray, trade: np.ndarray) -> dict[str, pa.Array]:
    """Ten levels a side, a tick apart; sizes change at a few of them. A trade's record shows the book before it."""
    rows = np.where(trade, np.arange(len(best)) - 1, np.arange(len(best)))
    shallow = rng.random(len(best)) < 0.03
    columns: dict[str, pa.Array] = {}
    for side, away in (("bid", -1), ("ask", 1)):
        changed = np.where(rng.random((len(best), BOOK_DEPTH)) < 0.3, rng.integers(-25, 26, (len(best), BOOK_DEPTH)), 0)
        size = np.clip(40 + np.cumsum(changed, axis=0), 1, 400)[rows]
        for k in range(BOOK_DEPTH):
            absent = shallow[rows] & (k == BOOK_DEPTH - 1)
            ticks = best[rows] - (side == "bid") + away * k
            columns |= {
                f"{side}_ticks_{k:02d}": pa.array(ticks.astype(np.int32), mask=absent),
                f"{side}_sz_{k:02d}": pa.array(np.where(absent, 0, size[:, k]).astype(np.uint32)),
                f"{side}_ct_{k:02d}": pa.array(np.where(absent, 0, size[:, k] // 3 + 1).astype(np.uint32)),
            }
    return columns


# --- options -----------------------------------------------------------------------------------


def spy_option_trades(rng: np.random.Generator, sessions: Sequence[Session]) -> dict[dt.date | None, pa.Table]:
    """Each minute a call and a put at each of three strikes near the price, by parity with it."""
    return {session.date: _options(_seed(rng), session) for session in sessions}


def _options(seed: int, session: Session) -> pa.Table:
    walk, rng = walk_of(seed, session), _draws(seed, session, "options")
    minutes = np.arange(session.open_ns, session.close_ns, 60 * SECOND_NS)
    ts = np.repeat(minutes, 6) + np.tile(np.arange(6), len(minutes)) * 4 * SECOND_NS + 30 * SECOND_NS
    spot = walk.ticks[np.searchsorted(walk.ts_ns, ts) - 1] * 0.25 / walk.ratio
    strike = np.rint(spot[np.repeat(np.arange(len(minutes)) * 6, 6)]) + np.tile([-1, -1, 0, 0, 2, 2], len(minutes))
    calls = np.tile([True, False], 3 * len(minutes))
    ahead = np.where(calls, spot - strike, strike - spot)
    left = np.sqrt((session.close_ns + 900 * SECOND_NS - ts) / (6.75 * 3600 * SECOND_NS))
    price = np.maximum(ahead, 0) + 1.3 * left * np.exp(-(ahead**2) / (6 * left)) + 0.02
    buys = 0.2 if session.date.day % 2 else 0.6  # dealers are long gamma in some sessions, short in others
    price = np.where(rng.random(len(ts)) < 0.02, np.maximum(ahead - 0.05, 0.01), price)  # some are under parity
    return SPY_OPTION_TRADES.build(
        {
            "session": date_array(session.date, len(ts)),
            "ts_event_ns": pa.array(ts),
            "sequence": pa.array(np.arange(len(ts)) + 1),
            "option_symbol": pa.array(_symbols(session, strike, calls)).dictionary_encode(),
            "strike_e3": pa.array((strike * 1000).astype(np.int32)),
            "right": dictionary_array(1 - calls.astype(np.int32), pa.array(["C", "P"])),
            "price": pa.array(np.round(price, 2)),
            "size": pa.array(rng.integers(1, 200, len(ts)).astype(np.uint32)),
            "aggressor": pa.array(rng.choice([1, -1, 0], len(ts), p=[buys, 0.9 - buys, 0.1]).astype(np.int8)),
            "aggressor_source": constant_dictionary("tick", len(ts)),
            "conditions": pa.array([None if i % 9 else "227" for i in range(len(ts))], pa.string()).dictionary_encode(),
            "exchange": pa.array(rng.integers(300, 320, len(ts)).astype(np.int32)),
            "exp_date": date_array(session.date, len(ts)),
        }
    )


def _symbols(session: Session, strike: np.ndarray, calls: np.ndarray) -> list[str]:
    day = session.date.strftime("%y%m%d")
    return [f"O:SPY{day}{'C' if call else 'P'}{int(k) * 1000:08d}" for k, call in zip(strike, calls, strict=True)]


#: The generator of each table.
GENERATORS = ((ES_TRADES, es_trades), (ES_MBP10, es_mbp10), (SPY_OPTION_TRADES, spy_option_trades))
