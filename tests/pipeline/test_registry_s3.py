"""The registry on S3: a version without its list does not exist, whatever upload was the last."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from raypipe.lake import faults
from raypipe.lake.location import Location
from raypipe.lake.objects import open_store
from raypipe.pipeline.bundle import write_bundle
from raypipe.pipeline.bundle_files import check_bundle
from raypipe.pipeline.pin import make_pin, verify_pin
from raypipe.pipeline.registry import load_registered, promote, rollback
from raypipe.pipeline.registry_state import history, latest_of, versions_of
from tests.pipeline.bundles import NAME, draft, judged, panel


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    root, made = tmp_path_factory.mktemp("bundles"), draft(panel(), algorithms=("logistic",))
    for i in range(2):
        write_bundle(root / str(i), dataclasses.replace(made, facts={**made.facts, "run_id": f"{i:012d}"}))
        judged(root / str(i))
    return root


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
