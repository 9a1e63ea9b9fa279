"""Touches: the moments at which the price of SPY, seen through ES, reaches a level.

A row knows trades up to and including the touching one, and everything else before it. What the book, the tape and the
dealers did stands in `silver/signal_features`, what came after in `silver/signal_labels`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.calendar import NS_PER_MINUTE, Session
from raypipe.events.levels import KIND, Levels, Ratios, Trades
from raypipe.schema.books import ES_TRADES, POINTS_PER_TICK
from raypipe.schema.family import Family, Finding, Inputs, Read, Result
from raypipe.schema.frames import codes_of, constant_dictionary, date_array, dictionary_array, nullable
from raypipe.schema.signals import SignalPart
from raypipe.schema.touches import (
    ES_BARS,
    ES_SESSION,
    ES_SPY_RATIO,
    LEVEL_KINDS,
    OPTION_GREEKS,
    TOUCHES,
    UNDERLYING,
    globex_window,
)
from raypipe.schema.warmup import WarmSession, front_bars, front_contract, recent, warm_sessions

__all__ = ["FAMILY", "TouchesParams"]

_DIRECTIONS = pa.array(["DOWN", "UP"], pa.string())
_TYPES = pa.array(["contact", "cross"], pa.string())
#: Distances compare with this tolerance, as in the kernel.
_TOLERANCE = 1e-9


class TouchesParams(SignalPart):
    """Which levels there are, and when they are touched."""

    GROUPS = ("levels", "touch", "session", "options")


class _Found(NamedTuple):
    """Touches before they are rows; (touches,) each."""

    ts_ns: np.ndarray
    decision_ns: np.ndarray
    es_price: np.ndarray
    kind: np.ndarray
    sign: np.ndarray
    usd: np.ndarray
    """The level in dollars."""
    points: np.ndarray
    """The level in ES points."""
    ratio: np.ndarray


class _Context(NamedTuple):
    """What is the same in every row of a session."""

    target: Session
    front: str
    dominance: float
    sma_sessions: int
    volume_sessions: int


def requires(params: TouchesParams) -> tuple[Read, ...]:
    """The session's trades, ratio and greeks; its bars and those of the warm-up."""
    session = params.signals.session
    before = max(session.sma_warmup_sessions, session.volume_warmup_sessions)
    bars = ("contract", "start_ns", "open_ticks", "high_ticks", "low_ticks", "close_ticks", "volume")
    return (
        Read(ES_TRADES.name, ("ts_event_ns", "contract", "price_ticks", "size")),
        Read(ES_SESSION.name, ("front_contract", "front_dominance"), before=before),
        Read(ES_BARS.name, bars, before=before),
        Read(ES_SPY_RATIO.name, ("valid_from_ns", "ratio", "source")),
        Read(
            OPTION_GREEKS.name,
            ("ts_event_ns", "strike_e3", "right", "size", "dealer_gamma", "gross_gamma"),
            optional=not session.require_options,
        ),
    )


def compute(inputs: Inputs, params: TouchesParams) -> Result:
    """One row per touch, sorted by decision, kind and price of the level."""
    rows, findings = [TOUCHES.empty()], []
    for target in inputs.targets:
        made = _session(inputs, target, params)
        rows.append(made)
        if not made.num_rows:
            findings.append(Finding("no_touches", "the price touched no level", partition=target.key))
    return Result(pa.concat_tables(rows), tuple(findings))


def _session(inputs: Inputs, target: Session, params: TouchesParams) -> pa.Table:
    own = inputs.partitions(ES_SESSION.name)[target.date]
    if not own.num_rows:
        return TOUCHES.empty()
    signals, front, before = params.signals, front_contract(own), max(read.before for read in requires(params))
    sessions, bars = inputs.partitions(ES_SESSION.name), inputs.partitions(ES_BARS.name)
    warm = warm_sessions(target, sessions, bars, before)
    means = _recent(warm, target, signals.session.sma_warmup_sessions)
    levels = Levels(
        target=target,
        params=signals,
        trades=_front_trades(inputs.partitions(ES_TRADES.name)[target.date], front, target),
        ratios=Ratios.of(inputs.partitions(ES_SPY_RATIO.name)[target.date]),
        greeks=inputs.partitions(OPTION_GREEKS.name).get(target.date),
        warm=[one.adjusted for one in means],
        bars=front_bars(bars[target.date], front),
    )
    found = _by_events(levels) if signals.touch.cadence == "event" else _by_bars(levels)
    context = _Context(
        target,
        front,
        own["front_dominance"][0].as_py(),
        len(means),
        len(_recent(warm, target, signals.session.volume_warmup_sessions)),
    )
    return _rows(levels, found, context)


def _recent(warm: tuple[WarmSession, ...], target: Session, sessions: int) -> tuple[WarmSession, ...]:
    return recent(warm, target, sessions) if sessions else ()


def _front_trades(trades: pa.Table, front: str, target: Session) -> Trades:
    names, (codes,) = codes_of([trades["contract"].unify_dictionaries()])
    ts_ns = trades["ts_event_ns"].to_numpy()
    start_ns, end_ns = globex_window(target)
    keep = (codes == names.index(front).as_py()) & (ts_ns >= start_ns) & (ts_ns < end_ns)
    return Trades(ts_ns[keep], trades["price_ticks"].to_numpy()[keep], trades["size"].to_numpy()[keep])


# --- cadence: event ----------------------------------------------------------------------------


def _moving(levels: Levels) -> dict[int, int]:
    """Codes of the kernel's moving levels by kind, of those enabled."""
    from raypipe.kernels import touches as kernel

    found = {KIND["SESSION_HIGH"]: kernel.SESSION_HIGH, KIND["SESSION_LOW"]: kernel.SESSION_LOW}
    if levels.rules.vwap_price == "trade":
        found[KIND["VWAP"]] = kernel.VWAP
    if levels.rules.or_forming:
        found |= {KIND["OR_HIGH"]: kernel.OR_HIGH, KIND["OR_LOW"]: kernel.OR_LOW}
    return {kind: code for kind, code in found.items() if kind in levels.rules.kinds}


def _by_events(levels: Levels) -> _Found:
    """Touches by single trades, in order of trades."""
    from raypipe.kernels.touches import Bands, MovingLevels, StandingLevels, touches

    touch, target, minutes_ns = levels.params.touch, levels.target, levels.minutes_ns
    watched = levels.trades.between(target.open_ns - touch.warm_start_min * NS_PER_MINUTE, target.close_ns)
    ts_ns, ticks = levels.trades.ts_ns[watched], levels.trades.ticks[watched]
    moving, ratio = _moving(levels), levels.ratios.at(minutes_ns)
    standing = levels.standing([kind for kind in levels.rules.kinds if kind not in moving], minutes_ns)
    made = touches(
        ts_ns,
        ticks,
        StandingLevels(int(minutes_ns[0]), standing.points(ratio), ratio),
        MovingLevels(
            np.array(list(moving.values()), np.int64),
            levels.regular.start - watched.start,
            int(levels.regular_before(levels.range_end_ns)),
            *levels.running,
        ),
        Bands(touch.touch_usd, touch.rearm_usd),
    )
    at_ns, every = ts_ns[made.trade], standing.joined(list(moving))
    now = levels.ratios.at(at_ns)
    usd = every.usd((at_ns - minutes_ns[0]) // NS_PER_MINUTE, made.level, made.points / now)
    price = ticks[made.trade] * POINTS_PER_TICK
    return _Found(at_ns, at_ns, price, every.kinds[made.level], made.sign, usd, made.points, now)


# --- cadence: bar ------------------------------------------------------------------------------


def _by_bars(levels: Levels) -> _Found:
    """Touches by one-minute bars that end in regular hours, in order of bars."""
    from raypipe.kernels.touches import bar_touches

    touch, target, bars = levels.params.touch, levels.target, levels.bars
    inside = (bars.end_ns >= target.open_ns) & (bars.end_ns < target.close_ns)
    start_ns, end_ns = bars.start_ns[inside], bars.end_ns[inside]
    high, low, close = (
        ticks[inside] * POINTS_PER_TICK for ticks in (bars.high_ticks, bars.low_ticks, bars.close_ticks)
    )
    ratio, standing = levels.ratios.at(end_ns), levels.standing(levels.rules.kinds, start_ns)
    points = standing.points(ratio)
    before = _came_from(levels.trades, start_ns)
    made = bar_touches((high, low, close), points, ratio, before, (touch.touch_usd, touch.monitor_usd))
    bar, level = made.bar, made.level
    value = points[bar, level]
    usd = standing.usd(bar, level, value / ratio[bar])
    return _Found(start_ns[bar], end_ns[bar], close[bar], standing.kinds[level], made.sign, usd, value, ratio[bar])


def _came_from(trades: Trades, at_ns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ES points of the last trade before each moment, and of the last before it at another price; NaN without."""
    starts = np.append(0, np.flatnonzero(np.diff(trades.ticks)) + 1)  # where prices change
    count = np.searchsorted(trades.ts_ns, at_ns)
    run = np.searchsorted(starts, count - 1, side="right") - 1
    other = starts[np.maximum(run, 0)]
    return trades.last(count), trades.last(np.where(count > 0, other, 0))


# --- rows --------------------------------------------------------------------------------------


def _rows(levels: Levels, found: _Found, context: _Context) -> pa.Table:
    order = np.lexsort((found.usd, found.kind, found.decision_ns))
    found = _Found(*(values[order] for values in found))
    rows, up = len(order), (found.sign > 0).astype(np.int32)
    signed = (found.points - found.es_price) / found.ratio
    contact = np.abs(signed) <= levels.params.touch.touch_usd + _TOLERANCE
    columns = {
        "session": date_array(context.target.date, rows),
        "ts_ns": pa.array(found.ts_ns),
        "decision_ns": pa.array(found.decision_ns),
        "date": constant_dictionary(context.target.key, rows),
        "symbol": constant_dictionary(UNDERLYING, rows),
        "front_contract": constant_dictionary(context.front, rows),
        "cadence": constant_dictionary(levels.params.touch.cadence, rows),
        "front_dominance": pa.array(np.full(rows, context.dominance)),
        "es_spy_ratio": pa.array(found.ratio),
        "es_spy_ratio_source": levels.ratios.source_at(found.decision_ns),
        "warmup_sma_sessions": pa.array(np.full(rows, context.sma_sessions, np.int8)),
        "warmup_volume_sessions": pa.array(np.full(rows, context.volume_sessions, np.int8)),
        "spot": pa.array(found.es_price / found.ratio),
        "es_price": pa.array(found.es_price),
        "level_price": pa.array(found.usd),
        "level_price_es": pa.array(found.points),
        "level_kind": pa.array(found.kind, pa.int8()),
        "level_kind_name": dictionary_array(found.kind.astype(np.int32), pa.array(LEVEL_KINDS, pa.string())),
        "level_id": _level_ids(found),
        "touch_type": dictionary_array((~contact).astype(np.int32), _TYPES),
        "direction": dictionary_array(up, _DIRECTIONS),
        "direction_sign": pa.array(found.sign),
        "distance": pa.array(np.abs(signed)),
        "distance_signed": pa.array(signed),
    }
    columns |= {name: nullable(values) for name, values in levels.vector(found.decision_ns, found.ratio).items()}
    columns["event_id"] = _event_ids(columns)
    return TOUCHES.build(columns)


def _level_ids(found: _Found) -> pa.DictionaryArray:
    """The kind's name; of ROUND and STRIKE with the price, as short as it can be written."""
    priced = np.isin(found.kind, [KIND["ROUND"], KIND["STRIKE"]])
    levels, place = np.unique(
        np.column_stack([found.kind, np.where(priced, found.usd, 0.0)]), axis=0, return_inverse=True
    )
    names = [LEVEL_KINDS[int(kind)] + (f"_{price:.10g}" if price else "") for kind, price in levels.tolist()]
    return dictionary_array(place.reshape(-1).astype(np.int32), pa.array(names, pa.string()))


def _event_ids(columns: dict[str, pa.Array]) -> pa.Array:
    """SPY.date.level_id.direction.ts_ns."""
    words = [columns[name].cast(pa.string()) for name in ("symbol", "date", "level_id", "direction", "ts_ns")]
    return pc.binary_join_element_wise(*words, ".")


FAMILY = Family(
    "touches", 1, TouchesParams, lambda _: TOUCHES, requires, compute, step="signals", cost=0.2, fuse="signals"
)
