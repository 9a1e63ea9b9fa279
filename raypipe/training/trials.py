"""All that was tried for a bundle, and how alike it is: the books of every candidate of its search, out of fold."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from raypipe.dataset.matrix import Panel, Target
from raypipe.dataset.splits import FoldRows, fold_rows
from raypipe.dataset.splits_file import Splits
from raypipe.errors import DataQualityError, UsageError
from raypipe.lake.location import Location
from raypipe.models.stacking import to_z
from raypipe.schema.modeling import HoldoutParams
from raypipe.training.bundle import Bundle
from raypipe.training.holdout_scores import Market, Rows, Trials, books_of
from raypipe.training.journal import POOLED
from raypipe.training.oof import RunStudies, checked_row, fold_numbers, read_run

__all__ = ["known_until", "trials_of"]

#: Features and labels, row for row.
Rowwise = tuple[Panel, Target]
_NONE = np.empty((0, 0))


def known_until(panel: Panel, target: Target, end: dt.date) -> tuple[Panel, Target]:
    """A panel and a target as they were when their last session was ``end``."""
    rows = np.flatnonzero(panel.sessions[panel.session_id] <= np.datetime64(end))
    columns = {name: getattr(panel, name)[rows] for name in ("symbol_id", "session_id", "decision_ns", "x")}
    labels = {name: getattr(target, name)[rows] for name in ("y", "start_ns", "end_ns")}
    return replace(panel, **columns), replace(target, **labels)


def trials_of(
    location: Location,
    bundle: Bundle,
    splits: Splits,
    data: Rowwise,
    market: Market,
    params: HoldoutParams,
    *,
    min_feature_share: float = 0.5,
) -> Trials:
    """Count what was tried, and hold the book of each complete pooled configuration over its out-of-fold sessions.

    Parameters
    ----------
    location
        The lake that keeps the run of the bundle.
    bundle, splits
        What is judged, and what it was trained by.
    data
        Panel and target of now; what came after the run is left out.
    market
        Prices by the panel's sessions.
    params
        Costs.
    min_feature_share
        Share of its features that a usable row has.

    Returns
    -------
    Trials; without books where the run is not in this lake or is of other rows, with the reason.
    """
    tried, run_id = bundle.meta["trials"], bundle.note["run_id"]
    raw = int(tried["configurations"]) + int(tried["strategies"])
    if splits.scheme == "cpcv":
        return Trials(raw, _NONE, "combinations of folds test a row several times: there is no one book out of fold")
    try:
        run = read_run(location, run_id, bundle.note["algorithms"])
        then = known_until(*data, dt.date.fromisoformat(bundle.note["data_end"]))
        folds = fold_rows(splits, *then, min_feature_share=min_feature_share)
        books = _books(run, folds, then, market, params)
    except (UsageError, DataQualityError) as error:
        return Trials(raw, _NONE, f"the studies of run {run_id} cannot be used: {error}")
    return Trials(raw, _NONE, books) if isinstance(books, str) else Trials(raw, books)


def _books(
    run: RunStudies, folds: Sequence[FoldRows], data: Rowwise, market: Market, params: HoldoutParams
) -> np.ndarray | str:
    """Net returns (candidates, sessions); or why there are none."""
    panel, target = data
    rows = np.flatnonzero(fold_numbers(panel.rows, folds) > 0)
    told = [
        checked_row(record, one.i, panel.rows)[rows]
        for (_, scope), record in sorted(run.studies.items())
        for one in record.configs
        if scope == POOLED and one.state == "complete"
    ]
    if not told:
        return "no pooled configuration is complete"
    known = np.isfinite(told).all(axis=0)
    rows = rows[known]
    found = [_net(one[known], rows, panel, target, market, params) for one in told]
    wrong = next((one for one in found if isinstance(one, str)), None)
    return wrong or np.array(found)


def _net(
    p: np.ndarray, rows: np.ndarray, panel: Panel, target: Target, market: Market, params: HoldoutParams
) -> np.ndarray | str:
    z = to_z(p, "logit" if target.kind == "class" else "none", panel.session_id[rows])
    keys = panel.session_id[rows].astype(np.int64), panel.symbol_id[rows].astype(np.int64)
    book = books_of(Rows(target.name, target.kind, target.horizon, *keys, target.y[rows], z, p), market, params)
    return book if isinstance(book, str) else book[0].net
