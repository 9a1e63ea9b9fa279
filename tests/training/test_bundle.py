"""Bundles: equal bytes, equal predictions in a fresh process, and nothing hostile gets in."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raypipe.errors import ModelError, RaypipeError, UsageError
from raypipe.training.bundle import load_bundle, load_stored_bundle, write_bundle
from raypipe.training.bundle_files import BUNDLE, METRICS, check_bundle, send_bundle
from tests.training.bundles import FEATURES, draft, files_of, panel, written

BOOSTERS = ("xgboost", "catboost", "lightgbm")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "b"
    written(folder, algorithms=("lightgbm",))
    return folder


@pytest.fixture
def bundle(template, tmp_path):
    return shutil.copytree(template, tmp_path / "b")


def relisted(folder: Path, name: str, data: bytes) -> Path:
    """Replace a file and its entry: what somebody does who can write bundle.json."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    note = json.loads((folder / BUNDLE).read_bytes())
    note["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (folder / BUNDLE).write_text(json.dumps(note))
    return folder / name


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


# --- what it is for --------------------------------------------------------------------------------


def test_equal_drafts_have_equal_bytes(tmp_path):
    of, one = written(tmp_path / "a", algorithms=BOOSTERS)
    again = write_bundle(tmp_path / "b", draft(of, algorithms=BOOSTERS))
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    assert one.sha256 == again.sha256


def predict(folder: str, out: str) -> None:
    """What a process says that has neither fitted nor loaded anything before."""
    p = load_bundle(Path(folder)).predict(panel())
    np.savez(out, z=p.z, p=p.p, naive=p.naive, **p.by_base)


@pytest.mark.parametrize(
    ("strategy", "algorithms"), [("mean", BOOSTERS), ("logistic", ("lightgbm",)), ("meta-mlp", ("lightgbm",))]
)
def test_loaded_in_a_fresh_process_it_says_the_same_to_the_last_bit(tmp_path, strategy, algorithms, forks):
    of = panel()
    made = draft(of, algorithms=algorithms, strategy=strategy, regime=("f3",))
    write_bundle(tmp_path / "b", made)
    here = load_bundle(tmp_path / "b").predict(of)
    for name, fitted in made.models.items():
        places = range(len(made.features["*" if name[1] == "_pooled" else name[1]]))
        np.testing.assert_array_equal(
            fitted.predict(of.x[:, places]), load_bundle(tmp_path / "b").fitted[name].predict(of.x[:, places])
        )
    assert forks.run("tests.training.test_bundle:predict", tmp_path / "b", tmp_path / "out.npz") == 0
    with np.load(tmp_path / "out.npz", allow_pickle=False) as there:
        assert set(there) == {"z", "p", "naive", *here.by_base}
        for name, values in {"z": here.z, "p": here.p, "naive": here.naive, **here.by_base}.items():
            np.testing.assert_array_equal(there[name], values)
    assert here.z.dtype == np.float64
    assert here.p.dtype == np.float32
    assert not np.isnan(here.z).any()


def test_columns_may_stand_in_any_order_and_symbols_may_be_new(bundle):
    of, loaded = panel(), load_bundle(bundle)
    turned = panel(features=FEATURES[::-1])
    other = type(of)(*(getattr(of, n) for n in of.__slots__[:5]), turned.features, of.x[:, ::-1])
    np.testing.assert_array_equal(loaded.predict(of).z, loaded.predict(other).z)
    new = panel(symbols=("AAA", "NEW"))
    said = loaded.predict(new)
    rows = new.rows_of("NEW")
    assert np.isnan(said.by_base["lightgbm.symbol"][rows]).all()
    np.testing.assert_array_equal(said.z[rows], said.by_base["lightgbm.pooled"][rows])
    assert not np.isnan(said.by_base["lightgbm.symbol"][new.rows_of("AAA")]).any()


def test_one_session_is_predicted_as_in_the_whole_panel(bundle):
    of, loaded = panel(), load_bundle(bundle)
    last = of.session_id == of.session_id.max()
    cut = type(of)(of.symbols, of.sessions, *(getattr(of, n)[last] for n in of.__slots__[2:5]), of.features, of.x[last])
    np.testing.assert_array_equal(loaded.predict(cut).z, loaded.predict(of).z[last])


# --- columns -----------------------------------------------------------------------------------


def test_a_missing_column_is_an_error_that_names_what_is_there(bundle):
    with pytest.raises(ModelError, match=r"missing \['f1', 'f3'\].*f9"):
        load_bundle(bundle).predict(panel(features=("f0", "f2", "f9")))


def test_a_retyped_column_is_an_error(bundle):
    schema = pa.schema([("f0", pa.float32()), ("f1", pa.float64()), ("f2", pa.float32()), ("f3", pa.float32())])
    with pytest.raises(ModelError, match="f1 is double, was float"):
        load_bundle(bundle).check_schema(schema, name="gold/model_panel")
    load_bundle(bundle).check_schema(pa.schema([(f, pa.float32()) for f in (*FEATURES, "x")]), name="t")


# --- what is refused ---------------------------------------------------------------------------


def test_a_folder_without_its_list_is_no_bundle(bundle):
    (bundle / BUNDLE).unlink()
    with pytest.raises(UsageError, match="no bundle"):
        load_bundle(bundle)


@pytest.mark.parametrize("name", ["models/lightgbm/_pooled/model.txt", "meta.json", "baseline.parquet"])
@pytest.mark.parametrize("harm", ["altered", "missing", "grown", "emptied"])
def test_a_file_that_is_not_as_listed_is_refused(bundle, name, harm):
    path, before = bundle / name, (bundle / name).read_bytes()
    after = {"altered": before[:-1] + b"#", "grown": before + b"\n", "emptied": b""}.get(harm)
    if after is None:
        path.unlink()
    else:
        path.write_bytes(after)
    with pytest.raises(ModelError) as caught:
        load_bundle(bundle)
    text = str(caught.value)
    assert str(path) in text
    assert hashlib.sha256(before).hexdigest() in text
    assert ("no file" if after is None else hashlib.sha256(after).hexdigest()) in text


@pytest.mark.parametrize("name", ["notes.txt", "models/lightgbm/_pooled/more.json", "models/x/_pooled/model.txt", ".x"])
def test_a_file_that_is_not_listed_is_refused(bundle, name):
    (bundle / name).parent.mkdir(parents=True, exist_ok=True)
    (bundle / name).write_bytes(b"{}")
    with pytest.raises(ModelError, match="does not list") as caught:
        check_bundle(bundle)
    assert hashlib.sha256(b"{}").hexdigest() in str(caught.value)


def test_what_the_gate_adds_is_expected(bundle):
    (bundle / METRICS).write_bytes(b"{}")
    check_bundle(bundle)
    (bundle / METRICS).write_bytes(pickle.dumps({}))
    with pytest.raises(ModelError, match="pickle"):
        check_bundle(bundle)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["models/lightgbm/_pooled/model.txt", "feature_config.yaml", "models/a/_pooled/m.pkl"])
def test_a_pickle_is_never_loaded_even_where_it_is_listed(bundle, tmp_path, protocol, name):
    relisted(bundle, name, pickle.dumps(Trap(tmp_path / "sprung"), protocol))
    with pytest.raises(ModelError, match="never a pickle"):
        load_bundle(bundle)
    assert not (tmp_path / "sprung").exists()


def test_an_array_of_objects_is_never_unpickled(bundle, tmp_path):
    path = bundle / "models/random_forest/_pooled/model.npz"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        np.savez(file, trees=np.array([Trap(tmp_path / "sprung")], dtype=object))
    relisted(bundle, "models/random_forest/_pooled/model.npz", path.read_bytes())
    load_bundle(bundle)  # listed, and named by nothing: it is not opened
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("to", ["inside", "outside", "folder", "dangling"])
def test_a_link_is_refused_wherever_it_leads(bundle, tmp_path, to):
    path = bundle / "models/lightgbm/_pooled/model.txt"
    outside = tmp_path / "model.txt"
    outside.write_bytes(path.read_bytes())
    if to == "folder":
        (bundle / "models/lightgbm/_pooled").rename(tmp_path / "moved")
        path = bundle / "models/lightgbm/_pooled"
    else:
        path.unlink()
    targets = {"inside": bundle / "meta.json", "outside": outside, "folder": tmp_path / "moved"}
    path.symlink_to(targets.get(to, tmp_path / "nothing"))
    with pytest.raises(ModelError, match="link"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"[]",
        b"{}",
        b"\x80\x04N.",
        b'{"schema": 9, "files": {"a": {"sha256": "", "bytes": 0}}}',
        b'{"schema": 1, "files": {}}',
        b'{"schema": 1, "files": {"../x": {"sha256": "", "bytes": 0}}}',
        b'{"schema": 1, "files": {"/etc/x": {"sha256": "", "bytes": 0}}}',
        b'{"schema": 1, "files": {"a": {"sha256": 1}}}',
        b"[" * 100_000,
    ],
)
def test_a_list_that_is_none_is_refused(bundle, note):
    (bundle / BUNDLE).write_bytes(note)
    with pytest.raises(ModelError, match=r"bundle\.json"):
        check_bundle(bundle)


def test_a_list_that_is_too_large_is_not_read(bundle):
    with (bundle / BUNDLE).open("r+b") as file:
        file.truncate(1 << 30)
    with pytest.raises(ModelError, match="1,073,741,824 bytes"):
        check_bundle(bundle)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("meta.json", b"{}"),
        ("meta.json", b'{"strategies": 3}'),
        ("features.json", b'{"scopes": []}'),
        ("models/lightgbm/_pooled/model.txt", b"tree\nnothing"),
        ("models/lightgbm/_pooled/model.meta.json", b"{}"),
    ],
)
def test_listed_nonsense_is_an_error_of_ours(bundle, name, data):
    relisted(bundle, name, data)
    with pytest.raises(RaypipeError):
        load_bundle(bundle)


@pytest.mark.parametrize("folder", ["../other/models/lightgbm/_pooled", "models/lightgbm/../lightgbm/_pooled", "."])
def test_a_model_outside_of_the_bundle_is_not_loaded(bundle, tmp_path, folder):
    shutil.copytree(bundle, tmp_path / "other")
    meta = json.loads((bundle / "meta.json").read_bytes())
    meta["models"][-1]["folder"] = folder
    relisted(bundle, "meta.json", json.dumps(meta).encode())
    with pytest.raises(ModelError, match="none of the bundle"):
        load_bundle(bundle)


def test_something_else_at_the_place_of_a_bundle_stays(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="is no bundle"):
        written(tmp_path / "b", algorithms=("lightgbm",))
    assert files_of(tmp_path) == {"b/thesis.txt": b"mine"}


# --- stores -------------------------------------------------------------------------------------


def test_through_a_store_it_is_the_same_bundle(bundle, tmp_path):
    from raypipe.lake.location import Location
    from raypipe.lake.objects import open_store

    store = open_store(Location.parse(str(tmp_path / "lake")))
    send_bundle(store, "registry/x/v0001", bundle)
    there = load_stored_bundle(store, "registry/x/v0001")
    assert there.sha256 == check_bundle(bundle).sha256
    np.testing.assert_array_equal(there.predict(panel()).z, load_bundle(bundle).predict(panel()).z)
    store.delete("registry/x/v0001/bundle.json")
    with pytest.raises(UsageError, match="no bundle"):
        load_stored_bundle(store, "registry/x/v0001")
