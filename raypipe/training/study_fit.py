"""One configuration of a study: fitted and scored fold by fold, stopped early when it loses."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from raypipe.evaluation.scores import fold_value
from raypipe.models.model import Model
from raypipe.training.indicators import split_windows
from raypipe.training.journal import ConfigResult
from raypipe.training.study_data import FoldView, StudyView

__all__ = ["CONSTANT", "MIN_FOLDS", "Fit", "lost", "run_configuration"]

#: Folds with a score that an objective needs.
MIN_FOLDS = 3
#: Complete configurations, and folds of one's own, before a configuration can lose.
PRUNE_COMPLETE, PRUNE_FOLDS = 5, 2
#: Least standard deviation of paired differences.
MIN_SPREAD = 0.002
#: Why a configuration failed that learned nothing. It is no failed fit: strong regularisation ends there rightly.
CONSTANT = "constant predictions in every fold"
NO_SCORE = f"fewer than {MIN_FOLDS} folds have a score"


@dataclass(frozen=True, slots=True)
class Fit:
    """How the models of one study are fitted; ``seed`` is the same for all of them."""

    model: Model
    seed: int
    threads: int


@dataclass(slots=True)
class _Run:
    """What is known of a configuration while its folds run; ``beside`` are its columns of indicators."""

    oof: np.ndarray
    beside: np.ndarray | None = None
    value: list[float | None] = field(default_factory=list)
    rounds: list[int | None] = field(default_factory=list)
    stop: list[str | None] = field(default_factory=list)
    constant: bool = True
    pruned: bool = False

    def add(self, value: float | None, rounds: int | None, stop: str | None) -> None:
        self.value.append(value)
        self.rounds.append(rounds)
        self.stop.append(stop)

    def pad(self, folds: int) -> None:
        while len(self.value) < folds:
            self.add(None, None, None)

    @property
    def scores(self) -> list[float]:
        return [one for one in self.value if one is not None]


def run_configuration(
    view: StudyView,
    fit: Fit,
    params: Mapping[str, Any],
    losing: Callable[[Sequence[float | None]], bool],
    **known: Any,
) -> tuple[ConfigResult, np.ndarray]:
    """Fit, predict and score every fold, in the order of time.

    Parameters
    ----------
    view
        The rows of the study.
    fit
        What is fitted, and how.
    params
        The configuration.
    losing
        Told the scores after each fold but the last; True stops.
    known
        ``i`` and ``source`` of the configuration.

    Returns
    -------
    The configuration with its scores, and float32 (rows,) predictions, NaN where no fold ran. Where several folds
    test a row, it is their mean.

    Raises
    ------
    ImportError, MemoryError
        From the library of the model: they say nothing of the configuration.
    """
    begun, cpu = time.perf_counter(), time.process_time()
    own, windows = split_windows(params)
    run = _Run(np.full(view.rows, np.nan, np.float32), view.indicators(windows))
    try:
        _folds(view, fit, own, losing, run)
        error = _verdict(run)
    except (ImportError, MemoryError):
        raise
    except Exception as raised:  # noqa: BLE001 -- whatever a library raises, the configuration failed by it
        error = f"fold {view.folds[len(run.value)].id}: {type(raised).__name__}: {raised}"
    run.pad(len(view.folds))
    result = ConfigResult(
        params=dict(params),
        fold_value=tuple(run.value),
        fold_rounds=tuple(run.rounds),
        fold_stop=tuple(run.stop),
        value=math.fsum(run.scores) / len(run.scores) if run.scores and not error else None,
        state="failed" if error else "pruned" if run.pruned else "complete",
        error=error,
        seconds=time.perf_counter() - begun,
        cpu_s=time.process_time() - cpu,
        **known,
    )
    return result, run.oof


def _folds(
    view: StudyView,
    fit: Fit,
    params: Mapping[str, Any],
    losing: Callable[[Sequence[float | None]], bool],
    run: _Run,
) -> None:
    times = np.zeros(view.rows, np.int64)
    for fold in view.folds:
        if not len(fold.train) or not len(fold.test):
            run.add(None, None, None)
            continue
        p, rounds, stop = _fold(view, fit, params, fold, run.beside)
        if not np.isfinite(p).all():
            msg = f"{int((~np.isfinite(p)).sum())} of {len(p)} predictions are not finite"
            raise FloatingPointError(msg)
        run.constant &= bool((p == p[0]).all())
        _merge(run.oof, times, fold.test, p)
        y = view.labels(fold.test)
        found = fold_value(view.kind, y, p, view.session_id[fold.test], view.one_symbol)
        run.add(None if math.isnan(found) else found, rounds, stop)
        if fold is not view.folds[-1] and losing(run.value):
            run.pruned = True
            return


def _merge(oof: np.ndarray, times: np.ndarray, rows: np.ndarray, p: np.ndarray) -> None:
    """Add predictions of rows to their mean so far."""
    before = np.where(times[rows] > 0, oof[rows], 0.0).astype(np.float64) * times[rows]
    times[rows] += 1
    oof[rows] = p if (times[rows] == 1).all() else (before + p) / times[rows]


def _fold(
    view: StudyView, fit: Fit, params: Mapping[str, Any], fold: FoldView, beside: np.ndarray | None
) -> tuple[np.ndarray, int, Literal["tail", "cap", "drawn"]]:
    """Predictions of the test rows, and the rounds that were fitted; the test rows are not seen before."""
    own, rounds = fit.model.split(params)
    stop: Literal["tail", "cap", "drawn"] = "drawn"
    if fold.tail is not None and fit.model.rounds_key:
        rounds, stop = fit.model.best_rounds(
            view.matrix(fold, "inner", beside),
            view.labels(fold.inner),
            view.matrix(fold, "tail", beside),
            view.labels(fold.tail),
            task=view.kind,
            params=params,
            seed=fit.seed,
            threads=fit.threads,
            kept=view.kept(fold, "inner", beside),
        )
    x, y = view.matrix(fold, "train", beside), view.labels(fold.train)
    known: dict[str, Any] = {"seed": fit.seed, "threads": fit.threads, "kept": view.kept(fold, "train", beside)}
    fitted = fit.model.fit(x, y, task=view.kind, params=own, rounds=rounds, **known)
    return fitted.predict(view.matrix(fold, "test", beside)), rounds, stop


def _verdict(run: _Run) -> str | None:
    """Why a configuration that ran has failed, or None."""
    if run.constant:
        return CONSTANT
    return None if run.pruned or len(run.scores) >= MIN_FOLDS else NO_SCORE


def lost(values: Sequence[float | None], complete: Sequence[ConfigResult]) -> bool:
    """Whether a configuration is so far behind the best that its last folds are not worth their time.

    Parameters
    ----------
    values
        Its scores so far.
    complete
        The complete configurations.

    Returns
    -------
    True if the mean of its paired differences to the best is below -2 s/sqrt(k): k folds, s the pooled standard
    deviation of such differences of the complete configurations, at least `MIN_SPREAD`.
    """
    if len(complete) < PRUNE_COMPLETE:
        return False
    best = max(complete, key=lambda one: (one.value, -one.i))
    d = _differences(values, best.fold_value)
    if len(d) < PRUNE_FOLDS:
        return False
    squares, freedom = 0.0, 0
    for one in complete:
        if one is not best:
            other = _differences(one.fold_value, best.fold_value)
            squares, freedom = squares + float(((other - other.mean()) ** 2).sum()), freedom + len(other) - 1
    spread = max(MIN_SPREAD, math.sqrt(squares / freedom) if freedom else 0.0)
    return float(d.mean()) < -2.0 * spread / math.sqrt(len(d))


def _differences(values: Sequence[float | None], best: Sequence[float | None]) -> np.ndarray:
    return np.array([a - b for a, b in zip(values, best, strict=False) if a is not None and b is not None])
