"""Acquisition against two real S3 servers: what is fetched, what is left alone, and what is said about it."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from raypipe.acquisition.acquire import ingest
from raypipe.acquisition.listing import saved_listing
from raypipe.acquisition.receipts import raw_files, receipt_of
from raypipe.errors import UsageError
from raypipe.sources.polygon_keys import DAY, MINUTE, key_of, month_prefix
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
    raw_keys,
    states,
    vendor_on,
)
from tests.servers import MOTO_PAGE

WEEK = (D2, D3, D6, D7, D8, D10)


@pytest.fixture
def vendor(s3_server):
    return vendor_on(s3_server)


@pytest.fixture
def moto(moto_server):
    return vendor_on(moto_server)


@pytest.fixture
def lake(tmp_path):
    return lake_at(tmp_path / "lake")


def test_fetches_what_is_new_and_then_leaves_it_alone(vendor, lake):
    vendor.put(DAY, *WEEK)
    vendor.put(MINUTE, D2)
    seen = []
    report = vendor.ingest(lake, datasets=(DAY, MINUTE), progress=seen.append)
    assert states(report.objects) == {"new": [*WEEK, D2], "missing_remote": [D3, D6, D7, D8, D10]}
    assert report.exit_code == 0
    assert sorted(seen, key=repr) == sorted(report.objects, key=repr)
    for day in WEEK:
        assert lake.read(f"raw/{key_of(DAY, day)}") == vendor.get(DAY, day)
    again = vendor.ingest(lake)
    assert states(again.objects) == {"current": list(WEEK)}
    assert again.fetched == ()


def test_receipt_states_the_remotes_facts_and_the_contents_hash(vendor, lake):
    vendor.put(DAY, D2)
    vendor.ingest(lake, D2, D2)
    body = vendor.get(DAY, D2)
    key = f"raw/{key_of(DAY, D2)}"
    receipt, stat = receipt_of(lake, key), lake.stat(key)
    assert (receipt.key, receipt.endpoint, receipt.size) == (key, vendor.endpoint_url, len(body))
    assert receipt.etag == hashlib.md5(body).hexdigest()
    assert receipt.sha256 == hashlib.sha256(body).hexdigest()
    assert (receipt.stamp, receipt.mtime_ns) == (stat.stamp, stat.modified_ns)
    assert receipt.fetched_ns == LATER()
    assert dt.datetime.fromisoformat(receipt.last_modified).tzinfo is not None
    assert raw_files(lake, DAY)[D2].sha256 == receipt.sha256


def test_lake_on_s3_holds_the_same(s3_server, tmp_path):
    from raypipe.lake.location import Location
    from raypipe.lake.objects import open_store

    vendor = vendor_on(s3_server)
    vendor.put(DAY, D2, D3)
    lake = open_store(Location.parse(f"s3://{s3_server.bucket()}/lake", endpoint_url=s3_server.endpoint_url))
    assert states(vendor.ingest(lake, D2, D3).objects) == {"new": [D2, D3]}
    assert states(vendor.ingest(lake, D2, D3).objects) == {"current": [D2, D3]}
    assert {day: file.sha256 for day, file in raw_files(lake, DAY).items()} == {
        day: hashlib.sha256(vendor.get(DAY, day)).hexdigest() for day in (D2, D3)
    }
    vendor.put(DAY, D3, body=flat_file("again"))
    assert states(vendor.ingest(lake, D2, D3).objects) == {"current": [D2], "changed": [D3]}
    assert lake.read(f"raw/{key_of(DAY, D3)}") == flat_file("again")
    assert len(list(lake.list("raw/_superseded/"))) == 1


def test_plan_says_the_same_and_touches_nothing(moto, lake, tmp_path):
    moto.put(DAY, D2, D3)
    plan = moto.plan(lake, D2, D6)
    assert states(plan) == {"new": [D2, D3], "missing_remote": [D6]}
    assert [each.bytes for each in plan[:2]] == [len(moto.get(DAY, day)) for day in (D2, D3)]
    assert not (tmp_path / "lake").exists()


def test_replaced_object_is_changed_and_the_older_file_kept(vendor, lake):
    vendor.put(DAY, D2, D3)
    vendor.ingest(lake, D2, D3)
    old, before = vendor.get(DAY, D2), raw_files(lake, DAY)
    new = flat_file("republished", size=2_000)
    assert len(new) == len(old), "the size alone must not give it away"
    vendor.put(DAY, D2, body=new)
    assert states(vendor.plan(lake, D2, D3)) == {"changed": [D2], "current": [D3]}
    report = vendor.ingest(lake, D2, D3)
    assert states(report.objects) == {"changed": [D2], "current": [D3]}
    assert "ETag" in report.objects[0].reason
    kept = [key for key in raw_keys(lake) if key.startswith("raw/_superseded/")]
    assert [lake.read(key) for key in kept] == [old]
    assert lake.read(f"raw/{key_of(DAY, D2)}") == new
    after = raw_files(lake, DAY)
    assert after[D2].sha256 == hashlib.sha256(new).hexdigest() != before[D2].sha256
    assert after[D3] == before[D3]
    assert sorted(after) == [D2, D3], "superseded files are no sessions"


def test_short_local_file_is_fetched_anew(moto, lake, tmp_path):
    moto.put(DAY, D2)
    moto.ingest(lake, D2, D2)
    path = tmp_path / "lake" / "raw" / key_of(DAY, D2)
    path.write_bytes(path.read_bytes()[:-100])
    (state,) = moto.ingest(lake, D2, D2).objects
    assert state.state == "changed"
    assert state.reason.startswith("size ")
    assert path.read_bytes() == moto.get(DAY, D2)


def test_file_found_in_place_is_adopted_if_it_is_the_listed_one(moto, lake, tmp_path):
    moto.put(DAY, D2, D3)
    for day, body in ((D2, moto.get(DAY, D2)), (D3, flat_file("mine"))):
        path = tmp_path / "lake" / "raw" / key_of(DAY, day)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    report = moto.ingest(lake, D2, D3)
    assert states(report.objects) == {"current": [D2], "changed": [D3]}
    assert receipt_of(lake, f"raw/{key_of(DAY, D2)}").etag == hashlib.md5(moto.get(DAY, D2)).hexdigest()
    assert lake.read(f"raw/{key_of(DAY, D3)}") == moto.get(DAY, D3)


def test_touched_file_is_hashed_once_and_stays(moto, lake, tmp_path):
    moto.put(DAY, D2)
    moto.ingest(lake, D2, D2)
    path = tmp_path / "lake" / "raw" / key_of(DAY, D2)
    path.touch()
    key = f"raw/{key_of(DAY, D2)}"
    assert not receipt_of(lake, key).trusted(lake.stat(key))
    assert states(moto.ingest(lake, D2, D2).objects) == {"current": [D2]}
    assert receipt_of(lake, key).trusted(lake.stat(key))
    assert receipt_of(lake, key).fetched_ns == LATER()


def test_verify_finds_bits_that_rotted_without_a_trace(moto, lake, tmp_path):
    moto.put(DAY, D2, D3)
    moto.ingest(lake, D2, D3)
    path = tmp_path / "lake" / "raw" / key_of(DAY, D3)
    facts, body = path.stat(), bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert states(moto.ingest(lake, D2, D3).objects) == {"current": [D2, D3]}
    assert states(moto.ingest(lake, D2, D3, verify=True).objects) == {"current": [D2], "changed": [D3]}
    assert path.read_bytes() == moto.get(DAY, D3)
    assert states(moto.ingest(lake, D2, D3, verify=True).objects) == {"current": [D2, D3]}


def test_holidays_are_not_expected_and_files_on_them_are_reported_only(moto, lake, tmp_path):
    moto.put(DAY, D8, D10, MOURNING)
    odd = tmp_path / "lake" / "raw" / key_of(DAY, SATURDAY)
    odd.parent.mkdir(parents=True)
    odd.write_bytes(flat_file("odd"))
    report = moto.ingest(lake, SATURDAY, D10)
    found = states(report.objects)
    assert found == {"missing_remote": [D6, D7], "new": [D8, D10], "not_session": [SATURDAY, MOURNING]}
    assert report.exit_code == 0
    assert odd.exists()
    assert sorted(raw_files(lake, DAY)) == [D8, D10]


def test_before_publication_a_file_is_not_yet_and_after_it_missing(moto, lake):
    moto.put(DAY, D2, D3)
    early, late = at("2025-01-07T15:59"), at("2025-01-07T16:00")  # 11:00 in New York is 16:00 UTC in winter
    assert states(moto.plan(lake, D2, D7, now_ns=early)) == {"new": [D2, D3], "not_yet": [D6, D7]}
    report = moto.ingest(lake, D2, D7, now_ns=late)
    assert states(report.objects) == {"new": [D2, D3], "missing_remote": [D6], "not_yet": [D7]}
    assert report.exit_code == 0, "nobody waited for it"
    summer = dt.date(2025, 7, 1)
    assert states(moto.plan(lake, summer, summer, now_ns=at("2025-07-02T14:59"))) == {"not_yet": [summer]}
    assert states(moto.plan(lake, summer, summer, now_ns=at("2025-07-02T15:00"))) == {"missing_remote": [summer]}
    own = moto.params(publish_time_et="09:00")
    assert states(moto.plan(lake, D6, D6, now_ns=early, params=own)) == {"missing_remote": [D6]}


def test_listed_before_its_time_is_fetched(moto, lake):
    moto.put(DAY, D6)
    assert states(moto.ingest(lake, D6, D6, now_ns=at("2025-01-07T09:00")).objects) == {"new": [D6]}


def test_waits_until_the_file_is_there(moto, lake):
    moto.put(DAY, D2, D3)
    clock = itertools.count(at("2025-01-07T15:50")(), 60 * 10**9)

    def pause(_seconds):
        if next(clock) > at("2025-01-07T16:05")():
            moto.put(DAY, D6)

    report = moto.ingest(lake, D2, D7, now_ns=lambda: next(clock), wait_minutes=60, sleep=pause)
    assert states(report.objects) == {"new": [D2, D3, D6], "not_yet": [D7]}
    assert report.exit_code == 0, "the 7th is due a day later: nobody waited for it"


def test_waiting_ends_and_says_so(moto, lake):
    moto.put(DAY, D2, D3)
    clock = itertools.count(at("2025-01-07T15:50")(), 60 * 10**9)
    report = moto.ingest(lake, D2, D6, now_ns=lambda: next(clock), wait_minutes=20, sleep=moto.pauses.append)
    assert states(report.objects) == {"new": [D2, D3], "not_yet": [D6]}
    assert report.exit_code == 1
    assert moto.pauses
    assert max(moto.pauses) <= 60


def test_lists_more_keys_than_one_page_holds(moto, lake):
    prefix = month_prefix(DAY, (2025, 1))
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(
            lambda n: moto.put_key(f"{prefix}2025-01-02.csv.gz.{n:04d}", b""),
            range(MOTO_PAGE + 10),
        ):
            pass
    moto.put(DAY, D2, D10)
    assert moto.server.client().list_objects_v2(Bucket=moto.bucket, Prefix=prefix)["IsTruncated"]
    assert states(moto.ingest(lake).objects)["new"] == [D2, D10]


def test_keys_that_are_not_the_vendors_never_become_paths(moto, lake, tmp_path):
    prefix = month_prefix(DAY, (2025, 1))
    for name in ("../../../../../escape.csv.gz", "2025-01-02.csv.gz~", "2025-02-03.csv.gz", "2025-01-99.csv.gz", "x"):
        moto.put_key(prefix + name, flat_file(name))
    report = moto.ingest(lake)
    assert {each.state for each in report.objects} == {"missing_remote"}
    assert [key for key in raw_keys(lake) if not key.startswith("raw/_listings/")] == []
    assert {path.name for path in tmp_path.iterdir()} == {"lake"}


def test_saves_the_listing_of_each_month(moto, lake):
    moto.put(DAY, D2, dt.date(2025, 2, 3))
    moto.ingest(lake, D2, dt.date(2025, 2, 28), now_ns=at("2025-03-10T12:00"))
    listing = saved_listing(lake, [DAY, MINUTE], [(2024, 12), (2025, 1), (2025, 2)])
    assert sorted(day for _, day in listing.objects) == [D2, dt.date(2025, 2, 3)]
    assert listing.get(DAY, D2).size == len(moto.get(DAY, D2))
    assert listing.covers(DAY, D3)
    assert not listing.covers(DAY, dt.date(2024, 12, 2))
    assert not listing.covers(MINUTE, D3)


def test_report_is_plain_values_for_json(moto, lake):
    moto.put(DAY, D2)
    document = json.loads(json.dumps(moto.ingest(lake, D2, D3).to_dict()))
    assert document["counts"] == {"new": 1, "missing_remote": 1}
    assert document["objects"][0] | {"bytes": 0} == {
        "dataset": "day",
        "session": "2025-01-02",
        "state": "new",
        "reason": "",
        "bytes": 0,
        "key": key_of(DAY, D2),
    }


@pytest.mark.parametrize(("start", "end"), [(D3, D2), (None, D2), (D2, None)])
def test_range_must_be_one(lake, start, end):
    from raypipe.acquisition.acquire import IngestParams

    with pytest.raises(UsageError):
        ingest(lake, IngestParams(endpoint_url="http://127.0.0.1:9"), start=start, end=end, now_ns=LATER)
