"""A run from plan to outcomes: one bad file fails alone, what depends on it waits, a second run does the rest."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from raypipe.lake.store import Lake
from raypipe.pipeline.driver import Progress, RunResult, execute
from raypipe.pipeline.executor import Process, Serial
from raypipe.pipeline.plan import Request, make_plan
from raypipe.pipeline.record import RunRecord, last_run, new_run_id, read_record, unfinished, write_record
from raypipe.schema.family import Params
from raypipe.sources.polygon_keys import DAY, MINUTE, key_of
from raypipe.sources.synthetic import FAULTS, corrupt
from tests.pipeline.test_plan import lake_bytes

MakeLake = Callable[..., Lake]
#: Kinds of damage that leave a usable file, and the finding that tells. A cut at a line's end tells nothing.
TAKEN = {
    "dup_exact": "duplicates",
    "unsorted": "unsorted",
    "decimal_volume": "",
    "on_newline": "",
    "wrong_day": "quarantined_time",
    "bad_ohlc": "quarantined_",
    "dup_conflict": "quarantined_duplicate_conflict",
}
SESSIONS = ("2025-11-03", "2025-11-04", "2025-11-05")


def run(lake: Lake, params: dict[str, Params], request: Request | None = None) -> RunResult:
    return execute(make_plan(lake, params, request or Request()), Serial(), stop=threading.Event())


def own_copy(lake: Lake, data: object, date: str) -> Path:
    """The raw file of a session, no longer shared with other lakes."""
    path = Path(lake.location.root) / "raw" / key_of(data, dt.date.fromisoformat(date))  # type: ignore[arg-type]
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("data", [DAY, MINUTE], ids=["day", "minute"])
def test_a_damaged_file_fails_alone_or_is_taken_with_a_word(
    kind: str, data: object, make_lake: MakeLake, params: dict[str, Params]
) -> None:
    lake, clean, table = make_lake(), make_lake("clean"), data.table  # type: ignore[attr-defined]
    request = Request(items=frozenset((table, session) for session in SESSIONS))
    good = own_copy(lake, data, "2025-11-04")
    content = good.read_bytes()
    corrupt(good, kind)
    by_session = {o.partition: o for o in run(lake, params, request).outcomes}
    mine = by_session.pop("2025-11-04")
    assert {o.status for o in by_session.values()} == {"built"}
    if mine.status == "built":
        assert any(f.kind.startswith(TAKEN[kind]) for f in mine.findings) or not TAKEN[kind]
    else:
        assert mine.status == "failed"
        assert mine.error is not None
        assert "2025-11-04.csv.gz" in mine.error.message
        assert not (Path(lake.location.root) / f"{table}/date=2025-11-04.parquet").exists()
    good.write_bytes(content)
    assert {o.partition for o in run(lake, params, request).outcomes} == {"2025-11-04"}
    run(clean, params, request)
    assert lake_bytes(lake) == lake_bytes(clean)


def test_what_depends_on_a_failure_is_blocked_and_a_retry_does_just_the_rest(
    make_lake: MakeLake, params: dict[str, Params], built: MakeLake
) -> None:
    lake = make_lake()
    bad = own_copy(lake, DAY, "2025-10-15")
    content = bad.read_bytes()
    corrupt(bad, "cut_half")
    plan = make_plan(lake, params, Request(steps=("daily",)))
    record = RunRecord(new_run_id(1_760_000_000_000_000_000), "raypipe run", "serial", 1, 1)
    record.plan(plan)
    result = execute(plan, Serial(), stop=threading.Event())
    assert result.exit_code == 1
    failed = {(o.table, o.partition) for o in result.outcomes if o.status == "failed"}
    assert failed == {("bronze/day_aggs", "2025-10-15")}
    blocked = {o.partition for o in result.outcomes if o.status == "blocked" and o.table == "silver/daily"}
    assert blocked == {f"2025-10-{day}" for day in (15, 16, 17, 20, 21, 22)}
    record.outcomes = result.outcomes
    write_record(lake, record)
    bad.write_bytes(content)
    left = unfinished(read_record(lake, last_run(lake) or ""))
    retry = make_plan(lake, params, Request(items=left))
    assert {(i.table, i.partition) for i in retry.to_build} == left
    assert not execute(retry, Serial(), stop=threading.Event()).failures
    assert lake_bytes(lake) == lake_bytes(built("daily"))


def test_one_bad_session_in_sixty(make_lake: MakeLake, params: dict[str, Params], market: Path) -> None:
    """59 built, one failed with file and row, and only that one is done again."""
    lake = make_lake()
    path = own_copy(lake, DAY, "2025-11-05")
    content = path.read_bytes()
    corrupt(path, "ms_timestamps")
    plan = make_plan(lake, params, Request(steps=("daily",)))
    bronze = [o for o in execute(plan, Serial(), stop=threading.Event()).outcomes if o.table == "bronze/day_aggs"]
    assert sum(o.status == "built" for o in bronze) == len(bronze) - 1
    (failure,) = [o.error for o in bronze if o.status == "failed"]
    assert failure is not None
    assert "2025-11-05.csv.gz" in failure.values["file"]
    assert failure.values["row"] == "2"
    path.write_bytes(content)
    todo = make_plan(lake, params, Request(steps=("daily",))).to_build
    assert [i.partition for i in todo if i.table == "bronze/day_aggs"] == ["2025-11-05"]


def test_rows_set_aside_stand_in_quarantine_with_reason_and_line(
    make_lake: MakeLake, params: dict[str, Params]
) -> None:
    lake = make_lake()
    corrupt(own_copy(lake, DAY, "2025-11-05"), "bad_ohlc")
    run(lake, params, Request(steps=("daily",)))
    path = Path(lake.location.root) / "quarantine/bronze/day_aggs/date=2025-11-05.parquet"
    rows = pq.read_table(path).to_pylist()
    assert rows
    assert all(row["reason"] in ("price", "ohlc_order") and row["line"] >= 2 and row["symbol"] for row in rows)


def test_a_stopped_run_starts_nothing_more_and_can_be_finished(
    make_lake: MakeLake, params: dict[str, Params], built: MakeLake
) -> None:
    lake, stop = make_lake(), threading.Event()
    plan = make_plan(lake, params, Request(steps=("daily",)))

    def after_first(_progress: Progress) -> None:
        stop.set()

    result = execute(plan, Serial(), stop=stop, progress=after_first)
    assert result.exit_code == 130
    assert result.count("cancelled") > 0
    assert result.count("built") > 0
    run(lake, params, Request(steps=("daily",)))
    assert lake_bytes(lake) == lake_bytes(built("daily"))


def test_processes_leave_the_same_bytes(make_lake: MakeLake, params: dict[str, Params], built: MakeLake) -> None:
    lake = make_lake()
    with Process(2) as executor:
        result = execute(make_plan(lake, params, Request(), workers=2), executor, stop=threading.Event())
    assert not result.failures
    assert lake_bytes(lake) == lake_bytes(built())


def test_progress_counts_every_target(make_lake: MakeLake, params: dict[str, Params]) -> None:
    seen: list[Progress] = []
    plan = make_plan(make_lake(), params, Request(steps=("daily",)))
    execute(plan, Serial(), stop=threading.Event(), progress=seen.append)
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert seen[-1].done == seen[-1].total == len(plan.to_build)


def test_a_raw_file_that_vanishes_after_planning_fails_alone(make_lake: MakeLake, params: dict[str, Params]) -> None:
    lake = make_lake()
    request = Request(items=frozenset((DAY.table, session) for session in SESSIONS))
    plan = make_plan(lake, params, request)
    (Path(lake.location.root) / "raw" / key_of(DAY, dt.date.fromisoformat(SESSIONS[1]))).unlink()
    result = execute(plan, Serial(), stop=threading.Event())
    assert {o.partition: o.status for o in result.outcomes} == {
        SESSIONS[0]: "built",
        SESSIONS[1]: "failed",
        SESSIONS[2]: "built",
    }
    assert result.exit_code == 1
