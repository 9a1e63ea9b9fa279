"""Where the vendor's day bars and minute bars of a session tell different stories.

The table lists the symbols where they do not; an empty partition is the good news.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.calendar import Session
from raypipe.schema.family import Family, Finding, Inputs, Params, Read, Result
from raypipe.schema.frames import codes_of, date_array, dictionary_array, floats, nullable
from raypipe.schema.spec import Column, Table
from raypipe.schema.tables import AVAILABLE_NS, SESSION, SYMBOL

__all__ = ["FAMILY"]

_DAY, _MINUTE = "bronze/day_aggs", "bronze/minute_aggs"
_WORST = 10


class BarCheckParams(Params):
    """When two bars disagree.

    Attributes
    ----------
    max_close_gap
        Share by which the day's close may differ from the last regular minute's close.
    max_volume_excess
        Share by which the minutes' summed volume may exceed the day's.
    """

    max_close_gap: float = 0.02
    max_volume_excess: float = 0.01


TABLE = Table(
    "silver/bar_checks",
    key=("symbol",),
    grain="session",
    columns=(
        SESSION,
        SYMBOL,
        Column("day_close", "f64", "Close of the day bar.", unit="usd", role="qa"),
        Column("minute_close", "f64", "Close of the last minute bar of regular trading.", unit="usd", role="qa"),
        Column("close_gap", "f64", "day_close / minute_close - 1.", unit="1", role="qa"),
        Column("day_volume", "f64", "Volume of the day bar.", unit="shares", role="qa"),
        Column("minute_volume", "f64", "Summed volume of all minute bars.", unit="shares", role="qa"),
        Column(
            "volume_excess", "f64", "minute_volume / day_volume - 1.", unit="1", null="the day has no volume", role="qa"
        ),
        AVAILABLE_NS,
    ),
    doc="Symbols whose day bar and minute bars disagree beyond tolerance.",
)


def _compute(inputs: Inputs, params: BarCheckParams) -> Result:
    parts, findings = [], []
    for session in inputs.targets:
        day, minute = inputs.partitions(_DAY)[session.date], inputs.partitions(_MINUTE)[session.date]
        part = _compare(session, day, minute, params)
        parts.append(part)
        findings += _findings(session, part)
    return Result(pa.concat_tables(parts), tuple(findings))


def _compare(session: Session, day: pa.Table, minute: pa.Table, params: BarCheckParams) -> pa.Table:
    names, (day_codes, minute_codes) = codes_of([day["symbol"], minute["symbol"]])
    size = len(names)
    day_close, day_volume = np.full(size, np.nan), np.zeros(size)
    day_close[day_codes], day_volume[day_codes] = floats(day["close"]), floats(day["volume"])
    minute_volume = np.bincount(minute_codes, floats(minute["volume"]), size)
    minute_close = np.full(size, np.nan)
    rth = pc.equal(minute["segment"].cast(pa.string()), "rth").to_numpy()
    # Rows are sorted by symbol and time: the last assignment of a symbol is its last regular bar.
    minute_close[minute_codes[rth]] = floats(minute["close"])[rth]
    with np.errstate(divide="ignore", invalid="ignore"):
        gap, excess = day_close / minute_close - 1, minute_volume / day_volume - 1
        bad = (np.abs(gap) > params.max_close_gap) | (excess > params.max_volume_excess)
    at = np.flatnonzero(bad & ~np.isnan(gap))
    return TABLE.build(
        {
            "session": date_array(session.date, len(at)),
            "symbol": dictionary_array(at.astype(np.int32), names),
            "day_close": pa.array(day_close[at]),
            "minute_close": pa.array(minute_close[at]),
            "close_gap": pa.array(gap[at]),
            "day_volume": pa.array(day_volume[at]),
            "minute_volume": pa.array(minute_volume[at]),
            "volume_excess": nullable(excess[at]),
            "available_ns": pa.array(np.full(len(at), session.ext_end_ns)),
        }
    )


def _findings(session: Session, part: pa.Table) -> list[Finding]:
    if part.num_rows == 0:
        return []
    size = np.maximum(np.abs(floats(part["close_gap"])), np.nan_to_num(floats(part["volume_excess"])))
    worst = part.take(np.argsort(-size, kind="stable")[:_WORST])
    samples = tuple(f"{row['symbol']}: close {row['close_gap']:+.1%}" for row in worst.to_pylist())
    message = f"{part.num_rows:,} symbols have day and minute bars that disagree"
    return [Finding("bars_disagree", message, part.num_rows, samples, partition=session.key)]


def _table(_params: BarCheckParams) -> Table:
    return TABLE


def _requires(_params: BarCheckParams) -> tuple[Read, ...]:
    return (
        Read(_DAY, ("symbol", "close", "volume")),
        Read(_MINUTE, ("symbol", "window_start_ns", "close", "volume", "segment")),
    )


FAMILY = Family(
    name="bar_checks",
    version=1,
    params=BarCheckParams,
    table=_table,
    requires=_requires,
    compute=_compute,
    step="minute",
    cost=0.1,
    fuse="minute",
)
