"""The real flat files, through adoption and a whole run: every row, price and volume arrives."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import threading
import time
from pathlib import Path

import pytest

from raypipe.acquisition.adopt import adopt_dir
from raypipe.lake.location import Location
from raypipe.lake.store import Lake
from raypipe.pipeline.driver import execute
from raypipe.pipeline.executor import Process
from raypipe.pipeline.plan import Request, make_plan
from raypipe.schema.family import Params
from raypipe.schema.spec import Table

VALUES = ("open", "high", "low", "close", "volume")


@pytest.fixture(scope="module")
def real_lake(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Bronze and the daily tables of all real files."""
    from raypipe.pipeline.stages import stages

    lake = Lake(Location.parse(str(tmp_path_factory.mktemp("real"))))
    report = adopt_dir(lake.store, shared_data / "polygon", now_ns=time.time_ns)
    assert report.exit_code == 0
    params: dict[str, Params] = {stage.name: stage.params() for stage in stages()}
    tables = {"bronze/day_aggs", "bronze/minute_aggs", "silver/symbol_types", "silver/daily", "silver/weekly"}
    plan = make_plan(lake, params, Request())
    items = frozenset((item.table, item.partition) for item in plan.to_build if item.table in tables)
    with Process(2) as executor:
        result = execute(make_plan(lake, params, Request(items=items), workers=2), executor, stop=threading.Event())
    assert not result.failures
    return lake


def table_of(name: str) -> Table:
    from raypipe.pipeline.stages import stage_of_table

    stage = stage_of_table()[name]
    return stage.table(stage.params())


def stored(lake: Lake, name: str) -> list[tuple[str, str, tuple[float, ...]]]:
    spec = table_of(name)
    parts = [lake.read(spec, partition, ("symbol", *VALUES)) for partition in lake.partitions(spec)]
    found = []
    for partition, part in zip(lake.partitions(spec), parts, strict=True):
        columns = [part[column].to_pylist() for column in ("symbol", *VALUES)]
        found += [(partition, symbol, values) for symbol, *values in zip(*columns, strict=True)]
    return [(date, symbol, tuple(values)) for date, symbol, values in found]


def written(folder: Path) -> list[tuple[str, str, tuple[float, ...]]]:
    rows = []
    for path in sorted(folder.glob("*/*/*.csv.gz")):
        for row in csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode())):
            rows.append((path.name[:10], row["ticker"], tuple(float(row[name]) for name in VALUES)))
    return rows


@pytest.mark.parametrize(
    ("table", "folder", "rows"),
    [
        ("bronze/day_aggs", "day_aggs_v1", 23_046),
        ("silver/daily", "day_aggs_v1", 23_046),
        ("bronze/minute_aggs", "minute_aggs_v1", 12_325),
    ],
)
def test_every_row_arrives(real_lake: Lake, shared_data: Path, table: str, folder: str, rows: int) -> None:
    expected = written(shared_data / "polygon" / "us_stocks_sip" / folder)
    assert len(expected) == rows
    assert stored(real_lake, table) == expected


def test_weeks_are_those_of_the_calendar(real_lake: Lake) -> None:
    spec = table_of("silver/weekly")
    weeks = real_lake.partitions(spec)
    assert len(weeks) == 104
    christmas = real_lake.read(spec, "2022-12-26")
    assert set(christmas["sessions_n"].to_pylist()) == {4}  # Monday the 26th was the observed holiday
    assert set(christmas["complete"].to_pylist()) == {True}
    assert set(christmas["week_end"].to_pylist()) == {dt.date(2022, 12, 30)}
