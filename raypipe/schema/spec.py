"""What a table is: columns with name, type, unit, null rule and one sentence each.

The glossary, the boundary checks, the Parquet schema and random test tables all come from here.
Undefined is null: NaN and infinity are never stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa

from raypipe.errors import DeveloperError, SchemaError

__all__ = ["DTYPES", "Column", "Grain", "Known", "Role", "Table", "column_types"]

Grain = Literal["session", "week", "symbol", "once"]
Role = Literal["key", "time", "feature", "label", "meta", "qa", "id", "vintage"]

#: Short names used in declarations, and what they are stored as.
DTYPES: dict[str, pa.DataType] = {
    "f64": pa.float64(),
    "f32": pa.float32(),
    "i8": pa.int8(),
    "i16": pa.int16(),
    "i32": pa.int32(),
    "i64": pa.int64(),
    "u8": pa.uint8(),
    "u32": pa.uint32(),
    "bool": pa.bool_(),
    "str": pa.string(),
    "dict": pa.dictionary(pa.int32(), pa.string()),
    "date32": pa.date32(),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes
    ----------
    name, dtype
        Name in the lake; a key of `DTYPES`.
    doc
        One sentence: what it means.
    unit
        ``usd``, ``shares``, ``ns``, ``1`` ... empty where there is none.
    null
        When the value is null; empty means never.
    role
        What models may do with it. A label is never taken for a feature by its name. ``vintage``: the value is
        restated by later corporate actions, so it serves to undo them and is never a feature.
    alias_of
        The column that this one repeats under a vendor's or user's name.
    group
        Which columns of a wide table belong together; only told to readers.
    """

    name: str
    dtype: str
    doc: str
    unit: str = ""
    null: str = ""
    role: Role = "feature"
    alias_of: str = ""
    group: str = ""

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            msg = f"column {self.name} has the unknown dtype {self.dtype!r}"
            raise DeveloperError(msg, hint=f"use one of {', '.join(DTYPES)}")

    @property
    def nullable(self) -> bool:
        """Whether a null rule is declared."""
        return bool(self.null)

    @property
    def arrow(self) -> pa.Field:
        """The Arrow field, with unit and role in its metadata."""
        notes = {"unit": self.unit, "role": self.role, "alias_of": self.alias_of, "group": self.group}
        return pa.field(self.name, DTYPES[self.dtype], self.nullable, {k: v for k, v in notes.items() if v})


@dataclass(frozen=True, slots=True)
class Known:
    """When a row of a table could first be known; `raypipe.schema.known` turns it into nanoseconds.

    Attributes
    ----------
    column
        A time in nanoseconds UTC, or a date.
    when
        What of it counts: the time itself, or the date's midnight, close or end of extended hours, exchange time.
    plus_ns
        How much later than that.
    """

    column: str
    when: Literal["time", "midnight", "session_close", "session_end"] = "time"
    plus_ns: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """A declared table of the lake.

    Attributes
    ----------
    name
        ``tier/table``, as in the path.
    key
        Columns that identify a row; rows are sorted by them (text bytewise) and unique in them. Empty: rows stand
        in the vendor's order and equal rows are different facts.
    grain
        What one partition file holds.
    columns
        Every column, in stored order.
    doc
        One sentence.
    version
        Raised when the meaning of a stored column changes.
    floats
        How float columns are encoded: ``dictionary`` where values repeat (prices), ``split``
        (byte-stream split) for derived panels, where it is smaller and 2.5x cheaper to write.
    split
        Single columns that are split in a dictionary table: values that hardly repeat, such as volume (10 % of a
        minute file's write, and smaller), and the many small integers of a book (half the write, 0.6 of the size).
    compression
        Level of zstd.
    group_by
        A column of which each row group holds one value, so that readers skip groups by its statistics.
    known
        When a row could first be known. None: at its ``label_known_ns``, ``available_ns`` or ``decision_ns``,
        whichever of them the table has first, else at the end of its session.
    """

    name: str
    key: tuple[str, ...]
    grain: Grain
    columns: tuple[Column, ...]
    doc: str
    version: int = 1
    floats: Literal["dictionary", "split"] = "dictionary"
    split: tuple[str, ...] = ()
    compression: int = 1
    group_by: str = ""
    known: Known | None = None
    _by_name: dict[str, Column] = field(init=False, repr=False, compare=False, hash=False, default_factory=dict)
    _rowless: list[pa.Table] = field(init=False, repr=False, compare=False, hash=False, default_factory=list)
    _cached: dict[str, pa.Schema] = field(init=False, repr=False, compare=False, hash=False, default_factory=dict)

    def __post_init__(self) -> None:
        for column in self.columns:
            if column.name in self._by_name:
                msg = f"table {self.name} declares column {column.name} twice"
                raise DeveloperError(msg)
            self._by_name[column.name] = column
        missing = [name for name in self.key if name not in self._by_name]
        if missing:
            msg = f"table {self.name} has key columns that it does not declare: {missing}"
            raise DeveloperError(msg)

    def __getitem__(self, name: str) -> Column:
        return self._by_name[name]

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in stored order."""
        return tuple(self._by_name)

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema; made once, because every read and write asks for it."""
        if "schema" not in self._cached:
            self._cached["schema"] = pa.schema([column.arrow for column in self.columns])
        return self._cached["schema"]

    @property
    def digest(self) -> str:
        """16 hex digits over names, types, null rules and version: part of every fingerprint."""
        facts = [(c.name, c.dtype, c.nullable, c.unit, c.role) for c in self.columns]
        text = repr((self.name, self.key, self.grain, self.version, facts))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def split_column(self) -> str:
        """The column whose value names the partition of a row."""
        return {"session": "session", "week": "week_start", "symbol": "symbol", "once": ""}[self.grain]

    def empty(self) -> pa.Table:
        """A table of this schema without rows."""
        if not self._rowless:
            # One of 95 columns takes a millisecond, and every partition that is written asks for it.
            self._rowless.append(self.arrow.empty_table())
        return self._rowless[0]

    def build(self, columns: dict[str, pa.Array | pa.ChunkedArray]) -> pa.Table:
        """Assemble a table from exactly the declared columns, in declared order.

        Raises
        ------
        DeveloperError
            If a column is missing or one is not declared.
        """
        if set(columns) != set(self._by_name):
            missing, extra = set(self._by_name) - set(columns), set(columns) - set(self._by_name)
            msg = f"table {self.name}: missing columns {sorted(missing)}, undeclared {sorted(extra)}"
            raise DeveloperError(msg)
        return pa.table([columns[name] for name in self.names], schema=self.arrow)

    def check_schema(self, schema: pa.Schema, *, partition: str | None = None) -> None:
        """Refuse a stored schema that differs from the declared one in names, order or types.

        Raises
        ------
        SchemaError
            Naming the first difference.
        """
        if column_types(schema) == column_types(self.arrow):
            return
        missing = [name for name in self.names if name not in schema.names]
        extra = [name for name in schema.names if name not in self]
        retyped = [
            f"{name} is {schema.field(name).type}, expected {self[name].arrow.type}"
            for name in self.names
            if name in schema.names and schema.field(name).type != self[name].arrow.type
        ]
        msg = f"schema differs: missing {missing}, extra {extra}, types {retyped}, or column order"
        raise SchemaError(msg, hint="rebuild the partition", table=self.name, partition=partition)


def column_types(schema: pa.Schema) -> list[tuple[str, pa.DataType]]:
    """Names and types of a schema, in order."""
    return [(f.name, f.type) for f in schema]


def unique_columns(tables: Iterable[Table]) -> dict[str, tuple[Table, Column]]:
    """Every column of several tables by ``table.column``; the glossary."""
    return {f"{table.name}.{column.name}": (table, column) for table in tables for column in table.columns}
