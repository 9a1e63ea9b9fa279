"""promote, rollback, predict and pin, as people call them."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.calendar import calendar
from raypipe.config import load_config
from raypipe.lake.location import Location
from raypipe.lake.manifest import Manifest
from raypipe.lake.store import Lake
from raypipe.pipeline.views import declared_tables
from raypipe.report.gates import GATES
from raypipe.schema.predictions import PREDICTIONS
from raypipe.training.bundle import load_bundle, write_bundle
from tests.training.bundles import draft, files_of, judged, panel

PANEL = "gold/model_panel"


@pytest.fixture(scope="module")
def templates(tmp_path_factory):
    root = tmp_path_factory.mktemp("bundles")
    made = draft(panel(), algorithms=("logistic",))
    for i in range(2):
        write_bundle(root / str(i), dataclasses.replace(made, facts={**made.facts, "run_id": f"{i:012d}"}))
        judged(root / str(i))
    return root


@pytest.fixture
def place(templates, tmp_path, monkeypatch):
    """A lake, and bundles beside it; the current folder."""
    shutil.copytree(templates, tmp_path / "bundles")
    (tmp_path / "lake").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- promote and rollback --------------------------------------------------------------------------


def test_promote_prints_the_table_and_asks_for_approval(raypipe, place):
    call = ("promote", "--root", "lake", "--model-path", "bundles/0", "--name", "vol")
    for extra in ((), ("--dry-run",), ("--dry-run-prod",), ("--approve", "--dry-run"), ("--approve", "--dry-run-prod")):
        result = raypipe(*call, *extra)
        assert result.code == 0
        assert all(name in result.out for name in GATES)
        assert "would be promoted" in result.out
        assert files_of(place / "lake") == {}
    done = raypipe(*call, "--approve", "--json")
    assert (done.code, done.json["version"], done.json["verdict"]) == (0, "v0001", "pass")
    assert len(done.json["gates"]) == len(GATES)
    second = raypipe("promote", "--root", "lake", "--model-path", "bundles/1", "--name", "vol", "--dry-run-prod")
    assert "in use: v0001" in second.out


def test_a_failing_gate_ends_with_3_and_changes_nothing(raypipe, place):
    judged(place / "bundles/0", auc=0.55)
    result = raypipe("promote", "--root", "lake", "--model-path", "bundles/0", "--name", "vol", "--approve")
    assert result.code == 3
    assert "FAIL" in result.out
    assert "no way round" in result.out
    assert files_of(place / "lake") == {}


def test_rollback_needs_approval_too(raypipe, place):
    for i in range(2):
        raypipe("promote", "--root", "lake", "--model-path", f"bundles/{i}", "--name", "vol", "--approve")
    before = files_of(place / "lake")
    assert "add --approve" in raypipe("rollback", "--root", "lake", "--name", "vol").out
    assert files_of(place / "lake") == before
    result = raypipe("rollback", "--root", "lake", "--name", "vol", "--approve", "--json")
    assert (result.code, result.json["from"], result.json["to"]) == (0, "v0002", "v0001")
    assert raypipe("rollback", "--root", "lake", "--name", "vol", "--to", "v0007", "--approve").code == 2


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("promote", "--name", "vol"), 2),
        (("promote", "--model-path", "bundles/0"), 2),
        (("promote", "--model-path", "nowhere", "--name", "vol"), 2),
        (("promote", "--model-path", "bundles/0", "--name", "../x"), 2),
        (("rollback",), 2),
        (("rollback", "--name", "none"), 2),
        (("predict",), 2),
        (("predict", "--name", "none"), 2),
        (("predict", "--name", "vol", "--session", "2020-01-02", "--start", "2020-01-02"), 2),
    ],
)
def test_what_is_missing_is_said(raypipe, place, args, code):
    assert raypipe(*args, "--root", "lake").code == code


# --- predict ---------------------------------------------------------------------------------------


@pytest.fixture
def stored(place):
    """A panel in the lake, and a model in use that was made of it."""
    (place / "symbols.txt").write_text("AAA\nBRK.B\n")
    config = load_config(flags={"lake.root": str(place / "lake"), "panel.symbols_file": str(place / "symbols.txt")})
    spec = declared_tables(config)[PANEL]
    names = tuple(one.name for one in spec.columns if one.dtype == "f32")
    of = panel(30, symbols=("AAA", "BRK.B"), features=names)
    days = np.array(calendar().dates(*(d.item() for d in of.sessions[[0, -1]])), "datetime64[D]")[:20]
    rows = of.session_id < len(days)
    order = np.lexsort((of.session_id[rows], of.symbol_id[rows]))
    at = of.session_id[rows][order]
    columns = {
        name: pa.array(of.column(name)[rows][order], mask=np.isnan(of.column(name)[rows][order])) for name in names
    }
    columns |= {
        "symbol_id": pa.array(of.symbol_id[rows][order]),
        "session": pa.array(days[at].astype(np.int32)).view(pa.date32()),
        "symbol": pa.DictionaryArray.from_arrays(
            pa.array(of.symbol_id[rows][order].astype(np.int32)), ["AAA", "BRK.B"]
        ),
        "session_id": pa.array(at),
        "decision_ns": pa.array(days[at].astype("datetime64[ns]").astype(np.int64) + 22 * 3600 * 10**9),
    }
    manifest = Manifest(PANEL, "all", "f" * 32, 1, "p", spec.digest)
    Lake(Location.parse(str(place / "lake"))).write(spec, "all", spec.build(columns), manifest)
    return place, days, of, names


def test_predict_writes_sessions_of_the_panel_and_refuses_a_panel_without_a_column(raypipe, stored):
    place, days, of, names = stored
    made = draft(panel(features=("f0", "f1", "f2", "f3")), algorithms=("logistic",))
    four = names[:4]
    renamed = {scope: [four[int(name[1])] for name in chosen] for scope, chosen in made.features.items()}
    columns = [{**one, "name": four[i]} for i, one in enumerate(made.columns)]
    meta = {**made.meta, "naive": {"feature": four[0], "sign": 1, "fill": 0.0}}
    write_bundle(place / "b", dataclasses.replace(made, features=renamed, columns=columns, meta=meta))
    call = ("--root", "lake", "--symbols-file", "symbols.txt", "--name", "vol")
    assert (
        raypipe("promote", "--root", "lake", "--model-path", judged(place / "b"), "--name", "vol", "--approve").code
        == 0
    )
    newest = raypipe("predict", *call, "--json")
    assert newest.code == 0, newest.err
    assert [one["session"] for one in newest.json["sessions"]] == [str(days[-1])]
    assert newest.json["sessions"][0]["rows"] == 2
    every = raypipe("predict", *call, "--start", days[0], "--end", days[-1], "--json")
    assert [one["status"] for one in every.json["sessions"]] == ["built"] * (len(days) - 1) + ["current"]
    lake = Lake(Location.parse(str(place / "lake")))
    found = lake.read(PREDICTIONS, str(days[3]))
    told = load_bundle(place / "b").predict(of).p[(of.session_id == 3)]
    np.testing.assert_array_equal(found["p"].to_numpy(), told)
    other = dataclasses.replace(made, features={"*": ["gone"]}, columns=[{**columns[0], "name": "gone"}], meta=meta)
    write_bundle(place / "c", other)
    raypipe("promote", "--root", "lake", "--model-path", judged(place / "c"), "--name", "vol", "--approve")
    refused = raypipe("predict", *call)
    assert refused.code == 1
    assert "missing ['gone']" in refused.err
    assert raypipe("predict", *call[:-1], "vol@v0001", "--session", days[3]).code == 0


# --- pin ---------------------------------------------------------------------------------------------


def test_pin_and_what_becomes_of_it_when_data_change(raypipe, place, monkeypatch):
    (place / "data").mkdir()
    pq.write_table(pa.table({"symbol": ["A"], "session": ["2020-01-02"]}), place / "data" / "a.parquet")
    made = raypipe("pin", "--input", "data", "--output", "pin.json", "--json")
    assert (made.code, made.json["files"], made.json["origin"]) == (0, 1, "flag")
    assert raypipe("pin", "--input", "pin.json", "--verify").code == 0
    monkeypatch.setenv("PINNED_DATA_S3", "pin.json")
    assert "environment PINNED_DATA_S3" in raypipe("pin", "--verify").out
    (place / "data" / "a.parquet").write_bytes(b"other")
    refused = raypipe("pin", "--input", "pin.json", "--verify")
    assert refused.code == 3
    assert "a.parquet" in refused.err
    monkeypatch.delenv("PINNED_DATA_S3")
    assert raypipe("pin").code == 2
    assert raypipe("pin", "--input", "data", "--output", "data/pin.json").code == 2
    assert raypipe("pin", "--input", "nowhere").code == 2
