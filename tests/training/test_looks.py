"""Looks at hold-outs: counted where windows overlap, once each, and never lost in silence."""

from __future__ import annotations

import json

import pytest

from raypipe.errors import DataQualityError, UnsafeNameError
from raypipe.lake.location import Location
from raypipe.lake.objects import open_store
from raypipe.training.looks import check_name, earlier_looks, record_look

A, B = "a" * 64, "b" * 64


@pytest.fixture
def store(tmp_path):
    return open_store(Location.parse(str(tmp_path)))


def look(bundle, start="2023-01-03", end="2023-12-29"):
    return {"bundle_sha256": bundle, "start": start, "end": end}


def count(store, bundle=A, start="2023-01-03", end="2023-12-29", name="vol"):
    return earlier_looks(store, name, bundle, start, end)


def test_what_else_was_looked_at_counts(store):
    assert count(store) == 0
    record_look(store, "vol", look(A))
    assert count(store) == 0
    record_look(store, "vol", look(B))
    record_look(store, "vol", look(B))
    assert count(store) == 1
    assert count(store, B) == 1
    assert count(store, name="other") == 0


@pytest.mark.parametrize(
    ("start", "end", "overlaps"),
    [
        ("2022-01-03", "2022-12-30", False),
        ("2024-01-02", "2024-06-28", False),
        ("2022-01-03", "2023-01-03", True),
        ("2023-12-29", "2024-06-28", True),
        ("2023-06-01", "2023-06-30", True),
        ("2020-01-02", "2025-06-30", True),
    ],
)
def test_only_windows_that_overlap_count(store, start, end, overlaps):
    record_look(store, "vol", look(B, start, end))
    assert count(store) == int(overlaps)


def test_another_window_of_the_same_bundle_is_another_look(store):
    record_look(store, "vol", look(A, end="2023-06-30"))
    assert count(store) == 1


def test_a_look_that_cannot_be_read_is_not_passed_over(store):
    key = record_look(store, "vol", look(B))
    store.put_bytes(key, b"{")
    with pytest.raises(DataQualityError, match=r"not a look"):
        count(store)
    store.put_bytes(key, json.dumps({"start": "2023-01-03"}).encode())
    with pytest.raises(DataQualityError, match="bundle_sha256"):
        count(store)


@pytest.mark.parametrize("name", ["", "..", "a/b", "a" * 65, "-x", "a b", "a\n"])
def test_names_outside_the_allow_list_are_refused(name):
    with pytest.raises(UnsafeNameError):
        check_name(name)
    assert check_name("vol-20d_v1.2") == "vol-20d_v1.2"
