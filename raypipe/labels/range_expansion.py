"""Whether the next session's range is wide: against a threshold, and against the symbol's own usual range.

A session's rows wait for the session after it. That one is the calendar's next, not the symbol's next row: a symbol
that does not trade then has no label.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from raypipe.calendar import Session, calendar
from raypipe.kernels.splits import mean_of_last
from raypipe.schema.family import Family, Inputs, Params, Read, Result
from raypipe.schema.frames import codes_of, date_array, dictionary_array, floats, nullable
from raypipe.schema.spec import Column, Table
from raypipe.schema.tables import SESSION, SYMBOL

__all__ = ["FAMILY", "RANGE_LABELS", "RangeParams"]

_DAILY = "silver/daily"
_NO_NEXT = "the symbol has no row in the next session"
_NO_USUAL = f"{_NO_NEXT}, or fewer than lookback_rows rows up to this one, or none with a range"

RANGE_LABELS = Table(
    "gold/range_expansion_labels",
    key=("symbol",),
    grain="session",
    columns=(
        SESSION,
        SYMBOL,
        Column("next_session", "date32", "The calendar's next session.", role="meta"),
        Column(
            "next_day_range_pct",
            "f64",
            "(high - low) of the next session / this close on its basis.",
            unit="1",
            null=_NO_NEXT,
            role="label",
        ),
        Column(
            "label_next_day_range_expand",
            "i8",
            "1 if next_day_range_pct reaches threshold, else 0.",
            unit="1",
            null=_NO_NEXT,
            role="label",
        ),
        Column(
            "next_day_range_ratio",
            "f64",
            "next_day_range_pct / mean of (high - low) / close over the last lookback_rows rows, this one included.",
            unit="1",
            null=_NO_USUAL,
            role="label",
        ),
        Column(
            "label_next_day_range_expand_rel",
            "i8",
            "1 if next_day_range_ratio reaches rel_threshold, else 0.",
            unit="1",
            null=_NO_USUAL,
            role="label",
        ),
        Column("label_known_ns", "i64", "End of the next session: from then on the row is known.", "ns", role="time"),
    ),
    doc="The next session's range of each row of silver/daily; never an input of a model.",
    floats="split",
)


class RangeParams(Params):
    """When a range counts as wide.

    Attributes
    ----------
    threshold
        Least range, as a share of the close before.
    rel_threshold
        Least range in multiples of the symbol's usual one.
    lookback_rows
        Rows of the symbol in its usual range; fewer give no relative label.
    window_sessions
        How many sessions, this one included, those rows may lie in.
    """

    threshold: float = Field(0.08, gt=0)
    rel_threshold: float = Field(2.0, gt=0)
    lookback_rows: int = Field(20, ge=1)
    window_sessions: int = Field(30, ge=1, le=2_000)

    @model_validator(mode="after")
    def _fits(self) -> RangeParams:
        if self.lookback_rows > self.window_sessions:
            msg = f"lookback_rows is {self.lookback_rows}, more than window_sessions can hold"
            raise ValueError(msg)
        return self


def table(_: RangeParams) -> Table:
    """The table provided: `gold/range_expansion_labels`."""
    return RANGE_LABELS


def requires(params: RangeParams) -> tuple[Read, ...]:
    """The day bars of the session, of those before, and of the next one."""
    columns = ("symbol", "high", "low", "close", "split_ratio")
    return (Read(_DAILY, columns, before=params.window_sessions - 1, after=1),)


def compute(inputs: Inputs, params: RangeParams) -> Result:
    """One row per row of the daily table, sorted by symbol."""
    bars = _Bars(inputs.partitions(_DAILY))
    return Result(pa.concat_tables([RANGE_LABELS.empty(), *(_session(bars, t, params) for t in inputs.targets)]))


class _Bars:
    """Day bars of several sessions on one axis of symbols.

    Parameters
    ----------
    partitions
        Rows of the daily table by session.
    """

    def __init__(self, partitions: Mapping[dt.date | None, pa.Table]) -> None:
        self._tables = {date: table for date, table in partitions.items() if date is not None}
        self.names, codes = codes_of([table["symbol"] for table in self._tables.values()])
        self._codes = dict(zip(self._tables, codes, strict=True))

    def codes(self, date: dt.date) -> np.ndarray:
        """Places of the symbols with a row, ascending; int32 (rows,)."""
        return self._codes[date]

    def row(self, date: dt.date, column: str) -> np.ndarray:
        """A column of one session, NaN for symbols without a row; float64 (symbols,)."""
        out = np.full(len(self.names), np.nan)
        if date in self._tables:
            out[self._codes[date]] = floats(self._tables[date][column])
        return out

    def share(self, date: dt.date) -> np.ndarray:
        """(high - low) / close of one session; float64 (symbols,)."""
        share: np.ndarray = (self.row(date, "high") - self.row(date, "low")) / self.row(date, "close")
        return share


def _session(bars: _Bars, target: Session, params: RangeParams) -> pa.Table:
    dates = calendar()
    following = dates.session(dates.offset(target.date, 1))
    codes = bars.codes(target.date)
    basis = bars.row(target.date, "close") / bars.row(following.date, "split_ratio")
    ahead = ((bars.row(following.date, "high") - bars.row(following.date, "low")) / basis)[codes]
    window = dates.dates(dates.offset(target.date, 1 - params.window_sessions), target.date)
    usual = mean_of_last(np.stack([bars.share(date)[codes] for date in window]), params.lookback_rows)
    ratio = np.divide(ahead, usual, out=np.full(len(codes), np.nan), where=usual > 0.0)
    return RANGE_LABELS.build(
        {
            "session": date_array(target.date, len(codes)),
            "symbol": dictionary_array(codes, bars.names),
            "next_session": date_array(following.date, len(codes)),
            "next_day_range_pct": nullable(ahead),
            "label_next_day_range_expand": _reaches(ahead, params.threshold),
            "next_day_range_ratio": nullable(ratio),
            "label_next_day_range_expand_rel": _reaches(ratio, params.rel_threshold),
            "label_known_ns": pa.array(np.full(len(codes), following.ext_end_ns)),
        }
    )


def _reaches(values: np.ndarray, threshold: float) -> pa.Array:
    return nullable((values >= threshold).astype(np.int8), null=np.isnan(values))


FAMILY = Family("range_expansion", 1, RangeParams, table, requires, compute, step="range", cost=0.05, chunk=63)
