"""Windows of indicators from a run over bars to predictions in a fresh process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from raypipe.calendar import calendar
from raypipe.cli.main import main
from raypipe.config import load_config
from raypipe.lake.store import Lake
from raypipe.schema.predictions import PREDICTIONS
from raypipe.sources.synthetic.daily import SIGNAL_TARGET, daily_csv
from raypipe.training.bars import load_bars
from raypipe.training.bundle import load_bundle
from raypipe.training.indicators import NAMES, check_windows
from raypipe.training.workspace import Workspace
from tests.training.planted_lake import PROFILE, SYMBOLS
from tests.training.planted_lake import SESSIONS as SHORT

ROOT = Path(__file__).parents[2]
SESSIONS = calendar().between(SHORT[0].date, SHORT[0].date.replace(year=2022, month=12, day=30))
CHANGES = {
    "algorithms: [logistic, lightgbm], n_configs: 2": "algorithms: [lightgbm], n_configs: 2, windows: true",
    SHORT[-100].key: SESSIONS[-100].key,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder after one run, and what the run says of its models."""
    root = tmp_path_factory.mktemp("windows")
    raw = root / "lake" / "raw" / "ohlcv_1d"
    raw.mkdir(parents=True)
    (raw / "bars.csv").write_bytes(daily_csv(7, SESSIONS, len(SYMBOLS)))
    (root / "symbols.txt").write_text("\n".join(SYMBOLS) + "\n", encoding="utf-8")
    text = PROFILE
    for old, new in CHANGES.items():
        assert old in text
        text = text.replace(old, new)
    (root / "raypipe.yaml").write_text(f"lake: {{root: {root / 'lake'}}}\n{text}", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("XDG_STATE_HOME", str(root / "state"))
        out = root / "out.json"
        with out.open("w") as file:
            patch.setattr("sys.stdout", file)
            assert main(["run", "--json"]) == 0
    return root, json.loads(out.read_text())["models"]


@pytest.fixture
def root(made, monkeypatch):
    monkeypatch.chdir(made[0])
    monkeypatch.setenv("XDG_STATE_HOME", str(made[0] / "state"))
    return made[0]


def test_a_run_searches_windows_and_judges_what_it_found(made):
    _, models = made
    assert models["status"] == "pass"
    bundle = load_bundle(Path(models["bundle"]))
    assert bundle.windows == {("lightgbm", "_pooled"): check_windows(bundle.windows["lightgbm", "_pooled"])}
    assert set(bundle.note["panel_fingerprints"]) == {"gold/model_panel", "silver/bars_1d"}
    best = json.loads((Path(models["bundle"]).parent / "best_lightgbm.json").read_text())
    assert best["hyperparameters"]["_pooled"].items() >= bundle.windows["lightgbm", "_pooled"].items()
    assert json.loads((Path(models["bundle"]) / "holdout_metrics.json").read_text())["auc"] > 0.55
    assert "macd_fast" in Path(models["page"]).read_text()


def test_a_fresh_process_predicts_what_the_bundle_says(made, root):
    folder = Path(made[1]["bundle"])
    assert main(["promote", "--model-path", str(folder), "--name", SIGNAL_TARGET, "--approve"]) == 0
    command = [sys.executable, "-m", "raypipe", "predict", "--name", SIGNAL_TARGET]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=root, env=env, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    config = load_config(env={}, folder=root)
    workspace = Workspace.open(config, SIGNAL_TARGET)
    bars = load_bars(config, workspace.panel)
    told = load_bundle(folder).predict(workspace.panel, bars)
    newest = workspace.panel.session_id == workspace.panel.session_id.max()
    stored = Lake(config.lake.location)
    rows = stored.read(PREDICTIONS, SESSIONS[-1].key).to_pylist()
    assert [row["symbol"] for row in rows] == sorted(SYMBOLS)
    order = np.argsort([SYMBOLS[i] for i in workspace.panel.symbol_id[newest]])
    assert [row["p"] for row in rows] == told.p[newest][order].tolist()
    manifest = stored.manifest(PREDICTIONS, SESSIONS[-1].key)
    assert set(manifest.inputs) == {"gold/model_panel", "silver/bars_1d"}
    assert manifest.inputs["silver/bars_1d"].count == len(SYMBOLS)


def test_the_parameters_of_the_search_train_one_model(made, root, capsys):
    folder = Path(made[1]["bundle"]).parent
    args = ("--params-from", str(folder / "best_lightgbm.json"), "--splits", str(folder / "splits.json"))
    capsys.readouterr()
    data = ("--data-path", "gold/model_panel", "--target", SIGNAL_TARGET, "--output-dir", "models")
    assert main(["train", "--algorithm", "lightgbm", *args, *data, "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert results["params"]["features"][-len(NAMES) :] == list(NAMES)
    assert results["params"]["windows"] == load_bundle(folder / "bundle").windows["lightgbm", "_pooled"]
    assert set(NAMES) < set(results["feature_importance"])


def test_without_bars_there_are_no_windows(made, root, capsys):
    bars = root / "lake" / "silver" / "bars_1d"
    folder = Path(made[1]["bundle"]).parent
    shutil.move(bars, root / "away")
    try:
        files = ("--splits", str(folder / "splits.json"), "--features", str(folder / "feature_config.yaml"))
        for command in (["tune", *files], ["holdout", "--model", str(folder / "bundle")]):
            assert main(command) == 2
            assert "silver/bars_1d has none of" in capsys.readouterr().err
    finally:
        shutil.move(root / "away", bars)
