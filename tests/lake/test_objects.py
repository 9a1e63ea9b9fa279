"""One behaviour for all object stores: a folder, moto and rclone."""

from __future__ import annotations

import errno
import os
import time

import pyarrow as pa
import pytest

from raypipe.errors import StorageError, UnsafeNameError
from raypipe.lake import faults, objects
from raypipe.lake.gc import gc
from raypipe.lake.location import Location
from raypipe.lake.names import inside
from raypipe.lake.store import Lake
from tests.lake.samples import local_lake, s3_lake

FUTURE_NS = 1 << 62


@pytest.fixture(params=["local", "moto", "rclone"])
def lake(request, tmp_path, monkeypatch) -> Lake:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    if request.param == "local":
        return local_lake(tmp_path / "lake")
    server = request.getfixturevalue(f"{request.param}_server")
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    return s3_lake(server)


@pytest.fixture
def store(lake) -> objects.ObjectStore:
    yield lake.store
    faults.arm(None)


def test_bytes_round_trip(store):
    assert store.stat("a/b.bin") is None
    store.put_bytes("a/b.bin", b"one")
    first = store.stat("a/b.bin")
    store.put_bytes("a/b.bin", b"other")
    second = store.stat("a/b.bin")
    assert store.read("a/b.bin") == b"other"
    assert (first.size, second.size) == (3, 5)
    assert first.stamp != second.stamp
    assert abs(second.modified_ns - time.time_ns()) < 3600 * 10**9


def test_empty_objects(store):
    store.put_bytes("empty", b"")
    assert store.read("empty") == b""
    assert store.stat("empty").size == 0
    with store.open("empty") as file:
        assert file.read() == b""


def test_missing_objects(store):
    assert store.stat("no/where") is None
    store.delete("no/where")
    for read in (store.read, store.open):
        with pytest.raises(StorageError) as caught:
            read("no/where")
        assert objects.is_missing(caught.value)
        assert caught.value.exit_code == 5


def test_a_folder_is_no_object(store):
    store.put_bytes("a/b", b"x")
    assert store.stat("a") is None
    assert store.stat("a/b/c") is None


def test_random_access(store):
    data = os.urandom(200_000)  # more than the tail that is fetched ahead
    store.put_bytes("big", data)
    with store.open("big") as file:
        assert file.size() == len(data)
        assert file.read_at(10, 5) == data[5:15]
        assert file.read_at(100, len(data) - 50) == data[-50:]
        file.seek(150_000)
        assert file.read() == data[150_000:]
        assert file.read() == b""
    with store.open("big", whole=True) as file:
        assert file.read() == data


def test_listing_is_recursive_sorted_and_by_prefix(store):
    keys = ["a/x", "a/y/z", "a-b/q", "ab", "b/c"]
    for key in reversed(keys):
        store.put_bytes(key, b"1")
    assert [s.key for s in store.list("")] == sorted(keys)
    assert [s.key for s in store.list("a/")] == ["a/x", "a/y/z"]
    assert [s.key for s in store.list("a")] == sorted(keys[:-1])
    assert list(store.list("none/")) == []
    assert [s.key for s in store.list("a/y")] == ["a/y/z"]
    assert next(store.list("ab")) == store.stat("ab")


def test_put_file_moves_staged_files_and_copies_others(store, tmp_path):
    staged = store.staging("a/b")
    staged.write_bytes(b"staged")
    store.put_file("a/b", staged)
    assert store.read("a/b") == b"staged"
    assert not staged.exists()
    other = tmp_path / "other"
    other.write_bytes(b"copied")
    store.put_file("a/b", other)
    assert store.read("a/b") == b"copied"
    assert other.read_bytes() == b"copied"


def test_delete(store):
    store.put_bytes("a/b", b"x")
    store.delete("a/b")
    assert store.stat("a/b") is None
    assert list(store.list("")) == []


def test_temporaries_are_hidden_until_gc(lake, store):
    store.put_bytes("a/b", b"kept")
    staged = store.staging("a/c")
    staged.write_bytes(b"dead")
    assert [s.key for s in store.list("")] == ["a/b"]
    now_ns = time.time_ns()
    assert gc(lake, grace_seconds=3600, dry_run=False, now_ns=now_ns) == []
    (found,) = gc(lake, grace_seconds=0, dry_run=True, now_ns=FUTURE_NS)
    assert (found.size, found.kind) == (4, "temporary" if lake.location.is_local else "staging")
    assert staged.exists()
    assert gc(lake, grace_seconds=0, dry_run=False, now_ns=FUTURE_NS) == [found]
    assert not staged.exists()
    assert store.read("a/b") == b"kept"
    store.remove_leftover(found)  # somebody else was faster


@pytest.mark.parametrize("key", ["../x", "/etc/passwd", "a/../../x", "a\0", "~/x", "a\\b"])
def test_hostile_keys_reach_no_store(store, key):
    for call in (store.stat, store.read, store.open, store.delete, store.staging):
        with pytest.raises(UnsafeNameError):
            call(key)
    with pytest.raises(UnsafeNameError):
        store.put_bytes(key, b"x")


@pytest.mark.parametrize("action", ["oserror", "raise"])
def test_a_failing_put_changes_nothing(lake, store, action):
    for point in ("after_fsync", "before_rename") if lake.location.is_local else ("before_upload",):
        store.put_bytes("a/b", b"old")
        faults.arm(f"{point}:{action}")
        with pytest.raises((StorageError, RuntimeError)):
            store.put_bytes("a/b", b"new")
        faults.arm(None)
        assert store.read("a/b") == b"old"
        assert store.leftovers(FUTURE_NS) == []


def test_stores_are_opened_once_per_location(lake):
    assert lake.store is lake.store
    assert objects.open_store(lake.location) is lake.store


def test_keys_outside_the_allow_list_are_passed_over(lake, store, request):
    store.put_bytes("a/b", b"x")
    if lake.location.is_local:
        inside(_root(lake), "a/b").with_name("é").write_bytes(b"x")
        (_root(lake) / "back\\slash").mkdir()
        (_root(lake) / "back\\slash" / "c").write_bytes(b"x")
    else:
        store._client.put_object(Bucket=lake.location.bucket, Key=f"{lake.location.prefix}a/é", Body=b"x")
    assert [s.key for s in store.list("")] == ["a/b"]


# --- folders only ----------------------------------------------------------------------------


def _root(lake):
    return inside(lake.store._root, "x").parent


def test_links_out_of_the_root_are_refused(tmp_path):
    lake = local_lake(tmp_path / "lake")
    lake.store.put_bytes("a/b", b"x")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"s")
    (tmp_path / "lake" / "a" / "out").symlink_to(tmp_path / "outside")
    for call in (lambda: lake.store.read("a/out/secret"), lambda: lake.store.put_bytes("a/out/x", b"")):
        with pytest.raises(UnsafeNameError, match="link"):
            call()
    with pytest.raises(UnsafeNameError, match="link"):
        list(lake.store.list(""))
    assert sorted(p.name for p in (tmp_path / "outside").iterdir()) == ["secret"]


def test_links_inside_the_root_are_not_followed_in_listings(tmp_path):
    lake = local_lake(tmp_path / "lake")
    lake.store.put_bytes("a/b", b"x")
    (tmp_path / "lake" / "a" / "loop").symlink_to(tmp_path / "lake")
    (tmp_path / "lake" / "a" / "gone").symlink_to(tmp_path / "lake" / "nothing")
    assert [s.key for s in lake.store.list("")] == ["a/b"]


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "No space left"), (errno.EROFS, "Read-only"), (errno.EDQUOT, "quota"), (errno.EIO, "Input/output")],
)
def test_disk_errors_tell_path_and_free_bytes(tmp_path, number, words):
    with (
        pytest.raises(StorageError, match=words) as caught,
        objects.disk_errors("store", "a/b", tmp_path / "no" / "file"),
    ):
        raise OSError(number, "x")
    text = str(caught.value)
    assert str(tmp_path / "no" / "file") in text
    assert "bytes free" in text
    assert caught.value.values["code"] == errno.errorcode[number]


def test_long_names_fit(tmp_path):
    lake, key = local_lake(tmp_path), "a/" + "x" * 250
    lake.store.put_bytes(key, b"1")
    assert lake.store.read(key) == b"1"


def test_names_of_temporaries():
    assert objects.is_temporary(objects.temporary_name("date=2025-01-02.parquet"))
    for name in ("date=2025-01-02.parquet", ".hidden", "x.tmp", ".x.tmp", ".DS_Store", ".x.1-xyz.tmp"):
        assert not objects.is_temporary(name)


def test_no_listing_of_a_root_that_does_not_exist(tmp_path):
    lake = Lake(Location.parse(str(tmp_path / "none")))
    assert list(lake.store.list("")) == []
    assert lake.store.leftovers(FUTURE_NS) == []
    assert not (tmp_path / "none").exists()


def test_open_gives_an_arrow_file(store):
    store.put_bytes("x", b"1")
    with store.open("x") as file:
        assert isinstance(file, pa.NativeFile)
        assert file.read() == b"1"
