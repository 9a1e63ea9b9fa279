"""Daily bars of other vendors than the flat files': what files hold, and how their prices are to be read."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from raypipe.schema.family import Params
from raypipe.schema.spec import Column, Known, Table
from raypipe.schema.tables import SESSION, SYMBOL

if TYPE_CHECKING:
    from pydantic.config import JsonDict

__all__ = ["OHLCV_1D", "PRICES", "Adjustment", "DailyIngest"]

#: What vendors' prices are: as traded; divided by later splits; or by later splits and dividends.
Adjustment = Literal["raw", "split", "full"]
#: Prices of a bar, in stored order.
PRICES = ("open", "high", "low", "close")

_UNTRACKED: JsonDict = {"track": False}
_NO_COLUMN = "the vendor's file has no such column, or no value"

OHLCV_1D = Table(
    "bronze/ohlcv_1d",
    key=("symbol", "session"),
    grain="symbol",
    columns=(
        SESSION,
        SYMBOL,
        *(Column(name, "f64", f"The vendor's {name}, untouched.", unit="usd") for name in PRICES),
        Column("volume", "f64", "The vendor's volume, untouched.", unit="shares"),
        Column("adj_close", "f64", "The vendor's dividend-adjusted close.", unit="usd", null=_NO_COLUMN),
        Column("dividends", "f64", "Dividend of this ex-session, as stated.", unit="usd", null=_NO_COLUMN),
        Column("split_ratio", "f64", "Split of this ex-session; 0 or 1 is none.", unit="1", null=_NO_COLUMN),
        Column("shares_outstanding", "f64", "Shares outstanding.", unit="shares", null=_NO_COLUMN),
        Column("vintage_ns", "i64", "When the file came.", unit="ns", null="the file was found in place", role="meta"),
    ),
    doc="Daily bars from a vendor's files, one partition per symbol, with the vendor's own columns.",
    known=Known("session", "session_close"),
)


def _field(default: Any, doc: str) -> Any:
    return Field(default, description=doc, json_schema_extra=_UNTRACKED)


class DailyIngest(Params):
    """Where daily bars come from and what their prices are. Stages that use a value count it in their fingerprint."""

    provider: Literal["flat_files", "files"] = _field(
        "flat_files", "Whose bars `raypipe ingest` takes: the vendor's flat files, or daily bars from any files."
    )
    vendor: str | None = _field(None, "Whose names of symbols daily files have, as in symbol_map; empty: canonical.")
    symbol_map: str | None = _field(None, "File that maps vendors' names, such as configs/symbol_map.csv.")
    adjustment: Adjustment = _field("split", "What the prices of daily files are: raw, split or full.")
    start_date: dt.date | None = _field(dt.date(2015, 1, 1), "First session taken from daily files.")
    end_date: dt.date | None = _field(None, "Last session taken from daily files.")
