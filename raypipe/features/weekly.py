"""Weeks from day bars, on the share basis of the week's last session.

A week is the calendar's, Monday first. Its last session is the last one *that the lake holds*, for every
symbol alike: a symbol that stopped trading on Wednesday has a row that is known at the end of Friday, since
nobody could know before that the week held no more of it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from raypipe.calendar import Session, calendar
from raypipe.features.daily import DAILY
from raypipe.features.panel import Panel, days_of, known_splits, stack
from raypipe.kernels.splits import basis, first_valid, last_on_basis, last_valid, ordered_sum
from raypipe.schema.family import Family, Inputs, Params, Read, Result
from raypipe.schema.frames import date_array, nullable
from raypipe.schema.spec import Column, Table
from raypipe.schema.tables import AVAILABLE_NS, SPLITS, SYMBOL

__all__ = ["FAMILY", "WEEKLY", "WeeklyParams"]

_SESSIONS_PER_WEEK = 5
_PRICES = ("open", "high", "low", "close")
_NO_EARLIER_WEEK = "the symbol has no row within the last max_gap_weeks weeks"

WEEKLY = Table(
    "silver/weekly",
    key=("symbol",),
    grain="week",
    columns=(
        Column("session", "date32", "Last session of the week in the lake; the same as week_end.", role="key"),
        SYMBOL,
        Column("week_start", "date32", "Monday of the week.", role="key"),
        Column("week_end", "date32", "Last session of the week in the lake.", role="meta", alias_of="session"),
        Column("year", "i16", "ISO year of the week.", unit="1", role="meta"),
        Column("week", "i8", "ISO number of the week.", unit="1", role="meta"),
        Column("open_w", "f64", "First open of the week, on week_end's basis.", unit="usd"),
        Column("high_w", "f64", "Highest price of the week, on week_end's basis.", unit="usd"),
        Column("low_w", "f64", "Lowest price of the week, on week_end's basis.", unit="usd"),
        Column("close_w", "f64", "Last close of the week, on week_end's basis.", unit="usd"),
        Column("volume_w", "f64", "Shares traded in the week, on week_end's basis.", unit="shares"),
        Column("sessions_n", "i8", "Sessions of the week in which the symbol has a row.", unit="sessions"),
        Column("complete", "bool", "Whether the lake holds every calendar session of the week.", role="meta"),
        Column("ret_w", "f64", "close_w / last close before the week - 1.", unit="1", null=_NO_EARLIER_WEEK),
        Column("abs_ret_w", "f64", "Absolute value of ret_w.", unit="1", null=_NO_EARLIER_WEEK),
        Column("abs_change_w", "f64", "Absolute change from that close.", unit="usd", null=_NO_EARLIER_WEEK),
        AVAILABLE_NS,
    ),
    doc="Weekly bars of tradable symbols; joins as of a time read complete weeks only.",
)


class WeeklyParams(Params):
    """How weeks are linked.

    Attributes
    ----------
    adjust
        ``splits``: the week and the week before are put on week_end's basis; ``none``: as they stand.
    max_gap_weeks
        How many weeks back the previous close may lie.
    """

    adjust: Literal["splits", "none"] = "splits"
    max_gap_weeks: int = Field(4, ge=1)


def table(_: WeeklyParams) -> Table:
    """The table provided: `silver/weekly`."""
    return WEEKLY


def requires(params: WeeklyParams) -> tuple[Read, ...]:
    """Day bars of the week and of the weeks before, and the splits of that window."""
    back = params.max_gap_weeks * _SESSIONS_PER_WEEK
    reads = [
        Read(DAILY.name, ("symbol", *_PRICES, "volume")),
        Read(DAILY.name, ("symbol", "close"), before=back, own=False),
    ]
    if params.adjust == "splits":
        reads.append(Read(SPLITS.name, optional=True, rows=known_splits))
    return tuple(reads)


@dataclass(frozen=True, slots=True)
class _Week:
    """One week. Grid rows: its look-back begins at ``past``, it spans [``start``, ``stop``)."""

    monday: dt.date
    last: Session
    complete: bool
    past: int
    start: int
    stop: int


def compute(inputs: Inputs, params: WeeklyParams) -> Result:
    """One row per week and symbol with a day bar in it, sorted by week and symbol."""
    before = params.max_gap_weeks * _SESSIONS_PER_WEEK
    panel = Panel(DAILY.name, inputs.partitions(DAILY.name), inputs.targets, before)
    weeks = _weeks(inputs, panel, params)
    grids = {name: panel.grid(name, targets_only=True) for name in ("open", "high", "low", "volume")}
    grids["close"] = panel.grid("close")
    ratios = panel.split_ratios(inputs.once(SPLITS.name))
    return Result(stack(WEEKLY, [_rows(week, panel, grids, ratios) for week in weeks]))


def _weeks(inputs: Inputs, panel: Panel, params: WeeklyParams) -> list[_Week]:
    """The weeks to build of which the lake holds a session."""
    held: dict[dt.date, list[Session]] = {}
    for target in inputs.targets:
        if panel.has(target.date):
            held.setdefault(target.monday, []).append(target)
    weeks = []
    for monday, sessions in held.items():
        last = sessions[-1]
        past = days_of(monday - dt.timedelta(weeks=params.max_gap_weeks))
        start, stop = np.searchsorted(panel.days, [days_of(monday), days_of(last.date) + 1])
        complete = [session.date for session in sessions] == calendar().week(monday)
        weeks.append(_Week(monday, last, complete, int(np.searchsorted(panel.days, past)), int(start), int(stop)))
    return weeks


def _rows(week: _Week, panel: Panel, grids: Mapping[str, np.ndarray], ratios: np.ndarray) -> pa.Table:
    on_basis = basis(ratios[week.past : week.stop])
    own_basis = on_basis[week.start - week.past :]
    own = {name: grid[week.start : week.stop] for name, grid in grids.items()}
    first, last = first_valid(own["close"]), last_valid(own["close"])
    codes = np.flatnonzero(first >= 0).astype(np.int32)
    first, last = first[codes], last[codes]
    close = own["close"][last, codes] / own_basis[last, codes]
    prices = {
        "open_w": own["open"][first, codes] / own_basis[first, codes],
        "high_w": np.fmax.reduce(own["high"] / own_basis, axis=0)[codes],
        "low_w": np.fmin.reduce(own["low"] / own_basis, axis=0)[codes],
        "close_w": close,
        "volume_w": ordered_sum(own["volume"] * own_basis)[codes],
    }
    prev = last_on_basis(grids["close"][week.past : week.start], on_basis[: week.start - week.past])[codes]
    counts = np.isfinite(own["close"]).sum(axis=0)[codes]
    columns = _keys(week, panel, codes) | _changes(prices, prev) | {"sessions_n": pa.array(counts, pa.int8())}
    return WEEKLY.build(columns)


def _changes(prices: Mapping[str, np.ndarray], prev: np.ndarray) -> dict[str, pa.Array]:
    close = prices["close_w"]
    ret = close / prev - 1.0
    return {name: pa.array(values) for name, values in prices.items()} | {
        "ret_w": nullable(ret),
        "abs_ret_w": nullable(np.abs(ret)),
        "abs_change_w": nullable(np.abs(close - prev)),
    }


def _keys(week: _Week, panel: Panel, codes: np.ndarray) -> dict[str, pa.Array]:
    iso = week.monday.isocalendar()
    count = len(codes)
    return {
        "session": date_array(week.last.date, count),
        "symbol": panel.symbols(codes),
        "week_start": date_array(week.monday, count),
        "week_end": date_array(week.last.date, count),
        "year": pa.array(np.full(count, iso.year), pa.int16()),
        "week": pa.array(np.full(count, iso.week), pa.int8()),
        "complete": pa.array(np.full(count, week.complete)),
        "available_ns": pa.array(np.full(count, week.last.ext_end_ns)),
    }


FAMILY = Family("weekly", 1, WeeklyParams, table, requires, compute, step="daily", cost=0.05, chunk=13)
