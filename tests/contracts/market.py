"""A small made-up market for the family suite: tables by name, cut or replaced from any moment on.

A generator per *vendor* table stands in `tests.contracts.sources`; the tables of families are made by running the
families. A new family needs nothing unless it reads a vendor table that is not there yet.
"""

from __future__ import annotations

import datetime as dt
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.calendar import Session, calendar
from raypipe.schema.discovery import families
from raypipe.schema.family import Family, Inputs, Params, Read
from raypipe.schema.known import has_labels, is_held, known_ns
from raypipe.schema.spec import Table
from raypipe.schema.tables import SYMBOL_TYPES
from tests.contracts.sources import SOURCES, SYMBOLS, Known, Partitions, midnight_of

PACKAGES = ("raypipe.features", "raypipe.events", "raypipe.labels", "raypipe.dataset")


@cache
def all_families() -> dict[str, Family]:
    """Every family of the library, by name."""
    found: dict[str, Family] = {}
    for package in PACKAGES:
        found |= families(package, found)
    return found


# --- markets -----------------------------------------------------------------------------------


@dataclass
class Market:
    """The tables of one made-up market, made when first asked for.

    Attributes
    ----------
    sessions
        The sessions it has.
    seed
        Two markets of different seeds share nothing but the names of symbols.
    """

    sessions: Sequence[Session]
    seed: int = 0
    _made: dict[str, Partitions] = field(default_factory=dict, repr=False)

    def table(self, name: str) -> Partitions:
        """The partitions of a table, by date in order; a once-table stands under None."""
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> Partitions:
        if name in SOURCES:
            rng = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
            return SOURCES[name].generate(rng, self.sessions)
        family, params = provider(name)
        if family.table(params).grain in ("symbol", "once"):
            made = family.compute(read(self, family, params, SYMBOLS), params).table
            return self._undated(family.table(params), made)
        if any(item.table == name for item in family.requires(params)):
            return self._continued(name, family, params)
        made = family.compute(read(self, family, params, self.sessions), params).table
        spec = family.table(params)
        return {date: made.filter(pc.equal(made[spec.split_column], date)) for date in _dates(spec, self.sessions)}

    def _undated(self, spec: Table, made: pa.Table) -> Partitions:
        """The partitions of a table of symbols, or of one file."""
        if spec.grain == "once":
            return {None: made}
        return {name: part for name in SYMBOLS if (part := _rows_of(made, name)).num_rows}

    def _continued(self, name: str, family: Family, params: Params) -> Partitions:
        """A table that goes on from its own last partition is made session by session."""
        made: dict[dt.date | None, pa.Table] = {}
        self._made[name] = made
        for session in self.sessions:
            made[session.date] = family.compute(read(self, family, params, [session]), params).table
        return made


@cache
def provider(name: str) -> tuple[Family, Params]:
    """The family that provides a table, with its default parameters."""
    for family in all_families().values():
        params = family.params()
        if family.table(params).name == name:
            return family, params
    msg = f"nothing provides {name}: register its generator with @source in tests/contracts/market.py"
    raise LookupError(msg)


@dataclass
class Spliced(Market):
    """One market up to a moment, and another after it: in every table, the rows of each that it is time for.

    Attributes
    ----------
    before, after
        The two markets; without ``after`` the first is cut.
    at_ns
        Rows known at that moment are taken from ``before``, all others from ``after``.
    """

    before: Market | None = None
    after: Market | None = None
    at_ns: int = 0

    def _make(self, name: str) -> Partitions:
        assert self.before is not None
        if name not in SOURCES and has_labels(_spec(name)[0]):
            # A label of the future would stand beside an event that it does not belong to: labels are made anew.
            return self._made_anew(name)
        early, late = self.before.table(name), self.after.table(name) if self.after else {}
        dates = sorted({*early, *late} - {None}) or [None]
        made = {date: self._splice(name, early.get(date), late.get(date)) for date in dates}
        return {date: table for date, table in made.items() if table.num_rows or self._held(date, early, late)}

    def _made_anew(self, name: str) -> Partitions:
        family, params = provider(name)
        if family.table(params).grain in ("symbol", "once"):
            symbols = buildable(self, family, params, SYMBOLS)
            return self._undated(
                family.table(params), family.compute(read(self, family, params, symbols), params).table
            )
        sessions = buildable(self, family, params, self.sessions)
        made = family.compute(read(self, family, params, sessions), params).table if sessions else None
        column = family.table(params).split_column
        return {one.date: made.filter(pc.equal(made[column], one.date)) for one in sessions}

    def _held(self, date: dt.date | None, early: Partitions, late: Partitions) -> bool:
        """Whether a partition without rows is there all the same."""
        if isinstance(date, str):
            return False
        over = date is None or calendar().session(date).ext_end_ns <= self.at_ns
        return date in (early if over else late)

    def _splice(self, name: str, early: pa.Table | None, late: pa.Table | None) -> pa.Table:
        spec, known_ns = _spec(name)
        mine = None if early is None else known_ns(early) <= self.at_ns
        other = None if late is None else known_ns(late) > self.at_ns
        if mine is not None and mine.all() and (other is None or not other.any()):
            return early
        if other is not None and other.all() and (mine is None or not mine.any()):
            return late
        parts = [spec.empty()]
        parts += [] if mine is None else [early.filter(pa.array(mine))]
        parts += [] if other is None else [late.filter(pa.array(other))]
        whole = pa.concat_tables(parts).unify_dictionaries()
        if not spec.key:
            return whole
        keys = [(column, "ascending") for column in spec.key]
        plain = whole.select(spec.key)
        for i, column in enumerate(spec.key):
            if pa.types.is_dictionary(plain[column].type):
                plain = plain.set_column(i, column, plain[column].cast(pa.string()).cast(pa.binary()))
        return whole.take(pc.sort_indices(plain, sort_keys=keys))


@cache
def _spec(name: str) -> tuple[Table, Known]:
    if name in SOURCES:
        return SOURCES[name].table, SOURCES[name].known_ns
    family, params = provider(name)
    spec = family.table(params)
    if name == SYMBOL_TYPES.name:
        # Who a symbol is, is no news of the session: tables with rows inside it may ask.
        return spec, midnight_of("session")
    if is_held(spec):
        return spec, midnight_of("session")
    return spec, lambda table: known_ns(spec, table)


def _rows_of(table: pa.Table, symbol: str) -> pa.Table:
    return table.filter(pc.equal(table["symbol"].cast(pa.string()), symbol))


def cut(market: Market, at_ns: int) -> Market:
    """The market as it was known at a moment."""
    return Spliced(market.sessions, before=market, at_ns=at_ns)


def with_future(market: Market, noise: Market, at_ns: int) -> Market:
    """The market up to a moment, and noise after it."""
    return Spliced(market.sessions, before=market, after=noise, at_ns=at_ns)


# --- reading -----------------------------------------------------------------------------------


def units(spec: Table, sessions: Sequence[Session]) -> dict[dt.date, list[Session]]:
    """The targets of each partition: of a date one session, or the calendar's of its week; of a symbol itself."""
    if spec.grain == "symbol":
        return {symbol: [symbol] for symbol in sessions}
    if spec.grain == "once":
        return {None: list(sessions)}
    if spec.grain != "week":
        return {session.date: [session] for session in sessions}
    mondays = dict.fromkeys(session.monday for session in sessions)
    return {monday: [calendar().session(date) for date in calendar().week(monday)] for monday in mondays}


def _dates(spec: Table, sessions: Sequence[Session]) -> list[dt.date]:
    return list(units(spec, sessions))


def window(read: Read, own: Sequence[Session]) -> list[dt.date]:
    """The calendar sessions that a read covers for one partition."""
    dates = calendar()
    first, last = own[0].date, own[-1].date
    before = dates.dates(dates.offset(first, -read.before), first)[:-1] if read.before else []
    after = dates.dates(last, dates.offset(last, read.after))[1:] if read.after else []
    return [*before, *([session.date for session in own] if read.own else []), *after]


def read(market: Market, family: Family, params: Params, targets: Sequence[Session]) -> Inputs:
    """What a plan would hand a family for those targets: no partition, column or row beyond what it requires.

    For a weekly family the targets are made up to whole weeks; those of a family of symbols are symbols.
    """
    if family.table(params).grain in ("symbol", "once"):
        return _read_undated(market, family, params, targets)
    owns = list(units(family.table(params), targets).values())
    wanted: dict[str, dict[dt.date | None, dict[str, None]]] = {}
    reads = family.requires(params)
    for item in reads:
        columns = wanted.setdefault(item.table, {})
        for date in {date for own in owns for date in ([None] if is_once(item.table) else window(item, own))}:
            if not (item.unless and date in market.table(item.unless)):
                columns.setdefault(date, {}).update(dict.fromkeys(item.columns or _spec(item.table)[0].names))
    tables: dict[str, dict[dt.date | None, pa.Table]] = {}
    for name, by_date in wanted.items():
        have = market.table(name)
        dates = [date for date in have if date in by_date]
        tables[name] = {date: have[date].select(list(by_date[date])) for date in dates}
    first, last = _span(reads, owns)
    for item in reads:
        if item.rows is not None and tables.get(item.table):
            tables[item.table] = {None: item.rows(market.table(item.table)[None], first, last)}
    everything = [session for own in owns for session in own]
    known = {d for t in tables.values() for d in t if d} | {session.date for session in everything}
    return Inputs(tuple(everything), tables, {date: calendar().session(date) for date in sorted(known)})


def _read_undated(market: Market, family: Family, params: Params, targets: Sequence[str]) -> Inputs:
    """Partitions of the symbols wanted, or of all for a table that is one file; and whole tables."""
    tables: dict[str, dict[dt.date | None, pa.Table]] = {}
    by_symbol: dict[str, dict[str, pa.Table]] = {}
    symbols = tuple(targets) if family.table(params).grain == "symbol" else ()
    for item in family.requires(params):
        have, columns = market.table(item.table), list(item.columns or _spec(item.table)[0].names)
        if is_once(item.table):
            tables |= {item.table: {None: have[None].select(columns)}} if None in have else {}
        else:
            wanted = [name for name in have if not symbols or name in symbols]
            parts = {name: have[name].select(columns) for name in wanted}
            (by_symbol if all(isinstance(name, str) for name in parts) else tables)[item.table] = parts
    return Inputs((), tables, symbols=symbols, by_symbol=by_symbol)


def _span(reads: Iterable[Read], owns: Sequence[Sequence[Session]]) -> tuple[dt.date, dt.date]:
    before = max((item.before for item in reads), default=0)
    return calendar().offset(owns[0][0].date, -before), owns[-1][-1].date


def is_once(name: str) -> bool:
    """Whether a table is one file."""
    return _spec(name)[0].grain == "once"


def buildable(market: Market, family: Family, params: Params, targets: Sequence[Session]) -> list[Session]:
    """Those targets whose required own (and later) partitions the market has."""
    spec = family.table(params)
    if spec.grain in ("symbol", "once"):
        need = [item.table for item in family.requires(params) if not item.optional]
        lacking = spec.grain == "once" and not all(market.table(name) for name in need)
        undated = [name for name in need if not is_once(name)] if spec.grain == "symbol" else []
        return [] if lacking else [name for name in targets if all(name in market.table(one) for one in undated)]
    kept = []
    for own in units(spec, targets).values():
        need = [item for item in family.requires(params) if not item.optional and not is_once(item.table)]
        missing = any(_lacks(market, item, own) for item in need)
        optional = [i for i in family.requires(params) if i.optional and i.own and not is_once(i.table)]
        nothing = not need and all(_lacks(market, item, own) for item in optional)
        kept += [] if missing or nothing else own
    return kept


def _lacks(market: Market, item: Read, own: Sequence[Session]) -> bool:
    have = market.table(item.table)
    late = window(Read(item.table, after=item.after, own=False), own)
    return (item.own and not any(session.date in have for session in own)) or any(date not in have for date in late)
