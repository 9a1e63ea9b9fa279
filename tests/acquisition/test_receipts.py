"""Fingerprints of raw files: looked up while receipts are trusted, computed where they are not."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from raypipe.acquisition import receipts
from raypipe.acquisition.receipts import (
    Receipt,
    corporate_file,
    raw_files,
    raw_inventory,
    receipt_of,
    renewed_receipt,
    save_receipt,
)
from raypipe.errors import SourceError
from raypipe.sources.polygon_keys import DAY, MINUTE, key_of
from tests.acquisition.vendor import D2, D3, MOURNING, SATURDAY, flat_file, lake_at

KEY = f"raw/{key_of(DAY, D2)}"


@pytest.fixture
def lake(tmp_path):
    return lake_at(tmp_path)


@pytest.fixture
def hashed(monkeypatch):
    """Keys that were read and hashed."""
    seen = []
    real = receipts.raw_digest
    monkeypatch.setattr(receipts, "raw_digest", lambda store, key: (seen.append(key), real(store, key))[1])
    return seen


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def test_files_are_hashed_once(lake, hashed):
    for day in (D3, D2):
        lake.put_bytes(f"raw/{key_of(DAY, day)}", flat_file(day))
    first = raw_files(lake, DAY)
    assert list(first) == [D2, D3]
    assert {day: file.sha256 for day, file in first.items()} == {day: sha256(flat_file(day)) for day in (D2, D3)}
    assert len(hashed) == 2
    assert raw_files(lake, DAY) == first
    assert len(hashed) == 2


def test_changed_content_is_noticed_by_size_or_time(lake, hashed, tmp_path):
    lake.put_bytes(KEY, flat_file("one"))
    before = raw_files(lake, DAY)[D2]
    lake.put_bytes(KEY, flat_file("two"))
    after = raw_files(lake, DAY)[D2]
    assert (before.size, after.size) == (len(flat_file("one")),) * 2
    assert after.sha256 == sha256(flat_file("two")) != before.sha256
    facts = (tmp_path / KEY).stat()
    (tmp_path / KEY).write_bytes(flat_file("two")[:-1])
    os.utime(tmp_path / KEY, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert raw_files(lake, DAY)[D2].sha256 == sha256(flat_file("two")[:-1])
    assert raw_files(lake, DAY)[D2].size == receipt_of(lake, KEY).size


def test_the_vendors_facts_outlive_a_change_on_disk(lake):
    lake.put_bytes(KEY, flat_file("one"))
    stat = lake.stat(KEY)
    save_receipt(
        lake, Receipt(KEY, "https://host", "abc", stat.size, "then", sha256(flat_file("one")), fetched_ns=7).at(stat)
    )
    lake.put_bytes(KEY, flat_file("one")[:-5])
    assert raw_files(lake, DAY)[D2].sha256 == sha256(flat_file("one")[:-5])
    receipt = receipt_of(lake, KEY)
    assert (receipt.etag, receipt.size, receipt.fetched_ns) == ("abc", stat.size, 7), "how much was promised"
    assert receipt.sha256 == sha256(flat_file("one")[:-5])


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"key": 1}', b"\xff\xfe"])
def test_damaged_receipt_counts_as_none(lake, damage):
    lake.put_bytes(KEY, flat_file("one"))
    lake.put_bytes(f"{KEY}.receipt.json", damage)
    assert receipt_of(lake, KEY) is None
    assert raw_files(lake, DAY)[D2].sha256 == sha256(flat_file("one"))
    assert receipt_of(lake, KEY).sha256 == sha256(flat_file("one"))


def test_receipt_of_a_newer_version_is_read(lake):
    lake.put_bytes(KEY, b"x")
    receipt = renewed_receipt(lake.stat(KEY), None, "0" * 64)
    lake.put_bytes(f"{KEY}.receipt.json", receipt.to_json().replace(b"{", b'{"new": 1,', 1))
    assert receipt_of(lake, KEY) == receipt


def test_inventory_tells_sessions_from_the_rest(lake):
    lake.put_bytes(KEY, flat_file("one"))
    raw_files(lake, DAY)
    for day in (SATURDAY, MOURNING):
        lake.put_bytes(f"raw/{key_of(DAY, day)}", flat_file(day))
    lake.put_bytes("raw/us_stocks_sip/day_aggs_v1/2025/02/2025-01-03.csv.gz", flat_file("stray"))
    lake.put_bytes(f"raw/{key_of(DAY, D3)}.part", b"half")
    lake.put_bytes(f"raw/_superseded/{key_of(DAY, D3)}", flat_file("old"))
    found = raw_inventory(lake, DAY)
    assert list(found.sessions) == [D2]
    assert list(found.not_sessions) == [SATURDAY, MOURNING]
    assert found.strays == ("raw/us_stocks_sip/day_aggs_v1/2025/02/2025-01-03.csv.gz",)
    assert list(found.receipts) == [KEY]
    assert list(raw_files(lake, DAY)) == [D2]
    assert raw_files(lake, MINUTE) == {}


def test_lake_that_can_only_be_read_still_gives_fingerprints(lake, monkeypatch, caplog):
    from raypipe.errors import StorageError

    lake.put_bytes(KEY, flat_file("one"))

    def refuse(key, data):
        msg = "read-only"
        raise StorageError(msg, store="here", key=key)

    monkeypatch.setattr(lake, "put_bytes", refuse)
    assert raw_files(lake, DAY)[D2].sha256 == sha256(flat_file("one"))
    assert "read-only" in caplog.text


def test_corporate_files_are_found_whatever_their_suffix(lake):
    assert corporate_file(lake, "splits") is None
    lake.put_bytes("raw/reference/splits.jsonl.gz", b"x")
    file = corporate_file(lake, "splits")
    assert (file.key, file.sha256, file.session) == ("raw/reference/splits.jsonl.gz", sha256(b"x"), None)
    assert corporate_file(lake, "splits") == file, "its receipt is no second file"
    assert corporate_file(lake, "reference") is None
    lake.put_bytes("raw/reference/splits.csv", b"y")
    with pytest.raises(SourceError, match="keep one"):
        corporate_file(lake, "splits")


def test_a_plan_over_a_whole_year_costs_stats_and_not_hashing(shared_data: Path, tmp_path: Path, hashed):
    folder = shared_data / "polygon" / "us_stocks_sip" / "day_aggs_v1"
    shutil.copytree(folder, tmp_path / "raw" / "us_stocks_sip" / "day_aggs_v1", copy_function=shutil.copyfile)
    lake = lake_at(tmp_path)
    assert len(raw_files(lake, DAY)) == len(hashed) == 501
    assert len(raw_files(lake, DAY)) == 501
    assert len(hashed) == 501
