"""What a family is: a unit of meaning that owns its columns.

A family says which tables it requires and how far back, what it provides, its version and parameters,
and how to compute its rows. It is pure: tables in, table out. Feature families, label families and
event families all have this shape; a module of ``features``, ``events`` or ``labels`` holds one in the
constant ``FAMILY`` and is found by scanning the package.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from raypipe.calendar import Session
from raypipe.schema.spec import Table
from raypipe.schema.streams import Stream, WholeTable

__all__ = ["Family", "Finding", "Inputs", "Params", "Read", "Result", "Slice", "always", "linked", "shared"]


class Params(BaseModel):
    """Base of all parameter sets: frozen, unknown keys refused.

    A field that cannot change results is marked ``json_schema_extra={"track": False}`` and stays out of
    fingerprints.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    def tracked(self) -> dict[str, Any]:
        """The result-affecting values, ready for JSON."""
        untracked = {name for name, extra in _extras(type(self)).items() if extra.get("track") is False}
        nested = {name: value.tracked() for name, value in self if isinstance(value, Params)}
        return {**self.model_dump(mode="json", exclude=untracked), **nested}

    @classmethod
    def sections(cls) -> dict[str, str]:
        """Fields that are another section of the configuration, and which: those made by `shared`."""
        return {name: str(extra["section"]) for name, extra in _extras(cls).items() if "section" in extra}


def _extras(kind: type[BaseModel]) -> dict[str, dict[str, Any]]:
    found = {name: info.json_schema_extra for name, info in kind.model_fields.items()}
    return {name: extra for name, extra in found.items() if isinstance(extra, dict)}


def shared(section: str, kind: type[Params]) -> Any:
    """A field that is another section of the configuration, whole; it is set there and nowhere else.

    Families that follow one recipe then cannot be set apart by mistake.
    """
    return Field(default_factory=kind, json_schema_extra={"section": section})


def linked(params: Mapping[str, Params]) -> dict[str, Params]:
    """The same parameter sets, their shared fields filled from the sections that they name, and so on down.

    A section that is not among them leaves the field as it is.

    Examples
    --------
    >>> class Kettle(Params):
    ...     litres: int = 1
    >>> class Tea(Params):
    ...     kettle: Kettle = shared("kettle", Kettle)
    >>> linked({"kettle": Kettle(litres=2), "tea": Tea()})["tea"]
    Tea(kettle=Kettle(litres=2))
    """
    return {name: _filled(one, params) for name, one in params.items()}


def _filled(one: Params, params: Mapping[str, Params]) -> Params:
    named = ((field, section) for field, section in type(one).sections().items() if section in params)
    wanted = {field: _filled(params[section], params) for field, section in named}
    return one.model_copy(update=wanted) if wanted else one


def always(_: Any) -> bool:
    """True whatever the parameters: most families cannot be switched off."""
    return True


#: Chooses the rows of a once-table that a partition may know: (table, first session read, last) -> rows.
Slice = Callable[[pa.Table, dt.date, dt.date], pa.Table]


@dataclass(frozen=True, slots=True)
class Read:
    """One table that a family requires.

    Attributes
    ----------
    table
        Name of the table.
    columns
        Columns wanted; empty means all.
    before, after
        Sessions wanted before and after the partition's own. Only labels look after.
    own
        Whether the partition's own session is read.
    optional
        Whether the family can do without the table.
    unless
        A table that stands in for this one: it is read only where that one has no partition.
    rows
        For a table of grain ``once``: which of its rows the partition may know.
    stream
        Whether the session's own partition is handed on piece by piece, see `Inputs.stream`.
    """

    table: str
    columns: tuple[str, ...] = ()
    before: int = 0
    after: int = 0
    own: bool = True
    optional: bool = False
    unless: str = ""
    rows: Slice | None = None
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that the user should know about a partition that was built all the same.

    ``kind`` is a short stable word, ``count`` how many rows it concerns, ``samples`` a few of them,
    ``partition`` which partition it belongs to (the first of its job, if empty).
    """

    kind: str
    message: str
    count: int = 1
    samples: tuple[str, ...] = ()
    level: str = "warning"
    partition: str = ""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a family is given.

    Attributes
    ----------
    targets
        The sessions to build (for weekly families, every session of the weeks to build), in order.
    tables
        Per required table the partitions read, by date, in order; a once-table is under ``None``.
    sessions
        Every session that any read covers, with its windows, by date.
    symbols
        The symbols to build, in order: the targets of a family of grain ``symbol``.
    by_symbol
        Per required table of grain ``symbol`` the partitions read, by symbol, in order: to a family of grain
        ``symbol`` those of the targets, to one of grain ``once`` all of them.
    streams
        Per table that is read as a stream its partitions, by date.
    """

    targets: tuple[Session, ...]
    tables: Mapping[str, Mapping[dt.date | None, pa.Table]]
    sessions: Mapping[dt.date, Session] = field(default_factory=dict)
    symbols: tuple[str, ...] = ()
    by_symbol: Mapping[str, Mapping[str, pa.Table]] = field(default_factory=dict)
    streams: Mapping[str, Mapping[dt.date, Stream]] = field(default_factory=dict)

    def partitions(self, table: str) -> Mapping[dt.date | None, pa.Table]:
        """The partitions of one table; empty if it is optional and absent."""
        return self.tables.get(table, {})

    def stream(self, table: str, date: dt.date) -> Stream:
        """One partition piece by piece; one that is in memory is one piece."""
        found = self.streams.get(table, {}).get(date)
        return WholeTable(self.tables[table][date]) if found is None else found

    def of_symbols(self, table: str) -> Mapping[str, pa.Table]:
        """The partitions of one table of grain ``symbol``; empty if it is optional and absent."""
        return self.by_symbol.get(table, {})

    def once(self, table: str) -> pa.Table | None:
        """The rows of a once-table, or None if it is absent."""
        return self.partitions(table).get(None)


@dataclass(frozen=True, slots=True)
class Result:
    """Rows of all targets, sorted by partition and then by key, and what was noticed.

    ``facts`` are further keys of the footer of every partition: the same for equal parameters.
    """

    table: pa.Table
    findings: tuple[Finding, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Family:
    """A unit of meaning that owns its columns.

    Attributes
    ----------
    name
        One word; also its section in the configuration.
    version
        Raised when results change for equal inputs and parameters.
    params
        The class of its parameters.
    table
        Parameters -> the table it provides.
    requires
        Parameters -> what it reads.
    compute
        (inputs, parameters) -> rows. A row depends only on the inputs that `requires` states for its
        own session, however many sessions are built at once.
    step
        The word that selects it in ``raypipe run --steps``; its name, if empty.
    cost
        Projected CPU seconds for one partition of a full market.
    memory
        Projected peak bytes of one job on a full market.
    chunk
        How many consecutive sessions may be built from one read; never changes a value.
    fuse
        Families and sources of one session that share this word run as one job where they can.
    enabled
        Parameters -> whether there is such a table at all. One that is off is in no plan.
    stands
        Whether a partition stands when what it was made of is gone: later sessions look back on it.
    """

    name: str
    version: int
    params: type[Params]
    table: Callable[[Any], Table]
    requires: Callable[[Any], tuple[Read, ...]]
    compute: Callable[[Inputs, Any], Result]
    step: str = ""
    cost: float = 0.05
    memory: int = 256 << 20
    chunk: int = 1
    fuse: str = ""
    enabled: Callable[[Any], bool] = always
    stands: bool = False
