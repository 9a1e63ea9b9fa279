"""The one way out: a partition is written beside its place, checked, flushed, and only then shown.

Equal rows give equal bytes, however they were cut into pieces and however their dictionaries were built.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.errors import DeveloperError, StorageError
from raypipe.lake.columns import ColumnNote, ColumnNotes
from raypipe.lake.faults import fault
from raypipe.lake.footer import damage, read_footer, read_manifest, stored_schema
from raypipe.lake.manifest import Manifest
from raypipe.lake.objects import ObjectStore, disk_errors
from raypipe.lake.rows import GROUP_ROWS, RowsCheck, canonical_table, group_end
from raypipe.schema.spec import Column, Table

__all__ = ["PartitionWriter", "Receipt", "partition_writer"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was committed: where, how much, the SHA-256 of the file, and its columns with nulls or one value only."""

    key: str
    rows: int
    bytes: int
    sha256: str
    columns: tuple[ColumnNote, ...] = ()


class PartitionWriter:
    """Takes the rows of one partition, in key order, in pieces of any size.

    Attributes
    ----------
    facts
        Further keys of the footer; may be added to until the ``with`` block ends.
    path
        The temporary file.
    """

    def __init__(self, store: ObjectStore, key: str, table: Table, partition: str) -> None:
        self.facts: dict[str, str] = {}
        self.path = store.staging(key)
        self._store, self._key, self._table, self._partition = store, key, table, partition
        self._check = RowsCheck(table, partition)
        self._notes = ColumnNotes()
        self._pending = table.empty()
        self._sink: pa.NativeFile | None = None
        self._file: pq.ParquetWriter | None = None
        self._receipt: Receipt | None = None

    @property
    def rows(self) -> int:
        """Rows appended so far."""
        return self._check.rows

    @property
    def receipt(self) -> Receipt:
        """What was committed; there is none before the ``with`` block has ended well."""
        if self._receipt is None:
            msg = "a receipt exists only after the partition is committed"
            raise DeveloperError(msg, table=self._table.name, partition=self._partition)
        return self._receipt

    def append(self, data: pa.Table) -> None:
        """Add rows that follow those added before.

        Raises
        ------
        SchemaError
            If the rows break the declared schema, the order of keys, or belong to another partition.
        """
        plain = self._check.add(data)
        self._pending = pa.concat_tables([self._pending, plain]) if self._pending.num_rows else plain
        while (end := group_end(self._table, self._pending)) < self._pending.num_rows:
            self._write(end)

    def _write(self, rows: int) -> None:
        group = canonical_table(self._table, self._pending.slice(0, rows))
        self._notes.add(group)
        with self._disk_errors():
            self._open().write_table(group, row_group_size=GROUP_ROWS)
        self._pending = self._pending.slice(rows)

    def _open(self) -> pq.ParquetWriter:
        if self._file is None:
            fault("before_tmp")
            self._sink = pa.OSFile(str(self.path), "wb")
            self._file = pq.ParquetWriter(self._sink, self._table.arrow, **_options(self._table))
        return self._file

    def _disk_errors(self) -> contextlib.AbstractContextManager[None]:
        return disk_errors(self._store.uri, self._key, self.path)

    def commit(self, manifest: Manifest) -> None:
        """Write what is pending and the footer, check the closed file, publish it, make the receipt."""
        if self._pending.num_rows:
            self._write(self._pending.num_rows)
        stated = replace(manifest, rows=self.rows, facts={**manifest.facts, **self.facts})
        with self._disk_errors():
            self._close(stated)
            size, sha256 = self._reopen(stated)
            self._store.put_file(self._key, self.path)
            fault("before_receipt")
        self._receipt = Receipt(self._key, self.rows, size, sha256, self._notes.found())

    def _close(self, stated: Manifest) -> None:
        file = self._open()
        fault("mid_tmp")
        file.add_key_value_metadata(stated.to_metadata())
        file.close()
        if self._sink is not None:
            self._sink.close()

    def _reopen(self, stated: Manifest) -> tuple[int, str]:
        """Read the footer back as a reader would; returns size and SHA-256 of the file."""
        with self.path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
        with damage(self._table.name, self._partition, self._key), pa.OSFile(str(self.path), "rb") as source:
            footer = read_footer(source)
            self._table.check_schema(stored_schema(footer), partition=self._partition)
            if read_manifest(footer, self._table.name, self._partition) != stated:
                msg = "the footer read back differs from the one written"
                raise StorageError(msg, hint="check the disk", store=self._store.uri, key=self._key)
        return size, sha256

    def abandon(self) -> None:
        """Let go of the temporary file, whatever state it is in; after a commit there is none."""
        # Closing flushes, and the disk may still be full: the first error is the one that counts.
        for thing in (self._file, self._sink):
            if thing is not None:
                with contextlib.suppress(OSError, ValueError, pa.ArrowException):
                    thing.close()
        self.path.unlink(missing_ok=True)


@contextlib.contextmanager
def partition_writer(store: ObjectStore, key: str, table: Table, manifest: Manifest) -> Iterator[PartitionWriter]:
    """See `Lake.writer`."""
    writer = PartitionWriter(store, key, table, manifest.partition)
    try:
        yield writer
        writer.commit(manifest)
    finally:
        writer.abandon()


def _options(table: Table) -> dict[str, object]:
    floating = [c.name for c in table.columns if c.dtype in {"f32", "f64"}]
    split = floating if table.floats == "split" else list(table.split)
    sought = {c.name for c in table.columns if c.role in {"key", "time", "id"}}
    others = [name for name in table.names if name not in floating and (name not in split or name in sought)]
    return {
        "compression": "zstd",
        "compression_level": table.compression,
        # Values that never repeat only cost a dictionary that is given up: twice the time, and larger.
        "use_dictionary": [c.name for c in table.columns if c.name not in split and _repeats(c)],
        "use_byte_stream_split": split,
        # Nobody looks for rows by price; minima of floats cost 5 % of a write and make footers of panels slow to read.
        "write_statistics": others,
        "write_page_checksum": True,
        "write_batch_size": 1 << 16,
        "version": "2.6",
    }


def _repeats(column: Column) -> bool:
    return column.role != "id" or column.dtype == "dict"
