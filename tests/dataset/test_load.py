"""Tables as arrays, and what is refused on the way."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from raypipe.calendar import calendar
from raypipe.dataset.load import panel_of, target_of
from raypipe.errors import SchemaError, UsageError

DAYS = calendar().between(dt.date(2024, 1, 2), dt.date(2024, 1, 12))


def features(rows: int = 6, **columns: list) -> pa.Table:
    days = [DAYS[i // 2] for i in range(rows)]
    base = {
        "symbol": pa.array([("B", "A")[i % 2] for i in range(rows)]).dictionary_encode(),
        "session": pa.array([day.date for day in days], pa.date32()),
        "decision_ns": pa.array([day.close_ns for day in days], pa.int64()),
        "f": pa.array(np.arange(rows, dtype=np.float32)),
    }
    return pa.table({**base, **columns})


def targets(rows: int = 6, **columns: pa.Array) -> pa.Table:
    after = [DAYS[i // 2 + 1] for i in range(rows)]
    base = {
        "symbol": pa.array([("B", "A")[i % 2] for i in range(rows)]).dictionary_encode(),
        "session": pa.array([DAYS[i // 2].date for i in range(rows)], pa.date32()),
        "entry_ns": pa.array([day.open_ns for day in after]),
        "close_ns": pa.array([DAYS[i // 2].close_ns for i in range(rows)]),
        "direction_1d": pa.array([float(i % 3 == 0) for i in range(rows)], pa.float32()),
        "direction_1d_end_ns": pa.array([day.close_ns for day in after]),
    }
    return pa.table({**base, **columns})


def test_rows_are_sorted_by_symbol_session_and_decision():
    table = features().take(pa.array([3, 0, 5, 2, 1, 4]))
    panel = panel_of(table)
    assert panel.symbols == ("A", "B")
    assert panel.symbol_id.tolist() == [0, 0, 0, 1, 1, 1]
    assert panel.session_id.tolist() == [0, 1, 2, 0, 1, 2]
    assert panel.x[:, 0].tolist() == [1, 3, 5, 0, 2, 4]
    assert panel.features == ("f",)
    assert panel_of(table, symbols=("B", "A")).x[:, 0].tolist() == [0, 2, 4, 1, 3, 5]
    with pytest.raises(ValueError, match="read-only"):
        panel.x[0, 0] = 1


def test_nulls_are_nan_and_sessions_without_rows_are_pinned():
    table = features(f=pa.array([1, None, 3, 4, 5, 6], pa.float32())).take(pa.array([0, 1, 4, 5]))
    panel = panel_of(table)
    assert np.isnan(panel.x[:, 0]).tolist() == [True, False, False, False]
    assert panel.sessions.astype(str).tolist() == ["2024-01-02", "2024-01-03", "2024-01-04"]
    assert panel.session_id.tolist() == [0, 2, 0, 2]


def test_symbols_come_from_the_facts_of_the_table():
    table = features().replace_schema_metadata({"symbols": "C B A"})
    panel = panel_of(table)
    assert panel.symbols == ("C", "B", "A")
    assert panel.rows_of("C") == slice(0, 0)
    assert panel.symbol_id.tolist() == [1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan, 1e300])
def test_numbers_that_are_not_finite_are_refused(bad):
    table = features(f=pa.array([0.0, 1.0, 2.0, bad, 4.0, 5.0]))
    with pytest.raises(SchemaError, match=r"column f, row 3.*finite"):
        panel_of(table, features=["f"])


def test_other_tables_are_refused():
    with pytest.raises(SchemaError, match="column f, row 0: no row has a value"):
        panel_of(features(f=pa.nulls(6, pa.float32())))
    with pytest.raises(SchemaError, match="column f: a feature of type string"):
        panel_of(features(f=pa.array(list("abcdef"))), features=["f"])
    with pytest.raises(SchemaError, match="B has more than one row on 2024-01-02"):
        panel_of(pa.concat_tables([features(), features(1)]).unify_dictionaries())
    sunday = pa.array([dt.date(2024, 1, 7), *[day.date for day in DAYS[1:6]]], pa.date32())
    with pytest.raises(SchemaError, match="2024-01-07 is not a session"):
        panel_of(features(session=sunday))
    with pytest.raises(UsageError, match="no row of the symbols"):
        panel_of(features(), symbols=["ZZZ"])
    with pytest.raises(UsageError, match="no column of features"):
        panel_of(features(), features=[])


def test_a_target_stands_row_for_row():
    panel = panel_of(features())
    rows = targets().take(pa.array([5, 2, 0, 1]))
    target = target_of(panel, rows, "direction_1d")
    assert (target.kind, target.horizon) == ("class", 1)
    expected = {("A", 0): 0.0, ("A", 2): 0.0, ("B", 0): 1.0, ("B", 1): 0.0}
    for i, (symbol, session) in enumerate(zip(panel.symbol_id, panel.session_id, strict=True)):
        key = (panel.symbols[symbol], int(session))
        assert target.known[i] == (key in expected)
        if key in expected:
            assert target.y[i] == expected[key]
            assert target.start_ns[i] == DAYS[session + 1].open_ns
            assert target.end_ns[i] == DAYS[session + 1].close_ns
        else:
            assert target.end_ns[i] == 0


def test_a_label_may_not_begin_before_the_features_are_known():
    late = [day.ext_end_ns for i in range(3) for day in (DAYS[i], DAYS[i])]
    panel = panel_of(features(decision_ns=pa.array(late, pa.int64())))
    target_of(panel, targets(), "direction_1d")
    close = {
        "close_direction_1d": targets()["direction_1d"],
        "close_direction_1d_end_ns": targets()["direction_1d_end_ns"],
    }
    with pytest.raises(UsageError, match="close_direction_1d begins 14400 s before the features"):
        target_of(panel, targets(**close), "close_direction_1d")
    target_of(panel_of(features()), targets(**close), "close_direction_1d")


def test_other_targets_are_refused():
    panel = panel_of(features())
    with pytest.raises(UsageError, match=r"no target 'direction_9d' \(did you mean direction_5d"):
        target_of(panel, targets(), "direction_9d")
    with pytest.raises(SchemaError, match=r"symbol B, session 2024-01-02: .* more than one row"):
        target_of(panel, pa.concat_tables([targets(), targets(1)]).unify_dictionaries(), "direction_1d")
    same = targets()["entry_ns"]
    with pytest.raises(SchemaError, match="ends before it begins"):
        target_of(panel, targets(direction_1d_end_ns=same), "direction_1d")
