"""A fit of a fold through our families against the bare call of the library: 700 rows, 33 features, 100 rounds."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from raypipe.models.catalog import models

pytestmark = pytest.mark.bench

ROWS, FEATURES, ROUNDS, PAIRS = 700, 33, 100, 15


def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, FEATURES)).astype(np.float32)
    y = (x[:, 0] + rng.normal(size=ROWS) > 0).astype(np.float32)
    x[rng.random(x.shape) < 0.02] = np.nan
    return x, y


def xgboost(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    import xgboost as library

    settings = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "max_bin": 64,
        "max_depth": 3,
        "eta": 0.05,
        "min_child_weight": 80 * float(y.mean() * (1 - y.mean())),
        "subsample": 0.7,
        "colsample_bytree": 0.5,
        "gamma": 0,
        "alpha": 0.01,
        "lambda": 10,
        "seed": 1,
        "nthread": 1,
        "verbosity": 0,
    }
    made = library.train(settings, library.QuantileDMatrix(x, label=y, max_bin=64, nthread=1), num_boost_round=ROUNDS)
    return made.inplace_predict(x)


def lightgbm(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    import lightgbm as library

    settings = {
        "objective": "binary",
        "num_leaves": 7,
        "learning_rate": 0.03,
        "min_data_in_leaf": 60,
        "max_bin": 63,
        "feature_fraction": 0.5,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "lambda_l1": 1e-3,
        "lambda_l2": 10,
        "deterministic": True,
        "force_row_wise": True,
        "seed": 1,
        "num_threads": 1,
        "verbosity": -1,
    }
    return library.train(settings, library.Dataset(x, y), ROUNDS).predict(x, num_threads=1)


def catboost(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    import catboost as library

    settings = {
        "loss_function": "Logloss",
        "boosting_type": "Plain",
        "bootstrap_type": "Bernoulli",
        "subsample": 0.7,
        "iterations": ROUNDS,
        "depth": 4,
        "learning_rate": 0.05,
        "l2_leaf_reg": 10,
        "rsm": 0.5,
        "random_strength": 1,
        "border_count": 32,
        "random_seed": 1,
        "thread_count": 1,
        "allow_writing_files": False,
        "logging_level": "Silent",
    }
    made = library.CatBoost(settings)
    made.fit(library.Pool(x, y, thread_count=1))
    return made.predict(x, prediction_type="Probability", thread_count=1)[:, 1]


@pytest.mark.parametrize("bare", [xgboost, lightgbm, catboost], ids=lambda bare: bare.__name__)
def test_a_fold_fit(benchmark, bare: Callable[[np.ndarray, np.ndarray], np.ndarray]):
    model = models()[bare.__name__]
    params, _ = model.split(model.default("safe", "symbol"))
    x, y = rows()

    def ours() -> np.ndarray:
        fitted = model.fit(x, y, task="class", params=params, rounds=ROUNDS, seed=1)
        return fitted.predict(x)

    assert np.array_equal(ours(), bare(x, y).astype(np.float32)), "not the same fit"
    benchmark.pedantic(ours, rounds=5, warmup_rounds=1)
    # In turn, so that a busy machine slows both alike.
    pairs = np.array([[cpu_seconds(ours), cpu_seconds(lambda: bare(x, y))] for _ in range(PAIRS)])
    benchmark.extra_info["bare_s"] = float(np.median(pairs[:, 1]))
    benchmark.extra_info["ratio"] = float(np.median(pairs[:, 0] / pairs[:, 1]))


def cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


@pytest.mark.parametrize("name", ["random_forest", "extra_trees"])
def test_a_forest_predicts(benchmark, name: str):
    """45,000 rows from our arrays against the library's own prediction."""
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

    kind = RandomForestClassifier if name == "random_forest" else ExtraTreesClassifier
    x, y = rows()
    x = np.nan_to_num(x)
    fitted = models()[name].fit(x, y, task="class", params={"min_leaf_rows": 20, "n_estimators": 100}, seed=1)
    settings = {"n_estimators": 100, "max_depth": 6, "min_samples_leaf": 20, "max_features": 0.5, "random_state": 1}
    bare = kind(**settings).fit(x, y)
    many = np.tile(x, (64, 1))
    found = benchmark.pedantic(fitted.predict, (many,), rounds=3)
    assert np.array_equal(found, bare.predict_proba(many)[:, 1].astype(np.float32))
    pairs = [[cpu_seconds(lambda: fitted.predict(many)), cpu_seconds(lambda: bare.predict_proba(many))] for _ in "abc"]
    benchmark.extra_info["ratio"] = float(np.median([ours / theirs for ours, theirs in pairs]))
    benchmark.extra_info["us_per_row"] = 1e6 * float(np.median([ours for ours, _ in pairs])) / len(many)
