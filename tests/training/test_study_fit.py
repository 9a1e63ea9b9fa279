"""What the fits of a study may see: rows before the scored fold only, rounds from a tail of them, mapped arrays."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from raypipe.errors import UsageError
from raypipe.models.catalog import model
from raypipe.models.fitted import Fitted
from raypipe.training.journal import POOLED, read_study, study_key
from raypipe.training.study import run_study
from raypipe.training.study_ask import hashed_seed
from raypipe.training.study_data import ALL, StudyData, StudyView
from tests.training import studies
from tests.training.studies import DAY_NS, RUN, configs, made_data, made_folds, made_job, made_panel, study_bytes

data, whole = studies.data, studies.whole


# --- what a fit may see --------------------------------------------------------------------------


def changed(data: StudyData, rows: np.ndarray) -> StudyData:
    """The same panel with noise in place of features and labels of some rows."""
    rng = np.random.default_rng(1)
    x, y = data.x.copy(), data.y.copy()
    x[rows] = rng.standard_normal(x[rows].shape)
    y[rows] = rng.integers(0, 2, len(rows))
    return replace(data, x=x, y=y)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_noise_from_a_fold_on_changes_no_fold_before_it(tmp_path, data, k):
    later = np.concatenate([one.test for one in data.folds[k:]])
    job = made_job(tmp_path, n_configs=2, prune=False)
    run_study(job, data)
    run_study(made_job(tmp_path / "other", n_configs=2, prune=False), changed(data, later))
    for one, other in zip(configs(tmp_path), configs(tmp_path / "other"), strict=True):
        assert one.params == other.params
        assert (one.fold_value[:k], one.fold_rounds[:k]) == (other.fold_value[:k], other.fold_rounds[:k])
        assert one.fold_value[k:] != other.fold_value[k:]


def test_labels_of_the_scored_fold_change_nothing_of_its_model(tmp_path, data):
    last = data.folds[-1].test
    y = data.y.copy()
    y[last] = 1 - y[last]
    for root, arrays in ((tmp_path / "a", data), (tmp_path / "b", replace(data, y=y))):
        run_study(made_job(root, n_configs=1), arrays)
    one, other = (configs(tmp_path / name)[0] for name in "ab")
    assert one.fold_rounds == other.fold_rounds
    assert one.fold_value[-1] == pytest.approx(1 - other.fold_value[-1])
    oof = [np.fromfile(tmp_path / name / study_key(RUN, "lightgbm", POOLED) / "oof.f32", np.float32) for name in "ab"]
    np.testing.assert_array_equal(*oof)


def test_the_tail_is_the_last_fifth_and_the_rest_is_purged_against_it():
    data = made_data(horizon=3, sessions=400)
    view = StudyView(data, POOLED, early_stop=True)
    for fold in view.folds:
        sessions = np.unique(data.session_id[fold.train])
        count = len(sessions) // 5
        if count < 30:
            assert fold.tail is None
            continue
        assert set(data.session_id[fold.tail]) == set(sessions[-count:])
        assert data.end_ns[fold.inner].max() < data.decision_ns[fold.tail].min()
        # Nothing more is left out than the sessions whose label reaches into the tail.
        assert len(np.unique(data.session_id[fold.inner])) == len(sessions) - count - 3
        assert data.decision_ns[fold.tail].min() - data.decision_ns[fold.inner].max() == 4 * DAY_NS
    assert [fold.tail is None for fold in view.folds] == [True, False, False, False]


@pytest.mark.parametrize(("horizon", "stops"), [(1, {"tail", "cap"}), (20, {"drawn"})])
def test_rounds_are_as_drawn_where_the_tail_holds_too_few_labels(tmp_path, horizon, stops):
    run_study(made_job(tmp_path, n_configs=2, prune=False), made_data(horizon=horizon))
    for one in configs(tmp_path):
        assert set(one.fold_stop) <= stops
        if horizon == 20:
            assert set(one.fold_rounds) == {one.params["n_rounds"]}


def test_without_early_stopping_rounds_are_as_drawn(tmp_path, data):
    run_study(made_job(tmp_path, n_configs=1, early_stop="none"), data)
    assert set(configs(tmp_path)[0].fold_stop) == {"drawn"}


def test_a_study_of_a_symbol_has_its_own_rows_and_features(data):
    view = StudyView(data, "BRK.B", early_stop=True)
    rows = data.rows_of("BRK.B")
    assert view.rows == 260
    for fold, given_fold in zip(view.folds, data.folds, strict=True):
        assert set(fold.train + rows.start) == set(given_fold.train) & set(range(rows.start, rows.stop))
        assert set(fold.test + rows.start) == set(given_fold.test) & set(range(rows.start, rows.stop))
        matrix = view.matrix(fold, "test")
        assert matrix.flags.c_contiguous
        np.testing.assert_array_equal(matrix, data.x[rows][fold.test][:, :5])


def test_predictions_stand_where_a_fold_tested(whole, data):
    study = read_study(made_job(whole).location, study_key(RUN, "lightgbm", POOLED))
    tested = np.zeros(len(data.y), bool)
    tested[np.concatenate([one.test for one in data.folds])] = True
    for one in study.configs:
        oof, ran = study.oof(one.i), [v is not None for v in one.fold_value]
        for fold, there in zip(data.folds, ran, strict=True):
            assert np.isfinite(oof[fold.test]).all() == there
        assert np.isnan(oof[~tested]).all()


def test_the_values_are_those_of_the_predictions(whole, data):
    from sklearn.metrics import roc_auc_score

    study = read_study(made_job(whole).location, study_key(RUN, "lightgbm", POOLED))
    one = study.winner
    oof = study.oof(one.i)
    wanted = [roc_auc_score(data.y[fold.test], oof[fold.test]) for fold in data.folds]
    assert one.fold_value == pytest.approx(wanted, abs=1e-12)
    assert one.value == pytest.approx(np.mean(wanted), abs=1e-12)
    assert (
        study.final.winner == max((c for c in study.configs if c.state == "complete"), key=lambda c: (c.value, -c.i)).i
    )


@pytest.mark.parametrize("scope", [POOLED, "AAA"])
def test_a_regression_is_scored_by_rank(tmp_path, scope):
    from scipy.stats import spearmanr

    data = made_data(kind="regression")
    run_study(made_job(tmp_path, scope, "ridge", n_configs=2), data)
    study = read_study(made_job(tmp_path).location, study_key(RUN, "ridge", scope))
    rows, oof = data.rows_of(scope), study.oof(1)
    test = StudyView(data, scope, early_stop=True).folds[0].test
    y, session = data.y[rows][test], data.session_id[rows][test]
    if scope == POOLED:
        ics = [spearmanr(y[session == s], oof[test][session == s]).statistic for s in np.unique(session)]
        assert study.configs[1].fold_value[0] == pytest.approx(np.mean(ics))
    else:
        assert study.configs[1].fold_value[0] == pytest.approx(spearmanr(y, oof[test]).statistic)


# --- arrays --------------------------------------------------------------------------------------


def test_mapped_arrays_are_the_arrays(tmp_path, data):
    data.save(tmp_path)
    found = StudyData.load(tmp_path)
    for name in ("symbols", "features", "target", "kind", "horizon", "sha256", "splits_sha256"):
        assert getattr(found, name) == getattr(data, name)
    for name in ("x", "y", "end_ns", "decision_ns", "session_id", "symbol_id"):
        np.testing.assert_array_equal(getattr(found, name), getattr(data, name))
        assert not getattr(found, name).flags.writeable
    assert set(found.columns) == set(data.columns)
    for one, other in zip(found.folds, data.folds, strict=True):
        np.testing.assert_array_equal(one.train, other.train)
        np.testing.assert_array_equal(one.test, other.test)


def test_mapped_arrays_give_the_same_study(tmp_path, whole, data):
    data.save(tmp_path)
    job = replace(made_job(tmp_path / "lake"), scratch=str(tmp_path))
    run_study(job)
    assert study_bytes(tmp_path / "lake") == study_bytes(whole)


@pytest.mark.parametrize("what", ["x", "y", "train", "columns", "hash"])
def test_the_hash_covers_everything(what):
    panel, target = made_panel()
    rows = list(made_folds(panel, target))
    columns = {(one.id, ALL): panel.features for one in rows}
    hashes = {"splits_sha256": "5", "data_sha256": "d", "features_sha256": "f"}
    before = StudyData.of(panel, target, rows, columns, **hashes).sha256
    if what == "x":
        x = panel.x.copy()
        x[7, 3] = 0.125
        panel = replace(panel, x=x)
    elif what == "y":
        y = target.y.copy()
        y[0] = 1 - y[0]
        target = replace(target, y=y)
    elif what == "train":
        rows[0] = replace(rows[0], train=rows[0].train[1:])
    elif what == "columns":
        columns[1, ALL] = panel.features[1:]
    else:
        hashes["features_sha256"] = "g"
    assert StudyData.of(panel, target, rows, columns, **hashes).sha256 != before


def test_the_header_names_what_differs(tmp_path, data):
    run_study(made_job(tmp_path, "AAA", "logistic", n_configs=1), data)
    with pytest.raises(UsageError) as caught:
        run_study(made_job(tmp_path, "AAA", "logistic", n_configs=1, seed=8), data)
    assert caught.value.values["field"] == "seed"
    threads = made_job(tmp_path, "AAA", "logistic", n_configs=1, threads=2, max_concurrent=3)
    assert run_study(threads, data).asked == 0


def test_results_hold_nothing_that_json_cannot(whole):
    for one in configs(whole):
        assert json.loads(json.dumps(dict(one.params))) == one.params
        assert all(type(value) in {int, float, str} for value in one.params.values())


def test_fitted_predictions_are_what_is_stored(tmp_path, data):
    """The stored row is that of a model fitted by hand with the same parameters, rounds and seed."""
    job = made_job(tmp_path, "AAA", n_configs=1)
    run_study(job, data)
    study, view = read_study(job.location, job.key), StudyView(data, "AAA", early_stop=True)
    one, family = study.configs[0], model("lightgbm")[0]
    seed = hashed_seed(hashed_seed(7, "direction_1d", "lightgbm", "AAA"), "model")
    fold = view.folds[-1]
    params, _ = family.split(one.params)
    fitted: Fitted = family.fit(
        view.matrix(fold, "train"),
        view.labels(fold.train),
        task="class",
        params=params,
        rounds=one.fold_rounds[-1],
        seed=seed,
    )
    np.testing.assert_array_equal(fitted.predict(view.matrix(fold, "test")), study.oof(0)[fold.test])


@pytest.mark.parametrize("algorithm", ["xgboost", "catboost", "lightgbm"])
def test_bins_that_are_kept_change_nothing(tmp_path, monkeypatch, algorithm):
    data, found = made_data(3, sessions=500, horizon=2), []
    for name in ("kept", "anew"):
        run_study(made_job(tmp_path / name, "AAA", algorithm, n_configs=4, early_stop="tail"), data)
        found.append(study_bytes(tmp_path / name, "AAA", algorithm))
        monkeypatch.setattr(StudyView, "kept", lambda *_: None)
    assert found[0] == found[1]
    assert '"tail"' in found[0][0]
