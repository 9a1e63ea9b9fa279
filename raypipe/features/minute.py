"""What a session's minute bars say of each symbol: range, sharpest moves, opening range, volume spike.

All tradable symbols with a bar in the window have a row; nothing is selected by the session's own outcome.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.calendar import Session, calendar
from raypipe.features.daily import DAILY
from raypipe.features.panel import stack
from raypipe.features.volume_means import VOLUME_MEANS
from raypipe.schema.family import Family, Finding, Inputs, Read, Result
from raypipe.schema.frames import date_array, floats, nullable
from raypipe.schema.minutes import MinuteParams, minutes_of, tradable_symbols, window_of
from raypipe.schema.spec import Column, Table
from raypipe.schema.splits import due_splits, split_ratios
from raypipe.schema.tables import AVAILABLE_NS, MINUTE_AGGS, SESSION, SPLITS, SYMBOL, SYMBOL_TYPES

if TYPE_CHECKING:
    from raypipe.kernels.minute import MinuteSummary

__all__ = ["FAMILY", "MINUTE_FEATURES", "MinuteParams"]

_BARS = ("open", "high", "low", "close", "volume")
_ONE_BAR = "the symbol has a single bar"
_NO_REFERENCE = "no bar is 5 minutes older than another"
_NO_5M, _NO_15M = "no bar in the first 5 minutes", "no bar in the first 15 minutes"


def _opening(minutes: int, null: str) -> tuple[Column, ...]:
    high, low = f"first_{minutes}m_high", f"first_{minutes}m_low"
    until = f"of bars that start within {minutes} minutes after the open"
    return (
        Column(high, "f64", f"Highest price {until}.", unit="usd", null=null),
        Column(low, "f64", f"Lowest price {until}.", unit="usd", null=null),
        Column(f"range_{minutes}m_pct", "f64", f"({high} - {low}) / regular open.", unit="1", null=null),
        Column(f"breakout_{minutes}m_up", "bool", f"Whether the last regular close lies above {high}.", null=null),
        Column(f"breakout_{minutes}m_down", "bool", f"Whether the last regular close lies below {low}.", null=null),
    )


MINUTE_FEATURES = Table(
    "silver/minute_features",
    key=("symbol",),
    grain="session",
    columns=(
        SESSION,
        SYMBOL,
        Column("day_open", "f64", "Open of the window's first bar.", unit="usd"),
        Column("day_high", "f64", "Highest price of the window.", unit="usd"),
        Column("day_low", "f64", "Lowest price of the window.", unit="usd"),
        Column("day_close", "f64", "Close of the window's last bar.", unit="usd"),
        Column("day_volume", "f64", "Shares traded in the window.", unit="shares"),
        Column("bars_n", "i16", "Minutes with trades in the window.", unit="1"),
        Column("day_range_pct", "f64", "(day_high - day_low) / day_open.", unit="1"),
        Column("max_1m_ret", "f64", "Largest close / close of the bar before - 1.", unit="1", null=_ONE_BAR),
        Column(
            "max_5m_ret",
            "f64",
            "Largest close / last close of a bar that started at least 5 minutes before - 1.",
            unit="1",
            null=_NO_REFERENCE,
        ),
        Column("max_drawdown_5m", "f64", "Largest fall below the highest close of the last 5 minutes.", unit="1"),
        Column(
            "vol_spike",
            "f64",
            "Daily volume / mean daily volume of the vol_spike_lookback rows before, on the session's share basis.",
            unit="1",
            null="no day bar, fewer rows than that within vol_spike_window_sessions, or no volume in them",
        ),
        *_opening(5, _NO_5M),
        *_opening(15, _NO_15M),
        AVAILABLE_NS,
    ),
    doc="The session's minute bars of each tradable symbol in one row.",
    floats="split",
)


def table(_: MinuteParams) -> Table:
    """The table provided: `silver/minute_features`."""
    return MINUTE_FEATURES


def requires(params: MinuteParams) -> tuple[Read, ...]:
    """The session's minute bars, which symbols are tradable, the day's volume and the mean of those before."""
    reads = [
        Read(MINUTE_AGGS.name, ("symbol", "window_start_ns", *_BARS)),
        Read(DAILY.name, ("symbol", "volume"), optional=True),
        Read(VOLUME_MEANS.name, ("symbol", "mean_volume"), before=1, own=False, optional=True),
    ]
    if params.clean_symbols:
        reads.append(Read(SYMBOL_TYPES.name, ("symbol", "tradable")))
    if params.adjust == "splits":
        reads.append(Read(SPLITS.name, optional=True, rows=due_splits))
    return tuple(reads)


def compute(inputs: Inputs, params: MinuteParams) -> Result:
    """One row per symbol with a bar in the window, sorted by symbol."""
    parts, findings = [], []
    for target in inputs.targets:
        names, found = _summaries(inputs, target, params)
        parts.append(_assemble(target, names, found, _spikes(inputs, target, names)))
        if target.date not in inputs.partitions(DAILY.name):
            message = "the session has no daily table: vol_spike is null"
            findings.append(Finding("no_day_bars", message, partition=target.key))
    return Result(stack(MINUTE_FEATURES, parts), tuple(findings))


def _summaries(inputs: Inputs, target: Session, params: MinuteParams) -> tuple[pa.Array, MinuteSummary]:
    """Names of the symbols that have a row, and what their bars say."""
    from raypipe.kernels.minute import MinuteSummary, minute_summary
    from raypipe.kernels.resample import Ohlcv

    keep = tradable_symbols(inputs, target) if params.clean_symbols else None
    window, rth = window_of(target, params.mode), window_of(target, "rth")
    names, parts = [pa.array([], pa.string())], []
    for piece in minutes_of(inputs.partitions(MINUTE_AGGS.name)[target.date], keep):
        bars = Ohlcv(*(piece[name] for name in _BARS))
        found = minute_summary(piece["window_start_ns"], bars, piece.begin, piece.end, window, rth)
        there = found.bars > 0
        names.append(piece.symbols.filter(pa.array(there)))
        parts.append(found.where(there))
    return pa.concat_arrays(names), MinuteSummary.joined(parts)


def _assemble(target: Session, names: pa.Array, found: MinuteSummary, spike: np.ndarray) -> pa.Table:
    rows = len(names)
    columns = {
        "session": date_array(target.date, rows),
        "symbol": names.dictionary_encode(),
        "day_open": pa.array(found.open),
        "day_high": pa.array(found.high),
        "day_low": pa.array(found.low),
        "day_close": pa.array(found.close),
        "day_volume": pa.array(found.volume),
        "bars_n": pa.array(found.bars.astype(np.int16)),
        "day_range_pct": pa.array((found.high - found.low) / found.open),
        "max_1m_ret": nullable(found.max_1m_ret),
        "max_5m_ret": nullable(found.max_5m_ret),
        "max_drawdown_5m": pa.array(found.max_drawdown_5m),
        "vol_spike": nullable(spike),
        "available_ns": pa.array(np.full(rows, target.ext_end_ns)),
    }
    for minutes, high, low in (
        (5, found.first_5m_high, found.first_5m_low),
        (15, found.first_15m_high, found.first_15m_low),
    ):
        none = np.isnan(high)
        columns |= {
            f"first_{minutes}m_high": nullable(high),
            f"first_{minutes}m_low": nullable(low),
            f"range_{minutes}m_pct": nullable((high - low) / found.rth_open),
            f"breakout_{minutes}m_up": nullable(found.rth_close > high, null=none),
            f"breakout_{minutes}m_down": nullable(found.rth_close < low, null=none),
        }
    return MINUTE_FEATURES.build(columns)


def _spikes(inputs: Inputs, target: Session, names: pa.Array) -> np.ndarray:
    """Daily volume of some symbols against the mean of the rows before; NaN where either is missing."""
    means = inputs.partitions(VOLUME_MEANS.name).get(calendar().offset(target.date, -1))
    daily = inputs.partitions(DAILY.name).get(target.date)
    if means is None or daily is None:
        return np.full(len(names), np.nan)
    mean = _beside(means, "mean_volume", names) * split_ratios(inputs, target, names)
    spikes: np.ndarray = np.full(len(names), np.nan)
    np.divide(_beside(daily, "volume", names), mean, out=spikes, where=mean > 0.0)
    return spikes


def _beside(rows: pa.Table, column: str, names: pa.Array) -> np.ndarray:
    """A column put beside symbols; NaN for those that have no row."""
    place = pc.index_in(names, value_set=rows["symbol"].cast(pa.string()).combine_chunks())
    values: np.ndarray = np.append(floats(rows[column]), np.nan)[place.fill_null(-1).to_numpy()]
    return values


FAMILY = Family("minute_features", 1, MinuteParams, table, requires, compute, step="minute", cost=0.2, fuse="minute")
