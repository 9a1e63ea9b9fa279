"""The day bars of liquid names inside a price band, chosen point in time.

A row is kept by what was known at the end of its own session: its close, and the volume of the symbol's
rows in the window that ends there. The table selects; it is not a series. Names come and go, so nothing
may roll over it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator

from raypipe.features.daily import DAILY, PriceRange, check_price_range
from raypipe.features.panel import Panel, known_splits, stack
from raypipe.kernels.splits import basis, ordered_sum
from raypipe.schema.family import Family, Inputs, Params, Read, Result
from raypipe.schema.frames import floats
from raypipe.schema.spec import Column, Table
from raypipe.schema.tables import SPLITS

__all__ = ["FAMILY", "FILTERED", "FilteredParams"]

FILTERED = replace(
    DAILY,
    name="silver/daily_filtered",
    columns=(
        *DAILY.columns,
        Column(
            "avg_volume",
            "f64",
            "Mean volume of the symbol's rows in the last prefilter_window_sessions sessions, on this session's basis.",
            unit="shares",
        ),
        Column("days_in_window", "i16", "How many rows the symbol has in those sessions.", unit="sessions"),
    ),
    doc="The rows of silver/daily that pass price band, mean volume and history, all known at the end of the session.",
)


class FilteredParams(Params):
    """Which rows pass.

    Attributes
    ----------
    adjust
        ``splits``: volumes of the window are put on the session's basis; ``none``: as they stand.
    prefilter_price_range
        Lowest and highest close, as traded; None takes ``close_in_band`` of the daily table.
    prefilter_window_sessions
        Length of the window in calendar sessions, the row's own included.
    prefilter_min_avg_volume
        Least mean volume in shares; 0 switches the rule off.
    prefilter_min_days
        Fewest rows in the window; 0 switches the rule off.
    """

    adjust: Literal["splits", "none"] = "splits"
    prefilter_price_range: PriceRange | None = None
    prefilter_window_sessions: int = Field(90, ge=1, le=2_000)
    prefilter_min_avg_volume: float = Field(750_000.0, ge=0)
    prefilter_min_days: int = Field(60, ge=0)

    @field_validator("prefilter_price_range")
    @classmethod
    def _ordered(cls, band: PriceRange | None) -> PriceRange | None:
        return None if band is None else check_price_range(band)


def table(_: FilteredParams) -> Table:
    """The table provided: `silver/daily_filtered`."""
    return FILTERED


def requires(params: FilteredParams) -> tuple[Read, ...]:
    """The session's day bars, the volumes of the window, and its splits."""
    reads = [Read(DAILY.name)]
    if params.prefilter_window_sessions > 1:
        before = params.prefilter_window_sessions - 1
        reads.append(Read(DAILY.name, ("symbol", "volume"), before=before, own=False))
    if params.adjust == "splits":
        reads.append(Read(SPLITS.name, optional=True, rows=known_splits))
    return tuple(reads)


def compute(inputs: Inputs, params: FilteredParams) -> Result:
    """The rows that pass, sorted by symbol."""
    before = params.prefilter_window_sessions - 1
    panel = Panel(DAILY.name, inputs.partitions(DAILY.name), inputs.targets, before)
    volumes, ratios = panel.grid("volume"), panel.split_ratios(inputs.once(SPLITS.name))
    splitting = (ratios != 1.0).any(axis=0)
    parts = []
    for target in inputs.targets:
        rows, codes = panel.own(target.date)
        keep = _in_band(rows, params)
        last = panel.row(target.date)
        window = slice(last - before, last + 1)
        in_band = codes[keep]
        split = splitting[in_band]
        own = volumes[window, in_band]
        own[:, split] *= basis(ratios[window, in_band[split]])
        count = (~np.isnan(own)).sum(axis=0)
        mean = ordered_sum(own) / count
        passing = (mean >= params.prefilter_min_avg_volume) & (count >= params.prefilter_min_days)
        keep[keep] = passing
        parts.append(_selected(rows, panel.symbols(codes[keep]), keep, mean[passing], count[passing]))
    return Result(stack(FILTERED, parts))


def _selected(
    rows: pa.Table, symbols: pa.DictionaryArray, keep: np.ndarray, mean: np.ndarray, count: np.ndarray
) -> pa.Table:
    bars = rows.filter(pa.array(keep))
    return FILTERED.build(
        {name: bars[name] for name in DAILY.names}
        | {
            "symbol": symbols,
            "close_in_band": pa.array(np.ones(bars.num_rows, dtype=bool)),
            "avg_volume": pa.array(mean),
            "days_in_window": pa.array(count, pa.int16()),
        }
    )


def _in_band(rows: pa.Table, params: FilteredParams) -> np.ndarray:
    if params.prefilter_price_range is None:
        return np.array(rows["close_in_band"])
    low, high = params.prefilter_price_range
    close = floats(rows["close"])
    return (low <= close) & (close <= high)


FAMILY = Family("filtered", 1, FilteredParams, table, requires, compute, step="daily", cost=0.05, chunk=63)
