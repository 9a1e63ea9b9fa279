"""What is noted during a run: bounded however long it is, and what a look at all rows at once would say."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.lake.columns import ColumnNotes
from raypipe.pipeline.job import Outcome
from raypipe.pipeline.watch import MOST_POINTS, ColumnSums, MemoryTrace, Watch
from raypipe.schema.spec import Column, Table

TABLE = Table(
    "gold/made_up",
    ("symbol",),
    "session",
    (
        Column("symbol", "str", "Which.", role="key"),
        Column("x", "f64", "A feature.", null="when unknown"),
        Column("y", "f64", "Another.", null="when unknown"),
    ),
    "Made up.",
)


def outcome(rows: pa.Table, name: str = TABLE.name) -> Outcome:
    notes = ColumnNotes()
    notes.add(rows)
    return Outcome("made_up", name, "2025-01-02", "built", rows=rows.num_rows, columns=notes.found())


@pytest.mark.parametrize("jobs", [0, 1, 199, 200, 201, 1_000, 7_777])
def test_memory_over_time_is_bounded_and_keeps_its_peaks(jobs: int) -> None:
    trace = MemoryTrace()
    rng = np.random.default_rng(jobs)
    driver, worker = rng.integers(1, 10**9, jobs), rng.integers(1, 10**9, jobs)
    for i in range(jobs):
        one = Outcome("s", "t", "p", "built", rss_bytes=int(worker[i]), peak_rss_bytes=int(worker[: i + 1].max()))
        trace.note(float(i), i + 1, int(driver[i]), [one])
    points = np.array(trace.to_dict()["points"]).reshape(-1, 5)
    assert len(points) <= MOST_POINTS
    assert len(points) >= min(jobs, MOST_POINTS // 2)
    if jobs:
        assert points[:, 2].max() == driver.max()
        assert points[:, 3].max() == points[:, 4].max() == worker.max()
        assert points[-1, 0] == jobs - 1
        assert points[-1, 1] == jobs
        assert (np.diff(points[:, 0]) > 0).all()


FEW = st.sampled_from([None, 1.0, 2.0])
Rows = list[tuple[float | None, float | None]]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.tuples(FEW, st.sampled_from([None, 3.0])), max_size=4), max_size=4))
def test_sums_over_partitions_are_those_of_all_rows_together(
    parts: list[list[tuple[float | None, float | None]]],
) -> None:
    sums = ColumnSums({TABLE.name: TABLE})
    for part in parts:
        xs, ys = [x for x, _ in part], [y for _, y in part]
        columns = {"symbol": pa.array(["A", "B", "C", "D"][: len(part)], pa.string())}
        rows = TABLE.build(columns | {"x": pa.array(xs, pa.float64()), "y": pa.array(ys, pa.float64())})
        sums.add(outcome(rows))
    rows_in_all = [row for part in parts for row in part]
    found = sums.to_dict()
    if not rows_in_all:
        assert found == {}
        return
    told = found[TABLE.name]
    assert (told["rows"], told["partitions"]) == (len(rows_in_all), sum(map(bool, parts)))
    for i, name in enumerate(("x", "y")):
        values = [row[i] for row in rows_in_all]
        valid = [v for v in values if v is not None]
        column = told["columns"].get(name)
        if not valid:
            assert column["state"] == "null"
        elif len(set(valid)) == 1 and len(valid) > 1:
            state = "constant" if len(valid) == len(values) else "constant or null"
            assert (column["state"], column["value"]) == (state, str(valid[0]))
        elif len(valid) < len(values):
            assert column["state"] == "some null"
        else:
            assert column is None
        if column:
            assert column["nulls"] == len(values) - len(valid)
            assert (column["role"], column["rule"]) == ("feature", "when unknown")


def test_tables_that_are_not_declared_and_failures_are_passed_over() -> None:
    sums = ColumnSums({TABLE.name: TABLE})
    rows = TABLE.build({"symbol": pa.array(["A"]), "x": pa.array([1.0]), "y": pa.array([1.0])})
    sums.add(outcome(rows, "gold/other"))
    sums.add(Outcome("made_up", TABLE.name, "2025-01-02", "failed"))
    assert sums.to_dict() == {}


def test_a_watch_starts_with_the_driver_alone() -> None:
    watch = Watch({})
    watch.note(1, [Outcome("s", "t", "p", "built", rss_bytes=5, peak_rss_bytes=7)])
    first, second = watch.memory.to_dict()["points"]
    assert first[1] == first[3] == 0
    assert first[2] > 0
    assert second[1:2] + second[3:] == [1, 5, 7]
