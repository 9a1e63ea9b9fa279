"""How good each strategy, each base and the best single feature are, out of fold; and which strategy is taken."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from raypipe.dataset.matrix import Panel, Target
from raypipe.evaluation.bootstrap import Bounds, Resamples
from raypipe.evaluation.scores import Kind, auc, brier, ece, fold_value, log_loss, rank_ic

__all__ = ["SCORES", "Judged", "Naive", "choose", "naive_feature", "score_table"]

SCORES = pa.schema(
    [
        ("strategy", pa.string()),
        ("fold_id", pa.int32()),
        *[(name, pa.float64()) for name in ("auc", "auc_se", "log_loss", "brier", "ece", "rank_ic")],
        ("diff_vs_mean", pa.float64()),
        ("diff_se", pa.float64()),
        ("picked", pa.bool_()),
    ]
)


@dataclass(frozen=True, eq=False)
class Judged:
    """Out-of-fold rows, and what may be said of them.

    Attributes
    ----------
    y
        float32 (n,): outcomes.
    fold, session
        int (n,).
    kind, horizon
        Of the target.
    """

    y: np.ndarray
    fold: np.ndarray
    session: np.ndarray
    kind: Literal["class", "regression"]
    horizon: int

    @property
    def later(self) -> np.ndarray:
        """Rows of all folds but the first, bool (n,): in the first nothing that learns from folds can be scored."""
        later: np.ndarray = self.fold > self.fold.min()
        return later

    @cached_property
    def drawn(self) -> Drawn:
        """Their resamples."""
        return Drawn(self)

    def difference(self, z: np.ndarray, other: np.ndarray) -> tuple[float, float]:
        """Score of one less score of the other on rows that both know, without the first fold; and its error."""
        rows = self.later & ~np.isnan(z) & ~np.isnan(other)
        apart = self.drawn.scores(rows, z, self.kind) - self.drawn.scores(rows, other, self.kind)
        found = self.drawn.bounds(rows, apart, self.kind)
        return found.value, found.se


class Drawn:
    """Scores of rows under resamples. Each is made once: every strategy and base is held against the same mean."""

    def __init__(self, judged: Judged) -> None:
        self._judged = judged
        self._resamples: dict[tuple[bytes, Kind], Resamples] = {}
        self._scores: dict[tuple[bytes, bytes, Kind], np.ndarray] = {}

    def scores(self, rows: np.ndarray, z: np.ndarray, kind: Kind) -> np.ndarray:
        """As of `Resamples.scores`, of the rows where ``rows`` is True: AUC of what rose, or mean rank IC."""
        key = rows.tobytes(), z[rows].tobytes(), kind
        if key not in self._scores:
            self._scores[key] = self._of(rows, kind).scores(z[rows])
        return self._scores[key]

    def bounds(self, rows: np.ndarray, scores: np.ndarray, kind: Kind) -> Bounds:
        """As of `Resamples.bounds`."""
        return self._of(rows, kind).bounds(scores)

    def _of(self, rows: np.ndarray, kind: Kind) -> Resamples:
        judged, key = self._judged, (rows.tobytes(), kind)
        if key not in self._resamples:
            y = judged.y[rows] > 0 if kind == "class" else judged.y[rows]
            self._resamples[key] = Resamples(judged.session[rows], y, judged.horizon, kind=kind)
        return self._resamples[key]


# --- choosing ------------------------------------------------------------------------------------


def choose(judged: Judged, stacks: Mapping[str, np.ndarray]) -> str:
    """The strategy that ``auto`` takes: ``mean``, unless another beats it by more than one standard error.

    The error is that of the paired difference over blocks of sessions; where there are too few blocks, nothing beats
    the mean. Of several that do, the one with the largest difference.
    """
    best, most = "mean", 0.0
    for name, z in stacks.items():
        if name == "mean" or np.isnan(z).all():
            continue
        value, se = judged.difference(z, stacks["mean"])
        if not math.isnan(se) and value > se and value > most:
            best, most = name, value
    return best


@dataclass(frozen=True, slots=True)
class Naive:
    """The best single feature with its sign; ``fill`` stands in for a null: the median of the out-of-fold rows."""

    feature: str
    sign: int
    fill: float

    def z(self, panel: Panel) -> np.ndarray:
        """float64 (n,), no NaN."""
        values = panel.column(self.feature).astype(np.float64)
        filled: np.ndarray = self.sign * np.where(np.isnan(values), self.fill, values)
        return filled

    def to_dict(self) -> dict[str, Any]:
        """As in `meta.json`."""
        return {"feature": self.feature, "sign": self.sign, "fill": self.fill}


def naive_feature(panel: Panel, target: Target, rows: np.ndarray, fold: np.ndarray) -> Naive | None:
    """The feature whose mean score over folds is farthest from no skill; None if none has a score.

    Parameters
    ----------
    panel, target
        All rows.
    rows, fold
        Rows that a fold tested, and which.
    """
    middle = 0.5 if target.kind == "class" else 0.0
    best: tuple[float, int, float] | None = None
    for place in range(len(panel.features)):
        values = panel.x[rows, place].astype(np.float64)
        known = ~np.isnan(values)
        if not known.any():
            continue
        fill = float(np.median(values[known]))
        values = np.where(known, values, fill)
        scores = [
            fold_value(target.kind, target.y[rows[here]], values[here], panel.session_id[rows[here]], False)
            for here in (fold == one for one in np.unique(fold))
        ]
        edge = float(np.mean(scores)) - middle
        if not math.isnan(edge) and (best is None or abs(edge) > abs(best[0])):
            best = (edge, place, fill)
    return Naive(panel.features[best[1]], 1 if best[0] >= 0 else -1, best[2]) if best else None


# --- scoring -------------------------------------------------------------------------------------


def score_table(
    judged: Judged, z: Mapping[str, np.ndarray], p: Mapping[str, np.ndarray], mean: np.ndarray, picked: str
) -> pa.Table:
    """`stack_scores.parquet`: every strategy and base over all folds but the first (fold null), and fold by fold.

    Parameters
    ----------
    judged
        The rows.
    z
        Per strategy and base, float64 (n,): what is ranked; NaN where it says nothing.
    p
        Probabilities, where there are any: of bases as they are, of strategies calibrated on earlier folds. Log loss,
        Brier score and calibration error are of the rows that have one.
    mean
        z of the mean, which the others are compared with.
    picked
        The strategy that is taken.
    """
    rows: list[dict[str, Any]] = []
    for name, values in z.items():
        whole = _scores(judged, judged.later, values, p.get(name))
        diff, se = judged.difference(values, mean) if name != "mean" else (0.0, 0.0)
        rows.append({"strategy": name, "fold_id": None, **whole, "diff_vs_mean": diff, "diff_se": se})
        for fold in np.unique(judged.fold):
            found = _scores(judged, judged.fold == fold, values, p.get(name))
            rows.append({"strategy": name, "fold_id": int(fold), **found})
    for row in rows:
        row["picked"] = row["strategy"] == picked
    return pa.Table.from_pylist([{name: _null(value) for name, value in row.items()} for row in rows], SCORES)


def _null(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _scores(judged: Judged, here: np.ndarray, z: np.ndarray, p: np.ndarray | None) -> dict[str, float]:
    known = here & ~np.isnan(z)
    rows = np.flatnonzero(known)
    if not len(rows):
        return {}
    y, session = judged.y[rows], judged.session[rows]
    up = (y > 0).astype(np.float32)
    bounds = judged.drawn.bounds(known, judged.drawn.scores(known, z, "class"), "class")
    found = {"auc": auc(up, z[rows]), "auc_se": bounds.se, "rank_ic": rank_ic(y, z[rows], session)}
    if judged.kind == "class" and p is not None:
        told = rows[~np.isnan(p[rows])]
        if len(told):
            found |= {name: f(judged.y[told], p[told]) for name, f in _OF_PROBABILITIES.items()}
    return found


_OF_PROBABILITIES = {"log_loss": log_loss, "brier": brier, "ece": ece}
