"""Parquet footers: read, judged, and only then believed.

A Parquet file may name extension types in its schema, and some registered ones unpickle what the file
holds (``ray.data.arrow_pickled_object``). So the footer's bytes are searched for them before Arrow
builds any type, and types are checked against an allow-list before any data is decoded.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.errors import PartitionError, SchemaError, StorageError
from raypipe.lake.manifest import Manifest
from raypipe.schema.spec import DTYPES, Table

__all__ = [
    "MAX_TABLE_BYTES",
    "admit",
    "admit_bytes",
    "check_types",
    "damage",
    "read_footer",
    "read_manifest",
    "stored_schema",
]

#: A table of more bytes than this is read by row groups, never at once.
MAX_TABLE_BYTES = 8 << 30
#: Real tables unpack at most about 100 to 1; beyond this ratio a file is a bomb, unless it is small.
MAX_RATIO = 1_000
_SMALL_BYTES = 64 << 20
_REBUILD = "rebuild the partition: raypipe run --force"
_MAGIC, _END_BYTES = b"PAR1", 8
_TYPES = frozenset(DTYPES.values())


def _marks(text: bytes) -> tuple[bytes, ...]:
    """A text as it looks in plain bytes, and inside a longer base64 text at each of three alignments."""
    shifted = (
        base64.b64encode(bytes(shift) + text)[-(-shift * 8 // 6) : (shift + len(text)) * 8 // 6] for shift in range(3)
    )
    return (text, *shifted)


#: Arrow schemas stand in footers as base64. Searching is the only way to look before Arrow does: its own
#: functions for metadata build the schema's types, registered extension types among them.
_MARKS = _marks(b"ARROW:extension")


@contextmanager
def damage(table: str, partition: str, key: str) -> Iterator[None]:
    """Turn whatever a damaged file makes readers raise into a PartitionError that names the partition.

    Errors of the disk itself (they have a number) and of the store pass through as StorageError.
    """
    try:
        yield
    except PartitionError as error:
        raise PartitionError(
            error.message, hint=error.hint, **{"table": table, "partition": partition, "file": key, **error.values}
        ) from error
    except SchemaError as error:
        raise PartitionError(str(error), hint=_REBUILD, table=table, partition=partition, file=key) from error
    except OSError as error:
        if error.errno:
            raise StorageError(str(error), hint="check the disk", key=key, table=table, partition=partition) from error
        msg = f"damaged: {error}"
        raise PartitionError(msg, hint=_REBUILD, table=table, partition=partition, file=key) from error
    except (pa.ArrowException, ValueError, MemoryError, OverflowError, LookupError, EOFError) as error:
        msg = f"damaged: {error}"
        raise PartitionError(msg, hint=_REBUILD, table=table, partition=partition, file=key) from error


def read_footer(source: pa.NativeFile) -> pq.FileMetaData:
    """Parse a footer, after its bytes were searched for extension types.

    Raises
    ------
    PartitionError
        If there is no footer, or one that names an extension type.
    """
    raw = _footer_bytes(source)
    if any(mark in raw for mark in _MARKS):
        msg = "refused: the file holds an extension type, which could run code"
        raise PartitionError(msg, hint="raypipe writes none; find out where the file comes from")
    # Parsed from the bytes that were searched, and without the file's data in reach.
    return pq.read_metadata(pa.BufferReader(_MAGIC + raw), arrow_extensions_enabled=False)


def _footer_bytes(source: pa.NativeFile) -> bytes:
    """The end of a file from where its footer starts: footer, length, magic."""
    size = source.size()
    end = source.read_at(min(_END_BYTES, size), max(size - _END_BYTES, 0))
    length = int.from_bytes(end[:4], "little") + _END_BYTES
    if end[4:] != _MAGIC or length + len(_MAGIC) > size:
        msg = f"damaged: no Parquet footer at the end of {size:,} bytes"
        raise PartitionError(msg, hint=_REBUILD)
    return bytes(source.read_at(length, size - length))


def read_manifest(footer: pq.FileMetaData, table: str, partition: str) -> Manifest:
    """The manifest of a footer, which must be about this partition and this number of rows."""
    manifest = Manifest.from_metadata(footer.metadata)
    if (manifest.table, manifest.partition) != (table, partition):
        msg = f"the file is {manifest.table} {manifest.partition} under another name"
        raise PartitionError(msg, hint="somebody moved it; " + _REBUILD)
    if manifest.rows != footer.num_rows:
        msg = f"the manifest says {manifest.rows:,} rows, the footer {footer.num_rows:,}"
        raise PartitionError(msg, hint=_REBUILD)
    return manifest


def stored_schema(footer: pq.FileMetaData) -> pa.Schema:
    """The Arrow schema of a footer, every type on the allow-list."""
    schema = footer.schema.to_arrow_schema()
    for column in schema:
        check_types(column)
    return schema


def check_types(column: pa.Field) -> None:
    """Refuse a field whose type, or any type inside it, is not one that raypipe stores.

    Raises
    ------
    PartitionError
        Naming the column and the type.
    """
    kind = column.type
    marked = any(_MARKS[0] in key for key in column.metadata or {})
    nested = [kind.field(i) for i in range(kind.num_fields)] if pa.types.is_nested(kind) else []
    for inner in nested:
        check_types(inner)
    if marked or isinstance(kind, pa.BaseExtensionType) or kind not in _TYPES:
        msg = f"refused: column {column.name} has the type {kind}, which raypipe never stores"
        raise PartitionError(msg, hint="find out where the file comes from", column=column.name)


def admit(table: Table, names: tuple[str, ...], rows: int, file_bytes: int) -> None:
    """Refuse to unpack more than a table of this size could honestly hold.

    Rows times width is compared with a fixed cap and with the size of the file; the sizes that a
    footer states are not believed (367 KB have been made to hold 50 M rows).

    Raises
    ------
    PartitionError
        With rows, width and the cap.
    """
    width = sum(_width(table[name].arrow.type) for name in names)
    admit_bytes(rows * width, file_bytes, f"{rows:,} rows of {width} bytes")


def admit_bytes(wanted: int, file_bytes: int, what: str) -> None:
    """Refuse to unpack ``wanted`` bytes from a file that cannot honestly hold so much."""
    cap = min(MAX_TABLE_BYTES, max(_SMALL_BYTES, MAX_RATIO * file_bytes))
    if not 0 <= wanted <= cap:
        msg = f"refused: {what}, {wanted:,} bytes, from a file of {file_bytes:,}; the limit is {cap:,}"
        raise PartitionError(msg, hint="read fewer columns or by row groups, if the file is yours")


def _width(kind: pa.DataType) -> int:
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind):
        return 4
    return max(1, int(kind.bit_width) // 8)
