"""Acquisition that is killed, stopped, or not alone: old or new stands, and the next run converges."""

from __future__ import annotations

import gzip
import hashlib
import signal
import threading

import pytest

from raypipe.acquisition.parts import part_files, part_path
from raypipe.acquisition.receipts import raw_files
from raypipe.lake.location import Location
from raypipe.lake.objects import open_store
from raypipe.sources.polygon_keys import DAY, key_of
from tests.acquisition.vendor import D2, D3, D6, D7, LATER, IngestParams, flat_file, ingest, lake_at, states, vendor_on

BIG = 400_000
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


def parts(lake):
    return part_files(lake, 1 << 62)


def ingest_one(root, endpoint_url, bucket):
    """Fetch the file of one session; the exit code."""
    lake = open_store(Location.parse(root, endpoint_url=endpoint_url))
    params = IngestParams(endpoint_url=endpoint_url, bucket=bucket, aws_profile="", jobs=1)
    return ingest(lake, params, start=D2, end=D2, datasets=(DAY,), now_ns=LATER).exit_code


@pytest.fixture
def elsewhere(forks):
    """Fetches in another process, which may die at a fault."""

    def start(vendor, root, fault=""):
        function = f"{__name__}:{ingest_one.__name__}"
        return forks.start(function, root, vendor.endpoint_url, vendor.bucket, fault=fault)

    return start


#: The listing is saved first, so the file's own commit is the second one.
KILLS = ["before_tmp:kill", "mid_tmp:kill,n=4", "after_fsync:kill,n=2", "after_rename:kill,n=2", "before_receipt:kill"]


@pytest.mark.parametrize("fault", KILLS)
def test_killed_at_any_step_old_or_new_stands_and_the_next_run_converges(moto, elsewhere, tmp_path, fault):
    root = tmp_path / "lake"
    old, new = flat_file("old", BIG), flat_file("new", BIG)
    moto.put(DAY, D2, body=old)
    moto.ingest(lake_at(root), D2, D2)
    moto.put(DAY, D2, body=new)
    assert elsewhere(moto, root, fault).wait() == -signal.SIGKILL
    lake = lake_at(root)
    stands = lake.read(KEY)
    assert stands in (old, new)
    assert raw_files(lake, DAY)[D2].sha256 == hashlib.sha256(stands).hexdigest()
    if fault.startswith("mid_tmp"):
        assert 0 < part_path(lake, KEY).stat().st_size < len(new)
    assert moto.ingest(lake, D2, D2).exit_code == 0
    assert lake.read(KEY) == new
    kept = [stat.key for stat in lake.list("raw/_superseded/") if stat.key.endswith(".gz")]
    assert [lake.read(key) for key in kept] == [old]
    assert parts(lake) == []
    assert states(moto.plan(lake, D2, D2)) == {"current": [D2]}
    for leftover in lake.leftovers(1 << 62):
        lake.remove_leftover(leftover)
    names = {path.name for path in (root / KEY).parent.iterdir()}
    assert names == {"2025-01-02.csv.gz", "2025-01-02.csv.gz.receipt.json"}


def test_killed_download_goes_on_where_it_stopped(behind, flaky, elsewhere, tmp_path):
    root = tmp_path / "lake"
    behind.put(DAY, D2, body=flat_file("big", BIG))
    assert elsewhere(behind, root, "mid_tmp:kill,n=4").wait() == -signal.SIGKILL
    lake = lake_at(root)
    have = part_path(lake, KEY).stat().st_size
    assert have >= 4 * 64 * 1024
    (plan,) = behind.plan(lake, D2, D2)
    assert (plan.state, plan.reason.split()[0]) == ("partial", f"{have:,}")
    flaky.cut(len(flat_file("big", BIG)) - have, path=key_of(DAY, D2))  # enough for the rest, too little for all
    (done,) = behind.ingest(lake, D2, D2, params=behind.params(attempts=1)).objects
    assert done.state == "partial"
    assert lake.read(KEY) == flat_file("big", BIG)


@pytest.mark.parametrize("fault", ["before_upload:kill,n=2", "after_upload:kill,n=2"])
def test_killed_while_putting_on_s3(moto, elsewhere, tmp_path, monkeypatch, fault):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    root = Location.parse(f"s3://{moto.server.bucket()}/lake", endpoint_url=moto.endpoint_url)
    moto.put(DAY, D2)
    assert elsewhere(moto, root.root, fault).wait() == -signal.SIGKILL
    lake = open_store(root)
    assert (lake.stat(KEY) is None) == fault.startswith("before")
    assert moto.ingest(lake, D2, D2).exit_code == 0
    assert raw_files(lake, DAY)[D2].sha256 == hashlib.sha256(moto.get(DAY, D2)).hexdigest()


def test_three_runs_at_once_give_one_good_file(moto, elsewhere, tmp_path):
    root = tmp_path / "lake"
    moto.put(DAY, D2, body=flat_file("big", BIG))
    runs = [elsewhere(moto, root) for _ in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0]
    lake = lake_at(root)
    assert lake.read(KEY) == flat_file("big", BIG)
    assert parts(lake) == []
    assert lake.leftovers(1 << 62) == []
    assert states(moto.plan(lake, D2, D2)) == {"current": [D2]}
    assert list(lake.list("raw/_superseded/")) == []


def test_set_stop_ends_after_what_is_under_way(moto, lake):
    moto.put(DAY, D2, D3, D6, D7)
    stop, seen = threading.Event(), []

    def progress(state):
        seen.append(state)
        stop.set()

    report = moto.ingest(lake, params=moto.params(jobs=1), progress=progress, stop=stop)
    assert report.interrupted
    assert [each.session for each in report.objects] == [D2]
    assert lake.stat(KEY)
    rest = moto.ingest(lake)
    assert states(rest.objects)["current"] == [D2]
    assert states(rest.objects)["new"] == [D3, D6, D7]


def test_ctrl_c_ends_after_what_is_under_way_and_is_passed_on(moto, lake):
    moto.put(DAY, D2, D3, D6, D7)

    def progress(_state):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        moto.ingest(lake, params=moto.params(jobs=1), progress=progress)
    assert parts(lake) == []
    assert all(gzip.decompress(lake.read(stat.key)) for stat in lake.list("raw/us_") if stat.key.endswith(".gz"))
