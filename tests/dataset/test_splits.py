"""Folds against loops by definition, and the laws that hold whatever the panel."""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from raypipe.dataset.matrix import Panel, Target
from raypipe.dataset.splits import Splits, cv_rows, fold_rows, holdout_rows, make_splits, usable_rows
from raypipe.errors import SplitsError, UsageError
from raypipe.schema.modeling import CvParams
from tests.dataset.panels import SESSIONS, panel_and_target, taken
from tests.reference import splits as naive

SMALL = {"min_train_sessions": 30, "min_fold_rows": 1}
PANELS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10_000),
        "symbols": st.integers(2, 5),
        "sessions": st.integers(120, 220),
        "horizon": st.integers(1, 12),
        "start": st.sampled_from(["open", "close"]),
        "ragged": st.booleans(),
        "gaps": st.sampled_from([0.0, 0.2]),
        "late": st.sampled_from([0.0, 0.05]),
        "nulls": st.sampled_from([0.0, 0.1]),
    }
)
SCHEMES = st.one_of(
    st.builds(
        lambda folds, window, reach, embargo: CvParams(
            n_folds=folds, window=window, train_sessions=reach, embargo_sessions=embargo, **SMALL
        ),
        st.integers(2, 5),
        st.sampled_from(["expanding", "rolling"]),
        st.integers(40, 90),
        st.integers(0, 7),
    ),
    st.builds(
        lambda folds, embargo: CvParams(scheme="purged_kfold", n_folds=folds, embargo_sessions=embargo, **SMALL),
        st.integers(2, 5),
        st.integers(0, 7),
    ),
    st.builds(
        lambda groups, embargo: CvParams(
            scheme="cpcv", n_groups=groups, test_groups=2, embargo_sessions=embargo, **SMALL
        ),
        st.integers(4, 6),
        st.integers(0, 3),
    ),
)


def made(panel: Panel, target: Target, cv: CvParams, **limits: dt.date) -> Splits:
    """Splits, or the example is passed over because so many folds do not fit."""
    try:
        return make_splits(panel, target, cv, **limits)
    except UsageError:
        assume(False)
        raise


def places(panel: Panel, ranges) -> list[int]:
    """Sessions of ranges, by number."""
    dates = panel.sessions.astype(str).tolist()
    return [i for a, b in ranges for i in range(dates.index(a), dates.index(b) + 1)]


def intervals(panel: Panel, target: Target, cv: CvParams) -> list[list[tuple[int, int]]]:
    """Per session the intervals of its usable rows."""
    found: list[list[tuple[int, int]]] = [[] for _ in panel.sessions]
    for row in np.flatnonzero(usable_rows(panel, target, cv.min_feature_share)):
        found[panel.session_id[row]].append((int(panel.decision_ns[row]), int(target.end_ns[row])))
    return found


@settings(max_examples=60, deadline=None)
@given(made_of=PANELS, cv=SCHEMES)
def test_folds_are_those_of_the_definition(made_of, cv):
    panel, target = panel_and_target(**made_of)
    splits = made(panel, target, cv)
    rows = intervals(panel, target, cv)
    closes = [session.close_ns for session in SESSIONS[: len(panel.sessions)]]
    first, last = places(panel, [splits.cv])[0], places(panel, [splits.cv])[-1]
    if cv.scheme == "walk_forward":
        blocks = naive.walk_forward_blocks(last - first + 1, cv.n_folds, cv.min_train_sessions)
        assert [places(panel, fold.test) for fold in splits.folds] == [[first + i for i in block] for block in blocks]
    for fold in splits.folds:
        tests, train = places(panel, fold.test), places(panel, fold.train)
        free = [s for s in range(first, last + 1) if s not in tests]
        if cv.scheme == "walk_forward":
            reach = cv.train_sessions if cv.window == "rolling" else len(closes)
            free = [s for s in free if tests[0] - reach <= s < tests[0]]
        forward = cv.scheme == "walk_forward"
        purged, embargoed = naive.left_out(rows, closes, tests, free, cv.embargo_sessions, forward=forward)
        assert set(places(panel, fold.purged)) == purged
        assert set(places(panel, fold.embargoed)) == embargoed
        assert set(train) == set(free) - purged - embargoed
        assert (fold.n_train_sessions, fold.n_test_sessions) == (len(train), len(tests))


@settings(max_examples=60, deadline=None)
@given(made_of=PANELS, cv=SCHEMES)
def test_no_row_that_trains_overlaps_one_that_tests(made_of, cv):
    panel, target = panel_and_target(**made_of)
    splits = made(panel, target, cv)
    for fold, rows in zip(splits.folds, fold_rows(splits, panel, target), strict=True):
        began, ended = panel.decision_ns, target.end_ns
        overlap = (began[rows.train][:, None] <= ended[rows.test]) & (ended[rows.train][:, None] >= began[rows.test])
        assert not overlap.any()
        assert not np.intersect1d(panel.session_id[rows.train], panel.session_id[rows.test]).size
        assert (len(rows.train), len(rows.test)) == (fold.n_train_rows, fold.n_test_rows)
        assert fold.base_rate_test == pytest.approx(target.y[rows.test].mean())
        assert fold.base_rate_train == pytest.approx(target.y[rows.train].mean())


@settings(max_examples=40, deadline=None)
@given(made_of=PANELS, cv=SCHEMES)
def test_each_session_purged_would_overlap(made_of, cv):
    panel, target = panel_and_target(**made_of)
    splits = made(panel, target, cv)
    rows = intervals(panel, target, cv)
    for fold in splits.folds:
        tested = [row for s in places(panel, fold.test) for row in rows[s]]
        for session in places(panel, fold.purged):
            own = min(row[0] for row in rows[session]), max(row[1] for row in rows[session])
            assert any(naive.meets(own, row) for row in tested)


@settings(max_examples=30, deadline=None)
@given(made_of=PANELS, cv=SCHEMES, seed=st.integers(0, 99))
def test_the_order_of_symbols_does_not_matter(made_of, cv, seed):
    panel, target = panel_and_target(**made_of)
    splits = made(panel, target, cv)
    new = np.random.default_rng(seed).permutation(len(panel.symbols)).astype(np.int16)
    names = tuple(panel.symbols[int(np.flatnonzero(new == i)[0])] for i in range(len(new)))
    moved = replace(panel, symbols=names, symbol_id=new[panel.symbol_id])
    order = np.lexsort((moved.session_id, moved.symbol_id))
    assert make_splits(*taken(moved, target, order), cv).to_json() == splits.to_json()


@settings(max_examples=30, deadline=None)
@given(made_of=PANELS, less=st.integers(1, 40), blocks=st.integers(5, 20))
def test_later_data_moves_no_fold_of_a_stated_size(made_of, less, blocks):
    made_of = {**made_of, "ragged": False, "late": 0.0}
    cv = CvParams(test_sessions=blocks, **SMALL)
    panel, target = panel_and_target(**made_of)
    end = panel.sessions[len(panel.sessions) - less]
    ended = target.end_ns <= SESSIONS[len(panel.sessions) - less].open_ns
    rows = np.flatnonzero(panel.sessions[panel.session_id] < end)
    y = np.where(ended, target.y, np.nan).astype(np.float32)
    early, its = taken(panel, replace(target, y=y), rows)
    earlier = made(replace(early, sessions=panel.sessions[: len(panel.sessions) - less]), its, cv).folds
    later = made(panel, target, cv).folds
    for old, new in zip(earlier, later, strict=False):
        assert (old.train, old.test, old.purged, old.embargoed) == (new.train, new.test, new.purged, new.embargoed)


@settings(max_examples=30, deadline=None)
@given(made_of=PANELS, cv=SCHEMES, back=st.integers(30, 50))
def test_every_label_ends_before_the_hold_out(made_of, cv, back):
    panel, target = panel_and_target(**made_of)
    held = panel.sessions[-back]
    splits = made(panel, target, cv, holdout_start=held.item())
    edge = SESSIONS[len(panel.sessions) - back - cv.embargo_sessions - 1].close_ns
    rows = cv_rows(splits, panel, target)
    assert (target.end_ns[rows] <= edge).all()
    out = holdout_rows(splits, panel, target)
    assert (panel.sessions[panel.session_id[out]] >= held).all()
    assert set(out) == {
        r for r in np.flatnonzero(usable_rows(panel, target)) if panel.session_id[r] >= len(panel.sessions) - back
    }


@pytest.mark.parametrize(("groups", "tests"), [(6, 2), (5, 3), (4, 1)])
def test_paths_of_combinations(groups, tests):
    panel, target = panel_and_target(sessions=200)
    splits = make_splits(panel, target, CvParams(scheme="cpcv", n_groups=groups, test_groups=tests, **SMALL))
    combinations = list(itertools.combinations(range(groups), tests))
    assert len(splits.folds) == len(combinations)
    assert len(splits.paths) == len(combinations) * tests // groups
    first = places(panel, [splits.cv])[0]
    count = len(places(panel, [splits.cv]))
    edges = np.array_split(np.arange(first, first + count), groups)
    for path in splits.paths:
        assert len(path) == groups
        for group, fold in enumerate(path):
            assert group in combinations[fold - 1]
            assert set(edges[group]) <= set(places(panel, splits.folds[fold - 1].test))
    used = [(group, fold) for path in splits.paths for group, fold in enumerate(path)]
    assert sorted(used) == sorted((g, i) for i, c in enumerate(combinations, start=1) for g in c)


def test_neighbouring_groups_are_one_segment():
    panel, target = panel_and_target(sessions=200)
    splits = make_splits(panel, target, CvParams(scheme="cpcv", n_groups=4, test_groups=2, **SMALL))
    assert [len(fold.test) for fold in splits.folds] == [1, 2, 2, 1, 2, 1]


def test_one_symbol_is_split_as_by_scikit_learn():
    from sklearn.model_selection import TimeSeriesSplit

    panel, target = panel_and_target(symbols=1, sessions=200, horizon=5, start="close")
    cv = CvParams(n_folds=4, min_train_sessions=1, embargo_sessions=0, min_fold_rows=1)
    splits = make_splits(panel, target, cv)
    rows = fold_rows(splits, panel, target)
    theirs = TimeSeriesSplit(4, test_size=len(rows[-1].test), gap=5)
    count = rows[-1].test[-1] + 1
    for ours, (train, test) in zip(rows, theirs.split(np.arange(count)), strict=True):
        assert ours.test[-1] == test[-1]
        if len(ours.test) == len(test):
            assert ours.train.tolist() == train.tolist()


def test_the_file_is_read_back():
    panel, target = panel_and_target()
    for cv in (CvParams(**SMALL), CvParams(scheme="cpcv", **SMALL)):
        splits = make_splits(panel, target, cv, holdout_start=dt.date(2019, 5, 1))
        again = Splits.from_json(splits.to_json())
        assert again == splits
        assert again.sha256 == splits.sha256


@pytest.mark.parametrize("text", [b"", b"{}", b"[1]", b'{"schema": 2}', b"\xff"])
def test_another_file_is_refused(text):
    with pytest.raises(SplitsError, match="not a file of splits"):
        Splits.from_json(text)


def test_too_few_sessions_say_how_many_folds_fit():
    panel, target = panel_and_target(sessions=120)
    with pytest.raises(
        UsageError, match=r"116 sessions .* too few for 100 folds after 30.*largest cv.n_folds that fits"
    ):
        make_splits(panel, target, CvParams(n_folds=100, **SMALL))
    with pytest.raises(UsageError, match=r"not even cv.n_folds=2 fits"):
        make_splits(panel, target, CvParams())


def test_a_part_of_one_class_is_refused():
    panel, target = panel_and_target(sessions=160)
    y = np.where(panel.session_id > 120, np.where(np.isnan(target.y), np.nan, 1.0), target.y).astype(np.float32)
    with pytest.raises(UsageError, match=r"test part of fold 5 has .* rows, all of one class"):
        make_splits(panel, replace(target, y=y), CvParams(**SMALL))


def test_labels_that_end_before_their_decision_are_refused():
    panel, target = panel_and_target()
    end = target.end_ns.copy()
    end[17] = panel.decision_ns[17] - 1
    with pytest.raises(SplitsError, match="rule V4, symbol S00, session 2018-11-27: 1 labels"):
        make_splits(panel, replace(target, end_ns=end), CvParams(**SMALL))


def test_limits_that_do_not_fit_are_refused():
    panel, target = panel_and_target()
    with pytest.raises(UsageError, match="no start"):
        make_splits(panel, target, CvParams(**SMALL), holdout_end=dt.date(2019, 5, 1))
    with pytest.raises(UsageError, match="no session of the panel lies in the hold-out"):
        make_splits(panel, target, CvParams(**SMALL), holdout_start=dt.date(2030, 5, 1))
    with pytest.raises(UsageError, match="in no session are 50% of the 4 symbols usable"):
        make_splits(panel, target, CvParams(**SMALL), start=dt.date(2030, 5, 1))


def test_a_row_needs_half_of_its_features():
    panel, target = panel_and_target(features=4)
    x = panel.x.copy()
    x[5, :2], x[6, :3] = np.nan, np.nan
    usable = usable_rows(replace(panel, x=x), target)
    assert usable[5]
    assert not usable[6]
