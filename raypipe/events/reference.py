"""Prices of SPY from a file of the user's: ``ts_ns, price`` as Parquet or CSV."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from raypipe.errors import SourceError

__all__ = ["reference_digest", "reference_prices"]

_COLUMNS = {"ts_ns": pa.int64(), "price": pa.float64()}


def reference_digest(path: str) -> str:
    """Digest of the file's content: the same file elsewhere makes nothing stale.

    Raises
    ------
    SourceError
        If it cannot be read.
    """
    try:
        stat = Path(path).stat()
        return _digest(path, stat.st_mtime_ns, stat.st_size)
    except OSError as error:
        raise _unreadable(path, error) from None


@lru_cache(maxsize=8)
def _digest(path: str, _mtime_ns: int, _size: int) -> str:
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def reference_prices(path: str, window_ns: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Times and prices of a window [start, end), ascending by time.

    Returns
    -------
    ts_ns
        int64 (rows,), nanoseconds UTC.
    price
        float64 (rows,), usd; rows whose price is null, zero or negative are left out.

    Raises
    ------
    SourceError
        If the file cannot be read or lacks a column.
    """
    table = _read(path)
    ts_ns, price = table["ts_ns"].to_numpy(), table["price"].to_numpy()
    keep = (ts_ns >= window_ns[0]) & (ts_ns < window_ns[1]) & (price > 0) & np.isfinite(price)
    ts_ns, price = ts_ns[keep], price[keep]
    order = np.argsort(ts_ns, kind="stable")
    return ts_ns[order], price[order]


def _read(path: str) -> pa.Table:
    try:
        if path.endswith(".parquet"):
            table = pq.read_table(path, columns=list(_COLUMNS), use_threads=False)
        else:
            convert = pyarrow.csv.ConvertOptions(column_types=_COLUMNS, include_columns=list(_COLUMNS))
            table = pyarrow.csv.read_csv(path, convert_options=convert)
        return table.select(list(_COLUMNS)).cast(pa.schema(_COLUMNS)).drop_null()
    except (OSError, KeyError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str, error: Exception) -> SourceError:
    msg = f"no file of SPY prices: {str(error)[:200]}"
    return SourceError(msg, hint="signals.sources.spy_reference names Parquet or CSV with ts_ns, price", file=path)
