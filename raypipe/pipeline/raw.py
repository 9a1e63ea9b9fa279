"""Raw files as inputs of a plan: which there are, and the fingerprint of each one's content."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping
from functools import cached_property

import numpy as np
import pyarrow as pa

from raypipe.acquisition.receipts import (
    RawFile,
    RawInventory,
    Receipt,
    corporate_file,
    known_sha256,
    raw_inventory,
    read_receipts,
    receipt_of,
)
from raypipe.lake.store import Lake
from raypipe.pipeline.book_files import BOOK_RAW, BookFiles
from raypipe.pipeline.daily_index import DAILY_RAW, DailyIndex
from raypipe.schema.family import Finding, Params, Slice
from raypipe.schema.signals import SignalPart, SignalsParams, SourceParams
from raypipe.schema.spec import Table
from raypipe.sources.instruments import read_reference, read_splits
from raypipe.sources.polygon_keys import DAY, MINUTE
from raypipe.sources.symbol_lists import VendorName

__all__ = ["ONCE", "RAW_DATASETS", "SYMBOL_RAW", "RawIndex", "parse_once", "sources_of"]

#: Raw inputs with a file per session, by the name that stages read them under.
RAW_DATASETS = {"raw/day_aggs": DAY, "raw/minute_aggs": MINUTE}
#: Bytes of a full-market file, and what a session costs however small it is.
_FULL_BYTES = {"raw/day_aggs": 350_000, "raw/minute_aggs": 18_000_000}
_LEAST_WEIGHT = 0.1
#: Raw inputs that are one file: how each is read into its bronze table.
_ONCE = {"raw/splits": read_splits, "raw/reference": read_reference}
_RAW_OF = {"bronze/splits": "raw/splits", "bronze/reference": "raw/reference"}
ONCE = "all"
#: Raw inputs of files that hold any symbols, by the name that stages read them under: a partition is a symbol.
SYMBOL_RAW = (DAILY_RAW,)


class RawIndex:
    """The raw files of a lake. Reads listings and receipts, and files that have no trusted receipt; writes nothing.

    Parameters
    ----------
    lake
        The lake; files stand under ``raw/`` with the vendor's own keys.
    sources
        Where files of books and prints are, if not there.
    names
        What the vendor of daily files calls symbols.
    """

    def __init__(self, lake: Lake, sources: SourceParams | None = None, names: tuple[VendorName, ...] = ()) -> None:
        self._lake, self._names = lake, names
        self._books = BookFiles(lake.store, sources)
        self._files: dict[tuple[str, str], RawFile | None] = {}
        self._receipts: dict[str, dict[str, Receipt]] = {}
        self._once_rows: dict[str, tuple[pa.Table, np.ndarray]] = {}

    def partitions(self, table: str) -> list[str]:
        """Sessions, symbols or ``all`` that a raw input has; only files of many symbols are read."""
        if table in _ONCE:
            return [ONCE] if self.get(table, ONCE) else []
        if table in SYMBOL_RAW:
            return self._daily.symbols
        if table in BOOK_RAW:
            return self._books.partitions(table)
        return [day.isoformat() for day in self._inventories[table].sessions]

    def get(self, table: str, partition: str) -> RawFile | None:
        """The file of a session with the fingerprint of its content, or None."""
        if table in SYMBOL_RAW:
            return self._daily.get(partition)
        key = (table, partition)
        if key not in self._files:
            self._files[key] = self._find(table, partition)
        return self._files[key]

    def _find(self, table: str, partition: str) -> RawFile | None:
        if table in BOOK_RAW:
            return self._books.get(table, partition)
        return self._once_file(table) if table in _ONCE else self._file(table, partition)

    def weight(self, table: str) -> float:
        """Mean size of a raw input's files against those of a full market: what costs are scaled by."""
        if table in BOOK_RAW:
            return self._books.weight(table)
        sizes = [stat.size for stat in self._inventories[table].sessions.values()] if table in RAW_DATASETS else []
        return min(max(sum(sizes) / len(sizes) / _FULL_BYTES[table], _LEAST_WEIGHT), 2.0) if sizes else 1.0

    @cached_property
    def _daily(self) -> DailyIndex:
        return DailyIndex(self._lake.store, self._names)

    @cached_property
    def _inventories(self) -> Mapping[str, RawInventory]:
        return {name: raw_inventory(self._lake.store, data) for name, data in RAW_DATASETS.items()}

    def _file(self, table: str, partition: str) -> RawFile | None:
        session = dt.date.fromisoformat(partition)
        stat = self._inventories[table].sessions.get(session)
        if stat is None:
            return None
        sha256 = known_sha256(self._lake.store, stat, self._receipt(table, stat.key), save=False)
        return RawFile(RAW_DATASETS[table], session, stat.key, stat.size, sha256, stat.stamp)

    def _receipt(self, table: str, key: str) -> Receipt | None:
        if key not in self._inventories[table].receipts:
            return None
        if self._lake.location.is_local:
            return receipt_of(self._lake.store, key)
        if table not in self._receipts:
            # Over a network many requests in flight cost as much as a few.
            self._receipts[table] = read_receipts(self._lake.store, sorted(self._inventories[table].receipts))
        return self._receipts[table].get(key)

    def _once_file(self, table: str) -> RawFile | None:
        return corporate_file(self._lake.store, table.removeprefix("raw/"), save=False)

    def once_digest(self, table: Table, rows: Slice, first: dt.date, last: dt.date) -> str:
        """Digest of those rows of a once-table that one partition may know.

        A split of tomorrow then leaves yesterday's partitions current.
        """
        content, digests = self._once(table)
        known = rows(content, first, last)["_row"].to_numpy()
        return hashlib.sha256(digests[known].tobytes()).hexdigest()[:32]

    def _once(self, table: Table) -> tuple[pa.Table, np.ndarray]:
        """A once-table with row numbers, and a digest of each row."""
        if table.name not in self._once_rows:
            content = self._read_once(table)
            numbered = content.append_column("_row", pa.array(np.arange(content.num_rows)))
            lines = [repr(tuple(row.values())).encode() for row in content.to_pylist()]
            digests = np.array([hashlib.sha256(line).digest()[:16] for line in lines], dtype="S16")
            self._once_rows[table.name] = numbered, digests
        return self._once_rows[table.name]

    def _read_once(self, table: Table) -> pa.Table:
        file = self.get(_RAW_OF[table.name], ONCE)
        if file is None:
            return self._lake.read(table, ONCE)
        return parse_once(table.name, self._lake.store.read(file.key), file.key)


def parse_once(table: str, data: bytes, name: str, noted: list[Finding] | None = None) -> pa.Table:
    """Read the raw file of a once-table; what is worth telling is added to ``noted``."""
    return _ONCE[_RAW_OF[table]](data, name, noted)


def sources_of(params: Iterable[Params]) -> SourceParams | None:
    """Where parameter sets say that files of books and prints are; None if none of them has a say."""
    for one in params:
        if isinstance(one, SignalPart | SignalsParams):
            return (one.signals if isinstance(one, SignalPart) else one).sources
    return None
