"""From the journals of a run to a draft bundle: a stack of out-of-fold predictions, final models, and what luck shows.

Nothing here chooses by anything but out-of-fold rows of the cross-validation; sessions of the hold-out are not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from raypipe.dataset.matrix import Panel, Target
from raypipe.dataset.splits import FoldRows, cv_rows, fold_rows
from raypipe.dataset.splits_file import Splits
from raypipe.errors import DataQualityError, DeveloperError, UsageError
from raypipe.features.ta_windows import TaBars, TaColumns
from raypipe.models.catalog import model
from raypipe.models.fitted import Fitted
from raypipe.models.stacking import (
    STRATEGIES,
    Calibrator,
    Meta,
    Strategy,
    fit_meta,
    fit_platt,
    forward_platt,
    forward_stack,
)
from raypipe.models.stacking import Rows as OofRows
from raypipe.pipeline.machine import one_thread
from raypipe.schema.modeling import StackParams, TuneParams
from raypipe.training.baseline import ALL, baseline_table, indicator_columns
from raypipe.training.bundle import Draft
from raypipe.training.indicators import bars_known, split_windows
from raypipe.training.journal import POOLED
from raypipe.training.luck import multiplicity_table
from raypipe.training.oof import Oof, RunStudies, median_rounds, oof_table
from raypipe.training.stack_scores import Judged, Naive, choose, naive_feature, score_table
from raypipe.training.study_ask import hashed_seed

__all__ = ["Chosen", "Material", "Stacked", "Trained", "refit", "stack_oof", "train"]

#: Families that take nulls as they are.
_NATIVE = frozenset({"xgboost", "catboost", "lightgbm"})


class Chosen(Protocol):
    """Features by fold and scope: what a selection says."""

    def features(self, fold_id: int, symbol: str = ALL) -> tuple[str, ...]:
        """Names of the features of a fold (0: all rows) and of a symbol or ``*``."""
        ...

    def to_yaml(self) -> bytes:
        """The content of `feature_config.yaml`."""
        ...


@dataclass(frozen=True)
class Material:
    """What a bundle is trained of.

    Attributes
    ----------
    run
        The studies.
    panel, target, splits, selection
        What they were searched on.
    tune, stack
        Sections of the configuration.
    min_feature_share
        Share of its features that a usable row has.
    facts
        Further facts for `bundle.json`: ``name, panel_fingerprints, pin_sha256``.
    columns
        Per feature its ``dtype, unit, table``.
    bars
        Daily bars of the panel's symbols, where windows of indicators were searched.
    """

    run: RunStudies
    panel: Panel
    target: Target
    splits: Splits
    selection: Chosen
    tune: TuneParams
    stack: StackParams
    min_feature_share: float = 0.5
    facts: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    bars: TaBars | None = None

    @cached_property
    def folds(self) -> tuple[FoldRows, ...]:
        """Rows of each fold."""
        return fold_rows(self.splits, self.panel, self.target, min_feature_share=self.min_feature_share)

    @cached_property
    def rows(self) -> np.ndarray:
        """All rows of the cross-validation, int64."""
        return cv_rows(self.splits, self.panel, self.target, min_feature_share=self.min_feature_share)

    @cached_property
    def windows(self) -> dict[tuple[str, str], dict[str, int]]:
        """Windows of indicators of the winners that have any."""
        found = {key: split_windows(winner.params)[1] for key, winner in self.run.winners.items()}
        return {key: windows for key, windows in found.items() if windows}

    @cached_property
    def indicators(self) -> TaColumns:
        """Columns of indicators of the panel's rows."""
        if self.bars is None:
            msg = "the run searched windows of indicators, and there are no bars to make them of"
            raise DeveloperError(msg)
        return TaColumns(bars_known(self.bars, self.panel))

    @property
    def transform(self) -> str:
        """How predictions are made z."""
        return self.stack.transform if self.target.kind == "class" else "none"


@dataclass(frozen=True, eq=False)
class Stacked:
    """The stack of a run.

    Attributes
    ----------
    oof
        Predictions of the bases.
    z
        Per strategy, float64 (n,): forward only.
    picked, auto
        The strategy that is taken, and the one that ``auto`` would take.
    metas
        The strategies, fitted on all out-of-fold rows.
    calibrator
        Of the picked strategy; None for a regression.
    naive
        The best single feature.
    scores
        `stack_scores.parquet`.
    """

    oof: Oof
    z: Mapping[str, np.ndarray]
    picked: Strategy
    auto: str
    metas: Mapping[str, Meta]
    calibrator: Calibrator | None
    naive: Naive | None
    scores: pa.Table


@dataclass(frozen=True, eq=False)
class Trained:
    """What a run came to: three tables, and the draft of its bundle."""

    stacked: Stacked
    oof: pa.Table
    multiplicity: pa.Table
    draft: Draft


@one_thread()
def train(material: Material) -> Trained:
    """Stack the winners of a run, refit them, and put their bundle together.

    Raises
    ------
    UsageError
        If the scheme is not walk-forward, a regime column is not in the panel, or a named strategy cannot be fitted.
    DataQualityError
        If the studies were searched on other data.
    """
    check_material(material)
    stacked = stack_oof(material)
    fitted = refit(material)
    luck = multiplicity_table(material.run, material.panel, material.target, material.folds)
    table = oof_table(stacked.oof, stacked.z, material.panel, material.target)
    return Trained(stacked, table, luck, _draft(material, stacked, fitted, luck))


def check_material(material: Material) -> None:
    """Refuse what cannot be stacked; see `train`."""
    if material.splits.scheme != "walk_forward":
        msg = f"a run over {material.splits.scheme} folds cannot be stacked: later folds would teach earlier ones"
        raise UsageError(msg, hint="make splits with --scheme walk_forward")
    missing = [name for name in material.stack.regime_columns if name not in material.panel.features]
    if missing:
        msg = f"the panel has no regime columns {', '.join(missing)}"
        raise UsageError(msg, hint="add their table to panel.tables, and build the panel again")
    hashes = {"splits_sha256": material.splits.sha256, "data_sha256": material.splits.data_sha256}
    material.run.check(target=material.target.name, **hashes)


# --- the stack -----------------------------------------------------------------------------------


def stack_oof(material: Material) -> Stacked:
    """Fit and score every strategy on the out-of-fold predictions of the winners, forward only."""
    panel, target, params = material.panel, material.target, material.stack
    oof = Oof.of(material.run, panel, material.folds)
    rows = _oof_rows(material, oof)
    names = STRATEGIES if target.kind == "class" else STRATEGIES[:1]
    seed = hashed_seed(material.tune.seed, target.name, "stack")
    z: dict[str, np.ndarray] = {name: forward_stack(name, rows, l2=params.l2, seed=seed) for name in names}
    judged = Judged(rows.y, rows.fold, panel.session_id[oof.rows], target.kind, target.horizon)
    auto = choose(judged, z)
    fits = {name: fit_meta(name, rows, l2=params.l2, seed=seed) for name in names}
    metas: dict[str, Meta] = {name: one for name, one in fits.items() if one is not None}
    picked = _picked(params.strategy, auto, metas)
    calibrator = fit_platt(z[picked], rows.y) if target.kind == "class" else None
    naive = naive_feature(panel, target, oof.rows, oof.fold)
    scores = _scores(oof, rows, judged, z, naive.z(panel)[oof.rows] if naive else None, picked)
    return Stacked(oof, z, picked, auto, metas, calibrator, naive, scores)


def _oof_rows(material: Material, oof: Oof) -> OofRows:
    panel, target = material.panel, material.target
    places = [panel.features.index(name) for name in material.stack.regime_columns]
    return OofRows(
        z=oof.z(material.transform, panel.session_id),
        regime=panel.x[np.ix_(oof.rows, np.array(places, np.int64))].astype(np.float64),
        y=target.y[oof.rows],
        fold=oof.fold,
        decision_ns=panel.decision_ns[oof.rows],
        end_ns=target.end_ns[oof.rows],
    )


def _picked(asked: str, auto: str, metas: Mapping[str, Meta]) -> Strategy:
    wanted = auto if asked == "auto" else asked
    for name in STRATEGIES:
        if name == wanted and name in metas:
            return name
    msg = f"the strategy {wanted} cannot be fitted on these out-of-fold rows"
    raise UsageError(msg, hint="a regression, or rows of one class, are stacked by --strategy mean")


def _scores(
    oof: Oof, rows: OofRows, judged: Judged, z: Mapping[str, np.ndarray], naive: np.ndarray | None, picked: str
) -> pa.Table:
    ranked = {**z, **{base.name: rows.z[:, i] for i, base in enumerate(oof.bases)}}
    if naive is not None:
        ranked["naive"] = naive
    p: dict[str, np.ndarray] = {}
    if judged.kind == "class":
        p = {name: forward_platt(one, rows) for name, one in z.items()}
        p |= {base.name: oof.p[:, i] for i, base in enumerate(oof.bases)}
    return score_table(judged, ranked, p, z["mean"], picked)


# --- final models --------------------------------------------------------------------------------


def refit(material: Material) -> dict[tuple[str, str], Fitted]:
    """Fit every winner on all rows of the cross-validation, with the median of its folds' rounds and its own seed."""
    return {key: _refit(material, *key) for key in sorted(material.run.winners)}


def _refit(material: Material, algorithm: str, scope: str) -> Fitted:
    panel, target, tune = material.panel, material.target, material.tune
    winner, family = material.run.winners[algorithm, scope], model(algorithm)[0]
    rows = material.rows
    if scope != POOLED:
        place = panel.rows_of(scope)
        rows = rows[(rows >= place.start) & (rows < place.stop)]
    names = material.selection.features(0, ALL if scope == POOLED else scope)
    own, windows = split_windows(winner.params)
    if not len(rows) or not (names or windows):
        msg = f"{algorithm} of {scope} has a winner, but {len(rows)} rows and {len(names)} features to be fitted on"
        raise DataQualityError(msg, hint="the panel or the features are not those of the run")
    places = np.array([panel.features.index(name) for name in names], np.int64)
    study_seed = hashed_seed(tune.seed, target.name, algorithm, scope)
    x = panel.x[np.ix_(rows, places)]
    return family.fit(
        np.hstack([x, material.indicators.of(windows)[rows]]) if windows else x,
        target.y[rows],
        task=target.kind,
        params=family.split(own)[0],
        rounds=median_rounds(winner) if family.rounds_key else 0,
        seed=hashed_seed(study_seed, "model"),
        threads=tune.threads,
    )


# --- the draft -----------------------------------------------------------------------------------


def _draft(material: Material, stacked: Stacked, fitted: dict[tuple[str, str], Fitted], luck: pa.Table) -> Draft:
    scopes = [ALL, *sorted({scope for _, scope in fitted if scope != POOLED})]
    features = {scope: material.selection.features(0, scope) for scope in scopes}
    used = {name for names in features.values() for name in names} | set(material.stack.regime_columns)
    used |= {stacked.naive.feature} if stacked.naive else set()
    columns = [name for name in material.panel.features if name in used]
    plain = {"dtype": "float", "unit": "", "table": ""}
    algorithms = material.run.algorithms
    return Draft(
        facts=_facts(material),
        meta=_meta(material, stacked),
        models=fitted,
        features=features,
        columns=[{"name": name, **plain, **material.columns.get(name, {})} for name in columns],
        imputer={"nulls": {name: "native" if name in _NATIVE else "fitted, in the model" for name in algorithms}},
        splits=material.splits.to_json(),
        selection=material.selection.to_yaml(),
        tables={
            "baseline.parquet": _baseline(material, columns),
            "multiplicity.parquet": luck,
        },
        windows=material.windows,
    )


def _baseline(material: Material, columns: Sequence[str]) -> pa.Table:
    """How every column that a model reads was distributed on the rows of the fits."""
    panel, windows = material.panel, material.windows
    further = indicator_columns(windows, material.indicators, panel.symbols) if windows else ()
    return baseline_table(panel, material.rows, columns, further)


def _facts(material: Material) -> dict[str, Any]:
    run, splits = material.run, material.splits
    by_algorithm: dict[str, dict[str, Any]] = {name: {} for name in run.algorithms}
    rounds: dict[str, dict[str, int]] = {name: {} for name in run.algorithms}
    for (algorithm, scope), winner in run.winners.items():
        by_algorithm[algorithm][scope] = dict(winner.params)
        rounds[algorithm][scope] = median_rounds(winner)
    return {
        "name": material.target.name,
        "panel_fingerprints": {},
        "pin_sha256": None,
        **material.facts,
        "target": material.target.name,
        "horizon_sessions": material.target.horizon,
        "run_id": run.run_id,
        "algorithms": list(run.algorithms),
        "params": by_algorithm,
        "rounds": rounds,
        "seed": material.tune.seed,
        "threads": material.tune.threads,
        "data_sha256": splits.data_sha256,
        "data_end": str(material.panel.sessions[-1]),
        "splits_sha256": splits.sha256,
        "train": {"start": splits.cv[0], "end": splits.cv[1]},
    }


def _meta(material: Material, stacked: Stacked) -> dict[str, Any]:
    names = [base.name for base in stacked.oof.bases]
    weights = stacked.metas[stacked.picked].weights
    return {
        "strategy": stacked.picked,
        "auto": stacked.auto,
        "asked": material.stack.strategy,
        "kind": material.target.kind,
        "transform": material.transform,
        "l2": material.stack.l2,
        "weights": dict(zip(names, weights.tolist(), strict=True)) if len(weights) else None,
        "bases": [base.to_dict() for base in stacked.oof.bases],
        "regime_columns": list(material.stack.regime_columns),
        "strategies": {name: one.to_dict() for name, one in stacked.metas.items()},
        "calibrator": stacked.calibrator.to_dict() if stacked.calibrator else None,
        "naive": stacked.naive.to_dict() if stacked.naive else None,
        "base_rate": float((material.target.y[material.rows] > 0).mean()),
        "trials": {"configurations": material.run.trials(), "strategies": len(stacked.z)},
    }
