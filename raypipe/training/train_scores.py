"""What one model scores on a fold: the metrics that people read, beside those of always saying the same."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from raypipe.evaluation.scores import auc, brier, fold_value, log_loss
from raypipe.models.model import Task

__all__ = ["Metrics", "mean_and_error", "metrics"]

#: By name; None where a score is not defined.
Metrics = dict[str, float | None]


def metrics(
    task: Task, y: np.ndarray, p: np.ndarray, session_id: np.ndarray, *, train_mean: float, one_symbol: bool
) -> Metrics:
    """The scores of predictions of one part.

    Parameters
    ----------
    task
        ``class``: accuracy and f1 at .5, auc, log_loss, brier. ``regression``: rmse, r2 against the mean of the
        training rows, direction_accuracy, rank_ic.
    y, p
        (n,), finite.
    session_id
        int (n,).
    train_mean
        What r2 is measured against.
    one_symbol
        Whether rank_ic is over time.
    """
    y, p = y.astype(np.float64), p.astype(np.float64)
    found = _of_classes(y, p) if task == "class" else _of_numbers(y, p, session_id, train_mean, one_symbol)
    return {name: float(value) if math.isfinite(value) else None for name, value in found.items()}


def _of_classes(y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    up, said = y > 0.5, p >= 0.5  # noqa: PLR2004 - halfway
    both, either = int((up & said).sum()), int(up.sum()) + int(said.sum())
    return {
        "accuracy": float((up == said).mean()),
        "auc": auc(y, p),
        "f1": 2.0 * both / either if either else math.nan,
        "log_loss": log_loss(y, p),
        "brier": brier(y, p),
    }


def _of_numbers(
    y: np.ndarray, p: np.ndarray, session_id: np.ndarray, train_mean: float, one_symbol: bool
) -> dict[str, float]:
    missed, naive = float(np.square(y - p).mean()), float(np.square(y - train_mean).mean())
    return {
        "rmse": math.sqrt(missed),
        "r2": 1.0 - missed / naive if naive > 0 else math.nan,
        "direction_accuracy": float(((y > 0) == (p > 0)).mean()),
        "rank_ic": fold_value("regression", y, p, session_id, one_symbol),
    }


def mean_and_error(folds: Sequence[Metrics]) -> tuple[Metrics, Metrics]:
    """Mean over the folds that have a score, and its standard error; None for fewer than one, and than two."""
    mean: Metrics = {}
    error: Metrics = {}
    for name in folds[0]:
        known = [value for fold in folds if (value := fold[name]) is not None]
        mean[name] = float(np.mean(known)) if known else None
        error[name] = float(np.std(known, ddof=1) / math.sqrt(len(known))) if len(known) > 1 else None
    return mean, error
