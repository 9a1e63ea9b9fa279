"""S3 when things go wrong: answers on purpose, cut bodies, lost answers, credentials, many keys."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import pickle
import traceback
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from raypipe.errors import StorageError
from raypipe.lake import faults, s3_client, s3_file
from raypipe.lake.gc import gc
from raypipe.lake.location import Location
from raypipe.lake.objects import open_store
from raypipe.lake.s3 import S3Store
from tests.lake.samples import s3_lake

FUTURE_NS = 1 << 62


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Few attempts without pauses; what is tested is what happens, not how long it takes."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    yield
    faults.arm(None)


@pytest.fixture
def store(moto_server, flaky):
    return s3_lake(moto_server, endpoint_url=flaky.endpoint_url).store


@pytest.fixture
def parts(monkeypatch):
    """Uploads in parts of 5 MiB, the least that servers accept."""
    monkeypatch.setattr(S3Store, "multipart_bytes", 6 << 20)
    monkeypatch.setattr(S3Store, "part_bytes", 5 << 20)


@pytest.fixture
def big(tmp_path):
    path = tmp_path / "big"
    path.write_bytes(os.urandom(1 << 20) * 11)
    return path


# --- answers on purpose ----------------------------------------------------------------------


@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (500, "InternalError"), (409, "OperationAborted")])
def test_passing_trouble_is_sat_out(store, flaky, status, code):
    flaky.fail(status, code, times=2, method="PUT")
    store.put_bytes("a", b"x")
    flaky.fail(status, code, times=2, method="GET")
    assert store.read("a") == b"x"
    assert [s for _, _, s in flaky.seen] == [status, status, 200] * 2


@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (409, "ConditionalRequestConflict")])
def test_lasting_trouble_ends_after_bounded_attempts(store, flaky, status, code):
    flaky.fail(status, code, times=99)
    with pytest.raises(StorageError, match=code) as caught:
        store.put_bytes("a", b"x")
    assert caught.value.exit_code == 5
    assert caught.value.values["code"] == code
    assert len(flaky.seen) == 3


@pytest.mark.parametrize(
    ("status", "code"), [(412, "PreconditionFailed"), (403, "AccessDenied"), (501, "NotImplemented")]
)
def test_a_plain_no_is_not_repeated(store, flaky, status, code):
    flaky.fail(status, code, times=99)
    with pytest.raises(StorageError, match=code):
        store.put_bytes("a", b"x")
    assert len(flaky.seen) == 1


def test_a_server_that_never_answers(moto_server, flaky, monkeypatch):
    monkeypatch.setattr(s3_client, "READ_TIMEOUT_SECONDS", 0.2)
    store = s3_lake(moto_server, endpoint_url=flaky.endpoint_url).store
    store.put_bytes("a", b"x")
    flaky.hang(method="GET")
    assert store.read("a") == b"x"
    flaky.hang(method="GET", times=99)
    flaky.seen.clear()
    with pytest.raises(StorageError, match="ReadTimeoutError"):
        store.read("a")
    assert flaky.hung == 4


def test_nobody_listens():
    store = open_store(Location.parse("s3://market", endpoint_url="http://127.0.0.1:1"))
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:1/"):
        store.read("a")


@pytest.mark.parametrize("at", [0, 1, 99_999])
def test_a_cut_body_is_fetched_again_whole(store, flaky, at):
    data = os.urandom(100_000)
    store.put_bytes("a", data)
    flaky.cut(at, times=2)
    assert store.read("a") == data
    flaky.cut(at, times=1)
    with store.open("a") as file:
        flaky.cut(at, times=1)
        assert file.read() == data


def test_a_body_that_is_always_cut_is_an_error(store, flaky):
    store.put_bytes("a", b"x" * 1000)
    flaky.cut(500, times=99)
    with pytest.raises(StorageError) as caught:
        store.read("a")
    assert caught.value.exit_code == 5
    assert len(flaky.seen) == 4


def test_a_lost_answer_to_a_put_is_repeated(store, flaky):
    flaky.lose_answer(method="PUT")
    store.put_bytes("a", b"x")
    assert store.read("a") == b"x"


def test_an_object_replaced_while_it_is_read_is_never_mixed(store):
    one, other = b"1" * 200_000, b"2" * 200_000
    store.put_bytes("a", one)
    with store.open("a") as file:
        assert file.read_at(10, 199_000) == one[:10]
        store.put_bytes("a", other)
        with pytest.raises(StorageError, match="replaced"):
            file.read_at(10, 0)


def test_a_footer_costs_one_get(store, flaky):
    store.put_bytes("a", b"x" * 500_000)
    flaky.seen.clear()
    with store.open("a") as file:
        assert file.size() == 500_000
        file.read_at(s3_file.TAIL_BYTES, 500_000 - s3_file.TAIL_BYTES)
    assert [method for method, _, _ in flaky.seen] == ["GET"]


# --- uploads in parts ------------------------------------------------------------------------


def test_uploads_in_parts(s3_server, parts, big):
    store = s3_lake(s3_server).store
    store.put_file("a/big", big)
    assert hashlib.sha256(store.read("a/big")).digest() == hashlib.sha256(big.read_bytes()).digest()
    assert store.leftovers(FUTURE_NS) == []


@pytest.mark.parametrize("action", ["oserror", "raise"])
def test_a_failed_upload_is_aborted(s3_server, parts, big, action):
    store = s3_lake(s3_server).store
    faults.arm(f"mid_multipart:{action},n=2")
    with pytest.raises((StorageError, RuntimeError)):
        store.put_file("a/big", big)
    assert store.stat("a/big") is None
    assert store.leftovers(FUTURE_NS) == []


def test_a_part_that_fails_once_is_sent_again(store, flaky, parts, big):
    flaky.fail(503, "SlowDown", method="PUT", path="partNumber=2")
    store.put_file("a/big", big)
    assert store.stat("a/big").size == big.stat().st_size


def test_a_lost_answer_to_the_completion_is_understood(store, flaky, parts, big):
    flaky.lose_answer(method="POST", path="uploadId=")
    store.put_file("a/big", big)
    assert store.stat("a/big").size == big.stat().st_size


def test_abandoned_uploads_are_found_and_removed(moto_server, parts, tmp_path):
    lake = s3_lake(moto_server)
    client = moto_server.client()
    for key in ("lake/x", "lake/y", "other/z"):
        client.create_multipart_upload(Bucket=lake.location.bucket, Key=key)
    found = gc(lake, grace_seconds=0, dry_run=True, now_ns=FUTURE_NS)
    assert [(one.key, one.kind) for one in found] == [("x", "multipart"), ("y", "multipart")]
    assert gc(lake, grace_seconds=3600, dry_run=False, now_ns=found[0].modified_ns) == []
    assert gc(lake, grace_seconds=0, dry_run=False, now_ns=FUTURE_NS) == found
    lake.store.remove_leftover(found[0])  # somebody else was faster
    left = client.list_multipart_uploads(Bucket=lake.location.bucket)["Uploads"]
    assert [one["Key"] for one in left] == ["other/z"]


# --- credentials -----------------------------------------------------------------------------


def test_the_environment_wins_and_no_profile_is_touched(rclone_server, monkeypatch):
    for name, value in rclone_server.env.items():
        monkeypatch.setenv(name, value)
    bucket = rclone_server.bucket()
    monkeypatch.setenv("AWS_PROFILE", "missing")
    there = Location.parse(f"s3://{bucket}", endpoint_url=rclone_server.endpoint_url, profile="missing-too")
    assert list(S3Store(there).list("")) == []


def test_a_named_profile_is_used(rclone_server, monkeypatch, tmp_path):
    file = tmp_path / "credentials"
    file.write_text(
        f"[work]\naws_access_key_id={rclone_server.access_key}\naws_secret_access_key={rclone_server.secret_key}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    there = Location.parse(f"s3://{rclone_server.bucket()}", endpoint_url=rclone_server.endpoint_url, profile="work")
    assert list(S3Store(there).list("")) == []
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StorageError, match="profile 'missing'"):
        s3_client.s3_client(there.endpoint_url, "missing")
    with pytest.raises(StorageError, match="boto3's own chain"):
        S3Store(Location(there.root, there.endpoint_url)).read("a")


@pytest.mark.parametrize(("key", "secret"), [("canary-id", "canary-secret"), ("rclone-key", "canary-secret")])
def test_refused_credentials_are_not_shown(rclone_server, monkeypatch, caplog, key, secret):
    bucket = rclone_server.bucket()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    with caplog.at_level(logging.INFO):
        store = S3Store(Location.parse(f"s3://{bucket}", endpoint_url=rclone_server.endpoint_url))
        with pytest.raises(StorageError) as caught:
            store.put_bytes("a", b"x")
    error = caught.value
    shown = "".join(traceback.format_exception(error)) + caplog.text + repr(error) + str(error.values)
    assert "canary" not in shown
    assert b"canary" not in pickle.dumps(error)
    assert "AWS_ACCESS_KEY_ID" in str(error)
    assert error.exit_code == 5


def test_a_missing_bucket_is_named(moto_server):
    store = open_store(Location.parse("s3://no-such-bucket/x", endpoint_url=moto_server.endpoint_url))
    with pytest.raises(StorageError, match="NoSuchBucket") as caught:
        list(store.list(""))
    assert "s3://no-such-bucket/x" in str(caught.value)


def test_errors_of_the_lake_survive_a_pickle(store):
    with pytest.raises(StorageError) as caught:
        store.read("none")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.values) == (str(caught.value), caught.value.values)


# --- many ------------------------------------------------------------------------------------


def test_more_keys_than_one_page(moto_server):
    store = s3_lake(moto_server).store
    keys = [f"lake/k/{i:04d}" for i in range(2500)]
    there = urlsplit(moto_server.endpoint_url)
    with contextlib.closing(HTTPConnection(there.hostname, there.port)) as connection:
        for key in keys:  # unsigned, which moto takes: a client of boto3 needs ten times as long
            connection.request("PUT", f"/{store._bucket}/{key}")
            assert connection.getresponse().read() == b""
    assert [stat.key for stat in store.list("k/")] == [key.removeprefix("lake/") for key in keys]
