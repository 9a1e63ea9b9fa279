"""Sessions cut into parts that train and parts that test, so that no label of one reaches into the other.

A session belongs to one part with all of its symbols. Its interval reaches from its first decision to its last label's
end; sessions that train and whose interval meets that of a contiguous part that tests are *purged*, and those close
behind, or whose labels end close before, are *embargoed*. The result is a file of sessions: rows follow from it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raypipe.calendar import calendar
from raypipe.dataset.blocks import Cut, cut, runs
from raypipe.dataset.matrix import Panel, Target
from raypipe.dataset.splits_file import Fold, Ranges, Splits
from raypipe.errors import SplitsError, UsageError
from raypipe.schema.modeling import CvParams

__all__ = ["Fold", "FoldRows", "Ranges", "Splits", "cv_rows", "fold_rows", "holdout_rows", "make_splits", "usable_rows"]

# --- rows of splits ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class FoldRows:
    """Rows of the panel that train and test in a fold, int64, ascending."""

    id: int
    train: np.ndarray
    test: np.ndarray


def usable_rows(panel: Panel, target: Target, min_feature_share: float = 0.5) -> np.ndarray:
    """Which rows have their target and at least that share of their features, bool (n,)."""
    nulls = np.isnan(panel.x).sum(axis=1)
    enough: np.ndarray = nulls <= len(panel.features) * (1.0 - min_feature_share)
    usable: np.ndarray = enough & target.known
    return usable


def fold_rows(splits: Splits, panel: Panel, target: Target, *, min_feature_share: float = 0.5) -> tuple[FoldRows, ...]:
    """The usable rows of each fold, in the order of the folds."""
    usable = usable_rows(panel, target, min_feature_share)
    return tuple(
        FoldRows(fold.id, *(_rows(panel, usable, part) for part in (fold.train, fold.test))) for fold in splits.folds
    )


def cv_rows(splits: Splits, panel: Panel, target: Target, *, min_feature_share: float = 0.5) -> np.ndarray:
    """All usable rows of the cross-validation, int64."""
    return _rows(panel, usable_rows(panel, target, min_feature_share), (splits.cv,))


def holdout_rows(splits: Splits, panel: Panel, target: Target, *, min_feature_share: float = 0.5) -> np.ndarray:
    """All usable rows of the hold-out, int64; none if there is no hold-out."""
    ranges = (splits.holdout,) if splits.holdout else ()
    return _rows(panel, usable_rows(panel, target, min_feature_share), ranges)


def _rows(panel: Panel, usable: np.ndarray, ranges: Ranges) -> np.ndarray:
    inside = np.zeros(len(panel.sessions), bool)
    for start, end in ranges:
        inside |= (panel.sessions >= np.datetime64(start)) & (panel.sessions <= np.datetime64(end))
    rows: np.ndarray = np.flatnonzero(usable & inside[panel.session_id])
    return rows


# --- making splits -----------------------------------------------------------------------------


def make_splits(
    panel: Panel,
    target: Target,
    cv: CvParams,
    *,
    start: dt.date | None = None,
    end: dt.date | None = None,
    holdout_start: dt.date | None = None,
    holdout_end: dt.date | None = None,
) -> Splits:
    """Cut the sessions of a panel into folds.

    Parameters
    ----------
    panel, target
        The rows.
    cv
        The scheme.
    start, end
        Limits of the cross-validation, both included; None: as far as rows are usable.
    holdout_start, holdout_end
        Limits of the hold-out, both included. Without a start there is none; without an end it reaches to the last
        session.

    Raises
    ------
    UsageError
        If there are too few sessions or rows for so many folds, a part has one class only, or limits do not fit.
    SplitsError
        If a label ends before its decision.
    """
    rows = _Sessions.of(panel, target, cv)
    held = _holdout(panel, holdout_start, holdout_end)
    first, last = _limits(rows, cv, start, end, held)
    cuts, paths = cut(last - first + 1, cv)
    if not cuts:
        _refuse_few(rows, cv, first, last)
    folds = tuple(_fold(rows, i, one, first, cv) for i, one in enumerate(cuts, start=1))
    _refuse_poor(rows, folds, cv, first, last)
    dates = rows.names
    return Splits(
        target=target.name,
        horizon_sessions=target.horizon,
        scheme=cv.scheme,
        window=cv.window,
        n_folds=len(folds),
        embargo_sessions=cv.embargo_sessions,
        calendar_sha256=_calendar_sha256(panel),
        data_sha256=_data_sha256(panel, target),
        symbols=tuple(sorted(panel.symbols, key=str.encode)),
        cv=(dates[first], dates[last]),
        holdout=held and (dates[held[0]], dates[held[1]]),
        folds=folds,
        paths=paths,
    )


@dataclass(frozen=True)
class _Sessions:
    """What counts of a panel: per session its interval and its rows.

    Attributes
    ----------
    dates, close_ns
        The pinned sessions, and their closes.
    first_ns, last_ns
        First decision and last label end of the usable rows; empty sessions have the largest and the smallest number.
    rows, up
        Number of usable rows, and of those with y > 0.
    symbols
        Number of symbols with a usable row.
    listed
        Number of symbols of the panel.
    classes
        Whether the target is a class.
    """

    dates: np.ndarray
    close_ns: np.ndarray
    first_ns: np.ndarray
    last_ns: np.ndarray
    rows: np.ndarray
    up: np.ndarray
    symbols: np.ndarray
    listed: int
    classes: bool

    @classmethod
    def of(cls, panel: Panel, target: Target, cv: CvParams) -> _Sessions:
        usable = np.flatnonzero(usable_rows(panel, target, cv.min_feature_share))
        _refuse_backwards(panel, target, usable)
        count, session = len(panel.sessions), panel.session_id[usable]
        first = np.full(count, np.iinfo(np.int64).max)
        last = np.full(count, np.iinfo(np.int64).min)
        np.minimum.at(first, session, panel.decision_ns[usable])
        np.maximum.at(last, session, target.end_ns[usable])
        pairs = np.unique(session.astype(np.int64) * len(panel.symbols) + panel.symbol_id[usable])
        return cls(
            panel.sessions,
            calendar().hours(panel.sessions.astype("datetime64[D]").astype(np.int64))[1],
            first,
            last,
            np.bincount(session, minlength=count),
            np.bincount(session, target.y[usable] > 0, minlength=count).astype(np.int64),
            np.bincount(pairs // len(panel.symbols), minlength=count),
            len(panel.symbols),
            target.kind == "class",
        )

    @cached_property
    def filled(self) -> np.ndarray:
        """Which sessions have usable rows."""
        filled: np.ndarray = self.rows > 0
        return filled

    @cached_property
    def names(self) -> list[str]:
        """The sessions as ISO dates."""
        names: list[str] = self.dates.astype(str).tolist()
        return names

    def days(self, first: int, ranges: list[tuple[int, int]]) -> Ranges:
        """Ranges of sessions, counted from ``first``, as dates."""
        return tuple((self.names[first + a], self.names[first + b]) for a, b in ranges)


def _refuse_backwards(panel: Panel, target: Target, usable: np.ndarray) -> None:
    bad = usable[target.end_ns[usable] < panel.decision_ns[usable]]
    if len(bad):
        where = panel.symbols[panel.symbol_id[bad[0]]], str(panel.sessions[panel.session_id[bad[0]]])
        msg = f"{len(bad)} labels of {target.name} end before the decision of their row"
        raise SplitsError(msg, hint="build gold/targets again", rule="V4", symbol=where[0], session=where[1])


def _holdout(panel: Panel, start: dt.date | None, end: dt.date | None) -> tuple[int, int] | None:
    """First and last session of the hold-out."""
    if start is None:
        if end is not None:
            msg = "a hold-out has an end but no start"
            raise UsageError(msg, hint="give --holdout-start too")
        return None
    inside = panel.sessions >= np.datetime64(start)
    if end is not None:
        inside &= panel.sessions <= np.datetime64(end)
    places = np.flatnonzero(inside)
    if not len(places):
        msg = f"no session of the panel lies in the hold-out {start} .. {end or ''}".rstrip()
        raise UsageError(msg, hint=f"the panel reaches from {panel.sessions[0]} to {panel.sessions[-1]}")
    return int(places[0]), int(places[-1])


def _limits(
    rows: _Sessions, cv: CvParams, start: dt.date | None, end: dt.date | None, held: tuple[int, int] | None
) -> tuple[int, int]:
    """First and last session of the cross-validation."""
    inside = rows.symbols >= max(cv.min_symbol_share * rows.listed, 1)
    if start is not None:
        inside &= rows.dates >= np.datetime64(start)
    if end is not None:
        inside &= rows.dates <= np.datetime64(end)
    if held:
        inside[held[0] :] = False
    places = np.flatnonzero(inside)
    if not len(places):
        msg = f"in no session are {cv.min_symbol_share:.0%} of the {rows.listed} symbols usable"
        raise UsageError(msg, hint="build more history, widen --start and --end, or lower cv.min_symbol_share")
    first, last = int(places[0]), int(places[-1])
    if not held:
        return first, last
    # Every label ends before the hold-out, less the embargo: sessions end with the first that does not.
    limit = held[0] - cv.embargo_sessions - 1
    late = rows.filled & (rows.last_ns > (rows.close_ns[limit] if limit >= 0 else -1))
    late[:first] = False
    last = min(last, int(late.argmax()) - 1) if late.any() else last
    if last < first:
        msg = "no label of the cross-validation ends before the hold-out"
        raise UsageError(msg, hint="move --holdout-start, or take a shorter horizon")
    return first, last


def _fold(rows: _Sessions, number: int, one: Cut, first: int, cv: CvParams) -> Fold:
    """A fold whose sessions are purged and embargoed around each part that tests."""
    count = len(one.train)
    span = slice(first, first + count)
    began, ended, filled = rows.first_ns[span], rows.last_ns[span], rows.filled[span]
    purged, near, embargo = np.zeros(count, bool), np.zeros(count, bool), cv.embargo_sessions
    for start, end in one.tests:
        tested = slice(start, end)
        if not filled[tested].any():
            continue
        hull = int(began[tested].min()), int(ended[tested].max())
        purged |= filled & (began <= hull[1]) & (ended >= hull[0])
        after = int(np.searchsorted(rows.close_ns[span], hull[1], side="right"))
        near[end : after + embargo] = embargo > 0
        if cv.scheme == "walk_forward" and 0 < embargo < first + start:
            near |= filled & (ended > rows.close_ns[first + start - embargo - 1])
    purged &= one.train
    embargoed = one.train & near & ~purged
    train, test = one.train & ~purged & ~embargoed, np.zeros(count, bool)
    for start, end in one.tests:
        test[start:end] = True
    n_train, n_test = (int(rows.rows[span][part].sum()) for part in (train, test))
    up_train, up_test = (int(rows.up[span][part].sum()) for part in (train, test))
    return Fold(
        id=number,
        train=rows.days(first, runs(train)),
        test=rows.days(first, [(start, end - 1) for start, end in one.tests]),
        purged=rows.days(first, runs(purged)),
        embargoed=rows.days(first, runs(embargoed)),
        n_train_rows=n_train,
        n_test_rows=n_test,
        n_train_sessions=int(train.sum()),
        n_test_sessions=int(test.sum()),
        base_rate_train=up_train / max(n_train, 1),
        base_rate_test=up_test / max(n_test, 1),
    )


# --- what cannot be split ----------------------------------------------------------------------


def _refuse_few(rows: _Sessions, cv: CvParams, first: int, last: int) -> None:
    count = last - first + 1
    wanted = f"blocks of {cv.test_sessions} sessions" if cv.test_sessions else f"{cv.n_folds} folds"
    wanted = f"{cv.n_groups} groups" if cv.scheme == "cpcv" else wanted
    least = f" after {cv.min_train_sessions} that only train" if cv.scheme == "walk_forward" else ""
    msg = f"{count} sessions from {rows.dates[first]} to {rows.dates[last]} are too few for {wanted}{least}"
    raise UsageError(msg, hint=_largest(rows, cv, first, last))


def _refuse_poor(rows: _Sessions, folds: tuple[Fold, ...], cv: CvParams, first: int, last: int) -> None:
    for fold in folds:
        for part in ("train", "test"):
            count, rate = getattr(fold, f"n_{part}_rows"), getattr(fold, f"base_rate_{part}")
            one_class = rows.classes and not 0.0 < rate < 1.0
            if count < cv.min_fold_rows or one_class:
                has = f"{count} rows, all of one class" if one_class else f"{count} rows"
                msg = f"the {part} part of fold {fold.id} has {has}; it needs {cv.min_fold_rows} and both classes"
                raise UsageError(msg, hint=_largest(rows, cv, first, last))


def _largest(rows: _Sessions, cv: CvParams, first: int, last: int) -> str:
    """The largest number of folds whose parts all have enough rows, as advice."""
    key = "n_groups" if cv.scheme == "cpcv" else "n_folds"
    for parts in range(getattr(cv, key) - 1, 1, -1):
        fewer = cv.model_copy(update={key: parts, "test_sessions": None})
        if cv.scheme == "cpcv" and parts <= cv.test_groups:
            break
        cuts, _ = cut(last - first + 1, fewer)
        folds = [_fold(rows, i, one, first, fewer) for i, one in enumerate(cuts, start=1)]
        counts = [min(fold.n_train_rows, fold.n_test_rows) for fold in folds]
        if counts and min(counts) >= cv.min_fold_rows:
            return f"the largest cv.{key} that fits is {parts}"
    return f"not even cv.{key}=2 fits: build more history, or lower cv.min_train_sessions or cv.min_fold_rows"


# --- hashes ------------------------------------------------------------------------------------


def _calendar_sha256(panel: Panel) -> str:
    """Of the days since 1970-01-01, opens and closes of the pinned sessions, as little-endian int64."""
    days = panel.sessions.astype("datetime64[D]").astype(np.int64)
    digest = hashlib.sha256()
    for values in (days, *calendar().hours(days)):
        digest.update(values.astype("<i8").tobytes())
    return digest.hexdigest()


def _data_sha256(panel: Panel, target: Target) -> str:
    """Of the labelled rows of each symbol, by name: the name, then session, decision and label end as int64."""
    days = panel.sessions.astype("datetime64[D]").astype(np.int64)
    digest = hashlib.sha256()
    for symbol in sorted(panel.symbols, key=str.encode):
        place = panel.rows_of(symbol)
        known = np.flatnonzero(target.known[place]) + place.start
        if not len(known):
            continue
        session, decision, end = days[panel.session_id[known]], panel.decision_ns[known], target.end_ns[known]
        order = np.lexsort((end, decision, session))
        digest.update(symbol.encode() + b"\0")
        for values in (session, decision, end):
            digest.update(values[order].astype("<i8").tobytes())
    return digest.hexdigest()
