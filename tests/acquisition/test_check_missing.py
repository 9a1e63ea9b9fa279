"""What should be there against what is, session by session and data set by data set."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from raypipe.acquisition.acquire import IngestParams
from raypipe.acquisition.adopt import adopt_dir
from raypipe.acquisition.check_missing import FILES_LIST, check_missing
from raypipe.errors import StorageError, UsageError
from raypipe.sources.polygon_keys import DAY, MINUTE, key_of
from tests.acquisition.vendor import (
    D2,
    D3,
    D6,
    D7,
    D8,
    D10,
    LATER,
    MOURNING,
    SATURDAY,
    at,
    flat_file,
    lake_at,
    vendor_on,
)

PARAMS = IngestParams()


@pytest.fixture
def lake(tmp_path):
    return lake_at(tmp_path / "lake")


def put(lake, data, *sessions, body=None):
    for session in sessions:
        lake.put_bytes(f"raw/{key_of(data, session)}", flat_file((data.name, session)) if body is None else body)


def bronze(lake, data, *sessions):
    for session in sessions:
        lake.put_bytes(f"{data.table}/date={session}.parquet", b"bronze")


def check(lake, start=D2, end=D10, *, datasets=(DAY,), now_ns=LATER, params=PARAMS, **more):
    return check_missing(lake, params, start=start, end=end, datasets=datasets, now_ns=now_ns, **more)


def rows(report):
    return {(row.dataset.name, row.session): row.state for row in report.rows}


def day_states(report):
    return {row.session: row.state for row in report.rows if row.dataset is DAY}


def ls_line(data, session, size):
    return f"2025-01-03 11:04:51 {size:>10} {key_of(data, session)}\n"


def write_list(tmp_path, text):
    path = tmp_path / "list.txt"
    path.write_text(text)
    return path


def test_every_state(lake, tmp_path):
    size = len(flat_file((DAY.name, D2)))
    put(lake, DAY, D2, D3, D6, D8, SATURDAY)
    bronze(lake, DAY, D2, D6, D8)
    listed = [(D2, size), (D3, size), (D6, size + 1), (D7, size), (MOURNING, size)]
    path = write_list(tmp_path, "".join(ls_line(DAY, day, n) for day, n in listed))
    lake.put_bytes("raw/us_stocks_sip/day_aggs_v1/2025/02/2025-01-03.csv.gz", b"stray")
    report = check(lake, D2, dt.date(2025, 1, 13), files_list=path)
    assert day_states(report) == {
        D2: "ok",
        D3: "missing_bronze",
        SATURDAY: "not_session",
        D6: "size_mismatch",
        D7: "missing_local",
        D8: "extra_local",
        MOURNING: "not_session",
        D10: "missing_remote",
        dt.date(2025, 1, 13): "not_yet",
        None: "extra_local",
    }
    assert report.exit_code == 1
    assert [row.session for row in report.rows[:-1]] == sorted(row.session for row in report.rows[:-1])
    assert f"{size:,} here, {size + 1:,} listed" in next(row.reason for row in report.rows if row.session == D6)


def test_all_there_is_well(lake):
    put(lake, DAY, D2, D3)
    bronze(lake, DAY, D2, D3)
    report = check(lake, D2, D6, now_ns=at("2025-01-07T10:00"))
    assert day_states(report) == {D2: "ok", D3: "ok", D6: "not_yet"}
    assert report.exit_code == 0


def test_day_and_minute_files_of_one_name_are_judged_apart(lake):
    put(lake, DAY, D2)
    bronze(lake, DAY, D2)
    report = check(lake, D2, D2, datasets=(DAY, MINUTE))
    assert rows(report) == {("day", D2): "ok", ("minute", D2): "missing_local"}
    put(lake, MINUTE, D2)
    assert rows(check(lake, D2, D2, datasets=(DAY, MINUTE)))["minute", D2] == "missing_bronze"
    bronze(lake, MINUTE, D2)
    assert check(lake, D2, D2, datasets=(DAY, MINUTE)).exit_code == 0


def test_bare_keys_know_no_sizes(lake, tmp_path):
    put(lake, DAY, D2)
    bronze(lake, DAY, D2)
    path = write_list(tmp_path, f"{key_of(DAY, D2)}\n{key_of(DAY, D3)}\n")
    assert day_states(check(lake, D2, D6, files_list=path)) == {D2: "ok", D3: "missing_local", D6: "missing_remote"}


def test_listing_is_the_file_given_else_the_lakes_else_the_saved_one(lake, tmp_path, moto_server):
    vendor = vendor_on(moto_server)
    vendor.put(DAY, D2)
    vendor.ingest(lake, D2, D3)
    bronze(lake, DAY, D2)
    assert "endpoint" not in check(lake, D2, D3).source
    assert day_states(check(lake, D2, D3)) == {D2: "ok", D3: "missing_remote"}, "as the last ingest saw it"
    february = check(lake, dt.date(2025, 2, 3), dt.date(2025, 2, 3), now_ns=at("2025-02-10T12:00"))
    assert day_states(february) == {dt.date(2025, 2, 3): "missing_local"}, "that month was never listed"
    lake.put_bytes(FILES_LIST, ls_line(DAY, D3, 5).encode())
    assert day_states(check(lake, D2, D3)) == {D2: "extra_local", D3: "missing_local"}
    path = write_list(tmp_path, ls_line(DAY, D2, 5))
    report = check(lake, D2, D3, files_list=path)
    assert day_states(report) == {D2: "size_mismatch", D3: "missing_remote"}
    assert report.source == str(path)


def test_live_listing_sees_what_was_replaced(lake, s3_server):
    vendor = vendor_on(s3_server)
    vendor.put(DAY, D2, D3)
    vendor.ingest(lake, D2, D3)
    bronze(lake, DAY, D2, D3)
    vendor.put(DAY, D2, body=flat_file("republished"))
    live = check(lake, D2, D3, params=vendor.params(), remote=True)
    assert day_states(live) == {D2: "etag_mismatch", D3: "ok"}
    assert vendor.bucket in live.source
    assert day_states(check(lake, D2, D3)) == {D2: "ok", D3: "ok"}, "the saved listing is older"


def test_file_without_a_receipt_is_compared_by_content(lake, moto_server):
    vendor = vendor_on(moto_server)
    vendor.put(DAY, D2, D3)
    put(lake, DAY, D2)
    put(lake, DAY, D3, body=flat_file("mine"))
    bronze(lake, DAY, D2, D3)
    live = check(lake, D2, D3, params=vendor.params(), remote=True)
    assert day_states(live) == {D2: "ok", D3: "etag_mismatch"}


def test_begun_download_is_mentioned(lake, tmp_path):
    lake.put_bytes(f"raw/{key_of(DAY, D2)}.part", b"half")
    (row,) = check(lake, D2, D2).rows
    assert (row.state, row.reason) == ("missing_local", "a download was begun")


def test_nothing_is_changed(lake, tmp_path):
    put(lake, DAY, D2)
    before = sorted(tmp_path.rglob("*"))
    check(lake)
    assert sorted(tmp_path.rglob("*")) == before


def test_refused_listing_is_an_error_not_a_clean_bill(lake, moto_server, flaky):
    vendor = vendor_on(moto_server, flaky.endpoint_url)
    flaky.fail(403, "AccessDenied", times=9, path="minute_aggs_v1")
    with pytest.raises(StorageError, match="no entitlement for minute_aggs_v1"):
        check(lake, datasets=(DAY, MINUTE), params=vendor.params(), remote=True)


def test_summary_per_month_and_plain_values(lake):
    put(lake, DAY, D2, D3)
    bronze(lake, DAY, D2)
    report = check(lake, D2, dt.date(2025, 2, 4), now_ns=at("2025-02-20T12:00"))
    assert report.summary == {
        ("day", "2025-01"): {"ok": 1, "missing_bronze": 1, "missing_local": 18},
        ("day", "2025-02"): {"missing_local": 2},
    }
    document = json.loads(json.dumps(report.to_dict()))
    assert document["months"][1] == {"dataset": "day", "month": "2025-02", "missing_local": 2}
    assert document["rows"][0] == {
        "dataset": "day",
        "session": "2025-01-02",
        "state": "ok",
        "reason": "",
        "key": key_of(DAY, D2),
    }


def test_range_upside_down(lake):
    with pytest.raises(UsageError, match="after its end"):
        check(lake, D3, D2)


def test_real_files(lake, shared_data):
    adopt_dir(lake, shared_data / "polygon", now_ns=LATER)
    days = check(lake, dt.date(2022, 1, 3), dt.date(2023, 12, 29))
    assert {row.state for row in days.rows} == {"missing_bronze"}
    assert len(days.rows) == 501
    minutes = check(lake, dt.date(2013, 10, 4), dt.date(2013, 10, 10), datasets=(MINUTE,))
    assert [row.state for row in minutes.rows] == ["missing_bronze"] * 4 + ["missing_local"]
