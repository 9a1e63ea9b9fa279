"""The [session, symbol] grid: rows are calendar sessions, columns are symbols in bytewise order."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from raypipe.calendar import FIRST, calendar
from raypipe.errors import BlockedError
from raypipe.features.panel import Panel, days_of, known_splits, stack
from raypipe.schema.tables import DAY_AGGS, SPLITS
from tests.features.bars import splits_table

DATES = calendar().dates(dt.date(2025, 1, 6), dt.date(2025, 1, 14))  # six sessions: closed on the 9th
NAN = float("nan")


def table(**closes: float) -> pa.Table:
    symbols = pa.array(list(closes), pa.string()).dictionary_encode()
    return pa.table({"symbol": symbols, "close": pa.array(list(closes.values()), pa.float64())})


def panel(partitions, targets, before) -> Panel:
    return Panel("t", partitions, [calendar().session(date) for date in targets], before)


def test_a_row_is_a_calendar_session_whether_it_is_held_or_not():
    made = panel({DATES[0]: table(A=1.0), DATES[5]: table(B=6.0, a=7.0)}, DATES[4:], 4)
    assert made.days.tolist() == [days_of(date) for date in DATES]
    assert made.names.to_pylist() == ["A", "B", "a"]
    expected = np.full((6, 3), NAN)
    expected[0, 0], expected[5, 1:] = 1.0, (6.0, 7.0)
    np.testing.assert_array_equal(made.grid("close"), expected)
    assert (made.row(DATES[5]), made.has(DATES[5]), made.has(DATES[4])) == (5, True, False)


def test_targets_far_apart_share_one_grid():
    made = panel({DATES[0]: table(A=1.0), DATES[5]: table(A=6.0)}, [DATES[1], DATES[5]], 1)
    assert made.shape == (6, 1)


def test_sessions_outside_the_window_are_not_taken():
    made = panel({DATES[0]: table(X=1.0), DATES[2]: table(A=1.0)}, [DATES[2]], 1)
    assert made.names.to_pylist() == ["A"]


def test_warm_up_tables_may_lack_a_column():
    partitions = {DATES[0]: table(A=1.0).select(["symbol"]), DATES[1]: table(A=2.0)}
    made = panel(partitions, [DATES[1]], 1)
    assert made.grid("close", targets_only=True).ravel().tolist() == pytest.approx([NAN, 2.0], nan_ok=True)
    with pytest.raises(KeyError):
        made.grid("close")


def test_before_the_calendar_begins_there_are_rows_without_a_session():
    first = dt.date.fromisoformat(FIRST)
    made = panel({first: table(A=1.0)}, [first], 3)
    assert made.days.tolist() == [-3, -2, -1, days_of(first)]
    assert made.row(first) == 3


def test_the_own_rows_of_a_target():
    made = panel({DATES[0]: table(B=1.0, C=2.0), DATES[1]: table(A=3.0, C=4.0)}, DATES[:2], 0)
    rows, codes = made.own(DATES[1])
    assert rows["close"].to_pylist() == [3.0, 4.0]
    assert codes.tolist() == [0, 2]
    assert made.symbols(codes).to_pylist() == ["A", "C"]
    with pytest.raises(BlockedError, match="table t, partition 2025-01-08"):
        made.own(DATES[2])


def test_split_ratios_stand_on_their_ex_session():
    made = panel({DATES[0]: table(A=1.0, B=1.0)}, DATES[:3], 0)
    given = {("A", DATES[1]): 4.0, ("B", DATES[2]): 0.5, ("GONE", DATES[1]): 9.0, ("A", DATES[5]): 9.0}
    expected = [[1.0, 1.0], [4.0, 1.0], [1.0, 0.5]]
    assert made.split_ratios(splits_table(given)).tolist() == expected
    assert made.split_ratios(None).tolist() == np.ones((3, 2)).tolist()
    assert made.split_ratios(SPLITS.empty()).tolist() == np.ones((3, 2)).tolist()


def test_without_partitions_the_grid_has_no_symbols():
    made = panel({}, DATES, 2)
    assert made.shape == (8, 0)
    assert made.grid("close").shape == (8, 0)
    assert made.split_ratios(splits_table({("A", DATES[0]): 2.0})).shape == (8, 0)


def test_a_window_knows_the_splits_inside_it():
    given = {("A", date): 2.0 for date in DATES}
    kept = known_splits(splits_table(given), DATES[1], DATES[3])
    assert kept["ex_session"].to_pylist() == DATES[1:4]


def test_a_stack_of_nothing_has_the_schema():
    assert stack(DAY_AGGS, []).schema == DAY_AGGS.arrow
