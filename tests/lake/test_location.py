"""Locations: what is accepted, in which one form, and that nothing secret is in them."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict

import pytest

from raypipe.errors import UnsafeNameError, UsageError
from raypipe.lake.location import Location
from raypipe.lake.store import Lake


def test_local_root_is_absolute_and_has_no_endpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    there = Location.parse("lake", endpoint_url="http://127.0.0.1:1", profile="p")
    assert there == Location(str(tmp_path / "lake"))
    assert there.is_local


def test_s3_root_bucket_and_prefix():
    there = Location.parse("s3://market/us/lake/", endpoint_url="http://127.0.0.1:9000/", profile="work")
    assert there == Location("s3://market/us/lake", "http://127.0.0.1:9000", "work")
    assert (there.bucket, there.prefix, there.is_local) == ("market", "us/lake/", False)
    assert Location.parse("s3://market").prefix == ""


@pytest.mark.parametrize(
    "root",
    [
        "",
        "a\0b",
        "a\nb",
        "../lake",
        "/data/../etc",
        "..\\lake",
        "s3://",
        "s3://ab",
        "s3://Upper",
        "s3://a..b",
        "s3://user:pw@bucket/x",
        "s3://bucket/../x",
        "s3://bucket//x",
        "s3://bucket/a\\b",
        "s3://bucket/~x",
    ],
)
def test_unsafe_roots_are_refused(root):
    with pytest.raises(UnsafeNameError):
        Location.parse(root)


@pytest.mark.parametrize("root", ["gs://bucket/x", "http://host/x", "file:///data", "S3://bucket"])
def test_unknown_schemes_are_refused(root):
    with pytest.raises(UsageError, match="s3://bucket/prefix"):
        Location.parse(root)


@pytest.mark.parametrize(
    ("endpoint", "profile"),
    [
        ("127.0.0.1:9000", None),
        ("ftp://host", None),
        ("http://u:canary@host", None),
        ("http://h?x=1", None),
        (None, "a\nb"),
    ],
)
def test_bad_endpoints_and_profiles_are_refused(endpoint, profile):
    with pytest.raises(UsageError) as caught:
        Location.parse("s3://bucket", endpoint_url=endpoint, profile=profile)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("root", ["s3://AKIA:canary@bucket/x", "https://AKIA:canary@host/x"])
def test_a_secret_in_an_address_is_not_repeated(root):
    with pytest.raises(UsageError) as caught:
        Location.parse(root)
    assert "canary" not in str(caught.value)
    assert "AKIA" not in str(caught.value)


def test_round_trips():
    there = Location.parse("s3://market/us", endpoint_url="https://host:1", profile="p")
    assert pickle.loads(pickle.dumps(there)) == there
    assert Location(**json.loads(json.dumps(asdict(there)))) == there
    assert hash(there) == hash(Location(**asdict(there)))


def test_pickles_carry_no_credentials(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "canary-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-secret")
    lake = Lake(Location.parse("s3://market/us", endpoint_url="http://127.0.0.1:1"))
    assert lake.store.uri == "s3://market/us"  # the client exists, with its credentials
    for value in (lake, lake.location):
        assert b"canary" not in pickle.dumps(value)
        assert "canary" not in repr(value)
    assert pickle.loads(pickle.dumps(lake)).location == lake.location
