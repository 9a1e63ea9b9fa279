"""What an audit says: per column a verdict with the first row that offends, per table what could not be proved."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any, Literal

from raypipe.calendar import EXCHANGE_TZ, NS_PER_SECOND

__all__ = ["ColumnVerdict", "Offence", "Probe", "Problem", "Report", "TableReport", "Verdict", "exchange_time"]

#: ``clean``: no value known at a moment changed with what came after it. ``label``: it looks ahead, as labels do, and
#: is settled when the table says so. ``leaks``: a value changed. ``differs``: what is stored cannot be made again.
#: ``unproved``: there was no row to look at.
Verdict = Literal["clean", "label", "leaks", "differs", "unproved"]
Probe = Literal["cut", "noise", "rebuild", "declared"]


@dataclass(frozen=True, slots=True)
class Offence:
    """A value that should not have changed.

    Attributes
    ----------
    partition, key
        Which row.
    stored, recomputed
        The value, and what it became. A row that is not there at all reads ``(no row)``.
    probe
        ``cut``: the future was cut off; ``noise``: it was replaced; ``rebuild``: nothing was altered;
        ``declared``: what the table says of itself is at odds.
    cut_ns
        The moment, nanoseconds UTC; None if there was none.
    """

    partition: str
    key: dict[str, Any]
    stored: Any
    recomputed: Any
    probe: Probe
    cut_ns: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        names = ("partition", "key", "stored", "recomputed", "probe", "cut_ns")
        return {name: getattr(self, name) for name in names} | {"cut": exchange_time(self.cut_ns)}


def exchange_time(ns: int | None) -> str | None:
    """A moment on the exchange's clock.

    Examples
    --------
    >>> exchange_time(1_735_828_200_000_000_000)
    '2025-01-02T09:30:00-05:00'
    """
    return None if ns is None else dt.datetime.fromtimestamp(ns // NS_PER_SECOND, EXCHANGE_TZ).isoformat()


@dataclass(frozen=True, slots=True)
class Problem:
    """A partition that could not be proved, and why."""

    partition: str
    kind: Literal["stale", "failed", "rows"]
    message: str


@dataclass(frozen=True, slots=True)
class ColumnVerdict:
    """One column.

    Attributes
    ----------
    name, role
        The column.
    verdict
        See `Verdict`.
    compared
        How many values were held against their stored ones, over all moments and both futures.
    offences, first
        How many of them changed, and the first.
    constant
        Whether all audited rows have one value: then there was nothing to see.
    moved
        Whether altering the future changed a value that may change: of a later row or, for labels, of the row itself.
        A clean column that never moved was proved by the cut alone.
    """

    name: str
    role: str
    verdict: Verdict
    compared: int = 0
    offences: int = 0
    first: Offence | None = None
    constant: bool = False
    moved: bool = False

    @property
    def note(self) -> str:
        """What else there is to say, for people."""
        if self.verdict == "unproved":
            return "no row to look at"
        if self.constant and self.role not in ("key", "time", "id"):
            return "constant"
        if self.verdict == "label":
            return "moves with the future" if self.moved else "did not move"
        return ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        names = ("name", "role", "verdict", "compared", "offences", "constant", "moved")
        first = self.first.to_dict() if self.first else None
        return {name: getattr(self, name) for name in names} | {"first": first}


@dataclass(frozen=True, slots=True)
class TableReport:
    """One table.

    Attributes
    ----------
    name
        The table.
    partitions, rows
        Partitions looked at, and their rows.
    moments, altered
        How many moments were tried, and how many input rows were cut off or replaced.
    columns, problems
        Verdicts in stored order, and what could not be proved.
    """

    name: str
    partitions: tuple[str, ...]
    rows: int
    moments: int
    altered: int
    columns: tuple[ColumnVerdict, ...]
    problems: tuple[Problem, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "table": self.name,
            "partitions": list(self.partitions),
            "rows": self.rows,
            "moments": self.moments,
            "altered_input_rows": self.altered,
            "columns": [column.to_dict() for column in self.columns],
            "problems": [{"partition": p.partition, "kind": p.kind, "message": p.message} for p in self.problems],
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The whole audit, tables in stage order."""

    seed: int
    tables: tuple[TableReport, ...] = field(default_factory=tuple)

    def count(self, verdict: Verdict) -> int:
        """How many columns have a verdict."""
        return sum(column.verdict == verdict for table in self.tables for column in table.columns)

    @property
    def leaks(self) -> list[tuple[str, ColumnVerdict]]:
        """Columns that leak, with their tables."""
        return [(table.name, column) for table in self.tables for column in table.columns if column.verdict == "leaks"]

    @property
    def exit_code(self) -> int:
        """3 if a column leaks; 1 if something could not be made again; else 0."""
        if self.leaks:
            return 3
        unmade = any(table.problems for table in self.tables) or self.count("differs")
        return int(bool(unmade))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        verdicts: tuple[Verdict, ...] = ("clean", "label", "leaks", "differs", "unproved")
        return {
            "seed": self.seed,
            "exit_code": self.exit_code,
            "verdicts": {verdict: self.count(verdict) for verdict in verdicts},
            "tables": [table.to_dict() for table in self.tables],
        }
