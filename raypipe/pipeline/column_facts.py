"""What stands in the columns of stored partitions: nulls, distinct values, and which columns never vary."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.config import Config
from raypipe.errors import NotYetError
from raypipe.lake.store import Lake
from raypipe.pipeline.views import chosen_tables, in_range
from raypipe.schema.spec import Column, Table

__all__ = ["MOST_DISTINCT", "ColumnFacts", "TableFacts", "column_facts", "facts_of"]

#: Distinct values are counted up to here.
MOST_DISTINCT = 1_000


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """One column over some partitions.

    Attributes
    ----------
    name, dtype, unit, role, group, alias_of
        As declared.
    rows, nulls
        Rows, and those without a value.
    distinct
        Different values, null not counted; `MOST_DISTINCT` stands for that many or more.
    value
        The only value as text, if there is just one.
    """

    name: str
    dtype: str
    unit: str
    role: str
    group: str
    alias_of: str
    rows: int
    nulls: int
    distinct: int
    value: str

    @property
    def verdict(self) -> str:
        """``varies``; ``constant``: one value; ``constant or null``; ``null``: no value at all.

        Of no rows nothing can be said: ``no rows``.
        """
        if not self.rows:
            return "no rows"
        if not self.distinct:
            return "null"
        if self.distinct > 1:
            return "varies"
        return "constant or null" if self.nulls else "constant"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self) | {"verdict": self.verdict}


@dataclass(frozen=True, slots=True)
class TableFacts:
    """The columns of one table, in stored order, over the partitions named."""

    name: str
    partitions: tuple[str, ...]
    rows: int
    columns: tuple[ColumnFacts, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "name": self.name,
            "partitions": list(self.partitions),
            "rows": self.rows,
            "columns": [column.to_dict() for column in self.columns],
        }


def column_facts(
    config: Config, names: Sequence[str], start: dt.date | None = None, end: dt.date | None = None
) -> list[TableFacts]:
    """Read the stored partitions of some tables and say what stands in each column.

    Parameters
    ----------
    config
        The configuration; it names the lake.
    names
        Tables, as ``gold/signals`` or ``signals``.
    start, end
        First and last session; partitions without a date lie in every range.

    Raises
    ------
    UsageError
        If there is no such table.
    NotYetError
        If a table has no partition in the range.
    """
    lake, found = Lake(config.lake.location), []
    for table in chosen_tables(config, tuple(names)).values():
        partitions = [key for key in lake.partitions(table) if in_range(key, start, end)]
        if not partitions:
            msg = f"{table.name} has no partition in the lake, in this range"
            raise NotYetError(msg, hint="build it: raypipe plan shows how")
        pieces = (piece for key in partitions for piece in lake.batches(table, key))
        found.append(facts_of(table, pieces, partitions))
    return found


def facts_of(table: Table, pieces: Iterable[pa.Table], partitions: Sequence[str] = ()) -> TableFacts:
    """What stands in the columns of a table that comes in pieces.

    Parameters
    ----------
    table
        The declared table.
    pieces
        Its rows.
    partitions
        Where they come from, to be told on.
    """
    tallies, rows = {name: _Tally() for name in table.names}, 0
    for piece in pieces:
        rows += piece.num_rows
        for name, tally in tallies.items():
            tally.add(piece[name])
    return TableFacts(
        table.name, tuple(partitions), rows, tuple(_facts(c, rows, tallies[c.name]) for c in table.columns)
    )


@dataclass(slots=True)
class _Tally:
    nulls: int = 0
    values: set[Any] = field(default_factory=set)

    def add(self, column: pa.ChunkedArray) -> None:
        """Count what one piece holds."""
        self.nulls += column.null_count
        if len(self.values) < MOST_DISTINCT:
            self.values.update(pc.unique(column.drop_null()).slice(0, MOST_DISTINCT).to_pylist())


def _facts(column: Column, rows: int, tally: _Tally) -> ColumnFacts:
    distinct = min(len(tally.values), MOST_DISTINCT)
    value = str(next(iter(tally.values))) if distinct == 1 else ""
    declared = column.name, column.dtype, column.unit, column.role, column.group, column.alias_of
    return ColumnFacts(*declared, rows, tally.nulls, distinct, value)
