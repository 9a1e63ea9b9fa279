"""A small run that has ended, and what it was searched on: for tests of everything that comes after a search."""

from __future__ import annotations

import dataclasses
import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raypipe.dataset.matrix import Panel, Target
from raypipe.dataset.splits import fold_rows, make_splits
from raypipe.lake.location import Location
from raypipe.models.catalog import model
from raypipe.schema.modeling import CvParams, StackParams, TuneParams
from raypipe.training.draft import Material
from raypipe.training.journal import POOLED, study_key
from raypipe.training.oof import read_run
from raypipe.training.study import StudyJob, run_study
from raypipe.training.study_data import ALL, StudyData
from tests.dataset.panels import panel_and_target

RUN = "0123456789ab"
HOLDOUT = dt.date(2020, 2, 3)
CV = CvParams(n_folds=4, min_train_sessions=60, min_fold_rows=20)


@dataclass(frozen=True)
class Chosen:
    """A selection that takes the first features; of a symbol one fewer."""

    names: tuple[str, ...]

    def features(self, fold_id: int, symbol: str = ALL) -> tuple[str, ...]:
        return self.names if symbol == ALL else self.names[:-1]

    def to_yaml(self) -> bytes:
        return b"schema: 1\n"


def data(*, kind: str = "class", skill: float = 1.0) -> tuple[Panel, Target]:
    """A panel whose first feature tells something of its target; hold-out included."""
    panel, target = panel_and_target(3, symbols=3, sessions=380, features=4, horizon=1, nulls=0.02, kind=kind)
    noise = np.random.default_rng(8).normal(size=panel.rows)
    value = skill * np.nan_to_num(panel.x[:, 0]) + noise
    y = (value > 0).astype(np.float32) if kind == "class" else value.astype(np.float32)
    return panel, dataclasses.replace(target, y=np.where(target.known, y, np.nan).astype(np.float32))


def material(
    root: Path, *, algorithms=("lightgbm", "logistic"), of=None, search: bool = True, n_configs: int = 3, **stack
) -> Material:
    """Search (unless it was done before) and read the run."""
    panel, target = of or data()
    splits = make_splits(panel, target, CV, holdout_start=HOLDOUT)
    folds, chosen = fold_rows(splits, panel, target), Chosen(panel.features)
    tune = TuneParams(algorithms=algorithms, n_configs=n_configs, seed=7)
    if search:
        names = {(f.id, s): chosen.features(f.id, s) for f in folds for s in (ALL, *panel.symbols)}
        hashes = {"splits_sha256": splits.sha256, "data_sha256": splits.data_sha256, "features_sha256": "f" * 64}
        arrays = StudyData.of(panel, target, folds, names, **hashes)
        for algorithm in algorithms:
            for scope in (POOLED, *panel.symbols):
                run_study(_job(root, algorithm, scope, tune), arrays)
    run = read_run(Location.parse(str(root)), RUN)
    return Material(run, panel, target, splits, chosen, tune, StackParams(**stack))


def _job(root: Path, algorithm: str, scope: str, tune: TuneParams) -> StudyJob:
    pooled = "" if scope == POOLED else study_key(RUN, algorithm, POOLED)
    name = model(algorithm)[0].name
    key = study_key(RUN, algorithm, scope)
    return StudyJob(Location.parse(str(root)), key, name, "safe", scope, tune, pooled)
