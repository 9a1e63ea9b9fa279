"""ingest and check-missing on the command line; acquisition itself is tested in tests/pipeline."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import shutil
from types import SimpleNamespace

import pytest

from raypipe.pipeline.intake import Intake
from tests.cli.conftest import FIRST, LAST, files, tables
from tests.cli.test_run import raw_day
from tests.servers import rclone_server  # noqa: F401 - a fixture

RANGE = ("--start", FIRST, "--end", LAST)


@pytest.fixture
def vendor(rclone_server, market, monkeypatch):  # noqa: F811 - the fixture
    """The market on a real S3 server, credentials in the environment; gives the flags that name it."""
    for name, value in rclone_server.env.items():
        monkeypatch.setenv(name, value)
    client, bucket = rclone_server.client(), rclone_server.bucket()
    for path in (market / "us_stocks_sip").rglob("*.csv.gz"):
        client.upload_file(str(path), bucket, str(path.relative_to(market)))
    return ("--endpoint-url", rclone_server.endpoint_url, "--bucket", bucket)


def test_files_come_and_everything_is_built(raypipe, vendor, tmp_path):
    result = raypipe("ingest", "--root", tmp_path / "lake", *RANGE, *vendor, "--set", "run.executor=serial", "--json")
    assert result.code == 0, result.err
    document = result.json
    assert document["ingest"]["counts"] == {"new": 8}
    assert document["run"]["tables"]["bronze/minute_aggs"]["built"] == 4
    assert f"ingesting from {vendor[1]}/{vendor[3]} into {tmp_path}/lake" in result.err
    again = raypipe("ingest", "--root", tmp_path / "lake", *RANGE, *vendor, "--set", "run.executor=serial")
    assert again.code == 0
    assert "8 current; 0 files fetched, 0 B" in again.out
    assert "nothing to do" in again.out


def test_a_dry_run_says_what_would_come_and_writes_nothing(raypipe, vendor, market, tmp_path):
    for source in (vendor, ("--from-dir", market)):
        result = raypipe("ingest", "--root", tmp_path / "lake", *RANGE, *source, "--dry-run")
        assert result.code == 0, result.err
        assert "8 new; 8 files would be fetched" in result.out
        assert not (tmp_path / "lake").exists() or not files(tmp_path / "lake")


def test_only_fetching(raypipe, vendor, tmp_path):
    result = raypipe("ingest", "--root", tmp_path / "lake", *RANGE, *vendor, "--no-process", "--skip-minute", "--json")
    assert result.code == 0
    assert result.json["ingest"]["counts"] == {"new": 4}
    assert result.json["run"] is None
    assert not (tmp_path / "lake" / "bronze").exists()


def test_building_again_on_request(raypipe, own_built, market):
    args = ("--root", own_built, *RANGE, "--from-dir", market, "--set", "run.executor=serial", "--json")
    assert raypipe("ingest", *args).json["run"]["tables"] == {}
    before = tables(own_built)
    again = raypipe("ingest", *args, "--force-process").json["run"]["tables"]
    assert again["bronze/day_aggs"]["built"] == 4
    assert tables(own_built) == before


def test_files_on_disk_in_the_folder_layout(raypipe, market, tmp_path):
    for path in (market / "us_stocks_sip").rglob("*.csv.gz"):
        kind, year, month = path.parts[-4].removesuffix("_v1"), *path.parts[-3:-1]
        target = tmp_path / "old" / year / f"polygon_{kind}" / month / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    result = raypipe("ingest", "--root", tmp_path / "lake", "--from-dir", tmp_path / "old", "--no-process")
    assert result.code == 0
    assert "16 new" in result.out


def test_a_wrong_key_is_refused_without_being_shown(raypipe, vendor, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-of-a-secret")
    result = raypipe("ingest", "--root", tmp_path / "lake", *RANGE, *vendor)
    assert result.code in (1, 2, 5)
    assert "canary" not in result.out + result.err


def test_without_an_endpoint(raypipe, tmp_path):
    args = ("--endpoint-url", "http://127.0.0.1:9", "--set", "ingest.attempts=1")
    result = raypipe("ingest", "--root", tmp_path / "lake", *RANGE, *args)
    assert result.code == 5
    assert "127.0.0.1:9" in result.err


def test_without_credentials(raypipe, tmp_path, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    result = raypipe("ingest", "--root", tmp_path / "lake", *RANGE, "--endpoint-url", "http://127.0.0.1:9")
    assert result.code == 2
    assert "hint: " in result.err


@pytest.mark.parametrize(("wait", "code"), [((), 0), (("--wait", "2880"), 4)])
def test_files_that_are_not_there_yet(raypipe, vendor, tmp_path, monkeypatch, wait, code):
    """A clock that starts 30 hours before the second session is due, and moves an hour at each look."""
    start_ns = int(dt.datetime(2025, 11, 6, 10, tzinfo=dt.UTC).timestamp()) * 10**9
    ticks = itertools.count(start_ns, 3600 * 10**9)
    monkeypatch.setattr("raypipe.pipeline.intake.time", SimpleNamespace(time_ns=lambda: next(ticks)))
    late = ("--start", LAST, "--end", "2025-11-06", "--no-process", "--set", "ingest.poll_seconds=0.001")
    result = raypipe("ingest", "--root", tmp_path / "lake", *late, *vendor, *wait)
    assert result.code == code, result.out + result.err
    assert "2 not yet" in result.out
    assert (tmp_path / "lake" / "raw" / "us_stocks_sip").exists()


def test_a_bad_file_is_named_and_the_others_are_built(raypipe, vendor, market, tmp_path):
    shutil.copytree(market / "us_stocks_sip", tmp_path / "m" / "us_stocks_sip")
    bad = next((tmp_path / "m").rglob(f"{LAST}.csv.gz"))
    bad.write_bytes(bad.read_bytes()[:-9])
    lake = tmp_path / "lake"
    result = raypipe("ingest", "--root", lake, "--from-dir", tmp_path / "m", "--set", "run.executor=serial", "--json")
    assert result.code == 1
    assert result.json["ingest"]["counts"] == {"failed": 1, "new": 15}
    assert "failed: " in result.err
    assert result.json["run"]["tables"]["bronze/day_aggs"]["built"] >= 11


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--skip-daily", "--skip-minute"], "leave nothing to fetch"),
        (["--from-dir", "nowhere"], "nowhere is not a folder"),
        (["--reference", "nowhere.csv", "--from-dir", "."], "nowhere.csv cannot be read"),
        (["--jobs", "0"], "invalid value for '--jobs'"),
        (["--year", "80"], "invalid value for '--year'"),
    ],
)
def test_wrong_requests(raypipe, tmp_path, args, message):
    result = raypipe("ingest", "--root", tmp_path / "lake", *args)
    assert result.code == 2, result.err
    assert message in result.err


def test_a_year_and_open_ranges():
    today = dt.date(2025, 11, 6)

    def bounds(year=None, **wanted):
        intake = Intake.settle(year, today, **wanted)
        return intake.start, intake.end

    assert bounds() == bounds(2025) == (dt.date(2025, 1, 1), dt.date(2025, 12, 31))
    assert bounds(2013) == (dt.date(2013, 1, 1), dt.date(2013, 12, 31))
    assert bounds(2013, start=dt.date(2025, 11, 3)) == (dt.date(2025, 11, 3), today)
    assert bounds(end=dt.date(2024, 2, 1)) == (dt.date(2024, 1, 1), dt.date(2024, 2, 1))
    assert bounds(start=dt.date(2026, 1, 2)) == (dt.date(2026, 1, 2), dt.date(2026, 1, 2))


# --- check-missing -----------------------------------------------------------------------------------


def test_a_whole_lake_is_fine(raypipe, built):
    result = raypipe("check-missing", "--root", built, *RANGE)
    assert result.code == 0, result.out
    assert "listing: " in result.out


def test_what_is_missing_is_named_per_data_set(raypipe, own_built):
    raw_day(own_built, LAST).unlink()
    result = raypipe("check-missing", "--root", own_built, *RANGE)
    assert result.code == 1
    assert f"day   {LAST}  missing local" in result.out
    assert raypipe("check-missing", "--root", own_built, *RANGE, "--data", "minute").code == 0
    rows = raypipe("check-missing", "--root", own_built, *RANGE, "--json").json["rows"]
    assert [(r["dataset"], r["session"]) for r in rows if r["state"] == "missing_local"] == [("day", LAST)]


def test_a_list_of_files(raypipe, own_built, market):
    listing = market / "files_list.txt"
    start = ("--start", "2025-10-21", "--end", LAST)
    assert raypipe("check-missing", "--root", own_built, *start, "--data", "day", "--files-list", listing).code == 0
    (own_built / "bronze" / "day_aggs" / f"date={LAST}.parquet").unlink()
    result = raypipe("check-missing", "--root", own_built, *start, "--files-list", listing, "--json")
    assert {row["state"] for row in result.json["rows"]} == {"ok", "missing_bronze", "missing_remote"}
    assert json.dumps(str(listing)) in result.out


def test_the_live_listing(raypipe, vendor, own_built):
    names = ("endpoint_url", "bucket")
    sets = [f"--set=ingest.{name}={value}" for name, value in zip(names, vendor[1::2], strict=True)]
    assert raypipe("check-missing", "--root", own_built, *RANGE, "--remote", *sets).code == 0


def test_neighbouring_sessions_share_a_line(raypipe, own_built):
    for session in ("2025-11-03", "2025-11-04", "2025-11-05"):
        raw_day(own_built, session).unlink()
    out = raypipe("check-missing", "--root", own_built, *RANGE).out
    assert "2025-11-03..2025-11-05 (3)  missing local" in out
