"""Crossings of MACD through its signal line: one event per crossing bar, decided when the bar has ended.

An event holds what was known at that moment and nothing else; what follows it stands in the tables of labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.calendar import NS_PER_SECOND, Session, calendar
from raypipe.errors import ConfigError
from raypipe.schema.events import EVENT_COLUMNS, EVENT_KEY, EVENTS, EventsParams
from raypipe.schema.family import Family, Inputs, Read, Result
from raypipe.schema.frames import date_array, dictionary_array
from raypipe.schema.macd import WIDTH_NS, carried, carried_reads, matched
from raypipe.schema.minutes import Minutes, minutes_of, tradable_symbols, window_of
from raypipe.schema.spec import Column, Table
from raypipe.schema.tables import MINUTE_AGGS, SYMBOL_TYPES

if TYPE_CHECKING:
    from raypipe.kernels.macd import MacdSeries
    from raypipe.kernels.resample import Buckets

__all__ = ["CROSSES", "FAMILY"]

_FILTERED = "silver/daily_filtered"
_TYPES = pa.array(["cross_down", "cross_up"], pa.string())
_LETTERS = pa.array(["D", "U"], pa.string())
_SEGMENTS = pa.array(["post", "pre", "rth"], pa.string())
#: Code of the segment by how many of open and close have passed.
_SEGMENT_CODES = np.array([1, 2, 0], dtype=np.int32)

CROSSES = Table(
    EVENTS,
    key=EVENT_KEY,
    grain="session",
    columns=(
        *EVENT_COLUMNS,
        Column("event_id", "str", "SYMBOL|tf|bar_start_ns|U or D.", role="id"),
        Column("direction", "i8", "1 for a crossing up, -1 for one down.", unit="1"),
        Column("bar_start_ns", "i64", "Start of the crossing bar.", unit="ns", role="time"),
        Column("segment", "dict", "pre, rth or post: where the decision lies, by the calendar.", role="meta"),
        Column("macd", "f64", "Fast less slow average at the crossing bar.", unit="usd"),
        Column("signal", "f64", "Signal line at the crossing bar.", unit="usd"),
        Column("hist", "f64", "macd - signal at the crossing bar.", unit="usd"),
        Column("hist_prev", "f64", "macd - signal at the bar before.", unit="usd"),
        Column("hist_bps", "f32", "1e4 * hist / entry_close.", unit="bps"),
        # Known, but not a price that one can still get: it must never pass for an entry.
        Column("entry_close", "f64", "Close of the crossing bar.", unit="usd", role="meta"),
        Column("bar_volume", "f64", "Shares traded in the crossing bar.", unit="shares"),
        Column("bar_index", "i32", "Bars of the recursion before the crossing bar.", unit="1"),
    ),
    doc="MACD crossings of tradable symbols; every value is known at decision_ns.",
    floats="split",
)


def table(_: EventsParams) -> Table:
    """The table provided: `gold/events`."""
    return CROSSES


def requires(params: EventsParams) -> tuple[Read, ...]:
    """The session's minute bars and tradable symbols; what the session before left and chose, where that counts.

    Raises
    ------
    ConfigError
        If MACD goes on from the session before, but not in the mode of the events.
    """
    if params.macd.state == "carry" and params.mode not in params.macd.modes:
        msg = f"events of mode {params.mode} need the carried MACD of that mode"
        raise ConfigError(msg, hint=f"add {params.mode} to macd.modes", key="events.mode")
    reads = [Read(MINUTE_AGGS.name, ("symbol", "window_start_ns", "close", "volume"))]
    if params.macd.clean_symbols:
        reads.append(Read(SYMBOL_TYPES.name, ("symbol", "tradable")))
    if params.universe == "daily_filtered":
        reads.append(Read(_FILTERED, ("symbol",), before=1, own=False))
    return (*reads, *carried_reads(params.macd))


def compute(inputs: Inputs, params: EventsParams) -> Result:
    """One row per crossing, sorted by symbol, timeframe and time."""
    return Result(pa.concat_tables([CROSSES.empty(), *(_session(inputs, t, params) for t in inputs.targets)]))


def _session(inputs: Inputs, target: Session, params: EventsParams) -> pa.Table:
    timeframes = sorted(params.macd.timeframes, key=str.encode)  # rows are in order of text: 15m before 1m
    before = {tf: _before(inputs, target, params, tf) for tf in timeframes}
    symbols, found, seen = [pa.array([], pa.string())], [], 0
    for piece in minutes_of(inputs.partitions(MINUTE_AGGS.name)[target.date], _universe(inputs, target, params)):
        for code, (tf, state) in enumerate(before.items()):
            crossings = _crossings(piece, params, tf, *_macd(piece, target, params, tf, state))
            crossings["symbol"] += np.int32(seen)
            found.append({"tf": np.full(len(crossings["hist"]), code, np.int32), **crossings})
        symbols.append(piece.symbols)
        seen += len(piece.symbols)
    if not found:
        return CROSSES.empty()
    columns = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
    order = _order(columns, len(timeframes), target)
    columns = {name: values[order] for name, values in columns.items()}
    tf_column = dictionary_array(columns.pop("tf"), pa.array(timeframes, pa.string()))
    return _assemble(target, columns, pa.concat_arrays(symbols), tf_column)


def _order(found: dict[str, np.ndarray], timeframes: int, target: Session) -> np.ndarray:
    """Order by symbol, timeframe and time, in one number each: a session has fewer than 2**17 seconds."""
    seconds = (found["decision_ns"] - target.ext_start_ns) // NS_PER_SECOND
    group = found["symbol"].astype(np.int64) * timeframes + found["tf"]
    order: np.ndarray = np.argsort(group << 17 | seconds)
    return order


def _universe(inputs: Inputs, target: Session, params: EventsParams) -> pa.Array | None:
    """Names of the symbols that count; None means all."""
    keep = tradable_symbols(inputs, target) if params.macd.clean_symbols else None
    if params.universe == "all":
        return keep
    chosen = inputs.partitions(_FILTERED).get(calendar().offset(target.date, -1))
    names = pa.array([], pa.string()) if chosen is None else chosen["symbol"].cast(pa.string()).combine_chunks()
    return names if keep is None else names.filter(pc.is_in(names, value_set=keep))


def _before(inputs: Inputs, target: Session, params: EventsParams, tf: str) -> pa.Table | None:
    """Where the recursions stood before the session; None if they start afresh."""
    return carried(inputs, target, params.mode, tf) if params.macd.state == "carry" else None


def _macd(
    piece: Minutes, target: Session, params: EventsParams, tf: str, before: pa.Table | None
) -> tuple[Buckets, MacdSeries]:
    from raypipe.kernels.macd import MacdState, Smoothing, macd_of_minutes

    recipe = params.macd
    return macd_of_minutes(
        piece["window_start_ns"],
        piece["close"],
        piece.begin,
        piece.end,
        window_of(target, params.mode),
        WIDTH_NS[tf],
        Smoothing(recipe.fast, recipe.slow, recipe.signal, recipe.min_bars),
        None if before is None else MacdState(*matched(before, piece.symbols)),
    )


def _crossings(
    piece: Minutes, params: EventsParams, tf: str, bars: Buckets, series: MacdSeries
) -> dict[str, np.ndarray]:
    """The crossing bars of one timeframe as columns; ``symbol`` is the place in the piece."""
    at = np.flatnonzero(_taken(series.cross, params.side))
    start_ns = bars.start_ns[at]
    return {
        "symbol": (np.searchsorted(bars.offsets, at, side="right") - 1).astype(np.int32),
        "decision_ns": start_ns + WIDTH_NS[tf],
        "bar_start_ns": start_ns,
        "direction": series.cross[at],
        "macd": series.macd[at],
        "signal": series.signal[at],
        "hist": series.hist[at],
        "hist_prev": series.hist_before[at],
        "entry_close": piece["close"][bars.tail[at] - 1],
        "bar_volume": _volumes(piece["volume"], bars, at),
        "bar_index": series.bar_index[at],
    }


def _volumes(volume: np.ndarray, bars: Buckets, at: np.ndarray) -> np.ndarray:
    """Volume of some bars, those of their minutes added in order; float64 (bars,)."""
    from raypipe.kernels.resample import Buckets, Ohlcv, ohlcv_of

    head, tail = bars.head[at], bars.tail[at]
    if (tail - head == 1).all():
        single: np.ndarray = volume[head]
        return single
    chosen = Buckets(head, tail, bars.offsets, bars.start_ns[at])
    return ohlcv_of(Ohlcv(volume, volume, volume, volume, volume), chosen).volume


def _taken(cross: np.ndarray, side: str) -> np.ndarray:
    """Non-zero where a crossing counts; (bars,)."""
    return cross if side == "both" else cross > 0 if side == "long" else cross < 0


def _assemble(target: Session, found: dict[str, np.ndarray], symbols: pa.Array, tf: pa.DictionaryArray) -> pa.Table:
    decision_ns, up = found["decision_ns"], found["direction"] > 0
    after = (decision_ns >= target.open_ns).astype(np.int32) + (decision_ns >= target.close_ns)
    columns = {name: pa.array(values) for name, values in found.items()}
    columns |= {
        "session": date_array(target.date, len(up)),
        "symbol": dictionary_array(found["symbol"], symbols),
        "tf": tf,
        "event_type": dictionary_array(up.astype(np.int32), _TYPES),
        "segment": dictionary_array(_SEGMENT_CODES[after], _SEGMENTS),
        "hist_bps": pa.array((1e4 * found["hist"] / found["entry_close"]).astype(np.float32)),
    }
    words = columns["symbol"].cast(pa.string()), tf.cast(pa.string()), columns["bar_start_ns"].cast(pa.string())
    columns["event_id"] = pc.binary_join_element_wise(*words, _LETTERS.take(pa.array(up.astype(np.int32))), "|")
    return CROSSES.build(columns)


FAMILY = Family("events", 1, EventsParams, table, requires, compute, cost=0.25, fuse="minute")
