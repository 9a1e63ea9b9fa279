"""Raw files as inputs of a plan: which there are, and the fingerprint of each one's content."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from functools import cached_property

import numpy as np
import pyarrow as pa

from raypipe.lake.store import Lake
from raypipe.pipeline.receipts import RawFile, corporate_file, raw_files
from raypipe.schema.family import Finding, Slice
from raypipe.schema.spec import Table
from raypipe.sources.instruments import read_reference, read_splits
from raypipe.sources.polygon_keys import DAY, MINUTE

__all__ = ["RAW_DATASETS", "RawIndex", "parse_once"]

#: Raw inputs with a file per session, by the name that stages read them under.
RAW_DATASETS = {"raw/day_aggs": DAY, "raw/minute_aggs": MINUTE}
#: Raw inputs that are one file: how each is read into its bronze table.
_ONCE = {"raw/splits": read_splits, "raw/reference": read_reference}
_RAW_OF = {"bronze/splits": "raw/splits", "bronze/reference": "raw/reference"}
ONCE = "all"


class RawIndex:
    """The raw files of a lake.

    Parameters
    ----------
    lake
        The lake; files stand under ``raw/`` with the vendor's own keys.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._once_rows: dict[str, tuple[pa.Table, np.ndarray]] = {}

    def partitions(self, table: str) -> list[str]:
        """Sessions (or ``all``) that a raw input has."""
        return list(self._files[table])

    def get(self, table: str, partition: str) -> RawFile | None:
        """The file of a session, or None."""
        return self._files[table].get(partition)

    @cached_property
    def _files(self) -> Mapping[str, Mapping[str, RawFile]]:
        store = self._lake.store
        dated = {name: raw_files(store, data) for name, data in RAW_DATASETS.items()}
        found = {name: {day.isoformat(): file for day, file in files.items()} for name, files in dated.items()}
        for name in _ONCE:
            file = corporate_file(store, name.removeprefix("raw/"))
            found[name] = {ONCE: file} if file else {}
        return found

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
