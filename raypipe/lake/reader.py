"""The one way in: every table that comes from the lake passes here.

Footer first, then manifest, types, declared schema and size, and only then data, each page against its
checksum. One open file serves all of it, so that a partition replaced meanwhile is never mixed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raypipe.errors import PartitionError, SchemaError, StorageError
from raypipe.lake.footer import admit, admit_bytes, damage, read_footer, read_manifest, stored_schema
from raypipe.lake.manifest import Manifest
from raypipe.lake.objects import ObjectStore, is_missing
from raypipe.schema.spec import Table

__all__ = ["StoredPart", "manifest_of", "read_groups", "read_table"]

_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class _Place:
    """Which partition is read, and from where."""

    store: ObjectStore
    key: str
    table: Table
    partition: str


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A partition of the lake as a stream of its row groups; every walk opens it anew.

    Attributes
    ----------
    store, key, table, partition
        Where it lies, and what it must be.
    columns
        Columns wanted; none named: all.
    fingerprint
        The history that it must have; None for any.
    only
        A column and the value wanted of it: row groups that cannot hold it are passed over.
    """

    store: ObjectStore
    key: str
    table: Table
    partition: str
    columns: tuple[str, ...] = ()
    fingerprint: str | None = None
    only: tuple[str, int] | None = None

    def __iter__(self) -> Iterator[pa.Table]:
        return read_groups(self)

    def where(self, column: str, value: int) -> StoredPart:
        """The same, without row groups that cannot hold a value; the others come whole."""
        return replace(self, only=(column, value))


@dataclass(frozen=True, slots=True)
class _Opened:
    """A partition whose footer has been judged."""

    file: pq.ParquetFile
    manifest: Manifest
    size: int


def manifest_of(store: ObjectStore, key: str, table: Table, partition: str) -> Manifest | None:
    """The manifest of a partition, from its footer alone; None if there is no such file.

    Raises
    ------
    PartitionError
        If the file is damaged or is not this partition.
    """
    try:
        with damage(table.name, partition, key), store.open(key) as source:
            return read_manifest(read_footer(source), table.name, partition)
    except StorageError as error:
        if is_missing(error):
            return None
        raise


def read_table(
    store: ObjectStore, key: str, table: Table, partition: str, columns: Sequence[str], fingerprint: str | None = None
) -> pa.Table:
    """All rows of some columns (none named: all). See `Lake.read`."""
    place, names = _Place(store, key, table, partition), _wanted(table, columns)
    for attempt in range(_ATTEMPTS):
        try:
            with _opened(place, names, whole=not columns) as part:
                _same_history(part, fingerprint)
                admit(table, names, part.manifest.rows, part.size)
                data = part.file.read(list(names), use_threads=False).select(list(names))
                return _with_facts(_checked(table, data, part.manifest.rows, part.size), part.manifest)
        except StorageError as error:
            if error.values.get("code") != "Replaced" or attempt + 1 == _ATTEMPTS:
                raise
    raise AssertionError  # the last attempt returned or raised


def read_groups(part: StoredPart) -> Iterator[pa.Table]:
    """The row groups of a partition, one table each, in order. See `Lake.batches`."""
    table, names = part.table, _wanted(part.table, part.columns)
    with _opened(_Place(part.store, part.key, table, part.partition), names, whole=False) as opened:
        _same_history(opened, part.fingerprint)
        rows = 0
        for i in range(opened.file.num_row_groups):
            group = opened.file.metadata.row_group(i)
            rows += group.num_rows
            if part.only is not None and not _may_hold(group, *part.only):
                continue
            admit(table, names, group.num_rows, opened.size)
            data = opened.file.read_row_group(i, list(names), use_threads=False).select(list(names))
            yield _checked(table, data, group.num_rows, opened.size)
        if rows != opened.manifest.rows:
            msg = f"{rows:,} rows in its row groups, the manifest says {opened.manifest.rows:,}"
            raise PartitionError(msg, hint="rebuild the partition")


def _same_history(part: _Opened, fingerprint: str | None) -> None:
    if fingerprint not in (None, part.manifest.fingerprint):
        msg = "the partition changed since the plan was made"
        raise PartitionError(msg, hint="run again")


def _may_hold(group: pq.RowGroupMetaData, column: str, value: int) -> bool:
    """Whether a row group can hold a value of a column, as far as its statistics tell."""
    for i in range(group.num_columns):
        if group.column(i).path_in_schema == column:
            told = group.column(i).statistics
            return told is None or not told.has_min_max or bool(told.min <= value <= told.max)
    return True


@contextmanager
def _opened(place: _Place, names: tuple[str, ...], *, whole: bool) -> Iterator[_Opened]:
    store, key, table = place.store, place.key, place.table
    with damage(table.name, place.partition, key), _absence(), store.open(key, whole=whole) as source:
        footer = read_footer(source)
        manifest = read_manifest(footer, table.name, place.partition)
        table.check_schema(stored_schema(footer), partition=place.partition)
        file = pq.ParquetFile(
            source,
            metadata=footer,
            # Text comes as codes first, see _plain_text.
            read_dictionary=[name for name in names if pa.types.is_string(table[name].arrow.type)],
            # On a remote file ranges that lie together are worth one request; locally this only copies.
            pre_buffer=isinstance(source, pa.PythonFile),
            page_checksum_verification=True,
            arrow_extensions_enabled=False,
        )
        yield _Opened(file, manifest, source.size())


@contextmanager
def _absence() -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        if not is_missing(error):
            raise
        msg = "there is no such partition in the lake"
        raise PartitionError(msg, hint="build it: raypipe plan shows how") from None


def _wanted(table: Table, columns: Sequence[str]) -> tuple[str, ...]:
    unknown = [name for name in columns if name not in table]
    if unknown:
        msg = f"no such columns: {', '.join(unknown)}"
        raise SchemaError(msg, hint=f"it has {', '.join(table.names)}", table=table.name)
    return tuple(columns) or table.names


def _checked(table: Table, data: pa.Table, rows: int, file_bytes: int) -> pa.Table:
    if data.num_rows != rows:
        msg = f"{data.num_rows:,} rows were read, {rows:,} are stated"
        raise PartitionError(msg, hint="rebuild the partition")
    for i, name in enumerate(data.column_names):
        field = table[name].arrow
        if pa.types.is_dictionary(data.column(i).type):
            # Checksums cover pages, not their headers: a shortened dictionary leaves codes that point nowhere.
            data.column(i).validate(full=True)
        if pa.types.is_string(field.type):
            data = data.set_column(i, field, _plain_text(data.column(i), file_bytes))
    return data.replace_schema_metadata(None)


def _with_facts(data: pa.Table, manifest: Manifest) -> pa.Table:
    """The rows with the facts of their footer as schema metadata, for families that tell of them."""
    return data.replace_schema_metadata(dict(manifest.facts)) if manifest.facts else data


def _plain_text(column: pa.ChunkedArray, file_bytes: int) -> pa.ChunkedArray:
    """Text that was read as codes: a page can repeat one long value a million times in a few bytes."""
    lengths = (pc.sum(pc.binary_length(chunk.dictionary).take(chunk.indices)).as_py() or 0 for chunk in column.chunks)
    admit_bytes(sum(lengths), file_bytes, "text")
    return column.cast(pa.string())
