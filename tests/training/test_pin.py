"""Pins: equal data have equal pins, and whatever changes is named with both hashes."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.errors import DataQualityError, UsageError
from raypipe.training.pin import Input, Pin, find_input, make_pin, open_input, read_pin, verify_pin


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "data"
    (root / "deep").mkdir(parents=True)
    days = [dt.date(2020, 1, 2), dt.date(2020, 1, 3), dt.date(2020, 1, 6)]
    pq.write_table(pa.table({"symbol": ["A", "B", "A"], "date": days, "close": [1.0, 2, 3]}), root / "a.parquet")
    pq.write_table(pa.table({"session": days[:2], "close": [1.0, 2]}), root / "deep" / "symbol=BRK.B.parquet")
    (root / "b.csv.gz").write_bytes(gzip.compress(b"ticker,date,close\nZ,2019-12-31,1\n"))
    (root / "notes.txt").write_text("seen")
    return root


def test_a_pin_says_what_there_is(folder):
    pin = make_pin(str(folder))
    assert [one.path for one in pin.files] == ["a.parquet", "b.csv.gz", "deep/symbol=BRK.B.parquet", "notes.txt"]
    assert [one.rows for one in pin.files] == [3, 1, 2, None]
    assert (pin.start, pin.end, pin.n_symbols) == ("2019-12-31", "2020-01-06", 4)
    assert pin.files[3].sha256 == hashlib.sha256(b"seen").hexdigest()
    raw = json.loads(pin.to_json())
    assert set(raw) == {"schema", "uri", "files", "start", "end", "n_symbols", "pin_sha256"}
    assert Pin.from_json(pin.to_json()) == pin
    verify_pin(pin)


def test_equal_data_elsewhere_have_the_same_hash(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    assert make_pin(str(folder)).sha256 == make_pin(str(tmp_path / "copy")).sha256
    one = make_pin(str(folder / "a.parquet"))
    assert [f.path for f in one.files] == ["a.parquet"]
    verify_pin(one)
    (folder / "b.csv.gz").unlink()  # beside the file that is pinned
    verify_pin(one)


@pytest.mark.parametrize("harm", ["changed", "gone", "more", "folder"])
def test_what_differs_is_named_with_both_hashes(folder, harm):
    pin, path = make_pin(str(folder)), folder / "notes.txt"
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    if harm == "changed":
        path.write_text("seem")
    elif harm == "more":
        path = folder / "deep" / "new.csv"
        path.write_text("x\n")
    else:
        path.unlink()
        if harm == "folder":
            path.mkdir()
    with pytest.raises(DataQualityError) as caught:
        verify_pin(pin)
    text = str(caught.value)
    assert path.name in text
    assert (before in text) == (harm != "more")
    if harm in {"changed", "more"}:
        assert hashlib.sha256(path.read_bytes()).hexdigest() in text


@pytest.mark.parametrize("edit", ["sha", "rows", "schema", "file", "text", "list"])
def test_an_edited_pin_is_refused(folder, tmp_path, edit):
    raw = json.loads(make_pin(str(folder)).to_json())
    if edit == "sha":
        raw["files"][0]["sha256"] = "0" * 64
    elif edit == "rows":
        raw["files"][0]["rows"] = 4
    elif edit == "schema":
        raw["schema"] = 2
    elif edit == "file":
        raw["files"].pop()
    path = tmp_path / "pin.json"
    path.write_text("pin" if edit == "text" else "[]" if edit == "list" else json.dumps(raw))
    with pytest.raises(DataQualityError, match=r"pin"):
        read_pin(str(path))


def test_nothing_cannot_be_pinned(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(UsageError, match="no file to pin"):
            make_pin(str(path))
    with pytest.raises(UsageError, match="no pin"):
        read_pin(str(tmp_path / "none.json"))


def test_a_damaged_file_cannot_be_pinned(folder):
    (folder / "a.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(DataQualityError, match=r"a\.parquet"):
        make_pin(str(folder))


def test_who_says_it_first_is_heard(tmp_path):
    env = {"PINNED_DATA_S3": "p", "LAST_DATA_S3": "l"}
    assert find_input(None, {}, tmp_path) is None
    assert find_input(None, {}, tmp_path, "c") == Input("c", "configuration")
    (tmp_path / "last_dataset_uri.txt").write_text("s3://bucket/x\n")
    assert find_input(None, {}, tmp_path, "c") == Input("s3://bucket/x", "file last_dataset_uri.txt")
    assert find_input(None, {"LAST_DATA_S3": "l"}, tmp_path, "c").uri == "l"
    assert find_input(None, env, tmp_path, "c").uri == "p"
    assert find_input("f", env, tmp_path, "c") == Input("f", "flag")


def test_a_pin_gives_way_to_what_it_pins_once_it_is_verified(folder, tmp_path):
    path = tmp_path / "pin.json"
    pin = make_pin(str(folder))
    path.write_bytes(pin.to_json())
    opened = open_input(Input(str(path), "flag"))
    assert (Path(opened.uri), opened.pin_sha256) == (folder, pin.sha256)
    assert "flag" in opened.origin
    assert open_input(Input(str(folder), "flag")) == Input(str(folder), "flag")
    (folder / "notes.txt").write_text("other")
    with pytest.raises(DataQualityError, match=r"notes\.txt"):
        open_input(Input(str(path), "flag"))
