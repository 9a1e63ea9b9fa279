"""Manifests in footers: round trip, order, damage, later formats."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.errors import PartitionError
from raypipe.lake.manifest import InputSummary, Manifest
from tests.lake.samples import manifest

text = st.text(max_size=20)
summaries = st.builds(InputSummary, text, text, st.integers(0, 10**6), text)
facts = st.dictionaries(st.text("abcxyz_", min_size=6, max_size=12), text, max_size=3)
manifests = st.builds(
    Manifest, text, text, text, st.integers(0, 99), text, text, st.dictionaries(text, summaries, max_size=3),
    rows=st.integers(0, 10**9), code_version=text, facts=facts,
)  # fmt: skip


@given(manifests)
def test_round_trip(one):
    stored = one.to_metadata()
    assert Manifest.from_metadata({b"ARROW:schema": b"...", **stored}) == one
    assert list(stored) == sorted(stored)


def test_order_of_inputs_and_facts_does_not_matter():
    one = replace(manifest(), inputs={"b": InputSummary("", "", 0, ""), "a": InputSummary("", "", 1, "")})
    other = replace(one, inputs=dict(reversed(one.inputs.items())))
    assert list(one.to_metadata().items()) == list(other.to_metadata().items())


def test_keys_are_readable_by_any_tool():
    stored = replace(manifest(), facts={"rth_open_ns": "7"}).to_metadata()
    assert stored[b"raypipe.fingerprint"] == b"f" * 64
    assert json.loads(stored[b"raypipe.lineage"])["raw/bars"]["count"] == 2
    assert stored[b"raypipe.rth_open_ns"] == b"7"
    assert not any(b"time" in key or b"creat" in key for key in stored)


def test_a_fact_may_not_replace_a_key():
    with pytest.raises(ValueError, match="fingerprint"):
        replace(manifest(), facts={"fingerprint": "x"}).to_metadata()


@pytest.mark.parametrize("metadata", [None, {}, {b"pandas": b"{}"}])
def test_files_of_others_are_told_apart(metadata):
    with pytest.raises(PartitionError, match="not written by raypipe"):
        Manifest.from_metadata(metadata)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"raypipe.rows", b"many"),
        (b"raypipe.lineage", b"{"),
        (b"raypipe.lineage", b'{"a": {"first": ""}}'),
        (b"raypipe.lineage", b"[]"),
        (b"raypipe.format", b""),
        (b"raypipe.fingerprint", None),
        (b"raypipe.table", b"\xff"),
    ],
)
def test_damage_is_a_partition_error(key, value):
    stored = manifest().to_metadata()
    stored.pop(key)
    if value is not None:
        stored[key] = value
    with pytest.raises(PartitionError, match="damaged"):
        Manifest.from_metadata(stored)


def test_later_formats_are_refused_with_advice():
    with pytest.raises(PartitionError, match="newer raypipe"):
        Manifest.from_metadata({**manifest().to_metadata(), b"raypipe.format": b"2"})
