"""Signals of many sessions as one Parquet file, streamed: a row group per session, in order of date."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from raypipe.config import Config
from raypipe.errors import PartitionError, UsageError
from raypipe.lake.files import whole_file
from raypipe.lake.store import Lake
from raypipe.pipeline.signals import SIGNALS, SignalSessions, Wanted
from raypipe.pipeline.signals_frame import columns_of
from raypipe.schema.spec import Table

__all__ = ["MULTI_DAY", "Exported", "export_signals"]

#: Where the file stands in the lake unless another is named.
MULTI_DAY = "gold/signals_multi_day.parquet"


@dataclass(frozen=True, slots=True)
class Exported:
    """The file that was written."""

    path: str
    sessions: int
    rows: int
    bytes: int


def export_signals(
    config: Config,
    *,
    start: dt.date | None = None,
    end: dt.date | None = None,
    columns: Sequence[str] | None = None,
    output: Path | None = None,
) -> Exported:
    """Write the sessions of a range as one file.

    Parameters
    ----------
    config
        The configuration; it names the lake.
    start, end
        Closed range; None leaves it open.
    columns
        Only these columns, in this order; aliases count.
    output
        The file; None puts `MULTI_DAY` into the lake. It appears under its name only when it is whole.

    Raises
    ------
    UsageError
        If no session of the range is built, or there is no such column.
    PartitionError
        If a session is damaged, or of another version of the table: it is named.
    StorageError
        If the file cannot be written.
    """
    lake, table = Lake(config.lake.location), SignalSessions(config, Wanted(start, end)).table
    keys = [key for key in lake.partitions(table) if _inside(key, start, end)]
    if not keys:
        msg = f"no session from {start or 'the beginning'} to {end or 'today'} is built"
        raise UsageError(msg, hint="build them first: raypipe signals")
    _refuse_other_versions(lake, table, keys)
    names = columns_of(table, columns)
    if output is not None:
        return _to_file(lake, table, keys, names, output)
    with tempfile.TemporaryDirectory() as folder:
        made = _to_file(lake, table, keys, names, Path(folder) / Path(MULTI_DAY).name)
        lake.store.put_file(MULTI_DAY, Path(made.path))
    return Exported(f"{config.lake.location.root}/{MULTI_DAY}", made.sessions, made.rows, made.bytes)


def _inside(key: str, start: dt.date | None, end: dt.date | None) -> bool:
    return (start or dt.date.min) <= dt.date.fromisoformat(key) <= (end or dt.date.max)


def _refuse_other_versions(lake: Lake, table: Table, keys: Sequence[str]) -> None:
    manifests = lake.manifests(table)
    for key in keys:
        found = manifests.get(key)
        if isinstance(found, PartitionError):
            raise found
        if found is None or found.schema != table.digest:
            msg = "its columns are those of another version of the table, or of other settings"
            hint = f"build it again: raypipe signals --dates {key}"
            raise PartitionError(msg, hint=hint, table=SIGNALS, partition=key)


def _to_file(lake: Lake, table: Table, keys: Sequence[str], names: dict[str, str], path: Path) -> Exported:
    import pyarrow.parquet as pq

    schema = pa.schema([_plain(table[column].arrow).with_name(name) for name, column in names.items()])
    stored = tuple(dict.fromkeys(names.values()))
    rows, options = 0, {"compression": "zstd", "compression_level": table.compression, "write_page_checksum": True}
    with whole_file(path) as temporary, pq.ParquetWriter(temporary, schema, **options) as file:
        for key in keys:
            part = lake.read(table, key, stored)
            whole = pa.table([part[column] for column in names.values()], names=list(names)).cast(schema)
            file.write_table(whole, row_group_size=max(whole.num_rows, 1))
            rows += whole.num_rows
    return Exported(str(path), len(keys), rows, path.stat().st_size)


def _plain(field: pa.Field) -> pa.Field:
    """Text instead of dictionaries, which differ from session to session; what the field says of itself stays."""
    return field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field
