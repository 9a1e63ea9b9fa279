"""Mistakes that leak, each planted, each caught: by noise put into the future, or by what is found in noise.

*Noise in the future* goes the way twice, the second time with other labels in the scored fold and after it, and other
features after it. Nothing that is said of the fold may change, to the last bit. *What is found in noise* is the first
standing control, held against the folds: a mistake finds skill where there is none.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace

import numpy as np
import pytest

from raypipe.dataset.matrix import Panel, Target
from raypipe.dataset.splits import Splits, make_splits
from raypipe.evaluation.scores import auc
from raypipe.models.stacking import Rows, fit_meta, fit_platt
from raypipe.schema.modeling import CvParams, TuneParams
from raypipe.training import draft
from raypipe.training.draft import stack_oof
from raypipe.training.oof import Oof
from raypipe.training.study_data import StudyView
from tests.controls.chain import Everything, Setup, searched

pytestmark = pytest.mark.usefixtures("one_net")
SYMBOLS, SESSIONS, FEATURES, FOLD = 6, 400, 8, 2
CV = CvParams(n_folds=3, min_train_sessions=150, min_fold_rows=50)


def noise_panel(seed: int, features: int = FEATURES) -> tuple[Panel, Target]:
    """Features and labels that have nothing to do with each other; some values are null."""
    rng = np.random.default_rng(seed)
    sessions = np.array(_sessions(), "datetime64[D]")
    symbol, session = np.repeat(np.arange(SYMBOLS), SESSIONS), np.tile(np.arange(SESSIONS), SYMBOLS)
    decision = sessions[session].astype("datetime64[ns]").astype(np.int64) + 21 * 3_600 * 10**9
    x = rng.normal(size=(len(symbol), features)).astype(np.float32)
    x[rng.uniform(size=x.shape) < 0.1] = np.nan
    names = tuple(f"f{i}" for i in range(features))
    panel = Panel(
        tuple(f"S{i}" for i in range(SYMBOLS)),
        sessions,
        symbol.astype(np.int16),
        session.astype(np.int32),
        decision,
        names,
        x,
    )
    y = (rng.uniform(size=len(symbol)) < 0.5).astype(np.float32)
    return panel, Target("direction_1d", "class", 1, y, decision + 1, decision + 12 * 3_600 * 10**9)


def _sessions() -> list[dt.date]:
    from raypipe.calendar import calendar

    return calendar().dates(dt.date(2020, 1, 2), dt.date(2022, 12, 30))[:SESSIONS]


def with_other_future(data: tuple[Panel, Target], splits: Splits) -> tuple[Panel, Target]:
    """Other labels from the scored fold on, other features after it."""
    panel, target = data
    first, last = (np.datetime64(splits.folds[FOLD - 1].test[i][j]) for i, j in ((0, 0), (-1, 1)))
    days, rng = panel.sessions[panel.session_id], np.random.default_rng(99)
    x, y = panel.x.copy(), target.y.copy()
    x[days > last] = 5 + 3 * rng.normal(size=(int((days > last).sum()), FEATURES))
    y[days >= first] = (x[days >= first, 0] > 0).astype(np.float32)
    return replace(panel, x=x), replace(target, y=y)


@dataclass(frozen=True)
class Said:
    """What is said of the rows of a fold: by bases, by strategies, and calibrated."""

    parts: dict[str, np.ndarray]

    def differs(self, other: Said) -> set[str]:
        return {name for name, mine in self.parts.items() if mine.tobytes() != other.parts[name].tobytes()}


def went(data, splits, setup, folder, fold: int = FOLD) -> Said:
    """Search and stack, with `draft` as it stands: what was said of the fold."""
    material = searched(data, splits, setup, folder)
    stacked = stack_oof(material)
    rows = draft._oof_rows(material, stacked.oof)
    here = stacked.oof.fold == fold
    parts = {base.name: stacked.oof.p[here, i] for i, base in enumerate(stacked.oof.bases)}
    parts |= {name: z[here] for name, z in stacked.z.items()}
    parts["calibrated"] = draft.forward_platt(stacked.z["mean"], rows)[here]
    return Said(parts)


def changed(setup: Setup, folder) -> set[str]:
    """What is said otherwise of the fold once the future is other noise."""
    data = noise_panel(1)
    splits = make_splits(*data, CV)
    was = went(data, splits, setup, folder / "was")
    return was.differs(went(with_other_future(data, splits), splits, setup, folder / "now"))


def setup(algorithms=("lightgbm", "logistic"), **more) -> Setup:
    return Setup(TuneParams(algorithms=algorithms, n_configs=1, per_symbol=False), dt.date(2023, 1, 3), CV, **more)


def test_the_future_changes_nothing(tmp_path):
    assert changed(setup(), tmp_path) == set()


# --- planted ------------------------------------------------------------------------------------


def stop_on_the_scored_fold(patch):
    made = StudyView._fold

    def fold(self, *args):
        found = made(self, *args)
        return replace(found, inner=found.train, tail=found.test)

    patch.setattr(StudyView, "_fold", fold)
    return setup(("lightgbm",)), {"lightgbm.pooled", "mean", "calibrated"}


def impute_before_the_split(patch):
    return setup(prepare=_imputed), {"lightgbm.pooled", "logistic.pooled", "mean"}


def _imputed(panel: Panel, target: Target) -> Panel:
    return replace(panel, x=np.where(np.isnan(panel.x), np.nanmedian(panel.x, axis=0), panel.x))


def scale_before_the_split(patch):
    return setup(prepare=_scaled), {"logistic.pooled", "mean"}


def _scaled(panel: Panel, target: Target) -> Panel:
    return replace(panel, x=(panel.x - np.nanmean(panel.x, axis=0)) / np.nanstd(panel.x, axis=0))


def select_before_the_split(patch):
    return setup(choose=_best), {"lightgbm.pooled", "logistic.pooled", "mean"}


def _best(panel: Panel, target: Target, most: int = 3) -> Everything:
    """The columns that rank all labels best, those of the scored folds among them."""
    known = np.nan_to_num(panel.x)
    edge = [abs(auc(target.y, known[:, i]) - 0.5) for i in range(len(panel.features))]
    return Everything(tuple(panel.features[i] for i in np.argsort(edge)[::-1][:most]))


def calibrate_in_sample(patch):
    patch.setattr(draft, "forward_platt", lambda z, rows: fit_platt(z, rows.y).p(z))
    return setup(), {"calibrated"}


def stack_in_sample(patch):
    def stack(strategy, rows: Rows, *, l2, seed):
        return fit_meta(strategy, rows, l2=l2, seed=seed).z(rows.z, rows.regime)

    patch.setattr(draft, "forward_stack", stack)
    return setup(), {"logistic", "meta-mlp"}


MISTAKES = [
    stop_on_the_scored_fold,
    impute_before_the_split,
    scale_before_the_split,
    select_before_the_split,
    calibrate_in_sample,
    stack_in_sample,
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda one: one.__name__)
def test_a_mistake_is_seen_by_noise_in_the_future(mistake, tmp_path, monkeypatch):
    planted, seen = mistake(monkeypatch)
    assert changed(planted, tmp_path) >= seen


# --- what is found in noise ----------------------------------------------------------------------


def found_in_noise(setup: Setup, folder) -> float:
    """Mean over folds of the AUC of a line over noise, in standard deviations of independent rows."""
    data = noise_panel(3, features=150)
    splits = make_splits(*data, CV)
    material = searched(data, splits, setup, folder)
    oof = Oof.of(material.run, material.panel, material.folds)
    y, p = material.target.y[oof.rows], oof.p[:, 0]
    scores = [auc(y[oof.fold == one], p[oof.fold == one]) for one in np.unique(oof.fold)]
    return float((np.mean(scores) - 0.5) * np.sqrt(3 * len(y)))


def test_selection_before_the_split_finds_skill_in_noise(tmp_path):
    """Early stopping on the scored fold finds too little for that: what it does is seen above."""
    assert abs(found_in_noise(setup(("logistic",)), tmp_path / "as it is")) < 3
    planted = setup(("logistic",), choose=lambda panel, target: _best(panel, target, 10))
    assert found_in_noise(planted, tmp_path / "planted") > 3
