"""What the best of N configurations reaches when predictions and outcomes have nothing to do with each other.

Outcomes are shifted against predictions by one random number of sessions, circularly and all symbols together. All
that is real in each stays: overlap of labels, what symbols share, drift, the likeness of configurations. Predictions
keep their ranks, so a shift costs one product of matrices and no sorting; sums of ranks are exact in float64, so the
order of addition does not matter.

What a shift does not keep is how predictions follow outcomes. Ranks are centred by the whole fold: predictions that
fall after rises, as those of slow reversals do, are flattered in noise by up to .01 of AUC, and their p-values are too
small (5 % of noise becomes up to 40 % where a single slow reversal is all there is). AUCs within sessions are not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from raypipe.errors import DeveloperError
from raypipe.evaluation.scores import Kind, group_ranks, ranks

__all__ = ["BestOfN", "best_of_n", "shift_offsets"]

#: Objective of each configuration under each shift: (N, shifts) from (shifts,).
_Form = Callable[[np.ndarray], np.ndarray]
#: Shifts of one product: labels of a fold stay near the processor.
_STEP = 128


@dataclass(frozen=True, slots=True, eq=False)
class BestOfN:
    """The best configuration against the best of as many without skill.

    Attributes
    ----------
    n
        Configurations, pruned ones included.
    observed
        Highest objective among configurations that ran in every fold; NaN if there is none.
    null
        float64 (shifts,): the highest objective under each shift.
    p_value
        (1 + shifts that reach the observed) / (1 + shifts); NaN if there is nothing to compare.
    """

    n: int
    observed: float
    null: np.ndarray
    p_value: float

    @property
    def null_mean(self) -> float:
        """Mean of the null; NaN if it is empty."""
        return float(self.null.mean()) if len(self.null) else math.nan

    @property
    def null_q95(self) -> float:
        """95 % point of the null; NaN if it is empty."""
        return float(np.quantile(self.null, 0.95)) if len(self.null) else math.nan


def shift_offsets(sessions: int, horizon: int, shifts: int, seed: int) -> np.ndarray:
    """Distinct numbers of sessions to shift by, ascending: 2h + 5 to S - 2h - 5, all of them if there are few.

    Returns
    -------
    int64 (at most ``shifts``,); empty if the span is too short.
    """
    least = 2 * horizon + 5
    count = sessions - 2 * least + 1
    if count <= shifts:
        return np.arange(least, least + max(count, 0))
    drawn = np.random.default_rng(seed).choice(count, shifts, replace=False)
    found: np.ndarray = np.sort(drawn) + least
    return found


def best_of_n(
    predictions: np.ndarray,
    y: np.ndarray,
    fold_id: np.ndarray,
    session_id: np.ndarray,
    symbol_id: np.ndarray,
    *,
    horizon: int,
    kind: Kind = "class",
    one_symbol: bool = False,
    shifts: int = 1_000,
    seed: int = 0,
) -> BestOfN:
    """Compare the best of N configurations with the best of N that know nothing.

    Where a shift brings no outcome to a prediction, because a symbol has gaps, that prediction is left out and keeps
    the ranks of the others.

    Parameters
    ----------
    predictions
        Float (N, n): predictions of the fold models, NaN in folds that were not run.
    y
        (n,), known outcomes.
    fold_id
        int (n,): the fold that tested the row; rows of a negative fold are left out.
    session_id, symbol_id
        int (n,). Several rows of one symbol and session are kept apart by their order.
    horizon
        Sessions that a label looks ahead.
    kind, one_symbol
        The objective, as in `raypipe.evaluation.scores.fold_value`.
    shifts
        Most shifts tried.
    seed
        Which ones.

    Raises
    ------
    DeveloperError
        If a configuration has predictions for a part of a fold.
    """
    used = fold_id >= 0
    grid = _Grid.of(session_id[used], symbol_id[used], y[used].astype(np.float64))
    offsets = shift_offsets(grid.sessions, horizon, shifts, seed)
    every = np.concatenate(([0], offsets))
    total = np.zeros((len(predictions), len(every)))
    folds = np.zeros((len(predictions), len(every)))
    numbers = np.unique(fold_id[used])
    ran = np.zeros((len(predictions), len(numbers)), bool)
    for place, one in enumerate(numbers):
        rows = np.flatnonzero(fold_id[used] == one)
        given = predictions[:, np.flatnonzero(used)[rows]]
        ran[:, place] = _ran(given, int(one))
        values = np.full((len(predictions), len(every)), np.nan)
        values[ran[:, place]] = _values(grid, rows, given[ran[:, place]].astype(np.float64), every, kind, one_symbol)
        known = ~np.isnan(values)
        folds += known
        total[known] += values[known]
    objective = np.divide(total, folds, out=np.full(total.shape, -np.inf), where=folds > 0)
    complete = objective[ran.all(axis=1), 0]
    return _compare(len(predictions), complete, objective[:, 1:])


def _ran(given: np.ndarray, fold: int) -> np.ndarray:
    finite = np.isfinite(given)
    ran: np.ndarray = finite.all(axis=1)
    torn = np.flatnonzero(finite.any(axis=1) & ~ran)
    if len(torn):
        msg = f"configuration {torn[0]} has predictions for a part of fold {fold}; a fold is run whole or not at all"
        raise DeveloperError(msg)
    return ran


def _compare(n: int, complete: np.ndarray, moved: np.ndarray) -> BestOfN:
    null = moved.max(axis=0) if n else moved.sum(axis=0)
    null = null[np.isfinite(null)]
    observed = float(complete.max()) if len(complete) and np.isfinite(complete.max()) else math.nan
    if math.isnan(observed) or not len(null):
        return BestOfN(n, observed, null, math.nan)
    # Equal sums may differ in their last bit when means are taken.
    reached = int((null >= observed - 1e-12).sum())
    return BestOfN(n, observed, null, (1 + reached) / (1 + len(null)))


@dataclass(frozen=True, slots=True, eq=False)
class _Grid:
    """Rows as cells (sessions, columns): a column is a symbol, or its k-th row of a session."""

    y: np.ndarray
    known: np.ndarray
    session: np.ndarray
    column: np.ndarray

    @classmethod
    def of(cls, session_id: np.ndarray, symbol_id: np.ndarray, y: np.ndarray) -> _Grid:
        days, session = np.unique(session_id, return_inverse=True)
        key = session.astype(np.int64) * (int(symbol_id.max(initial=0)) + 1) + symbol_id
        order = np.argsort(key, kind="stable")
        first = np.flatnonzero(np.concatenate(([True], key[order][1:] != key[order][:-1]))[: len(key)])
        nth = np.empty(len(key), np.int64)
        nth[order] = np.arange(len(key)) - np.repeat(first, np.diff(np.append(first, len(key))))
        columns, column = np.unique(np.stack([symbol_id, nth]), axis=1, return_inverse=True)
        cells, known = np.zeros((len(days), columns.shape[1])), np.zeros((len(days), columns.shape[1]))
        cells[session, column], known[session, column] = y, 1.0
        return cls(cells, known, session, column)

    @property
    def sessions(self) -> int:
        return len(self.y)

    @property
    def whole(self) -> bool:
        return bool(self.known.all())


def _values(
    grid: _Grid, rows: np.ndarray, given: np.ndarray, offsets: np.ndarray, kind: Kind, one_symbol: bool
) -> np.ndarray:
    """The fold's objective of each configuration under each shift: (N, shifts)."""
    if not len(given):
        return np.empty((0, len(offsets)))
    form = _auc_form if kind == "class" else _spearman_form if one_symbol else _ic_form
    score = form(grid, rows, given)
    return np.concatenate([score(offsets[at : at + _STEP]) for at in range(0, len(offsets), _STEP)], axis=1)


def _shifted(cells: np.ndarray, grid: _Grid, rows: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """What the shifts bring to the rows: (shifts, rows).

    Cells are laid down twice, one place a row, so that no sum of sessions has to be brought back into the circle.
    """
    columns = cells.shape[1]
    twice = np.concatenate([cells, cells]).ravel()
    brought: np.ndarray = twice.take((grid.session[rows] * columns + grid.column[rows]) + (offsets * columns)[:, None])
    return brought


def _auc_form(grid: _Grid, rows: np.ndarray, given: np.ndarray) -> _Form:
    """AUC = 1/2 + (mean rank of positives - mean rank of negatives) / rows."""
    n = len(rows)
    rank = np.stack([ranks(one) for one in given]) - (n + 1) / 2.0
    up = (grid.y > 0.5).astype(np.float64)  # noqa: PLR2004 - 0 or 1

    def score(offsets: np.ndarray) -> np.ndarray:
        positive = _shifted(up, grid, rows, offsets)
        n1, above = positive.sum(axis=1), rank @ positive.T
        n0, below = n - n1, -above
        if not grid.whole:
            known = _shifted(grid.known, grid, rows, offsets)
            n0, below = known.sum(axis=1) - n1, rank @ known.T - above
        both = (n1 > 0) & (n0 > 0)
        apart = above / np.where(both, n1, 1.0) - below / np.where(both, n0, 1.0)
        return np.where(both, 0.5 + apart / n, np.nan)

    return score


def _ic_form(grid: _Grid, rows: np.ndarray, given: np.ndarray) -> _Form:
    """Mean over sessions of the product of ranks, both centred and of length 1 within their session."""
    session = grid.session[rows]
    mine = np.stack([_unit_ranks(one, session) for one in given])
    place = np.flatnonzero(grid.known)
    theirs, owner = np.zeros(grid.y.shape), place // grid.y.shape[1]
    theirs.flat[place] = _unit_ranks(grid.y.flat[place], owner)
    days = np.unique(session)
    # A session counts if neither side is constant in it: its ranks then have length 1, else 0.
    says = np.stack([np.bincount(session, one * one, grid.sessions)[days] for one in mine]).round()
    heard = np.square(theirs).sum(axis=1).round()

    def score(offsets: np.ndarray) -> np.ndarray:
        product = mine @ _shifted(theirs, grid, rows, offsets).T
        count = says @ heard[(days + offsets[:, None]) % grid.sessions].T
        found: np.ndarray = np.divide(product, count, out=np.full(product.shape, np.nan), where=count > 0)
        return found

    return score


def _spearman_form(grid: _Grid, rows: np.ndarray, given: np.ndarray) -> _Form:
    """Rank correlation over time; outcomes are ranked anew under each shift, because other ones come into the fold."""
    mine = np.stack([_unit_ranks(one, np.zeros(len(rows), np.int64)) for one in given])

    def score(offsets: np.ndarray) -> np.ndarray:
        theirs = np.stack(list(_ranked_rows(grid, rows, offsets)))
        says = (mine != 0).any(axis=1)[:, None] & (theirs != 0).any(axis=1)
        return np.where(says, mine @ theirs.T, np.nan)

    return score


def _unit_ranks(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Ranks within groups, centred and of length 1; 0 where a group is constant."""
    found = group_ranks(values, group) - (np.bincount(group)[group] + 1) / 2.0
    length = np.sqrt(np.bincount(group, found * found))[group]
    unit: np.ndarray = np.divide(found, length, out=np.zeros(len(found)), where=length > 0)
    return unit


def _ranked_rows(grid: _Grid, rows: np.ndarray, offsets: np.ndarray) -> Iterator[np.ndarray]:
    """Outcomes that each shift brings, as unit ranks; 0 where there is none."""
    brought, known = (_shifted(cells, grid, rows, offsets) for cells in (grid.y, grid.known))
    for one, there in zip(brought, known > 0, strict=True):
        found = np.zeros(len(rows))
        found[there] = _unit_ranks(one[there], np.zeros(int(there.sum()), np.int64))
        yield found
