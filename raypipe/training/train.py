"""One model without a search: fitted in every fold and once on all rows, with results that can be read by eye.

What is reported stands on rows that the fold's model did not see. What the final model scores on its own rows is kept
apart, under a name that says so.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from raypipe.dataset.matrix import Panel, Target
from raypipe.dataset.splits import cv_rows, fold_rows
from raypipe.dataset.splits_file import Splits
from raypipe.errors import DeveloperError, UsageError
from raypipe.evaluation.panel_ols import driscoll_kraay
from raypipe.features.ta_windows import TaBars
from raypipe.models.fitted import Fitted
from raypipe.models.linear import Linear
from raypipe.training.indicators import with_columns
from raypipe.training.train_alpha import choose_alpha
from raypipe.training.train_recipe import PENALTIES, Recipe
from raypipe.training.train_scores import Metrics, mean_and_error, metrics

__all__ = ["Trained", "train_model", "write_trained"]

SCHEMA = 1
#: Sessions over which errors of coefficients are related, beyond the horizon.
_EXTRA_LAG = 3


# --- training ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trained:
    """A model and its results.

    Attributes
    ----------
    recipe
        What was asked for.
    fitted
        Fitted on all rows of the cross-validation.
    results
        The document of ``{model-type}_results.json``.
    """

    recipe: Recipe
    fitted: Fitted
    results: dict[str, Any]


@dataclass(frozen=True)
class _Data:
    """The rows of a panel with their labels."""

    panel: Panel
    target: Target
    splits: Splits
    recipe: Recipe

    @cached_property
    def one_symbol(self) -> bool:
        return len(np.unique(self.panel.symbol_id)) == 1

    def alpha(self, rows: np.ndarray) -> float | None:
        """The penalty for these rows; None where it is not chosen."""
        return choose_alpha(self.panel, self.target, rows, self.recipe.fit) if self.recipe.tune_alpha else None

    def fit(self, rows: np.ndarray, alpha: float | None) -> Fitted:
        return self.recipe.fit(self.panel.x[rows], self.target.y[rows], alpha)

    def score(self, p: np.ndarray, rows: np.ndarray, train_mean: float) -> Metrics:
        y, session = self.target.y[rows], self.panel.session_id[rows]
        return metrics(self.recipe.task, y, p, session, train_mean=train_mean, one_symbol=self.one_symbol)

    def train_mean(self, rows: np.ndarray) -> float:
        return float(self.target.y[rows].mean(dtype=np.float64))


def train_model(
    panel: Panel,
    target: Target,
    splits: Splits,
    recipe: Recipe,
    *,
    min_feature_share: float = 0.5,
    bars: TaBars | None = None,
) -> Trained:
    """Fit a recipe in every fold and on all rows.

    Parameters
    ----------
    panel, target
        The data.
    splits
        The folds; they must have been verified.
    recipe
        What is fitted.
    min_feature_share
        Share of its features that a usable row has; indicators do not count.
    bars
        Daily bars of the panel's symbols, for a recipe with windows of indicators.

    Raises
    ------
    UsageError
        If the target is not of the kind that the model predicts.
    """
    if target.kind != recipe.task:
        msg = f"{target.name} is a target of {target.kind}; --model-type {recipe.model_type} predicts {recipe.task}"
        raise UsageError(msg, hint="give another --target or --model-type")
    wide = _wide(panel, bars, recipe)
    data = _Data(wide, target, splits, recipe)
    folds = fold_rows(splits, panel, target, min_feature_share=min_feature_share)
    scores, naive, models, documents = [], [], [], []
    for fold in folds:
        alpha = data.alpha(fold.train)
        fitted, mean = data.fit(fold.train, alpha), data.train_mean(fold.train)
        found = data.score(fitted.predict(wide.x[fold.test]), fold.test, mean)
        constant = np.full(len(fold.test), mean, np.float32)
        naive.append(data.score(constant, fold.test, mean))
        chosen = {"alpha": alpha} if recipe.tune_alpha else {}
        documents.append(
            {"id": fold.id, "n_train": len(fold.train), "n_test": len(fold.test), **chosen, "metrics": found}
        )
        scores.append(found)
        models.append(fitted)
    rows = cv_rows(splits, panel, target, min_feature_share=min_feature_share)
    alpha = data.alpha(rows)
    final = data.fit(rows, alpha)
    mean_scores, errors = mean_and_error(scores)
    results = {
        "schema": SCHEMA,
        "params": _params(data, alpha),
        "splits_sha256": splits.sha256,
        "folds": documents,
        "mean": mean_scores,
        "se": errors,
        "majority_baseline": mean_and_error(naive)[0],
        "train_metrics": data.score(final.predict(wide.x[rows]), rows, data.train_mean(rows)),
        **_explained(data, final, models, rows),
    }
    return Trained(recipe, final, results)


def _wide(panel: Panel, bars: TaBars | None, recipe: Recipe) -> Panel:
    """The panel with the indicators of the recipe behind its features."""
    if not recipe.windows:
        return panel
    if bars is None:
        msg = "the recipe has windows of indicators, and there are no bars to make them of"
        raise DeveloperError(msg)
    return with_columns(panel, bars, recipe.windows)


def _params(data: _Data, alpha: float | None) -> dict[str, Any]:
    recipe = data.recipe
    params = {**recipe.params, recipe.alpha_key: alpha} if alpha is not None and recipe.alpha_key else recipe.params
    rounds = recipe.family.default("safe", "pooled").get(recipe.family.rounds_key or "")
    return {
        "model_type": recipe.model_type,
        "algorithm": recipe.family.name,
        "target": data.target.name,
        "horizon_sessions": data.target.horizon,
        "hyperparameters": recipe.family.checked(dict(params)).model_dump(mode="json", by_alias=True),
        "n_rounds": recipe.rounds or rounds,
        **({"windows": dict(recipe.windows)} if recipe.windows else {}),
        "tune_alpha": recipe.tune_alpha,
        "seed": recipe.seed,
        "symbols": list(data.panel.symbols),
        "features": list(data.panel.features),
    }


# --- what a model says of features -----------------------------------------------------------------


def _explained(data: _Data, final: Fitted, folds: list[Fitted], rows: np.ndarray) -> dict[str, Any]:
    names = data.panel.features
    if data.recipe.model_type in PENALTIES:
        return {"coefficients": _coefficients(data, final, folds, rows)}
    shares = final.importance()
    return {"feature_importance": {names[i]: float(shares[i]) for i in np.argsort(-shares, kind="stable")}}


def _coefficients(data: _Data, final: Fitted, folds: list[Fitted], rows: np.ndarray) -> list[dict[str, Any]]:
    """Per feature its coefficient, and how sure it is; a fit without a penalty has errors, the others shares."""
    core, count = final.core, final.features
    coef = core.coef if isinstance(core, Linear) else np.zeros(count)
    original = core.coef_original if isinstance(core, Linear) else np.zeros(count)
    columns = {"se": np.full(count, np.nan), "t": np.full(count, np.nan), "p": np.full(count, np.nan)}
    share = np.mean([_coef(one) != 0 for one in folds], axis=0)
    if data.recipe.family.name == "ols" and isinstance(core, Linear):
        columns = _errors(data, core, rows)
        share = np.full(count, np.nan)
    columns = {"coef": coef, "coef_original_units": original, **columns, "selected_share": share}
    values = {name: [float(v) if np.isfinite(v) else None for v in column] for name, column in columns.items()}
    return [
        {"name": name, **{key: column[i] for key, column in values.items()}}
        for i, name in enumerate(data.panel.features)
    ]


def _coef(fitted: Fitted) -> np.ndarray:
    return fitted.core.coef if isinstance(fitted.core, Linear) else np.zeros(fitted.features)


def _errors(data: _Data, core: Linear, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Driscoll-Kraay errors of least squares on standardised features."""
    scaled = np.column_stack([core.scaler.apply(data.panel.x[rows]), np.ones(len(rows))])
    coef = np.append(core.coef, core.intercept)
    residual = data.target.y[rows] - scaled @ coef
    lag = data.target.horizon + _EXTRA_LAG
    found = driscoll_kraay(scaled, residual, coef, data.panel.session_id[rows], lag=lag)
    return {"se": found.se[:-1], "t": found.t[:-1], "p": found.p[:-1]}


# --- writing -----------------------------------------------------------------------------------


def write_trained(trained: Trained, folder: Path) -> tuple[Path, Path]:
    """Write ``{model-type}/model.*`` and ``{model-type}_results.json``; what a training left there is replaced.

    Returns
    -------
    The model's folder, and the results.

    Raises
    ------
    UsageError
        If the model's folder holds something else.
    """
    kind = trained.recipe.model_type
    place, results = folder / kind, folder / f"{kind}_results.json"
    fresh = folder / f".{kind}.new"
    if place.exists() and not (place / "model.meta.json").is_file():
        msg = f"{place} holds no model of raypipe and is not replaced"
        raise UsageError(msg, hint="give another --output-dir")
    for one in (fresh, place):
        shutil.rmtree(one, ignore_errors=True)
    trained.fitted.save(fresh)
    fresh.rename(place)
    text = json.dumps(trained.results, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    new = results.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.replace(results)
    return place, results
