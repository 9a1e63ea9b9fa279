"""Acquisition when things go wrong: cut bodies, bad bodies, refusals, silence, kills, secrets."""

from __future__ import annotations

import hashlib
import logging
import traceback
from pathlib import Path

import pytest

from raypipe.acquisition.fetch import pause_seconds
from raypipe.acquisition.parts import part_files, part_path
from raypipe.acquisition.receipts import raw_files, receipt_of
from raypipe.errors import StorageError, UsageError
from raypipe.sources.polygon_keys import DAY, MINUTE, key_of
from tests.acquisition.vendor import D2, D3, D6, D7, D8, D10, LATER, flat_file, lake_at, raw_keys, states, vendor_on

BIG = 400_000
ROOT = Path(__file__).resolve().parents[2]
KEY = f"raw/{key_of(DAY, D2)}"


@pytest.fixture
def moto(moto_server):
    return vendor_on(moto_server)


@pytest.fixture
def behind(moto_server, flaky):
    """The vendor behind the proxy."""
    return vendor_on(moto_server, flaky.endpoint_url)


@pytest.fixture
def lake(tmp_path):
    return lake_at(tmp_path / "lake")


def only_state(report):
    (state,) = report.objects
    return state


def parts(lake):
    return part_files(lake, 1 << 62)


# --- bodies that come short --------------------------------------------------------------------


def test_cut_body_is_resumed_where_it_stopped(behind, flaky, lake):
    behind.put(DAY, D2, body=flat_file("big", BIG))
    # The second cut lies behind the end of what a range leaves: only a fetch from 0 would be cut again.
    flaky.cut(200_000, path=key_of(DAY, D2))
    flaky.cut(BIG - 100_000, path=key_of(DAY, D2))
    report = behind.ingest(lake, D2, D2, params=behind.params(attempts=2))
    assert only_state(report).state == "new"
    assert lake.read(KEY) == flat_file("big", BIG)
    assert len(behind.pauses) == 1
    assert parts(lake) == []


def test_cut_over_and_over_fails_with_the_bytes_and_goes_on_next_time(behind, flaky, lake):
    behind.put(DAY, D2, body=flat_file("big", BIG))
    size = len(flat_file("big", BIG))
    flaky.cut(100_000, times=3, path=key_of(DAY, D2))
    report = behind.ingest(lake, D2, D2, params=behind.params(attempts=3))
    state = only_state(report)
    assert (state.state, report.exit_code) == ("failed", 1)
    assert "short object: " in state.reason
    assert f"of {size:,} bytes" in state.reason
    assert key_of(DAY, D2) in state.reason
    assert lake.stat(KEY) is None
    (plan,) = behind.plan(lake, D2, D2)
    assert plan.state == "partial"
    assert f"of {size:,} bytes" in plan.reason
    assert only_state(behind.ingest(lake, D2, D2)).state == "partial"
    assert lake.read(KEY) == flat_file("big", BIG)
    assert parts(lake) == []


def test_part_of_an_older_version_is_not_resumed(behind, flaky, lake):
    behind.put(DAY, D2, body=flat_file("old", BIG))
    flaky.cut(300_000, path=key_of(DAY, D2))
    behind.ingest(lake, D2, D2, params=behind.params(attempts=1))
    behind.put(DAY, D2, body=flat_file("new", BIG))
    assert only_state(behind.ingest(lake, D2, D2)).state == "new"
    assert lake.read(KEY) == flat_file("new", BIG)


def test_damaged_part_is_thrown_away_and_fetched_again(behind, flaky, lake):
    behind.put(DAY, D2, body=flat_file("big", BIG))
    flaky.cut(300_000, path=key_of(DAY, D2))
    behind.ingest(lake, D2, D2, params=behind.params(attempts=1))
    part = part_path(lake, KEY)
    part.write_bytes(b"\0" * part.stat().st_size)
    assert only_state(behind.ingest(lake, D2, D2)).state == "partial"
    assert lake.read(KEY) == flat_file("big", BIG)


def test_object_replaced_between_listing_and_fetch_is_fetched_as_it_is_now(s3_server, lake):
    from raypipe.acquisition.fetch import Fetcher
    from raypipe.acquisition.remote import Remote

    vendor = vendor_on(s3_server)
    vendor.put(DAY, D2)
    remote = Remote(vendor.params())
    (listed,) = remote.month(DAY, (2025, 1))
    vendor.put(DAY, D2, body=flat_file("newer", 5_000))
    got = Fetcher(remote, lake, attempts=2, now_ns=LATER, sleep=vendor.pauses.append).fetch(listed)
    assert got.size == len(flat_file("newer", 5_000))
    assert lake.read(KEY) == flat_file("newer", 5_000)
    assert receipt_of(lake, KEY).etag == got.etag == hashlib.md5(lake.read(KEY)).hexdigest()


def test_pauses_grow_and_are_bounded():
    for attempt in range(1, 30):
        assert 0 <= pause_seconds(attempt) <= min(30.0, 0.5 * 2**attempt)


# --- bodies that are no flat file --------------------------------------------------------------

GOOD = flat_file("good", 3_000)
BAD = {
    "xml": (b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>', "XML or HTML"),
    "html": (b"<!DOCTYPE html><html>sign in</html>", "XML or HTML"),
    "text": (b"ticker,volume\n", "no gzip"),
    "empty": (b"", "empty"),
    "cut in half": (GOOD[: len(GOOD) // 2], "cut short"),
    "no trailer": (GOOD[:-8], "cut short"),
    "bad crc": (GOOD[:-8] + bytes([GOOD[-8] ^ 1]) + GOOD[-7:], "incorrect data check"),
    "appended": (GOOD + b"<html>", "follow the end"),
}


def test_bodies_that_are_no_gzip_fail_and_are_never_kept(moto, lake):
    for day, (body, _) in zip((D2, D3, D6, D7, D8, D10), BAD.values(), strict=False):
        moto.put(DAY, day, body=body)
    for day, name in ((D2, "bad crc"), (D3, "appended")):
        moto.put(MINUTE, day, body=BAD[name][0])
    moto.put(MINUTE, D6)
    report = moto.ingest(lake, datasets=(DAY, MINUTE))
    failed = [each for each in report.objects if each.state == "failed"]
    assert report.exit_code == 1
    for each, (_, words) in zip(failed, BAD.values(), strict=True):
        assert words in each.reason
        assert each.key in each.reason
        assert "offset" in each.reason
    assert [key for key in raw_keys(lake) if key.endswith(".gz")] == [f"raw/{key_of(MINUTE, D6)}"]
    assert parts(lake) == []
    assert moto.pauses == [], "the MD5 proves that the object itself is bad: no use asking again"
    assert {each.state for each in moto.plan(lake, D2, D10)} == {"new"}, "not taken for done"


def test_bad_replacement_leaves_the_older_file_in_place(moto, lake):
    moto.put(DAY, D2)
    moto.ingest(lake, D2, D2)
    before = raw_files(lake, DAY)
    moto.put(DAY, D2, body=b"<Error/>")
    assert only_state(moto.ingest(lake, D2, D2)).state == "failed"
    assert raw_files(lake, DAY) == before


def test_multipart_etag_is_compared_and_never_taken_for_an_md5(moto, lake, tmp_path):
    body = flat_file("multi", 6 << 20)
    client, place = moto.client, {"Bucket": moto.bucket, "Key": key_of(DAY, D2)}
    upload = client.create_multipart_upload(**place)["UploadId"]
    sent = [
        {"PartNumber": n, "ETag": client.upload_part(**place, UploadId=upload, PartNumber=n, Body=piece)["ETag"]}
        for n, piece in enumerate((body[: 5 << 20], body[5 << 20 :]), start=1)
    ]
    client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": sent})
    assert only_state(moto.ingest(lake, D2, D2)).state == "new"
    assert receipt_of(lake, KEY).etag.endswith("-2")
    assert only_state(moto.ingest(lake, D2, D2)).state == "current"
    (tmp_path / "lake" / f"{KEY}.receipt.json").unlink()
    assert only_state(moto.ingest(lake, D2, D2)).state == "current", "adopted by size"
    moto.put(DAY, D2, body=flat_file("other", 6 << 20))
    assert only_state(moto.ingest(lake, D2, D2)).state == "changed"


# --- the endpoint says no, or nothing ----------------------------------------------------------


def test_wrong_key_is_forbidden_and_not_tried_again(rclone_server, monkeypatch, lake):
    vendor = vendor_on(rclone_server)
    vendor.put(DAY, D2)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", rclone_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    report = vendor.ingest(lake, D2, D3, datasets=(DAY, MINUTE))
    assert {each.state for each in report.objects} == {"forbidden"}
    assert report.exit_code == 1
    reasons = {each.reason for each in report.objects}
    assert len(reasons) == 2
    assert all("key pair has no entitlement for" in reason for reason in reasons)
    assert any("minute_aggs_v1" in reason for reason in reasons)
    assert all("SignatureDoesNotMatch" in reason and "AWS_ACCESS_KEY_ID" in reason for reason in reasons)
    assert vendor.pauses == []


def test_no_entitlement_for_one_data_set_leaves_the_other_alone(behind, flaky, lake):
    behind.put(DAY, D2)
    behind.put(MINUTE, D2)
    flaky.fail(403, "AccessDenied", times=99, path="minute_aggs_v1")
    report = behind.ingest(lake, D2, D2, datasets=(DAY, MINUTE))
    assert [each.state for each in report.objects] == ["new", "forbidden"]
    assert "key pair has no entitlement for minute_aggs_v1" in report.objects[1].reason
    assert len([path for _, path, _ in flaky.seen if "minute" in path]) == 1, "a refusal is final"


def test_refused_object_is_forbidden_the_others_come(behind, flaky, lake):
    behind.put(DAY, D2, D3)
    flaky.fail(403, "AccessDenied", times=99, path=f"/{D2}.csv.gz")
    report = behind.ingest(lake, D2, D3)
    assert states(report.objects) == {"forbidden": [D2], "new": [D3]}
    assert report.exit_code == 1
    assert len([path for _, path, _ in flaky.seen if f"/{D2}.csv.gz" in path]) == 1


def test_busy_server_is_asked_again(behind, flaky, lake):
    behind.put(DAY, D2)
    flaky.fail(503, "SlowDown", times=2, path="list-type=2")
    flaky.fail(500, "InternalError", times=2, path=key_of(DAY, D2))
    assert only_state(behind.ingest(lake, D2, D2)).state == "new"


def test_endpoint_that_never_recovers_is_unavailable(behind, flaky, lake, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    behind.put(DAY, D2, D3)
    flaky.fail(503, "SlowDown", times=99, path=".csv.gz")
    report = behind.ingest(lake, D2, D3)
    assert states(report.objects) == {"failed": [D2, D3]}
    assert report.exit_code == 5
    flaky.fail(503, "SlowDown", times=99, path="list-type=2")
    with pytest.raises(StorageError) as caught:
        behind.ingest(lake, D2, D3)
    assert caught.value.exit_code == 5


def test_silent_endpoint_is_left_alone_after_a_while(behind, flaky, lake, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    days = [D2, D3, D6, D7, D8, D10]
    behind.put(DAY, *days)
    behind.put(MINUTE, *days)
    flaky.lose_answer(times=99, path=".csv.gz")
    report = behind.ingest(lake, datasets=(DAY, MINUTE), params=behind.params(jobs=1))
    assert {each.state for each in report.objects} == {"failed"}
    tried = {path for _, path, _ in flaky.seen if ".csv.gz" in path}
    assert len(tried) == 8
    assert sum("not tried" in each.reason for each in report.objects) == 4


def test_nobody_there_is_unavailable(lake, moto, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StorageError) as caught:
        moto.ingest(lake, D2, D2, params=moto.params().model_copy(update={"endpoint_url": "http://127.0.0.1:9"}))
    assert caught.value.exit_code == 5


def test_missing_bucket_is_named(moto, lake):
    with pytest.raises(StorageError, match="NoSuchBucket"):
        moto.ingest(lake, D2, D2, params=moto.params().model_copy(update={"bucket": "not-there"}))


@pytest.mark.parametrize("profile", ["", "massive"])
def test_without_credentials_the_error_names_what_was_tried(moto, lake, monkeypatch, profile):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(UsageError) as caught:
        moto.ingest(lake, D2, D2, params=moto.params().model_copy(update={"aws_profile": profile}))
    text = str(caught.value)
    assert caught.value.exit_code == 2
    assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set" in text
    assert "boto3's own chain" in text
    assert ("profile 'massive' does not exist" in text) == bool(profile)
    assert "test-secret" not in text


def test_profile_is_used_if_the_pair_is_not_complete(rclone_server, lake, tmp_path, monkeypatch):
    vendor = vendor_on(rclone_server)
    vendor.put(DAY, D2)
    file = tmp_path / "credentials"
    file.write_text(
        f"[flat]\naws_access_key_id={rclone_server.access_key}\naws_secret_access_key={rclone_server.secret_key}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    params = vendor.params().model_copy(update={"aws_profile": "flat"})
    assert only_state(vendor.ingest(lake, D2, D2, params=params)).state == "new"


# --- secrets -----------------------------------------------------------------------------------


def test_no_secret_in_anything_that_comes_out(rclone_server, flaky, lake, tmp_path, monkeypatch, caplog, capfd):
    secrets = {"AWS_ACCESS_KEY_ID": "AKIACANARYCANARY0001", "AWS_SECRET_ACCESS_KEY": "canary/secret+0123456789"}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    caplog.set_level(logging.INFO)
    said = []
    for server, endpoint in ((rclone_server, None), (flaky, flaky.endpoint_url)):
        vendor = vendor_on(rclone_server, endpoint)
        try:
            report = vendor.ingest(lake, D2, D3, progress=lambda state: said.append(repr(state)))
            said.append(repr(report.to_dict()))
        except (StorageError, UsageError) as error:
            said.append("".join(traceback.format_exception(error)) + repr(error.values))
        assert server
    said += [caplog.text, *capfd.readouterr()]
    said += [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert any("forbidden" in text for text in said)
    for text in said:
        for secret in secrets.values():
            assert secret not in text
            assert secret[:8] not in text


# --- the disk --------------------------------------------------------------------------------


def test_full_disk_fails_the_object_with_path_and_free_bytes(moto, lake, monkeypatch):
    from raypipe.lake import faults

    moto.put(DAY, D2, D3)
    faults.arm("mid_tmp:enospc,n=1")
    try:
        report = moto.ingest(lake, D2, D3, params=moto.params(jobs=1))
    finally:
        faults.arm(None)
    assert states(report.objects) == {"failed": [D2], "new": [D3]}
    assert "bytes free" in report.objects[0].reason
    assert lake.stat(KEY) is None
    assert moto.ingest(lake, D2, D3).exit_code == 0
