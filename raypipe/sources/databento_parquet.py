"""ES trades and books that come as Parquet: read as if they were DBN, so that one path judges both.

Columns are ``ts_event_ns, ts_recv_ns, symbol, price, size, aggressor, seq`` for trades, and ``bid_px_1 .. ask_sz_10``
(price 0: no such level) for books. Names of folders never override a column.
"""

from __future__ import annotations

import datetime as dt
import re
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raypipe.errors import SourceError
from raypipe.sources.databento import Header, Interval
from raypipe.sources.dbn_layout import LEVELS, MBP10_RTYPE, PRICE_SCALE, TRADE_RTYPE, UNDEF_PRICE, record_dtype

__all__ = ["ParquetStream"]

_BATCH = 32_768
_HASH_BLOCK = 1 << 20
_FAR = dt.date(1971, 1, 1), dt.date(2200, 1, 1)
_IN_FOLDER = re.compile(r"(?:^|/)symbol=([A-Z0-9-]+)/")
_NEEDED = ("ts_event_ns", "ts_recv_ns")
_MOST_POINTS = UNDEF_PRICE / PRICE_SCALE / 2
_AGAIN = "write the documented columns, or fetch the file again"


class ParquetStream:
    """The records of one Parquet file, as `raypipe.sources.databento.RecordStream` gives them.

    Parameters
    ----------
    raw
        The file, opened for reading bytes; it can be searched.
    name
        Its name, for errors, and for the symbol of a file without that column.

    Attributes
    ----------
    header
        Its symbols as mappings. An id is a checksum of its symbol.

    Raises
    ------
    SourceError
        If it is no Parquet file, or a column is missing or of a type that cannot be.
    """

    def __init__(self, raw: BinaryIO, name: str) -> None:
        import xxhash

        hasher = xxhash.xxh3_128()
        while block := raw.read(_HASH_BLOCK):
            hasher.update(block)
        self.digest, self.name = str(hasher.hexdigest()), name
        self.records, self.others = 0, 0
        raw.seek(0)
        self._file = self._opened(raw)
        names = set(self._file.schema_arrow.names)
        self._rtype = MBP10_RTYPE if "bid_px_1" in names else TRADE_RTYPE
        self._columns = self._wanted(names)
        symbols = self._symbols() if "symbol" in names else [self._folder_symbol()]
        schema = "mbp-10" if self._rtype == MBP10_RTYPE else "trades"
        mappings = {symbol: (Interval(*_FAR, str(_number(symbol))),) for symbol in symbols}
        self.header = Header(0, "", schema, 0, None, "raw_symbol", "instrument_id", mappings)

    def _opened(self, raw: BinaryIO) -> pq.ParquetFile:
        try:
            file = pq.ParquetFile(raw, arrow_extensions_enabled=False, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from None
        for field in file.schema_arrow:
            plain = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
            if not (pa.types.is_primitive(plain) or pa.types.is_string(plain) or pa.types.is_large_string(plain)):
                msg = f"a column of type {field.type} is not read"
                raise SourceError(msg, hint=_AGAIN, file=self.name, column=field.name)
        return file

    def _wanted(self, names: set[str]) -> list[str]:
        numbers = range(1, LEVELS + 1)
        book = [f"{side}_{kind}_{n}" for side in ("bid", "ask") for kind in ("px", "sz") for n in numbers]
        needed = [*_NEEDED, *(book if self._rtype == MBP10_RTYPE else ("price", "size"))]
        missing = [name for name in needed if name not in names]
        if missing:
            msg = f"the file has no column {missing[0]}"
            raise SourceError(msg, hint=_AGAIN, file=self.name, column=missing[0])
        return needed + [name for name in ("symbol", "aggressor", "seq") if name in names]

    def _symbols(self) -> list[str]:
        found = pc.unique(self._read(["symbol"])["symbol"].cast(pa.string()).combine_chunks())
        return [symbol for symbol in found.to_pylist() if symbol]

    def _folder_symbol(self) -> str:
        found = _IN_FOLDER.search(self.name)
        return found.group(1) if found else "ES"

    def _read(self, columns: list[str]) -> pa.Table:
        try:
            return self._file.read(columns, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: Exception) -> SourceError:
        msg = f"not a whole Parquet file ({str(error).splitlines()[0]})"
        return SourceError(msg, hint=_AGAIN, file=self.name)

    def chunks(self, records: int = _BATCH) -> Iterator[np.ndarray]:
        """Yield the rows as records, many at a time; see `RecordStream.chunks`.

        Raises
        ------
        SourceError
            If the file is damaged or holds no row.
        """
        try:
            for batch in self._file.iter_batches(records, columns=self._columns, use_threads=False):
                if batch.num_rows:
                    self.records += batch.num_rows
                    yield self._as_records(batch)
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from None
        if not self.records:
            msg = "the file holds no row"
            raise SourceError(msg, hint=f"{_AGAIN}, or take it away", file=self.name)

    def _as_records(self, batch: pa.RecordBatch) -> np.ndarray:
        rows = np.zeros(batch.num_rows, record_dtype(self._rtype))
        rows["length"], rows["rtype"] = rows.dtype.itemsize // 4, self._rtype
        rows["instrument_id"] = self._ids(batch)
        rows["ts_event"], rows["ts_recv"] = _whole(batch, "ts_event_ns"), _whole(batch, "ts_recv_ns")
        if "seq" in batch.schema.names:
            rows["sequence"] = _whole(batch, "seq").astype(np.uint32)
        if self._rtype == MBP10_RTYPE:
            _fill_book(rows, batch)
        else:
            _fill_trades(rows, batch)
        return rows

    def _ids(self, batch: pa.RecordBatch) -> Any:
        if "symbol" not in batch.schema.names:
            return _number(self._folder_symbol())
        encoded = batch.column("symbol").cast(pa.string()).fill_null("").dictionary_encode()
        numbers = np.array([_number(symbol) for symbol in encoded.dictionary.to_pylist()], dtype=np.uint32)
        return numbers[encoded.indices.to_numpy()]


def _number(symbol: str) -> int:
    return zlib.crc32(symbol.encode())


def _whole(batch: pa.RecordBatch, name: str) -> np.ndarray:
    values: np.ndarray = batch.column(name).cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    return values


def _put_prices(prices: np.ndarray, batch: pa.RecordBatch, name: str, *, zero_is_none: bool) -> None:
    """Write prices in 1e-9: undefined where null or NaN, or 0 where that means no level."""
    points = batch.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False)
    known = np.isfinite(points) & (np.abs(points) < _MOST_POINTS)
    if zero_is_none:
        known &= points != 0
    prices[:] = UNDEF_PRICE
    prices[known] = np.rint(points[known] * PRICE_SCALE).astype(np.int64)


def _fill_trades(rows: np.ndarray, batch: pa.RecordBatch) -> None:
    _put_prices(rows["price"], batch, "price", zero_is_none=False)
    rows["size"], rows["action"] = _size(batch, "size"), b"T"
    rows["side"] = b"N"
    if "aggressor" in batch.schema.names:
        sides = _whole(batch, "aggressor")
        rows["side"][sides > 0], rows["side"][sides < 0] = b"B", b"A"


def _fill_book(rows: np.ndarray, batch: pa.RecordBatch) -> None:
    rows["price"] = UNDEF_PRICE
    for level in range(LEVELS):
        for side in ("bid", "ask"):
            _put_prices(rows[f"{side}_px_{level:02d}"], batch, f"{side}_px_{level + 1}", zero_is_none=True)
            rows[f"{side}_sz_{level:02d}"] = _size(batch, f"{side}_sz_{level + 1}")


def _size(batch: pa.RecordBatch, name: str) -> np.ndarray:
    sizes: np.ndarray = np.clip(_whole(batch, name), 0, 2**32 - 1).astype(np.uint32)
    return sizes
