"""When rows are known and decided, by what tables declare."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest

from raypipe.calendar import NS_PER_MINUTE, at_exchange_time, calendar
from raypipe.errors import DeveloperError
from raypipe.pipeline.stages import stages
from raypipe.schema.known import decided_by, decided_ns, has_labels, is_held, known_by, known_ns
from raypipe.schema.spec import Column, Known, Table
from raypipe.schema.tables import AVAILABLE_NS, DAY_AGGS, MINUTE_AGGS, SESSION, SPLITS, SYMBOL, SYMBOL_TYPES

DAY = dt.date(2025, 11, 28)
X = Column("x", "f64", "A value.")


def times(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, "i64", "A time.", "ns", role="time") for name in names)


def test_bars_are_known_when_they_end():
    rows = pa.table({"window_start_ns": [0, 7]})
    assert known_ns(MINUTE_AGGS, rows).tolist() == [NS_PER_MINUTE, 7 + NS_PER_MINUTE]


@pytest.mark.parametrize(
    ("table", "moment"),
    [
        (DAY_AGGS, calendar().session(DAY).ext_end_ns),
        (SYMBOL_TYPES, at_exchange_time(DAY, dt.time(0))),
        (SPLITS, at_exchange_time(DAY, dt.time(0))),
    ],
)
def test_dates_become_moments_of_the_exchange(table, moment):
    rows = pa.table({known_by(table).column: pa.array([DAY, DAY], pa.date32())})
    assert known_ns(table, rows).tolist() == [moment] * 2
    assert known_ns(table, rows.slice(0, 0)).tolist() == []


@pytest.mark.parametrize(
    ("columns", "known", "decided"),
    [
        ((AVAILABLE_NS,), "available_ns", "available_ns"),
        (times("decision_ns"), "decision_ns", "decision_ns"),
        (times("decision_ns", "label_known_ns"), "label_known_ns", "decision_ns"),
        (times("label_known_ns"), "label_known_ns", "session"),
        ((), "session", "session"),
    ],
)
def test_columns_that_tables_have_for_it(columns, known, decided):
    table = Table("gold/x", ("symbol",), "session", (SESSION, SYMBOL, X, *columns), "A table.")
    assert (known_by(table).column, decided_by(table).column) == (known, decided)


def test_rows_of_a_declared_table_are_decided_by_their_own_column():
    assert decided_by(SYMBOL_TYPES).column == "available_ns"
    assert decided_by(MINUTE_AGGS) == MINUTE_AGGS.known
    rows = pa.table({"available_ns": [5]})
    assert decided_ns(SYMBOL_TYPES, rows).tolist() == [5]


def test_a_row_without_a_time_is_never_known():
    table = Table("gold/x", ("symbol",), "session", (SESSION, SYMBOL, *times("label_known_ns")), "A table.")
    assert known_ns(table, pa.table({"label_known_ns": pa.array([None, 3], pa.int64())})).tolist() == [2**63 - 1, 3]


def test_a_table_that_does_not_say_is_refused():
    with pytest.raises(DeveloperError, match="does not say when its rows are known"):
        known_by(Table("bronze/x", ("symbol",), "once", (SYMBOL, X), "A table."))


def test_declaring_when_rows_are_known_changes_no_fingerprint():
    table = Table("silver/x", ("symbol",), "session", (SESSION, SYMBOL, X, AVAILABLE_NS), "A table.")
    later = Table("silver/x", table.key, "session", table.columns, "A table.", known=Known("available_ns", plus_ns=1))
    assert table.digest == later.digest


def test_every_table_of_the_pipeline_says_it():
    for stage in stages():
        spec = stage.table(stage.params())
        for known in (known_by(spec), decided_by(spec)):
            assert known.column in spec
            assert (known.when == "time") == (spec[known.column].dtype == "i64")
        assert not has_labels(spec) or "label_known_ns" in spec or spec.known is not None


def test_facts_of_whole_sessions_are_held():
    held = {table.name for stage in stages() if is_held(table := stage.table(stage.params()))}
    assert held == {"silver/es_session"}
