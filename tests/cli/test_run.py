"""plan, run and retry: what is shown, what is built, how it ends."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest

from raypipe.sources.synthetic import corrupt
from tests.cli.conftest import DAY_STEPS, SESSIONS, day_tables, files, spawn, tables

BAD = "2025-11-04"


def raw_day(root: Path, session: str = BAD) -> Path:
    """The raw day file of a session."""
    return root / "raw" / "us_stocks_sip" / "day_aggs_v1" / session[:4] / session[5:7] / f"{session}.csv.gz"


def raw_minute(root: Path, session: str = BAD) -> Path:
    """The raw minute file of a session."""
    return Path(str(raw_day(root, session)).replace("day_aggs", "minute_aggs"))


@pytest.fixture
def broken(lake) -> Path:
    """A lake with one damaged day file."""
    corrupt(raw_day(lake), "mid_row")
    return lake


def run(raypipe, root, *args):
    """Run in this process."""
    return raypipe("run", "--root", root, "--executor", "serial", *args)


# --- plans -----------------------------------------------------------------------------------------


def test_a_plan_says_what_and_why_and_touches_nothing(raypipe, built):
    before = files(built)
    for args in (("plan",), ("run", "--dry-run"), ("run", "--dry-run", "--force"), ("retry", "--dry-run")):
        assert raypipe(args[0], "--root", built, *args[1:]).code == 0
    assert files(built) == before


def test_a_plan_of_a_fresh_lake(raypipe, lake):
    document = raypipe("plan", "--root", lake, "--json").json
    states = {item["state"] for item in document["items"]}
    assert {item["reason"] for item in document["items"] if item["state"] == "missing"} == {"missing"}
    assert states <= {"missing", "blocked", "pending"}
    assert document["to_build"] == sum(counts.get("missing", 0) for counts in document["counts"].values())
    assert document["cost_cpu_seconds"] > 0
    assert document["jobs"] > 0
    text = raypipe("plan", "--root", lake).out
    assert "bronze/day_aggs" in text
    assert "2025-10-21..2025-11-05 (12)" in text
    assert "CPU-s" in text


def test_one_line_per_partition_on_request(raypipe, lake):
    for flag in ("--items", "-v"):
        lines = raypipe("plan", "--root", lake, flag, "--steps", "daily").out.splitlines()
        assert sum(line.startswith("bronze/day_aggs ") for line in lines) == 12


def test_a_plan_gives_reasons(raypipe, own_built):
    changed = raypipe("plan", "--root", own_built, "--set", "daily.max_gap_sessions=3", "--json").json
    reasons = {item["table"]: item["reason"] for item in changed["items"]}
    assert reasons["silver/daily"] == "params changed"
    assert reasons["silver/weekly"].startswith("input changed: silver/daily")
    shutil.copy(raw_day(own_built, SESSIONS[0]), raw_day(own_built, SESSIONS[1]))
    forced = raypipe("plan", "--root", own_built, "--force", "--steps", "symbols", "--json").json
    assert {item["reason"] for item in forced["items"]} >= {"forced"}


def test_the_executor_follows_the_work(raypipe, lake):
    def chosen(*args):
        return raypipe("plan", "--root", lake, "--json", *args).json["executor"]

    assert chosen("--steps", "symbols", "--dates", "2025-10-31") == "serial"
    assert chosen("--set", "run.workers=1") == "serial"
    assert chosen("--set", "run.address=there:6379") == "ray"
    assert chosen("--set", "run.executor=process") == "process"


# --- runs ------------------------------------------------------------------------------------------


def test_a_run_builds_everything_once(raypipe, lake):
    first = run(raypipe, lake, "--json")
    document = first.json
    assert (first.code, document["exit_code"], document["status"], document["executor"]) == (0, 0, "done", "serial")
    assert document["tables"]["silver/daily"]["built"] == 12
    assert document["failures"] == document["blocked"] == []
    assert Path(document["report"]).is_file()
    record = json.loads((lake / "runs" / document["run_id"] / "run.json").read_text(encoding="utf-8"))
    assert record["command"] == f"raypipe run --root {lake} --executor serial --json"
    assert record["finished_ns"] > record["started_ns"]
    before = files(lake)
    again = run(raypipe, lake, "--json")
    assert (again.code, again.json["run_id"], again.json["tables"]) == (0, None, {})
    assert files(lake) == before
    assert run(raypipe, lake).out == "nothing to do: everything is current\n"


def test_text_of_a_run(raypipe, lake):
    result = run(raypipe, lake, "--steps", "symbols")
    assert "silver/symbol_types" in result.out
    assert "report: " in result.out.splitlines()[-1]
    assert result.err.startswith("building ")
    assert "executor serial with 1 worker" in result.err


def test_executors_leave_the_same_lake(lake, built, tmp_path):
    """In a process of its own: workers are spawned, and the timezone is another one."""
    other = tmp_path / "other"
    shutil.copytree(built / "raw", other / "raw")
    done = spawn(
        "run", "--root", other, "--executor", "process", "--workers", "2", *DAY_STEPS, env={"TZ": "Asia/Tokyo"}
    )
    assert done.code == 0, done.err
    assert day_tables(other) == day_tables(built)


def test_force_builds_again_and_changes_no_byte(raypipe, own_built):
    before = tables(own_built)
    document = run(raypipe, own_built, "--force", "--steps", "symbols", "--json").json
    assert document["tables"]["silver/symbol_types"]["built"] == 12
    assert tables(own_built) == before


def test_only_refuses_inputs_of_other_steps(raypipe, lake):
    result = run(raypipe, lake, "--only", "--steps", "symbols")
    assert result.code == 2
    assert "which is not current" in result.err


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--dates", "2025-11-06"], 4, "the lake has no file of 2025-11-06"),
        (["--start", "2025-12-01"], 4, "the lake has no file of a session from 2025-12-01"),
        (["--dates", "2025-11-08"], 2, "2025-11-08 is not a session"),
        (["--dates", "2025-11-27"], 2, "2025-11-27 is not a session"),
    ],
)
def test_sessions_that_are_not_there(raypipe, lake, args, code, message):
    result = run(raypipe, lake, *args)
    assert result.code == code
    assert message in result.err
    assert "log:" not in result.err


def test_a_lake_without_files_has_nothing_to_do(raypipe, tmp_path):
    (tmp_path / "empty").mkdir()
    assert run(raypipe, tmp_path / "empty").code == 0


# --- failures ----------------------------------------------------------------------------------------


def test_one_bad_file_fails_alone_and_retry_does_just_that(raypipe, broken, built):
    shutil.copytree(built / "raw" / "reference", broken / "raw" / "reference")
    first = run(raypipe, broken, "--json", *DAY_STEPS)
    document = first.json
    assert first.code == document["exit_code"] == 1
    failed = [f for f in document["failures"] if f["status"] == "failed"]
    assert [(f["table"], f["partition"], f["kind"]) for f in failed] == [("bronze/day_aggs", BAD, "SourceError")]
    assert failed[0]["values"]["file"].endswith(f"{BAD}.csv.gz")
    assert document["tables"]["bronze/day_aggs"] == {
        **document["tables"]["bronze/day_aggs"],
        "built": 11,
        "failed": 1,
    }
    assert f"bronze/day_aggs {BAD} failed: file raw/us_stocks_sip" in first.err
    assert "hint: resume with: raypipe retry" in first.err
    assert first.err.splitlines()[-1].startswith("log: ")

    still = raypipe("retry", "--root", broken, "--executor", "serial", "--json")
    assert still.code == 1

    shutil.copy(raw_day(built), raw_day(broken))
    left = {(f["table"], f["partition"]) for f in document["failures"]}
    plan = raypipe("retry", "--root", broken, "--dry-run", "--json").json
    assert {(i["table"], i["partition"]) for i in plan["items"] if i["state"] != "current"} == left
    mended = raypipe("retry", "--root", broken, "--executor", "serial", "--json")
    assert mended.code == 0
    assert sum(t["built"] for t in mended.json["tables"].values()) == len(left)
    assert day_tables(broken) == day_tables(built)
    assert raypipe("retry", "--root", broken).out == "nothing to do: everything is current\n"


def test_the_log_of_a_failed_run_has_the_traces(raypipe, broken):
    log = Path(run(raypipe, broken).err.splitlines()[-1].removeprefix("log: "))
    text = log.read_text(encoding="utf-8")
    assert f"bronze/day_aggs {BAD}" in text
    assert "Traceback" in text


def test_blocked_partitions_count_as_failed(raypipe, own_built):
    raw_day(own_built, SESSIONS[0]).unlink()
    raw_minute(own_built, SESSIONS[0]).unlink()
    for path in own_built.rglob(f"date={SESSIONS[0]}.parquet"):
        path.unlink()
    result = run(raypipe, own_built, "--json")
    assert result.code == 1
    assert ("silver/daily", SESSIONS[1]) in {(b["table"], b["partition"]) for b in result.json["blocked"]}
    assert "blocked: " in result.err
    assert run(raypipe, own_built, "--allow-holes").code == 0


def test_the_quality_gate(raypipe, lake, built):
    """A minute file that ends long before the close is whole, and suspicious."""
    path = raw_minute(lake)
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    noon = sorted(int(line.split(b",")[6]) for line in lines[1:])[len(lines) // 2]
    path.write_bytes(gzip.compress(b"".join([lines[0], *(li for li in lines[1:] if int(li.split(b",")[6]) < noon)])))
    fail = run(raypipe, lake, "--steps", "minute", "--dq", "fail", "--json")
    assert fail.code == 3
    assert {f["partition"] for f in fail.json["quality"] if f["level"] == "failed"} == {BAD}
    assert "quiet_end" in fail.err
    assert run(raypipe, lake, "--steps", "minute", "--force", "--dq", "warn").code == 0
    off = run(raypipe, lake, "--steps", "minute", "--force", "--dq", "off", "--json")
    assert (off.code, off.json["quality"]) == (0, [])


def test_storage_that_cannot_be_reached(raypipe):
    result = raypipe("run", "--root", "s3://bucket/lake", "--set", "lake.endpoint_url=http://127.0.0.1:9")
    assert result.code == 5
    assert result.err.startswith("error: ")
    assert "127.0.0.1:9" in result.err


def test_retry_without_a_run(raypipe, lake):
    assert (raypipe("retry", "--root", lake).code, raypipe("retry", "--root", lake, "--run-id", "none").code) == (2, 2)
    for name in ("../x", "/etc/passwd", "a\x00b", "x" * 200, "a/b", "~"):
        result = raypipe("retry", "--root", lake, "--run-id", name)
        assert result.code == 2, name
        assert "is not a run id" in result.err or "run id" in result.err


def test_an_earlier_run_can_be_retried(raypipe, broken, built):
    first = run(raypipe, broken, "--steps", "daily", "--json").json["run_id"]
    assert run(raypipe, broken, "--steps", "symbols", "--start", "2025-11-05", "--force").code == 0
    assert "nothing to do" in raypipe("retry", "--root", broken).out
    shutil.copy(raw_day(built), raw_day(broken))
    again = raypipe("retry", "--root", broken, "--run-id", first, "--executor", "serial", "--json")
    assert again.code == 0
    assert again.json["tables"]["bronze/day_aggs"]["built"] == 1


def test_a_run_can_begin_with_the_files(raypipe, market, tmp_path):
    """`ingest` among the steps: one command from a vendor's folder to tables."""
    lake = tmp_path / "lake"
    given = ("--set", f"ingest.from_dir={market}", "--steps", "ingest", "daily")
    first = run(raypipe, lake, *given)
    assert first.code == 0, first.err
    assert "ingest: " in first.err
    assert list((lake / "silver" / "daily").glob("*.parquet"))
    again = run(raypipe, lake, *given)
    assert again.code == 0
    assert "everything is current" in again.out
