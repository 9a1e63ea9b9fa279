"""Small panels with daily bars, whose target follows an indicator of a certain window: for searches over windows."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np

from raypipe.dataset.matrix import Panel, Target
from raypipe.dataset.splits import fold_rows, make_splits
from raypipe.features.ta_windows import TaBars
from raypipe.lake.location import Location
from raypipe.schema.modeling import CvParams, StackParams, TuneParams
from raypipe.training.draft import Material
from raypipe.training.indicators import bars_known
from raypipe.training.journal import POOLED, study_key
from raypipe.training.oof import read_run
from raypipe.training.study import StudyJob, run_study
from raypipe.training.study_data import ALL, StudyData
from tests.features.daily_bars import SESSIONS, bars_table, walk
from tests.training.runs import Chosen

RUN = "abcdef012345"
SYMBOLS = ("AAA", "BRK.B", "CCC")
#: Scopes of the search that a bundle is made of.
SCOPES = (POOLED, "BRK.B")
#: Rows of the return that the labels follow; not the usual number.
PLANTED = 47
CV = CvParams(n_folds=4, min_train_sessions=60, min_fold_rows=20)
HASHES = {"splits_sha256": "5" * 64, "data_sha256": "d" * 64, "features_sha256": "f" * 64}


def walks(sessions: int, seed: int = 3) -> list[dict[str, np.ndarray]]:
    """Bars of the symbols, as arrays."""
    return [walk(np.random.default_rng([seed, i]), sessions) for i in range(len(SYMBOLS))]


def bars_of(values: list[dict[str, np.ndarray]]) -> TaBars:
    return TaBars.of([bars_table(one, name) for name, one in zip(SYMBOLS, values, strict=True)])


def made(sessions: int = 400, features: int = 3) -> tuple[Panel, Target, TaBars]:
    """Features that are noise, and labels that follow the return over `PLANTED` rows."""
    values, draw = walks(sessions), np.random.default_rng(9)
    count = len(SYMBOLS) * sessions
    symbol = np.repeat(np.arange(len(SYMBOLS), dtype=np.int16), sessions)
    session = np.tile(np.arange(sessions, dtype=np.int32), len(SYMBOLS))
    closes = np.array([one.close_ns for one in SESSIONS[:sessions]])
    opens = np.array([one.open_ns for one in SESSIONS[: sessions + 2]])
    x = draw.standard_normal((count, features)).astype(np.float32)
    prices = [one["close"] * one["div_factor"] for one in values]
    moves = np.concatenate([np.append(np.zeros(PLANTED), np.log(p[PLANTED:] / p[:-PLANTED])) for p in prices])
    y = (moves + 0.05 * draw.standard_normal(count) > 0).astype(np.float32)
    late = session >= sessions - 1
    days = np.array([one.date for one in SESSIONS[:sessions]], "datetime64[D]")
    panel = Panel(SYMBOLS, days, symbol, session, closes[session], tuple(f"f{i}" for i in range(features)), x)
    ends = np.where(late, 0, opens[session + 2])
    target = Target("direction_1d", "class", 1, np.where(late, np.nan, y).astype(np.float32), opens[session + 1], ends)
    return panel, target, bars_of(values)


def arrays(panel: Panel, target: Target, bars: TaBars | None) -> StudyData:
    """What studies are searched on."""
    splits = make_splits(panel, target, CV, holdout_start=holdout(panel))
    chosen, folds = Chosen(panel.features), fold_rows(splits, panel, target)
    names = {(f.id, s): chosen.features(f.id, s) for f in folds for s in (ALL, *panel.symbols)}
    known = None if bars is None else bars_known(bars, panel)
    hashes = {"splits_sha256": splits.sha256, "data_sha256": splits.data_sha256, "features_sha256": "f" * 64}
    return StudyData.of(panel, target, folds, names, bars=known, **hashes)


def holdout(panel: Panel) -> dt.date:
    """The last sixty sessions are held out."""
    day: dt.date = panel.sessions[-60].item()
    return day


def job(root: Path, algorithm: str = "logistic", scope: str = POOLED, **params: Any) -> StudyJob:
    tune = TuneParams(**{"algorithms": (algorithm,), "n_configs": 3, "seed": 7, "windows": True, **params})
    pooled = "" if scope == POOLED else study_key(RUN, algorithm, POOLED)
    key = study_key(RUN, algorithm, scope)
    return StudyJob(Location.parse(str(root)), key, algorithm, "safe", scope, tune, pooled)


def material(root: Path) -> Material:
    """A finished search over windows, and what its bundle is trained of."""
    panel, target, bars = made()
    data = arrays(panel, target, bars)
    for scope in SCOPES:
        assert run_study(job(root, scope=scope), data).status == "done"
    splits = make_splits(panel, target, CV, holdout_start=holdout(panel))
    tune = TuneParams(algorithms=("logistic",), n_configs=3, seed=7, windows=True)
    run = read_run(Location.parse(str(root)), RUN)
    return Material(run, panel, target, splits, Chosen(panel.features), tune, StackParams(), bars=bars)


def last_sessions(panel: Panel, count: int = 1) -> Panel:
    """The last sessions of a panel."""
    rows = np.flatnonzero(panel.session_id >= len(panel.sessions) - count)
    names = ("symbol_id", "session_id", "decision_ns", "x")
    return dataclasses.replace(panel, **{name: getattr(panel, name)[rows] for name in names})
