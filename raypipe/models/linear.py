"""Linear models on standardised features: logistic, ols, ridge, lasso, elasticnet; stored as ``model.json``.

Features are scaled by mean and standard deviation of the rows of the fit and clipped at 5; a null is 0 after that.
Penalties are per row, so a value means the same for one symbol as for all: ``mean loss + l1 sum|w| + l2/2 sum w^2``
for logistic, ``mean squared error + l2 sum w^2`` for ridge, ``half the mean squared error + l1 sum|w|`` for lasso.
The intercept is never penalised.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from raypipe.models.model import How, Model, ModelParams, Space, Task, real

__all__ = ["CLIP", "MODEL", "Linear", "Scaler"]

_FILE = "model.json"
#: Standard deviations beyond which a feature says no more.
CLIP = 5.0
_CHUNK = 8192


# --- parameters --------------------------------------------------------------------------------


class LogisticParams(ModelParams):
    """Penalties; both 0: none."""

    l2: float = Field(0.02, ge=0, description="Penalty of squares, per row.")
    l1: float = Field(0.0, ge=0, description="Penalty of absolute values, per row.")


class OlsParams(ModelParams):
    """There is nothing to choose."""


class RidgeParams(ModelParams):
    """The penalty."""

    l2: float = Field(0.02, ge=0, description="Penalty of squares, per row.")


class LassoParams(ModelParams):
    """The penalty, in units of the target."""

    l1: float = Field(1e-4, gt=0, description="Penalty of absolute values, per row.")


class ElasticnetParams(ModelParams):
    """Both penalties, in units of the target."""

    alpha: float = Field(1e-4, gt=0, description="Both penalties together, per row.")
    l1_ratio: float = Field(0.5, ge=0, le=1, description="Share of the penalty of absolute values.")


_L2: Space = {"l2": real(1e-4, 10, 0.02, 1, log=True)}
_L1: Space = {"l1": real(1e-6, 1e-1, 1e-4, log=True)}
_MIXED: Space = {"alpha": real(1e-6, 1e-1, 1e-4, log=True), "l1_ratio": real(0.05, 1, 0.5)}


# --- models ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Scaler:
    """How features are standardised.

    Attributes
    ----------
    mean, sd
        float64 (features,), of the known values of the rows of the fit; the deviation divides by their number. Where
        nothing varies ``sd`` is 0, and the scaled feature too.
    """

    mean: np.ndarray
    sd: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> Scaler:
        """Mean and deviation of each column of float32 (n, features)."""
        known = ~np.isnan(x)
        count = np.maximum(known.sum(axis=0), 1)
        mean = x.sum(axis=0, dtype=np.float64, where=known) / count
        away: np.ndarray = x - mean
        away[~known] = 0.0
        sd = np.sqrt(np.einsum("ij,ij->j", away, away) / count)
        flat = np.fmin.reduce(x, axis=0) == np.fmax.reduce(x, axis=0)
        return cls(mean, np.where(flat, 0.0, sd))

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Standardise, clip, and put 0 for nulls: float64 (n, features)."""
        scaled: np.ndarray = x - self.mean
        scaled /= np.where(self.sd > 0, self.sd, np.inf)
        np.clip(scaled, -CLIP, CLIP, out=scaled)
        scaled[np.isnan(scaled)] = 0.0
        return scaled


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """A linear model.

    Attributes
    ----------
    task
        ``class`` passes the sum through the logistic function.
    scaler
        What is done to features before.
    coef
        float64 (features,), for standardised features.
    intercept
        For a row at the mean of everything.
    """

    task: Task
    scaler: Scaler
    coef: np.ndarray
    intercept: float

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Each row for itself: neighbours and threads change no bit of it."""
        parts = [self._chunk(x[low : low + _CHUNK]) for low in range(0, len(x), _CHUNK)]
        return np.concatenate(parts)

    def _chunk(self, x: np.ndarray) -> np.ndarray:
        total: np.ndarray = np.einsum("ij,j->i", self.scaler.apply(x), self.coef) + self.intercept
        if self.task == "class":
            small = np.exp(-np.abs(total))
            total = np.where(total >= 0, 1.0, small) / (1.0 + small)
        return total

    @property
    def coef_original(self) -> np.ndarray:
        """Coefficients for features in their own units, float64; 0 where nothing varied."""
        varied = self.scaler.sd > 0
        found: np.ndarray = np.divide(self.coef, self.scaler.sd, out=np.zeros(len(self.coef)), where=varied)
        return found

    def save(self, folder: Path) -> tuple[str, ...]:
        """``model.json``; numbers are written so that they are read back as they were."""
        text = {
            "schema": 1,
            "task": self.task,
            "mean": self.scaler.mean.tolist(),
            "sd": self.scaler.sd.tolist(),
            "clip": CLIP,
            "coef": self.coef.tolist(),
            "intercept": self.intercept,
        }
        (folder / _FILE).write_text(json.dumps(text, sort_keys=True) + "\n", encoding="utf-8")
        return (_FILE,)

    def importance(self) -> np.ndarray:
        """Absolute coefficients of standardised features."""
        size: np.ndarray = np.abs(self.coef)
        return size


def learn(x: np.ndarray, y: np.ndarray, how: How, *, estimator: Callable[[int, How], Any]) -> Linear:
    """Fit on all rows."""
    scaler = Scaler.of(x)
    # Sums over rows depend on how many threads share them; the limit keeps fits equal to the last bit.
    with _thread_pools().limit(limits=how.threads):
        model = estimator(len(y), how).fit(scaler.apply(x), y.astype(np.float64))
    coef = np.asarray(model.coef_, np.float64).ravel()
    return Linear(how.task, scaler, coef, float(np.ravel(model.intercept_)[0]))


@lru_cache(maxsize=1)
def _thread_pools() -> Any:
    """The thread pools of the library; looking for them takes longer than a small fit."""
    import sklearn.linear_model  # noqa: F401 - brings them
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def load(folder: Path, task: Task, features: int) -> Linear:
    """Read ``model.json``."""
    stored = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    arrays = {name: np.array(stored[name], np.float64) for name in ("mean", "sd", "coef")}
    intercept = float(stored["intercept"])
    if (stored["schema"], stored["task"], stored["clip"]) != (1, task, CLIP):
        msg = f"the file is of schema {stored['schema']} for {stored['task']}, the note says {task}"
        raise ValueError(msg)
    if any(one.shape != (features,) or not np.isfinite(one).all() for one in arrays.values()):
        msg = f"the arrays are not {features} finite numbers each"
        raise ValueError(msg)
    return Linear(task, Scaler(arrays["mean"], arrays["sd"]), arrays["coef"], intercept)


# --- the library's estimators --------------------------------------------------------------------


def _logistic(rows: int, how: How) -> Any:
    from sklearn.linear_model import LogisticRegression

    total = how.params.l1 + how.params.l2
    return LogisticRegression(
        C=1.0 / (total * rows) if total else np.inf,
        l1_ratio=how.params.l1 / total if total else 0.0,
        solver="saga" if how.params.l1 else "lbfgs",
        tol=1e-6,
        max_iter=10_000,
        random_state=how.seed,
    )


def _ols(rows: int, how: How) -> Any:  # noqa: ARG001 - every estimator is asked alike
    from sklearn.linear_model import LinearRegression

    return LinearRegression()


def _ridge(rows: int, how: How) -> Any:
    from sklearn.linear_model import Ridge

    # Cholesky is quick, and sound as soon as there is a penalty.
    return Ridge(alpha=how.params.l2 * rows, solver="cholesky" if how.params.l2 else "svd")


def _lasso(rows: int, how: How) -> Any:  # noqa: ARG001 - the library's penalty is per row
    from sklearn.linear_model import Lasso

    return Lasso(alpha=how.params.l1, max_iter=100_000)


def _elasticnet(rows: int, how: How) -> Any:  # noqa: ARG001 - the library's penalty is per row
    from sklearn.linear_model import ElasticNet

    return ElasticNet(alpha=how.params.alpha, l1_ratio=how.params.l1_ratio, max_iter=100_000)


def _family(
    name: Literal["logistic", "ols", "ridge", "lasso", "elasticnet"],
    params: type[ModelParams],
    space: Space,
    estimator: Callable[[int, How], Any],
    *aliases: str,
) -> Model:
    return Model(
        name=name,
        aliases=aliases,
        tasks=("class",) if name == "logistic" else ("regression",),
        params_type=params,
        spaces={"safe": space, "wide": space},
        learn=partial(learn, estimator=estimator),
        load=load,
    )


MODEL = (
    _family("logistic", LogisticParams, _L2, _logistic, "lr"),
    _family("ols", OlsParams, {}, _ols),
    _family("ridge", RidgeParams, _L2, _ridge),
    _family("lasso", LassoParams, _L1, _lasso),
    _family("elasticnet", ElasticnetParams, _MIXED, _elasticnet),
)
