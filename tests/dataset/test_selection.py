"""What stays and what goes, that nothing of the future counts, and that it is the same every time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import spearmanr

from raypipe.dataset.gains import Part, _shadows, columns_of, gains_of, keep_apart, rank_correlations
from raypipe.dataset.matrix import Panel, Target
from raypipe.dataset.selection import SELECTION, Selection, select
from raypipe.dataset.splits import fold_rows, make_splits
from raypipe.errors import UsageError
from raypipe.schema.frames import check_table
from raypipe.schema.modeling import CvParams, SelectionParams
from tests.dataset.panels import panel_and_target

CV = CvParams(n_folds=2, min_train_sessions=100, min_fold_rows=1)
PARAMS = SelectionParams(min_features=3)
NAMES = ("signal", "twin", "same", "flat", "holes", "noise_a", "noise_b", "noise_c", "direction_1d")


def planted(seed: int = 0, symbols: int = 5) -> tuple[Panel, Target]:
    """Labels that follow one feature; the others are copies, noise, or good for nothing."""
    panel, target = panel_and_target(seed, symbols=symbols, sessions=240, features=len(NAMES), horizon=2)
    rng = np.random.default_rng(seed)
    x = panel.x.copy()
    up = rng.random(panel.rows) < 1 / (1 + np.exp(-2 * x[:, 0]))
    x[:, 1] = x[:, 0] + 0.01 * x[:, 1]
    x[:, 2] = x[:, 5]
    x[:, [5, 2]] = x[:, [2, 5]]
    x[:, 3] = 1.0
    x[rng.random(panel.rows) < 0.4, 4] = np.nan
    y = np.where(target.known, up, np.nan).astype(np.float32)
    return replace(panel, x=x, features=NAMES), replace(target, y=y)


@pytest.fixture(scope="module")
def made() -> tuple[Panel, Target, Selection]:
    panel, target = planted()
    return panel, target, select(panel, target, make_splits(panel, target, CV), PARAMS, 7)


def test_what_says_something_stays(made):
    _, _, found = made
    assert list(found.folds) == [0, 1, 2]
    for fold in found.folds:
        assert found.features(fold)[0] in ("signal", "twin")
        assert len({"signal", "twin"} & set(found.features(fold))) == 1
    reasons = dict(found.dropped)
    assert reasons["flat"] == "constant"
    assert reasons["holes"] == "low_coverage"
    assert reasons["noise_a"] == "duplicate"
    assert reasons["direction_1d"] == "not_feature"
    assert "correlated" in (reasons.get("signal"), reasons.get("twin"))


def test_the_table_says_why(made):
    panel, _, found = made
    check_table(SELECTION, found.table, partition="all")
    rows = [row for row in found.table.to_pylist() if row["fold_id"] == 0 and row["scope"] == "*"]
    assert {row["feature"] for row in rows} == set(panel.features)
    assert {row["feature"] for row in rows if row["kept"]} == set(found.features(0))
    assert {row["feature"]: row["reason"] for row in rows if not row["kept"]} == found.dropped
    fitted = [row for row in rows if row["gain"] is not None]
    assert sum(row["gain"] for row in fitted) == pytest.approx(1.0)
    best = max(fitted, key=lambda row: row["gain"])
    assert best["stability"] == 1.0
    assert best["gain"] > best["shadow_q75"]
    assert best["max_abs_rho"] > 0.98


def test_few_features_are_kept_in_any_case_and_flagged():
    panel, target = planted()
    splits = make_splits(panel, target, CV)
    found = select(panel, target, splits, SelectionParams(min_features=4), 7)
    rows = [row for row in found.table.to_pylist() if row["fold_id"] == 0 and row["scope"] == "*"]
    assert len(found.features(0)) >= 4
    assert any(row["kept"] and row["reason"] == "below_shadow" for row in rows)
    capped = select(panel, target, splits, SelectionParams(min_features=4, max_features=2), 7)
    assert len(capped.features(0)) == 2
    assert "over_cap" in capped.dropped.values()


def test_noise_after_the_training_end_changes_nothing():
    panel, target = planted()
    splits = make_splits(panel, target, CV)
    first, second = fold_rows(splits, panel, target)
    plain = select(panel, target, splits, PARAMS, 7)
    rng = np.random.default_rng(99)
    x, y = panel.x.copy(), target.y.copy()
    later = panel.session_id > panel.session_id[first.train].max()
    x[later] = rng.normal(size=x[later].shape)
    y[later & target.known] = rng.integers(0, 2, int((later & target.known).sum()))
    noisy = select(replace(panel, x=x), replace(target, y=y), splits, PARAMS, 7)
    assert noisy.folds[1] == plain.folds[1]
    of_first = pa.compute.equal(plain.table["fold_id"], 1)
    assert noisy.table.filter(of_first).equals(plain.table.filter(of_first))
    assert noisy.folds[2] != plain.folds[2] or len(second.train) == len(first.train)


def test_the_same_every_time(made):
    panel, target, found = made
    splits = make_splits(panel, target, CV)
    assert select(panel, target, splits, PARAMS, 7).to_yaml() == found.to_yaml()
    assert not select(panel, target, splits, PARAMS, 8).table.equals(found.table)


def test_a_symbol_leaves_out_what_it_does_not_have():
    panel, target = planted()
    x = panel.x.copy()
    x[np.ix_(panel.symbol_id == 2, [0, 1])] = np.nan
    panel = replace(panel, x=x)
    found = select(panel, target, make_splits(panel, target, CV), PARAMS, 7)
    best = found.features(0)[0]
    assert best in found.features(0, "S01")
    assert best not in found.features(0, "S02")
    rows = [row for row in found.table.to_pylist() if row["scope"] == "S02" and row["feature"] == best]
    assert {row["reason"] for row in rows} == {"symbol_coverage"}


def test_each_symbol_may_rank_for_itself():
    panel, target = planted()
    params = SelectionParams(min_features=2, scope="symbol")
    found = select(panel, target, make_splits(panel, target, CV), params, 7)
    assert set(found.folds[0]) == {"*", *panel.symbols}
    assert {row["scope"] for row in found.table.to_pylist()} == {"*", *panel.symbols}


def test_the_file_is_read_back(made):
    _, _, found = made
    again = Selection.from_yaml(found.to_yaml())
    assert again == found
    assert again.sha256 == found.sha256
    with pytest.raises(UsageError, match="no fold 9"):
        found.features(9)
    with pytest.raises(UsageError, match="of NOBODY"):
        found.features(0, "NOBODY")


@pytest.mark.parametrize("text", [b"", b"[1]", b"schema: 2", b"schema: 1", b"{", b"\xff", b"!!python/object:os.x {}"])
def test_another_file_is_refused(text):
    with pytest.raises(UsageError, match="not a selection of features"):
        Selection.from_yaml(text)


def test_nothing_to_select_from():
    panel, target = planted()
    splits = make_splits(panel, target, CV)
    flat = replace(panel, x=np.ones_like(panel.x))
    with pytest.raises(UsageError, match="every feature is null, constant or a label"):
        select(flat, target, splits, PARAMS, 7)


# --- the pieces --------------------------------------------------------------------------------


def test_rank_correlations_are_those_of_scipy():
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(size=(300, 5)), 1).astype(np.float32)
    x[:, 1] += x[:, 0]
    coverage, commonest, ranks = columns_of(x)
    assert (coverage == 1).all()
    expected = np.abs(spearmanr(x).statistic)
    np.fill_diagonal(expected, 0)
    assert rank_correlations(ranks) == pytest.approx(expected, abs=1e-5)
    values = [np.unique(column, return_counts=True)[1].max() / 300 for column in x.T]
    assert commonest == pytest.approx(values)


def test_of_two_that_agree_the_one_with_less_gain_goes_then_the_later_name():
    rho = np.array([[0, 0.99, 0], [0.99, 0, 0], [0, 0, 0]])
    assert keep_apart(np.array([1.0, 2.0, 0.0]), ["a", "b", "c"], rho, 0.98).tolist() == [False, True, True]
    assert keep_apart(np.array([1.0, 1.0, 0.0]), ["b", "a", "c"], rho, 0.98).tolist() == [False, True, True]


def test_threads_do_not_matter():
    rng = np.random.default_rng(0)
    session = np.arange(300)
    x = rng.normal(size=(300, 3)).astype(np.float32)
    part = Part(x, (x[:, 0] > 0).astype(np.float32), session * 0, session, session, session, classes=True)
    one, two = (gains_of(part, 1, 5, threads) for threads in (1, 2))
    assert np.array_equal(one.gain, two.gain)
    assert np.argmax(one.gain) == 0


def test_shadows_are_the_columns_in_another_order_of_sessions():
    symbol = np.repeat([0, 1], 100)
    session = np.tile(np.arange(100), 2)
    x = np.stack([session, session * 10], axis=1).astype(np.float32)
    part = Part(x, np.zeros(200, np.float32), symbol, session, session, session, classes=True)
    made_of = _shadows(part, 3, np.random.default_rng(0))
    assert made_of.shape == (200, 5)
    for column in made_of.T:
        for own in (column[:100], column[100:]):
            assert sorted(own) in (sorted(x[:100, 0]), sorted(x[:100, 1]))
            step = 1 if own.max() < 100 else 10
            assert (np.diff(own) == step).sum() >= 95  # blocks move whole
        assert (column[:100] == column[100:]).all()  # all symbols together
    assert any((column[:100] != x[:100, 0]).any() for column in made_of.T)
