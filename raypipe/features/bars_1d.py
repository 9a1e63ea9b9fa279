"""Daily bars of one symbol on one share basis, with its dividends: what returns over any horizon are made of.

Prices and volumes are on the share basis of the newest row, so they are restated whenever a later split comes; the
as-traded price is price * ``split_factor``. ``div_factor`` grows forward: its value in a row never depends on later
dividends, and price * div_factor is a total-return price.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa

from raypipe.errors import SchemaError
from raypipe.schema.daily_bars import OHLCV_1D, PRICES, DailyIngest
from raypipe.schema.family import Family, Finding, Inputs, Params, Read, Result, shared
from raypipe.schema.frames import constant_dictionary, floats, nullable
from raypipe.schema.known import known_ns
from raypipe.schema.spec import Column, Table
from raypipe.schema.tables import AVAILABLE_NS, SESSION, SYMBOL

__all__ = ["BARS_1D", "FAMILY", "Bars1dParams"]

_VALUES = (*PRICES, "volume", "adj_close", "dividends", "split_ratio")
#: An overnight move beyond this share without a split or a dividend is told.
_SUSPECT_MOVE = 0.4
#: Dividends by two columns that are further apart than this share of the price are told.
_DISAGREE = 0.005
#: A change of adj_close / close below this is rounding, not a dividend.
_ROUNDING = 2e-5
_SAMPLES = 10


def _table(*, restated: bool) -> Table:
    """The table; raw prices are put on the newest basis here, so all their levels are restated by later splits."""
    role: Any = "vintage" if restated else "feature"
    return Table(
        "silver/bars_1d",
        key=("symbol", "session"),
        grain="symbol",
        columns=(
            SESSION,
            SYMBOL,
            *(Column(n, "f64", f"The {n} per share of the newest row's basis.", unit="usd", role=role) for n in PRICES),
            Column("volume", "f64", "Shares traded, on the same basis.", unit="shares", role=role),
            Column(
                "split_factor",
                "f64",
                "Product of the split ratios with a later ex-session: as-traded price = price * split_factor.",
                unit="1",
                null="prices came fully adjusted",
                role="vintage",
            ),
            Column("dividend_usd", "f64", "Dividend of this ex-session per share of that basis.", "usd", role=role),
            Column("div_factor", "f64", "Total-return factor: 1 in the first row, grows with each dividend.", unit="1"),
            Column("is_stale", "bool", "No volume, and every price is the close before.", role="meta"),
            AVAILABLE_NS,
        ),
        doc="Daily bars on the newest share basis, with dividends and a forward total-return factor.",
        floats="split",
    )


BARS_1D = _table(restated=False)
_RESTATED = _table(restated=True)


class Bars1dParams(Params):
    """Nothing of its own: what the prices of daily files are."""

    ingest: DailyIngest = shared("ingest", DailyIngest)

    def tracked(self) -> dict[str, Any]:
        """The value that counts here."""
        return {"adjustment": self.ingest.adjustment}


def table(params: Bars1dParams) -> Table:
    """The table provided: `silver/bars_1d`."""
    return _RESTATED if params.ingest.adjustment == "raw" else BARS_1D


def requires(_: Bars1dParams) -> tuple[Read, ...]:
    """The vendor's bars of the symbol."""
    return (Read(OHLCV_1D.name, ("session", "symbol", *_VALUES)),)


def compute(inputs: Inputs, params: Bars1dParams) -> Result:
    """One row per bar of each symbol, sorted by symbol and session."""
    spec, findings = table(params), list[Finding]()
    parts = [
        _symbol(symbol, rows, params, findings)
        for symbol, rows in inputs.of_symbols(OHLCV_1D.name).items()
        if symbol in inputs.symbols
    ]
    return Result(pa.concat_tables([spec.empty(), *parts]), tuple(findings))


def _symbol(symbol: str, rows: pa.Table, params: Bars1dParams, findings: list[Finding]) -> pa.Table:
    mode = params.ingest.adjustment
    vendor = {name: floats(rows[name]) for name in _VALUES}
    ratio = np.where(vendor["split_ratio"] > 0, vendor["split_ratio"], 1.0)
    later = np.multiply.accumulate(np.append(1.0, ratio[:0:-1]))[::-1] if len(ratio) else ratio
    basis = later if mode == "raw" else np.ones(len(ratio))
    # The close before, on the share basis of the row itself: what later splits restate is not needed for returns.
    before = np.append(np.nan, vendor["close"])[: len(ratio)] / (ratio if mode == "raw" else 1.0)
    note = _Notes(symbol, rows, findings)
    dividend = _dividends(vendor, before, mode, note)
    _refuse_large(dividend, before, note)
    _note_moves(vendor["open"], before, (dividend > 0.0) | ((ratio != 1.0) & (mode != "full")), note)
    growth = np.divide(before, before - dividend, out=np.ones(len(ratio)), where=dividend > 0.0)
    stale = (vendor["volume"] == 0.0) & np.logical_and.reduce([vendor[name] == before for name in PRICES])
    return table(params).build(
        {
            "session": rows["session"],
            "symbol": constant_dictionary(symbol, len(ratio)),
            **{name: pa.array(vendor[name] / basis) for name in PRICES},
            "volume": pa.array(vendor["volume"] * basis),
            "split_factor": nullable(np.full(len(ratio), np.nan) if mode == "full" else later),
            "dividend_usd": pa.array(dividend / basis),
            "div_factor": pa.array(np.multiply.accumulate(growth)),
            "is_stale": pa.array(stale),
            "available_ns": pa.array(known_ns(OHLCV_1D, rows)),
        }
    )


def _dividends(vendor: dict[str, np.ndarray], before: np.ndarray, mode: str, note: _Notes) -> np.ndarray:
    """Dividend of each ex-session per share of its own basis, USD; 0 where there is none, and in the first row."""
    close = vendor["close"]
    if mode == "full" or not len(close):
        return np.zeros(len(close))
    stated, implied = vendor["dividends"].copy(), _implied(vendor["adj_close"], close, before)
    stated[0] = 0.0
    if np.isnan(vendor["dividends"]).all():
        return np.where(np.isnan(implied), 0.0, implied)
    stated = np.where(np.isnan(stated), 0.0, stated)
    with np.errstate(invalid="ignore"):
        note.rows(
            "dividends_disagree",
            "dividends and adj_close are apart by more than 0.5 % of the price; the dividends column counts",
            np.abs(stated - implied) > _DISAGREE * close,
            lambda i: f"dividend {stated[i]:.6g}, by adj_close {implied[i]:.6g}",
        )
    return stated


def _implied(adjusted: np.ndarray, close: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Dividends by the steps of adj_close / close; NaN where a row or the one before has no adj_close."""
    with np.errstate(invalid="ignore"):
        kept = np.append(np.nan, adjusted[:-1]) / before / (adjusted / close)
        found = np.where(np.abs(kept - 1.0) > _ROUNDING, np.maximum(before * (1.0 - kept), 0.0), 0.0)
    found[np.isnan(kept)] = np.nan
    found[0] = 0.0
    return found


def _refuse_large(dividend: np.ndarray, before: np.ndarray, note: _Notes) -> None:
    with np.errstate(invalid="ignore"):
        bad = dividend >= before
    if bad.any():
        row = int(bad.argmax())
        msg = f"a dividend of {dividend[row]:.6g} after a close of {before[row]:.6g}"
        hint = "mend dividends or adj_close of that row, or ingest.adjustment"
        raise SchemaError(msg, hint=hint, table=BARS_1D.name, partition=note.symbol, session=note.date(row))


def _note_moves(opens: np.ndarray, before: np.ndarray, explained: np.ndarray, note: _Notes) -> None:
    with np.errstate(invalid="ignore"):
        note.rows(
            "suspect_move",
            "moves of more than 40 % overnight without a split or dividend",
            (np.abs(opens / before - 1.0) > _SUSPECT_MOVE) & ~explained,
            lambda i: f"open {opens[i]:.6g} after a close of {before[i]:.6g}",
        )


class _Notes:
    """Findings about rows of one symbol."""

    def __init__(self, symbol: str, rows: pa.Table, findings: list[Finding]) -> None:
        self.symbol, self._rows, self._findings = symbol, rows, findings

    def date(self, row: int) -> dt.date:
        """The session of a row."""
        date: dt.date = self._rows["session"][row].as_py()
        return date

    def rows(self, kind: str, message: str, hit: np.ndarray, said: Any) -> None:
        """Note the rows that are hit, if any; ``said`` tells of one."""
        where = np.flatnonzero(hit)
        if len(where):
            samples = tuple(f"{self.date(int(i))}: {said(i)}" for i in where[:_SAMPLES])
            self._findings.append(Finding(kind, message, len(where), samples, partition=self.symbol))


FAMILY = Family(
    "bars_1d", 1, Bars1dParams, table, requires, compute, cost=0.01, memory=256 << 20, chunk=64, fuse="symbol"
)
