"""The registry on S3: a version without its list does not exist, whatever upload was the last."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from raypipe.errors import DataQualityError, ModelError, UsageError
from raypipe.lake import faults
from raypipe.lake.location import Location
from raypipe.lake.objects import open_store
from raypipe.training.bundle_files import check_bundle, send_bundle
from raypipe.training.pin import make_pin, verify_pin
from raypipe.training.registry import load_registered, promote, rollback
from raypipe.training.registry_state import history, latest_of, versions_of
from tests.training.bundles import NAME, judged_bundles


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    return judged_bundles(tmp_path_factory.mktemp("bundles"), 2)


@pytest.fixture
def lake(moto_server, monkeypatch):
    for name, value in moto_server.env.items():
        monkeypatch.setenv(name, value)
    location = Location.parse(f"s3://{moto_server.bucket()}/lake", endpoint_url=moto_server.endpoint_url)
    yield location
    faults.arm(None)


def in_use(location):
    bundle, version = load_registered(location, NAME)
    latest = latest_of(open_store(location), NAME)
    assert (version, bundle.sha256) == (latest.version, latest.bundle_sha256)
    return bundle.sha256


@pytest.mark.parametrize("point", ["before_upload", "after_upload", "before_receipt"])
def test_a_promotion_that_stops_at_any_upload_leaves_a_whole_version_in_use(lake, bundles, point):
    old, new = (check_bundle(bundles / str(i)).sha256 for i in (0, 1))
    promote(lake, bundles / "0", NAME, approve=True)
    assert in_use(lake) == old
    stops = 0
    for nth in itertools.count(1, 3):
        faults.arm(f"{point}:raise,n={nth}")
        try:
            promote(lake, bundles / "1", NAME, approve=True)
        except RuntimeError:
            faults.arm(None)
            stops += 1
            assert in_use(lake) in {old, new}
            if in_use(lake) == new:
                rollback(lake, NAME, approve=True)
            continue
        faults.arm(None)
        break
    assert stops
    assert in_use(lake) == new
    assert history(open_store(lake), NAME)[-1]["bundle_sha256"] == new
    whole = versions_of(open_store(lake), NAME)
    assert whole["v0001"]
    assert sum(whole.values()) >= 2
    assert rollback(lake, NAME, to="v0001", approve=True).done
    assert in_use(lake) == old


def test_a_bundle_in_a_lake_on_s3_is_promoted_from_there(lake, bundles, tmp_path):
    store, facts = open_store(lake), check_bundle(bundles / "0")
    send_bundle(store, "runs/000000000000/bundle", bundles / "0")
    there = f"{lake.root}/runs/000000000000/bundle"
    before = {one.key for one in store.list("")}
    assert promote(lake, there, NAME).verdict == "pass"
    assert {one.key for one in store.list("")} == before
    assert promote(lake, f"{there}/", NAME, approve=True).version == "v0001"
    assert in_use(lake) == facts.sha256
    other = Location.parse(str(tmp_path / "lake"))
    from_s3 = promote(dataclasses.replace(lake, root=f"s3://{lake.bucket}/other"), there, NAME, approve=True)
    assert (from_s3.version, from_s3.bundle_sha256) == ("v0001", facts.sha256)
    assert promote(other, bundles / "0", NAME, approve=True).bundle_sha256 == facts.sha256


def test_what_is_not_as_it_should_be_on_s3_is_not_promoted(lake, bundles):
    store, prefix = open_store(lake), "runs/111111111111/bundle"
    there = f"{lake.root}/{prefix}"
    for nothing in (there, f"s3://{lake.bucket}"):
        with pytest.raises(UsageError, match="there is no bundle"):
            promote(lake, nothing, NAME)
    send_bundle(store, prefix, bundles / "1")
    metrics = store.read(f"{prefix}/holdout_metrics.json")
    store.delete(f"{prefix}/holdout_metrics.json")
    with pytest.raises(DataQualityError, match="was not judged") as caught:
        promote(lake, there, NAME, approve=True)
    assert caught.value.values["file"] == f"{there}/holdout_metrics.json"
    assert caught.value.hint == f"raypipe holdout --model {there}"
    store.put_bytes(f"{prefix}/holdout_metrics.json", metrics)
    store.put_bytes(f"{prefix}/splits.json", b"{}")
    with pytest.raises(ModelError):
        promote(lake, there, NAME, approve=True)
    assert latest_of(store, NAME) is None


def test_data_on_s3_are_pinned(lake):
    store = open_store(lake)
    store.put_bytes("data/a.csv", b"symbol,date\nA,2020-01-02\n")
    store.put_bytes("data/b.txt", b"seen")
    reach = {"endpoint_url": lake.endpoint_url}
    pin = make_pin(f"{lake.root}/data", **reach)
    assert [(one.path, one.rows) for one in pin.files] == [("a.csv", 1), ("b.txt", None)]
    verify_pin(pin, **reach)
    one = make_pin(f"{lake.root}/data/b.txt", **reach)
    assert [f.path for f in one.files] == ["b.txt"]
    store.put_bytes("data/c.txt", b"new")
    verify_pin(one, **reach)
    with pytest.raises(Exception, match=r"c\.txt"):
        verify_pin(pin, **reach)
