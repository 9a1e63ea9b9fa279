"""The family suite itself: an honest family passes every check, and each planted cheat is caught."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from raypipe.errors import SchemaError
from raypipe.schema.family import Family, Inputs, Params, Read, Result
from raypipe.schema.spec import Column, Table
from raypipe.schema.tables import AVAILABLE_NS, DAY_AGGS, MINUTE_AGGS, REFERENCE, SESSION, SPLITS, SYMBOL, TABLES
from tests.contracts import family as suite
from tests.contracts.family import CHECKS, OLDER, TARGETS, Case
from tests.contracts.market import Market
from tests.contracts.sources import MINUTE_NS, SOURCES

BACK = 3
VALUE = Column("value", "f64", "Whatever the family under test says.", unit="1", null="there is no earlier close")
TABLE = Table("silver/toy", ("symbol",), "session", (SESSION, SYMBOL, VALUE, AVAILABLE_NS), "A toy.")

#: (date, earlier closes per symbol by date, everything that was read) -> value per symbol.
Closes = Mapping[dt.date, Mapping[str, float]]
Rule = Callable[[dt.date, Closes, Inputs], Mapping[str, float]]


def rows_of(date: dt.date, end_ns: int, values: Mapping[str, float], *, store_nan: bool = False) -> pa.Table:
    names = list(values)
    numbers = [float(values[name]) for name in names]
    return TABLE.build(
        {
            "session": pa.array([date] * len(names), pa.date32()),
            "symbol": pa.array(names, pa.string()).dictionary_encode(),
            "value": pa.array([v if store_nan or not math.isnan(v) else None for v in numbers], pa.float64()),
            "available_ns": pa.array([end_ns] * len(names), pa.int64()),
        }
    )


def toy(rule: Rule, *extra: Read, table: Table = TABLE, store_nan: bool = False) -> Family:
    """A family of one value per symbol that looks back over `BACK` sessions."""

    def compute(inputs: Inputs, _: Params) -> Result:
        read = inputs.partitions(DAY_AGGS.name)
        closes = {d: dict(zip(t["symbol"].to_pylist(), t["close"].to_pylist(), strict=True)) for d, t in read.items()}
        parts = [
            rows_of(target.date, target.ext_end_ns, rule(target.date, closes, inputs), store_nan=store_nan)
            for target in inputs.targets
        ]
        return Result(pa.table(pa.concat_tables(parts).columns, schema=table.arrow))

    reads = (Read(DAY_AGGS.name, ("symbol", "close"), before=BACK), *extra)
    return Family("toy", 1, Params, lambda _: table, lambda _: reads, compute)


def past(date: dt.date, closes: Closes) -> list[dt.date]:
    return [day for day in closes if day < date]


def window(date: dt.date, closes: Closes, inputs: Inputs) -> list[dt.date]:
    """The sessions among the last `BACK` calendar sessions that were read."""
    from raypipe.calendar import calendar

    return [day for day in past(date, closes) if day >= calendar().offset(date, -BACK)]


def honest(date, closes, inputs):
    days = window(date, closes, inputs)
    values = {name: [closes[day][name] for day in days if name in closes[day]] for name in closes[date]}
    return {name: float(np.mean(seen)) if seen else math.nan for name, seen in values.items()}


# --- cheats ------------------------------------------------------------------------------------


def uses_the_whole_sample(date, closes, inputs):
    return {name: float(np.mean([day[name] for day in closes.values() if name in day])) for name in closes[date]}


def looks_at_the_next_session(date, closes, inputs):
    later = [day for day in closes if day > date][:1]
    return {name: closes[later[0]].get(name, 0.0) if later else 0.0 for name in closes[date]}


def looks_back_as_far_as_it_was_given(date, closes, inputs):
    days = past(date, closes)
    return {name: float(sum(closes[day].get(name, 0.0) for day in days)) for name in closes[date]}


def counts_rows_instead_of_sessions(date, closes, inputs):
    """The last two rows of the symbol, however old: older ones come in when a chunk happens to hold them."""
    return {
        name: float(sum([closes[day][name] for day in past(date, closes) if name in closes[day]][-2:]))
        for name in closes[date]
    }


def sums_as_it_goes(date, closes, inputs):
    """A running sum that adds what enters and subtracts what leaves: right but for the last bits."""
    days = sorted(closes)
    total: dict[str, float] = {}
    for i, day in enumerate(d for d in days if d <= date):
        for name, close in closes[day].items():
            total[name] = total.get(name, 0.0) + close / 3
        if i >= BACK:
            for name, close in closes[days[i - BACK]].items():
                total[name] -= close / 3
    return {name: total[name] for name in closes[date]}


def ranks_in_the_dictionary(date, closes, inputs):
    symbols = inputs.partitions(DAY_AGGS.name)[date]["symbol"].unify_dictionaries().chunk(0)
    return dict(zip(symbols.to_pylist(), symbols.indices.to_pylist(), strict=True))


def guesses(date, closes, inputs):
    return {name: float(np.random.default_rng().random()) for name in closes[date]}


_calls = itertools.count()


def remembers_earlier_calls(date, closes, inputs):
    count = next(_calls)
    return {name: float(count) for name in closes[date]}


def adjusts_by_later_splits(date, closes, inputs):
    splits = inputs.once(SPLITS.name).to_pylist()
    return {name: math.prod(s["split_ratio"] for s in splits if s["symbol"] == name) for name in closes[date]}


def believes_the_newest_list(date, closes, inputs):
    newest = {row["symbol"]: row["type"] for row in inputs.once(REFERENCE.name).to_pylist()}
    return {name: float(newest.get(name) == "CS") for name in closes[date]}


def reads_what_it_did_not_ask_for(date, closes, inputs):
    volumes = inputs.partitions(DAY_AGGS.name)[date]["volume"].to_pylist()
    return dict(zip(closes[date], volumes, strict=True))


def forgets_that_a_table_is_optional(date, closes, inputs):
    return {name: float(inputs.once(SPLITS.name).num_rows > 0) for name in closes[date]}


def out_of_order(date, closes, inputs):
    return dict(sorted(honest(date, closes, inputs).items(), reverse=True))


def leaves_none(date, closes, inputs):
    return dict.fromkeys(closes[date], math.nan)


def later_reads() -> Family:
    family = toy(honest)
    return replace(family, requires=lambda _: (Read(DAY_AGGS.name, ("symbol", "close"), before=BACK, after=1),))


STRICT = replace(TABLE, columns=(SESSION, SYMBOL, replace(VALUE, null=""), AVAILABLE_NS))
LOOSE_SPLITS = Read(SPLITS.name)
LOOSE_REFERENCE = Read(REFERENCE.name)

CHEATS: list[tuple[Family, str]] = [
    (toy(uses_the_whole_sample), "check_prefix"),
    (toy(uses_the_whole_sample), "check_future"),
    (toy(uses_the_whole_sample), "check_warm_up"),
    (toy(uses_the_whole_sample), "check_chunks"),
    (toy(looks_at_the_next_session), "check_prefix"),
    (toy(looks_at_the_next_session), "check_future"),
    (toy(looks_at_the_next_session), "check_warm_up"),
    (toy(looks_back_as_far_as_it_was_given), "check_warm_up"),
    (toy(looks_back_as_far_as_it_was_given), "check_chunks"),
    (toy(counts_rows_instead_of_sessions), "check_warm_up"),
    (toy(counts_rows_instead_of_sessions), "check_chunks"),
    (toy(sums_as_it_goes), "check_warm_up"),
    (toy(sums_as_it_goes), "check_chunks"),
    (toy(ranks_in_the_dictionary), "check_encoding"),
    (toy(guesses), "check_determinism"),
    (toy(remembers_earlier_calls), "check_determinism"),
    (toy(adjusts_by_later_splits, LOOSE_SPLITS), "check_prefix"),
    (toy(adjusts_by_later_splits, LOOSE_SPLITS), "check_future"),
    (toy(believes_the_newest_list, LOOSE_REFERENCE), "check_prefix"),
    (toy(believes_the_newest_list, LOOSE_REFERENCE), "check_future"),
    (toy(out_of_order), "check_schema"),
    (toy(honest, store_nan=True), "check_schema"),
    (toy(honest, table=STRICT), "check_schema"),
    (toy(leaves_none), "check_enough"),
    (later_reads(), "check_declaration"),
]


def judge(family: Family, check: str) -> None:
    getattr(suite, check)(Case(family, family.params()))


@pytest.mark.parametrize(("family", "check"), CHEATS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_cheat_is_caught(family, check):
    with pytest.raises((AssertionError, SchemaError)):
        judge(family, check)


@pytest.mark.parametrize(
    ("family", "check", "error"),
    [
        (toy(reads_what_it_did_not_ask_for), "check_schema", KeyError),
        (
            toy(forgets_that_a_table_is_optional, replace(LOOSE_SPLITS, optional=True)),
            "check_optional_inputs",
            AttributeError,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_family_that_reads_more_than_it_requires_falls_over(family, check, error):
    with pytest.raises(error):
        judge(family, check)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_an_honest_family_passes(check):
    check(Case(toy(honest), Params()))


# --- rows inside a session ---------------------------------------------------------------------

DECISION = Column("decision_ns", "i64", "When the row is decided.", unit="ns", role="time")
EVENTS = Table("gold/toy", ("symbol", "decision_ns"), "session", (SESSION, SYMBOL, DECISION, VALUE), "Toy events.")


def event_family(*, whole_day: bool) -> Family:
    """Per bar the highest close so far; the cheat takes that of the whole session."""

    def compute(inputs: Inputs, _: Params) -> Result:
        parts = []
        for target in inputs.targets:
            bars = inputs.partitions(MINUTE_AGGS.name)[target.date].to_pandas(types_mapper=None)
            groups = bars.groupby("symbol", observed=True)["close"]
            value = groups.transform("max") if whole_day else groups.cummax()
            parts.append(
                EVENTS.build(
                    {
                        "session": pa.array([target.date] * len(bars), pa.date32()),
                        "symbol": pa.array(bars["symbol"].astype(str), pa.string()).dictionary_encode(),
                        "decision_ns": pa.array(bars["window_start_ns"] + MINUTE_NS, pa.int64()),
                        "value": pa.array(value.astype(float), pa.float64()),
                    }
                )
            )
        return Result(pa.concat_tables(parts))

    reads = (Read(MINUTE_AGGS.name, ("symbol", "window_start_ns", "close")),)
    columns = replace(EVENTS, columns=(SESSION, SYMBOL, DECISION, replace(VALUE, null="never, as it happens")))
    return Family("toy_events", 1, Params, lambda _: columns, lambda _: reads, compute)


@pytest.mark.parametrize("check", [suite.check_prefix, suite.check_future], ids=lambda check: check.__name__)
def test_looking_ahead_inside_a_session_is_caught(check):
    check(Case(event_family(whole_day=False), Params()))
    with pytest.raises(AssertionError):
        check(Case(event_family(whole_day=True), Params()))


# --- the market --------------------------------------------------------------------------------


def test_generated_tables_satisfy_their_schemas():
    case = Case(toy(honest), Params())
    assert len(case.sessions) == TARGETS + BACK + OLDER
    for name, source in SOURCES.items():
        for date, table in Market(case.sessions, 3).table(name).items():
            suite.check_table(source.table, table, partition=str(date))


def test_every_vendor_table_has_a_generator():
    declared = {table.name for table in TABLES if table.name.startswith("bronze/")}
    assert declared <= set(SOURCES)


def test_a_table_that_nothing_provides_is_named():
    with pytest.raises(LookupError, match="silver/nowhere"):
        Market([], 0).table("silver/nowhere")
