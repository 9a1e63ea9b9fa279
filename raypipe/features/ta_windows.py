"""Indicators whose windows are searched: nine columns of daily bars, made anew for every configuration.

The formulas are those of `gold/panel_technical`; only the windows differ. Nothing of it is stored as a table: bars are
held once, and what a configuration needs is made of them when it is its turn. `TA_FAMILY` is the same as a family with
fixed windows, so that the suite that judges families judges these columns too; no plan has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field, create_model

from raypipe.calendar import calendar
from raypipe.features.bars_1d import BARS_1D
from raypipe.schema.family import Family, Inputs, Params, Read, Result
from raypipe.schema.frames import floats, nullable
from raypipe.schema.spec import Column, Table
from raypipe.schema.tables import AVAILABLE_NS, SESSION, SYMBOL

__all__ = ["BAR_COLUMNS", "TA_COLUMNS", "TA_FAMILY", "TA_WINDOWS", "WINDOWS_OF", "TaBars", "TaColumns", "TaRows"]

#: Windows in rows of a symbol: the least, the most, and the usual one.
TA_WINDOWS: Mapping[str, tuple[int, int, int]] = {
    "rsi_n": (5, 30, 14),
    "atr_n": (5, 30, 14),
    "bb_n": (10, 60, 20),
    "macd_fast": (5, 20, 12),
    "macd_slow": (21, 60, 26),
    "macd_signal": (5, 15, 9),
    "momentum_n": (3, 60, 20),
    "vol_n": (5, 60, 20),
    "stoch_n": (5, 30, 14),
    "volume_n": (5, 60, 20),
}
#: Kernel, its windows, its columns.
_MADE: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("rsi", ("rsi_n",), ("ta_rsi",)),
    ("atr_pct", ("atr_n",), ("ta_atr_pct",)),
    ("bands", ("bb_n",), ("ta_bb_pos", "ta_bb_width")),
    ("macd_hist_pct", ("macd_fast", "macd_slow", "macd_signal"), ("ta_macd_hist_pct",)),
    ("momentum", ("momentum_n",), ("ta_momentum",)),
    ("volatility", ("vol_n",), ("ta_volatility",)),
    ("stochastic_k", ("stoch_n",), ("ta_stoch_k",)),
    ("volume_ratio", ("volume_n",), ("ta_volume_ratio",)),
)


def _column(name: str, unit: str, doc: str) -> Column:
    null = "the symbol has too few rows before it, or a denominator is 0"
    return Column(name, "f32", doc, unit, null)


#: The columns, in the order in which they are appended to features. Bands are two deviations from the mean.
TA_COLUMNS: tuple[Column, ...] = (
    _column("ta_rsi", "percent", "Wilder's relative strength index over rsi_n rows; 50 where nothing moved."),
    _column("ta_atr_pct", "1", "Wilder's average true range over atr_n rows / close."),
    _column("ta_bb_pos", "1", "(close - lower band) / (upper band - lower band), over bb_n rows."),
    _column("ta_bb_width", "1", "(upper band - lower band) / mean of bb_n closes."),
    _column("ta_macd_hist_pct", "1", "(Macd of macd_fast and macd_slow - its mean of macd_signal) / close."),
    _column("ta_momentum", "1", "Return over momentum_n rows."),
    _column("ta_volatility", "1", "Standard deviation of vol_n one-row returns, per year."),
    _column("ta_stoch_k", "percent", "Where the close stands in the range of stoch_n rows; 50 in a flat one."),
    _column("ta_volume_ratio", "1", "volume / mean of volume_n volumes."),
)
#: Which windows each column depends on.
WINDOWS_OF: Mapping[str, tuple[str, ...]] = {column: windows for _, windows, columns in _MADE for column in columns}
#: Columns of daily bars that `TaBars.of` reads.
BAR_COLUMNS = ("session", "high", "low", "close", "volume", "div_factor", "available_ns")
#: How old the bar of a row may be, in sessions: as of the tables that a panel is joined of.
MAX_AGE = 5
#: Bytes of columns that are kept for configurations to come.
KEPT_BYTES = 64 << 20


# --- bars ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class TaRows:
    """Daily bars, and which of them each row of a panel knows.

    Attributes
    ----------
    prices
        float64 (4, bars): high, low and close on the total-return basis, and volume; one symbol after the other.
    starts
        int64 (symbols + 1,): where the bars of each symbol begin, and their end.
    at
        int64 (rows,): the bar of each row, -1 where there is none.
    """

    prices: np.ndarray
    starts: np.ndarray
    at: np.ndarray

    def of_symbol(self, symbol: int, rows: slice) -> TaRows:
        """One symbol alone, ``rows`` being its rows."""
        first, end = self.starts[symbol], self.starts[symbol + 1]
        at = self.at[rows]
        at = np.where(at < 0, at, at - first)
        return TaRows(np.ascontiguousarray(self.prices[:, first:end]), np.array([0, end - first]), at)


@dataclass(frozen=True, slots=True, eq=False)
class TaBars:
    """Daily bars of symbols, one after the other.

    Attributes
    ----------
    prices, starts
        As of `TaRows`.
    days
        int64 (bars,), days since 1970-01-01.
    known_ns
        int64 (bars,), nanoseconds UTC: when the bar was known; ascending for each symbol.
    """

    prices: np.ndarray
    starts: np.ndarray
    days: np.ndarray
    known_ns: np.ndarray

    @classmethod
    def of(cls, tables: Sequence[pa.Table]) -> TaBars:
        """Bars of tables with `BAR_COLUMNS`, one for each symbol, sorted by session."""
        prices = np.empty((4, sum(table.num_rows for table in tables)))
        starts = np.cumsum([0, *(table.num_rows for table in tables)])
        days, known = (np.empty(prices.shape[1], np.int64) for _ in range(2))
        for table, first, end in zip(tables, starts[:-1], starts[1:], strict=True):
            factor = floats(table["div_factor"])
            for i, name in enumerate(("high", "low", "close")):
                prices[i, first:end] = floats(table[name]) * factor
            prices[3, first:end] = floats(table["volume"])
            days[first:end] = table["session"].combine_chunks().view(pa.int32()).to_numpy()
            known[first:end] = table["available_ns"].to_numpy()
        return cls(prices, starts, days, known)

    def rows(self, symbol_id: np.ndarray, days: np.ndarray, decision_ns: np.ndarray) -> TaRows:
        """The newest bar that each row of a panel knows when it is decided; none if it is older than `MAX_AGE`.

        Parameters
        ----------
        symbol_id
            int (rows,): which of the symbols.
        days
            int (rows,): the row's session, days since 1970-01-01.
        decision_ns
            int64 (rows,), nanoseconds UTC.
        """
        at = np.full(len(symbol_id), -1, np.int64)
        for symbol in np.unique(symbol_id):
            mine, first, end = np.flatnonzero(symbol_id == symbol), self.starts[symbol], self.starts[symbol + 1]
            found = first + np.searchsorted(self.known_ns[first:end], decision_ns[mine], side="right") - 1
            at[mine] = np.where(found >= first, found, -1)
        there = np.flatnonzero(at >= 0)
        age = calendar().places(days[there]) - calendar().places(self.days[at[there]])
        at[there[age > MAX_AGE]] = -1
        return TaRows(self.prices, self.starts, at)


# --- columns ---------------------------------------------------------------------------------------


class TaColumns:
    """The columns of a panel's rows under any windows; what was made is kept, as far as there is room.

    Parameters
    ----------
    rows
        The bars.
    kept_bytes
        How much is kept.
    """

    def __init__(self, rows: TaRows, *, kept_bytes: int = KEPT_BYTES) -> None:
        from raypipe.kernels._jit import as_input

        self._prices, self._starts, self._at = as_input(rows.prices), as_input(rows.starts, np.int64), rows.at
        self._kept: dict[tuple[str, tuple[int, ...]], np.ndarray] = {}
        self._room = kept_bytes

    def of(self, windows: Mapping[str, int]) -> np.ndarray:
        """`TA_COLUMNS` under some windows.

        Parameters
        ----------
        windows
            Each of `TA_WINDOWS`.

        Returns
        -------
        float32 (rows, 9), C order, NaN where a value is null; never infinite.
        """
        out = np.empty((len(self._at), len(TA_COLUMNS)), np.float32)
        done = 0
        for name, needed, columns in _MADE:
            for made in self._made(name, tuple(windows[one] for one in needed), len(columns)):
                out[:, done] = made[self._at]
                done += 1
        return out

    def _made(self, name: str, lengths: tuple[int, ...], columns: int) -> np.ndarray:
        """float32 (columns, bars + 1), the last NaN: that is where rows without a bar look."""
        found = self._kept.pop((name, lengths), None)
        if found is None:
            found = self._make(name, lengths, columns)
            self._room -= found.nbytes
        self._kept[name, lengths] = found  # the newest at the end
        while self._room < 0 and len(self._kept) > 1:
            self._room += self._kept.pop(next(iter(self._kept))).nbytes
        return found

    def _make(self, name: str, lengths: tuple[int, ...], columns: int) -> np.ndarray:
        from raypipe.kernels import ta_windows

        out = np.full((columns, self._prices.shape[1] + 1), np.nan, np.float32)
        # What is undefined is null below; compiled code never warns of it.
        with np.errstate(divide="ignore", invalid="ignore"):
            getattr(ta_windows, name)(self._prices, self._starts, *lengths, out)
        out[~np.isfinite(out)] = np.nan
        return out


# --- as a family -----------------------------------------------------------------------------------

_FIELDS: dict[str, Any] = {
    name: (int, Field(usual, ge=least, le=most, description="Rows."))
    for name, (least, most, usual) in TA_WINDOWS.items()
}
TaWindowsParams = create_model("TaWindowsParams", __base__=Params, __module__=__name__, **_FIELDS)
_TABLE = Table(
    "gold/ta_windows",
    key=("symbol", "session"),
    grain="symbol",
    columns=(SESSION, SYMBOL, *TA_COLUMNS, AVAILABLE_NS),
    doc="Indicators of each daily bar over windows that a search chooses.",
    floats="split",
)


def _compute(inputs: Inputs, params: Any) -> Result:
    bars = inputs.of_symbols(BARS_1D.name)
    parts = [bars[symbol] for symbol in inputs.symbols if symbol in bars and bars[symbol].num_rows]
    return Result(pa.concat_tables([_TABLE.empty(), *(_columns(rows, params.model_dump()) for rows in parts)]))


def _columns(rows: pa.Table, windows: Mapping[str, int]) -> pa.Table:
    bars = TaBars.of([rows])
    values = TaColumns(bars.rows(np.zeros(rows.num_rows, np.int64), bars.days, bars.known_ns)).of(windows)
    keys = {name: rows[name] for name in ("session", "symbol", "available_ns")}
    return _TABLE.build({**keys, **{c.name: nullable(values[:, i]) for i, c in enumerate(TA_COLUMNS)}})


TA_FAMILY = Family(
    "ta_windows",
    1,
    TaWindowsParams,
    lambda _: _TABLE,
    lambda _: (Read(BARS_1D.name, ("symbol", *BAR_COLUMNS)),),
    _compute,
)
