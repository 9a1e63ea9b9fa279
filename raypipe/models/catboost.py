"""CatBoost: symmetric boosted trees, plain boosting, nulls as they are; stored as ``model.cbm``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from raypipe.models.model import BOTH, How, Model, ModelParams, Task, real, whole

__all__ = ["MODEL", "Params"]

_FILE = "model.cbm"
_LOSS = {"class": "Logloss", "regression": "RMSE"}


class Params(ModelParams):
    """Parameters under the library's names."""

    depth: int = Field(4, ge=1, le=16, description="Depth of a tree.")
    learning_rate: float = Field(0.05, gt=0, le=1, description="Learning rate.")
    l2_leaf_reg: float = Field(10.0, ge=0, description="L2 penalty of leaves.")
    rsm: float = Field(0.5, gt=0, le=1, description="Share of features of a split.")
    subsample: float = Field(0.7, gt=0, le=1, description="Share of rows of a tree, without a temperature.")
    random_strength: float = Field(1.0, ge=0, description="Noise in the scores of splits.")
    border_count: int = Field(32, ge=1, le=255, description="Bins of a feature; 32 cost a quarter of 254.")
    bagging_temperature: float | None = Field(None, ge=0, description="Bayesian weights of rows instead of a share.")


SAFE = {
    "depth": whole(2, 6, 4),
    "learning_rate": real(0.01, 0.15, 0.05, log=True),
    "l2_leaf_reg": real(3, 100, 10, log=True),
    "rsm": real(0.2, 0.8, 0.5),
    "subsample": real(0.5, 0.9, 0.7),
    "random_strength": real(0, 10, 1),
    "n_rounds": whole(30, 500, 150, 60, log=True),
}
#: The defaults of a wide space are the safe ones, moved in where they lie outside. The library says `iterations`.
WIDE = {
    "n_rounds": whole(100, 500, 150, 100),
    "depth": whole(4, 10, 4),
    "learning_rate": real(0.01, 0.3, 0.05, log=True),
    "l2_leaf_reg": real(1, 10, 10),
    "border_count": whole(32, 255, 32),
    "bagging_temperature": real(0, 1, 1),
    "random_strength": real(0, 10, 1),
}


@dataclass(frozen=True, slots=True)
class Boosted:
    """A model and what it predicts."""

    model: Any
    task: Task

    def predict(self, x: np.ndarray) -> np.ndarray:
        """On one thread."""
        if self.task == "class":
            found: np.ndarray = self.model.predict(x, prediction_type="Probability", thread_count=1)[:, 1]
        else:
            found = self.model.predict(x, thread_count=1)
        return found

    def save(self, folder: Path) -> tuple[str, ...]:
        """``model.cbm``, without the random name and the clock that the library writes: equal fits, equal bytes."""
        facts = self.model.get_metadata()
        facts["model_guid"], facts["train_finish_time"] = "", ""
        self.model.save_model(str(folder / _FILE))
        return (_FILE,)

    def importance(self) -> np.ndarray:
        """Mean change of the prediction when a feature crosses a split; the file keeps no gains."""
        found: np.ndarray = np.asarray(self.model.get_feature_importance())
        return found


def learn(x: np.ndarray, y: np.ndarray, how: How) -> Boosted:
    """Fit on all rows."""
    import catboost

    def rows() -> Any:
        found = catboost.Pool(x, y, thread_count=how.threads)
        if how.kept is not None:
            found.quantize(border_count=how.params.border_count)
        return found

    model = catboost.CatBoost(_settings(how))
    model.fit(how.once("rows", how.params.border_count, rows))
    return Boosted(model, how.task)


def stop(x: np.ndarray, y: np.ndarray, x_tail: np.ndarray, y_tail: np.ndarray, how: How, patience: int) -> int:
    """Rounds that are best on the tail."""
    import catboost

    model = catboost.CatBoost({**_settings(how), "od_type": "Iter", "od_wait": patience})
    tail = catboost.Pool(x_tail, y_tail, thread_count=how.threads)
    model.fit(catboost.Pool(x, y, thread_count=how.threads), eval_set=tail, use_best_model=False)
    return int(model.get_best_iteration()) + 1


def load(folder: Path, task: Task, features: int) -> Boosted:
    """Read ``model.cbm``."""
    import catboost

    model = catboost.CatBoost()
    try:
        model.load_model(str(folder / _FILE))
    except catboost.CatBoostError as error:
        raise ValueError(str(error)) from error
    loss = model.get_all_params()["loss_function"]
    if len(model.feature_names_) != features or loss != _LOSS[task]:
        msg = f"the file has {len(model.feature_names_)} features and {loss}, the note {features} and {_LOSS[task]}"
        raise ValueError(msg)
    return Boosted(model, task)


def _settings(how: How) -> dict[str, Any]:
    params: Params = how.params
    if params.bagging_temperature is None:
        bootstrap: dict[str, Any] = {"bootstrap_type": "Bernoulli", "subsample": params.subsample}
    else:
        bootstrap = {"bootstrap_type": "Bayesian", "bagging_temperature": params.bagging_temperature}
    return {
        **params.model_dump(exclude={"subsample", "bagging_temperature"}),
        **bootstrap,
        "iterations": how.rounds,
        "loss_function": _LOSS[how.task],
        "boosting_type": "Plain",
        "random_seed": how.seed,
        "thread_count": how.threads,
        "allow_writing_files": False,
        "logging_level": "Silent",
    }


MODEL = Model(
    name="catboost",
    aliases=("cb", "cat"),
    tasks=BOTH,
    params_type=Params,
    spaces={"safe": SAFE, "wide": WIDE},
    rounds_key="n_rounds",
    learn=learn,
    stop=stop,
    load=load,
)
