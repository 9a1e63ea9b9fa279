"""Every bar of MACD, stored: for charts, and for those who would rather look than believe."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from raypipe.calendar import Session
from raypipe.features.macd import MODE, Recursion, minute_reads, pieces_of, recursions
from raypipe.features.panel import stack
from raypipe.schema.family import Family, Inputs, Params, Read, Result, shared
from raypipe.schema.frames import constant_dictionary, date_array
from raypipe.schema.macd import WIDTH_NS, MacdParams
from raypipe.schema.minutes import Mode
from raypipe.schema.spec import Column, Table
from raypipe.schema.tables import SESSION, SYMBOL

__all__ = ["FAMILY", "MACD_BARS", "MacdBarsParams"]

_PRICES = ("open", "high", "low", "close", "volume")

MACD_BARS = Table(
    "silver/macd_bars",
    key=("mode", "tf", "symbol", "window_start_ns"),
    grain="session",
    columns=(
        SESSION,
        MODE,
        Column("tf", "dict", "Width of the bars: 1m, 5m ...", role="key"),
        SYMBOL,
        Column("window_start_ns", "i64", "Start of the bar's interval on the clock.", unit="ns", role="key"),
        Column("end_ns", "i64", "End of the interval, however early its last trade.", unit="ns", role="time"),
        Column("open", "f64", "First price of the bar.", unit="usd"),
        Column("high", "f64", "Highest price of the bar.", unit="usd"),
        Column("low", "f64", "Lowest price of the bar.", unit="usd"),
        Column("close", "f64", "Last price of the bar.", unit="usd"),
        Column("volume", "f64", "Shares traded in the bar.", unit="shares"),
        Column("macd", "f64", "Fast less slow average of the close.", unit="usd"),
        Column("signal", "f64", "Average of macd.", unit="usd"),
        Column("hist", "f64", "macd - signal, also before the recursion is seasoned.", unit="usd"),
        Column("bar_index", "i32", "Bars of the recursion before this one.", unit="1"),
        Column("cross", "i8", "1: hist rose through zero at this bar, -1: it fell, 0: neither.", unit="1"),
        Column("available_ns", "i64", "When the row could first be known: the end of the bar.", unit="ns", role="time"),
    ),
    doc="The bars behind silver/macd_session_features; only with macd.write_bars.",
    floats="split",
)


class MacdBarsParams(Params):
    """Nothing of its own: the recipe of MACD."""

    macd: MacdParams = shared("macd", MacdParams)


def table(_: MacdBarsParams) -> Table:
    """The table provided: `silver/macd_bars`."""
    return MACD_BARS


def enabled(params: MacdBarsParams) -> bool:
    """Only on demand: it is as large as the bars themselves."""
    return params.macd.write_bars


def requires(params: MacdBarsParams) -> tuple[Read, ...]:
    """The session's minute bars, and the state of the session before if it is carried."""
    return tuple(minute_reads(params.macd, *_PRICES))


def compute(inputs: Inputs, params: MacdBarsParams) -> Result:
    """One row per mode, timeframe, symbol and bar."""
    recipe = params.macd
    parts = []
    for target in inputs.targets:
        pieces = pieces_of(inputs, target, recipe)
        for mode in recipe.modes:
            for tf in sorted(recipe.timeframes, key=str.encode):
                found = recursions(pieces, inputs, target, recipe, mode, tf)
                parts += [_rows(target, piece, mode, tf) for piece in found]
    return Result(stack(MACD_BARS, parts))


def _rows(target: Session, piece: Recursion, mode: Mode, tf: str) -> pa.Table:
    from raypipe.kernels.resample import Ohlcv, ohlcv_of

    bars, series, count = piece.bars, piece.series, len(piece.bars.head)
    prices = ohlcv_of(Ohlcv(*(piece.minutes[name] for name in _PRICES)), bars)
    codes = np.repeat(np.arange(len(piece.minutes.symbols), dtype=np.int32), np.diff(bars.offsets))
    end_ns = pa.array(bars.start_ns + WIDTH_NS[tf])
    return MACD_BARS.build(
        {
            "session": date_array(target.date, count),
            "mode": constant_dictionary(mode, count),
            "tf": constant_dictionary(tf, count),
            "symbol": pa.DictionaryArray.from_arrays(pa.array(codes), piece.minutes.symbols),
            "window_start_ns": pa.array(bars.start_ns),
            "end_ns": end_ns,
            **{name: pa.array(values) for name, values in zip(_PRICES, prices, strict=True)},
            "macd": pa.array(series.macd),
            "signal": pa.array(series.signal),
            "hist": pa.array(series.hist),
            "bar_index": pa.array(series.bar_index),
            "cross": pa.array(series.cross),
            "available_ns": end_ns,
        }
    )


FAMILY = Family(
    "macd_bars", 1, MacdBarsParams, table, requires, compute, step="macd", cost=0.8, fuse="minute", enabled=enabled
)
