"""What is built and why: the states of partitions, before and after every kind of change."""

from __future__ import annotations

import datetime as dt
import gzip
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from raypipe.errors import UsageError
from raypipe.features.daily import DailyParams
from raypipe.lake.store import Lake
from raypipe.pipeline.driver import RunResult, execute
from raypipe.pipeline.executor import Serial
from raypipe.pipeline.plan import Plan, PlannedItem, Request, _shares, make_plan
from raypipe.schema.family import Params
from raypipe.sources.polygon_keys import DAY, MINUTE, key_of

MakeLake = Callable[..., Lake]
DAILY = ("daily",)


def run(lake: Lake, params: Mapping[str, Params], request: Request | None = None) -> RunResult:
    result = execute(make_plan(lake, params, request or Request()), Serial(), stop=threading.Event())
    assert not result.failures, result.failures[0].error
    return result


def items(plan: Plan, table: str) -> dict[str, PlannedItem]:
    return {item.partition: item for item in plan.items if item.table == table}


def raw_path(lake: Lake, data: object, date: str) -> Path:
    return Path(lake.location.root) / "raw" / key_of(data, dt.date.fromisoformat(date))  # type: ignore[arg-type]


def replace_raw(path: Path, change: Callable[[str], str]) -> None:
    """Put another content under the name; the file may be a hard link, so it is not written in place."""
    text = change(gzip.decompress(path.read_bytes()).decode())
    temporary = path.with_suffix(".new")
    temporary.write_bytes(gzip.compress(text.encode(), mtime=0))
    temporary.replace(path)


def halve_volume(text: str) -> str:
    header, first, *rest = text.splitlines(keepends=True)
    symbol, volume, *others = first.split(",")
    return "".join([header, ",".join([symbol, str(int(volume) // 2), *others]), *rest])


@pytest.fixture
def lake(copy_built: MakeLake) -> Lake:
    """Built; the test's own."""
    return copy_built("symbols", *DAILY)


def test_an_empty_lake_plans_nothing(tmp_path: Path, params: dict[str, Params]) -> None:
    from raypipe.lake.location import Location

    assert make_plan(Lake(Location.parse(str(tmp_path))), params, Request()).items == ()


def test_everything_is_missing_then_current(make_lake: MakeLake, params: dict[str, Params]) -> None:
    lake = make_lake()
    plan = make_plan(lake, params, Request(steps=DAILY))
    assert {item.state for item in plan.items} == {"missing"}
    assert len(items(plan, "silver/daily")) == 36
    run(lake, params, Request(steps=DAILY))
    again = make_plan(lake, params, Request(steps=DAILY))
    assert {item.state for item in again.items} == {"current"}
    assert again.waves == ()


def test_planning_changes_nothing(make_lake: MakeLake, params: dict[str, Params]) -> None:
    lake = make_lake()
    before = sorted((p, p.stat().st_mtime_ns) for p in Path(lake.location.root).rglob("*"))
    make_plan(lake, params, Request())
    assert sorted((p, p.stat().st_mtime_ns) for p in Path(lake.location.root).rglob("*")) == before


def test_a_replaced_raw_file_makes_all_that_depends_on_it_stale(lake: Lake, params: dict[str, Params]) -> None:
    replace_raw(raw_path(lake, DAY, "2025-11-03"), halve_volume)
    plan = make_plan(lake, params, Request(steps=DAILY))
    bronze = items(plan, "bronze/day_aggs")["2025-11-03"]
    assert (bronze.state, bronze.reason) == ("stale", "input changed: raw/day_aggs (content)")
    daily = {key for key, item in items(plan, "silver/daily").items() if item.state == "stale"}
    # max_gap_sessions = 5: the session itself and the four built ones after it look at it.
    assert daily == {"2025-11-03", "2025-11-04", "2025-11-05", "2025-11-06", "2025-11-07"}
    assert "input changed: bronze/day_aggs" in items(plan, "silver/daily")["2025-11-05"].reason


def test_the_same_content_under_a_new_time_stays_current(lake: Lake, params: dict[str, Params]) -> None:
    path = raw_path(lake, DAY, "2025-11-03")
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    os.utime(path, ns=(1, 1))
    assert make_plan(lake, params, Request(steps=DAILY)).to_build == ()


def test_a_changed_parameter_makes_its_family_and_what_follows_stale(lake: Lake, params: dict[str, Params]) -> None:
    changed = {**params, "daily": DailyParams(max_gap_sessions=3)}
    plan = make_plan(lake, changed, Request(steps=DAILY))
    assert {item.reason for item in items(plan, "silver/daily").values()} == {"params changed"}
    assert {item.state for item in items(plan, "bronze/day_aggs").values()} == {"current"}
    assert all("input changed: silver/daily" in item.reason for item in items(plan, "silver/weekly").values())


def test_a_session_in_the_middle_is_filled_and_its_followers_rebuilt(
    make_lake: MakeLake, params: dict[str, Params], built: MakeLake
) -> None:
    holed = make_lake("holed")
    path = raw_path(holed, DAY, "2025-10-15")
    data = path.read_bytes()
    path.unlink()
    plan = make_plan(holed, params, Request(steps=DAILY))
    blocked = {item.partition: item.reason for item in plan.blocked if item.table == "silver/daily"}
    assert set(blocked) == {"2025-10-16", "2025-10-17", "2025-10-20", "2025-10-21", "2025-10-22"}
    assert blocked["2025-10-16"] == "bronze/day_aggs 2025-10-15 missing"
    execute(plan, Serial(), stop=threading.Event())
    path.write_bytes(data)
    run(holed, params)
    assert lake_bytes(holed) == lake_bytes(built())


def lake_bytes(lake: Lake) -> dict[str, bytes]:
    root = Path(lake.location.root)
    found = [*root.glob("bronze/**/*.parquet"), *root.glob("silver/**/*.parquet"), *root.glob("gold/**/*.parquet")]
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


def test_allow_holes_goes_on_over_a_hole(make_lake: MakeLake, params: dict[str, Params]) -> None:
    lake = make_lake()
    raw_path(lake, DAY, "2025-10-15").unlink()
    assert make_plan(lake, params, Request(steps=DAILY, allow_holes=True)).blocked == ()


def test_one_session_pulls_its_warm_up_and_nothing_else(make_lake: MakeLake, params: dict[str, Params]) -> None:
    plan = make_plan(make_lake(), params, Request(dt.date(2025, 11, 7), dt.date(2025, 11, 7), steps=("daily",)))
    assert set(items(plan, "silver/symbol_types")) <= set(items(plan, "bronze/day_aggs"))
    wanted = [item for item in plan.items if item.table == "silver/daily" and item.partition == "2025-11-07"]
    assert len(wanted) == 1


def test_only_refuses_to_pull_inputs(make_lake: MakeLake, params: dict[str, Params]) -> None:
    with pytest.raises(UsageError, match="which is not current"):
        make_plan(make_lake(), params, Request(steps=("symbols",), only=True))


def test_force_builds_what_is_current(lake: Lake, params: dict[str, Params]) -> None:
    before = lake_bytes(lake)
    day = dt.date(2025, 11, 7)
    plan = make_plan(lake, params, Request(day, day, steps=DAILY, force=True))
    assert {item.reason for item in plan.to_build} == {"forced"}
    execute(plan, Serial(), stop=threading.Event())
    assert lake_bytes(lake) == before


def test_an_unknown_step_names_the_known_ones(make_lake: MakeLake, params: dict[str, Params]) -> None:
    with pytest.raises(UsageError, match=r"steps are .*daily"):
        make_plan(make_lake(), params, Request(steps=("dayly",)))


def test_bronze_stands_when_its_raw_file_is_deleted(lake: Lake, params: dict[str, Params]) -> None:
    raw_path(lake, DAY, "2025-10-20").unlink()
    plan = make_plan(lake, params, Request(steps=DAILY))
    assert plan.to_build == ()
    assert items(plan, "bronze/day_aggs")["2025-10-20"].reason == "raw file gone"


def test_a_damaged_partition_is_rebuilt_to_the_same_bytes(lake: Lake, params: dict[str, Params]) -> None:
    path = Path(lake.location.root) / "silver/daily/date=2025-11-05.parquet"
    good = path.read_bytes()
    path.unlink()  # it is a link
    path.write_bytes(good[: len(good) // 2])
    item = items(make_plan(lake, params, Request(steps=DAILY)), "silver/daily")["2025-11-05"]
    assert (item.state, item.reason.startswith("damaged")) == ("stale", True)
    run(lake, params, Request(steps=DAILY))
    assert path.read_bytes() == good


def test_a_split_of_tomorrow_leaves_yesterday_current(lake: Lake, params: dict[str, Params], market: Path) -> None:
    folder = Path(lake.location.root) / "raw" / "reference"
    folder.mkdir(parents=True)
    (folder / "splits.csv").write_text((market / "reference/splits.csv").read_text())
    run(lake, params, Request(steps=("symbols", *DAILY)))
    with (folder / "splits.csv").open("a") as file:
        file.write("PLTA,2025-11-06,1,2\n")
    stale = {
        key
        for key, i in items(make_plan(lake, params, Request(steps=DAILY)), "silver/daily").items()
        if i.state != "current"
    }
    assert stale == {"2025-11-06", "2025-11-07"}


def test_jobs_come_in_waves_costliest_first(make_lake: MakeLake, params: dict[str, Params]) -> None:
    plan = make_plan(make_lake(), params, Request())
    built: set[tuple[str, str]] = set()
    planned = {(target.table, target.partition) for wave in plan.waves for job in wave for target in job.targets}
    for wave in plan.waves:
        assert [job.cost for job in wave] == sorted((job.cost for job in wave), reverse=True)
        mine = {(target.table, target.partition) for job in wave for target in job.targets}
        for job in wave:
            own = {(target.table, target.partition) for target in job.targets}
            for table, refs in job.inputs.items():
                needed = {(table, ref.partition) for ref in refs} & planned
                assert needed <= built | own, "an input is built in the same wave by another job"
        built |= mine
    assert built == planned


def test_jobs_are_as_even_as_can_be() -> None:
    for units, jobs in ((20, 8), (5, 5), (7, 2), (1, 1)):
        shares = _shares([[unit] for unit in range(units)], jobs)
        assert [unit for share in shares for (unit,) in share] == [*range(units)]
        assert len(shares) == jobs
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_planned_job_survives_the_journey(make_lake: MakeLake, params: dict[str, Params]) -> None:
    from raypipe.pipeline.job import Job

    for wave in make_plan(make_lake(), params, Request()).waves:
        for job in wave:
            assert Job.from_json(job.to_json()) == job


def test_minutes_without_day_files_make_symbol_types(make_lake: MakeLake, params: dict[str, Params]) -> None:
    lake = make_lake()
    raw_path(lake, DAY, "2025-10-31").unlink()
    run(lake, params, Request(dt.date(2025, 10, 31), dt.date(2025, 10, 31), steps=("symbols",)))
    from raypipe.schema.tables import SYMBOL_TYPES

    manifest = lake.manifest(SYMBOL_TYPES, "2025-10-31")
    assert manifest is not None
    assert set(manifest.inputs) == {"bronze/minute_aggs"}
    assert raw_path(lake, MINUTE, "2025-10-31").exists()
    assert lake.read(SYMBOL_TYPES, "2025-10-31")["symbol"].type == pa.dictionary(pa.int32(), pa.string())


def test_costs_follow_the_size_of_the_files(make_lake: MakeLake, params: dict[str, Params]) -> None:
    """Ten symbols are no full market: a small lake is not worth starting a cluster for."""
    plan = make_plan(make_lake(), params, Request())
    (daily, *_) = items(plan, "silver/daily").values()
    (minute, *_) = items(plan, "bronze/minute_aggs").values()
    assert 0 < daily.cost < 0.01
    assert 0 < minute.cost < 0.1
