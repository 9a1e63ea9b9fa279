"""One model without a search: recipes, folds, scores, coefficients, files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as oracle

from raypipe.dataset.matrix import Panel, Target
from raypipe.dataset.splits import Splits, cv_rows, fold_rows, make_splits
from raypipe.errors import UsageError
from raypipe.models.catalog import load_fitted, model
from raypipe.schema.modeling import CvParams
from raypipe.training.train import train_model, write_trained
from raypipe.training.train_alpha import ALPHAS, choose_alpha, inner_parts
from raypipe.training.train_recipe import recipe_of
from raypipe.training.train_scores import mean_and_error, metrics
from tests.dataset.panels import panel_and_target

CV = CvParams(n_folds=3, min_train_sessions=60, min_fold_rows=50)


def planted(kind: str, *, signal: float = 1.0, symbols: int = 4) -> tuple[Panel, Target, Splits]:
    """A panel whose first feature says something of the target."""
    panel, target = panel_and_target(1, symbols=symbols, sessions=220, features=4, kind=kind, nulls=0.03)
    noise = np.random.default_rng(2).normal(size=panel.rows)
    value = signal * np.nan_to_num(panel.x[:, 0]) + noise
    y = np.where(target.known, value > 0 if kind == "class" else 0.02 * value, np.nan).astype(np.float32)
    made = Target(target.name, target.kind, target.horizon, y, target.start_ns, target.end_ns)
    return panel, made, make_splits(panel, made, CV)


# --- recipes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options", "family", "params"),
    [
        ("classifier", {}, "lightgbm", {}),
        ("regressor", {"algorithm": "xgb"}, "xgboost", {}),
        ("linear", {}, "ridge", {"l2": 1.0}),
        ("linear", {"regularization": "none"}, "ols", {}),
        ("linear", {"regularization": "lasso", "alpha": 0.01}, "lasso", {"l1": 0.01}),
        ("linear", {"regularization": "elasticnet", "l1_ratio": 0.2}, "elasticnet", {"alpha": 1.0, "l1_ratio": 0.2}),
        ("logistic", {}, "logistic", {"l2": 1.0, "l1": 0.0}),
        ("logistic", {"regularization": "l1", "alpha": 0.1}, "logistic", {"l2": 0.0, "l1": 0.1}),
        ("logistic", {"regularization": "none"}, "logistic", {"l2": 0.0, "l1": 0.0}),
    ],
)
def test_what_options_ask_for(kind, options, family, params):
    recipe = recipe_of(kind, **options)
    assert (recipe.family.name, recipe.params) == (family, params)


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("classifier", {"alpha": 1.0}, "--alpha changes nothing with classifier"),
        ("regressor", {"tune_alpha": True}, "--tune-alpha changes nothing"),
        ("classifier", {"regularization": "l2"}, "--regularization changes nothing"),
        ("regressor", {"algorithm": "logistic"}, "cannot be a regressor"),
        ("linear", {"algorithm": "xgb"}, "--algorithm changes nothing"),
        ("linear", {"regularization": "l1"}, "does not go with --model-type linear"),
        ("logistic", {"regularization": "ridge"}, "does not go with --model-type logistic"),
        ("linear", {"regularization": "none", "alpha": 0.5}, "--alpha changes nothing"),
        ("linear", {"alpha": 0.5, "tune_alpha": True}, "--alpha changes nothing"),
        ("linear", {"l1_ratio": 0.5}, "--l1-ratio changes nothing"),
        ("linear", {"regularization": "none", "tune_alpha": True}, "--tune-alpha changes nothing"),
        ("linear", {"regularization": "lasso", "alpha": 0.0}, "l1"),
    ],
)
def test_options_that_would_change_nothing_are_refused(kind, options, said):
    with pytest.raises(UsageError, match=said):
        recipe_of(kind, **options)


def test_parameters_of_a_search(tmp_path: Path):
    path = tmp_path / "best_xgboost.json"
    config = {**model("xgboost")[0].default("safe", "pooled"), "max_depth": 5}
    best = {"schema": 1, "algorithm": "xgboost", "hyperparameters": {"_pooled": config}, "rounds": {"_pooled": 77}}
    path.write_text(json.dumps(best))
    recipe = recipe_of("classifier", algorithm="xgb", params_from=path)
    assert (recipe.params["max_depth"], recipe.rounds) == (5, 77)
    with pytest.raises(UsageError, match="wanted is _pooled of lightgbm"):
        recipe_of("classifier", params_from=path)
    path.write_text(json.dumps({**best, "hyperparameters": {"AAPL": config}}))
    with pytest.raises(UsageError, match="the file has AAPL"):
        recipe_of("classifier", algorithm="xgb", params_from=path)
    path.write_text("[]")
    with pytest.raises(UsageError, match="no file of a search"):
        recipe_of("classifier", algorithm="xgb", params_from=path)


# --- scores ------------------------------------------------------------------------------------


def test_scores_of_classes_are_those_of_the_library():
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 300).astype(np.float32)
    p = np.clip(0.3 * y + 0.7 * rng.random(300), 0.01, 0.99).astype(np.float32)
    found = metrics("class", y, p, np.zeros(300, np.int32), train_mean=0.5, one_symbol=False)
    assert found == pytest.approx(
        {
            "accuracy": oracle.accuracy_score(y, p >= 0.5),
            "auc": oracle.roc_auc_score(y, p),
            "f1": oracle.f1_score(y, p >= 0.5),
            "log_loss": oracle.log_loss(y, p.astype(float)),
            "brier": oracle.brier_score_loss(y, p),
        },
        rel=1e-6,
    )


def test_scores_of_numbers():
    rng = np.random.default_rng(3)
    y, session = rng.normal(size=300), np.repeat(np.arange(30), 10)
    p = 0.5 * y + rng.normal(size=300)
    found = metrics("regression", y, p, session, train_mean=0.1, one_symbol=False)
    assert found["rmse"] == pytest.approx(oracle.root_mean_squared_error(y, p))
    assert found["r2"] == pytest.approx(1 - np.mean((y - p) ** 2) / np.mean((y - 0.1) ** 2))
    assert found["direction_accuracy"] == np.mean((y > 0) == (p > 0))
    assert 0.2 < found["rank_ic"] < 0.7


def test_what_is_not_defined_is_null():
    y, p = np.zeros(5, np.float32), np.full(5, 0.1, np.float32)
    found = metrics("class", y, p, np.zeros(5, np.int32), train_mean=0.0, one_symbol=True)
    assert (found["auc"], found["f1"], found["accuracy"]) == (None, None, 1.0)
    mean, error = mean_and_error([{"auc": None}, {"auc": 0.6}])
    assert (mean, error) == ({"auc": 0.6}, {"auc": None})


# --- training ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options", "score", "least"),
    [
        ("classifier", {"algorithm": "lightgbm"}, "auc", 0.7),
        ("logistic", {"alpha": 0.02}, "auc", 0.7),
        ("regressor", {"algorithm": "lightgbm"}, "rank_ic", 0.3),
        ("linear", {"regularization": "none"}, "rank_ic", 0.3),
        ("linear", {"alpha": 0.02}, "rank_ic", 0.3),
    ],
)
def test_a_planted_signal_is_found_in_every_fold(kind, options, score, least):
    recipe = recipe_of(kind, **options)
    panel, target, splits = planted(recipe.task)
    found = train_model(panel, target, splits, recipe).results
    assert [one["id"] for one in found["folds"]] == [1, 2, 3]
    assert all(one["metrics"][score] > least for one in found["folds"])
    assert found["mean"][score] == pytest.approx(np.mean([one["metrics"][score] for one in found["folds"]]))
    assert found["majority_baseline"][score] in (0.5, None)
    assert found["splits_sha256"] == splits.sha256
    json.dumps(found, allow_nan=False)


def test_scores_stand_on_rows_that_the_model_did_not_see():
    """A model that learns every row by heart knows nothing, and the results say so."""
    panel, target, splits = planted("class", signal=0.0)
    recipe = recipe_of("classifier", algorithm="extra_trees")
    recipe.params.update({"min_samples_leaf": 1, "max_depth": 40, "n_estimators": 30})
    found = train_model(panel, target, splits, recipe).results
    assert found["train_metrics"]["auc"] > 0.99
    assert abs(found["mean"]["auc"] - 0.5) < 0.06


def test_each_fold_is_the_bare_fit_of_its_rows():
    panel, target, splits = planted("regression")
    recipe = recipe_of("linear", alpha=0.1)
    found = train_model(panel, target, splits, recipe).results
    for fold, said in zip(fold_rows(splits, panel, target), found["folds"], strict=True):
        assert (said["n_train"], said["n_test"]) == (len(fold.train), len(fold.test))
        p = recipe.fit(panel.x[fold.train], target.y[fold.train]).predict(panel.x[fold.test]).astype(float)
        assert said["metrics"]["rmse"] == pytest.approx(np.sqrt(np.mean((target.y[fold.test] - p) ** 2)))


def test_coefficients_of_least_squares_have_errors():
    panel, target, splits = planted("regression", signal=0.5)
    found = train_model(panel, target, splits, recipe_of("linear", regularization="none")).results["coefficients"]
    assert [one["name"] for one in found] == list(panel.features)
    assert found[0]["p"] < 1e-6
    assert all(one["p"] > 0.001 for one in found[1:])
    assert all(one["t"] == pytest.approx(one["coef"] / one["se"]) for one in found)
    assert all(one["selected_share"] is None for one in found)
    rows = cv_rows(splits, panel, target)
    sd = np.nanstd(panel.x[rows, 0].astype(float))
    assert found[0]["coef_original_units"] == pytest.approx(found[0]["coef"] / sd)


def test_penalised_coefficients_have_shares_instead():
    panel, target, splits = planted("regression")
    recipe = recipe_of("linear", regularization="lasso", alpha=0.004)
    found = train_model(panel, target, splits, recipe).results["coefficients"]
    assert all(one["se"] is one["t"] is one["p"] is None for one in found)
    assert (found[0]["selected_share"], found[1]["selected_share"]) == (1.0, 0.0)
    nothing = train_model(panel, target, splits, recipe_of("linear", regularization="lasso")).results
    assert all(one["coef"] == 0 for one in nothing["coefficients"])
    assert nothing["mean"]["r2"] == pytest.approx(0, abs=1e-6)


def test_a_target_of_the_other_kind_is_refused():
    panel, target, splits = planted("class")
    with pytest.raises(UsageError, match="direction_5d is a target of class"):
        train_model(panel, target, splits, recipe_of("linear"))


# --- the penalty -------------------------------------------------------------------------------


def test_inner_parts_go_forward_and_no_label_reaches_in():
    panel, target, splits = planted("class")
    rows = fold_rows(splits, panel, target)[-1].train
    parts = list(inner_parts(panel, target, rows))
    assert len(parts) == 4
    for train, test in parts:
        assert target.end_ns[train].max() < panel.decision_ns[test].min()
        assert set(train) | set(test) <= set(rows)
    tested = np.concatenate([test for _, test in parts])
    assert len(set(tested)) == len(tested)


def test_the_largest_penalty_within_one_error_is_taken():
    panel, target, splits = planted("regression", signal=0.3)
    rows = fold_rows(splits, panel, target)[-1].train
    recipe = recipe_of("linear", tune_alpha=True)
    chosen = choose_alpha(panel, target, rows, recipe.fit)
    losses = []
    for alpha in ALPHAS:
        one = []
        for train, test in inner_parts(panel, target, rows):
            p = recipe.fit(panel.x[train], target.y[train], alpha).predict(panel.x[test])
            one.append(np.mean((target.y[test].astype(float) - p) ** 2))
        losses.append(one)
    mean = np.mean(losses, axis=1)
    limit = mean.min() + np.std(losses[int(mean.argmin())], ddof=1) / math.sqrt(4)
    assert chosen == max(alpha for alpha, loss in zip(ALPHAS, mean, strict=True) if loss <= limit)
    assert (len(ALPHAS), ALPHAS[0], ALPHAS[-1]) == (25, pytest.approx(1e-4), pytest.approx(100))


def test_a_penalty_knows_its_training_rows_only():
    """What comes after a fold's training changes neither the fold's penalty nor its coefficients."""
    panel, target, splits = planted("regression")
    fold = fold_rows(splits, panel, target)[0]
    recipe = recipe_of("linear", tune_alpha=True)
    later = np.setdiff1d(np.arange(panel.rows), fold.train)
    x, y = panel.x.copy(), target.y.copy()
    x[later], y[later] = 7.0, -3.0
    other = Panel(
        panel.symbols, panel.sessions, panel.symbol_id, panel.session_id, panel.decision_ns, panel.features, x
    )
    mine = Target(target.name, target.kind, target.horizon, y, target.start_ns, target.end_ns)
    alphas = [choose_alpha(p, t, fold.train, recipe.fit) for p, t in ((panel, target), (other, mine))]
    assert alphas[0] == alphas[1]


def test_noise_gets_the_largest_penalty_and_the_results_name_it():
    panel, target, splits = planted("class", signal=0.0, symbols=2)
    found = train_model(panel, target, splits, recipe_of("logistic", tune_alpha=True)).results
    assert found["params"]["hyperparameters"]["l2"] == ALPHAS[-1]
    assert all(one["alpha"] in ALPHAS for one in found["folds"])


def test_too_few_sessions_for_a_penalty():
    panel, target, _ = planted("class")
    with pytest.raises(UsageError, match="too few to choose a penalty"):
        choose_alpha(panel, target, np.flatnonzero(target.known)[:1], recipe_of("logistic").fit)


# --- files -------------------------------------------------------------------------------------


def test_files_are_written_and_replaced(tmp_path: Path):
    panel, target, splits = planted("class")
    first = train_model(panel, target, splits, recipe_of("classifier", algorithm="xgboost"))
    folder, results = write_trained(first, tmp_path)
    assert (folder, results) == (tmp_path / "classifier", tmp_path / "classifier_results.json")
    assert (folder / "model.ubj").is_file()
    assert np.array_equal(load_fitted("xgboost", folder).predict(panel.x), first.fitted.predict(panel.x))
    before = results.read_bytes()
    write_trained(train_model(panel, target, splits, first.recipe), tmp_path)
    assert results.read_bytes() == before, "equal trainings write equal bytes"
    write_trained(train_model(panel, target, splits, recipe_of("classifier")), tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == ["model.meta.json", "model.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["classifier", "classifier_results.json"]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path):
    panel, target, splits = planted("class")
    trained = train_model(panel, target, splits, recipe_of("logistic"))
    (tmp_path / "logistic").mkdir()
    (tmp_path / "logistic" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds no model of raypipe"):
        write_trained(trained, tmp_path)
    assert (tmp_path / "logistic" / "thesis.txt").read_text() == "mine"
