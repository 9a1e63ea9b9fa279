"""Bronze tables of order books and prints: ES futures from Databento, SPY options from the OPRA files.

ES prices are integer ticks of 0.25 index points: half the memory of nanodollars, exact compares in kernels, and
outright futures never leave that grid.
"""

from __future__ import annotations

from raypipe.schema.spec import Column, Known, Table
from raypipe.schema.tables import SESSION

__all__ = ["BOOK_DEPTH", "ES_MBP10", "ES_TRADES", "POINTS_PER_TICK", "SPY_OPTION_TRADES"]

#: Index points of one ES tick.
POINTS_PER_TICK = 0.25
#: Price levels of a side in a record of the book.
BOOK_DEPTH = 10

#: Integers of a record whose high bytes hardly change.
_SPLIT = ("ts_event_ns", "ts_recv_ns", "sequence", "price_ticks", "size")
_UNDEFINED = "the vendor's price is undefined"
_TS_EVENT = Column("ts_event_ns", "i64", "When the exchange's matching engine saw the event.", unit="ns", role="time")
_TS_RECV = Column("ts_recv_ns", "i64", "When the vendor's capture server received it.", unit="ns", role="time")
_INSTRUMENT = Column("instrument_id", "u32", "The exchange's number of the contract.", role="id")
_CONTRACT = Column("contract", "dict", "Raw symbol of the outright contract, such as ESU4.", role="id")
_SEQUENCE = Column("sequence", "u32", "The exchange's message sequence number.", role="id")
_SIDE = Column("side", "i8", "Of a trade, its aggressor: 1 buy, -1 sell, 0 unknown. Of a book event: 1 bid, -1 ask.")
_ACTION = Column(
    "action",
    "u8",
    "The vendor's ASCII code: 65 add, 67 cancel, 77 modify, 82 clear, 84 trade, 70 fill.",
    null="the source has none",
)
_FLAGS = Column(
    "flags",
    "u8",
    "Bits: 128 last record of its event, 32 from a snapshot, 4 maybe a bad book.",
    null="the source has none",
)


def _size(doc: str) -> Column:
    return Column("size", "u32", doc, unit="contracts")


ES_TRADES = Table(
    "bronze/es_trades",
    key=(),
    grain="session",
    columns=(
        SESSION,
        _TS_EVENT,
        _TS_RECV,
        _INSTRUMENT,
        _CONTRACT,
        _SEQUENCE,
        Column("price_ticks", "i32", "Price of the trade.", unit="ticks of 0.25 points"),
        _size("Contracts traded."),
        _SIDE,
        _ACTION,
        _FLAGS,
    ),
    doc="Trades of outright ES futures in the vendor's order; identical rows are separate fills.",
    split=_SPLIT,
    known=Known("ts_event_ns"),
)


def _levels() -> tuple[Column, ...]:
    columns: list[Column] = []
    for level in (f"{i:02d}" for i in range(BOOK_DEPTH)):
        for side in ("bid", "ask"):
            null = "the book has no such level"
            columns.append(Column(f"{side}_ticks_{level}", "i32", f"Price of {side} level {level}.", "ticks", null))
        for kind, doc in (("sz", "Contracts resting"), ("ct", "Orders resting")):
            columns += [
                Column(f"{side}_{kind}_{level}", "u32", f"{doc} at {side} level {level}; 0 without a level.", "1")
                for side in ("bid", "ask")
            ]
    return tuple(columns)


ES_MBP10 = Table(
    "bronze/es_mbp10",
    key=(),
    grain="session",
    columns=(
        SESSION,
        _TS_EVENT,
        _TS_RECV,
        _INSTRUMENT,
        _CONTRACT,
        _SEQUENCE,
        Column("price_ticks", "i32", "Price of the event.", "ticks of 0.25 points", _UNDEFINED),
        _size("Contracts of the event."),
        _SIDE,
        _ACTION,
        _FLAGS,
        Column("depth", "u8", "Book level at which the event happened.", null="the source has none"),
        *_levels(),
    ),
    doc="Every event of the ten best levels with the book after it; a row group holds one contract, in vendor order.",
    split=(*_SPLIT, *(column.name for column in _levels())),
    group_by="instrument_id",
    known=Known("ts_event_ns"),
)

SPY_OPTION_TRADES = Table(
    "bronze/spy_option_trades",
    key=(),
    grain="session",
    columns=(
        SESSION,
        Column("ts_event_ns", "i64", "When the print was disseminated.", unit="ns", role="time"),
        Column("sequence", "i64", "The vendor's sequence number.", null="the source has none", role="id"),
        Column("option_symbol", "dict", "OCC symbol as the vendor writes it.", role="id"),
        Column("strike_e3", "i32", "Strike x 1000.", unit="usd / 1000"),
        Column("right", "dict", "C or P."),
        Column("price", "f64", "Price of one share's option.", unit="usd"),
        Column("size", "u32", "Contracts traded.", unit="contracts"),
        Column("aggressor", "i8", "1 buyer, -1 seller, 0 unknown or part of a package."),
        Column("aggressor_source", "dict", "vendor or tick.", role="meta"),
        Column("conditions", "dict", "The vendor's sale conditions.", null="none", role="meta"),
        Column("exchange", "i32", "The vendor's number of the exchange.", null="the source has none", role="meta"),
        Column("exp_date", "date32", "Expiry of the option.", role="meta"),
    ),
    doc="Prints of SPY options that expire in their session, by time and sequence.",
    known=Known("ts_event_ns"),
)
