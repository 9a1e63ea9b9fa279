"""Summaries of features and their distances: known shifts give known numbers, and records are enough to see them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raypipe.lake.location import Location
from raypipe.lake.manifest import Manifest
from raypipe.lake.store import Lake
from raypipe.pipeline.drift import QUANTILES, compare, measure, summarise
from raypipe.pipeline.job import Outcome
from raypipe.pipeline.record import RunRecord, write_record
from raypipe.schema.spec import Column, Grain, Table

SESSIONS = [dt.date(2025, 1, day) for day in (2, 3, 6, 7, 8, 9, 10)]


def table(grain: Grain) -> Table:
    columns = (
        Column("session", "date32", "When.", role="key"),
        Column("symbol", "dict", "Which.", role="key"),
        Column("x", "f64", "A feature.", null="when unknown"),
        Column("up", "bool", "Another.", null="when unknown"),
        Column("later", "f64", "A label.", null="when unknown", role="label"),
        Column("word", "str", "Text.", null="when unknown"),
    )
    return Table("gold/made_up", ("symbol", "session"), grain, columns, "Made up.")


def write(lake: Lake, spec: Table, partition: str, rows: list[tuple[dt.date, str, float | None]]) -> Outcome:
    n = len(rows)
    made = {
        "session": pa.array([row[0] for row in rows], pa.date32()),
        "symbol": pa.array([row[1] for row in rows], pa.string()).dictionary_encode(),
        "x": pa.array([row[2] for row in rows], pa.float64()),
        "up": pa.array([row[2] is not None and row[2] > 0 for row in rows], pa.bool_()),
        "later": pa.nulls(n, pa.float64()),
        "word": pa.nulls(n, pa.string()),
    }
    manifest = Manifest(spec.name, partition, "f", 1, "p", spec.digest, {}, n, "0", {})
    lake.write(spec, partition, spec.build(made), manifest)
    return Outcome("made_up", spec.name, partition, "built", rows=n)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(Location.parse(str(tmp_path)))


def normal(rows: int = 20_000) -> np.ndarray:
    return np.random.default_rng(5).standard_normal(rows)


@pytest.mark.parametrize(("change", "distance"), [(lambda x: x + 1, 1.0), (lambda x: 2 * x, 1.03), (lambda x: x, 0.0)])
@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e12])
def test_distances_are_in_units_of_the_spread_whatever_the_unit(change, distance: float, unit: float) -> None:
    before, after = {"x": summarise(unit * normal())}, {"x": summarise(unit * change(normal()))}
    moved = compare(before, after)
    assert [row["distance"] for row in moved] == ([pytest.approx(distance, abs=0.03)] if distance else [])


def test_an_outlier_moves_nothing() -> None:
    values = normal()
    values[0] = 1e15
    assert compare({"x": summarise(normal())}, {"x": summarise(values)}) == []


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        ([1.0, 1.0], [1.0, 1.0], False),
        ([1.0, 1.0], [2.0, 2.0], True),
        ([np.nan, np.nan], [np.nan, np.nan], False),
        ([np.nan, np.nan], [1.0, 2.0], True),
        ([1.0, 2.0], [np.nan, np.nan], True),
        ([1.0, 2.0] * 10, [1.0, 2.0] * 9 + [np.nan] * 2, True),
        ([], [], False),
    ],
)
def test_constants_and_nulls(before: list[float], after: list[float], moved: bool) -> None:
    found = compare({"x": summarise(np.array(before))}, {"x": summarise(np.array(after))})
    assert bool(found) == moved


def test_a_summary_is_that_of_numpy() -> None:
    values = np.array([3.0, np.nan, 1.0, 2.0, 4.0])
    found = summarise(values)
    assert (found["n"], found["null_share"], found["mean"]) == (5, pytest.approx(0.2), 2.5)
    assert found["sd"] == pytest.approx(np.nanstd(values), rel=1e-5)
    assert found["quantiles"] == pytest.approx(list(np.nanquantile(values, QUANTILES)), rel=1e-5)


@pytest.mark.parametrize("grain", ["session", "symbol", "once"])
def test_only_the_newest_sessions_are_looked_at(lake: Lake, grain: Grain) -> None:
    spec = table(grain)
    rows = [(date, symbol, float(i)) for symbol in ("A", "B") for i, date in enumerate(SESSIONS)]
    keys = {"session": lambda row: row[0].isoformat(), "symbol": lambda row: row[1], "once": lambda _: "all"}[grain]
    parts = sorted({keys(row) for row in rows})
    outcomes = [write(lake, spec, part, [row for row in rows if keys(row) == part]) for part in parts]
    found = measure(lake, {spec.name: spec}, "now", outcomes)[spec.name]
    assert found["rows"] == 10
    assert set(found["features"]) == {"x", "up"}
    assert found["features"]["x"]["mean"] == 4.0
    assert (found["against"], found["moved"]) == ("", [])


def test_a_run_is_compared_with_the_last_one_that_wrote_the_table(lake: Lake) -> None:
    spec = table("session")
    tables = {spec.name: spec}

    def run(run_id: str, scale: float) -> dict:
        values = scale * normal(200)
        outcomes = [
            write(lake, spec, date.isoformat(), [(date, f"S{i:03d}", float(v)) for i, v in enumerate(values)])
            for date in SESSIONS
        ]
        found = measure(lake, tables, run_id, outcomes)
        write_record(lake, RunRecord(run_id, "raypipe run", "serial", 1, 1, drift=found))
        return found[spec.name]

    assert run("20250110T000000Z-000001", 1.0)["moved"] == []
    write_record(lake, RunRecord("20250111T000000Z-000001", "raypipe run", "serial", 1, 1))  # wrote other tables
    same = run("20250112T000000Z-000001", 1.0)
    assert (same["against"], same["moved"]) == ("20250110T000000Z-000001", [])
    other = run("20250113T000000Z-000001", 3.0)
    assert other["against"] == "20250112T000000Z-000001"
    assert [row["feature"] for row in other["moved"]] == ["x"]


def test_a_damaged_partition_is_told_and_stops_nothing(lake: Lake) -> None:
    spec = table("session")
    outcome = write(lake, spec, "2025-01-02", [(SESSIONS[0], "A", 1.0)])
    (Path(lake.location.root) / lake.key(spec, "2025-01-02")).write_bytes(b"PAR1 nothing PAR1")
    found = measure(lake, {spec.name: spec}, "now", [outcome])[spec.name]
    assert "damaged" in found["error"]
    assert found["features"] == {}
