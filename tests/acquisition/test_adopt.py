"""Adoption of files on disk: both layouts, links, bad files, real files; corporate files as they are."""

from __future__ import annotations

import datetime as dt
import gzip
import os
import threading

import pytest

from raypipe.acquisition.acquire import IngestParams, ingest
from raypipe.acquisition.adopt import adopt_corporate, adopt_dir
from raypipe.acquisition.receipts import corporate_file, raw_files, receipt_of
from raypipe.errors import SourceError, UsageError
from raypipe.lake.location import Location
from raypipe.lake.objects import open_store
from raypipe.sources.polygon_keys import DAY, MINUTE, key_of
from tests.acquisition.vendor import D2, D3, D6, LATER, SATURDAY, flat_file, lake_at, raw_keys, states


@pytest.fixture
def lake(tmp_path):
    return lake_at(tmp_path / "lake")


@pytest.fixture
def folder(tmp_path):
    """Three day files and a minute file in the vendor's layout."""
    place(tmp_path / "files", DAY, D2, D3, D6)
    place(tmp_path / "files", MINUTE, D2)
    return tmp_path / "files"


def place(root, data, *sessions, body=None):
    for session in sessions:
        path = root / key_of(data, session)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(flat_file((data.name, session)) if body is None else body)
    return path


def adopt(lake, folder, **more):
    return adopt_dir(lake, folder, now_ns=LATER, **more)


def test_files_are_linked_and_then_current(lake, folder, tmp_path):
    seen = []
    report = adopt(lake, folder, progress=seen.append)
    assert states(report.objects) == {"new": [D2, D3, D6, D2]}
    assert sorted(map(repr, seen)) == sorted(map(repr, report.objects))
    for data, day in ((DAY, D2), (DAY, D3), (DAY, D6), (MINUTE, D2)):
        assert (tmp_path / "lake/raw" / key_of(data, day)).samefile(folder / key_of(data, day))
    assert receipt_of(lake, f"raw/{key_of(DAY, D2)}").fetched_ns == LATER()
    assert receipt_of(lake, f"raw/{key_of(DAY, D2)}").etag == ""
    assert states(adopt(lake, folder).objects) == {"current": [D2, D3, D6, D2]}


@pytest.mark.parametrize("inside", ["us_stocks_sip", "us_stocks_sip/day_aggs_v1", "us_stocks_sip/day_aggs_v1/2025/01"])
def test_any_folder_of_the_layout_will_do(lake, folder, inside):
    assert set(states(adopt(lake, folder / inside, datasets=(DAY,)).objects)) == {"new"}
    assert sorted(raw_files(lake, DAY)) == [D2, D3, D6]


def test_older_folder_layout(lake, tmp_path):
    for name, day in (("day", D2), ("minute", D3)):
        path = tmp_path / "old/2025" / f"polygon_{name}_aggs/01" / f"{day}.csv.gz"
        path.parent.mkdir(parents=True)
        path.write_bytes(flat_file(day))
    report = adopt(lake, tmp_path / "old")
    assert [(each.dataset.name, each.session, each.state) for each in report.objects] == [
        ("day", D2, "new"),
        ("minute", D3, "new"),
    ]
    assert lake.read(f"raw/{key_of(MINUTE, D3)}") == flat_file(D3)


def test_range_and_data_sets(lake, folder):
    assert states(adopt(lake, folder, start=D3, datasets=(DAY,)).objects) == {"new": [D3, D6]}
    assert states(adopt(lake, folder, end=D2).objects) == {"new": [D2, D2]}
    report = ingest(lake, IngestParams(), start=D6, end=D6, now_ns=LATER, from_dir=folder)
    assert states(report.objects) == {"current": [D6]}


def test_dry_run_touches_nothing(lake, folder, tmp_path):
    place(folder, DAY, D3, body=b"<Error/>")
    report = adopt(lake, folder, dry_run=True)
    assert states(report.objects) == {"new": [D2, D6, D2], "failed": [D3]}
    assert not (tmp_path / "lake").exists()


def test_bad_files_fail_and_the_others_are_taken(lake, folder):
    place(folder, DAY, D3, body=flat_file("cut")[:-20])
    place(folder, MINUTE, D2, body=b"<html>")
    report = adopt(lake, folder)
    assert states(report.objects) == {"new": [D2, D6], "failed": [D3, D2]}
    assert report.exit_code == 1
    assert "cut short" in report.objects[1].reason
    assert str(folder / key_of(DAY, D3)) in report.objects[1].reason
    assert sorted(raw_files(lake, DAY)) == [D2, D6]


def test_other_content_is_changed_and_the_older_file_kept(lake, folder):
    adopt(lake, folder)
    path = folder / key_of(DAY, D3)
    path.unlink()  # a new file: the old one is shared with the lake
    place(folder, DAY, D3, body=flat_file("new"))
    assert states(adopt(lake, folder, datasets=(DAY,)).objects) == {"current": [D2, D6], "changed": [D3]}
    assert lake.read(f"raw/{key_of(DAY, D3)}") == flat_file("new")
    kept = [key for key in raw_keys(lake) if key.startswith("raw/_superseded/")]
    assert [lake.read(key) for key in kept] == [flat_file((DAY.name, D3))]


def test_a_file_edited_in_place_is_noticed_through_the_link(lake, folder):
    adopt(lake, folder)
    before = raw_files(lake, DAY)[D2]
    (folder / key_of(DAY, D2)).write_bytes(flat_file("mended", 4_000))
    after = raw_files(lake, DAY)[D2]
    assert after.sha256 != before.sha256
    assert receipt_of(lake, after.key).size == after.size, "nobody promised another size"


def test_verify_reads_files_that_are_adopted_already(lake, folder, tmp_path):
    adopt(lake, folder)
    path = folder / key_of(DAY, D2)
    facts, body = path.stat(), bytearray(path.read_bytes())
    body[-20] ^= 1
    path.write_bytes(body)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert states(adopt(lake, folder, datasets=(DAY,)).objects) == {"current": [D2, D3, D6]}
    assert states(adopt(lake, folder, datasets=(DAY,), verify=True).objects) == {"current": [D3, D6], "failed": [D2]}


def test_file_on_no_session_is_kept_and_reported(lake, folder):
    place(folder, DAY, SATURDAY)
    report = adopt(lake, folder, datasets=(DAY,))
    assert states(report.objects)["not_session"] == [SATURDAY]
    assert report.exit_code == 0
    assert lake.stat(f"raw/{key_of(DAY, SATURDAY)}")
    assert sorted(raw_files(lake, DAY)) == [D2, D3, D6]


def test_two_layouts_with_different_files_of_one_session(lake, folder):
    other = folder / "2025/polygon_day_aggs/01/2025-01-02.csv.gz"
    other.parent.mkdir(parents=True)
    other.write_bytes(flat_file("another"))
    (state,) = adopt(lake, folder, end=D2, datasets=(DAY,)).objects
    assert state.state == "failed"
    assert "differs" in state.reason
    other.write_bytes(flat_file((DAY.name, D2)))
    assert states(adopt(lake, folder, end=D2, datasets=(DAY,)).objects) == {"new": [D2]}


def test_folder_without_flat_files_is_refused(lake, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/2025-01-02.csv.gz").write_bytes(flat_file(1))
    with pytest.raises(UsageError, match="polygon_day_aggs"):
        adopt(lake, tmp_path / "empty")
    with pytest.raises(UsageError, match="is not a folder"):
        adopt(lake, tmp_path / "nowhere")


def test_onto_s3_files_are_copied(moto_server, folder):
    root = f"s3://{moto_server.bucket()}/lake"
    lake = open_store(Location.parse(root, endpoint_url=moto_server.endpoint_url))
    assert states(adopt(lake, folder, datasets=(DAY,)).objects) == {"new": [D2, D3, D6]}
    assert states(adopt(lake, folder, datasets=(DAY,)).objects) == {"current": [D2, D3, D6]}
    assert lake.read(f"raw/{key_of(DAY, D2)}") == flat_file((DAY.name, D2))
    assert (folder / key_of(DAY, D2)).exists()


def test_stop(lake, folder):
    stop = threading.Event()
    stop.set()
    report = adopt(lake, folder, stop=stop)
    assert (report.objects, report.interrupted) == ((), True)


def test_real_files(lake, shared_data):
    report = adopt(lake, shared_data / "polygon")
    assert report.counts == {"new": 508}
    days, minutes = raw_files(lake, DAY), raw_files(lake, MINUTE)
    assert (len(days), len(minutes)) == (501, 7)
    assert (min(days), max(days)) == (dt.date(2022, 1, 3), dt.date(2023, 12, 29))
    assert min(minutes) == dt.date(2013, 10, 4)
    for file in (*list(days.values())[::50], *minutes.values()):
        assert lake.read(file.key) == (shared_data / "polygon" / file.key.removeprefix("raw/")).read_bytes()
    assert adopt(lake, shared_data / "polygon").counts == {"current": 508}


# --- corporate files ---------------------------------------------------------------------------

SPLITS = b"ticker,execution_date,split_from,split_to\nAAPL,2014-06-09,1,7\n"
TICKERS = b"ticker,type\nAAPL,CS\nSPY,ETF\n"


def test_corporate_files_are_kept_as_they_are(lake, tmp_path):
    (tmp_path / "my splits.csv").write_bytes(SPLITS)
    (tmp_path / "types.csv.gz").write_bytes(gzip.compress(TICKERS))
    assert adopt_corporate(lake, "splits", tmp_path / "my splits.csv", now_ns=LATER) == "raw/reference/splits.csv"
    assert adopt_corporate(lake, "reference", tmp_path / "types.csv.gz", now_ns=LATER) == "raw/reference/tickers.csv.gz"
    assert lake.read("raw/reference/splits.csv") == SPLITS
    assert receipt_of(lake, "raw/reference/splits.csv").fetched_ns == LATER()
    assert corporate_file(lake, "splits").size == len(SPLITS)


def test_newer_corporate_file_takes_the_place_of_any_older_one(lake, tmp_path):
    old, new = tmp_path / "a.csv", tmp_path / "b.jsonl"
    old.write_bytes(TICKERS)
    new.write_bytes(b'{"ticker": "AAPL", "type": "CS"}\n')
    adopt_corporate(lake, "reference", old, now_ns=LATER)
    adopt_corporate(lake, "reference", new, now_ns=LATER)
    assert corporate_file(lake, "reference").key == "raw/reference/tickers.jsonl"
    assert [lake.read(key) for key in raw_keys(lake) if "_superseded" in key and key.endswith(".csv")] == [TICKERS]
    new.write_bytes(b'{"ticker": "SPY", "type": "ETF"}\n')
    adopt_corporate(lake, "reference", new, now_ns=LATER)
    assert lake.read("raw/reference/tickers.jsonl") == new.read_bytes()


@pytest.mark.parametrize("kind", ["splits", "reference"])
def test_unreadable_corporate_file_is_refused_and_the_older_one_stays(lake, tmp_path, kind):
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_bytes({"splits": SPLITS, "reference": TICKERS}[kind])
    bad.write_bytes(b"<html>no</html>")
    adopt_corporate(lake, kind, good, now_ns=LATER)
    with pytest.raises(SourceError, match=r"bad\.csv"):
        adopt_corporate(lake, kind, bad, now_ns=LATER)
    with pytest.raises(UsageError, match=f"--{kind}"):
        adopt_corporate(lake, kind, tmp_path / "missing.csv", now_ns=LATER)
    assert lake.read(corporate_file(lake, kind).key) == good.read_bytes()
