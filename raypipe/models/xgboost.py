"""XGBoost: boosted trees on histograms of 64 bins, nulls as they are; stored as ``model.ubj``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from raypipe.models.model import BOTH, How, Model, ModelParams, Task, real, whole

__all__ = ["MODEL", "Params"]

_FILE = "model.ubj"
_BINS = 64


class Params(ModelParams):
    """Parameters under the library's names; ``min_leaf_rows`` is ours."""

    max_depth: int = Field(3, ge=1, le=16, description="Depth of a tree.")
    eta: float = Field(0.05, gt=0, le=1, description="Learning rate.")
    min_leaf_rows: int = Field(400, ge=1, description="Least rows of a leaf, as hessian at the base rate.")
    min_child_weight: float | None = Field(None, ge=0, description="Least hessian of a leaf; empty: min_leaf_rows.")
    subsample: float = Field(0.7, gt=0, le=1, description="Share of rows of a tree.")
    colsample_bytree: float = Field(0.5, gt=0, le=1, description="Share of features of a tree.")
    gamma: float = Field(0.0, ge=0, description="Least gain of a split.")
    alpha: float = Field(0.01, ge=0, description="L1 penalty of leaves.")
    lambda_: float = Field(10.0, ge=0, alias="lambda", description="L2 penalty of leaves.")


SAFE = {
    "max_depth": whole(2, 6, 3),
    "eta": real(0.01, 0.15, 0.05, log=True),
    "min_leaf_rows": whole(20, 1000, 400, 80, log=True),
    "subsample": real(0.5, 0.9, 0.7),
    "colsample_bytree": real(0.2, 0.8, 0.5),
    "gamma": real(0, 5, 0),
    "alpha": real(1e-3, 10, 0.01, log=True),
    "lambda": real(1, 100, 10, log=True),
    "n_rounds": whole(30, 600, 150, 60, log=True),
}
#: The defaults of a wide space are the safe ones, moved in where they lie outside.
WIDE = {
    "max_depth": whole(3, 10, 3),
    "eta": real(0.01, 0.3, 0.05, log=True),
    "min_child_weight": real(1, 10, 10),
    "subsample": real(0.5, 1, 0.7),
    "colsample_bytree": real(0.5, 1, 0.5),
    "gamma": real(0, 10, 0),
    "alpha": real(0, 10, 0.01),
    "lambda": real(0, 10, 10),
    "n_rounds": whole(50, 1000, 150, 60, log=True),
}


@dataclass(frozen=True, slots=True)
class Boosted:
    """A booster."""

    booster: Any

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Straight from the array, without a matrix of the library's own."""
        found: np.ndarray = self.booster.inplace_predict(x)
        return found

    def save(self, folder: Path) -> tuple[str, ...]:
        """``model.ubj``."""
        self.booster.save_model(folder / _FILE)
        return (_FILE,)

    def importance(self) -> np.ndarray:
        """Total gain."""
        gains = self.booster.get_score(importance_type="total_gain")
        return np.array([gains.get(f"f{place}", 0.0) for place in range(self.booster.num_features())])


def learn(x: np.ndarray, y: np.ndarray, how: How) -> Boosted:
    """Fit on all rows."""
    import xgboost

    rows = how.once("rows", _BINS, lambda: xgboost.QuantileDMatrix(x, label=y, max_bin=_BINS, nthread=how.threads))
    return Boosted(xgboost.train(_settings(y, how), rows, num_boost_round=how.rounds))


def stop(x: np.ndarray, y: np.ndarray, x_tail: np.ndarray, y_tail: np.ndarray, how: How, patience: int) -> int:
    """Rounds that are best on the tail."""
    import xgboost

    bins = {"max_bin": _BINS, "nthread": how.threads}
    rows = how.once("rows", _BINS, lambda: xgboost.QuantileDMatrix(x, label=y, **bins))
    tail = how.once("tail", _BINS, lambda: xgboost.QuantileDMatrix(x_tail, label=y_tail, ref=rows, **bins))
    booster = xgboost.train(
        {**_settings(y, how), "eval_metric": "logloss" if how.task == "class" else "rmse"},
        rows,
        num_boost_round=how.rounds,
        evals=[(tail, "tail")],
        early_stopping_rounds=patience,
        verbose_eval=False,
    )
    return int(booster.best_iteration) + 1


def load(folder: Path, task: Task, features: int) -> Boosted:  # noqa: ARG001 - the file knows its task
    """Read ``model.ubj``."""
    import xgboost

    data = (folder / _FILE).read_bytes()
    if not (data.startswith(b"{") and data.endswith(b"}")):
        # The library's reader may ask for all memory there is when lengths in a cut file are off.
        msg = "the file is cut short, or no model of XGBoost"
        raise ValueError(msg)
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(data))
    if booster.num_features() != features:
        msg = f"the file has {booster.num_features()} features, the note {features}"
        raise ValueError(msg)
    return Boosted(booster)


def _settings(y: np.ndarray, how: How) -> dict[str, Any]:
    params: Params = how.params
    return {
        **params.model_dump(by_alias=True, exclude={"min_leaf_rows"}),
        "min_child_weight": _least_hessian(y, how),
        "objective": "binary:logistic" if how.task == "class" else "reg:squarederror",
        "tree_method": "hist",
        "max_bin": _BINS,
        "seed": how.seed,
        "nthread": how.threads,
        "verbosity": 0,
    }


def _least_hessian(y: np.ndarray, how: How) -> float:
    """What so many rows weigh at the base rate p: p(1-p) each, and 1 each in a regression."""
    if how.params.min_child_weight is not None:
        return float(how.params.min_child_weight)
    rate = float(np.mean(y, dtype=np.float64))
    row = rate * (1.0 - rate) if how.task == "class" else 1.0
    return how.leaf_rows(len(y), how.params.min_leaf_rows) * row


MODEL = Model(
    name="xgboost",
    aliases=("xgb",),
    tasks=BOTH,
    params_type=Params,
    spaces={"safe": SAFE, "wide": WIDE},
    rounds_key="n_rounds",
    learn=learn,
    stop=stop,
    load=load,
)
