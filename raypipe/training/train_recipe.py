"""What `raypipe train` is asked for: a kind of model with its options, as a family with parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from raypipe.errors import UsageError
from raypipe.models.catalog import model
from raypipe.models.fitted import Fitted
from raypipe.models.model import Model, Task
from raypipe.training.indicators import split_windows

__all__ = ["PENALTIES", "TARGET_OF", "ModelType", "Recipe", "read_params", "recipe_of"]

ModelType = Literal["classifier", "regressor", "linear", "logistic"]
#: The target of a kind of model, unless another is asked for.
TARGET_OF: dict[ModelType, str] = {
    "classifier": "direction_1d",
    "logistic": "direction_1d",
    "regressor": "forward_return_1d",
    "linear": "forward_return_1d",
}
_TASK_OF: dict[ModelType, Task] = {
    "classifier": "class",
    "logistic": "class",
    "regressor": "regression",
    "linear": "regression",
}
#: Per kind of model and penalty: the family, and the parameter that ``--alpha`` is.
PENALTIES: dict[ModelType, dict[str, tuple[str, str | None]]] = {
    "linear": {
        "ridge": ("ridge", "l2"),
        "lasso": ("lasso", "l1"),
        "elasticnet": ("elasticnet", "alpha"),
        "none": ("ols", None),
    },
    "logistic": {"l2": ("logistic", "l2"), "l1": ("logistic", "l1"), "none": ("logistic", None)},
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is fitted.

    Attributes
    ----------
    model_type
        As users ask for it.
    family
        The model family.
    params
        Its parameters, over its defaults.
    rounds
        Rounds of boosting; None: the family's default.
    alpha_key
        The parameter that is the penalty; None if there is none.
    tune_alpha
        Whether the penalty is chosen inside the training rows.
    seed, threads
        Of every fit.
    windows
        Windows of the indicators that stand behind the features; empty without.
    """

    model_type: ModelType
    family: Model
    params: Mapping[str, Any] = field(default_factory=dict)
    rounds: int | None = None
    alpha_key: str | None = None
    tune_alpha: bool = False
    seed: int = 42
    threads: int = 1
    windows: Mapping[str, int] = field(default_factory=dict)

    @property
    def task(self) -> Task:
        """What it predicts."""
        return _TASK_OF[self.model_type]

    def fit(self, x: np.ndarray, y: np.ndarray, alpha: float | None = None) -> Fitted:
        """Fit rows, with another penalty if one is given."""
        params = (
            dict(self.params) if alpha is None or self.alpha_key is None else {**self.params, self.alpha_key: alpha}
        )
        return self.family.fit(
            x, y, task=self.task, params=params, rounds=self.rounds, seed=self.seed, threads=self.threads
        )


def recipe_of(
    model_type: ModelType,
    *,
    algorithm: str | None = None,
    regularization: str | None = None,
    alpha: float | None = None,
    l1_ratio: float | None = None,
    tune_alpha: bool = False,
    params_from: Path | None = None,
    seed: int = 42,
    threads: int = 1,
) -> Recipe:
    """What the options of `raypipe train` ask for.

    Raises
    ------
    UsageError
        If an option does not go with the kind of model.
    """
    penalties = PENALTIES.get(model_type, {})
    given = {"--regularization": regularization, "--alpha": alpha, "--l1-ratio": l1_ratio}
    wrong = [flag for flag, value in given.items() if value is not None] + (["--tune-alpha"] if tune_alpha else [])
    if not penalties:
        _refuse_flags(model_type, wrong)
        return _boosted(model_type, algorithm or "lightgbm", params_from, seed, threads)
    _refuse_flags(model_type, [f for f, v in (("--algorithm", algorithm), ("--params-from", params_from)) if v])
    regularization = regularization or next(iter(penalties))
    if regularization not in penalties:
        msg = f"--regularization {regularization} does not go with --model-type {model_type}"
        raise UsageError(msg, hint=f"one of: {', '.join(penalties)}")
    name, key = penalties[regularization]
    _refuse_flags(f"{model_type} --regularization {regularization}", _useless(given, key, name, tune_alpha=tune_alpha))
    params: dict[str, Any] = {"l2": 0.0, "l1": 0.0} if name == "logistic" else {}
    if key:
        params[key] = 1.0 if alpha is None else alpha
    if name == "elasticnet":
        params["l1_ratio"] = 0.5 if l1_ratio is None else l1_ratio
    family = model(name)[0]
    family.checked(params)
    return Recipe(model_type, family, params, None, key, tune_alpha, seed, threads)


def _useless(given: Mapping[str, Any], key: str | None, name: str, *, tune_alpha: bool) -> list[str]:
    """Flags that would change nothing."""
    found = ["--l1-ratio"] if given["--l1-ratio"] is not None and name != "elasticnet" else []
    found += ["--alpha"] if given["--alpha"] is not None and (key is None or tune_alpha) else []
    return found + (["--tune-alpha"] if tune_alpha and key is None else [])


def _refuse_flags(what: str, flags: list[str]) -> None:
    if flags:
        msg = f"{flags[0]} changes nothing with {what}"
        raise UsageError(msg, hint="leave it out; see: raypipe train --help")


def _boosted(model_type: ModelType, algorithm: str, params_from: Path | None, seed: int, threads: int) -> Recipe:
    family = model(algorithm)[0]
    if _TASK_OF[model_type] not in family.tasks:
        msg = f"{family.name} cannot be a {model_type}"
        raise UsageError(msg, hint="give another --algorithm or --model-type")
    found, rounds = read_params(params_from, family) if params_from else ({}, None)
    params, windows = split_windows(found)
    family.checked(params)
    return Recipe(model_type, family, params, rounds, seed=seed, threads=threads, windows=windows)


def read_params(path: Path, family: Model) -> tuple[dict[str, Any], int | None]:
    """Parameters and rounds of the pooled winner in a ``best_{algorithm}.json``; windows of indicators among them.

    Raises
    ------
    UsageError
        If the file cannot be read, is of another algorithm, or has no pooled winner.
    """
    try:
        best = json.loads(path.read_text(encoding="utf-8"))
        algorithm, found, rounds = best["algorithm"], best["hyperparameters"], best.get("rounds", {})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"no file of a search's best parameters: {type(error).__name__}"
        raise UsageError(msg, file=str(path), hint="give a best_{algorithm}.json of raypipe tune") from error
    if model(algorithm)[0] is not family or "_pooled" not in found:
        msg = f"the file has {', '.join(found)} of {algorithm}; wanted is _pooled of {family.name}"
        raise UsageError(msg, file=str(path), hint=f"give best_{family.name}.json of a search with pooled studies")
    params, drawn = family.split(found["_pooled"])
    return params, int(rounds.get("_pooled") or drawn) or None
