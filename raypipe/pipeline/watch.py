"""What is noted while a run goes on: memory over time, and nulls and constants of the columns that it wrote.

Both are bounded, however long the run: memory by merging neighbouring points, columns by summing up per table.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from raypipe.lake.columns import ColumnNote
from raypipe.pipeline.job import Outcome
from raypipe.pipeline.memory import resident_bytes
from raypipe.pipeline.record import RunRecord
from raypipe.schema.spec import Column, Table

__all__ = ["MOST_POINTS", "ColumnSums", "MemoryTrace", "Watch"]

#: Points of memory over time that a record holds at most; an even number.
MOST_POINTS = 200


@dataclass(frozen=True, slots=True)
class _Point:
    """A stretch of time: its end, how much was done by then, and the most memory seen in it."""

    seconds: float
    done: int
    driver: int
    worker: int
    peak: int

    def merge(self, later: _Point) -> _Point:
        return _Point(
            later.seconds,
            later.done,
            max(self.driver, later.driver),
            max(self.worker, later.worker),
            max(self.peak, later.peak),
        )


class MemoryTrace:
    """Memory over a run in at most `MOST_POINTS` points; each is the most that was seen since the one before."""

    def __init__(self) -> None:
        self._points: list[_Point] = []
        self._stride, self._in_last = 1, 0

    def note(self, seconds: float, done: int, driver_bytes: int, outcomes: Iterable[Outcome]) -> None:
        """Note a moment: seconds since the start, targets done, the driver's memory, and who reported."""
        told = [(outcome.rss_bytes, outcome.peak_rss_bytes) for outcome in outcomes]
        worker, peak = max((rss for rss, _ in told), default=0), max((peak for _, peak in told), default=0)
        point = _Point(seconds, done, driver_bytes, worker, peak)
        if self._in_last % self._stride:
            self._points[-1] = self._points[-1].merge(point)
        else:
            self._make_room()
            self._points.append(point)
        self._in_last = (self._in_last + 1) % self._stride

    def _make_room(self) -> None:
        if len(self._points) < MOST_POINTS:
            return
        pairs = zip(self._points[::2], self._points[1::2], strict=True)
        self._points = [first.merge(second) for first, second in pairs]
        self._stride *= 2

    def to_dict(self) -> dict[str, Any]:
        """Names of the values and rows of them, for the record."""
        names = ("seconds", "done", "driver_bytes", "worker_bytes", "worker_peak_bytes")
        rows = [[round(p.seconds, 3), p.done, p.driver, p.worker, p.peak] for p in self._points]
        return {"columns": list(names), "points": rows}


class ColumnSums:
    """Nulls and constant columns per table, over the partitions of a run.

    Parameters
    ----------
    tables
        Declared tables by name, for roles and null rules.
    """

    def __init__(self, tables: Mapping[str, Table]) -> None:
        self._tables = tables
        self._rows: dict[str, int] = {}
        self._partitions: dict[str, int] = {}
        self._nulls: dict[str, dict[str, int]] = {}
        self._only: dict[str, dict[str, str | None]] = {}

    def add(self, outcome: Outcome) -> None:
        """Note a partition that was built and has rows."""
        name = outcome.table
        if outcome.status != "built" or not outcome.rows or name not in self._tables:
            return
        if name not in self._rows:
            self._rows[name], self._partitions[name] = 0, 0
            self._nulls[name] = {}
            self._only[name] = dict.fromkeys(self._tables[name].names)
        self._rows[name] += outcome.rows
        self._partitions[name] += 1
        notes = {note.name: note for note in outcome.columns}
        for note in outcome.columns:
            self._nulls[name][note.name] = self._nulls[name].get(note.name, 0) + note.nulls
        self._only[name] = {
            column: _one(only, notes.get(column), outcome.rows)
            for column, only in self._only[name].items()
            if _stays(only, notes.get(column), outcome.rows)
        }

    def to_dict(self) -> dict[str, Any]:
        """Per table: rows, partitions, and per column with nulls or one value: state, nulls, share, value, role, rule.

        The state is one of ``null`` (throughout), ``constant``, ``constant or null`` and ``some null``.
        """
        return {
            name: {"rows": rows, "partitions": self._partitions[name], "columns": self._columns(name)}
            for name, rows in self._rows.items()
        }

    def _columns(self, name: str) -> dict[str, dict[str, Any]]:
        table, nulls, only = self._tables[name], self._nulls[name], self._only[name]
        return {
            column.name: self._column(name, column)
            for column in table.columns
            if nulls.get(column.name) or (column.name in only and self._rows[name] > 1)
        }

    def _column(self, name: str, column: Column) -> dict[str, Any]:
        rows, nulls = self._rows[name], self._nulls[name].get(column.name, 0)
        one = column.name in self._only[name] and rows - nulls > 1
        state = "null" if nulls == rows else "some null" if not one else "constant or null" if nulls else "constant"
        found = {"state": state, "nulls": nulls, "share": round(nulls / rows, 6), "role": column.role}
        return {**found, "rule": column.null, "value": (self._only[name].get(column.name) or "") if one else ""}


def _stays(only: str | None, note: ColumnNote | None, rows: int) -> bool:
    """Whether a column has had one value so far and still has."""
    if note is None or not note.constant:
        return False
    return note.nulls == rows or only in (None, note.value)


def _one(only: str | None, note: ColumnNote | None, rows: int) -> str | None:
    return only if note is None or note.nulls == rows else note.value


class Watch:
    """Looks at outcomes as they arrive.

    Parameters
    ----------
    tables
        Declared tables by name.
    """

    def __init__(self, tables: Mapping[str, Table]) -> None:
        self.memory = MemoryTrace()
        self.columns = ColumnSums(tables)
        self._start = time.monotonic()
        self.memory.note(0.0, 0, resident_bytes(), ())

    def note(self, done: int, latest: Iterable[Outcome]) -> None:
        """Note what arrived; ``done`` targets are over."""
        latest = tuple(latest)
        for outcome in latest:
            self.columns.add(outcome)
        self.memory.note(time.monotonic() - self._start, done, resident_bytes(), latest)

    def fill(self, record: RunRecord) -> None:
        """Put what was noted into the record."""
        record.memory, record.columns = self.memory.to_dict(), self.columns.to_dict()
