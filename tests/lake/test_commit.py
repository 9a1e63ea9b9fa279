"""The commit protocol under fire: whatever breaks, wherever, readers see the old partition or the new one."""

from __future__ import annotations

import gc as garbage
import signal

import pytest

from raypipe.errors import StorageError
from raypipe.lake import faults
from raypipe.lake.gc import gc
from raypipe.lake.s3 import S3Store
from raypipe.lake.verify import verify
from tests.lake.crash import version_bars, write_version
from tests.lake.samples import BARS, DAY, local_lake, manifest, plain, s3_lake

FUTURE_NS = 1 << 62
LOCAL_POINTS = ("before_tmp", "mid_tmp", "after_fsync", "before_rename", "after_rename", "before_receipt")
S3_POINTS = ("before_tmp", "mid_tmp", "before_upload", "mid_multipart", "after_upload", "before_receipt")
PUBLISHED = {"after_rename", "after_upload", "before_receipt"}
DAYS = ["2025-01-02", "2025-01-03", "2025-01-06", "2025-01-07"]


@pytest.fixture(params=["local", "s3"])
def lake(request, tmp_path):
    yield local_lake(tmp_path) if request.param == "local" else s3_lake(request.getfixturevalue("moto_server"))
    faults.arm(None)


def points(lake):
    return LOCAL_POINTS if lake.location.is_local else S3_POINTS


def seen(lake, day=DAY) -> int | None:
    """Which version a reader sees; it must be whole."""
    stated = lake.manifest(BARS, day)
    if stated is None:
        assert day not in lake.partitions(BARS)
        return None
    version = int(stated.fingerprint)
    assert plain(lake.read(BARS, day)).equals(plain(version_bars(day, version)))
    return version


def swept(lake) -> None:
    """Nothing is left over after a sweep, and nothing else is gone."""
    before = [stat.key for stat in lake.store.list("")]
    gc(lake, grace_seconds=0, dry_run=False, now_ns=FUTURE_NS)
    assert lake.store.leftovers(FUTURE_NS) == []
    assert [stat.key for stat in lake.store.list("")] == before
    if lake.location.is_local:
        on_disk = [p for p in lake.store._root.rglob("*") if p.is_file()]
        assert len(on_disk) == len(before)


def test_the_points_are_all_known():
    assert set(LOCAL_POINTS) | set(S3_POINTS) == set(faults.POINTS)


@pytest.mark.parametrize("existing", [True, False])
def test_kill_at_every_point(lake, writers, existing):
    for point in points(lake):
        if existing:
            write_version(lake, DAY, 0)
        code = writers.run(lake, [DAY], [1], fault=f"{point}:kill", parts=point == "mid_multipart")
        assert code == -signal.SIGKILL, point
        assert seen(lake) == (1 if point in PUBLISHED else 0 if existing else None), point
        assert writers.run(lake, [DAY], [1]) == 0
        assert seen(lake) == 1
        swept(lake)
        assert list(verify(lake, BARS)) == []
        lake.store.delete(lake.key(BARS, DAY))


@pytest.mark.parametrize("action", ["oserror", "enospc", "raise"])
def test_errors_at_every_point(lake, action, monkeypatch):
    for point in points(lake):
        monkeypatch.setattr(S3Store, "multipart_bytes", 0 if point == "mid_multipart" else 64 << 20)
        write_version(lake, DAY, 0)
        faults.arm(f"{point}:{action}")
        with pytest.raises(RuntimeError if action == "raise" else StorageError) as caught:
            write_version(lake, DAY, 1)
        faults.arm(None)
        if action == "enospc":
            assert "No space left on device" in str(caught.value)
        assert seen(lake) == (1 if point in PUBLISHED else 0), point
        assert lake.store.leftovers(FUTURE_NS) == [], point
        write_version(lake, DAY, 1)
        assert seen(lake) == 1
        swept(lake)


def test_a_writer_that_is_dropped_shows_nothing(lake):
    block = lake.writer(BARS, DAY, manifest())
    writer = block.__enter__()
    writer.append(version_bars(DAY, 1))
    del writer, block
    garbage.collect()
    assert seen(lake) is None
    assert lake.store.leftovers(FUTURE_NS) == []


def test_random_kills_converge(lake, writers):
    codes = [writers.run(lake, DAYS, [1], fault="mid_tmp:kill,p=.4;before_receipt:kill,p=.2") for _ in range(8)]
    assert set(codes) <= {0, -signal.SIGKILL}
    assert all(seen(lake, day) in {None, 1} for day in DAYS)
    assert writers.run(lake, DAYS, [1]) == 0
    assert [seen(lake, day) for day in DAYS] == [1] * len(DAYS)
    swept(lake)


def test_a_hanging_writer_hides_nothing(writers, tmp_path):
    lake = local_lake(tmp_path)
    write_version(lake, DAY, 0)
    writers.start(lake, [DAY], [1], fault="before_rename:hang")
    while not lake.store.leftovers(FUTURE_NS):
        assert writers.alive()
    assert seen(lake) == 0
    write_version(lake, DAY, 2)  # the hanging one is no lock
    assert seen(lake) == 2
    writers.kill()
    assert writers.wait() == [-signal.SIGKILL]
    assert seen(lake) == 2
    swept(lake)


def test_three_runs_at_once_are_as_one(lake, writers, tmp_path):
    single = local_lake(tmp_path / "single")
    receipts = {day: write_version(single, day, 1) for day in DAYS}
    for i in range(3):
        writers.start(lake, DAYS[i:] + DAYS[:i], [1])
    assert writers.wait() == [0, 0, 0]
    for day in DAYS:
        assert lake.store.read(lake.key(BARS, day)) == single.store.read(receipts[day].key)
    assert lake.store.leftovers(FUTURE_NS) == []
    assert lake.partitions(BARS) == DAYS


def test_readers_see_whole_partitions_while_they_are_replaced(lake, writers):
    write_version(lake, DAY, 0)
    for _ in range(2):
        writers.start(lake, [DAY], [1, 2, 3] * 5)
    looks = 0
    while writers.alive() or looks == 0:
        rows = lake.read(BARS, DAY)
        assert plain(rows).equals(plain(version_bars(DAY, (rows.num_rows - 100) // 50)))
        looks += 1
    assert writers.wait() == [0, 0]
    assert seen(lake) == 3
