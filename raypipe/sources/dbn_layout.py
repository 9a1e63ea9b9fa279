"""The layout of Databento's records: offsets, codes and record dtypes, for reading and for writing DBN.

Trades and book events have had one layout since DBN 1. Records are whole 64-bit words, little-endian, and start with
their own length in 32-bit words; a file made with ``ts_out`` has 8 bytes more at the end of every record.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "F_LAST",
    "F_MAYBE_BAD_BOOK",
    "F_SNAPSHOT",
    "LEVELS",
    "MAGIC",
    "MBP10",
    "MBP10_RTYPE",
    "PRICE_SCALE",
    "TRADE",
    "TRADE_RTYPE",
    "UNDEF_PRICE",
    "UNDEF_TIMESTAMP",
    "VERSIONS",
    "WORD",
    "record_dtype",
]

#: First bytes of a file; the version and the length of the metadata that follows are the next five.
MAGIC = b"DBN"
VERSIONS = (1, 2, 3)
#: Bytes of a word: records start and end on words.
WORD = 8
LEVELS = 10
#: Units of a price in one index point.
PRICE_SCALE = 1_000_000_000
UNDEF_PRICE = 2**63 - 1
UNDEF_TIMESTAMP = 2**64 - 1
TRADE_RTYPE, MBP10_RTYPE = 0, 10
#: Flags of a record: last of its event, from a snapshot, the book may be wrong.
F_LAST, F_SNAPSHOT, F_MAYBE_BAD_BOOK = 128, 32, 4

_HEADER = [("length", "u1"), ("rtype", "u1"), ("publisher_id", "<u2"), ("instrument_id", "<u4"), ("ts_event", "<u8")]
_EVENT = [
    *_HEADER,
    ("price", "<i8"),
    ("size", "<u4"),
    ("action", "S1"),
    ("side", "S1"),
    ("flags", "u1"),
    ("depth", "u1"),
    ("ts_recv", "<u8"),
    ("ts_in_delta", "<i4"),
    ("sequence", "<u4"),
]
_PAIR = [
    ("bid_px", "<i8"),
    ("ask_px", "<i8"),
    ("bid_sz", "<u4"),
    ("ask_sz", "<u4"),
    ("bid_ct", "<u4"),
    ("ask_ct", "<u4"),
]
_BOOK = [*_EVENT, *((f"{name}_{level:02d}", kind) for level in range(LEVELS) for name, kind in _PAIR)]

#: A trade, 48 bytes: names and types are those of the vendor's own arrays.
TRADE = np.dtype(_EVENT)
#: A book event and the ten best levels of both sides after it, 368 bytes.
MBP10 = np.dtype(_BOOK)


def record_dtype(rtype: int, *, ts_out: bool = False) -> np.dtype[np.void]:
    """The dtype of records of one type.

    Parameters
    ----------
    rtype
        `TRADE_RTYPE` or `MBP10_RTYPE`.
    ts_out
        Whether each record ends with the time at which the vendor sent it.

    Examples
    --------
    >>> record_dtype(TRADE_RTYPE).itemsize, record_dtype(MBP10_RTYPE, ts_out=True).itemsize
    (48, 376)
    """
    fields = {TRADE_RTYPE: _EVENT, MBP10_RTYPE: _BOOK}[rtype]
    return np.dtype([*fields, ("ts_out", "<u8")] if ts_out else fields)
