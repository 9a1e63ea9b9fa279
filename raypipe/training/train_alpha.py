"""The penalty of a linear model, chosen inside its training rows: an inner purged walk-forward.

Of the penalties whose loss lies within one standard error of the best, the largest is taken: more is claimed only where
the rows can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from raypipe.dataset.matrix import Panel, Target
from raypipe.errors import UsageError
from raypipe.evaluation.scores import log_loss
from raypipe.models.model import Fitted

__all__ = ["ALPHAS", "choose_alpha", "inner_parts"]

ALPHAS = tuple(float(one) for one in np.logspace(-4, 2, 25))
#: Blocks of sessions that test; one more only trains.
_BLOCKS = 4


def choose_alpha(
    panel: Panel, target: Target, rows: np.ndarray, fit: Callable[[np.ndarray, np.ndarray, float], Fitted]
) -> float:
    """The penalty for a model of these rows.

    Parameters
    ----------
    panel, target
        The data.
    rows
        int64, ascending: the rows that the model will be fitted on; no other is looked at.
    fit
        Of features, labels and a penalty.

    Raises
    ------
    UsageError
        If the rows have too few sessions to be cut.
    """
    parts = list(inner_parts(panel, target, rows))
    if len(parts) < 2:  # noqa: PLR2004 - one loss has no error
        msg = f"{len(np.unique(panel.session_id[rows]))} sessions are too few to choose a penalty by"
        raise UsageError(msg, hint="train on more history, or give --alpha")
    losses = np.array([_losses(panel, target, part, fit) for part in parts])
    mean, error = losses.mean(axis=0), losses.std(axis=0, ddof=1) / np.sqrt(len(parts))
    best = int(mean.argmin())
    return ALPHAS[int(np.flatnonzero(mean <= mean[best] + error[best])[-1])]


def inner_parts(panel: Panel, target: Target, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows that train and rows that test, block after block; a label that reaches into the block is left out."""
    session = panel.session_id[rows]
    blocks = np.array_split(np.unique(session), _BLOCKS + 1)
    for block in blocks[1:]:
        if not len(block):
            continue
        test = rows[(session >= block[0]) & (session <= block[-1])]
        before = rows[session < block[0]]
        train = before[target.end_ns[before] < panel.decision_ns[test].min()]
        if len(train):
            yield train, test


def _losses(
    panel: Panel,
    target: Target,
    part: tuple[np.ndarray, np.ndarray],
    fit: Callable[[np.ndarray, np.ndarray, float], Fitted],
) -> list[float]:
    """Of each penalty, on the rows that test."""
    train, test = part
    x, y, x_test, y_test = panel.x[train], target.y[train], panel.x[test], target.y[test].astype(np.float64)
    predicted = [fit(x, y, alpha).predict(x_test).astype(np.float64) for alpha in ALPHAS]
    if target.kind == "class":
        return [log_loss(y_test, p) for p in predicted]
    return [float(np.square(y_test - p).mean()) for p in predicted]
