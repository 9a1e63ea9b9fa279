"""Real daily bars of 46 symbols: from the file to targets, panel and splits."""

from __future__ import annotations

import datetime as dt
import shutil
import threading
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from raypipe.config import Config, load_config
from raypipe.lake.store import Lake
from raypipe.pipeline.driver import execute
from raypipe.pipeline.executor import Serial
from raypipe.pipeline.plan import Request, make_plan
from raypipe.training.workspace import Workspace
from tests.reference import targets as naive

FILE = "ohlcv_46_2018_2023.parquet"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def config(shared_data, tmp_path_factory) -> Config:
    root = tmp_path_factory.mktemp("forty_six")
    raw = root / "lake" / "raw" / "ohlcv_1d"
    raw.mkdir(parents=True)
    shutil.copy(shared_data / "daily" / FILE, raw)
    sets = ("run.executor=serial", "ingest.adjustment=full", "universe.min_price_usd=0")
    sets = (*sets, f"panel.symbols_file={ROOT / 'configs' / 'symbols_46.txt'}")
    config = load_config(env={}, folder=root, sets=[f"lake.root={root / 'lake'}", *sets])
    execute(make_plan(Lake(config.lake.location), config.params, Request()), Serial(), stop=threading.Event())
    return config


def test_every_listed_symbol_has_every_session(config):
    workspace = Workspace.open(config, "direction_1d")
    assert workspace.lacking == ()
    assert workspace.panel.symbols[:3] == ("AAPL", "MSFT", "AMZN")
    assert (workspace.panel.rows, len(workspace.panel.sessions)) == (46 * 1_509, 1_509)
    assert workspace.target.known.sum() == 46 * (1_509 - 2)


@pytest.mark.parametrize("target", ["direction_5d", "vol_regime_20d", "forward_return_20d"])
@pytest.mark.parametrize("scheme", ["walk_forward", "cpcv"])
def test_splits_pass_the_verifier(config, target, scheme):
    workspace = Workspace.open(config, target)
    cv = workspace.cv.model_copy(update={"scheme": scheme})
    chosen = Workspace(
        Config(config.lake, config.run, config.ingest, {**config.params, "cv": cv}), workspace.panel, workspace.target
    )
    splits = chosen.make_splits(holdout_start=dt.date(2023, 1, 1))
    assert len(splits.folds) == (5 if scheme == "walk_forward" else 15)
    assert splits.holdout == ("2023-01-03", "2023-12-29")
    rows = chosen.cv_rows(splits)
    edge = int(np.datetime64("2022-12-23T00:00", "ns").astype(np.int64))
    assert workspace.target.end_ns[rows].max() < edge  # 5 sessions before the hold-out


def test_volatility_regimes_are_the_definition(config, shared_data):
    workspace = Workspace.open(config, "vol_regime_20d")
    bars = pq.read_table(shared_data / "daily" / FILE, filters=[("symbol", "=", "BRK.B")]).sort_by("date")
    closes = dict(enumerate(bars["close"].to_pylist()))
    mine = workspace.panel.rows_of("BRK.B")
    y = workspace.target.y[mine]
    for i in np.random.default_rng(0).choice(1_509, 60, replace=False).tolist():
        want = naive.vol_regime(closes, i)
        assert (None if np.isnan(y[i]) else int(y[i])) == want
