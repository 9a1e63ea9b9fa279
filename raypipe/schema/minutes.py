"""Minute bars as arrays, whole symbols at a time: the friendly side of the kernels that run over them.

Rows of ``bronze/minute_aggs`` are sorted by symbol and time, so a symbol is a run of rows and nothing needs
grouping. A table is handed on in the pieces that it came in, without a copy, as long as no symbol is cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from raypipe.calendar import Session
from raypipe.errors import BlockedError
from raypipe.schema.family import Inputs, Params
from raypipe.schema.tables import SYMBOL_TYPES

__all__ = ["MinuteParams", "Minutes", "Mode", "minutes_of", "tradable_symbols", "window_of"]

#: Rows of a piece, unless one symbol has more. The allocator gives larger arrays back to the system each time, and
#: clearing new pages took a third of what MACD over a row group of 262,144 rows costs.
_PIECE_ROWS = 1 << 16

#: Which bars of a session count: those of regular hours, or all from 04:00 to 20:00.
Mode = Literal["all", "rth"]


def window_of(session: Session, mode: Mode) -> tuple[int, int]:
    """Start and end of a mode's window in nanoseconds UTC, half-open.

    Examples
    --------
    >>> from raypipe.calendar import calendar, parse_session
    >>> early = calendar().session(parse_session("2025-11-28"))
    >>> [(end - start) // 60_000_000_000 for start, end in (window_of(early, "rth"), window_of(early, "all"))]
    [210, 960]
    """
    return (session.open_ns, session.close_ns) if mode == "rth" else (session.ext_start_ns, session.ext_end_ns)


class MinuteParams(Params):
    """Which bars count, and what volume is held against.

    Attributes
    ----------
    mode
        ``rth``: bars of regular hours; ``all``: bars from 04:00 to 20:00. The opening range is regular in both.
    vol_spike_lookback
        Rows of the daily table in the mean volume; fewer give no ``vol_spike``.
    vol_spike_window_sessions
        How many sessions back those rows may lie.
    adjust
        ``splits``: volumes before a split are put on the session's basis; ``none``: they are taken as they stand.
    clean_symbols
        Whether only tradable symbols are kept.
    """

    mode: Mode = "rth"
    vol_spike_lookback: int = Field(20, ge=1)
    vol_spike_window_sessions: int = Field(30, ge=1, le=2_000)
    adjust: Literal["splits", "none"] = "splits"
    clean_symbols: bool = True

    @model_validator(mode="after")
    def _fits(self) -> MinuteParams:
        if self.vol_spike_lookback > self.vol_spike_window_sessions:
            msg = f"vol_spike_lookback is {self.vol_spike_lookback}, more than vol_spike_window_sessions can hold"
            raise ValueError(msg)
        return self


@dataclass(frozen=True, slots=True)
class Minutes:
    """Bars of whole symbols.

    Attributes
    ----------
    symbols
        One name per symbol, ascending bytewise; string (symbols,).
    begin, end
        Rows of each symbol are [begin, end); int64 (symbols,). Rows of no symbol may lie between.
    rows
        The rows, columns in one chunk each.
    """

    symbols: pa.Array
    begin: np.ndarray
    end: np.ndarray
    rows: pa.RecordBatch

    def __getitem__(self, column: str) -> np.ndarray:
        """A numeric column without nulls, shape (rows,), read-only, not copied."""
        values: np.ndarray = self.rows.column(column).to_numpy()
        return values


def minutes_of(table: pa.Table, keep: pa.Array | None = None) -> Iterator[Minutes]:
    """The bars of a session, in pieces of whole symbols.

    Parameters
    ----------
    table
        Rows sorted by symbol and time, with the dictionary column ``symbol``.
    keep
        Names of the symbols wanted; None means all.
    """
    for rows in _whole_symbols(table):
        codes = rows.column("symbol")
        begin = _run_starts(codes.indices.to_numpy())
        symbols = codes.dictionary.take(codes.indices.take(pa.array(begin)))
        end = np.append(begin[1:], rows.num_rows)
        if keep is not None:
            wanted = pc.is_in(symbols, value_set=keep)
            mask = wanted.to_numpy(zero_copy_only=False)
            symbols, begin, end = symbols.filter(wanted), begin[mask], end[mask]
        for part in _portions(end - begin):
            yield Minutes(symbols[part], begin[part], end[part], rows)


def _portions(lengths: np.ndarray) -> Iterator[slice]:
    """Runs of symbols that share a piece, by their numbers of rows."""
    ends = np.cumsum(lengths)
    first = 0
    while first < len(ends):
        done = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, done + _PIECE_ROWS, side="right")))
        yield slice(first, last)
        first = last


def tradable_symbols(inputs: Inputs, session: Session) -> pa.Array:
    """Names of the session's tradable symbols, string.

    Raises
    ------
    BlockedError
        If the session's symbols are not classed yet.
    """
    types = inputs.partitions(SYMBOL_TYPES.name).get(session.date)
    if types is None:
        msg = "the session's symbols are not classed yet"
        raise BlockedError(msg, hint="build that first", table=SYMBOL_TYPES.name, partition=session.key)
    return types["symbol"].filter(types["tradable"]).cast(pa.string()).combine_chunks()


def _run_starts(codes: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.flatnonzero(codes[1:] != codes[:-1]) + 1]) if len(codes) else np.empty(0, np.int64)


def _whole_symbols(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """The table's own chunks; those that share a symbol are put together."""
    held: list[pa.RecordBatch] = []
    for batch in table.to_batches():
        if batch.num_rows == 0:
            continue
        if held and _symbol(held[-1], -1) != _symbol(batch, 0):
            yield _joined(held)
            held = []
        held.append(batch)
    if held:
        yield _joined(held)


def _symbol(batch: pa.RecordBatch, row: int) -> str:
    name: str = batch.column("symbol")[row].as_py()
    return name


def _joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    return pa.Table.from_batches(batches).unify_dictionaries().combine_chunks().to_batches()[0]
