"""Every table whose columns are not features: what vendors send, and who a symbol is.

Tables of feature, event and label families stand in the family's own file.
"""

from __future__ import annotations

from raypipe.calendar import NS_PER_MINUTE
from raypipe.schema.spec import Column, Known, Table

__all__ = [
    "AVAILABLE_NS",
    "DAY_AGGS",
    "MINUTE_AGGS",
    "REFERENCE",
    "SESSION",
    "SPLITS",
    "SYMBOL",
    "SYMBOL_TYPES",
    "TABLES",
]

SESSION = Column("session", "date32", "Exchange date of the session.", role="key")
SYMBOL = Column("symbol", "dict", "The vendor's own spelling of the symbol, case kept.", role="key")
AVAILABLE_NS = Column(
    "available_ns", "i64", "When the row could first be known, nanoseconds UTC.", unit="ns", role="time"
)

_BAR = (
    Column("open", "f64", "First price of the bar, as traded.", unit="usd"),
    Column("high", "f64", "Highest price of the bar, as traded.", unit="usd"),
    Column("low", "f64", "Lowest price of the bar, as traded.", unit="usd"),
    Column("close", "f64", "Last price of the bar, as traded.", unit="usd"),
    Column("volume", "f64", "Shares traded; fractional shares make it a decimal.", unit="shares"),
    Column("transactions", "i32", "Number of trades.", unit="1", null="the vendor's file has no such column"),
)

DAY_AGGS = Table(
    "bronze/day_aggs",
    key=("symbol",),
    grain="session",
    columns=(
        SESSION,
        SYMBOL,
        Column("window_start_ns", "i64", "Midnight exchange time of the session.", unit="ns", role="time"),
        *_BAR,
    ),
    split=("volume",),
    doc="The vendor's day bars, one per symbol: prices from regular trading, volume from all trading.",
    known=Known("session", "session_end"),
)

MINUTE_AGGS = Table(
    "bronze/minute_aggs",
    key=("symbol", "window_start_ns"),
    grain="session",
    columns=(
        SESSION,
        SYMBOL,
        Column("window_start_ns", "i64", "Start of the minute; the bar exists from its end.", unit="ns", role="key"),
        *_BAR,
        Column("segment", "dict", "pre, rth or post: where the bar starts, by the calendar.", role="meta"),
    ),
    split=("volume",),
    doc="The vendor's minute bars from 04:00 to 20:00 exchange time; a minute without trades has no row.",
    known=Known("window_start_ns", plus_ns=NS_PER_MINUTE),
)

SPLITS = Table(
    "bronze/splits",
    key=("symbol", "ex_session"),
    grain="once",
    columns=(
        SYMBOL,
        Column("ex_session", "date32", "First session that trades on the new basis.", role="key"),
        Column("split_ratio", "f64", "Shares after the split per share before it.", unit="1"),
    ),
    doc="Share splits, from the vendor's corporate actions.",
    known=Known("ex_session", "midnight"),
)

REFERENCE = Table(
    "bronze/reference",
    key=("as_of", "symbol"),
    grain="once",
    columns=(
        Column("as_of", "date32", "Date of the snapshot; 1970-01-01 where the file has none.", role="key"),
        SYMBOL,
        Column("type", "dict", "The vendor's security type code, such as CS or ETF.", role="meta"),
    ),
    doc="Snapshots of the vendor's list of symbols and their types.",
    known=Known("as_of", "midnight"),
)

SYMBOL_TYPES = Table(
    "silver/symbol_types",
    key=("symbol",),
    grain="session",
    columns=(
        SESSION,
        SYMBOL,
        Column("type", "dict", "The vendor's type code, or PATTERN where the spelling decided.", role="meta"),
        Column("tradable", "bool", "Whether silver and gold tables keep the symbol.", role="meta"),
        Column("reason", "dict", "Why the symbol is not tradable.", null="the symbol is tradable", role="meta"),
        Column("source", "dict", "reference or pattern: what decided.", role="meta"),
        AVAILABLE_NS,
    ),
    doc="Which symbols of a session are common shares and funds, and which are warrants, units, tests and the like.",
    # Rows are written when the session is over, but who a symbol is, is no news of it: its name says so, and the
    # reference list of the day. What is decided inside the session may ask.
    known=Known("session", "midnight"),
)

#: Every table declared here.
TABLES = (DAY_AGGS, MINUTE_AGGS, SPLITS, REFERENCE, SYMBOL_TYPES)
