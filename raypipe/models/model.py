"""What a model family is: names, tasks, parameters with their spaces, and how it is fitted, saved and loaded.

A family declares a `Model` in the constant ``MODEL`` of its file. What all families share stands here: the checks of
what is given, and the constant that is predicted when there is nothing to learn.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from raypipe.errors import DeveloperError, ModelError, UsageError
from raypipe.models.fitted import Constant, Core, Fitted, Load, Task, floats
from raypipe.models.space import Dim, Scope, Space, SpaceName, Value, choice, distributions, real, whole

__all__ = [
    "BOTH",
    "Core",
    "Dim",
    "Fitted",
    "How",
    "Kept",
    "Load",
    "Model",
    "ModelParams",
    "Scope",
    "Space",
    "SpaceName",
    "Task",
    "choice",
    "distributions",
    "real",
    "whole",
]

BOTH: tuple[Task, Task] = ("class", "regression")
#: Libraries take seeds of 31 bits; ours have 64.
_SEED_BITS = (1 << 31) - 1


# --- one fit -----------------------------------------------------------------------------------


class ModelParams(BaseModel):
    """Parameters of a family; an unknown name is an error. All have defaults: those over all symbols."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_by_name=True)


#: By name, what a library made of the rows of a fit, such as bins, and what it depends on beside them.
Kept: TypeAlias = dict[str, tuple[Hashable, Any]]


@dataclass(frozen=True, slots=True)
class How:
    """How one model is fitted.

    Attributes
    ----------
    task
        ``class``: labels are 0 and 1, predictions are probabilities of 1. ``regression``: numbers.
    params
        The family's parameters, checked.
    rounds
        Rounds of boosting; 0 for families without.
    seed
        Of everything random, 31 bits.
    threads
        Threads of the fit.
    kept
        Where the library's form of the rows is kept for further fits of the same rows; None: nowhere.
    """

    task: Task
    params: Any
    rounds: int
    seed: int
    threads: int
    kept: Kept | None = None

    def once(self, name: str, key: Hashable, make: Callable[[], Any]) -> Any:
        """What the library makes of rows before it fits them: once for fits that agree on ``key``, the latest kept."""
        if self.kept is None:
            return make()
        if name not in self.kept or self.kept[name][0] != key:
            self.kept[name] = (key, make())
        return self.kept[name][1]

    def leaf_rows(self, rows: int, wanted: int) -> int:
        """Least rows of a leaf: as wanted, but no more than a quarter of what there is."""
        return max(1, min(wanted, rows // 4))


# --- families ----------------------------------------------------------------------------------

Learn: TypeAlias = Callable[[np.ndarray, np.ndarray, How], Core]
#: Fits on the first pair of arrays and returns the best number of rounds on the second.
Stop: TypeAlias = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, How, int], int]


@dataclass(frozen=True, slots=True)
class Model:
    """A model family.

    Attributes
    ----------
    name, aliases
        As users write it; ``-safe`` and ``-wide`` after either name a space.
    tasks
        What it can be fitted for.
    params_type
        Its parameters.
    spaces
        What a search draws from, ``safe`` and ``wide``; each dimension has its defaults.
    rounds_key
        The dimension that is the number of boosting rounds; None if there is none. It is no parameter of `fit`.
    learn, stop, load
        The library, behind `fit`, `best_rounds` and `load_fitted`.
    """

    name: str
    aliases: tuple[str, ...]
    tasks: tuple[Task, ...]
    params_type: type[ModelParams]
    spaces: Mapping[SpaceName, Space]
    learn: Learn
    load: Load
    rounds_key: str | None = None
    stop: Stop | None = None

    @property
    def defaults(self) -> dict[Scope, dict[str, Value]]:
        """The defaults of the safe space, over all symbols and for one."""
        return {"pooled": self.default("safe", "pooled"), "symbol": self.default("safe", "symbol")}

    def default(self, space: SpaceName, scope: Scope) -> dict[str, Value]:
        """The default configuration of a space; it lies in that space."""
        return {name: getattr(dim, scope) for name, dim in self.spaces[space].items()}

    def split(self, config: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
        """A configuration as parameters and rounds; rounds are 0 for families without."""
        params = {name: value for name, value in config.items() if name != self.rounds_key}
        return params, int(config[self.rounds_key]) if self.rounds_key else 0

    def fit(
        self,
        x: np.ndarray,
        y: np.ndarray,
        *,
        task: Task,
        params: Mapping[str, Any],
        rounds: int | None = None,
        seed: int,
        threads: int = 1,
        kept: Kept | None = None,
    ) -> Fitted:
        """Fit one model.

        Parameters
        ----------
        x
            float32 (n, features), NaN where a value is null, never infinite; not changed.
        y
            float32 (n,): 0 and 1, or finite numbers; not changed.
        task
            One of ``tasks``.
        params
            Parameters by name; what is not named has its default.
        rounds
            Rounds of boosting, if the family has any; None: as ``params`` say under ``rounds_key``.
        seed
            Of everything random; equal arguments give equal models.
        threads
            Threads of the fit.
        kept
            Empty at first, and then given to each fit of the same ``x``, ``y`` and ``seed``: what the library made of
            them is made once. It changes no model.

        Raises
        ------
        UsageError
            If a parameter is unknown or out of range, or the family cannot do the task.
        ModelError
            If the arrays are not what is said above.
        """
        how = replace(self._how(task, params, rounds, seed, threads), kept=kept)
        _check_rows(self.name, x, y, task)
        if _nothing_to_learn(x, y):
            core: Core = Constant(float(np.mean(y, dtype=np.float64)), x.shape[1])
        else:
            core = self.learn(floats(x), floats(y), how)
        return Fitted(self.name, task, x.shape[1], core)

    def best_rounds(
        self,
        x: np.ndarray,
        y: np.ndarray,
        x_tail: np.ndarray,
        y_tail: np.ndarray,
        *,
        task: Task,
        params: Mapping[str, Any],
        seed: int,
        rounds: int | None = None,
        threads: int = 1,
        patience: int = 50,
        kept: Kept | None = None,
    ) -> tuple[int, Literal["tail", "cap"]]:
        """How many rounds are best on a tail that the fit does not see, by log loss or RMSE.

        Parameters
        ----------
        x, y
            Rows to fit, as for `fit`.
        x_tail, y_tail
            Later rows to judge.
        task, params, seed, threads, kept
            As for `fit`; what is kept is of both parts.
        rounds
            The most; None: as ``params`` say under ``rounds_key``.
        patience
            Rounds without a better loss, after which the fit ends.

        Returns
        -------
        The number of rounds, and ``tail`` if the tail decided or ``cap`` if the loss was still getting better.

        Raises
        ------
        DeveloperError
            If the family has no rounds.
        """
        if self.stop is None or self.rounds_key is None:
            msg = f"{self.name} has no rounds"
            raise DeveloperError(msg)
        how = replace(self._how(task, params, rounds, seed, threads), kept=kept)
        cap = how.rounds
        _check_rows(self.name, x, y, task)
        _check_rows(self.name, x_tail, y_tail, task)
        if _nothing_to_learn(x, y):
            return cap, "cap"
        best = self.stop(floats(x), floats(y), floats(x_tail), floats(y_tail), how, patience)
        return best, "cap" if best >= cap else "tail"

    def _how(self, task: Task, params: Mapping[str, Any], rounds: int | None, seed: int, threads: int) -> How:
        if task not in self.tasks:
            msg = f"{self.name} cannot be fitted for {task}"
            raise UsageError(msg, hint=f"it can do: {', '.join(self.tasks)}")
        given = params.get(self.rounds_key, self.defaults["pooled"][self.rounds_key]) if self.rounds_key else 0
        rounds = int(given) if rounds is None else rounds
        if self.rounds_key and rounds < 1:
            msg = f"{self.name} is to be fitted with {rounds} rounds"
            raise UsageError(msg, hint=f"give at least 1; see {self.rounds_key}")
        return How(task, self.checked(params), rounds, seed & _SEED_BITS, threads)

    def checked(self, params: Mapping[str, Any]) -> ModelParams:
        """Parameters as the family's type.

        Raises
        ------
        UsageError
            Naming the first that is unknown or out of range.
        """
        try:
            return self.params_type.model_validate({k: v for k, v in params.items() if k != self.rounds_key})
        except ValidationError as error:
            first = error.errors()[0]
            msg = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            known = ", ".join(f.alias or name for name, f in self.params_type.model_fields.items())
            raise UsageError(msg, model=self.name, hint=f"parameters of {self.name}: {known}") from error


# --- checks ------------------------------------------------------------------------------------


def _check_rows(name: str, x: np.ndarray, y: np.ndarray, task: Task) -> None:
    if x.ndim != 2 or not x.size or y.shape != x.shape[:1]:  # noqa: PLR2004 - rows and columns
        msg = f"{name} is given features of shape {x.shape} and labels of shape {y.shape}"
        raise ModelError(msg, hint="give at least one row and one feature, and a label for each row")
    if np.isinf(x).any():
        row, column = (int(place[0]) for place in np.nonzero(np.isinf(x)))
        msg = f"feature {column} is infinite at row {row}"
        raise ModelError(msg, hint="store what is undefined as null")
    if not np.isfinite(y).all():
        msg = f"the label of row {int(np.argmin(np.isfinite(y)))} is not finite"
        raise ModelError(msg, hint="fit rows with labels only")
    if task == "class" and not ((y == 0) | (y == 1)).all():
        msg = f"{name} is fitted for two classes; row {int(np.argmax((y != 0) & (y != 1)))} is neither 0 nor 1"
        raise ModelError(msg, hint="fit it for regression, or give labels of 0 and 1")


def _nothing_to_learn(x: np.ndarray, y: np.ndarray) -> bool:
    """One label only, or no feature with two values; libraries differ in what they make of either."""
    return bool((y == y[0]).all()) or not any(_varies(column) for column in x.T)


def _varies(column: np.ndarray) -> bool:
    known = ~np.isnan(column)
    count = int(known.sum())
    return count > 0 and (count < len(column) or bool((column != column[0]).any()))
