"""Minute features and MACD through the pipeline: fused or apart, fresh or carried, one session or all."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow.compute as pc
import pytest

from raypipe.lake.store import Lake
from raypipe.pipeline.driver import RunResult, execute
from raypipe.pipeline.executor import Serial
from raypipe.pipeline.plan import Plan, Request, make_plan
from raypipe.pipeline.planted import check_planted
from raypipe.pipeline.stages import stages
from raypipe.schema.family import Params
from raypipe.schema.macd import MacdParams
from raypipe.schema.minutes import MinuteParams

MakeLake = Callable[..., Lake]
STEPS = ("symbols", "daily", "minute", "macd", "join")
FUSED = (
    "bronze/minute_aggs",
    "silver/minute_features",
    "silver/macd_session_features",
    "silver/minute_features_plus_macd",
)
DATES = ("2025-10-31", "2025-11-03", "2025-11-04", "2025-11-05", "2025-11-06", "2025-11-07")


def plan(lake: Lake, params: Mapping[str, Params], steps: tuple[str, ...] = STEPS) -> Plan:
    return make_plan(lake, params, Request(steps=steps))


def run(lake: Lake, params: Mapping[str, Params], request: Request | None = None) -> RunResult:
    result = execute(make_plan(lake, params, request or Request(steps=STEPS)), Serial(), stop=threading.Event())
    assert not result.failures, result.failures[0].error
    return result


def content(lake: Lake) -> dict[str, bytes]:
    root = Path(lake.location.root)
    found = [*root.glob("bronze/**/*.parquet"), *root.glob("silver/**/*.parquet")]
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(found)}


def raw(lake: Lake, kind: str, date: str) -> Path:
    return next(Path(lake.location.root).glob(f"raw/us_stocks_sip/{kind}_aggs_v1/*/*/{date}.csv.gz"))


def jobs(found: Plan) -> dict[str, list[str]]:
    """Tables of every session in a job that builds something of a minute table, by partition and wave."""
    return {
        f"{wave} {session}": [target.table for target in job.targets if target.partition == session]
        for wave, jobs in enumerate(found.waves)
        for job in jobs
        if any(target.table in FUSED for target in job.targets)
        for session in {target.partition for target in job.targets}
    }


@pytest.fixture
def carry(params: dict[str, Params]) -> dict[str, Params]:
    return {**params, "macd": MacdParams(state="carry", modes=("all", "rth"), write_bars=True)}


def test_planted_answers(built: MakeLake, params: dict[str, Params], market: Path):
    lake = built(*STEPS)
    tables = {stage.table(params[stage.name]).name: stage.table(params[stage.name]) for stage in stages()}
    tables = {name: table for name, table in tables.items() if name in FUSED}
    verdicts = check_planted(lake, tables, market / "truth.json")
    assert {verdict.table for verdict in verdicts} == set(FUSED[:3])
    assert not [verdict for verdict in verdicts if verdict.wrong]
    assert sum(verdict.answers for verdict in verdicts) > 100


def test_a_session_is_one_job(make_lake: MakeLake, params: dict[str, Params]):
    found = jobs(plan(make_lake(), params))
    assert len(found) == len(DATES)
    assert all(set(FUSED) <= set(tables) for tables in found.values())


def test_fused_or_apart_the_same_bytes(make_lake: MakeLake, params: dict[str, Params], built: MakeLake):
    fused, apart = built(*STEPS), make_lake("apart")
    for table in (*FUSED, None):
        items = frozenset((table, date) for date in DATES) if table else None
        result = run(apart, params, Request(steps=STEPS, items=items))
        assert table is None or {outcome.table for outcome in result.outcomes} >= {table}
    assert content(apart) == content(fused)


def test_tables_that_are_off_are_in_no_plan(make_lake: MakeLake, copy_built: MakeLake, params: dict[str, Params]):
    assert not {"silver/macd_state", "silver/macd_bars"} & set(plan(make_lake("raw"), params).counts())
    lake = copy_built(*STEPS)
    stored = {**params, "macd": MacdParams(write_bars=True)}
    later = plan(lake, stored)
    assert {item.table for item in later.to_build} == {"silver/macd_bars"}
    run(lake, stored)
    assert plan(lake, params).to_build == ()


def test_one_recipe_for_all_tables_of_macd(built: MakeLake, params: dict[str, Params]):
    lake = built(*STEPS)
    later = plan(lake, {**params, "macd": MacdParams(timeframes=("1m",))})
    assert {item.table for item in later.to_build} == {FUSED[2], FUSED[3]}
    assert {item.table for item in plan(lake, {**params, "macd": MacdParams(modes=("rth",))}).to_build} == {FUSED[2]}
    later = plan(lake, {**params, "minute_features": MinuteParams(vol_spike_lookback=10)})
    assert {item.table for item in later.to_build} == {"silver/volume_means", FUSED[1], FUSED[3]}


def test_without_day_files_there_is_no_circle(make_lake: MakeLake, params: dict[str, Params]):
    lake = make_lake()
    kept = {path: path.read_bytes() for path in Path(lake.location.root).glob("raw/us_stocks_sip/day_aggs_v1/*/*/*.gz")}
    for path in kept:
        path.unlink()
    assert sorted(len(tables) for tables in jobs(plan(lake, params)).values()) == [1] * 6 + [3] * 6
    result = run(lake, params)
    warned = [f for outcome in result.outcomes for f in outcome.findings if f.kind == "no_day_bars"]
    assert len(warned) == len(DATES)
    table = next(stage.table(params[stage.name]) for stage in stages() if stage.name == "minute_features")
    assert lake.read(table, DATES[0])["vol_spike"].null_count == lake.read(table, DATES[0]).num_rows > 0
    for path, data in kept.items():
        path.write_bytes(data)
    stale = {item.partition: item.reason for item in plan(lake, params).items if item.table == FUSED[1]}
    assert all("silver/daily (new)" in reason for reason in stale.values())
    run(lake, params)
    assert not pc.all(pc.is_null(lake.read(table, DATES[-1])["vol_spike"])).as_py()


# --- carried -----------------------------------------------------------------------------------


def test_carried_sessions_do_not_hold_up_the_reading_of_files(make_lake: MakeLake, carry: dict[str, Params]):
    found = plan(make_lake(), carry)
    places = {
        (target.table, target.partition): wave
        for wave, members in enumerate(found.waves)
        for job in members
        for target in job.targets
    }
    assert {places[FUSED[0], date] for date in DATES} == {places[FUSED[0], DATES[0]]}
    strung = [job for wave in found.waves for job in wave if job.targets[0].table == "silver/macd_state"]
    assert [len(job.targets) for job in strung] == [len(DATES)]
    assert {places[FUSED[2], date] for date in DATES[1:]} == {places["silver/macd_state", DATES[0]] + 1}


def test_carried_session_by_session_equals_all_at_once(make_lake: MakeLake, carry: dict[str, Params]):
    whole, grown = make_lake("whole"), make_lake("grown")
    run(whole, carry)
    waiting = {date: raw(grown, "minute", date) for date in DATES}
    held = {date: path.read_bytes() for date, path in waiting.items()}
    for path in waiting.values():
        path.unlink()
    for date in DATES:
        waiting[date].write_bytes(held[date])
        built = run(grown, carry)
        states = {outcome.partition for outcome in built.outcomes if outcome.table == "silver/macd_state"}
        assert states == {date}
    assert content(grown) == content(whole)
    assert plan(whole, carry).to_build == ()


def test_a_hole_blocks_what_is_carried_and_nothing_else(make_lake: MakeLake, carry: dict[str, Params]):
    lake = make_lake()
    raw(lake, "minute", DATES[2]).unlink()
    found = plan(lake, carry).blocked
    assert {item.reason for item in found if item.table == "silver/macd_state"} == {
        f"silver/macd_state {DATES[2]} missing"
    }
    blocked = {(item.table, item.partition) for item in found}
    carried = {"silver/macd_state", FUSED[2], FUSED[3], "silver/macd_bars"}
    assert {table for table, _ in blocked} == carried
    assert min(partition for _, partition in blocked) == DATES[3]
    fresh = {**carry, "macd": MacdParams()}
    assert not plan(lake, fresh).blocked


def test_a_change_in_the_past_reaches_every_later_state(make_lake: MakeLake, carry: dict[str, Params]):
    lake = make_lake()
    run(lake, carry)
    path = raw(lake, "minute", DATES[2])
    header, *rows = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    path.unlink()
    path.write_bytes(gzip.compress(b"".join([header, *rows[1:]])))
    stale = {(item.table, item.partition) for item in plan(lake, carry).to_build}
    assert {date for table, date in stale if table == "silver/macd_state"} == set(DATES[2:])
    assert {date for table, date in stale if table == FUSED[1]} == {DATES[2]}


def test_what_needs_a_failed_file_is_blocked_not_failed(make_lake: MakeLake, carry: dict[str, Params]):
    lake = make_lake()
    path = raw(lake, "minute", DATES[3])
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[: len(data) // 2])
    result = execute(plan(lake, carry), Serial(), stop=threading.Event())
    failed = {(o.table, o.partition) for o in result.outcomes if o.status == "failed"}
    assert failed == {(FUSED[0], DATES[3])}
    states = {o.partition: o.status for o in result.outcomes if o.table == "silver/macd_state"}
    assert states == dict.fromkeys(DATES[:3], "built") | dict.fromkeys(DATES[3:], "blocked")
    minutes = {o.partition: o.status for o in result.outcomes if o.table == FUSED[1]}
    assert minutes == {date: "blocked" if date == DATES[3] else "built" for date in DATES}
