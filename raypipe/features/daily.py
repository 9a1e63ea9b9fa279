"""Day bars as traded, with the return from the last bar on the session's own share basis.

Stored prices are never rescaled. A look back over a split puts the earlier price on the basis of the
session that looks: only splits that are in force by then count, so a later split changes no older row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from raypipe.calendar import Session
from raypipe.errors import BlockedError
from raypipe.features.panel import Panel, days_of, known_splits, stack
from raypipe.kernels.splits import last_before
from raypipe.schema.family import Family, Finding, Inputs, Params, Read, Result
from raypipe.schema.frames import date_array, floats, nullable
from raypipe.schema.spec import Column, Table
from raypipe.schema.tables import AVAILABLE_NS, DAY_AGGS, SESSION, SPLITS, SYMBOL, SYMBOL_TYPES

__all__ = ["BAR_COLUMNS", "DAILY", "FAMILY", "DailyParams", "PriceRange", "check_price_range"]

#: Lowest and highest price, both included.
PriceRange = tuple[float, float]
#: Columns taken from the vendor's bar as they are.
BAR_COLUMNS = ("open", "high", "low", "close", "volume", "transactions")
#: An overnight move beyond this factor, or its inverse, without a split is suspect.
_SUSPECT_FACTOR = 0.6
_NO_ROW = "the symbol has no row within the last max_gap_sessions sessions"
_SAMPLES = 10

DAILY = Table(
    "silver/daily",
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
        Column("transactions", "i32", "Number of trades.", unit="1", null="the vendor's file has no such column"),
        Column("split_ratio", "f64", "Shares after the ex-session's split per share before; 1 if none.", unit="1"),
        Column("prev_close", "f64", "Close of the last row, on the session's basis.", unit="usd", null=_NO_ROW),
        Column("gap_sessions", "i16", "Age of that row; 1 is the session before.", unit="sessions", null=_NO_ROW),
        Column("ret_d", "f64", "close / prev_close - 1; dividends are not added back.", unit="1", null=_NO_ROW),
        Column("abs_ret_d", "f64", "Absolute value of ret_d.", unit="1", null=_NO_ROW),
        Column("abs_change_d", "f64", "Absolute change from prev_close to close.", unit="usd", null=_NO_ROW),
        Column("close_in_band", "bool", "Whether the close as traded lies in prefilter_price_range.", role="meta"),
        # Not "usd": that unit marks prices per share, which later tables put on another basis after a split.
        Column("dollar_volume", "f64", "close * volume: about what changed hands.", unit="usd total"),
        Column(
            "suspect_gap",
            "bool",
            "Whether open / prev_close lies outside [0.6, 1/0.6] without a split: a missed split or a bad print.",
            role="qa",
            null=_NO_ROW,
        ),
        AVAILABLE_NS,
    ),
    doc="Day bars of tradable symbols as traded, with split-aware returns.",
)


def check_price_range(band: PriceRange) -> PriceRange:
    """Refuse a price range whose ends are in the wrong order."""
    if not 0 <= band[0] <= band[1]:
        msg = f"prefilter_price_range is {list(band)}; write the lower price first"
        raise ValueError(msg)
    return band


class DailyParams(Params):
    """How day bars are linked and classed.

    Attributes
    ----------
    adjust
        ``splits``: returns look through splits; ``none``: prices are taken as they stand.
    max_gap_sessions
        How old the previous row may be.
    prefilter_price_range
        Lowest and highest close, as traded, of ``close_in_band``.
    clean_symbols
        Whether only tradable symbols are kept.
    """

    adjust: Literal["splits", "none"] = "splits"
    max_gap_sessions: int = Field(5, ge=1)
    prefilter_price_range: PriceRange = (1.0, 9.99)
    clean_symbols: bool = True

    _ordered = field_validator("prefilter_price_range")(check_price_range)


def table(_: DailyParams) -> Table:
    """The table provided: `silver/daily`."""
    return DAILY


def requires(params: DailyParams) -> tuple[Read, ...]:
    """The session's bars, earlier closes, which symbols are tradable, and the splits of the window."""
    reads = [
        Read(DAY_AGGS.name, ("symbol", *BAR_COLUMNS)),
        Read(DAY_AGGS.name, ("symbol", "close"), before=params.max_gap_sessions, own=False),
    ]
    if params.clean_symbols:
        reads.append(Read(SYMBOL_TYPES.name, ("symbol", "tradable")))
    if params.adjust == "splits":
        reads.append(Read(SPLITS.name, optional=True, rows=known_splits))
    return tuple(reads)


def compute(inputs: Inputs, params: DailyParams) -> Result:
    """One row per tradable symbol with a day bar, sorted by symbol."""
    panel = Panel(DAY_AGGS.name, inputs.partitions(DAY_AGGS.name), inputs.targets, params.max_gap_sessions)
    splits = inputs.once(SPLITS.name)
    closes, ratios = panel.grid("close"), panel.split_ratios(splits)
    parts = []
    for target in inputs.targets:
        bars, codes = panel.own(target.date)
        keep = _tradable(inputs, target, bars) if params.clean_symbols else np.ones(len(codes), dtype=bool)
        last = panel.row(target.date) + 1
        window = slice(last - 1 - params.max_gap_sessions, last)
        prev, age = last_before(closes[window], ratios[window])
        kept = codes[keep]
        columns = _derived(bars.filter(pa.array(keep)), prev[kept], age[kept], ratios[last - 1, kept], params)
        columns = {**columns, **_keys(target, panel, kept)}
        parts.append(DAILY.build(columns))
    return Result(stack(DAILY, parts), _findings(inputs, params, splits))


def _tradable(inputs: Inputs, target: Session, bars: pa.Table) -> np.ndarray:
    """Which rows are of a tradable symbol, bool (rows,); a symbol without a type is not."""
    types = inputs.partitions(SYMBOL_TYPES.name).get(target.date)
    if types is None:
        msg = "the session's symbols are not classed yet"
        raise BlockedError(msg, hint="build that first", table=SYMBOL_TYPES.name, partition=target.key)
    kept = types["symbol"].filter(types["tradable"]).cast(pa.string()).combine_chunks()
    tradable: np.ndarray = pc.is_in(bars["symbol"].cast(pa.string()), value_set=kept).to_numpy()
    return tradable


def _keys(target: Session, panel: Panel, codes: np.ndarray) -> dict[str, pa.Array]:
    return {
        "session": date_array(target.date, len(codes)),
        "symbol": panel.symbols(codes),
        "available_ns": pa.array(np.full(len(codes), target.ext_end_ns)),
    }


def _derived(
    bars: pa.Table, prev: np.ndarray, age: np.ndarray, ratio: np.ndarray, params: DailyParams
) -> Mapping[str, pa.Array]:
    first, close, volume = floats(bars["open"]), floats(bars["close"]), floats(bars["volume"])
    low, high = params.prefilter_price_range
    none = np.isnan(prev)
    ret, jump = close / prev - 1.0, first / prev
    suspect = ((jump < _SUSPECT_FACTOR) | (jump > 1.0 / _SUSPECT_FACTOR)) & (ratio == 1.0)
    return {name: bars[name] for name in BAR_COLUMNS} | {
        "split_ratio": pa.array(ratio),
        "prev_close": nullable(prev),
        "gap_sessions": nullable(age, pa.int16(), null=none),
        "ret_d": nullable(ret),
        "abs_ret_d": nullable(np.abs(ret)),
        "abs_change_d": nullable(np.abs(close - prev)),
        "close_in_band": pa.array((low <= close) & (close <= high)),
        "dollar_volume": pa.array(close * volume),
        "suspect_gap": nullable(suspect, null=none),
    }


def _findings(inputs: Inputs, params: DailyParams, splits: pa.Table | None) -> tuple[Finding, ...]:
    if params.adjust == "none":
        return ()
    if splits is None:
        message = "there is no table of splits: returns over a split are wrong, as with adjust: none"
        return (Finding("no_splits", message),)
    found = []
    for target in inputs.targets:
        due = splits.filter(pc.equal(splits["ex_session"].cast(pa.int32()), days_of(target.date)))
        traded = inputs.partitions(DAY_AGGS.name)[target.date]["symbol"].cast(pa.string()).combine_chunks()
        absent = pc.invert(pc.is_in(due["symbol"].cast(pa.string()), value_set=traded))
        symbols = due["symbol"].filter(absent).cast(pa.string()).to_pylist()
        if symbols:
            message = "splits whose symbol has no bar on the ex-session"
            samples = tuple(symbols[:_SAMPLES])
            found.append(Finding("split_unknown_symbol", message, len(symbols), samples, "info", target.key))
    return tuple(found)


FAMILY = Family("daily", 1, DailyParams, table, requires, compute, cost=0.04, chunk=63)
