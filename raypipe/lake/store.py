"""The lake: tables in partitions, each partition one Parquet file that is its own manifest."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.errors import DeveloperError, PartitionError
from raypipe.lake.location import Location
from raypipe.lake.manifest import Manifest
from raypipe.lake.names import check_key, check_partition, partition_name, partition_of, symbol_to_file
from raypipe.lake.objects import ObjectStore, disk_errors, open_store
from raypipe.lake.reader import StoredPart, manifest_of, read_table
from raypipe.lake.writer import PartitionWriter, Receipt, partition_writer
from raypipe.schema.spec import Table

__all__ = ["Lake", "Receipt"]

_REMOTE_READERS = 16


class Lake:
    """Partitions of tables under one root.

    A lake can be pickled: only its location travels.

    Parameters
    ----------
    location
        Local folder or S3 prefix.

    Examples
    --------
    >>> from raypipe.schema.tables import DAY_AGGS
    >>> Lake(Location.parse("/data/lake")).key(DAY_AGGS, "2025-01-02")
    'bronze/day_aggs/date=2025-01-02.parquet'
    """

    def __init__(self, location: Location) -> None:
        self.location = location

    def __reduce__(self) -> tuple[Any, ...]:
        return Lake, (self.location,)

    def __repr__(self) -> str:
        return f"Lake({self.location.root!r})"

    @property
    def store(self) -> ObjectStore:
        """The object store below."""
        return open_store(self.location)

    def key(self, table: Table, partition: str) -> str:
        """Path of a partition below the root.

        ``tier/table/date=YYYY-MM-DD.parquet`` (grain session; week: the Monday),
        ``tier/table/symbol=SYM.parquet``, ``tier/table/all.parquet`` (grain once, partition ``all``).

        Raises
        ------
        UnsafeNameError
            If the partition is not one of this table.
        """
        check_partition(table, partition)
        if table.grain == "once":
            return f"{table.name}/all.parquet"
        if table.grain == "symbol":
            return f"{table.name}/symbol={symbol_to_file(partition)}.parquet"
        return f"{table.name}/date={partition}.parquet"

    def partitions(self, table: Table) -> list[str]:
        """Partitions that exist, sorted; other people's files in the folder are passed over."""
        names = (stat.key.removeprefix(f"{table.name}/") for stat in self.store.list(f"{table.name}/"))
        return sorted(found for name in names if (found := partition_of(table, name)) is not None)

    def manifest(self, table: Table, partition: str) -> Manifest | None:
        """What a partition says of itself, or None if it does not exist.

        Raises
        ------
        PartitionError
            If the file is damaged, or is not this partition.
        """
        return manifest_of(self.store, self.key(table, partition), table, partition)

    def manifests(self, table: Table) -> dict[str, Manifest | PartitionError]:
        """Manifests of all partitions of a table; a damaged one has its error in place of a manifest."""
        partitions = self.partitions(table)
        if self.location.is_local:
            found = [self._manifest_or_error(table, partition) for partition in partitions]
        else:
            with ThreadPoolExecutor(_REMOTE_READERS) as pool:
                found = list(pool.map(lambda partition: self._manifest_or_error(table, partition), partitions))
        return {p: one for p, one in zip(partitions, found, strict=True) if one is not None}

    def _manifest_or_error(self, table: Table, partition: str) -> Manifest | PartitionError | None:
        try:
            return self.manifest(table, partition)
        except PartitionError as error:
            return error

    def read(
        self, table: Table, partition: str, columns: Sequence[str] = (), *, fingerprint: str | None = None
    ) -> pa.Table:
        """Read a partition: the declared columns, or some of them in the order asked for.

        Types come from an allow-list and are those of the schema, text in dictionary columns as codes
        (int32), undefined values as null. Every page is held against its checksum. With a ``fingerprint``, a
        partition of any other history is refused.

        Raises
        ------
        PartitionError
            If the partition is missing, damaged, not this partition, of another schema, or larger
            than its file can honestly hold.
        SchemaError
            If the table has no such column.
        StorageError
            If the store cannot be used.
        """
        key = self.key(table, partition)
        return read_table(self.store, key, table, partition, tuple(columns), fingerprint)

    def batches(
        self, table: Table, partition: str, columns: Sequence[str] = (), *, fingerprint: str | None = None
    ) -> StoredPart:
        """Read a partition row group by row group, for tables too large for memory. As `read` otherwise."""
        return StoredPart(self.store, self.key(table, partition), table, partition, tuple(columns), fingerprint)

    def write(self, table: Table, partition: str, data: pa.Table, manifest: Manifest) -> Receipt:
        """Check a table against its schema and commit it as a partition.

        Raises
        ------
        SchemaError
            If the data break the schema; nothing is written.
        StorageError
            If the disk or the server refuses; nothing is visible.
        """
        with self.writer(table, partition, manifest) as writer:
            writer.append(data)
        return writer.receipt

    @contextlib.contextmanager
    def writer(self, table: Table, partition: str, manifest: Manifest) -> Iterator[PartitionWriter]:
        """Write a partition in pieces: ``append`` rows, set ``facts``; it is committed when the block ends.

        If the block raises, nothing is visible and the temporary file is gone. ``rows`` of the manifest
        are filled in. The bytes do not depend on how the rows were cut.
        """
        if (manifest.table, manifest.partition) != (table.name, partition):
            msg = f"the manifest is about {manifest.table} {manifest.partition}"
            raise DeveloperError(msg, table=table.name, partition=partition)
        with partition_writer(self.store, self.key(table, partition), table, manifest) as writer:
            yield writer

    def quarantine(self, table_name: str, partition: str, rows: pa.Table) -> str:
        """Keep refused rows for people to look at; returns the key. No rows: an older file is removed.

        Parameters
        ----------
        table_name
            Table that refused them.
        partition
            Its partition.
        rows
            Any columns, the reason among them.
        """
        name = partition_name(partition)
        key = check_key(f"quarantine/{table_name}/{name}.parquet")
        if rows.num_rows == 0:
            self.store.delete(key)
            return key
        path = self.store.staging(key)
        try:
            with disk_errors(self.store.uri, key, path):
                pq.write_table(rows, path, compression="zstd", write_page_checksum=True)
                self.store.put_file(key, path)
        finally:
            path.unlink(missing_ok=True)
        return key
