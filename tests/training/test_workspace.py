"""Panels and targets of a lake, of other tables and of files; and files of splits that are verified when read."""

from __future__ import annotations

import dataclasses
import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.calendar import calendar
from raypipe.errors import PartitionError, SourceError, SplitsError, UsageError
from raypipe.training.inputs import Asked
from raypipe.training.workspace import Workspace, publish, target_name
from tests.training.model_lake import SESSIONS, SYMBOLS, config_of, make_lake


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    make_lake(root)
    return root


def opened(root, target="direction_5d", *sets: str, **asked: str) -> Workspace:
    return Workspace.open(config_of(root, *sets), target, Asked(**asked) if asked else None)


def test_the_panel_of_the_lake(root):
    workspace = opened(root)
    panel, target = workspace.panel, workspace.target
    assert panel.symbols == (*SYMBOLS, "NONE")
    assert workspace.lacking == ("NONE",)
    assert len(panel.features) == 92 + 5
    assert panel.rows == 6 * 420
    assert target.known.sum() == 6 * (420 - 6)
    assert (panel.decision_ns <= target.start_ns)[target.known].all()


def test_splits_are_verified_when_they_are_read(root, tmp_path):
    workspace = opened(root)
    splits = workspace.make_splits(holdout_start=dt.date(2021, 6, 1))
    path = tmp_path / "deep" / "splits.json"
    publish(path, splits.to_json())
    assert workspace.read_splits(path) == splits
    rows = workspace.fold_rows(splits)
    assert [len(fold.test) for fold in rows] == [fold.n_test_rows for fold in splits.folds]
    assert set(np.concatenate([fold.test for fold in rows])) <= set(workspace.cv_rows(splits))
    assert not set(workspace.holdout_rows(splits)) & set(workspace.cv_rows(splits))
    with pytest.raises(SplitsError, match="rule V2"):
        opened(root, "direction_1d").read_splits(path)
    with pytest.raises(UsageError, match="cannot be read"):
        workspace.read_splits(tmp_path / "none.json")


def test_other_tables_of_the_lake(root):
    workspace = opened(root, data="silver/bars_1d", features="div_factor")
    assert workspace.panel.symbols == SYMBOLS
    assert workspace.panel.features == ("div_factor",)
    plain = opened(root, data="panel_technical")
    assert len(plain.panel.features) == 92
    assert np.array_equal(plain.panel.x, opened(root).panel.x[:, :92], equal_nan=True)
    levels = opened(root, "direction_5d", "panel.keep_levels=true", data="silver/bars_1d")
    assert "close" in levels.panel.features


def exported(root, path, **more: pa.Array) -> pa.Table:
    """The panel as a file that knows nothing of roles."""
    panel = opened(root).panel
    session = panel.sessions[panel.session_id]
    table = pa.table(
        {
            "ticker": pa.array([panel.symbols[i] for i in panel.symbol_id]),
            "date": pa.array(session.astype("datetime64[D]")),
            "rsi": pa.array(panel.column("rsi_14d"), mask=np.isnan(panel.column("rsi_14d"))),
            "vol": pa.array(panel.column("volatility_20d"), mask=np.isnan(panel.column("volatility_20d"))),
            "close": pa.array(np.ones(panel.rows)),
            "direction_1d": pa.array(np.ones(panel.rows)),
            **more,
        }
    )
    pq.write_table(table, path) if path.suffix == ".parquet" else pa.csv.write_csv(table, path)
    return table


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_files_need_their_features_named(root, tmp_path, suffix):
    import pyarrow.csv  # noqa: F401 - pa.csv

    path = tmp_path / f"mine.{suffix}"
    exported(root, path)
    asked = {"data": str(path)}
    with pytest.raises(UsageError, match="does not say which of its columns are features"):
        opened(root, **asked)
    workspace = opened(root, features="vol,rsi", **asked)
    assert workspace.panel.features == ("vol", "rsi")
    assert np.array_equal(workspace.panel.x[:, 1], opened(root).panel.column("rsi_14d"), equal_nan=True)
    first = calendar().session(SESSIONS[0].date)
    assert workspace.panel.decision_ns[0] == first.ext_end_ns
    (tmp_path / "names.txt").write_text("rsi  # one\n\nvol\n", encoding="utf-8")
    assert opened(root, features=f"@{tmp_path / 'names.txt'}", **asked).panel.features == ("rsi", "vol")
    assert opened(root, features="re:r.*|v.*", **asked).panel.features == ("rsi", "vol")
    with pytest.raises(UsageError, match="begins 14400 s before the features"):
        opened(root, "vol_regime_20d", features="rsi", **asked)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ("rsi,close", "close is a column of raw bars"),
        ("direction_1d", r"direction_1d is a label \(gold/targets\)"),
        ("re:.*", "cannot be a feature"),
        ("rsi,nothing", "there is no feature 'nothing'"),
        ("re:(", "is no pattern"),
        ("re:zzz", "names none"),
        ("@none.txt", "none.txt cannot be read"),
    ],
)
def test_wrong_features_are_refused(root, tmp_path, features, message):
    path = tmp_path / "mine.parquet"
    exported(root, path)
    with pytest.raises(UsageError, match=message):
        opened(root, data=str(path), features=features)


def test_a_file_may_bring_its_own_labels(root, tmp_path):
    panel = opened(root).panel
    ends = pa.array(panel.decision_ns + 3 * 10**9 * 3600 * 24)
    label = np.random.default_rng(1).integers(0, 2, panel.rows).astype(float)
    mine = pa.array(label, mask=np.arange(panel.rows) % 7 == 0)
    path = tmp_path / "mine.parquet"
    exported(root, path, mine=mine, mine_end=ends, decision_ns=pa.array(panel.decision_ns))
    workspace = Workspace.open(
        config_of(root), "", Asked(str(path), features="rsi,vol", label="mine", label_end="mine_end")
    )
    target = workspace.target
    assert (target.name, target.kind) == ("mine", "class")
    assert target.known.sum() == panel.rows - len(range(0, panel.rows, 7))
    assert workspace.panel.symbols == SYMBOLS  # the list was named
    few = dataclasses.replace(workspace.config, origin={})
    everybody = Workspace.open(few, "", Asked(str(path), features="rsi", label="mine", label_end="mine_end"))
    assert everybody.panel.symbols == tuple(sorted(SYMBOLS))
    splits = workspace.make_splits()
    workspace.verify(splits.to_json())
    with pytest.raises(UsageError, match="go together"):
        Workspace.open(config_of(root), "", Asked(str(path), features="rsi", label="mine"))
    with pytest.raises(UsageError, match="has no column 'other'"):
        Workspace.open(config_of(root), "", Asked(str(path), features="rsi", label="mine", label_end="other"))


def test_what_is_not_there_is_said(root, tmp_path):
    with pytest.raises(UsageError, match="is no table of the lake, and no Parquet or CSV file"):
        opened(root, data=str(tmp_path / "none.parquet"))
    with pytest.raises(UsageError, match="go with --data-path"):
        opened(root, features="a")
    with pytest.raises(UsageError, match=r"silver/daily has no row in this lake"):
        opened(root, data="silver/daily")
    with pytest.raises(UsageError, match="needs a horizon"):
        opened(root, "direction_5d", "forward_labels.horizons=[1]")
    (tmp_path / "bad.parquet").write_bytes(b"no")
    with pytest.raises(SourceError, match="cannot be read"):
        opened(root, data=str(tmp_path / "bad.parquet"))
    pq.write_table(pa.table({"symbol": ["A"], "x": [1.0]}), tmp_path / "keys.parquet")
    with pytest.raises(SourceError, match="no column session or date"):
        opened(root, data=str(tmp_path / "keys.parquet"), features="x")
    bare = config_of(tmp_path.parent, "panel.symbols_file=configs/symbols_46.txt")
    with pytest.raises(UsageError, match="no list of symbols"):
        Workspace.open(bare, "direction_5d")


def test_a_lake_without_targets(root, tmp_path):
    config = config_of(root, f"lake.root={tmp_path}")
    with pytest.raises(PartitionError, match="no such partition"):
        Workspace.open(config, "direction_5d")


def test_targets_have_names():
    assert target_name("direction_5d", 5) == "direction_5d"
    with pytest.raises(UsageError, match="looks 5 sessions ahead, not 20"):
        target_name("direction_5d", 20)
    with pytest.raises(UsageError, match="no target 'direction_7d'"):
        target_name("direction", 7)
