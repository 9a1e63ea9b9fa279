"""Technical indicators of day bars, each a function of a finite memory.

The row of a symbol and session is made of the symbol's own rows in the last `memory_sessions` sessions, on that
session's share basis, and of nothing older: recursions start at the memory's first row. So a value does not depend on
where the lake begins, sessions are built in any order, and a batch equals an increment to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from raypipe.features.daily import DAILY
from raypipe.features.panel import Panel, known_splits
from raypipe.schema.family import Family, Inputs, Params, Read, Result
from raypipe.schema.frames import date_array, floats, nullable
from raypipe.schema.spec import Column, Table
from raypipe.schema.tables import AVAILABLE_NS, SESSION, SPLITS, SYMBOL

__all__ = ["FAMILY", "TECHNICAL", "TechnicalParams"]

_BARS = ("open", "high", "low", "close", "volume")
_OVERBOUGHT, _OVERSOLD, _STRONG = 70.0, 30.0, 25.0


def _few(rows: int) -> str:
    return f"fewer than {rows} rows in the memory"


TECHNICAL = Table(
    "silver/technical_features",
    key=("symbol",),
    grain="session",
    columns=(
        SESSION,
        SYMBOL,
        Column("open", "f64", "First price of regular trading, as traded.", unit="usd"),
        Column("high", "f64", "Highest price of regular trading, as traded.", unit="usd"),
        Column("low", "f64", "Lowest price of regular trading, as traded.", unit="usd"),
        Column("close", "f64", "Last price of regular trading, as traded.", unit="usd"),
        Column("volume", "f64", "Shares traded, extended hours included.", unit="shares"),
        Column(
            "rsi_14",
            "f64",
            "Wilder's relative strength index over 14 rows; 50 where the close never moved.",
            unit="percent",
            null=_few(15),
        ),
        Column(
            "stoch_k",
            "f64",
            "Where the close stands between the lowest low and the highest high of 14 rows; 50 where these are one.",
            unit="percent",
            null=_few(14),
        ),
        Column("stoch_d", "f64", "Mean of the last 3 stoch_k.", unit="percent", null=_few(16)),
        Column("roc_10", "f64", "Change of the close over 10 rows.", unit="percent", null=_few(11)),
        Column(
            "adx_14",
            "f64",
            "Wilder's average directional index over 14 rows: how strongly prices trend, up or down.",
            unit="percent",
            null=_few(28),
        ),
        Column("atr_14", "f64", "Wilder's average true range over 14 rows.", unit="usd", null=_few(15)),
        Column("atr_14_pct", "f64", "atr_14 / close, a fraction.", unit="1", null=_few(15)),
        Column("bb_middle", "f64", "Middle Bollinger band: mean of 20 closes.", unit="usd", null=_few(20)),
        Column("bb_upper", "f64", "Middle band + 2 population standard deviations.", unit="usd", null=_few(20)),
        Column("bb_lower", "f64", "Middle band - 2 population standard deviations.", unit="usd", null=_few(20)),
        Column(
            "bb_pct",
            "f64",
            "Where the close stands between the bands: 0 on the lower, 1 on the upper.",
            unit="1",
            null=f"{_few(20)}, or the 20 closes are the same",
        ),
        Column("sma_20", "f64", "Mean of 20 closes.", unit="usd", null=_few(20), alias_of="bb_middle"),
        Column("sma_50", "f64", "Mean of 50 closes.", unit="usd", null=_few(50)),
        Column("sma_200", "f64", "Mean of 200 closes.", unit="usd", null=_few(200)),
        Column(
            "sma_cross_20_50",
            "f64",
            "sma_20 / sma_50 - 1: its sign says which is above, its change of sign is the crossing.",
            unit="1",
            null=_few(50),
        ),
        Column(
            "sma_cross_50_200",
            "f64",
            "sma_50 / sma_200 - 1: its sign says which is above, its change of sign is the crossing.",
            unit="1",
            null=_few(200),
        ),
        Column(
            "obv",
            "f64",
            "On-balance volume: volume with the sign of the close's change, summed since the memory's first row.",
            unit="shares",
        ),
        Column(
            "vwap",
            "f64",
            "Typical price (high + low + close) / 3 of 20 rows, weighted by volume.",
            unit="usd",
            null=f"{_few(20)}, or none of the 20 has volume",
        ),
        Column(
            "hist_vol_20",
            "f64",
            "Sample standard deviation of 20 log returns, times the root of 252.",
            unit="1",
            null=_few(21),
        ),
        Column("rsi_overbought", "i8", "1 if rsi_14 > 70, else 0.", unit="1", null=_few(15)),
        Column("rsi_oversold", "i8", "1 if rsi_14 < 30, else 0.", unit="1", null=_few(15)),
        Column("above_bb_upper", "i8", "1 if close > bb_upper, else 0.", unit="1", null=_few(20)),
        Column("below_bb_lower", "i8", "1 if close < bb_lower, else 0.", unit="1", null=_few(20)),
        Column("strong_trend", "i8", "1 if adx_14 > 25, else 0.", unit="1", null=_few(28)),
        AVAILABLE_NS,
    ),
    doc="Technical indicators of day bars, each over the symbol's own rows in a finite memory of sessions.",
    floats="split",
)


class TechnicalParams(Params):
    """How far indicators look back.

    Attributes
    ----------
    adjust
        ``splits``: the memory is put on the session's share basis; ``none``: prices are taken as they stand.
    memory_sessions
        Length of the memory in calendar sessions, the row's own included. Under 200, ``sma_200`` is always null.
    """

    adjust: Literal["splits", "none"] = "splits"
    memory_sessions: int = Field(260, ge=1, le=2_000)


def table(_: TechnicalParams) -> Table:
    """The table provided: `silver/technical_features`."""
    return TECHNICAL


def requires(params: TechnicalParams) -> tuple[Read, ...]:
    """The day bars of the memory, and its splits."""
    reads = [Read(DAILY.name, ("symbol", *_BARS), before=params.memory_sessions - 1)]
    if params.adjust == "splits":
        reads.append(Read(SPLITS.name, optional=True, rows=known_splits))
    return tuple(reads)


def compute(inputs: Inputs, params: TechnicalParams) -> Result:
    """One row per symbol with a day bar, sorted by session and symbol."""
    panel = Panel(DAILY.name, inputs.partitions(DAILY.name), inputs.targets, params.memory_sessions - 1)
    owns = [panel.own(target.date) for target in inputs.targets]
    bars = pa.concat_tables([rows.select(_BARS) for rows, _ in owns])
    found = _indicators(panel, inputs, [codes for _, codes in owns], params.memory_sessions)
    values = {name: floats(bars[name]) for name in _BARS} | found
    values |= _derived(values)
    columns = {name: nullable(array) for name, array in values.items() if name in TECHNICAL} | _flags(values)
    counts = [len(codes) for _, codes in owns]
    columns |= {
        "session": pa.chunked_array([date_array(t.date, n) for t, n in zip(inputs.targets, counts, strict=True)]),
        "symbol": pa.chunked_array([panel.symbols(codes) for _, codes in owns]),
        "available_ns": pa.array(np.repeat([target.ext_end_ns for target in inputs.targets], counts)),
    }
    return Result(TECHNICAL.build(columns))


def _indicators(panel: Panel, inputs: Inputs, codes: list[np.ndarray], memory: int) -> dict[str, np.ndarray]:
    """What the kernel computes, by name, each float64 (rows of all targets,); NaN where undefined."""
    from raypipe.kernels._jit import as_input
    from raypipe.kernels.technical import INDICATORS, technical

    places = np.full((len(codes), len(panel.names)), -1, dtype=np.int64)
    row = 0
    for i, own in enumerate(codes):
        places[i, own] = np.arange(row, row + len(own))
        row += len(own)
    high, low, close, volume = (as_input(panel.grid(name)) for name in _BARS[1:])
    ratios = as_input(panel.split_ratios(inputs.once(SPLITS.name)))
    targets = as_input([panel.row(target.date) for target in inputs.targets], np.int64)
    out = np.empty((len(INDICATORS), row))
    technical(high, low, close, volume, ratios, targets, as_input(places), memory, out)
    return dict(zip(INDICATORS, out, strict=True))


def _derived(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Columns made of others of the same row."""
    close, middle, std = values["close"], values["sma_20"], values["std_20"]
    upper, lower = middle + 2.0 * std, middle - 2.0 * std
    with np.errstate(invalid="ignore", divide="ignore"):
        within = (close - lower) / (upper - lower)
    return {
        "atr_14_pct": values["atr_14"] / close,
        "bb_middle": middle,
        "bb_upper": upper,
        "bb_lower": lower,
        "bb_pct": within,
        "sma_cross_20_50": middle / values["sma_50"] - 1.0,
        "sma_cross_50_200": values["sma_50"] / values["sma_200"] - 1.0,
    }


def _flags(values: Mapping[str, np.ndarray]) -> dict[str, pa.Array]:
    """Comparisons as 0 and 1; null where the indicator is."""
    close, rsi, adx = values["close"], values["rsi_14"], values["adx_14"]
    upper, lower = values["bb_upper"], values["bb_lower"]
    flags = {
        "rsi_overbought": (rsi > _OVERBOUGHT, rsi),
        "rsi_oversold": (rsi < _OVERSOLD, rsi),
        "above_bb_upper": (close > upper, upper),
        "below_bb_lower": (close < lower, lower),
        "strong_trend": (adx > _STRONG, adx),
    }
    return {name: nullable(hit.astype(np.int8), null=np.isnan(of)) for name, (hit, of) in flags.items()}


FAMILY = Family("technical", 1, TechnicalParams, table, requires, compute, cost=0.08, memory=800 << 20, chunk=63)
