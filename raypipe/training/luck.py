"""What luck alone would have shown: the best-of-N null of every study, and the probability of overfitting of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from raypipe.dataset.matrix import Panel, Target
from raypipe.evaluation.multiplicity import best_of_n, block_scores, iid_null_sd, pbo
from raypipe.training.journal import POOLED, StudyRecord
from raypipe.training.oof import RunStudies, checked_row, fold_numbers
from raypipe.training.study_data import Rows

__all__ = ["MULTIPLICITY", "multiplicity_table"]

MULTIPLICITY = pa.schema(
    [
        ("scope", pa.string()),
        ("algorithm", pa.string()),
        ("n", pa.int32()),
        *[(name, pa.float64()) for name in ("observed", "null_mean", "null_q95", "p_value", "pbo")],
        ("n_blocks", pa.int32()),
        ("iid_null_sd", pa.float64()),
    ]
)


def multiplicity_table(run: RunStudies, panel: Panel, target: Target, folds: Sequence[Rows]) -> pa.Table:
    """`multiplicity.parquet`: a row per study that has a winner, pooled ones first.

    The probability of overfitting is that of choosing among the complete pooled configurations of all algorithms, so
    it stands at every pooled row.

    Parameters
    ----------
    run
        Its studies.
    panel, target
        What they were searched on.
    folds
        The rows of its folds.
    """
    fold = fold_numbers(panel.rows, folds)
    overfit = _overfitting(run, panel, target, fold)
    keys = sorted(run.winners, key=lambda key: (key[1] != POOLED, key[1], key[0]))
    rows = [_row(run.studies[key], panel, target, fold) | (overfit if key[1] == POOLED else {}) for key in keys]
    return pa.Table.from_pylist([{name: _null(value) for name, value in row.items()} for row in rows], MULTIPLICITY)


def _null(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _row(record: StudyRecord, panel: Panel, target: Target, fold: np.ndarray) -> dict[str, Any]:
    scope, pooled = record.header.scope, record.header.scope == POOLED
    place = slice(0, panel.rows) if pooled else panel.rows_of(scope)
    rows = np.flatnonzero(fold[place] > 0) + place.start
    predictions = np.stack([checked_row(record, one.i, place.stop - place.start) for one in record.configs])
    found = best_of_n(
        predictions[:, rows - place.start],
        target.y[rows],
        fold[rows],
        panel.session_id[rows],
        panel.symbol_id[rows],
        horizon=target.horizon,
        kind=target.kind,
        one_symbol=not pooled,
    )
    ones = int((target.y[rows] > 0).sum())
    return {
        "scope": scope,
        "algorithm": record.header.algorithm,
        "n": found.n,
        "observed": found.observed,
        "null_mean": found.null_mean,
        "null_q95": found.null_q95,
        "p_value": found.p_value,
        "iid_null_sd": iid_null_sd(ones, len(rows) - ones) if target.kind == "class" else math.nan,
    }


def _overfitting(run: RunStudies, panel: Panel, target: Target, fold: np.ndarray) -> dict[str, Any]:
    rows = np.flatnonzero(fold > 0)
    candidates = [
        checked_row(record, one.i, panel.rows)[rows]
        for (_, scope), record in sorted(run.studies.items())
        for one in record.configs
        if scope == POOLED and one.state == "complete"
    ]
    if not candidates:
        return {}
    scores = block_scores(
        np.stack(candidates), target.y[rows], panel.session_id[rows], target.horizon, kind=target.kind
    )
    return {"pbo": pbo(scores), "n_blocks": len(scores)}
