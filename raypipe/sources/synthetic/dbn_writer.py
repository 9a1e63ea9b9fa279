"""Writes a simulated feed as the vendor delivers it: one DBN file for each UTC day and schema, zstd."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from raypipe.calendar import NS_PER_DAY
from raypipe.sources.dbn_layout import TRADE, TRADE_RTYPE

if TYPE_CHECKING:
    import zstandard

__all__ = ["MBP10_SCHEMA", "TRADES_SCHEMA", "DbnWriter", "dbn_key"]

TRADES_SCHEMA, MBP10_SCHEMA = "trades", "mbp-10"
_DATASET, _PARENT = "GLBX.MDP3", "ES.FUT"
_VERSION = 3
_LENGTH_AND_TYPE = 0xFFFF


def dbn_key(schema: str, date: dt.date) -> str:
    """Where the file of a UTC day lies.

    Examples
    --------
    >>> dbn_key("mbp-10", dt.date(2025, 11, 3))
    'databento/GLBX.MDP3/mbp-10/glbx-mdp3-20251103.mbp-10.dbn.zst'
    """
    return f"databento/{_DATASET}/{schema}/glbx-mdp3-{date:%Y%m%d}.{schema}.dbn.zst"


class DbnWriter:
    """Files of one schema, in order of time.

    Parameters
    ----------
    out
        Folder of the market.
    schema
        ``trades`` or ``mbp-10``.
    level
        Compression level.
    """

    def __init__(self, out: Path, schema: str, level: int) -> None:
        self._out, self._schema, self._level = out, schema, level
        self._start_ns: int = 0
        self._end_ns: int | None = None
        self._mappings: dict[str, int] = {}
        self._stream: zstandard.ZstdCompressionWriter | None = None
        #: Bytes of each finished file, by key; records written.
        self.sizes: dict[str, int] = {}
        self.records = 0
        self._key = ""

    def begin(self, start_ns: int, end_ns: int | None, instruments: dict[str, int]) -> None:
        """A session's records follow; a file says that it covers what its sessions do.

        Parameters
        ----------
        start_ns, end_ns
            First and last moment that the session covers; the end is None if another session follows.
        instruments
            Raw symbols and their ids.
        """
        self._start_ns, self._end_ns, self._mappings = start_ns, end_ns, instruments

    def write(self, rows: NDArray[np.int64]) -> None:
        """Append records, in order of receipt: MBP-10, int64 (n, 46), or the first words of trades, int64 (n, 6)."""
        if self._schema == TRADES_SCHEMA:
            rows = _trades(rows)
        days = rows[:, 4] // NS_PER_DAY
        borders = np.flatnonzero(np.diff(days)) + 1
        for part in np.split(rows, borders):
            if len(part):
                self._day(int(part[0, 4] // NS_PER_DAY)).write(np.ascontiguousarray(part, "<i8").view(np.uint8).data)
                self.records += len(part)

    def close(self) -> None:
        """Finish the file that is being written."""
        if self._stream is not None:
            self._stream.close()  # type: ignore[no-untyped-call]
            self.sizes[self._key] = (self._out / self._key).stat().st_size
        self._stream = None

    def _day(self, day: int) -> zstandard.ZstdCompressionWriter:
        """The stream of a UTC day's file; a new day ends the file before."""
        date = dt.date(1970, 1, 1) + dt.timedelta(days=day)
        key = dbn_key(self._schema, date)
        if self._stream is None or key != self._key:
            self.close()
            self._key, self._stream = key, self._opened(key, date)
        return self._stream

    def _opened(self, key: str, date: dt.date) -> zstandard.ZstdCompressionWriter:
        import zstandard

        path = self._out / key
        path.parent.mkdir(parents=True, exist_ok=True)
        packer = zstandard.ZstdCompressor(level=self._level, write_checksum=True)
        stream = packer.stream_writer(path.open("wb"), closefd=True)
        stream.write(_metadata(self._schema, self._range(date), date, self._mappings))
        return stream

    def _range(self, date: dt.date) -> tuple[int, int]:
        midnight = (date - dt.date(1970, 1, 1)).days * NS_PER_DAY
        end_ns = midnight + NS_PER_DAY
        return max(midnight, self._start_ns), min(end_ns, self._end_ns or end_ns)


def _trades(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Trade records of the first words of book records, int64 (n, 6)."""
    found = rows.copy()
    found[:, 0] = (rows[:, 0] & ~_LENGTH_AND_TYPE) | (TRADE.itemsize // 4) | (TRADE_RTYPE << 8)
    return found


class _Interval(NamedTuple):
    """On which dates, the end exclusive, an instrument has an id."""

    start_date: dt.date
    end_date: dt.date
    symbol: str


class _Mapping(NamedTuple):
    """The ids of one instrument."""

    raw_symbol: str
    intervals: list[_Interval]


def _metadata(schema: str, covered: tuple[int, int], date: dt.date, instruments: dict[str, int]) -> bytes:
    """The head of a file: parent symbology, with the raw symbols' ids on its day."""
    import databento_dbn as dbn

    following = date + dt.timedelta(days=1)
    mappings: Any = [
        _Mapping(symbol, [_Interval(date, following, str(number))]) for symbol, number in sorted(instruments.items())
    ]
    head = dbn.Metadata(
        dataset=_DATASET,
        start=covered[0],
        end=covered[1],
        stype_in=dbn.SType("parent"),
        stype_out=dbn.SType("instrument_id"),
        schema=dbn.Schema.from_str(schema),
        symbols=[_PARENT],
        mappings=mappings,
        version=_VERSION,
    )
    return bytes(head)
