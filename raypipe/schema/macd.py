"""What MACD is asked for and where it stood: shared by the tables of features and by the events made from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator

from raypipe.calendar import NS_PER_DAY, Session, calendar
from raypipe.schema.family import Inputs, Params, Read
from raypipe.schema.frames import floats
from raypipe.schema.minutes import Mode
from raypipe.schema.spec import Column, Table
from raypipe.schema.splits import due_splits, split_ratios
from raypipe.schema.tables import AVAILABLE_NS, SESSION, SPLITS, SYMBOL

__all__ = [
    "MACD_STATE",
    "WIDTH_NS",
    "Carried",
    "MacdParams",
    "Timeframe",
    "carried",
    "carried_reads",
    "matched",
]

#: Widths whose buckets have the session's opens and closes among their borders.
Timeframe = Literal["1m", "5m", "15m", "30m"]
_MINUTE_NS = NS_PER_DAY // (24 * 60)
#: Width of a bar by timeframe, in nanoseconds.
WIDTH_NS: dict[str, int] = {"1m": _MINUTE_NS, "5m": 5 * _MINUTE_NS, "15m": 15 * _MINUTE_NS, "30m": 30 * _MINUTE_NS}
_STATE = ("ema_fast", "ema_slow", "signal_ema", "last_close")

#: Fast, slow and signal average and last close (usd, NaN without bars), and bars so far: of each symbol, in the order
#: that the kernel takes them.
Carried: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class MacdParams(Params):
    """How MACD is computed, for features, stored bars and events alike.

    Attributes
    ----------
    fast, slow, signal
        Lengths of the averages, in bars; alpha = 2 / (n + 1).
    timeframes
        Widths of the bars.
    modes
        ``all``: bars from 04:00 to 20:00; ``rth``: bars of regular hours.
    state
        ``session``: the averages start at the session's first bar. ``carry``: they go on from the session before.
    min_bars
        The how manieth bar of a recursion is the first whose values count.
    write_bars
        Whether every bar is stored too, in ``silver/macd_bars``.
    state_max_age_sessions
        How many sessions without a bar a carried state outlives.
    clean_symbols
        Whether only tradable symbols are kept.
    """

    fast: int = Field(12, ge=1, le=10_000)
    slow: int = Field(26, ge=2, le=10_000)
    signal: int = Field(9, ge=1, le=10_000)
    timeframes: tuple[Timeframe, ...] = Field(("1m", "5m"), min_length=1)
    modes: tuple[Mode, ...] = Field(("all",), min_length=1)
    state: Literal["session", "carry"] = "session"
    min_bars: int = Field(34, ge=1, le=10_000)
    write_bars: bool = Field(False, json_schema_extra={"track": False})
    state_max_age_sessions: int = Field(20, ge=0, le=2_000)
    clean_symbols: bool = True

    @field_validator("timeframes")
    @classmethod
    def _by_width(cls, value: tuple[Timeframe, ...]) -> tuple[Timeframe, ...]:
        """In order of width, each once, so that their order in a file changes nothing."""
        return tuple(sorted(set(value), key=WIDTH_NS.__getitem__))

    @field_validator("modes")
    @classmethod
    def _by_name(cls, value: tuple[Mode, ...]) -> tuple[Mode, ...]:
        return tuple(sorted(set(value)))

    @model_validator(mode="after")
    def _fast_below_slow(self) -> MacdParams:
        if self.fast >= self.slow:
            msg = f"fast is {self.fast} and slow is {self.slow}; the fast average must be the shorter one"
            raise ValueError(msg)
        return self

    def tracked(self) -> dict[str, object]:
        """As of all parameters; how long a state lives matters only where it is carried."""
        found = super().tracked()
        return found if self.state == "carry" else {k: v for k, v in found.items() if k != "state_max_age_sessions"}


MACD_STATE = Table(
    "silver/macd_state",
    key=("mode", "tf", "symbol"),
    grain="session",
    columns=(
        SESSION,
        Column("mode", "dict", "all or rth: which bars count.", role="key"),
        Column("tf", "dict", "Width of the bars: 1m, 5m ...", role="key"),
        SYMBOL,
        Column("ema_fast", "f64", "Fast average of the close, on the session's share basis.", unit="usd"),
        Column("ema_slow", "f64", "Slow average of the close, on the session's share basis.", unit="usd"),
        Column("signal_ema", "f64", "Signal line: average of fast less slow.", unit="usd"),
        Column("last_close", "f64", "Close of the last bar, on the session's share basis.", unit="usd"),
        Column("bars_n", "i32", "Bars since the recursion began.", unit="1"),
        Column("last_start_ns", "i64", "Start of the last bar.", unit="ns", role="time"),
        Column("age_sessions", "i16", "Sessions since the last bar; 0 is this one.", unit="sessions"),
        AVAILABLE_NS,
    ),
    doc="Where the MACD recursions stood after the session's last bar; only with macd.state: carry.",
    floats="split",
)


def carried_reads(params: MacdParams) -> Iterable[Read]:
    """What a family reads to go on from the session before; nothing if every session starts afresh."""
    if params.state == "carry":
        yield Read(MACD_STATE.name, before=1, own=False)
        yield Read(SPLITS.name, optional=True, rows=due_splits)


def carried(inputs: Inputs, session: Session, mode: str, tf: str) -> pa.Table:
    """The recursions of one mode and timeframe after the session before, on this session's share basis.

    Returns
    -------
    Rows of `MACD_STATE`, symbols ascending; none where nothing is carried.
    """
    stored = inputs.partitions(MACD_STATE.name).get(calendar().offset(session.date, -1))
    if stored is None:
        return MACD_STATE.empty()
    rows = stored.filter(pc.and_(_equal(stored["mode"], mode), _equal(stored["tf"], tf)))
    ratios = split_ratios(inputs, session, rows["symbol"])
    if (ratios != 1.0).any():
        for name in _STATE:
            column = pa.chunked_array([pa.array(floats(rows[name]) / ratios)])
            rows = rows.set_column(rows.schema.get_field_index(name), MACD_STATE[name].arrow, column)
    return rows


def matched(rows: pa.Table, symbols: pa.Array) -> Carried:
    """Carried recursions put beside symbols; one that has none starts afresh."""
    names = rows["symbol"].cast(pa.string()).combine_chunks()
    place = pc.index_in(symbols, value_set=names).fill_null(-1).to_numpy()
    fast, slow, signal, close = (np.append(floats(rows[name]), np.nan)[place] for name in _STATE)
    bars = np.append(rows["bars_n"].to_numpy().astype(np.int64), 0)[place]
    return fast, slow, signal, close, bars


def _equal(column: pa.ChunkedArray, word: str) -> pa.ChunkedArray:
    return pc.equal(column.cast(pa.string()), word)
