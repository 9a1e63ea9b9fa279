"""MACD of 1 minute and longer bars, one row per session, mode and symbol.

What is computed, and how, stands in the kernel; here rows are read, handed over and named.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from raypipe.calendar import Session
from raypipe.features.panel import stack
from raypipe.schema.family import Family, Inputs, Read, Result
from raypipe.schema.frames import constant_dictionary, date_array, nullable
from raypipe.schema.macd import WIDTH_NS, MacdParams, carried, carried_reads, matched
from raypipe.schema.minutes import Minutes, Mode, minutes_of, tradable_symbols, window_of
from raypipe.schema.spec import Column, Table
from raypipe.schema.tables import AVAILABLE_NS, MINUTE_AGGS, SESSION, SYMBOL, SYMBOL_TYPES

if TYPE_CHECKING:
    from raypipe.kernels.macd import MacdSeries, Smoothing
    from raypipe.kernels.resample import Buckets

__all__ = ["FAMILY", "MODE", "Recursion", "known_ns", "minute_reads", "pieces_of", "recursions", "smoothing_of"]

MODE = Column("mode", "dict", "all: bars from 04:00 to 20:00; rth: bars of regular hours.", role="key")
_UNSEASONED = "fewer than min_bars bars by then"


def _columns_of(tf: str) -> tuple[Column, ...]:
    bar, seen = f"the last {tf} bar", f"of {tf} bars"
    none = f"no {tf} bar of the session is the min_bars-th or later"
    return (
        Column(f"close_last__{tf}", "f64", f"Close of {bar}.", unit="usd"),
        Column(f"macd_last__{tf}", "f64", f"Fast less slow average at {bar}.", unit="usd", null=_UNSEASONED),
        Column(f"signal_last__{tf}", "f64", f"Signal line at {bar}.", unit="usd", null=_UNSEASONED),
        Column(f"hist_last__{tf}", "f64", f"macd - signal at {bar}.", unit="usd", null=_UNSEASONED),
        Column(f"hist_min__{tf}", "f64", f"Lowest macd - signal {seen}.", unit="usd", null=none),
        Column(f"hist_max__{tf}", "f64", f"Highest macd - signal {seen}.", unit="usd", null=none),
        Column(f"bars_n__{tf}", "i16", f"Number {seen} in the session.", unit="1"),
        Column(f"hist_zero_cross_up_count__{tf}", "i32", f"Times macd - signal {seen} rose through zero.", unit="1"),
        Column(f"hist_zero_cross_down_count__{tf}", "i32", f"Times macd - signal {seen} fell through zero.", unit="1"),
        Column(f"hist_last_bps__{tf}", "f64", "1e4 * hist_last / close_last.", unit="bps", null=_UNSEASONED),
    )


def table(params: MacdParams) -> Table:
    """The table provided: `silver/macd_session_features`, with ten columns per timeframe."""
    return Table(
        "silver/macd_session_features",
        key=("mode", "symbol"),
        grain="session",
        columns=(
            SESSION,
            MODE,
            SYMBOL,
            *(column for tf in params.timeframes for column in _columns_of(tf)),
            AVAILABLE_NS,
        ),
        doc="MACD of the session's bars of each tradable symbol: where it ended, its extremes, its crossings.",
        floats="split",
    )


def minute_reads(params: MacdParams, *columns: str) -> Iterator[Read]:
    """The session's minute bars, which symbols are tradable, and what the session before left."""
    yield Read(MINUTE_AGGS.name, ("symbol", "window_start_ns", *columns))
    if params.clean_symbols:
        yield Read(SYMBOL_TYPES.name, ("symbol", "tradable"))
    yield from carried_reads(params)


def requires(params: MacdParams) -> tuple[Read, ...]:
    """Closes of the session's minute bars, and the state of the session before if it is carried."""
    return tuple(minute_reads(params, "close"))


# --- one piece of a session --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Recursion:
    """The bars of some symbols in one mode and timeframe, and MACD over them.

    Attributes
    ----------
    minutes
        The minute bars of the symbols.
    bars
        Which rows make each bar.
    series
        MACD at each bar.
    """

    minutes: Minutes
    bars: Buckets
    series: MacdSeries

    @property
    def traded(self) -> np.ndarray:
        """Which symbols have a bar; bool (symbols,)."""
        return np.diff(self.bars.offsets) > 0


def smoothing_of(params: MacdParams) -> Smoothing:
    """The constants of the recursion."""
    from raypipe.kernels.macd import Smoothing

    return Smoothing(params.fast, params.slow, params.signal, params.min_bars)


def pieces_of(inputs: Inputs, target: Session, params: MacdParams) -> list[Minutes]:
    """The session's minute bars, in pieces of whole symbols."""
    keep = tradable_symbols(inputs, target) if params.clean_symbols else None
    return list(minutes_of(inputs.partitions(MINUTE_AGGS.name)[target.date], keep))


def recursions(
    pieces: Iterable[Minutes], inputs: Inputs, target: Session, params: MacdParams, mode: Mode, tf: str
) -> Iterator[Recursion]:
    """MACD over the session's bars, piece by piece."""
    from raypipe.kernels.macd import MacdState, macd_of_minutes

    before = carried(inputs, target, mode, tf) if params.state == "carry" else None
    for piece in pieces:
        bars, series = macd_of_minutes(
            piece["window_start_ns"],
            piece["close"],
            piece.begin,
            piece.end,
            window_of(target, mode),
            WIDTH_NS[tf],
            smoothing_of(params),
            None if before is None else MacdState(*matched(before, piece.symbols)),
        )
        yield Recursion(piece, bars, series)


def known_ns(target: Session, mode: Mode) -> int:
    """When a mode's rows are known: at the end of its window."""
    return target.close_ns if mode == "rth" else target.ext_end_ns


# --- rows --------------------------------------------------------------------------------------


def compute(inputs: Inputs, params: MacdParams) -> Result:
    """One row per mode and symbol with a bar in the mode's window, sorted by both."""
    spec = table(params)
    parts = []
    for target in inputs.targets:
        pieces = pieces_of(inputs, target, params)
        parts += [_mode(spec, pieces, inputs, target, params, mode) for mode in params.modes]
    return Result(stack(spec, parts))


def _mode(
    spec: Table, pieces: Sequence[Minutes], inputs: Inputs, target: Session, params: MacdParams, mode: Mode
) -> pa.Table:
    found: dict[str, list[pa.Array]] = defaultdict(list)
    names: list[pa.Array] = []
    for tf in params.timeframes:
        names = [pa.array([], pa.string())]
        for piece in recursions(pieces, inputs, target, params, mode, tf):
            names.append(piece.minutes.symbols.filter(pa.array(piece.traded)))
            for name, values in _features(piece, params, tf).items():
                found[name].append(values)
    symbols = pa.concat_arrays(names)
    return spec.build(
        {
            "session": date_array(target.date, len(symbols)),
            "mode": constant_dictionary(mode, len(symbols)),
            "symbol": symbols.dictionary_encode(),
            **{name: _together(spec[name], found[name]) for name in spec.names[3:-1]},
            "available_ns": pa.array(np.full(len(symbols), known_ns(target, mode), np.int64)),
        }
    )


def _together(column: Column, parts: Sequence[pa.Array]) -> pa.Array:
    return pa.concat_arrays([pa.array([], column.arrow.type), *parts])


def _features(piece: Recursion, params: MacdParams, tf: str) -> dict[str, pa.Array]:
    """The columns of one timeframe, a row per symbol with a bar."""
    from raypipe.kernels.macd import hist_summary

    series, offsets, traded = piece.series, piece.bars.offsets, piece.traded
    hist = hist_summary(series, offsets, params.min_bars)
    last = offsets[1:][traded] - 1
    close = piece.minutes["close"][piece.bars.tail[last] - 1]
    young = ~series.seasoned(params.min_bars)[last]
    return {
        f"close_last__{tf}": pa.array(close),
        f"macd_last__{tf}": nullable(series.macd[last], null=young),
        f"signal_last__{tf}": nullable(series.signal[last], null=young),
        f"hist_last__{tf}": nullable(series.hist[last], null=young),
        f"hist_min__{tf}": nullable(hist.lowest[traded]),
        f"hist_max__{tf}": nullable(hist.highest[traded]),
        f"bars_n__{tf}": pa.array(np.diff(offsets)[traded].astype(np.int16)),
        f"hist_zero_cross_up_count__{tf}": pa.array(hist.ups[traded]),
        f"hist_zero_cross_down_count__{tf}": pa.array(hist.downs[traded]),
        f"hist_last_bps__{tf}": nullable(1e4 * series.hist[last] / close, null=young),
    }


FAMILY = Family("macd", 1, MacdParams, table, requires, compute, cost=0.15, fuse="minute")
