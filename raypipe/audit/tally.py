"""What was seen of each column of a table, and the verdict that follows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.audit.compare import Fault, Paired
from raypipe.audit.verdicts import ColumnVerdict, Offence, Probe, Verdict
from raypipe.schema.spec import Column, Table

__all__ = ["Faults", "Tally", "Where"]


@dataclass(frozen=True, slots=True)
class Where:
    """What is being tried: on which partition, how, and at which moment."""

    partition: str
    probe: Probe
    at_ns: int = 0


@dataclass(frozen=True, slots=True)
class Faults:
    """How often something was wrong with a column, and where first."""

    count: int = 0
    first: Offence | None = None

    def and_also(self, faults: Iterable[Fault], where: Where) -> Faults:
        """These and some more."""
        found = self
        for count, key, stored, recomputed in faults:
            offence = Offence(where.partition, key, stored, recomputed, where.probe, where.at_ns or None)
            found = Faults(found.count + count, found.first or offence)
        return found


@dataclass(slots=True)
class _Seen:
    """What was seen of one column."""

    compared: int = 0
    leak: Faults = field(default_factory=Faults)
    difference: Faults = field(default_factory=Faults)
    moved: bool = False
    values: set[Any] = field(default_factory=set)


class Tally:
    """The columns of one table.

    Parameters
    ----------
    spec
        The table.
    """

    def __init__(self, spec: Table) -> None:
        self._spec = spec
        self._seen = {name: _Seen() for name in spec.names}

    def rows(self, rows: pa.Table) -> None:
        """Note the values of a partition."""
        for name, seen in self._seen.items():
            seen.values.update(pc.unique(rows[name])[:2].to_pylist())

    def compared(self, name: str, count: int) -> None:
        """Note values held against each other."""
        self._seen[name].compared += count

    def moved(self, names: Iterable[str], pairs: Paired, where: np.ndarray | bool = True) -> None:
        """Note columns that changed where they may."""
        for name in names:
            self._seen[name].moved |= bool((pairs.changed(name) & where).any())

    def leaks(self, name: str, faults: Iterable[Fault], where: Where) -> None:
        """Note values that changed with the future."""
        self._seen[name].leak = self._seen[name].leak.and_also(faults, where)

    def differs(self, name: str, faults: Iterable[Fault], where: Where) -> None:
        """Note values that cannot be made again."""
        self._seen[name].difference = self._seen[name].difference.and_also(faults, where)

    def mark(self) -> dict[str, Faults]:
        """The leaks so far, for `since`."""
        return {name: seen.leak for name, seen in self._seen.items()}

    def since(self, mark: dict[str, Faults]) -> list[str]:
        """Columns in which leaks were found since a mark."""
        return [name for name, seen in self._seen.items() if seen.leak.count > mark[name].count]

    def take_back(self, name: str, mark: dict[str, Faults]) -> None:
        """Forget the leaks of a column that were found since a mark."""
        self._seen[name].leak = mark[name]

    def verdicts(self) -> tuple[ColumnVerdict, ...]:
        """The verdict on each column, in stored order."""
        return tuple(_verdict(column, self._seen[column.name]) for column in self._spec.columns)


def _verdict(column: Column, seen: _Seen) -> ColumnVerdict:
    verdict: Verdict = "label" if column.role == "label" else "clean"
    found = ColumnVerdict(column.name, column.role, verdict, seen.compared, moved=seen.moved)
    found = replace(found, constant=len(seen.values) == 1)
    if seen.leak.count:
        return replace(found, verdict="leaks", offences=seen.leak.count, first=seen.leak.first)
    if seen.difference.count:
        return replace(found, verdict="differs", offences=seen.difference.count, first=seen.difference.first)
    return found if seen.values else replace(found, verdict="unproved")
