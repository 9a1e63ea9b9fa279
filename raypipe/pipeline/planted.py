"""The planted answers of a synthetic market, held against what the lake says.

``truth.json`` names rows and the values that they must have. Answers about tables that no stage writes yet, and
answers about whole columns (the market's regimes, which need statistics), are passed over.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.errors import PartitionError, SourceError
from raypipe.lake.store import Lake
from raypipe.schema.spec import Table

__all__ = ["Verdict", "check_planted"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answers of one planted id in one table.

    Attributes
    ----------
    id, table
        Which.
    answers
        How many rows were looked up.
    wrong
        What the first wrong one says; empty if all are right.
    """

    id: str
    table: str
    answers: int
    wrong: str = ""


def check_planted(lake: Lake, tables: Mapping[str, Table], truth: Path) -> list[Verdict]:
    """Compare every planted answer with the lake.

    Parameters
    ----------
    lake, tables
        The lake, and its declared tables by name.
    truth
        ``truth.json`` as `raypipe synth` writes it.

    Returns
    -------
    One verdict per id and table, in order of id, for tables that are declared.

    Raises
    ------
    SourceError
        If the file cannot be read.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for entry in _read(truth):
        if entry["table"] in tables and set(entry["key"]) <= set(tables[entry["table"]].names):
            groups[entry["id"], entry["table"]].append(entry)
    store = _Rows(lake, tables)
    return [_verdict(name, table, entries, store) for (name, table), entries in sorted(groups.items())]


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["planted"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"the planted answers cannot be read: {error}"
        raise SourceError(msg, hint="write the market again: raypipe synth", file=str(path)) from error
    return entries


def _verdict(name: str, table: str, entries: Sequence[Mapping[str, Any]], rows: _Rows) -> Verdict:
    wrong = (problem for entry in entries if (problem := _problem(entry, rows)))
    return Verdict(name, table, len(entries), next(wrong, ""))


def _problem(entry: Mapping[str, Any], rows: _Rows) -> str:
    key, where = entry["key"], " ".join(str(value) for value in entry["key"].values())
    try:
        found = rows.find(entry["table"], key, tuple(entry["expect"]))
    except PartitionError as error:
        return f"{where}: {error.message}"
    if found is None:
        return f"{where}: no such row"
    for column, expected in entry["expect"].items():
        if not _equal(found[column], expected, entry["tol"]):
            return f"{where}: {column} is {found[column]}, expected {expected}"
    return ""


def _equal(value: Any, expected: Any, tolerance: float) -> bool:
    if isinstance(expected, float) and isinstance(value, float):
        return math.isclose(value, expected, rel_tol=tolerance, abs_tol=tolerance)
    return bool((value.isoformat() if isinstance(value, dt.date) else value) == expected)


class _Rows:
    """Rows by key; each partition is read once."""

    def __init__(self, lake: Lake, tables: Mapping[str, Table]) -> None:
        self._lake, self._tables = lake, tables
        self._read: dict[tuple[str, str], pa.Table] = {}

    def find(self, name: str, key: Mapping[str, Any], columns: tuple[str, ...]) -> dict[str, Any] | None:
        """The row of a key, or None."""
        table = self._tables[name]
        rows = self._partition(table, key)
        mask = None
        for column, value in key.items():
            if column != table.split_column:
                equal = pc.equal(rows[column], pa.scalar(_typed(value, rows[column].type), _plain(rows[column].type)))
                mask = equal if mask is None else pc.and_(mask, equal)
        found = rows.filter(mask).select(list(columns)).to_pylist() if mask is not None else []
        return found[0] if len(found) == 1 else None

    def _partition(self, table: Table, key: Mapping[str, Any]) -> pa.Table:
        partition = str(key[table.split_column]) if table.split_column else "all"
        if (table.name, partition) not in self._read:
            self._read[table.name, partition] = self._lake.read(table, partition)
        return self._read[table.name, partition]


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _typed(value: Any, kind: pa.DataType) -> Any:
    return dt.date.fromisoformat(value) if pa.types.is_date32(kind) else value
