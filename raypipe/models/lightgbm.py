"""LightGBM: boosted trees grown by leaves, deterministic, 63 bins, nulls as they are; stored as ``model.txt``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from raypipe.models.model import BOTH, How, Model, ModelParams, Task, real, whole

__all__ = ["MODEL", "Params"]

_FILE = "model.txt"
#: With this the library ends its files.
_LAST = "pandas_categorical:null"


class Params(ModelParams):
    """Parameters under the library's names; ``min_leaf_rows`` is ours."""

    num_leaves: int = Field(7, ge=2, le=4096, description="Leaves of a tree.")
    learning_rate: float = Field(0.03, gt=0, le=1, description="Learning rate.")
    min_leaf_rows: int = Field(200, ge=1, description="Least rows of a leaf, at most a quarter of all.")
    min_child_samples: int | None = Field(None, ge=1, description="Least rows of a leaf; empty: min_leaf_rows.")
    feature_fraction: float = Field(0.5, gt=0, le=1, description="Share of features of a tree.")
    bagging_fraction: float = Field(0.7, gt=0, le=1, description="Share of rows of a bag.")
    bagging_freq: int = Field(1, ge=0, description="Trees between bags.")
    lambda_l1: float = Field(1e-3, ge=0, description="L1 penalty of leaves.")
    lambda_l2: float = Field(10.0, ge=0, description="L2 penalty of leaves.")
    reg_alpha: float | None = Field(None, ge=0, description="Another name of lambda_l1.")
    reg_lambda: float | None = Field(None, ge=0, description="Another name of lambda_l2.")


SAFE = {
    "num_leaves": whole(3, 31, 7, log=True),
    "learning_rate": real(0.01, 0.15, 0.03, log=True),
    "min_leaf_rows": whole(20, 1000, 200, 60, log=True),
    "feature_fraction": real(0.2, 0.8, 0.5),
    "bagging_fraction": real(0.5, 0.9, 0.7),
    "lambda_l1": real(1e-3, 10, 1e-3, log=True),
    "lambda_l2": real(1, 100, 10, log=True),
    "n_rounds": whole(30, 600, 200, 100, log=True),
}
#: The defaults of a wide space are the safe ones, moved in where they lie outside.
WIDE = {
    "num_leaves": whole(10, 300, 10),
    "learning_rate": real(0.01, 0.3, 0.03, log=True),
    "min_child_samples": whole(5, 100, 100, 60),
    "feature_fraction": real(0.4, 1, 0.5),
    "bagging_fraction": real(0.4, 1, 0.7),
    "bagging_freq": whole(1, 7, 1),
    "reg_alpha": real(0, 10, 1e-3),
    "reg_lambda": real(0, 10, 10),
    "n_rounds": whole(50, 1000, 200, 100, log=True),
}


@dataclass(frozen=True, slots=True)
class Boosted:
    """A booster."""

    booster: Any

    def predict(self, x: np.ndarray) -> np.ndarray:
        """On one thread."""
        found: np.ndarray = self.booster.predict(x, num_threads=1)
        return found

    def save(self, folder: Path) -> tuple[str, ...]:
        """``model.txt``."""
        self.booster.save_model(folder / _FILE)
        return (_FILE,)

    def importance(self) -> np.ndarray:
        """Total gain."""
        found: np.ndarray = self.booster.feature_importance(importance_type="gain")
        return found


def learn(x: np.ndarray, y: np.ndarray, how: How) -> Boosted:
    """Fit on all rows."""
    import lightgbm

    settings = _settings(len(y), how)
    rows = how.once("rows", _bins(settings), lambda: lightgbm.Dataset(x, y, params=settings))
    return Boosted(lightgbm.train(settings, rows, how.rounds))


def stop(x: np.ndarray, y: np.ndarray, x_tail: np.ndarray, y_tail: np.ndarray, how: How, patience: int) -> int:
    """Rounds that are best on the tail."""
    import lightgbm

    settings = {**_settings(len(y), how), "metric": "binary_logloss" if how.task == "class" else "rmse"}
    rows = how.once("rows", _bins(settings), lambda: lightgbm.Dataset(x, y, params=settings))
    part = {"reference": rows, "params": settings}
    tail = how.once("tail", _bins(settings), lambda: lightgbm.Dataset(x_tail, y_tail, **part))
    wait = lightgbm.early_stopping(patience, verbose=False)
    booster = lightgbm.train(settings, rows, how.rounds, valid_sets=[tail], callbacks=[wait])
    return int(booster.best_iteration)


def load(folder: Path, task: Task, features: int) -> Boosted:  # noqa: ARG001 - the file knows its task
    """Read ``model.txt``."""
    import lightgbm

    text = (folder / _FILE).read_text(encoding="utf-8")
    if not (text.startswith("tree\n") and "\nend of trees\n" in text and text.rstrip().endswith(_LAST)):
        # The library's reader does not raise on a file that was cut: it aborts the process.
        msg = "the file is cut short, or no model of LightGBM"
        raise ValueError(msg)
    try:
        booster = lightgbm.Booster(model_str=text)
    except lightgbm.basic.LightGBMError as error:
        raise ValueError(str(error)) from error
    if booster.num_feature() != features:
        msg = f"the file has {booster.num_feature()} features, the note {features}"
        raise ValueError(msg)
    return Boosted(booster)


def _bins(settings: dict[str, Any]) -> tuple[int, int]:
    """What the library's bins depend on: it leaves out features that cannot part a leaf of so many rows."""
    return settings["min_data_in_leaf"], settings["seed"]


def _settings(rows: int, how: How) -> dict[str, Any]:
    params: Params = how.params
    leaf = how.leaf_rows(rows, params.min_leaf_rows) if params.min_child_samples is None else params.min_child_samples
    return {
        **params.model_dump(include={"num_leaves", "learning_rate", "feature_fraction", "bagging_fraction"}),
        "bagging_freq": params.bagging_freq,
        "min_data_in_leaf": leaf,
        "lambda_l1": params.lambda_l1 if params.reg_alpha is None else params.reg_alpha,
        "lambda_l2": params.lambda_l2 if params.reg_lambda is None else params.reg_lambda,
        "objective": "binary" if how.task == "class" else "regression",
        "max_bin": 63,
        "deterministic": True,
        "force_row_wise": True,
        "seed": how.seed,
        "num_threads": how.threads,
        "verbosity": -1,
    }


MODEL = Model(
    name="lightgbm",
    aliases=("lgbm", "lgb"),
    tasks=BOTH,
    params_type=Params,
    spaces={"safe": SAFE, "wide": WIDE},
    rounds_key="n_rounds",
    learn=learn,
    stop=stop,
    load=load,
)
