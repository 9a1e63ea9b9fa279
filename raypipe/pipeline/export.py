"""Tables as plain files, under the names that users know, for tools that want one file.

Rows stream partition by partition, so memory is that of one row group. A file appears under its name only when
it is whole.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.config import Config
from raypipe.errors import PartitionError, UsageError
from raypipe.lake.files import whole_file
from raypipe.lake.store import Lake
from raypipe.pipeline.views import chosen_tables, in_range
from raypipe.schema.spec import Column, Table

__all__ = ["Exported", "File", "Order", "classic_names", "export"]

#: Lake name -> the name that users know.
RENAMED = {"symbol": "ticker", "session": "date"}
#: First characters that make a spreadsheet take a cell for a formula.
_FORMULA = r"^[=+\-@\t\r]"

#: (partition) -> name of the file that takes it, without its suffix.
Naming = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class File:
    """A file, or a series of files, that is made of one table.

    Attributes
    ----------
    naming
        Which file takes a partition.
    where
        Column and value of the rows that it takes; None takes all.
    beside
        A table with the same keys whose other columns stand behind.
    """

    naming: Naming
    where: tuple[str, str] | None = None
    beside: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """What is exported and how.

    Attributes
    ----------
    out
        Folder for the files.
    layout
        ``classic``: the files that users know, see `classic_names`. ``flat``: one file per table.
    kind
        ``parquet``, or ``csv``: cells that a spreadsheet would run as a formula get an apostrophe in front.
    start, end
        Closed range of partitions; None leaves it open.
    """

    out: Path
    layout: Literal["classic", "flat"] = "classic"
    kind: Literal["parquet", "csv"] = "parquet"
    start: dt.date | None = None
    end: dt.date | None = None


@dataclass(frozen=True, slots=True)
class Exported:
    """One file that was written."""

    table: str
    path: Path
    partitions: int
    rows: int
    bytes: int


def classic_names(band: tuple[float, float], modes: Sequence[str] = ()) -> dict[str, tuple[File, ...]]:
    """The files of the classic layout, by table.

    Parameters
    ----------
    band
        Price band of ``silver/daily_filtered``, which stands in the name of its file.
    modes
        Modes of the MACD tables; each has files of its own.

    Examples
    --------
    >>> (file,) = classic_names((1.0, 9.99))["silver/daily"]
    >>> file.naming("2025-01-02")
    'daily_2025'
    """
    low, high = (f"{price:g}" for price in band)
    whole = ("technical_features", "minute_features", "minute_features_plus_macd", "weekly")
    return {
        **{f"silver/{name}": (File(_always(name)),) for name in whole},
        "silver/daily": (File(lambda partition: f"daily_{partition[:4]}"),),
        "silver/daily_filtered": (File(_always(f"daily_filtered_{low}_{high}")),),
        "silver/macd_session_features": (File(_always("macd_day_features")), *map(_by_mode, modes)),
        "silver/macd_bars": tuple(File(_always(f"macd_{tf}_bars"), ("tf", tf)) for tf in ("1m", "5m")),
        "gold/events": (File(lambda partition: f"training/events_{partition}", beside="gold/event_labels"),),
        "gold/range_expansion_labels": (File(_always("range_expansion_labels")),),
        "gold/ml_dataset": (File(_always("training/ml_dataset")),),
    }


def _by_mode(mode: str) -> File:
    """A file for each session of one mode."""
    return File(lambda partition: f"macd_day_features_inc/mode={mode}/date={partition}", ("mode", mode))


def _always(name: str) -> Naming:
    """One file for all partitions."""
    return lambda _: name


def export(config: Config, names: tuple[str, ...], order: Order) -> Iterator[Exported]:
    """Write tables as files, one after the other.

    Parameters
    ----------
    config
        The configuration; it says where the lake is.
    names
        The tables; if none is named, those of the classic layout, or all of silver and gold.
    order
        Where to, and how.

    Yields
    ------
    Exported
        Each file once it is whole, in order of table and name.

    Raises
    ------
    UsageError
        If the layout has no such table, or nothing of the tables lies in the range.
    PartitionError
        If a partition is damaged; files that are whole stay.
    StorageError
        If the folder cannot be written.
    """
    lake, found = Lake(config.lake.location), False
    for table, file in _chosen(config, names, order.layout):
        files: dict[str, list[str]] = defaultdict(list)
        for partition in lake.partitions(table):
            if in_range(partition, order.start, order.end):
                files[file.naming(partition)].append(partition)
        source = _Source(lake, table, file, _table_beside(config, file))
        for name in sorted(files):
            found = True
            yield _write(source, files[name], order, order.out / f"{name}.{order.kind}")
    if not found:
        msg = "nothing to export: no partition of these tables lies in the range"
        raise UsageError(msg, hint="`raypipe status` shows what there is")


def _table_beside(config: Config, file: File) -> Table | None:
    return chosen_tables(config, (file.beside,))[file.beside] if file.beside else None


def _chosen(config: Config, names: tuple[str, ...], layout: str) -> list[tuple[Table, File]]:
    named = chosen_tables(config, names)
    if layout == "flat":
        whole = {name: table for name, table in named.items() if names or not name.startswith("bronze/")}
        return [(table, File(_always(name.rpartition("/")[2]))) for name, table in whole.items()]
    classic = classic_names(_band(config), config.params["macd"].model_dump()["modes"])
    unknown = [name for name in named if name not in classic] if names else []
    if unknown:
        msg = f"the classic layout has no file for {unknown[0]}"
        raise UsageError(msg, hint="use --layout flat")
    return [(table, file) for name, table in named.items() for file in classic.get(name, ())]


def _band(config: Config) -> tuple[float, float]:
    """The price band of the filtered table: its own, or that of the daily table."""
    own, daily = (config.params[name].model_dump()["prefilter_price_range"] for name in ("filtered", "daily"))
    band: tuple[float, float] = own or daily
    return band


class _Source:
    """The rows of one file, partition by partition."""

    def __init__(self, lake: Lake, table: Table, file: File, beside: Table | None) -> None:
        self.table, self._lake, self._file, self._beside = table, lake, file, beside

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns of the table, then those that stand beside."""
        extra = [c for c in self._beside.columns if c.name not in self.table] if self._beside else []
        return (*self.table.columns, *extra)

    def batches(self, partition: str) -> Iterator[pa.Table]:
        """Rows of one partition, a row group at a time; whole where another table stands beside."""
        if self._beside is not None:
            yield self._with_columns_beside(self._lake.read(self.table, partition), partition)
            return
        for batch in self._lake.batches(self.table, partition):
            yield self._kept(batch)

    def _kept(self, batch: pa.Table) -> pa.Table:
        if self._file.where is None:
            return batch
        column, value = self._file.where
        return batch.filter(pc.equal(batch[column].cast(pa.string()), value))

    def _with_columns_beside(self, rows: pa.Table, partition: str) -> pa.Table:
        """Both tables are sorted by one key and unique in it, so equal keys stand in equal places."""
        assert self._beside is not None
        others = self._lake.read(self._beside, partition)
        for name in self.table.key:
            if not rows[name].cast(_plain(rows[name].type)).equals(others[name].cast(_plain(rows[name].type))):
                msg = f"its rows are not those of {self._beside.name}"
                raise PartitionError(msg, hint="raypipe run", table=self.table.name, partition=partition)
        for name in (c.name for c in self._beside.columns if c.name not in self.table):
            rows = rows.append_column(self._beside[name].arrow, others[name])
        return rows


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _write(source: _Source, partitions: Sequence[str], order: Order, path: Path) -> Exported:
    rows = 0
    with whole_file(path) as temporary, _writer(order.kind, temporary, _schema(source, order)) as sink:
        for partition in partitions:
            for batch in source.batches(partition):
                sink.write_table(_shaped(batch, order))
                rows += batch.num_rows
    return Exported(source.table.name, path, len(partitions), rows, path.stat().st_size)


def _writer(kind: str, path: Path, schema: pa.Schema) -> Any:
    if kind == "csv":
        import pyarrow.csv

        return pyarrow.csv.CSVWriter(str(path), schema)
    import pyarrow.parquet as pq

    return pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True)


def _schema(source: _Source, order: Order) -> pa.Schema:
    return _shaped(pa.schema([column.arrow for column in source.columns]).empty_table(), order).schema


def _shaped(batch: pa.Table, order: Order) -> pa.Table:
    """Names and types that any tool reads: text instead of dictionaries, users' names, year and month."""
    columns: dict[str, Any] = {}
    for name in batch.column_names:
        values = batch[name]
        if pa.types.is_string(_plain(values.type)):
            values = values.cast(pa.string())
            if order.kind == "csv":
                values = _without_formulas(values)
        columns[RENAMED.get(name, name)] = values
    if order.layout == "classic" and "session" in batch.column_names:
        columns["year"] = pc.year(batch["session"]).cast(pa.int32())
        columns["month"] = pc.month(batch["session"]).cast(pa.int32())
    return pa.table(columns)


def _without_formulas(values: pa.ChunkedArray) -> pa.ChunkedArray:
    dangerous = pc.match_substring_regex(values, _FORMULA)
    return pc.if_else(dangerous, pc.binary_join_element_wise("'", values, ""), values)
