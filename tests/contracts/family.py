"""What every family must hold, whatever it computes: checks that take any family and raise if it cheats.

A row may use only what was known at its own time, and only what the family says it requires; building
many partitions at once, in any order, from tables in any encoding, gives the same bits.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.calendar import Session, calendar
from raypipe.schema.family import Family, Inputs, Params, Result
from raypipe.schema.frames import check_table, split_by_symbol, split_table
from raypipe.schema.known import known_by as when_known
from raypipe.schema.known import known_ns
from raypipe.schema.spec import Table
from tests.contracts.market import Market, buildable, cut, read, units, with_future
from tests.contracts.sources import SYMBOLS, Partitions

#: A Wednesday: the last week is not over. Before it: New Year inside an ISO week, a day of mourning.
LAST_SESSION = dt.date(2025, 2, 5)
TARGETS = 26
#: Sessions that lie before the first target's warm-up window and must not matter.
OLDER = 6
#: Sessions before the targets' for families that read a symbol's whole past.
WHOLE_LEAD = 300


@dataclass(frozen=True)
class Case:
    """A family with its parameters on a market: long enough for its warm-up, with targets at the end.

    Attributes
    ----------
    family, params
        What is judged.
    seed
        Of the market.
    lead
        Sessions before the first target; None takes the family's warm-up and some more.
    count
        Sessions built.
    unfilled
        Columns that so short a market cannot fill.
    """

    family: Family
    params: Params
    seed: int = 0
    lead: int | None = None
    count: int = TARGETS
    unfilled: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.family.name

    @property
    def spec(self) -> Table:
        return self.family.table(self.params)

    @property
    def before(self) -> int:
        """The longest look back, in sessions."""
        return max((item.before for item in self.family.requires(self.params)), default=0)

    @cached_property
    def sessions(self) -> list[Session]:
        usual = WHOLE_LEAD if self.spec.grain in ("symbol", "once") else self.before + OLDER
        lead = usual if self.lead is None else self.lead
        first = calendar().offset(LAST_SESSION, -(self.count + lead - 1))
        return calendar().between(first, LAST_SESSION)

    @cached_property
    def market(self) -> Market:
        return Market(self.sessions, self.seed)

    @cached_property
    def noise(self) -> Market:
        return Market(self.sessions, self.seed + 1000)

    @cached_property
    def targets(self) -> list[Session]:
        """The last sessions of the market; for weeks, those of whole weeks but for the last."""
        if self.spec.grain in ("symbol", "once"):
            return buildable(self.market, self.family, self.params, SYMBOLS)
        last = self.sessions[-self.count :]
        if self.spec.grain == "week":
            return [session for session in last if session.monday > last[0].monday]
        return buildable(self.market, self.family, self.params, last)

    @cached_property
    def given(self) -> tuple[Inputs, Inputs]:
        """What all targets are built from at once, and a copy of its memory from before anything was built."""
        inputs = read(self.market, self.family, self.params, self.targets)
        return inputs, with_tables(inputs, _copied)

    @cached_property
    def result(self) -> Result:
        """All targets built at once."""
        return self.family.compute(self.given[0], self.params)

    def compute(self, market: Market, targets: Sequence[Session]) -> Result:
        return self.family.compute(read(market, self.family, self.params, targets), self.params)

    def partitions(self, table: pa.Table) -> dict[dt.date, pa.Table]:
        """A result cut into its partitions."""
        if self.spec.grain == "once":
            return {None: table}
        dates = sorted(units(self.spec, self.targets))
        if self.spec.grain == "symbol":
            return dict(zip(dates, split_by_symbol(table, dates), strict=True))
        return dict(zip(dates, split_table(table, self.spec.split_column, dates), strict=True))

    def moments(self) -> list[int]:
        """When to cut: ends of partitions, and for tables with rows inside sessions also moments inside."""
        if self.spec.grain in ("symbol", "once"):
            return [self.sessions[int(len(self.sessions) * share)].close_ns for share in (0.3, 0.8, 0.97)]
        owns = list(units(self.spec, self.targets).values())[:-1]
        chosen = [owns[i] for i in sorted({0, len(owns) // 3, len(owns) // 2, len(owns) - 1})]
        ends = [own[-1].ext_end_ns for own in chosen]
        names = self.spec.key or (when_known(self.spec).column,)
        if not any(name.endswith("_ns") for name in names):
            return ends
        return sorted([*ends, *(own[-1].open_ns + 97 * 60 * 10**9 for own in chosen)])


# --- equal to the last bit ---------------------------------------------------------------------


def bits(column: pa.ChunkedArray) -> tuple[list[bool], object]:
    """Nulls and values such that equal means equal to the last bit (-0.0 is not 0.0)."""
    array = column.combine_chunks()
    array = pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    nulls = array.is_null().to_pylist()
    if pa.types.is_floating(array.type):
        return nulls, array.fill_null(0.0).to_numpy(zero_copy_only=False).tobytes()
    return nulls, array.to_pylist()


def assert_same(got: pa.Table, expected: pa.Table, what: str) -> None:
    """Refuse tables that differ in any bit, naming the column."""
    assert got.num_rows == expected.num_rows, f"{what}: {got.num_rows} rows, expected {expected.num_rows}"
    for name in expected.column_names:
        assert bits(got[name]) == bits(expected[name]), f"{what}: {name} differs"


def known_by(case: Case, table: pa.Table, at_ns: int) -> pa.Table:
    """Rows of a result that were known at a moment, without what later corporate actions restate."""
    table = table.drop_columns([column.name for column in case.spec.columns if column.role == "vintage"])
    return table.filter(pa.array(known_ns(case.spec, table) <= at_ns))


# --- the checks --------------------------------------------------------------------------------


def check_declaration(case: Case) -> None:
    """Every column has a sentence, the name says the unit, the table knows when its rows exist."""
    spec = case.spec
    for column in spec.columns:
        assert column.doc.endswith("."), f"{column.name}: its doc is not a sentence"
        assert column.role != "time" or column.unit == "ns", f"{column.name} is a time that is not in ns"
        assert not column.name.endswith("_ns") or column.unit == "ns", f"{column.name} is not in ns"
    assert spec.known is not None or spec[when_known(spec).column].role == "time"
    looks_ahead = any(item.after for item in case.family.requires(case.params))
    labels = any(column.role == "label" for column in spec.columns)
    assert labels or not looks_ahead, "only tables of labels may read later sessions"
    assert case.family.params() == case.family.params(), "parameters are not plain values"


def check_schema(case: Case) -> None:
    """Declared types, keys unique and in order, nulls only where a rule is declared, no NaN or infinity."""
    parts = case.partitions(case.result.table)
    assert sum(part.num_rows for part in parts.values()) == case.result.table.num_rows, "rows of no target"
    for date, part in parts.items():
        check_table(case.spec, part, partition=str(date))


def check_enough(case: Case) -> None:
    """Most partitions have rows, and no column is null throughout: the other checks see something."""
    parts = case.partitions(case.result.table)
    filled = sum(part.num_rows > 0 for part in parts.values())
    assert filled >= len(parts) * 0.8, f"only {filled} of {len(parts)} partitions have rows"
    empty = [name for name in case.spec.names if case.result.table[name].null_count == case.result.table.num_rows]
    assert set(empty) <= case.unfilled, f"always null: {sorted(set(empty) - case.unfilled)}"


def check_prefix(case: Case) -> None:
    """Built from what was known at t, the rows known at t are those of the whole."""
    compared = [_rows_unmoved(case, cut(case.market, t), t, "after cutting the future off") for t in case.moments()]
    assert np.median(compared), "nothing to compare: hardly any row is known by then"


def check_future(case: Case) -> None:
    """With everything after t replaced by noise, nothing known at t moves."""
    noisy = ((with_future(case.market, case.noise, at_ns), at_ns) for at_ns in case.moments())
    compared = [_rows_unmoved(case, other, at_ns, "with noise for a future") for other, at_ns in noisy]
    assert np.median(compared), "nothing to compare: hardly any row is known by then"


def _rows_unmoved(case: Case, other: Market, at_ns: int, what: str) -> int:
    """Refuse a market in which a row known by a moment is another one; how many rows that were."""
    expected = known_by(case, case.result.table, at_ns)
    targets = buildable(other, case.family, case.params, case.targets)
    got = case.compute(other, targets).table if targets else case.spec.empty()
    assert_same(known_by(case, got, at_ns), expected, what)
    return expected.num_rows


def check_warm_up(case: Case) -> None:
    """A partition alone, from the reads that are declared for it, is the same as inside a month."""
    parts = case.partitions(case.result.table)
    for date, own in units(case.spec, case.targets).items():
        alone = case.compute(case.market, own).table
        assert_same(alone, parts[date], f"{date} alone")


def check_older_does_not_matter(case: Case) -> None:
    """Sessions older than the warm-up may be anything; a symbol's table has all of its past."""
    if case.spec.grain in ("symbol", "once"):
        return
    other = WithNoisePast(case.sessions, whole=case.market, noise=case.noise, until=case.sessions[OLDER - 1].date)
    assert_same(case.compute(other, case.targets).table, case.result.table, "with other data before the warm-up")


def check_chunks(case: Case) -> None:
    """However the partitions are grouped, neighbours or not, they are the same."""
    parts = case.partitions(case.result.table)
    owns = units(case.spec, case.targets)
    dates = list(owns)
    if case.spec.grain == "once":
        return
    for chunk in (dates[:3], dates[3:], dates[::3], dates[1::2], [dates[0], dates[-1]]):
        got = case.compute(case.market, [session for date in chunk for session in owns[date]]).table
        assert_same(got, pa.concat_tables([parts[date] for date in chunk]), f"built as {len(chunk)} at once")


def check_determinism(case: Case) -> None:
    """Twice the same, and the inputs are left as they were."""
    first, (inputs, before) = case.result, case.given
    again = case.family.compute(inputs, case.params)
    assert_same(again.table, first.table, "a second time")
    assert again.findings == first.findings
    for name, tables in (before.tables | before.by_symbol).items():
        for date, table in tables.items():
            assert_same((inputs.tables | inputs.by_symbol)[name][date], table, f"input {name} {date}")


def _copied(table: pa.Table) -> pa.Table:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return pa.ipc.open_stream(sink.getvalue()).read_all()


def check_encoding(case: Case) -> None:
    """Dictionaries in another order, with unused words, in several chunks: nothing changes."""
    rng = np.random.default_rng(case.seed)
    inputs = read(case.market, case.family, case.params, case.targets)
    other = with_tables(inputs, lambda table: _recoded(rng, table))
    assert_same(case.family.compute(other, case.params).table, case.result.table, "with inputs encoded differently")


def with_tables(inputs: Inputs, change: Callable[[pa.Table], pa.Table]) -> Inputs:
    """The same inputs, every table changed."""
    tables = {name: {date: change(table) for date, table in parts.items()} for name, parts in inputs.tables.items()}
    by_symbol = {name: {key: change(one) for key, one in parts.items()} for name, parts in inputs.by_symbol.items()}
    return replace(inputs, tables=tables, by_symbol=by_symbol)


def _recoded(rng: np.random.Generator, table: pa.Table) -> pa.Table:
    columns = []
    for column in table.columns:
        if pa.types.is_dictionary(column.type):
            words = [*pc.unique(column.cast(pa.string())).drop_null().to_pylist(), "never used"]
            words = pa.array([words[i] for i in rng.permutation(len(words))])
            indices = pc.index_in(column.cast(pa.string()), value_set=words).combine_chunks()
            column = pa.chunked_array([pa.DictionaryArray.from_arrays(indices, words)])
        columns.append(column)
    whole = pa.table(columns, schema=table.schema)
    middle = table.num_rows // 2
    return pa.concat_tables([whole.slice(0, middle), whole.slice(middle)])


@dataclass
class WithNoisePast(Market):
    """A market with noise for its first sessions; once-tables are its own: `Read.rows` says what of them counts."""

    whole: Market | None = None
    noise: Market | None = None
    until: dt.date = dt.date.min

    def _make(self, name: str) -> Partitions:
        assert self.whole is not None
        assert self.noise is not None
        own, noise = self.whole.table(name), self.noise.table(name)
        return {date: noise.get(date, table) if date and date <= self.until else table for date, table in own.items()}


@dataclass
class Without(Market):
    """A market that lacks some tables."""

    whole: Market | None = None
    lacks: frozenset[str] = field(default_factory=frozenset)

    def _make(self, name: str) -> Partitions:
        assert self.whole is not None
        return {} if name in self.lacks else self.whole.table(name)


def check_optional_inputs(case: Case) -> None:
    """Without its optional tables, one by one, it still provides a sound table."""
    optional = [item.table for item in case.family.requires(case.params) if item.optional]
    for name in optional:
        market = Without(case.sessions, whole=case.market, lacks=frozenset({name}))
        targets = buildable(market, case.family, case.params, case.targets)
        table = case.compute(market, targets).table
        for date, part in case.partitions(table).items():
            check_table(case.spec, part, partition=str(date))


def check_no_rows(case: Case) -> None:
    """Inputs without rows give a table without rows, of the declared schema."""
    inputs = read(case.market, case.family, case.params, case.targets)
    table = case.family.compute(with_tables(inputs, lambda table: table.slice(0, 0)), case.params).table
    assert table.num_rows == 0
    case.spec.check_schema(table.schema)


CHECKS = (
    check_declaration,
    check_schema,
    check_enough,
    check_prefix,
    check_future,
    check_warm_up,
    check_older_does_not_matter,
    check_chunks,
    check_determinism,
    check_encoding,
    check_optional_inputs,
    check_no_rows,
)
