"""Each family against the bare call of its library: the same predictions, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from raypipe.models.catalog import load_fitted, models
from raypipe.models.fitted import Fitted
from raypipe.models.linear import CLIP, Linear, Scaler
from tests.contracts.models import made

TASKS = ("class", "regression")
SEED = 7


def fit(name, task, x, y, **given) -> Fitted:
    model = models()[name]
    params, rounds = model.split({**model.default("safe", "pooled"), **given})
    return model.fit(x, y, task=task, params=params, rounds=rounds, seed=SEED)


@pytest.mark.parametrize("task", TASKS)
def test_xgboost(task):
    import xgboost

    x, y = made(task)
    rate = float(y.mean(dtype=np.float64))
    settings = {
        "objective": "binary:logistic" if task == "class" else "reg:squarederror",
        "tree_method": "hist",
        "max_bin": 64,
        "max_depth": 3,
        "eta": 0.05,
        "min_child_weight": 150 * (rate * (1 - rate) if task == "class" else 1),  # 400 capped at a quarter of 600
        "subsample": 0.7,
        "colsample_bytree": 0.5,
        "gamma": 0,
        "alpha": 0.01,
        "lambda": 10,
        "seed": SEED,
        "nthread": 1,
    }
    bare = xgboost.train(settings, xgboost.QuantileDMatrix(x, label=y, max_bin=64), num_boost_round=150)
    assert np.array_equal(fit("xgboost", task, x, y).predict(x), bare.predict(xgboost.DMatrix(x)))


@pytest.mark.parametrize("task", TASKS)
def test_lightgbm(task):
    import lightgbm

    x, y = made(task)
    settings = {
        "objective": "binary" if task == "class" else "regression",
        "num_leaves": 7,
        "learning_rate": 0.03,
        "min_data_in_leaf": 150,
        "feature_fraction": 0.5,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "lambda_l1": 1e-3,
        "lambda_l2": 10,
        "max_bin": 63,
        "deterministic": True,
        "force_row_wise": True,
        "seed": SEED,
        "num_threads": 1,
        "verbosity": -1,
    }
    bare = lightgbm.train(settings, lightgbm.Dataset(x, y), 200)
    assert np.array_equal(fit("lightgbm", task, x, y).predict(x), bare.predict(x).astype(np.float32))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("wide", [False, True])
def test_catboost(task, wide):
    import catboost

    x, y = made(task)
    bootstrap = {"bagging_temperature": 0.5} if wide else {"subsample": 0.7}
    settings = {
        "loss_function": "Logloss" if task == "class" else "RMSE",
        "boosting_type": "Plain",
        "bootstrap_type": "Bayesian" if wide else "Bernoulli",
        "iterations": 150,
        "depth": 4,
        "learning_rate": 0.05,
        "l2_leaf_reg": 10,
        "rsm": 0.5,
        "random_strength": 1,
        "border_count": 32,
        "random_seed": SEED,
        "thread_count": 1,
        "allow_writing_files": False,
        "verbose": False,
        **bootstrap,
    }
    kind = catboost.CatBoostClassifier if task == "class" else catboost.CatBoostRegressor
    bare = kind(**settings).fit(x, y)
    wanted = bare.predict_proba(x)[:, 1] if task == "class" else bare.predict(x)
    assert np.array_equal(fit("catboost", task, x, y, **bootstrap).predict(x), wanted.astype(np.float32))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("name", "kind"), [("random_forest", "RandomForest"), ("extra_trees", "ExtraTrees")])
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"max_depth": 6, "min_samples_leaf": 20, "max_features": 0.5}, id="safe"),
        pytest.param(
            {"max_depth": 15, "min_samples_leaf": 1, "min_samples_split": 7, "max_features": "sqrt"}, id="wide"
        ),
    ],
)
def test_forests(task, name, kind, settings, tmp_path: Path):
    import sklearn.ensemble

    x, y = made(task)
    medians = np.nan_to_num(np.array([np.median(c[~np.isnan(c)]) if not np.isnan(c).all() else 0 for c in x.T]))
    filled = np.where(np.isnan(x), medians, x).astype(np.float32)
    bare = getattr(sklearn.ensemble, f"{kind}{'Classifier' if task == 'class' else 'Regressor'}")(
        n_estimators=30, random_state=SEED, **settings
    ).fit(filled, y)
    fitted = fit(name, task, x, y, n_estimators=30, **settings)
    fitted.save(tmp_path)
    wanted = bare.predict_proba(filled)[:, 1] if task == "class" else bare.predict(filled)
    for one in (fitted, load_fitted(name, tmp_path)):
        assert np.array_equal(one.core.predict(x), wanted), "not the library's bits"
    assert np.array_equal(fitted.core.importance(), bare.feature_importances_)


def test_a_forest_goes_left_at_a_threshold_as_the_library_does():
    """Rows that lie exactly on float32 neighbours of the thresholds, which are float64."""
    from sklearn.ensemble import RandomForestRegressor

    x, y = made("regression")
    x = np.nan_to_num(x)
    bare = RandomForestRegressor(5, max_depth=6, random_state=SEED).fit(x, y)
    thresholds = np.concatenate([one.tree_.threshold for one in bare.estimators_]).astype(np.float32)
    near = np.concatenate([thresholds, np.nextafter(thresholds, np.float32(9)), np.nextafter(thresholds, -9)])
    rows = np.repeat(near[:, None], x.shape[1], axis=1).astype(np.float32)
    fitted = fit("random_forest", "regression", x, y, n_estimators=5, min_samples_leaf=1, max_features=1.0)
    assert np.array_equal(fitted.core.predict(rows), bare.predict(rows))


def test_a_forest_takes_rows_in_any_number():
    x, y = made("regression")
    fitted = fit("extra_trees", "regression", x, y, n_estimators=5)
    many = np.tile(x, (15, 1))
    assert np.array_equal(fitted.predict(many), np.tile(fitted.predict(x), 15))


# --- linear ------------------------------------------------------------------------------------


def standardised(x: np.ndarray) -> np.ndarray:
    """Column by column."""
    columns = []
    for column in x.astype(np.float64).T:
        known = column[~np.isnan(column)]
        varies = len(known) > 0 and known.min() < known.max()
        scaled = (column - known.mean()) / known.std() if varies else np.zeros(len(column))
        columns.append(np.where(np.isnan(scaled), 0, np.clip(scaled, -CLIP, CLIP)))
    return np.array(columns).T


LINEAR = {
    "logistic": ("LogisticRegression", {"C": 1 / (0.02 * 600), "tol": 1e-9, "max_iter": 10_000}, {"l2": 0.02}),
    "ols": ("LinearRegression", {}, {}),
    "ridge": ("Ridge", {"alpha": 0.02 * 600}, {"l2": 0.02}),
    "lasso": ("Lasso", {"alpha": 1e-3}, {"l1": 1e-3}),
    "elasticnet": ("ElasticNet", {"alpha": 1e-3, "l1_ratio": 0.3}, {"alpha": 1e-3, "l1_ratio": 0.3}),
}


@pytest.mark.parametrize("name", LINEAR)
def test_linear_models(name):
    import sklearn.linear_model

    kind, theirs, ours = LINEAR[name]
    x, y = made(models()[name].tasks[0])
    z = standardised(x)
    bare = getattr(sklearn.linear_model, kind)(**theirs).fit(z, y)
    fitted = fit(name, models()[name].tasks[0], x, y, **ours)
    wanted = bare.predict_proba(z)[:, 1] if name == "logistic" else bare.predict(z)
    assert np.allclose(fitted.predict(x), wanted, rtol=1e-5, atol=1e-7)
    assert np.allclose(fitted.core.coef, np.ravel(bare.coef_), rtol=1e-4, atol=1e-6)
    assert np.allclose(fitted.core.coef_original * fitted.core.scaler.sd, fitted.core.coef)


@pytest.mark.parametrize("name", ["logistic", "ridge"])
def test_a_penalty_means_the_same_for_more_rows(name):
    """Every row twice is no other problem."""
    x, y = made(models()[name].tasks[0])
    once = fit(name, models()[name].tasks[0], x, y, l2=0.5)
    twice = fit(name, models()[name].tasks[0], np.tile(x, (2, 1)), np.tile(y, 2), l2=0.5)
    assert np.allclose(once.predict(x), twice.predict(x), rtol=1e-5, atol=1e-7)


def test_logistic_without_a_penalty_and_with_one_of_absolute_values():
    x, y = made("class")
    free = fit("logistic", "class", x, y, l2=0)
    assert np.mean(free.predict(x), dtype=np.float64) == pytest.approx(y.mean(), abs=1e-5)
    sparse = fit("logistic", "class", x, y, l2=0, l1=0.1)
    assert 0 < np.count_nonzero(sparse.core.coef) < np.count_nonzero(free.core.coef)
    strong = fit("logistic", "class", x, y, l2=1e6)
    assert np.allclose(strong.predict(x), y.mean(), atol=1e-5)


def test_outliers_are_clipped_and_nulls_are_the_mean():
    x = np.array([[0.0], [2.0], [1.0], [np.nan]], np.float32)
    scaler = Scaler.of(x)
    assert (scaler.mean[0], scaler.sd[0]) == (1.0, pytest.approx(np.sqrt(2 / 3)))
    far = np.array([[1e9], [-1e9], [np.nan], [1.0]], np.float32)
    assert scaler.apply(far).ravel().tolist() == [CLIP, -CLIP, 0.0, 0.0]
    nothing = Scaler.of(np.full((3, 2), [0.1, np.nan], np.float32))
    assert (nothing.sd == 0).all()
    assert (nothing.apply(np.ones((2, 2), np.float32)) == 0).all()


def test_probabilities_at_the_ends_are_no_nan():
    model = Linear("class", Scaler(np.zeros(1), np.ones(1)), np.array([1e4]), 0.0)
    assert model.predict(np.array([[5.0], [-5.0], [0.0]], np.float32)).tolist() == [1.0, 0.0, 0.5]
